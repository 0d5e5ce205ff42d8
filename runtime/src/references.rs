//! The pristine samples and labels that the server's side knows.
//!
//! A packet carries the manifest's opaque sample id; what that id means (the
//! sample before coding, its label) is read here, on the server's side.

use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_measure::row::Row;
use afferent_measure::task::{LabelMap, Prediction, Task};
use afferent_media::manifest::{Entry, Manifest};
use afferent_media::{Code, Error, Modality, Result, Sample};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pristine samples kept in memory, and predictions likewise, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// A sample before coding.
pub struct Pristine {
    /// The sample.
    pub sample: Arc<Sample>,
    /// SHA-256 of its packed pixels, or of its planes as little-endian floats.
    pub sha256: String,
    /// The class of every pixel, where the manifest names a mask.
    mask: Option<LabelMap>,
    bytes: usize,
}

impl Pristine {
    fn new(sample: Sample, mask: Option<LabelMap>) -> Self {
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
        let bytes = bytes + mask.as_ref().map_or(0, |mask| mask.classes().len());
        Self { sample: Arc::new(sample), sha256: hex(&digest.finalize()), mask, bytes }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was made from files and networks and is small enough to keep, the oldest
/// going first.
struct Cache<K, V> {
    kept: HashMap<K, (V, usize)>,
    /// Oldest first.
    order: VecDeque<K>,
    bytes: usize,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { kept: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    fn get(&self, key: K) -> Option<V> {
        self.kept.get(&key).map(|(value, _)| value.clone())
    }

    fn keep(&mut self, key: K, value: V, bytes: usize) {
        if self.kept.insert(key, (value, bytes)).is_none() {
            self.order.push_back(key);
            self.bytes += bytes;
        }
        while self.bytes > CACHE_BYTES && self.order.len() > 1 {
            if let Some((_, bytes)) = self.order.pop_front().and_then(|oldest| self.kept.remove(&oldest)) {
                self.bytes -= bytes;
            }
        }
    }
}

/// Which manifest, and which entry of it.
type Place = (usize, usize);

/// One data set that samples may come from.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Name, as rows carry it; a server's references have none.
    pub name: Option<String>,
    /// Digest of what it holds, where it was taken.
    pub sha256: Option<String>,
    /// Its samples.
    pub manifest: Manifest,
}

/// The references of one or more data sets.
pub struct References {
    sets: Vec<DataSet>,
    places: HashMap<String, Place>,
    samples: Mutex<Cache<Place, Arc<Pristine>>>,
    predictions: Mutex<Cache<(Place, usize), Arc<Prediction>>>,
}

impl References {
    /// The references listed by the manifests or folders at `paths`.
    ///
    /// # Errors
    /// As [`Manifest::open`]; [`Code::Config`] if two of them share a sample id.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let extensions = [open::extensions(Modality::Image), open::extensions(Modality::Audio)].concat();
        let set = |path: &PathBuf| {
            let manifest = Manifest::open(path, &extensions)?;
            Ok(DataSet { name: None, sha256: None, manifest })
        };
        Self::new(paths.iter().map(set).collect::<Result<_>>()?)
    }

    /// The references of `sets`.
    ///
    /// # Errors
    /// [`Code::Config`] if two of them share a sample id.
    pub fn new(sets: Vec<DataSet>) -> Result<Self> {
        let mut places = HashMap::new();
        for (number, set) in sets.iter().enumerate() {
            for (index, entry) in set.manifest.entries().iter().enumerate() {
                if let Some((other, _)) = places.insert(entry.id.clone(), (number, index)) {
                    return Err(Error::new(
                        Code::Config,
                        format!(
                            "sample id `{}` is in {} and {}",
                            entry.id,
                            sets[other].manifest.root().display(),
                            set.manifest.root().display()
                        ),
                        "give every sample an id of its own",
                    ));
                }
            }
        }
        Ok(Self { sets, places, samples: Mutex::default(), predictions: Mutex::default() })
    }

    /// The entry of a sample id.
    #[must_use]
    pub fn entry(&self, sample_id: &str) -> Option<&Entry> {
        self.places.get(sample_id).map(|&(number, index)| &self.sets[number].manifest.entries()[index])
    }

    /// Notes in `row` where its sample comes from.
    pub(crate) fn describe(&self, sample_id: &str, row: &mut Row) {
        let Some(&(number, index)) = self.places.get(sample_id) else { return };
        let set = &self.sets[number];
        let entry = &set.manifest.entries()[index];
        row.data_set.clone_from(&set.name);
        row.data_sha256.clone_from(&set.sha256);
        row.split.clone_from(&entry.split);
        row.group.clone_from(&entry.group);
        row.source_format.clone_from(&entry.format);
        row.source_quality = entry.quality.map(f64::from);
        row.source_bytes = entry.bytes;
    }

    /// What the data set says that `task` should find in a sample: a class, or
    /// the mask that came with its pristine sample.
    pub(crate) fn truth(&self, sample_id: &str, task: &dyn Task) -> Option<Prediction> {
        let place = *self.places.get(sample_id)?;
        match task.id() {
            "segmentation" => lock(&self.samples).get(place)?.mask.clone().map(Prediction::Mask),
            "classification" => self.entry(sample_id)?.label_index.map(Prediction::class),
            _ => None,
        }
    }

    /// The pristine sample of an id, if the manifest lists it.
    ///
    /// # Errors
    /// Those of opening its file.
    pub fn pristine(&self, sample_id: &str, modality: Modality) -> Result<Option<Arc<Pristine>>> {
        let Some(&place) = self.places.get(sample_id) else { return Ok(None) };
        if let Some(known) = lock(&self.samples).get(place) {
            return Ok(Some(known));
        }
        let manifest = &self.sets[place.0].manifest;
        let entry = &manifest.entries()[place.1];
        let path = manifest.path(entry);
        let limits = Limits::default();
        let sample = match modality {
            Modality::Image => Sample::Image(open::image(&path, &limits)?),
            Modality::Audio => Sample::Audio(open::audio(&path, &limits)?),
        };
        let mask = match &entry.mask {
            Some(mask) => {
                let (width, height, classes) = open::indices(&manifest.root().join(mask), &limits)?;
                Some(LabelMap::new(width, height, classes)?)
            }
            None => None,
        };
        let pristine = Arc::new(Pristine::new(sample, mask));
        lock(&self.samples).keep(place, Arc::clone(&pristine), pristine.bytes);
        Ok(Some(pristine))
    }

    /// The prediction of model number `model` on the pristine sample of an id,
    /// made by `predict` where it is not kept.
    ///
    /// # Errors
    /// Those of `predict`.
    pub fn prediction(
        &self,
        sample_id: &str,
        model: usize,
        predict: impl FnOnce() -> Result<Prediction>,
    ) -> Result<Option<Arc<Prediction>>> {
        let Some(&place) = self.places.get(sample_id) else { return Ok(None) };
        if let Some(known) = lock(&self.predictions).get((place, model)) {
            return Ok(Some(known));
        }
        let prediction = Arc::new(predict()?);
        let bytes = match &*prediction {
            Prediction::Mask(mask) => mask.classes().len(),
            // Five classes or a hundred boxes at most.
            _ => 4096,
        };
        lock(&self.predictions).keep((place, model), Arc::clone(&prediction), bytes);
        Ok(Some(prediction))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
