//! From a stored packet to its rows: decode once, compare once, perceive by
//! every model.

use crate::references::{Pristine, References, hex};
use crate::store::StoredPacket;
use crate::synthesis::{Decoders, Syntheses};
use afferent_codec::{Container, Geometry, Registry, gap};
use afferent_measure::metrics::{self, deep::DeepSimilarity};
use afferent_measure::row::Row;
use afferent_measure::task::{Prediction, ReferenceKind, Task};
use afferent_media::preprocess::Preprocess;
use afferent_media::{Bytes, Code, Error, Image, Modality, Network, RateParts, Result, Sample};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Instant;

/// What every row says of the model.
pub struct ModelInfo {
    /// Name in the zoo.
    pub name: String,
    /// SHA-256 of the weights as they were loaded.
    pub sha256: String,
    /// How images become its input.
    pub preprocess: Preprocess,
    /// Name of its input.
    pub input: String,
    /// How its output becomes a prediction.
    pub task: Box<dyn Task>,
    /// Threads of one run.
    pub threads: u32,
}

/// A model, ready to run on one thread.
pub struct Model {
    /// What every row says of it.
    pub info: Arc<ModelInfo>,
    /// The network.
    pub network: Box<dyn Network>,
}

impl Model {
    fn predict(&mut self, image: &Image) -> Result<Prediction> {
        let input = self.info.preprocess.apply(image.view())?;
        let outputs = self.network.run(&[(&self.info.input, &input)])?;
        self.info.task.predict(&outputs, (image.width(), image.height()))
    }

    fn describe(&self, row: &mut Row) {
        let info = &self.info;
        row.model = Some(info.name.clone());
        row.model_sha256 = Some(info.sha256.clone());
        row.preprocess_digest = Some(info.preprocess.digest());
        row.provider = Some(self.network.provider().to_owned());
        row.threads = Some(info.threads);
        row.set_task(info.task.as_ref());
    }
}

/// What a prediction on the decoded sample is held against.
#[derive(Default)]
struct Expected {
    /// The same model's prediction on the pristine sample.
    pristine: Option<Arc<Prediction>>,
    /// Ground truth, in the model's classes.
    truth: Option<Prediction>,
}

/// A learnt distance between images, ready to run on one thread.
pub struct Similarity {
    /// Which one.
    pub metric: DeepSimilarity,
    /// SHA-256 of its network's weights as they were loaded.
    pub sha256: String,
    /// The network.
    pub network: Box<dyn Network>,
}

impl Similarity {
    fn measure(&mut self, pristine: &Image, decoded: &Image, row: &mut Row) -> Result<()> {
        let distance = self.metric.distance(self.network.as_mut(), pristine.view(), decoded.view())?;
        let column = if self.metric == DeepSimilarity::ST_LPIPS_ALEX { &mut row.st_lpips } else { &mut row.lpips };
        *column = Some(distance);
        let id = format!("{}@{}", self.metric.id, self.sha256.get(..16).unwrap_or_default());
        row.similarity_ids = Some(match row.similarity_ids.take() {
            Some(others) => format!("{others} {id}"),
            None => id,
        });
        Ok(())
    }
}

/// Which distortion of images is measured.
pub struct Metrics {
    /// SSIM and MS-SSIM, beside the squared errors, which always are.
    pub structure: bool,
    /// Learnt distances.
    pub similarities: Vec<Similarity>,
    /// Whether models see the pristine samples too, so that rows have agreement.
    pub agreement: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { structure: true, similarities: Vec::new(), agreement: true }
    }
}

/// Decodes, perceives and compares. One per worker thread.
pub struct Perceiver {
    registry: Registry,
    decoders: Decoders,
    references: Option<Arc<References>>,
    models: Vec<Model>,
    metrics: Metrics,
    build: String,
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

impl Perceiver {
    /// The same perceiver, measuring other metrics than all of them.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// The same perceiver, decoding each stream by its synthesis instead of the
    /// linear inverse.
    #[must_use]
    pub fn with_syntheses(self, syntheses: Arc<Syntheses>) -> Self {
        Self { decoders: Decoders::new(self.registry.clone(), syntheses), ..self }
    }

    /// A worker's own perceiver. The first run of every model is done here, so
    /// that no latency includes a warm-up.
    ///
    /// # Errors
    /// [`Code::Model`] if a model's first run fails.
    pub fn new(registry: Registry, references: Option<Arc<References>>, mut models: Vec<Model>) -> Result<Self> {
        for model in &mut models {
            let (width, height) = model.info.preprocess.size;
            let mut blank = Image::default();
            blank.reset(width, height, afferent_media::PixelFormat::Rgb8)?;
            model.predict(&blank).map_err(|e| e.at(format!("model `{}`", model.info.name)))?;
        }
        let decoders = Decoders::new(registry.clone(), Arc::new(Syntheses::linear()));
        let metrics = Metrics::default();
        Ok(Self {
            registry,
            decoders,
            references,
            models,
            metrics,
            build: format!("afferent {}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// The rows of a stored packet: one per model, or one where there is no model
    /// or the sample is sound. What fails becomes the rows' error: every accepted
    /// packet has its rows.
    pub fn rows(&mut self, packet: &StoredPacket, body: &[u8]) -> Vec<Row> {
        let mut base = self.describe(packet, body);
        let opened = self.open(packet, body, &mut base);
        // What it is held against is known of a sample that never arrived, too.
        let pristine = self.pristine(packet, &base);
        base.source_sha256 = pristine.as_ref().map(|pristine| pristine.sha256.clone());
        let decoded = opened.and_then(|container| self.decode(&container, pristine.as_deref(), &mut base));
        if let Err(error) = &decoded {
            log::warn!("device {}, {} ({}): {error}", packet.device, packet.key(), packet.sample_id);
            base.set_error(error);
        }
        self.seen(packet, base, decoded.as_ref().ok(), pristine.as_deref())
    }

    /// What `base` becomes once every model has seen the decoded sample.
    fn seen(
        &mut self,
        packet: &StoredPacket,
        base: Row,
        decoded: Option<&Sample>,
        pristine: Option<&Pristine>,
    ) -> Vec<Row> {
        if self.models.is_empty() || base.kind() == Some(Modality::Audio) {
            return vec![base];
        }
        (0..self.models.len())
            .map(|index| {
                let mut row = base.clone();
                self.models[index].describe(&mut row);
                if let Err(error) = self.perceive(index, packet, decoded, pristine, &mut row) {
                    log::warn!("{} on {}: {error}", self.models[index].info.name, packet.sample_id);
                    row.set_error(&error);
                }
                row
            })
            .collect()
    }

    /// The rows of the source file itself: an operating point whose codec is
    /// called `source`, whose rate is the file's size, and whose predictions are
    /// those on the pristine sample. `packet` says which sample; its bytes are
    /// those of the file.
    pub fn source_rows(&mut self, packet: &StoredPacket) -> Vec<Row> {
        let mut base = self.describe(packet, &[]);
        base.bitstream_sha256 = None;
        base.encode_ms = None;
        base.modality = Modality::Image.to_string();
        base.codec_simd = afferent_codec::Simd::NotApplicable.to_string();
        let pristine = self.pristine(packet, &base);
        let decoded = match pristine.as_deref() {
            Some(Pristine { sample, sha256, .. }) => {
                base.source_sha256 = Some(sha256.clone());
                if let Sample::Image(image) = &**sample {
                    base.set_image_source(image.width(), image.height());
                    let pixels = base.source_units;
                    base.set_image_quality(&metrics::image::ImageQuality {
                        values: 3 * pixels,
                        ssim: self.metrics.structure.then_some(1.0),
                        ..Default::default()
                    });
                }
                Ok(Arc::clone(sample))
            }
            None => Err(Error::new(Code::NotFound, "the source file cannot be read", "see the log")),
        };
        if let Err(error) = &decoded {
            base.set_error(error);
        }
        if !self.metrics.agreement {
            return vec![base];
        }
        self.seen(packet, base, decoded.as_deref().ok(), pristine.as_deref())
    }

    #[allow(clippy::cast_precision_loss)]
    fn describe(&self, packet: &StoredPacket, body: &[u8]) -> Row {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let clock = packet.clock;
        let link_us = packet.received_us - packet.sent_us - clock.map_or(0, |(offset, _)| offset);
        let mut row = Row {
            device: packet.device.clone(),
            epoch: format!("{:016x}", packet.epoch),
            stream: packet.stream,
            stream_name: packet.opened.name.clone(),
            codec: packet.opened.codec.clone(),
            preset: packet.opened.preset.clone(),
            knob: packet.opened.knob.map(f64::from),
            sequence: packet.sequence,
            sample_id: some(&packet.sample_id),
            class: if packet.backfill { "backfill" } else { "live" }.to_owned(),
            bitstream_sha256: Some(hex(&Sha256::digest(body))),
            build: self.build.clone(),
            connection: (packet.connection != 0).then(|| format!("{:016x}", packet.connection)),
            captured_unix_us: Some(packet.captured_us),
            received_unix_us: Some(packet.received_us),
            encode_ms: Some(f64::from(packet.encode_us) / 1e3),
            link_ms: clock.map(|_| link_us as f64 / 1e3),
            clock_offset_ms: clock.map(|(offset, _)| offset as f64 / 1e3),
            clock_error_ms: clock.map(|(_, error)| error as f64 / 1e3),
            // Said when the row is sealed, by what the device reported on its connection.
            energy_reason: Some("no device reported its energy".to_owned()),
            ..Row::new()
        };
        row.set_parts(&packet.parts);
        if let Some(references) = &self.references {
            references.describe(&packet.sample_id, &mut row);
        }
        self.describe_library(&mut row);
        row
    }

    /// Parses the container and notes what it says.
    fn open<'a>(&self, packet: &StoredPacket, body: &'a [u8], row: &mut Row) -> Result<Container<'a>> {
        if let Some(gap) = gap::read(body) {
            row.missing = Some(gap.missing);
            let what = match gap.missing {
                1 => format!("the agent has no sample: {}", gap.reason),
                missing => format!("the agent has no {missing} samples: {}", gap.reason),
            };
            return Err(Error::new(Code::NotFound, what, "see the agent's log"));
        }
        let container = Container::parse(body)?;
        self.describe_codec(&container, row);
        if container.parts != (RateParts { framing: Bytes(0), ..packet.parts }) {
            return Err(Error::new(
                Code::Corrupt,
                "the device's count of bytes is not its container's",
                "update the device's agent, or distrust it",
            ));
        }
        Ok(container)
    }

    /// Decodes the sample and compares it with the pristine one.
    fn decode(&mut self, container: &Container<'_>, pristine: Option<&Pristine>, row: &mut Row) -> Result<Sample> {
        let decoded = self.decoders.decode(&row.stream_name, container)?;
        row.decode_ms = Some(decoded.took.as_secs_f64() * 1e3);
        row.restore_ms = decoded.restored_in.map(|took| took.as_secs_f64() * 1e3);
        let decoded = decoded.sample;
        match (&decoded, pristine.map(|pristine| &*pristine.sample)) {
            (Sample::Image(decoded), Some(Sample::Image(pristine))) => {
                let compare = if self.metrics.structure { metrics::image::compare } else { metrics::image::errors };
                row.set_image_quality(&compare(pristine.view(), decoded.view())?);
                for similarity in &mut self.metrics.similarities {
                    // That a metric cannot judge an image is no fault of the codec.
                    if let Err(error) = similarity.measure(pristine, decoded, row) {
                        log::warn!("{}: {error}", similarity.metric.id);
                    }
                }
            }
            (Sample::Audio(decoded), Some(Sample::Audio(pristine))) => {
                row.set_audio_quality(&metrics::audio::compare(pristine.view(), decoded.view())?);
            }
            _ => {}
        }
        Ok(decoded)
    }

    /// Runs one model on the decoded sample, and scores what it saw. What the
    /// sample is held against is noted first, so that one that failed counts as missed.
    fn perceive(
        &mut self,
        index: usize,
        packet: &StoredPacket,
        decoded: Option<&Sample>,
        pristine: Option<&Pristine>,
        row: &mut Row,
    ) -> Result<()> {
        let expected = self.expect(index, packet, pristine)?;
        if let Some(reference) = &expected.pristine {
            ReferenceKind::Pristine.as_str().clone_into(&mut row.reference_kind);
            row.reference_index = reference.top1();
        }
        row.label_index = expected.truth.as_ref().and_then(Prediction::top1);
        let Some(Sample::Image(image)) = decoded else {
            // Nothing was seen: every pixel and every box of the reference is missed.
            let task = Arc::clone(&self.models[index].info);
            for (kind, reference) in [
                (ReferenceKind::Label, expected.truth.as_ref()),
                (ReferenceKind::Pristine, expected.pristine.as_deref()),
            ] {
                let Some(reference) = reference else { continue };
                let Some(nothing) = reference.nothing_seen() else { continue };
                let score = task.task.score(&nothing, reference)?;
                match kind {
                    ReferenceKind::Label => row.set_label(reference, &score),
                    _ => row.set_score(kind, reference, &score),
                }
            }
            return Ok(());
        };

        let model = &mut self.models[index];
        // The pristine sample itself has been seen.
        let itself = pristine
            .is_some_and(|pristine| matches!(&*pristine.sample, Sample::Image(seen) if std::ptr::eq(seen, image)));
        let prediction = match expected.pristine.clone().filter(|_| itself) {
            Some(known) => known,
            None => {
                let start = Instant::now();
                let prediction = model.predict(image)?;
                row.infer_ms = Some(ms(start));
                Arc::new(prediction)
            }
        };
        let task = model.info.task.as_ref();
        row.set_prediction(&prediction, task);
        if let Some(truth) = &expected.truth {
            row.set_label(truth, &task.score(&prediction, truth)?);
        }
        if let Some(reference) = &expected.pristine {
            row.set_score(ReferenceKind::Pristine, reference, &task.score(&prediction, reference)?);
        }
        Ok(())
    }

    /// The pristine sample, if the references have it. One that cannot be read
    /// is no fault of the codec: the row goes without.
    fn pristine(&self, packet: &StoredPacket, row: &Row) -> Option<Arc<Pristine>> {
        let found = self.references.as_ref()?.pristine(&packet.sample_id, row.kind()?);
        found.unwrap_or_else(|error| {
            log::error!("the reference of `{}` cannot be read: {error}", packet.sample_id);
            None
        })
    }

    /// The model's own prediction on the pristine sample, and the ground truth.
    fn expect(&mut self, index: usize, packet: &StoredPacket, pristine: Option<&Pristine>) -> Result<Expected> {
        let Some(references) = &self.references else { return Ok(Expected::default()) };
        let model = &mut self.models[index];
        let truth = references
            .truth(&packet.sample_id, model.info.task.as_ref(), pristine)
            .map(|truth| model.info.task.ground_truth(truth))
            .transpose()?;
        let pristine = pristine.filter(|_| self.metrics.agreement);
        let Some(Sample::Image(pristine)) = pristine.map(|pristine| &*pristine.sample) else {
            return Ok(Expected { truth, pristine: None });
        };
        let pristine = references.prediction(&packet.sample_id, index, || model.predict(pristine))?;
        Ok(Expected { truth, pristine })
    }

    fn describe_codec(&self, container: &Container<'_>, row: &mut Row) {
        let header = &container.header;
        let resize = header.geometry.resize();
        match header.geometry {
            Geometry::Image(shape) | Geometry::ResizedImage(shape, _) => {
                row.set_image_source(shape.width, shape.height);
                let (width, height) = resize.apply(shape.width, shape.height);
                row.coded_width = Some(width);
                row.coded_height = Some(height);
            }
            Geometry::Audio(shape) => row.set_audio_source(shape.rate, shape.channels, shape.frames),
        }
        row.resize = resize.to_string();
        row.codec.clone_from(&header.codec);
        row.preset.clone_from(&header.preset);
        row.knob = header.knob.map(f64::from);
        self.describe_library(row);
        row.codec_version = header.codec_version.into();
        row.damaged_chunks = u32::try_from(container.damaged.len()).ok();
    }

    fn describe_library(&self, row: &mut Row) {
        if let Ok(codec) = self.registry.get(&row.codec) {
            let descriptor = codec.descriptor();
            row.codec_version = descriptor.version.into();
            row.modality = descriptor.modality.to_string();
            row.codec_implementation.clone_from(&descriptor.implementation);
            row.codec_simd = descriptor.simd.to_string();
            row.codec_settings = Some(codec.settings_note(&row.preset)).filter(|note| !note.is_empty());
            row.knob_name = descriptor.knob.map(|knob| knob.name.to_owned());
        }
        let choice = self.decoders.choice(&row.codec, &row.stream_name);
        let network = choice.as_ref().and_then(|(_, network)| network.as_ref());
        let sha256 = network.map(|network| network.sha256.clone());
        let provider = network.map(|network| network.provider().to_owned());
        let flavour = choice.map(|(flavour, _)| flavour.to_owned());
        (row.synthesis, row.synthesis_sha256, row.synthesis_provider) = (flavour, sha256, provider);
    }
}
