//! The pristine samples and labels that the server's side knows.
//!
//! A packet carries the manifest's opaque sample id; what that id means (the
//! sample before coding, its label) is read here, on the server's side.

use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_measure::task::Prediction;
use afferent_media::manifest::{Entry, Manifest};
use afferent_media::{Code, Error, Modality, Result, Sample};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Pristine samples kept in memory, in bytes of pixels and samples.
const CACHE_BYTES: usize = 64 << 20;

/// A sample before coding.
pub struct Pristine {
    /// The sample.
    pub sample: Sample,
    /// SHA-256 of its packed pixels, or of its planes as little-endian floats.
    pub sha256: String,
    bytes: usize,
}

impl Pristine {
    fn new(sample: Sample) -> Self {
        let mut digest = Sha256::new();
        let bytes = match &sample {
            Sample::Image(image) => {
                digest.update(image.data());
                image.data().len()
            }
            Sample::Audio(audio) => {
                audio.data().iter().for_each(|value| digest.update(value.to_le_bytes()));
                size_of_val(audio.data())
            }
        };
        Self { sample, sha256: hex(&digest.finalize()), bytes }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Default)]
struct Cache {
    samples: HashMap<Place, Arc<Pristine>>,
    /// Oldest first.
    order: VecDeque<Place>,
    bytes: usize,
    /// The model's answer on each pristine sample: small, one per manifest entry.
    predictions: HashMap<Place, Prediction>,
}

/// Which manifest, and which entry of it.
type Place = (usize, usize);

/// The references of one or more data sets.
pub struct References {
    manifests: Vec<Manifest>,
    places: HashMap<String, Place>,
    cache: Mutex<Cache>,
}

impl References {
    /// The references listed by the manifests or folders at `paths`.
    ///
    /// # Errors
    /// As [`Manifest::open`]; [`Code::Config`] if two of them share a sample id.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let extensions = [open::extensions(Modality::Image), open::extensions(Modality::Audio)].concat();
        let manifests: Vec<Manifest> =
            paths.iter().map(|path| Manifest::open(path, &extensions)).collect::<Result<_>>()?;
        let mut places = HashMap::new();
        for (number, manifest) in manifests.iter().enumerate() {
            for (index, entry) in manifest.entries().iter().enumerate() {
                if let Some((other, _)) = places.insert(entry.id.clone(), (number, index)) {
                    return Err(Error::new(
                        Code::Config,
                        format!(
                            "sample id `{}` is in {} and {}",
                            entry.id,
                            paths[other].display(),
                            paths[number].display()
                        ),
                        "give every sample an id of its own",
                    ));
                }
            }
        }
        Ok(Self { manifests, places, cache: Mutex::default() })
    }

    /// The entry of a sample id.
    #[must_use]
    pub fn entry(&self, sample_id: &str) -> Option<&Entry> {
        self.places.get(sample_id).map(|&(number, index)| &self.manifests[number].entries()[index])
    }

    /// The pristine sample of an id, if the manifest lists it.
    ///
    /// # Errors
    /// Those of opening its file.
    pub fn pristine(&self, sample_id: &str, modality: Modality) -> Result<Option<Arc<Pristine>>> {
        let Some(&place) = self.places.get(sample_id) else { return Ok(None) };
        if let Some(known) = self.lock().samples.get(&place) {
            return Ok(Some(Arc::clone(known)));
        }
        let manifest = &self.manifests[place.0];
        let path = manifest.path(&manifest.entries()[place.1]);
        let limits = Limits::default();
        let sample = match modality {
            Modality::Image => Sample::Image(open::image(&path, &limits)?),
            Modality::Audio => Sample::Audio(open::audio(&path, &limits)?),
        };
        let pristine = Arc::new(Pristine::new(sample));
        let mut cache = self.lock();
        if cache.samples.insert(place, Arc::clone(&pristine)).is_none() {
            cache.order.push_back(place);
            cache.bytes += pristine.bytes;
        }
        while cache.bytes > CACHE_BYTES && cache.order.len() > 1 {
            if let Some(oldest) = cache.order.pop_front().and_then(|place| cache.samples.remove(&place)) {
                cache.bytes -= oldest.bytes;
            }
        }
        Ok(Some(pristine))
    }

    /// The prediction on the pristine sample of an id, made once by `predict`.
    ///
    /// # Errors
    /// Those of `predict`.
    pub fn prediction(
        &self,
        sample_id: &str,
        predict: impl FnOnce() -> Result<Prediction>,
    ) -> Result<Option<Prediction>> {
        let Some(&place) = self.places.get(sample_id) else { return Ok(None) };
        if let Some(known) = self.lock().predictions.get(&place) {
            return Ok(Some(known.clone()));
        }
        let prediction = predict()?;
        self.lock().predictions.insert(place, prediction.clone());
        Ok(Some(prediction))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
