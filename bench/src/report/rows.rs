//! Rows made small: what a report needs of each, in about 150 bytes.
//!
//! Rows are read one by one and sorted into data sets and operating points. How
//! a sample was coded is kept once per sample and point, whichever models saw
//! it; what a model saw, once per model. Names are kept once.

use super::figure::{Figure, Scores};
use super::quality::METRICS;
use afferent_measure::Row;
use afferent_measure::row::{OperatingPoint, coder};
use afferent_measure::store::{read_rows, row_files};
use afferent_media::{Code, Error, Modality, Result};
use afferent_models::Sha256;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

/// Everything that a report is made of.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Version of how the rows were made.
    pub(crate) methodology: u32,
    /// How many rows were read.
    pub(crate) count: u64,
    /// Rows of no known codec, which belong to no operating point.
    pub(crate) strays: u64,
    /// The files they were read from, with the SHA-256 of each.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// What rows say of how they came about, by what it is.
    pub(crate) facts: BTreeMap<&'static str, BTreeSet<String>>,
    /// The data sets, in order.
    pub(crate) sets: Vec<Set>,
}

/// What makes rows of one data set, in the order of the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SetKey {
    pub(crate) modality: Modality,
    pub(crate) name: Option<String>,
    pub(crate) split: Option<String>,
    pub(crate) sha256: Option<String>,
}

/// What ran, and what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModelKey {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) task: String,
    /// Digests of weights, preprocessing and postprocessing: other ones are another model.
    pub(crate) digests: [Option<String>; 3],
}

/// One sample of a data set.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) id: Box<str>,
    /// The cluster that it belongs to: its own number, or that of its group's first.
    pub(crate) cluster: u32,
    /// What its rate is per: pixels of the source, or seconds.
    pub(crate) per: f64,
}

/// One data set.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) key: SetKey,
    pub(crate) samples: Vec<Sample>,
    /// Formats of the source files, how many samples have each, and the range of
    /// the quality that JPEG files state.
    pub(crate) sources: BTreeMap<String, (u64, Option<(f64, f64)>)>,
    pub(crate) models: Vec<ModelKey>,
    /// In order of codec, synthesis, preset, knob and size.
    pub(crate) points: Vec<Point>,
    /// Names of classes, as predictions had them.
    pub(crate) classes: HashMap<u32, String>,
}

/// One operating point on one data set.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) coding: OperatingPoint,
    /// What the codec's library was told besides the knob.
    pub(crate) settings: Option<String>,
    /// How each sample was coded, in order of sample.
    pub(crate) coded: Vec<Coded>,
    /// What each model of the set saw, in order of sample.
    pub(crate) seen: Vec<Vec<Seen>>,
    pub(crate) first_failure: Option<String>,
}

/// How one sample was coded at one operating point.
#[derive(Debug, Clone)]
pub(crate) struct Coded {
    pub(crate) sample: u32,
    /// Payload and side information, in bytes.
    pub(crate) content: u32,
    /// The codec's headers and tables, in bytes.
    pub(crate) header: u32,
    /// Container, in bytes.
    pub(crate) container: u32,
    /// Framing and the transport's share, in bytes.
    pub(crate) transport: f32,
    pub(crate) failed: bool,
    /// Sum of squared errors, and how many values it is over.
    pub(crate) sse: Option<(u64, u64)>,
    /// Figures of similarity in the order of [`METRICS`]; not a number where there is none.
    pub(crate) metrics: [f32; METRICS.len()],
    /// Milliseconds in the order of [`TIMES`]; not a number where there is none.
    pub(crate) times: [f32; TIMES.len()],
}

/// What takes time, in the order of [`Coded::times`].
pub(crate) const TIMES: [&str; 5] = ["resize", "encode", "link", "decode", "restore"];
/// Place of the encoder's, which has that of resizing in it, in [`TIMES`].
pub(crate) const ENCODE: usize = 1;

/// What one model saw in one decoded sample.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) sample: u32,
    /// Time of inference in milliseconds; not a number where there is none.
    pub(crate) infer_ms: f32,
    /// How well the sample did, 0 to 1; not a number where there is none.
    pub(crate) score: f32,
    pub(crate) prediction: Option<u32>,
    pub(crate) probability: f32,
    pub(crate) pristine: Option<u32>,
    pub(crate) label: Option<u32>,
    pub(crate) scores: Scores,
}

impl Rows {
    /// Reads the rows of files and folders.
    ///
    /// # Errors
    /// Those of reading; [`Code::Config`] if rows of two methodologies are mixed.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut rows = Gathering::default();
        for path in paths {
            for file in row_files(path)? {
                let digest = Sha256::of_file(&file)?.to_string();
                rows.out.files.push((file, digest));
            }
            for row in read_rows(path)? {
                rows.add(row?)?;
            }
        }
        rows.finish()
    }

    /// The same of rows in memory.
    #[cfg(test)]
    pub(crate) fn of(rows: impl IntoIterator<Item = Row>) -> Result<Self> {
        let mut gathering = Gathering::default();
        rows.into_iter().try_for_each(|row| gathering.add(row))?;
        gathering.finish()
    }
}

/// Rows while they come.
#[derive(Default)]
struct Gathering {
    out: Rows,
    sets: BTreeMap<SetKey, Open>,
}

/// A data set while its rows come.
#[derive(Default)]
struct Open {
    samples: Vec<Sample>,
    numbers: HashMap<Box<str>, u32>,
    groups: HashMap<String, u32>,
    sources: BTreeMap<String, (u64, Option<(f64, f64)>)>,
    models: Vec<ModelKey>,
    points: HashMap<OperatingPoint, Point>,
    classes: HashMap<u32, String>,
}

impl Gathering {
    fn add(&mut self, row: Row) -> Result<()> {
        let out = &mut self.out;
        if out.count > 0 && out.methodology != row.methodology_version {
            return Err(Error::new(
                Code::Config,
                format!("rows of methodology {} and {} are mixed", out.methodology, row.methodology_version),
                "report the rows of each build apart, or measure all of them again with one",
            ));
        }
        out.methodology = row.methodology_version;
        out.count += 1;
        out.note(&row);
        let Some(coding) = row.operating_point() else {
            out.strays += 1;
            return Ok(());
        };
        let key = SetKey {
            modality: coding.modality,
            name: row.data_set.clone(),
            split: row.split.clone(),
            sha256: row.data_sha256.clone(),
        };
        self.sets.entry(key).or_default().add(coding, row)
    }

    fn finish(mut self) -> Result<Rows> {
        if self.out.count == 0 {
            return Err(Error::new(Code::NotFound, "there is no row", "measure something first: `afferent demo`"));
        }
        self.out.sets = self.sets.into_iter().map(|(key, open)| open.finish(key)).collect();
        Ok(self.out)
    }
}

impl Rows {
    /// Keeps what a row says of how it came about.
    fn note(&mut self, row: &Row) {
        let codec = (!row.codec.is_empty())
            .then(|| format!("{}: {}, SIMD: {}", row.codec, row.codec_implementation, row.codec_simd));
        let model = row.model.as_ref().map(|name| {
            let sha256 = row.model_sha256.as_deref().unwrap_or("unknown");
            let threads = row.threads.map(|threads| format!(", {threads} threads")).unwrap_or_default();
            format!("{name} on {}{threads}, weights {sha256}", row.provider.as_deref().unwrap_or("unknown"))
        });
        let synthesis = row.synthesis_sha256.as_ref().map(|sha256| {
            let coder = coder(&row.codec, row.synthesis.as_deref());
            format!("{coder} on {}, weights {sha256}", row.synthesis_provider.as_deref().unwrap_or("unknown"))
        });
        let partial = row.damaged_chunks.filter(|&damaged| damaged > 0 && row.error.is_none());
        for (name, value) in [
            ("codecs", codec),
            ("syntheses", synthesis),
            ("decoded in part", partial.map(|damaged| format!("samples that lack {damaged} chunks"))),
            ("models", model),
            ("builds", Some(row.build.clone())),
            ("devices", Some(row.device.clone())),
            ("workers", row.workers.map(|workers| workers.to_string())),
            ("preprocessing", row.preprocess_digest.clone()),
            ("postprocessing", row.postprocess_digest.clone()),
            ("similarity", row.similarity_ids.clone()),
            ("energy", row.energy_reason.clone()),
            ("throttling", row.throttle_flags.filter(|&flags| flags != 0).map(|flags| format!("flags {flags:#x}"))),
        ] {
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            let known = self.facts.entry(name).or_default();
            if known.len() < MOST_FACTS && !known.contains(&value) {
                known.insert(value);
            }
        }
    }
}

/// The most different values of one fact that are kept.
const MOST_FACTS: usize = 200;

impl Open {
    fn add(&mut self, coding: OperatingPoint, row: Row) -> Result<()> {
        let sample = self.sample(&row);
        let model = row.model.as_ref().map(|name| {
            let key = ModelKey {
                name: name.clone(),
                provider: row.provider.clone().unwrap_or_default(),
                task: row.task.clone().unwrap_or_default(),
                digests: [row.model_sha256.clone(), row.preprocess_digest.clone(), row.postprocess_digest.clone()],
            };
            self.models.iter().position(|known| *known == key).unwrap_or_else(|| {
                self.models.push(key);
                self.models.len() - 1
            })
        });
        if let (Some(class), Some(name)) = (row.prediction_index, &row.prediction_label)
            && !self.classes.contains_key(&class)
        {
            self.classes.insert(class, name.clone());
        }
        let point = self.points.entry(coding).or_insert_with_key(|coding| Point {
            coding: coding.clone(),
            settings: row.codec_settings.clone(),
            coded: Vec::new(),
            seen: Vec::new(),
            first_failure: None,
        });
        if point.first_failure.is_none() {
            point.first_failure.clone_from(&row.error);
        }
        point.coded.push(Coded::of(sample, &row));
        if let Some(model) = model {
            if point.seen.len() <= model {
                point.seen.resize_with(model + 1, Vec::new);
            }
            point.seen[model].push(Seen::of(sample, &row)?);
        }
        Ok(())
    }

    /// The number of the row's sample. Rows of one sample at several operating
    /// points are told by the manifest's id or, without one, by its content.
    fn sample(&mut self, row: &Row) -> u32 {
        let id: Box<str> = match row.sample_id.as_deref().or(row.source_sha256.as_deref()) {
            Some(id) => id.into(),
            None => format!("{}/{}/{}/{}", row.device, row.epoch, row.stream, row.sequence).into(),
        };
        #[allow(clippy::cast_precision_loss)]
        let per = row.pixels().map(|pixels| pixels.0 as f64).or(row.seconds()).unwrap_or(0.0);
        if let Some(&number) = self.numbers.get(&id) {
            // A gap does not know its size; another row of the sample may.
            let known = &mut self.samples[number as usize].per;
            *known = if *known > 0.0 { *known } else { per };
            return number;
        }
        let number = u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
        let cluster = row.group.as_ref().map_or(number, |group| *self.groups.entry(group.clone()).or_insert(number));
        let source = self.sources.entry(row.source_format.clone().unwrap_or_else(|| "unknown".to_owned())).or_default();
        source.0 += 1;
        if let Some(quality) = row.source_quality {
            let (low, high) = source.1.unwrap_or((quality, quality));
            source.1 = Some((low.min(quality), high.max(quality)));
        }
        self.numbers.insert(id.clone(), number);
        self.samples.push(Sample { id, cluster, per });
        number
    }

    fn finish(self, key: SetKey) -> Set {
        let mut points: Vec<Point> = self.points.into_values().collect();
        points.sort_by(|a, b| a.coding.cmp(&b.coding));
        for point in &mut points {
            // A sample has a row per model and, replayed, per pass: the first counts.
            point.coded.sort_by_key(|coded| coded.sample);
            point.coded.dedup_by_key(|coded| coded.sample);
            point.coded.shrink_to_fit();
            point.seen.resize_with(self.models.len(), Vec::new);
            for seen in &mut point.seen {
                seen.sort_by_key(|seen| seen.sample);
                seen.dedup_by_key(|seen| seen.sample);
                seen.shrink_to_fit();
            }
        }
        let Self { samples, sources, models, classes, .. } = self;
        Set { key, samples, sources, models, points, classes }
    }
}

fn bytes(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Halves the room of a figure; what there is not is not a number.
#[allow(clippy::cast_possible_truncation)]
fn small(value: Option<f64>) -> f32 {
    value.map_or(f32::NAN, |value| value as f32)
}

impl Coded {
    #[allow(clippy::cast_possible_truncation)]
    fn of(sample: u32, row: &Row) -> Self {
        Self {
            sample,
            content: bytes(row.payload_bytes.saturating_add(row.side_bytes)),
            header: bytes(row.header_bytes),
            container: bytes(row.container_bytes),
            transport: row.transport_bytes as f32 + bytes(row.framing_bytes) as f32,
            failed: row.error.is_some(),
            sse: row.sse.zip(row.values),
            metrics: METRICS.map(|metric| small((metric.of)(row))),
            times: [row.resize_ms, row.encode_ms, row.link_ms, row.decode_ms, row.restore_ms].map(small),
        }
    }

    /// Whether its bitstream arrived: what rates are over.
    pub(crate) fn arrived(&self) -> bool {
        // A gap is all container: it says why there is no sample.
        self.content > 0 || self.header > 0
    }

    /// The codec's bits: content and headers.
    pub(crate) fn bits(&self) -> f64 {
        8.0 * (f64::from(self.content) + f64::from(self.header))
    }
}

impl Seen {
    fn of(sample: u32, row: &Row) -> Result<Self> {
        Ok(Self {
            sample,
            infer_ms: small(row.infer_ms),
            score: small(row.sample_score),
            prediction: row.prediction_index,
            probability: small(row.prediction_score),
            pristine: row.reference_index.filter(|_| row.reference_kind == "pristine"),
            label: row.label_index,
            scores: Scores::of(row)?,
        })
    }
}

impl Set {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        let kind = match self.key.modality {
            Modality::Image => "images",
            Modality::Audio => "sound",
        };
        let name = self.key.name.clone().unwrap_or_else(|| format!("unnamed {kind}"));
        match &self.key.split {
            Some(split) => format!("{name}, {split}"),
            None => name,
        }
    }

    /// Independent clusters of its samples.
    pub(crate) fn clusters(&self) -> usize {
        self.samples.iter().map(|sample| sample.cluster).collect::<BTreeSet<_>>().len()
    }

    /// Unit of its rates.
    pub(crate) fn unit(&self) -> &'static str {
        match self.key.modality {
            Modality::Image => "bpp",
            Modality::Audio => "kbps",
        }
    }

    /// What a model has figures of.
    pub(crate) fn figures(&self, model: usize) -> Vec<Figure> {
        let has = |figure: &Figure| {
            self.points.iter().any(|point| point.seen[model].iter().any(|seen| figure.judges(&seen.scores)))
        };
        Figure::ALL.into_iter().filter(has).collect()
    }
}
