//! One build codes the vectors, and decodes what it wrote.

use crate::point::points;
use crate::record::{Machine, Record, save, write};
use crate::vectors::Vector;
use crate::{digest, work};
use afferent_codec::{Container, Family, Limits, Registry, SampleDecoder, SampleEncoder};
use afferent_media::{Code, Error, Result, Sample};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Codes every vector at every point into `out`; keeps decoded values in `decoded`, each
/// under its digest, for builds that will decode something else.
///
/// # Errors
/// Of files and codecs; [`Code::Internal`] if a lossless codec does not return what went in.
pub fn run(
    registry: &Registry,
    vectors: &[Vector],
    name: &str,
    out: &Path,
    decoded: &Path,
    threads: usize,
) -> Result<Vec<Record>> {
    for folder in [&out.join("streams"), decoded] {
        fs::create_dir_all(folder).map_err(|cause| Error::io(format!("{} cannot be made", folder.display()), cause))?;
    }
    let points = points(registry);
    let jobs: Vec<(usize, &Vector)> = (0..points.len())
        .flat_map(|point| {
            vectors
                .iter()
                .filter(|vector| points[point].takes(vector))
                .map(move |vector| (point, vector))
                .collect::<Vec<_>>()
        })
        .collect();
    let sources: HashMap<&str, String> = vectors.iter().map(|v| (&*v.name, digest::sample(&v.sample))).collect();
    let records = work::spread(threads, jobs.len(), |worker: &mut Worker, at| {
        let (point, vector) = jobs[at];
        let descriptor = points[point].codec.descriptor();
        let settings = &points[point].settings;
        let place = format!("{} of {}", descriptor.id, vector.name);
        let encoder = match worker.encoders.entry(point) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(SampleEncoder::new(points[point].codec.as_ref(), settings)?)
            }
        };
        let mut stream = Vec::new();
        encoder.encode(&vector.sample, &mut stream).map_err(|error| error.at(&place))?;
        let decoder = worker.decoder.get_or_insert_with(|| SampleDecoder::new(registry.clone(), Limits::default()));
        let (sample, latents) = decode(decoder, &stream).map_err(|error| error.at(&place))?;
        let record = Record {
            codec: descriptor.id.to_owned(),
            preset: settings.preset.clone().unwrap_or_default(),
            knob: settings.knob,
            vector: vector.name.clone(),
            source: sources[&*vector.name].clone(),
            stream: digest::bytes(&stream),
            latents,
            decoded: digest::sample(&sample),
        };
        if descriptor.family == Family::Lossless {
            if record.decoded != record.source {
                return Err(Error::new(Code::Internal, "another sample came back", "mend the codec").at(&place));
            }
        } else {
            keep(&decoded.join(&record.decoded), &digest::values(&sample))?;
        }
        save(&out.join("streams").join(record.file()), &stream)?;
        Ok(record)
    })?;
    write(out, &Machine::this(name, registry), &records)?;
    Ok(records)
}

/// What a thread keeps.
#[derive(Default)]
struct Worker {
    encoders: HashMap<usize, SampleEncoder>,
    decoder: Option<SampleDecoder>,
}

/// The sample of a container, and the digest of its latents if its codec has them.
pub(crate) fn decode(decoder: &mut SampleDecoder, stream: &[u8]) -> Result<(Sample, Option<String>)> {
    let container = Container::parse(stream)?.intact()?;
    let latents = match &*container.header.codec {
        "optic" => Some(digest::latents(&afferent_codec_default::latents(&container.chunks, &Limits::default())?)),
        _ => None,
    };
    Ok((decoder.decode(&container)?, latents))
}

/// Keeps values under their digest. Builds and threads may do so at once, so a file that is
/// there is whole.
fn keep(path: &Path, values: &[u8]) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let unfinished = path.with_extension(format!("{}-{:?}.tmp", std::process::id(), std::thread::current().id()));
    save(&unfinished, values)?;
    fs::rename(&unfinished, path).map_err(|cause| Error::io(format!("{} cannot be written", path.display()), cause))
}
