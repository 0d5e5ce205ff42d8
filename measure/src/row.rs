//! The row: one sample × operating point × model, and everything known of it.

use crate::column::columns;
use crate::metrics::audio::AudioQuality;
use crate::metrics::image::ImageQuality;
use crate::task::{Prediction, ReferenceKind, Score, Task};
use afferent_media::{
    AudioView, Bits, BitsPerPixel, BitsPerSample, Bytes, Code, Error, KilobitsPerSecond, Modality, Pixels, RateParts,
    Result, Samples,
};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Version of how rows are made. It grows when a column's meaning, a metric or
/// a rule of counting changes, so that rows of two methods are never mixed
/// unseen.
///
/// 1: the rates, PSNR, SSIM, top-1 and top-5. 2: the data set and its groups,
/// masks and boxes, luma and perceptual figures; resizing has its times and the
/// rate stays per pixel of the source before it.
pub const METHODOLOGY_VERSION: u32 = 2;

columns! {
    /// Everything known of one sample at one operating point under one model.
    ///
    /// Rows are flat, so that any tool that reads Parquet can ask them. A column
    /// that does not apply, or that nobody measured, is `None`: never a zero
    /// that could be taken for a measurement. Set-level figures are queries over
    /// the sufficient statistics (`sse` and `values`, energies, counts of `agrees`,
    /// `agreement_stats`), never means of derived figures alone.
    pub struct Row {
        /// Version of how this row was made: [`METHODOLOGY_VERSION`].
        pub methodology_version: u32,

        /// Name of the device that captured the sample.
        pub device: String,
        /// Spool epoch, in hexadecimal: drawn at random when a spool is created.
        pub epoch: String,
        /// Number of the stream on its device.
        pub stream: u32,
        /// Name of the stream.
        pub stream_name: String,
        /// Number of the sample in its stream, counted from 0.
        pub sequence: u64,
        /// How often this sample had been measured before, for repeated runs.
        pub pass: u32,
        /// Opaque sample id of the manifest, where the sample came from one.
        pub sample_id: Option<String>,
        /// Name of the data set that the sample is of.
        pub data_set: Option<String>,
        /// SHA-256 of the data set's manifest, in hexadecimal.
        pub data_sha256: Option<String>,
        /// Part of the data set: `test`, `validation` or what the manifest calls it.
        pub split: Option<String>,
        /// What samples depend on each other by: speaker, patient or film. Intervals
        /// over dependent samples draw whole groups.
        pub group: Option<String>,
        /// Delivery class: `live` or `backfill`.
        pub class: String,
        /// `image` or `audio`.
        pub modality: String,

        /// Width of the source image in pixels, before padding or resizing.
        pub source_width: Option<u32>,
        /// Height of the source image in pixels, before padding or resizing.
        pub source_height: Option<u32>,
        /// Format of the source's file: `jpeg`, `png`, `webp`, `wav`.
        pub source_format: Option<String>,
        /// Quality on the scale of the Independent JPEG Group, 1 to 100, that the
        /// source's own quantisation tables state, where it is a JPEG: what was
        /// lost before anything was measured.
        pub source_quality: Option<f64>,
        /// Size of the source's file, in bytes.
        pub source_bytes: Option<u64>,
        /// Sampling rate of the source sound in Hz.
        pub source_rate_hz: Option<u32>,
        /// Channels of the source sound.
        pub source_channels: Option<u32>,
        /// Samples per channel of the source sound.
        pub source_frames: Option<u64>,
        /// Pixels, or samples of all channels together: what rates are per.
        pub source_units: u64,

        /// Codec id.
        pub codec: String,
        /// Version of the codec's bitstream.
        pub codec_version: u32,
        /// Library and its version.
        pub codec_implementation: String,
        /// Whether that library ran its vector code: `yes`, `no` or `not-applicable`.
        pub codec_simd: String,
        /// What decoded, of a codec that leaves a choice: `linear`, its own inverse
        /// transform, or the flavour of a network, for example `faithful`.
        pub synthesis: Option<String>,
        /// First 16 hexadecimal digits of the SHA-256 of that network's weights.
        pub synthesis_sha256: Option<String>,
        /// What really ran that network, for example `tract/cpu`.
        pub synthesis_provider: Option<String>,
        /// Preset of the codec.
        pub preset: String,
        /// Name of the codec's knob.
        pub knob_name: Option<String>,
        /// Where the knob stood, in the codec's native unit.
        pub knob: Option<f64>,
        /// What was done to the sample's size before encoding; `none` for nothing.
        pub resize: String,
        /// Width in pixels that the codec saw, after resizing.
        pub coded_width: Option<u32>,
        /// Height in pixels that the codec saw, after resizing.
        pub coded_height: Option<u32>,
        /// What the codec's library was told besides the knob: effort, chroma,
        /// matrix, range, as `key=value` separated by spaces.
        pub codec_settings: Option<String>,

        /// Name of the model in the zoo; none where no model ran.
        pub model: Option<String>,
        /// SHA-256 of the model's weights, in hexadecimal.
        pub model_sha256: Option<String>,
        /// Id of the model's task, for example `classification`.
        pub task: Option<String>,
        /// Digest of the preprocessing description.
        pub preprocess_digest: Option<String>,
        /// Digest of how the model's output becomes a prediction and a score.
        pub postprocess_digest: Option<String>,
        /// What really ran the model, for example `tract/cpu`.
        pub provider: Option<String>,
        /// Threads that the backend was given.
        pub threads: Option<u32>,
        /// Samples that were being processed at once while times were taken.
        pub workers: Option<u32>,

        /// SHA-256 of the pristine sample's values (packed pixels, or planes of
        /// little-endian floats), in hexadecimal, where the pristine is known.
        pub source_sha256: Option<String>,
        /// SHA-256 of the container as it arrived, in hexadecimal.
        pub bitstream_sha256: Option<String>,
        /// Chunks of the container that arrived damaged or not at all. Only a
        /// progressive codec decodes without them, from those that did.
        pub damaged_chunks: Option<u32>,
        /// Version and revision of the build that made this row.
        pub build: String,

        /// Entropy-coded content, in bytes. Exact.
        pub payload_bytes: u64,
        /// Side information, in bytes. Exact.
        pub side_bytes: u64,
        /// The codec's own headers and tables, in bytes. Exact.
        pub header_bytes: u64,
        /// Afferent's container, in bytes. Exact.
        pub container_bytes: u64,
        /// The link's framing, in bytes. Exact.
        pub framing_bytes: u64,
        /// This row's share of what the transport added on its connection, in
        /// bytes: measured as a whole, apportioned by a stated rule. One row's
        /// share may be negative; sums over a connection are exact.
        pub transport_bytes: f64,
        /// The connection that carried the packet.
        pub connection: Option<String>,

        /// When the sample was captured, in microseconds since 1970, by the device's clock.
        pub captured_unix_us: Option<i64>,
        /// When the packet was accepted by the server, in microseconds since 1970, by the server's clock.
        pub received_unix_us: Option<i64>,
        /// Time to scale the sample down before encoding, in milliseconds, on the device.
        pub resize_ms: Option<f64>,
        /// Time to encode, in milliseconds, on the device.
        pub encode_ms: Option<f64>,
        /// Time to decode, in milliseconds, on the server; by a network, with its run
        /// and without its warm-up.
        pub decode_ms: Option<f64>,
        /// Time to scale the decoded sample up again, in milliseconds, on the server.
        pub restore_ms: Option<f64>,
        /// Time of preprocessing and inference, in milliseconds, warm-up excluded.
        pub infer_ms: Option<f64>,
        /// Time from handing the packet to the link until its arrival, in
        /// milliseconds, corrected by the clock offset.
        pub link_ms: Option<f64>,
        /// Estimated server clock minus device clock, in milliseconds.
        pub clock_offset_ms: Option<f64>,
        /// Half width of what that estimate may be wrong by, in milliseconds.
        pub clock_error_ms: Option<f64>,
        /// Energy that the device spent on encoding the sample, in joules: its
        /// board's power while encoders worked, idle share included, times the
        /// sample's encoding time.
        pub energy_j: Option<f64>,
        /// The meter that measured the energy and the rule, or why there is no figure.
        pub energy_reason: Option<String>,
        /// The device's throttling flags, all that it reported on the row's
        /// connection joined; 0 for none. Bits 0 to 3 and 16 to 19 are those of a
        /// Raspberry Pi's firmware, bits 4 and 20 are over-current.
        pub throttle_flags: Option<u32>,

        /// Number of the class that the model ranked first on the decoded sample.
        pub prediction_index: Option<u32>,
        /// Name of that class.
        pub prediction_label: Option<String>,
        /// Probability of that class, 0 to 1.
        pub prediction_score: Option<f64>,
        /// The five best classes as `index:probability`, best first, separated by spaces.
        pub top5: Option<String>,
        /// Probability of class 1 where a task has two classes, 0 to 1, at full precision.
        pub positive_score: Option<f64>,
        /// What `agrees` compares with: `pristine` (the same model's prediction
        /// on the sample before coding), `label` (ground truth) or `none`.
        pub reference_kind: String,
        /// Class number of that reference.
        pub reference_index: Option<u32>,
        /// Whether the prediction's first class is the reference's.
        pub agrees: Option<bool>,
        /// Class number of the ground truth, where the manifest has one.
        pub label_index: Option<u32>,
        /// Whether the prediction's first class is the ground truth.
        pub correct: Option<bool>,
        /// Masks and boxes: the sufficient statistics of the prediction against the
        /// pristine one. Masks: `reference:prediction:pixels` separated by spaces;
        /// boxes: `class:references:score/hits,…` with hits in hexadecimal, bit `i`
        /// for a threshold of `0.5 + 0.05 i`.
        pub agreement_stats: Option<String>,
        /// The same against the ground truth.
        pub label_stats: Option<String>,
        /// How well this one sample did, 0 to 1: top-1 hit, share of pixels, or F1 of
        /// its boxes at an overlap of 0.5; against the ground truth where there is
        /// one, else against the pristine prediction. For finding the worst samples:
        /// its mean is no figure of the set.
        pub sample_score: Option<f64>,

        /// Sum of squared errors over 8-bit RGB values. Exact.
        pub sse: Option<u64>,
        /// How many values `sse` is over: pixels times three.
        pub values: Option<u64>,
        /// Peak signal-to-noise ratio over RGB, in dB. None where `sse` is 0 (it
        /// would be infinite), so that a plain average is the mean over finite ones.
        pub psnr_db: Option<f64>,
        /// Structural similarity, mean over R, G and B.
        pub ssim: Option<f64>,
        /// Sum of squared errors over luma, on the scale 0 to 255, one value per pixel.
        pub sse_y: Option<f64>,
        /// Peak signal-to-noise ratio of luma, in dB. None where `sse_y` is 0.
        pub psnr_y_db: Option<f64>,
        /// Multi-scale structural similarity.
        pub ms_ssim: Option<f64>,
        /// Shift-tolerant learned perceptual distance, ST-LPIPS; 0 for equal images.
        pub st_lpips: Option<f64>,
        /// Learned perceptual distance, LPIPS; 0 for equal images.
        pub lpips: Option<f64>,
        /// What measured similarity: versioned ids, and digests of the networks,
        /// separated by spaces.
        pub similarity_ids: Option<String>,
        /// Sum of squares of the pristine sound, all channels.
        pub signal_energy: Option<f64>,
        /// Sum of squares of the decoded minus the pristine sound, all channels.
        pub error_energy: Option<f64>,
        /// Scale-invariant signal-to-distortion ratio, in dB, mean over channels.
        /// None where it is not finite: sound decoded exactly (`error_energy` is
        /// 0) or silence.
        pub si_sdr_db: Option<f64>,

        /// What failed, as `AFF-CODE: what`; none where nothing did. A sample
        /// that could not be decoded is still a row.
        pub error: Option<String>,
        /// Samples that this row stands for because they never were: a gap's count of
        /// images, or of samples of sound per channel. None where there is a sample.
        pub missing: Option<u64>,
    }
}

/// A knob's value, in the total order of floats.
#[derive(Debug, Clone, Copy)]
pub struct Knob(pub f64);

impl PartialEq for Knob {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Knob {}
impl PartialOrd for Knob {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Knob {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl Hash for Knob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// How a sample was coded: rows of one operating point may be pooled, in order
/// of modality (images first), codec, synthesis, preset, knob and resizing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperatingPoint {
    /// What kind of signal.
    pub modality: Modality,
    /// Codec id.
    pub codec: String,
    /// What decoded, of a codec that leaves a choice.
    pub synthesis: Option<String>,
    /// Preset of the codec.
    pub preset: String,
    /// Where the knob stood; none for a codec without one.
    pub knob: Option<Knob>,
    /// What was done to the sample's size before encoding.
    pub resize: String,
    /// Version of the codec's bitstream.
    pub codec_version: u32,
    /// Library and its version.
    pub codec_implementation: String,
    /// Whether that library ran its vector code.
    pub codec_simd: String,
    /// Name of the knob.
    pub knob_name: Option<String>,
    /// First 16 hexadecimal digits of the SHA-256 of the network that decoded.
    pub synthesis_sha256: Option<String>,
    /// What really ran that network.
    pub synthesis_provider: Option<String>,
}

impl OperatingPoint {
    /// What competes as one codec: its id and, where there is one, the synthesis, as
    /// in `optic/faithful`.
    #[must_use]
    pub fn coder(&self) -> String {
        coder(&self.codec, self.synthesis.as_deref())
    }
}

/// A codec and what decoded, as one name.
#[must_use]
pub fn coder(codec: &str, synthesis: Option<&str>) -> String {
    synthesis.map_or_else(|| codec.to_owned(), |synthesis| format!("{codec}/{synthesis}"))
}

/// What identifies a row: the packet, how it was coded, and the model that saw it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Name of the device.
    pub device: String,
    /// Spool epoch, in hexadecimal.
    pub epoch: String,
    /// Number of the stream.
    pub stream: u32,
    /// Number of the sample in its stream.
    pub sequence: u64,
    /// How often this sample had been measured before.
    pub pass: u32,
    /// Name of the model, where one ran.
    pub model: Option<String>,
}

impl Row {
    /// An empty row of this methodology.
    #[must_use]
    pub fn new() -> Self {
        Self {
            methodology_version: METHODOLOGY_VERSION,
            resize: "none".to_owned(),
            reference_kind: ReferenceKind::None.as_str().to_owned(),
            ..Self::default()
        }
    }

    /// What identifies this row. A sample is coded at one operating point per
    /// sequence number, so the packet's identity and the model suffice.
    #[must_use]
    pub fn key(&self) -> RowKey {
        RowKey {
            device: self.device.clone(),
            epoch: self.epoch.clone(),
            stream: self.stream,
            sequence: self.sequence,
            pass: self.pass,
            model: self.model.clone(),
        }
    }

    /// How the sample was coded; `None` if the modality is no known one, as of a
    /// packet whose stream was never named.
    #[must_use]
    pub fn operating_point(&self) -> Option<OperatingPoint> {
        Some(OperatingPoint {
            modality: self.kind()?,
            codec: self.codec.clone(),
            synthesis: self.synthesis.clone(),
            preset: self.preset.clone(),
            knob: self.knob.map(Knob),
            resize: self.resize.clone(),
            codec_version: self.codec_version,
            codec_implementation: self.codec_implementation.clone(),
            codec_simd: self.codec_simd.clone(),
            knob_name: self.knob_name.clone(),
            synthesis_sha256: self.synthesis_sha256.clone(),
            synthesis_provider: self.synthesis_provider.clone(),
        })
    }

    /// The exact parts of the rate.
    #[must_use]
    pub fn parts(&self) -> RateParts {
        RateParts {
            payload: Bytes(self.payload_bytes),
            side: Bytes(self.side_bytes),
            header: Bytes(self.header_bytes),
            container: Bytes(self.container_bytes),
            framing: Bytes(self.framing_bytes),
        }
    }

    /// Sets the exact parts of the rate.
    pub fn set_parts(&mut self, parts: &RateParts) {
        self.payload_bytes = parts.payload.0;
        self.side_bytes = parts.side.0;
        self.header_bytes = parts.header.0;
        self.container_bytes = parts.container.0;
        self.framing_bytes = parts.framing.0;
    }

    /// Makes this a row of an image of `width` × `height` source pixels.
    pub fn set_image_source(&mut self, width: u32, height: u32) {
        self.modality = Modality::Image.to_string();
        self.source_width = Some(width);
        self.source_height = Some(height);
        self.source_units = u64::from(width) * u64::from(height);
    }

    /// Makes this a row of sound: `frames` source samples in each of `channels` at `rate` Hz.
    pub fn set_audio_source(&mut self, rate: u32, channels: u16, frames: u64) {
        self.modality = Modality::Audio.to_string();
        self.source_rate_hz = Some(rate);
        self.source_channels = Some(u32::from(channels));
        self.source_frames = Some(frames);
        self.source_units = frames.saturating_mul(u64::from(channels));
    }

    /// Makes this a row of the sound in `audio`, as [`set_audio_source`](Self::set_audio_source).
    pub fn set_audio_source_view(&mut self, audio: AudioView<'_>) {
        self.set_audio_source(audio.rate(), audio.channels(), audio.frames() as u64);
    }

    /// Sets how the decoded image compares with the pristine one.
    pub fn set_image_quality(&mut self, quality: &ImageQuality) {
        self.sse = Some(quality.sse);
        self.values = Some(quality.values);
        self.psnr_db = finite(quality.psnr_db());
        self.sse_y = Some(quality.sse_y);
        self.psnr_y_db = finite(quality.psnr_y_db());
        self.ssim = quality.ssim;
        self.ms_ssim = quality.ms_ssim;
    }

    /// Sets how the decoded sound compares with the pristine one.
    pub fn set_audio_quality(&mut self, quality: &AudioQuality) {
        self.signal_energy = Some(quality.signal_energy);
        self.error_energy = Some(quality.error_energy);
        self.si_sdr_db = finite(quality.si_sdr_db);
    }

    /// Names the task and how it reads the model's output.
    pub fn set_task(&mut self, task: &dyn Task) {
        self.task = Some(task.id().to_owned());
        self.postprocess_digest = Some(task.digest());
    }

    /// Sets what the model saw in the decoded sample, where that is classes;
    /// `task` names them. Masks and boxes are kept as what they score.
    pub fn set_prediction(&mut self, prediction: &Prediction, task: &dyn Task) {
        let Prediction::Classes(classes) = prediction else { return };
        let best = classes.first();
        self.prediction_index = best.map(|class| class.index);
        self.prediction_label = best.and_then(|class| task.label(class.index)).map(str::to_owned);
        self.prediction_score = best.map(|class| class.probability);
        let five = classes.iter().map(|class| format!("{}:{:.6}", class.index, class.probability));
        self.top5 = Some(five.collect::<Vec<_>>().join(" "));
        // Five are kept of many, so two there are only where a task has two.
        let positive = classes.iter().find(|class| class.index == 1).filter(|_| classes.len() == 2);
        self.positive_score = positive.map(|class| class.probability);
    }

    /// Sets what the prediction was compared with, and how it did. A `label`
    /// reference sets what [`set_label`](Self::set_label) does too.
    pub fn set_score(&mut self, kind: ReferenceKind, reference: &Prediction, score: &Score) {
        kind.as_str().clone_into(&mut self.reference_kind);
        self.reference_index = reference.top1();
        self.agrees = hit(score);
        match kind {
            ReferenceKind::Label => self.set_label(reference, score),
            ReferenceKind::Pristine => {
                self.agreement_stats = score.statistics();
                if self.correct.is_none() && self.label_stats.is_none() {
                    self.sample_score = score.sample();
                }
            }
            ReferenceKind::None => {}
        }
    }

    /// Sets the ground truth and how the prediction met it, beside whatever
    /// reference `agrees` compares with.
    pub fn set_label(&mut self, truth: &Prediction, score: &Score) {
        self.label_index = truth.top1();
        self.correct = hit(score);
        self.label_stats = score.statistics();
        self.sample_score = score.sample();
    }

    /// Marks the row failed by `error`.
    pub fn set_error(&mut self, error: &Error) {
        self.error = Some(format!("{}: {}", error.code(), error.what()));
    }

    /// What kind of signal the sample carries, if the column holds a known one.
    #[must_use]
    pub fn kind(&self) -> Option<Modality> {
        [Modality::Image, Modality::Audio].into_iter().find(|kind| kind.to_string() == self.modality)
    }

    /// Pixels of the source image; `None` for sound or an unknown size.
    #[must_use]
    pub fn pixels(&self) -> Option<Pixels> {
        (self.kind() == Some(Modality::Image) && self.source_units > 0).then_some(Pixels(self.source_units))
    }

    /// Samples of the source sound; `None` for images or an unknown length.
    #[must_use]
    pub fn samples(&self) -> Option<Samples> {
        (self.kind() == Some(Modality::Audio) && self.source_units > 0).then_some(Samples(self.source_units))
    }

    /// Length of the source sound in seconds; `None` for images or an unknown length.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn seconds(&self) -> Option<f64> {
        let rate = self.source_rate_hz.filter(|&rate| rate > 0)?;
        self.source_frames.filter(|&frames| frames > 0).map(|frames| frames as f64 / f64::from(rate))
    }

    /// The `codec` view of the rate: payload + side information + codec header.
    #[must_use]
    pub fn codec_bits(&self) -> Bits {
        self.parts().codec().bits()
    }

    /// The `storage` view of the rate: `codec` + container.
    #[must_use]
    pub fn storage_bits(&self) -> Bits {
        self.parts().storage().bits()
    }

    /// Codec rate of an image, per source pixel.
    #[must_use]
    pub fn codec_bpp(&self) -> Option<BitsPerPixel> {
        self.pixels().map(|pixels| self.codec_bits() / pixels)
    }

    /// Storage rate of an image, per source pixel.
    #[must_use]
    pub fn storage_bpp(&self) -> Option<BitsPerPixel> {
        self.pixels().map(|pixels| self.storage_bits() / pixels)
    }

    /// Codec rate of sound.
    #[must_use]
    pub fn codec_kbps(&self) -> Option<KilobitsPerSecond> {
        self.seconds().map(|seconds| self.codec_bits().per_second(seconds))
    }

    /// Storage rate of sound.
    #[must_use]
    pub fn storage_kbps(&self) -> Option<KilobitsPerSecond> {
        self.seconds().map(|seconds| self.storage_bits().per_second(seconds))
    }

    /// Codec rate of sound, per source sample.
    #[must_use]
    pub fn codec_bits_per_sample(&self) -> Option<BitsPerSample> {
        self.samples().map(|samples| self.codec_bits() / samples)
    }

    /// What crossed the link for this row, in bytes: framed bytes and the
    /// apportioned share of the transport.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn transmit_bytes(&self) -> f64 {
        self.parts().framed().0 as f64 + self.transport_bytes
    }

    /// The row as the journal keeps it, until it is sealed into Parquet.
    ///
    /// # Errors
    /// [`Code::Internal`] if it cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self)
            .map_err(|e| Error::new(Code::Internal, "a row cannot be serialised", "report this").caused_by(e))
    }

    /// The row that [`to_bytes`](Self::to_bytes) made.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a row of another methodology, whose columns may
    /// differ; [`Code::Corrupt`] if the bytes are no row.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let corrupt = |e: postcard::Error| {
            Error::new(Code::Corrupt, format!("{} bytes are no row", bytes.len()), "measure the sample again")
                .caused_by(e)
        };
        // The version is the first column, so it can be read whatever follows.
        let (version, _) = postcard::take_from_bytes::<u32>(bytes).map_err(corrupt)?;
        if version != METHODOLOGY_VERSION {
            return Err(Error::new(
                Code::Unsupported,
                format!("a row of methodology {version}; this build writes {METHODOLOGY_VERSION}"),
                "seal the journal into Parquet with the build that wrote it",
            ));
        }
        postcard::from_bytes(bytes).map_err(corrupt)
    }
}

/// Whether the first class is right, where classes were compared.
fn hit(score: &Score) -> Option<bool> {
    match score {
        Score::Classes { top1, .. } => Some(*top1),
        _ => None,
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::image;
    use crate::task::{Classification, Confusion, DetectedBox, LabelMap, Matches};
    use afferent_media::{ImageView, PixelFormat, Tensor};

    #[test]
    fn a_row_gives_its_rates_per_source_unit() {
        let mut row = Row::new();
        let parts = RateParts {
            payload: Bytes(700),
            side: Bytes(100),
            header: Bytes(200),
            container: Bytes(24),
            framing: Bytes(40),
        };
        row.set_parts(&parts);
        row.set_image_source(100, 80);
        row.transport_bytes = -4.5;
        assert_eq!(row.parts(), parts);
        assert_eq!((row.codec_bpp(), row.storage_bpp()), (Some(BitsPerPixel(1.0)), Some(BitsPerPixel(1.024))));
        assert_eq!((row.codec_kbps(), row.codec_bits_per_sample()), (None, None));
        assert_eq!(row.transmit_bytes(), 1059.5);

        let mut row = Row::new();
        row.set_parts(&parts);
        row.set_audio_source(8000, 2, 16_000);
        assert_eq!(
            (row.codec_kbps(), row.storage_kbps()),
            (Some(KilobitsPerSecond(4.0)), Some(KilobitsPerSecond(4.096)))
        );
        assert_eq!((row.codec_bits_per_sample(), row.codec_bpp()), (Some(BitsPerSample(0.25)), None));
        assert_eq!(Row::new().codec_bpp(), None);
    }

    #[test]
    fn infinite_figures_are_kept_as_their_statistics() {
        let mut row = Row::new();
        let grey = ImageView::new(2, 2, 2, PixelFormat::Gray8, &[7; 4]).unwrap();
        row.set_image_quality(&image::compare(grey, grey).unwrap());
        row.set_image_quality(&ImageQuality { values: 12, ms_ssim: Some(1.0), ..ImageQuality::default() });
        row.set_audio_quality(&AudioQuality { signal_energy: 1.0, error_energy: 0.0, si_sdr_db: f64::INFINITY });
        assert_eq!((row.sse, row.psnr_db, row.error_energy, row.si_sdr_db), (Some(0), None, Some(0.0), None));
        assert_eq!((row.sse_y, row.psnr_y_db, row.ms_ssim), (Some(0.0), None, Some(1.0)));
        row.set_image_quality(&ImageQuality { values: 1200, sse_y: 4.0 * 65025.0, ..ImageQuality::default() });
        assert_eq!((row.sse_y, row.psnr_y_db), (Some(260_100.0), Some(20.0)));
    }

    #[test]
    fn a_prediction_and_its_scores_fill_their_columns() {
        let task = Classification::new(vec!["cat".to_owned(), "dog".to_owned()]);
        let logits = Tensor::new([1, 2], vec![0.0, 3f32.ln()]).unwrap();
        let prediction = task.predict(&[("out".to_owned(), logits)], (640, 480)).unwrap();
        let pristine = Prediction::class(1);
        let mut row = Row::new();
        assert_eq!(row.reference_kind, "none");
        row.set_prediction(&prediction, &task);
        row.set_task(&task);
        row.set_score(ReferenceKind::Pristine, &pristine, &task.score(&prediction, &pristine).unwrap());
        assert_eq!(row.sample_score, Some(1.0));
        let truth = Prediction::class(0);
        row.set_label(&truth, &task.score(&prediction, &truth).unwrap());
        assert_eq!((row.prediction_index, row.prediction_label.as_deref()), (Some(1), Some("dog")));
        assert_eq!(row.top5.as_deref(), Some("1:0.750000 0:0.250000"));
        assert_eq!((row.reference_kind.as_str(), row.reference_index, row.agrees), ("pristine", Some(1), Some(true)));
        assert_eq!((row.label_index, row.correct, row.sample_score), (Some(0), Some(false), Some(0.0)));
        assert_eq!(
            (row.task.as_deref(), row.postprocess_digest.clone()),
            (Some("classification"), Some(task.digest()))
        );
        assert!(row.positive_score.is_some_and(|p| (p - 0.75).abs() < 1e-7 && p.to_string().len() > 8));
        assert_eq!((row.agreement_stats.as_ref(), row.label_stats.as_ref()), (None, None));
        row.set_prediction(&pristine, &task);
        assert_eq!(row.positive_score, None, "one class alone is ground truth, not a model's two");
    }

    #[test]
    fn masks_and_boxes_keep_their_statistics() {
        let mask = |classes: [u8; 4]| LabelMap::new(2, 2, classes.to_vec()).unwrap();
        let (seen, pristine, truth) = (mask([0, 0, 1, 1]), mask([0, 0, 0, 1]), mask([0, 1, 1, 255]));
        let against = |reference: &LabelMap| Score::Mask(Confusion::compare(&seen, reference).unwrap());
        let mut row = Row::new();
        row.set_label(&Prediction::Mask(truth.clone()), &against(&truth));
        row.set_score(ReferenceKind::Pristine, &Prediction::Mask(pristine.clone()), &against(&pristine));
        assert_eq!(row.agreement_stats.as_deref(), Some("0:0:2 0:1:1 1:1:1"));
        assert_eq!(row.label_stats.as_deref(), Some("0:0:1 1:0:1 1:1:1"));
        assert_eq!((row.sample_score, row.agrees, row.correct), (Some(2.0 / 3.0), None, None));
        assert_eq!((row.reference_kind.as_str(), row.reference_index), ("pristine", None));

        let found = DetectedBox { class: 2, score: 0.5, x0: 0.0, y0: 0.0, x1: 4.0, y1: 4.0 };
        let score = Score::Boxes(Matches::find(&[found], &[found]).unwrap());
        row.set_label(&Prediction::Boxes(vec![found]), &score);
        assert_eq!((row.label_stats.as_deref(), row.sample_score), (Some("2:1:0.5/3ff"), Some(1.0)));
    }

    #[test]
    fn an_operating_point_is_how_a_sample_was_coded() {
        let mut row = Row { codec: "jpeg".into(), knob: Some(f64::NAN), sequence: 1, ..Row::new() };
        assert_eq!(row.operating_point(), None);
        row.set_image_source(4, 4);
        let point = row.operating_point().unwrap();
        row.sequence = 2;
        assert_eq!(row.operating_point(), Some(point.clone()));
        row.knob = Some(5.0);
        assert!(row.operating_point() < Some(point));
        let points = std::collections::HashSet::from([row.operating_point(), row.operating_point()]);
        assert_eq!(points.len(), 1);
        let plain = row.operating_point().unwrap();
        row.synthesis = Some("faithful".to_owned());
        let decoded = row.operating_point().unwrap();
        assert_eq!((plain.coder(), decoded.coder()), ("jpeg".to_owned(), "jpeg/faithful".to_owned()));
        row.synthesis_sha256 = Some("0123456789abcdef".to_owned());
        assert!(row.operating_point() != Some(plain) && row.operating_point() != Some(decoded));
    }

    #[test]
    fn the_journal_and_json_keep_a_row() {
        let mut row = Row { device: "porch".to_owned(), sequence: 7, knob: Some(5.0), ..Row::new() };
        row.set_error(&Error::new(Code::Corrupt, "chunk 0: checksum differs", "send it again"));
        assert_eq!(row.error.as_deref(), Some("AFF-CORRUPT: chunk 0: checksum differs"));
        assert_eq!(Row::from_bytes(&row.to_bytes().unwrap()).unwrap(), row);
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
        assert_eq!(row.key().sequence, 7);

        for other in [METHODOLOGY_VERSION - 1, METHODOLOGY_VERSION + 1] {
            row.methodology_version = other;
            assert_eq!(Row::from_bytes(&row.to_bytes().unwrap()).unwrap_err().code(), Code::Unsupported);
        }
        assert_eq!(Row::from_bytes(&[]).unwrap_err().code(), Code::Corrupt);
        assert_eq!(Row::from_bytes(&[2, 200]).unwrap_err().code(), Code::Corrupt);
    }
}
