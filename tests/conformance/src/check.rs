//! One build decodes what another wrote.

use crate::encode::decode;
use crate::point::Bar;
use crate::record::{Machine, Record, read};
use crate::{digest, foreign, work};
use afferent_codec::{Limits, Registry, SampleDecoder};
use afferent_media::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// What one codec came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Codec id.
    pub codec: String,
    /// Bitstreams that were decoded.
    pub streams: usize,
    /// How many of them the decoding build's own encoder wrote byte for byte the same.
    pub bytes_equal: usize,
    /// How many gave the encoding build's latents; `None` for a codec without.
    pub latents_equal: Option<usize>,
    /// How many gave the sample that the encoding build decodes.
    pub decoded_equal: usize,
    /// The greatest difference between the two: grey levels, or 1/32,768 of full scale.
    pub difference: f64,
    /// What the bar of this codec does not allow.
    pub failures: Vec<String>,
}

/// What a pair of builds came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The build that encoded.
    pub encoded: Machine,
    /// The build that decoded.
    pub decoded: Machine,
    /// Each codec.
    pub codecs: Vec<Found>,
}

impl Check {
    /// Whether every codec is what it claims.
    #[must_use]
    pub fn held(&self) -> bool {
        !self.codecs.is_empty() && self.codecs.iter().all(|codec| codec.failures.is_empty())
    }
}

/// Decodes the bitstreams in `theirs` and compares: with what the build that wrote them
/// decodes (values in `decoded`), and with the bitstreams that this build wrote to `ours`.
///
/// # Errors
/// Of files, and where the folders are not of the same vectors.
pub fn run(registry: &Registry, theirs: &Path, ours: &Path, decoded: &Path, threads: usize) -> Result<Check> {
    let (encoding, records) = read(theirs)?;
    let (decoding, own) = read(ours)?;
    if records.len() != own.len() || records.iter().zip(&own).any(|(a, b)| !a.same_place(b)) {
        return Err(foreign(format!("{} and {} are not of the same vectors", theirs.display(), ours.display())));
    }
    let outcomes = work::spread(threads, records.len(), |decoder: &mut Option<SampleDecoder>, at| {
        let decoder = decoder.get_or_insert_with(|| SampleDecoder::new(registry.clone(), Limits::default()));
        outcome(decoder, &records[at], &own[at], &theirs.join("streams"), decoded)
    })?;
    let mut codecs: Vec<Found> = Vec::new();
    for (record, outcome) in records.iter().zip(outcomes) {
        if codecs.last().is_none_or(|found| found.codec != record.codec) {
            codecs.push(Found {
                codec: record.codec.clone(),
                streams: 0,
                bytes_equal: 0,
                latents_equal: record.latents.as_ref().map(|_| 0),
                decoded_equal: 0,
                difference: 0.0,
                failures: Vec::new(),
            });
        }
        let Some(found) = codecs.last_mut() else { continue };
        found.streams += 1;
        found.bytes_equal += usize::from(outcome.bytes);
        found.latents_equal = found.latents_equal.map(|equal| equal + usize::from(outcome.latents));
        found.decoded_equal += usize::from(outcome.difference == Some(0.0));
        found.difference = outcome.difference.map_or(f64::INFINITY, |difference| found.difference.max(difference));
        found.failures.extend(outcome.failure.map(|what| format!("{}: {what}", record.file())));
    }
    Ok(Check { encoded: encoding, decoded: decoding, codecs })
}

struct Outcome {
    bytes: bool,
    latents: bool,
    difference: Option<f64>,
    failure: Option<String>,
}

fn outcome(
    decoder: &mut SampleDecoder,
    record: &Record,
    own: &Record,
    streams: &Path,
    decoded: &Path,
) -> Result<Outcome> {
    let path = streams.join(record.file());
    let stream = fs::read(&path).map_err(|cause| Error::io(format!("{} cannot be read", path.display()), cause))?;
    let bytes = record.stream == own.stream;
    let (sample, latents) = match decode(decoder, &stream) {
        Ok(decoded) => decoded,
        Err(error) => {
            return Ok(Outcome { bytes, latents: false, difference: None, failure: Some(error.to_string()) });
        }
    };
    let difference = if digest::sample(&sample) == record.decoded {
        Some(0.0)
    } else {
        fs::read(decoded.join(&record.decoded)).ok().and_then(|values| digest::difference(&sample, &values))
    };
    let latents = latents == record.latents;
    let bar = Bar::of(&record.codec);
    let failure = if record.source != own.source {
        Some("the two builds did not code the same sample".to_owned())
    } else if !latents {
        Some("the latents are others".to_owned())
    } else if difference.is_none_or(|difference| difference > bar.difference) {
        Some(match difference {
            Some(difference) => format!("decoded values are {difference} apart, {} allowed", bar.difference),
            None => "another sample was decoded".to_owned(),
        })
    } else if bar.same_bytes && !bytes {
        Some("the encoders wrote different bytes".to_owned())
    } else {
        None
    };
    Ok(Outcome { bytes, latents, difference, failure })
}
