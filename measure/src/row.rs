//! The row: one sample × operating point × model, and everything known of it.

use crate::column::columns;
use crate::metrics::audio::AudioQuality;
use crate::metrics::image::ImageQuality;
use crate::task::{Prediction, ReferenceKind, Score, Task};
use afferent_media::{
    AudioView, Bits, BitsPerPixel, BitsPerSample, Bytes, Code, Error, KilobitsPerSecond, Modality, Pixels, RateParts,
    Result, Samples,
};

/// Version of how rows are made. It grows when a column's meaning, a metric or
/// a rule of counting changes, so that rows of two methods are never mixed
/// unseen.
pub const METHODOLOGY_VERSION: u32 = 1;

columns! {
    /// Everything known of one sample at one operating point under one model.
    ///
    /// Rows are flat, so that any tool that reads Parquet can ask them. A column
    /// that does not apply, or that nobody measured, is `None`: never a zero
    /// that could be taken for a measurement. Set-level figures are queries over
    /// the sufficient statistics (`sse` and `values`, energies, counts of
    /// `agrees`), never means of derived figures alone.
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
        /// Delivery class: `live` or `backfill`.
        pub class: String,
        /// `image` or `audio`.
        pub modality: String,

        /// Width of the source image in pixels, before padding or resizing.
        pub source_width: Option<u32>,
        /// Height of the source image in pixels, before padding or resizing.
        pub source_height: Option<u32>,
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
        /// Preset of the codec.
        pub preset: String,
        /// Name of the codec's knob.
        pub knob_name: Option<String>,
        /// Where the knob stood, in the codec's native unit.
        pub knob: Option<f64>,
        /// What was done to the sample's size before encoding; `none` for nothing.
        pub resize: String,

        /// Name of the model in the zoo; none where no model ran.
        pub model: Option<String>,
        /// SHA-256 of the model's weights, in hexadecimal.
        pub model_sha256: Option<String>,
        /// Digest of the preprocessing description.
        pub preprocess_digest: Option<String>,
        /// What really ran the model, for example `tract/cpu`.
        pub provider: Option<String>,
        /// Threads that the backend was given.
        pub threads: Option<u32>,

        /// SHA-256 of the pristine sample's values (packed pixels, or planes of
        /// little-endian floats), in hexadecimal, where the pristine is known.
        pub source_sha256: Option<String>,
        /// SHA-256 of the container as it arrived, in hexadecimal.
        pub bitstream_sha256: Option<String>,
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
        /// Time to encode, in milliseconds, on the device.
        pub encode_ms: Option<f64>,
        /// Time to decode, in milliseconds, on the server.
        pub decode_ms: Option<f64>,
        /// Time of preprocessing and inference, in milliseconds, warm-up excluded.
        pub infer_ms: Option<f64>,
        /// Time from handing the packet to the link until its arrival, in
        /// milliseconds, corrected by the clock offset.
        pub link_ms: Option<f64>,
        /// Estimated server clock minus device clock, in milliseconds.
        pub clock_offset_ms: Option<f64>,
        /// Half width of what that estimate may be wrong by, in milliseconds.
        pub clock_error_ms: Option<f64>,
        /// Energy that the device spent on the sample, in joules.
        pub energy_j: Option<f64>,
        /// The meter that measured the energy, or why there is no figure.
        pub energy_reason: Option<String>,
        /// The device's throttling flags, as its firmware reports them; 0 for none.
        pub throttle_flags: Option<u32>,

        /// Number of the class that the model ranked first on the decoded sample.
        pub prediction_index: Option<u32>,
        /// Name of that class.
        pub prediction_label: Option<String>,
        /// Probability of that class, 0 to 1.
        pub prediction_score: Option<f64>,
        /// The five best classes as `index:probability`, best first, separated by spaces.
        pub top5: Option<String>,
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

        /// Sum of squared errors over 8-bit RGB values. Exact.
        pub sse: Option<u64>,
        /// How many values `sse` is over: pixels times three.
        pub values: Option<u64>,
        /// Peak signal-to-noise ratio over RGB, in dB. None where `sse` is 0 (it
        /// would be infinite), so that a plain average is the mean over finite ones.
        pub psnr_db: Option<f64>,
        /// Structural similarity, mean over R, G and B.
        pub ssim: Option<f64>,
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
    }
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
        self.ssim = quality.ssim;
    }

    /// Sets how the decoded sound compares with the pristine one.
    pub fn set_audio_quality(&mut self, quality: &AudioQuality) {
        self.signal_energy = Some(quality.signal_energy);
        self.error_energy = Some(quality.error_energy);
        self.si_sdr_db = finite(quality.si_sdr_db);
    }

    /// Sets what the model saw in the decoded sample; `task` names the class.
    pub fn set_prediction(&mut self, prediction: &Prediction, task: &dyn Task) {
        let Prediction::Classes(classes) = prediction;
        let best = classes.first();
        self.prediction_index = best.map(|class| class.index);
        self.prediction_label = best.and_then(|class| task.label(class.index)).map(str::to_owned);
        self.prediction_score = best.map(|class| class.probability);
        let five = classes.iter().map(|class| format!("{}:{:.6}", class.index, class.probability));
        self.top5 = Some(five.collect::<Vec<_>>().join(" "));
    }

    /// Sets what the prediction was compared with, and how it did. A `label`
    /// reference fills `label_index` and `correct` too.
    pub fn set_score(&mut self, kind: ReferenceKind, reference: &Prediction, score: Score) {
        let Score::Classes { top1, .. } = score;
        let index = reference.top1();
        self.reference_kind = kind.as_str().to_owned();
        self.reference_index = index;
        self.agrees = Some(top1);
        if kind == ReferenceKind::Label {
            self.set_label(index, top1);
        }
    }

    /// Sets the ground truth and whether the prediction met it, beside whatever
    /// reference `agrees` compares with.
    pub fn set_label(&mut self, index: Option<u32>, correct: bool) {
        self.label_index = index;
        self.correct = Some(correct);
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

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Classification;
    use afferent_media::Tensor;

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
        row.set_image_quality(&ImageQuality { values: 12, ssim: Some(1.0), ..ImageQuality::default() });
        row.set_audio_quality(&AudioQuality { signal_energy: 1.0, error_energy: 0.0, si_sdr_db: f64::INFINITY });
        assert_eq!((row.sse, row.psnr_db, row.error_energy, row.si_sdr_db), (Some(0), None, Some(0.0), None));
    }

    #[test]
    fn a_prediction_and_its_scores_fill_their_columns() {
        let task = Classification::new(vec!["cat".to_owned(), "dog".to_owned()]);
        let logits = Tensor::new([1, 2], vec![0.0, 3f32.ln()]).unwrap();
        let prediction = task.predict(&[("out".to_owned(), logits)]).unwrap();
        let pristine = Prediction::class(1);
        let mut row = Row::new();
        assert_eq!(row.reference_kind, "none");
        row.set_prediction(&prediction, &task);
        row.set_score(ReferenceKind::Pristine, &pristine, task.score(&prediction, &pristine).unwrap());
        row.set_label(Some(0), false);
        assert_eq!((row.prediction_index, row.prediction_label.as_deref()), (Some(1), Some("dog")));
        assert_eq!(row.top5.as_deref(), Some("1:0.750000 0:0.250000"));
        assert_eq!((row.reference_kind.as_str(), row.reference_index, row.agrees), ("pristine", Some(1), Some(true)));
        assert_eq!((row.label_index, row.correct), (Some(0), Some(false)));
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

        row.methodology_version += 1;
        assert_eq!(Row::from_bytes(&row.to_bytes().unwrap()).unwrap_err().code(), Code::Unsupported);
        assert_eq!(Row::from_bytes(&[]).unwrap_err().code(), Code::Corrupt);
        assert_eq!(Row::from_bytes(&[1, 200]).unwrap_err().code(), Code::Corrupt);
    }
}
