//! From a stored packet to a row: decode, perceive, compare.

use crate::references::{Pristine, References, hex};
use crate::store::StoredPacket;
use afferent_codec::{Container, Geometry, Limits, Registry, SampleDecoder, gap};
use afferent_measure::metrics;
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
}

/// Decodes, perceives and compares. One per worker thread.
pub struct Perceiver {
    registry: Registry,
    decoder: SampleDecoder,
    references: Option<Arc<References>>,
    model: Option<Model>,
    build: String,
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

impl Perceiver {
    /// A worker's own perceiver. Where a `model` is given, its first run is
    /// done here, so that no latency includes a warm-up.
    ///
    /// # Errors
    /// [`Code::Model`] if the model's first run fails.
    pub fn new(registry: Registry, references: Option<Arc<References>>, mut model: Option<Model>) -> Result<Self> {
        if let Some(model) = &mut model {
            let (width, height) = model.info.preprocess.size;
            let mut blank = Image::default();
            blank.reset(width, height, afferent_media::PixelFormat::Rgb8)?;
            model.predict(&blank)?;
        }
        let decoder = SampleDecoder::new(registry.clone(), Limits::default());
        Ok(Self { registry, decoder, references, model, build: format!("afferent {}", env!("CARGO_PKG_VERSION")) })
    }

    /// The row of a stored packet. What fails becomes the row's error: every
    /// accepted packet has its row.
    pub fn row(&mut self, packet: &StoredPacket, body: &[u8]) -> Row {
        let mut row = self.describe(packet, body);
        if let Err(error) = self.measure(packet, body, &mut row) {
            log::warn!("device {}, {} ({}): {error}", packet.device, packet.key(), packet.sample_id);
            row.set_error(&error);
        }
        row
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
            connection: Some(format!("{:016x}", packet.connection)),
            captured_unix_us: Some(packet.captured_us),
            received_unix_us: Some(packet.received_us),
            encode_ms: Some(f64::from(packet.encode_us) / 1e3),
            link_ms: clock.map(|_| link_us as f64 / 1e3),
            clock_offset_ms: clock.map(|(offset, _)| offset as f64 / 1e3),
            clock_error_ms: clock.map(|(_, error)| error as f64 / 1e3),
            energy_reason: Some("this agent has no energy meter".to_owned()),
            ..Row::new()
        };
        row.set_parts(&packet.parts);
        self.describe_library(&mut row);
        row
    }

    fn measure(&mut self, packet: &StoredPacket, body: &[u8], row: &mut Row) -> Result<()> {
        if let Some(reason) = gap::read(body) {
            return Err(Error::new(
                Code::NotFound,
                format!("the agent has no sample: {reason}"),
                "see the agent's log",
            ));
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
        // What a sample is held against is known before it is decoded, so that
        // one that fails counts as missed.
        let modality = container.header.geometry.modality();
        let pristine = self.pristine(packet, modality);
        row.source_sha256 = pristine.as_ref().map(|p| p.sha256.clone());
        let reference = if modality == Modality::Image { self.expect(packet, pristine.as_deref(), row)? } else { None };

        let container = container.intact()?;
        let start = Instant::now();
        let decoded = self.decoder.decode(&container)?;
        row.decode_ms = Some(ms(start));
        match (&decoded, pristine.as_ref().map(|p| &p.sample)) {
            (Sample::Image(decoded), Some(Sample::Image(pristine))) => {
                row.set_image_quality(&metrics::image::compare(pristine.view(), decoded.view())?);
            }
            (Sample::Audio(decoded), Some(Sample::Audio(pristine))) => {
                row.set_audio_quality(&metrics::audio::compare(pristine.view(), decoded.view())?);
            }
            _ => {}
        }

        let (Some(model), Sample::Image(image)) = (&mut self.model, &decoded) else { return Ok(()) };
        let task = &Arc::clone(&model.info).task;
        let start = Instant::now();
        let prediction = model.predict(image)?;
        row.infer_ms = Some(ms(start));
        row.set_prediction(&prediction, task.as_ref());
        if let Some(reference) = reference {
            row.set_score(ReferenceKind::Pristine, &reference, &task.score(&prediction, &reference)?);
        }
        if let Some(label) = row.label_index {
            let truth = Prediction::class(label);
            row.set_label(&truth, &task.score(&prediction, &truth)?);
        }
        Ok(())
    }

    /// The pristine sample, if the references have it. One that cannot be read
    /// is no fault of the codec: the row goes without.
    fn pristine(&self, packet: &StoredPacket, modality: Modality) -> Option<Arc<Pristine>> {
        let found = self.references.as_ref()?.pristine(&packet.sample_id, modality);
        found.unwrap_or_else(|error| {
            log::error!("the reference of `{}` cannot be read: {error}", packet.sample_id);
            None
        })
    }

    /// Notes the model and what it is to see: its own prediction on the pristine
    /// sample, and the label.
    fn expect(
        &mut self,
        packet: &StoredPacket,
        pristine: Option<&Pristine>,
        row: &mut Row,
    ) -> Result<Option<Prediction>> {
        let Some(model) = &mut self.model else { return Ok(None) };
        let info = &model.info;
        row.model = Some(info.name.clone());
        row.model_sha256 = Some(info.sha256.clone());
        row.set_task(info.task.as_ref());
        row.preprocess_digest = Some(info.preprocess.digest());
        row.provider = Some(model.network.provider().to_owned());
        row.threads = Some(info.threads);
        let Some(references) = &self.references else { return Ok(None) };
        row.label_index = references.entry(&packet.sample_id).and_then(|entry| entry.label_index);
        let Some(Sample::Image(pristine)) = pristine.map(|p| &p.sample) else { return Ok(None) };
        let reference = references.prediction(&packet.sample_id, || model.predict(pristine))?;
        if let Some(reference) = &reference {
            ReferenceKind::Pristine.as_str().clone_into(&mut row.reference_kind);
            row.reference_index = reference.top1();
        }
        Ok(reference)
    }

    fn describe_codec(&self, container: &Container<'_>, row: &mut Row) {
        let header = &container.header;
        match header.geometry {
            Geometry::Image(shape) => row.set_image_source(shape.width, shape.height),
            Geometry::Audio(shape) => row.set_audio_source(shape.rate, shape.channels, shape.frames),
        }
        row.codec.clone_from(&header.codec);
        row.preset.clone_from(&header.preset);
        row.knob = header.knob.map(f64::from);
        self.describe_library(row);
        row.codec_version = header.codec_version.into();
    }

    fn describe_library(&self, row: &mut Row) {
        if let Ok(codec) = self.registry.get(&row.codec) {
            let descriptor = codec.descriptor();
            row.codec_version = descriptor.version.into();
            row.modality = descriptor.modality.to_string();
            row.codec_implementation.clone_from(&descriptor.implementation);
            row.codec_simd = descriptor.simd.to_string();
            row.knob_name = descriptor.knob.map(|knob| knob.name.to_owned());
        }
    }
}
