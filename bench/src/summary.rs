//! From rows to one object per operating point: `summary.json`.

use afferent_measure::metrics::image::psnr_db;
use afferent_measure::row::{self, Row};
use afferent_measure::stats::{Mean, Proportion, Rate, Sorted};
use afferent_media::{Bits, Bytes, Code, Error, Modality, RateParts, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The figures of one operating point under one model.
///
/// Key names carry the units. A figure that does not apply, or that no row
/// has, is `null`. What the rules are:
///
/// - *Rates* are over the samples whose bitstream arrived, decodable or not; per
///   source pixel, or per second of source sound. `…_mean_of_ratios` weighs
///   samples alike, `…_total` is total bits over total pixels or seconds.
///   `codec` is payload, side information and codec header; `header_free` is
///   payload and side information, given for every codec; `storage` adds the
///   container; `transmit` adds the link's framing and the transport's share.
/// - *PSNR* is given pooled (of the summed squared error) and as the mean over
///   samples that are not identical, which have none; `identical_n` counts those.
///   The pooled one is `null` if all are.
/// - *Agreement* is with the same model's prediction on the pristine sample;
///   *accuracy* is with labels. A sample that failed, and has a reference or
///   a label, counts as a miss. Intervals are Wilson's at 95 %, for independent
///   samples.
/// - *Times* are medians and 95th percentiles (type 7) over the samples that have them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatingPoint {
    /// Version of how the rows were made.
    pub methodology_version: u32,
    /// Name of the data set that the samples are from, where one is known.
    pub data_set: Option<String>,
    /// `image` or `audio`.
    pub modality: String,
    /// Codec id.
    pub codec: String,
    /// Version of the codec's bitstream.
    pub codec_version: u32,
    /// Library and its version.
    pub codec_implementation: String,
    /// Whether that library ran its vector code: `yes`, `no` or `not-applicable`.
    pub codec_simd: String,
    /// What decoded, of a codec that leaves a choice: `linear`, or the flavour of a network.
    pub synthesis: Option<String>,
    /// First 16 hexadecimal digits of the SHA-256 of that network's weights.
    pub synthesis_sha256: Option<String>,
    /// What really ran that network.
    pub synthesis_provider: Option<String>,
    /// Preset of the codec.
    pub preset: String,
    /// Name of the codec's knob.
    pub knob_name: Option<String>,
    /// Where the knob stood, in the codec's native unit.
    pub knob: Option<f64>,
    /// What was done to the sample's size before encoding.
    pub resize: String,
    /// Name of the model.
    pub model: Option<String>,
    /// What really ran the model.
    pub provider: Option<String>,

    /// Samples.
    pub n: u64,
    /// Samples that failed.
    pub failures: u64,
    /// What the first failure was.
    pub first_failure: Option<String>,
    /// Samples whose bitstream arrived: what rates are over.
    pub rate_n: u64,
    /// Source pixels of those.
    pub pixels: Option<u64>,
    /// Length of those in seconds.
    pub seconds: Option<f64>,
    /// Their payload, in bytes.
    pub payload_bytes: u64,
    /// Their side information, in bytes.
    pub side_bytes: u64,
    /// Their codec headers, in bytes.
    pub header_bytes: u64,
    /// Their containers, in bytes.
    pub container_bytes: u64,
    /// Their framing, in bytes.
    pub framing_bytes: u64,
    /// Their share of what the transport added, in bytes.
    pub transport_bytes: f64,

    /// Codec rate in bits per pixel, mean over images.
    pub codec_bpp_mean_of_ratios: Option<f64>,
    /// Codec rate in bits per pixel, total bits over total pixels.
    pub codec_bpp_total: Option<f64>,
    /// Rate without codec headers in bits per pixel, mean over images.
    pub header_free_bpp_mean_of_ratios: Option<f64>,
    /// Rate without codec headers in bits per pixel, total over total.
    pub header_free_bpp_total: Option<f64>,
    /// Storage rate in bits per pixel, mean over images.
    pub storage_bpp_mean_of_ratios: Option<f64>,
    /// Storage rate in bits per pixel, total over total.
    pub storage_bpp_total: Option<f64>,
    /// Transmit rate in bits per pixel, total over total: one image's share of
    /// the transport is apportioned, only the sum is exact.
    pub transmit_bpp_total: Option<f64>,
    /// Codec rate in kilobits per second, mean over recordings.
    pub codec_kbps_mean_of_ratios: Option<f64>,
    /// Codec rate in kilobits per second, total bits over total seconds.
    pub codec_kbps_total: Option<f64>,
    /// Rate without codec headers in kilobits per second, mean over recordings.
    pub header_free_kbps_mean_of_ratios: Option<f64>,
    /// Rate without codec headers in kilobits per second, total over total.
    pub header_free_kbps_total: Option<f64>,
    /// Storage rate in kilobits per second, mean over recordings.
    pub storage_kbps_mean_of_ratios: Option<f64>,
    /// Storage rate in kilobits per second, total over total.
    pub storage_kbps_total: Option<f64>,
    /// Transmit rate in kilobits per second, total over total.
    pub transmit_kbps_total: Option<f64>,
    /// Codec rate in bits per source sample of sound, total over total.
    pub codec_bits_per_sample_total: Option<f64>,

    /// Samples whose decoded signal was compared with the pristine.
    pub quality_n: u64,
    /// Samples that were decoded exactly.
    pub identical_n: u64,
    /// PSNR of the pooled squared error over RGB, in dB.
    pub psnr_db_pooled: Option<f64>,
    /// Mean of the finite PSNRs, in dB.
    pub psnr_db_mean: Option<f64>,
    /// Mean structural similarity.
    pub ssim_mean: Option<f64>,
    /// SNR of the pooled energies, in dB.
    pub snr_db_pooled: Option<f64>,
    /// Mean of the finite scale-invariant signal-to-distortion ratios, in dB.
    pub si_sdr_db_mean: Option<f64>,

    /// Share of samples whose first class is that of the pristine prediction.
    pub top1_agreement: Option<f64>,
    /// Lower end of its 95 % interval.
    pub top1_agreement_ci95_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub top1_agreement_ci95_high: Option<f64>,
    /// How many agree.
    pub top1_agreement_count: Option<u64>,
    /// Out of how many.
    pub top1_agreement_n: Option<u64>,
    /// Share of samples whose first class is the label.
    pub top1_accuracy: Option<f64>,
    /// Lower end of its 95 % interval.
    pub top1_accuracy_ci95_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub top1_accuracy_ci95_high: Option<f64>,
    /// How many are right.
    pub top1_accuracy_count: Option<u64>,
    /// Out of how many.
    pub top1_accuracy_n: Option<u64>,

    /// Time to encode in milliseconds, median.
    pub encode_ms_p50: Option<f64>,
    /// Time to encode in milliseconds, 95th percentile.
    pub encode_ms_p95: Option<f64>,
    /// Time to decode in milliseconds, median.
    pub decode_ms_p50: Option<f64>,
    /// Time to decode in milliseconds, 95th percentile.
    pub decode_ms_p95: Option<f64>,
    /// Time over the link in milliseconds, median.
    pub link_ms_p50: Option<f64>,
    /// Time over the link in milliseconds, 95th percentile.
    pub link_ms_p95: Option<f64>,
    /// Time of inference in milliseconds, median.
    pub infer_ms_p50: Option<f64>,
    /// Time of inference in milliseconds, 95th percentile.
    pub infer_ms_p95: Option<f64>,
    /// Energy per sample on the device in joules, mean.
    pub energy_j_mean: Option<f64>,
}

impl OperatingPoint {
    /// What kind of signal was coded, if it is a known one.
    #[must_use]
    pub fn kind(&self) -> Option<Modality> {
        [Modality::Image, Modality::Audio].into_iter().find(|kind| kind.to_string() == self.modality)
    }

    /// What competes as one codec: its id and, where there is one, the synthesis.
    #[must_use]
    pub fn coder(&self) -> String {
        row::coder(&self.codec, self.synthesis.as_deref())
    }

    /// Whether every sample was decoded exactly.
    #[must_use]
    pub fn lossless(&self) -> bool {
        self.quality_n > 0 && self.identical_n == self.quality_n
    }
}

/// Summarises rows: one object per operating point and model, in order of
/// modality (images first), codec, preset and knob. Holds the times of every
/// row (32 bytes a row), nothing else of it.
///
/// # Errors
/// The rows' own; [`Code::Config`] if rows of two methodologies are mixed.
pub fn summarise(rows: impl IntoIterator<Item = Result<Row>>) -> Result<Vec<OperatingPoint>> {
    let mut points: BTreeMap<Key, Point> = BTreeMap::new();
    let mut methodology = None;
    for row in rows {
        let row = row?;
        let expected = *methodology.get_or_insert(row.methodology_version);
        if row.methodology_version != expected {
            return Err(Error::new(
                Code::Config,
                format!("rows of methodology {expected} and {} are mixed", row.methodology_version),
                "summarise the rows of each build apart, or measure all of them again with one",
            ));
        }
        // A packet whose stream was never named, or of a codec that this build
        // does not have, belongs to no operating point.
        let Some(point) = row.operating_point() else {
            log::warn!("{} {}/{} is of no known codec: {:?}", row.device, row.stream, row.sequence, row.error);
            continue;
        };
        let key =
            Key { data_set: row.data_set.clone(), point, model: row.model.clone(), provider: row.provider.clone() };
        points.entry(key).or_default().add(&row);
    }
    Ok(points.into_iter().map(|(key, point)| point.finish(key, methodology.unwrap_or_default())).collect())
}

/// The objects as the text of `summary.json`: an array.
///
/// # Errors
/// [`Code::Internal`] if they cannot be written as JSON.
pub fn to_json(points: &[OperatingPoint]) -> Result<String> {
    let mut text = serde_json::to_string_pretty(points)
        .map_err(|e| Error::new(Code::Internal, "the summary cannot be written as JSON", "report this").caused_by(e))?;
    text.push('\n');
    Ok(text)
}

/// Writes `summary.json`.
///
/// # Errors
/// [`Code::Io`] if `path` cannot be written, and those of [`to_json`].
pub fn write(path: &Path, points: &[OperatingPoint]) -> Result<()> {
    std::fs::write(path, to_json(points)?).map_err(|e| Error::io(format!("writing {}", path.display()), e))
}

/// What one object of the summary is of, in its order: how samples were coded,
/// and what saw them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    data_set: Option<String>,
    point: row::OperatingPoint,
    model: Option<String>,
    provider: Option<String>,
}

/// Hits out of tries.
#[derive(Default)]
struct Tally {
    count: u64,
    n: u64,
}

impl Tally {
    fn add(&mut self, hit: bool) {
        self.n += 1;
        self.count += u64::from(hit);
    }
}

/// One operating point while its rows come.
#[derive(Default)]
struct Point {
    n: u64,
    failures: u64,
    first_failure: Option<String>,
    parts: RateParts,
    transport_bytes: f64,
    pixels: u64,
    seconds: f64,
    codec: Rate,
    header_free: Rate,
    storage: Rate,
    transmit: Rate,
    codec_per_sample: Rate,
    quality_n: u64,
    identical_n: u64,
    sse: u64,
    values: u64,
    psnr: Mean,
    ssim: Mean,
    signal_energy: f64,
    error_energy: f64,
    si_sdr: Mean,
    agreement: Tally,
    accuracy: Tally,
    encode_ms: Vec<f64>,
    decode_ms: Vec<f64>,
    link_ms: Vec<f64>,
    infer_ms: Vec<f64>,
    energy: Mean,
}

#[allow(clippy::cast_precision_loss)]
fn count(bits: Bits) -> f64 {
    bits.0 as f64
}

impl Point {
    fn add(&mut self, row: &Row) {
        self.n += 1;
        if let Some(error) = &row.error {
            self.failures += 1;
            self.first_failure.get_or_insert_with(|| error.clone());
        }
        self.add_rate(row);
        self.add_quality(row);
        self.add_score(row);
        self.encode_ms.extend(row.encode_ms);
        self.decode_ms.extend(row.decode_ms);
        self.link_ms.extend(row.link_ms);
        self.infer_ms.extend(row.infer_ms);
        row.energy_j.into_iter().for_each(|energy| self.energy.add(energy));
    }

    #[allow(clippy::cast_precision_loss)]
    fn add_rate(&mut self, row: &Row) {
        let parts = row.parts();
        let per = row.pixels().map(|pixels| pixels.0 as f64).or(row.seconds());
        let Some(per) = per.filter(|_| parts.storage() > Bytes(0)) else { return };
        self.parts += parts;
        self.transport_bytes += row.transport_bytes;
        self.pixels += row.pixels().map_or(0, |pixels| pixels.0);
        self.seconds += row.seconds().unwrap_or(0.0);
        self.codec.add(count(row.codec_bits()), per);
        self.header_free.add(count((parts.payload + parts.side).bits()), per);
        self.storage.add(count(row.storage_bits()), per);
        self.transmit.add(8.0 * row.transmit_bytes(), per);
        if let Some(samples) = row.samples() {
            self.codec_per_sample.add(count(row.codec_bits()), samples.0 as f64);
        }
    }

    fn add_quality(&mut self, row: &Row) {
        let compared = match (row.sse.zip(row.values), row.signal_energy.zip(row.error_energy)) {
            (Some((sse, values)), _) => {
                self.sse += sse;
                self.values += values;
                Some(sse == 0)
            }
            (None, Some((signal, error))) => {
                self.signal_energy += signal;
                self.error_energy += error;
                Some(error == 0.0)
            }
            (None, None) => None,
        };
        self.quality_n += u64::from(compared.is_some());
        self.identical_n += u64::from(compared == Some(true));
        row.psnr_db.into_iter().for_each(|psnr| self.psnr.add(psnr));
        row.ssim.into_iter().for_each(|ssim| self.ssim.add(ssim));
        row.si_sdr_db.into_iter().for_each(|si_sdr| self.si_sdr.add(si_sdr));
    }

    fn add_score(&mut self, row: &Row) {
        // Perception got nothing from a sample that failed: a miss, not a gap.
        let missed = |reference: Option<u32>| (row.error.is_some() && reference.is_some()).then_some(false);
        if row.reference_kind == "pristine"
            && let Some(agrees) = row.agrees.or_else(|| missed(row.reference_index))
        {
            self.agreement.add(agrees);
        }
        if let Some(correct) = row.correct.or_else(|| missed(row.label_index)) {
            self.accuracy.add(correct);
        }
    }

    fn finish(self, key: Key, methodology_version: u32) -> OperatingPoint {
        let Key { data_set, point, model, provider } = key;
        let image = point.modality == Modality::Image;
        let bpp = |rate: Option<f64>| rate.filter(|_| image);
        let kbps = |rate: Option<f64>| rate.filter(|_| !image).map(|bits_per_second| bits_per_second / 1000.0);
        let agreement = Proportion::wilson(self.agreement.count, self.agreement.n);
        let accuracy = Proportion::wilson(self.accuracy.count, self.accuracy.n);
        let times = |ms: Vec<f64>| {
            let sorted: Sorted = ms.into_iter().collect();
            (sorted.p50(), sorted.p95())
        };
        let (encode_ms_p50, encode_ms_p95) = times(self.encode_ms);
        let (decode_ms_p50, decode_ms_p95) = times(self.decode_ms);
        let (link_ms_p50, link_ms_p95) = times(self.link_ms);
        let (infer_ms_p50, infer_ms_p95) = times(self.infer_ms);
        let snr = 10.0 * (self.signal_energy / self.error_energy).log10();
        OperatingPoint {
            methodology_version,
            data_set,
            modality: point.modality.to_string(),
            codec: point.codec,
            codec_version: point.codec_version,
            codec_implementation: point.codec_implementation,
            codec_simd: point.codec_simd,
            synthesis: point.synthesis,
            synthesis_sha256: point.synthesis_sha256,
            synthesis_provider: point.synthesis_provider,
            preset: point.preset,
            knob_name: point.knob_name,
            knob: point.knob.map(|knob| knob.0),
            resize: point.resize,
            model,
            provider,
            n: self.n,
            failures: self.failures,
            first_failure: self.first_failure,
            rate_n: self.codec.n(),
            pixels: image.then_some(self.pixels),
            seconds: (!image).then_some(self.seconds),
            payload_bytes: self.parts.payload.0,
            side_bytes: self.parts.side.0,
            header_bytes: self.parts.header.0,
            container_bytes: self.parts.container.0,
            framing_bytes: self.parts.framing.0,
            transport_bytes: self.transport_bytes,
            codec_bpp_mean_of_ratios: bpp(self.codec.mean_of_ratios()),
            codec_bpp_total: bpp(self.codec.total()),
            header_free_bpp_mean_of_ratios: bpp(self.header_free.mean_of_ratios()),
            header_free_bpp_total: bpp(self.header_free.total()),
            storage_bpp_mean_of_ratios: bpp(self.storage.mean_of_ratios()),
            storage_bpp_total: bpp(self.storage.total()),
            transmit_bpp_total: bpp(self.transmit.total()),
            codec_kbps_mean_of_ratios: kbps(self.codec.mean_of_ratios()),
            codec_kbps_total: kbps(self.codec.total()),
            header_free_kbps_mean_of_ratios: kbps(self.header_free.mean_of_ratios()),
            header_free_kbps_total: kbps(self.header_free.total()),
            storage_kbps_mean_of_ratios: kbps(self.storage.mean_of_ratios()),
            storage_kbps_total: kbps(self.storage.total()),
            transmit_kbps_total: kbps(self.transmit.total()),
            codec_bits_per_sample_total: self.codec_per_sample.total(),
            quality_n: self.quality_n,
            identical_n: self.identical_n,
            psnr_db_pooled: Some(psnr_db(self.sse, self.values)).filter(|psnr| psnr.is_finite()),
            psnr_db_mean: self.psnr.value(),
            ssim_mean: self.ssim.value(),
            snr_db_pooled: Some(snr).filter(|snr| snr.is_finite()),
            si_sdr_db_mean: self.si_sdr.value(),
            top1_agreement: agreement.map(|p| p.estimate),
            top1_agreement_ci95_low: agreement.map(|p| p.low),
            top1_agreement_ci95_high: agreement.map(|p| p.high),
            top1_agreement_count: agreement.map(|p| p.count),
            top1_agreement_n: agreement.map(|p| p.n),
            top1_accuracy: accuracy.map(|p| p.estimate),
            top1_accuracy_ci95_low: accuracy.map(|p| p.low),
            top1_accuracy_ci95_high: accuracy.map(|p| p.high),
            top1_accuracy_count: accuracy.map(|p| p.count),
            top1_accuracy_n: accuracy.map(|p| p.n),
            encode_ms_p50,
            encode_ms_p95,
            decode_ms_p50,
            decode_ms_p95,
            link_ms_p50,
            link_ms_p95,
            infer_ms_p50,
            infer_ms_p95,
            energy_j_mean: self.energy.value(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `n` rows of one operating point of a made-up codec: `bytes` of payload
    /// for 640×480 pixels, every `miss`th one disagreeing with the pristine.
    pub(crate) fn images(codec: &str, preset: &str, knob: Option<f64>, bytes: u64, miss: u64, n: u64) -> Vec<Row> {
        let row = |sequence| {
            let miss = miss > 0 && sequence % miss == miss - 1;
            let mut row = Row {
                sequence,
                codec: codec.to_owned(),
                codec_simd: "yes".to_owned(),
                preset: preset.to_owned(),
                knob_name: knob.map(|_| "quality".to_owned()),
                knob,
                model: Some("efficientnet-lite0".to_owned()),
                provider: Some("tract/cpu".to_owned()),
                reference_kind: "pristine".to_owned(),
                reference_index: Some(7),
                prediction_index: Some(if miss { 8 } else { 7 }),
                agrees: Some(!miss),
                payload_bytes: bytes,
                header_bytes: 600,
                container_bytes: 40,
                framing_bytes: 45,
                transport_bytes: 120.5,
                encode_ms: Some(2.0 + f64::from(u32::try_from(sequence % 10).unwrap())),
                decode_ms: Some(1.5),
                link_ms: Some(12.25),
                infer_ms: Some(118.0),
                ..Row::new()
            };
            row.set_image_source(640, 480);
            let sse = if knob.is_some() { 40_000_000_000 / bytes } else { 0 };
            row.set_image_quality(&afferent_measure::ImageQuality {
                sse,
                values: 640 * 480 * 3,
                ssim: Some(if sse == 0 { 1.0 } else { 0.9 }),
                ..Default::default()
            });
            row
        };
        (0..n).map(row).collect()
    }

    pub(crate) fn sounds(codec: &str, knob: Option<f64>, bytes: u64, n: u64) -> Vec<Row> {
        let row = |sequence| {
            let mut row = Row {
                sequence,
                codec: codec.to_owned(),
                codec_simd: "not-applicable".to_owned(),
                preset: if knob.is_some() { "audio" } else { "s16" }.to_owned(),
                knob_name: knob.map(|_| "bitrate".to_owned()),
                knob,
                payload_bytes: bytes,
                container_bytes: 400,
                framing_bytes: 45,
                transport_bytes: 90.0,
                encode_ms: Some(8.0),
                decode_ms: Some(2.0),
                link_ms: Some(14.0),
                ..Row::new()
            };
            row.set_audio_source(16_000, 1, 64_000);
            let lossy = knob.is_some();
            row.set_audio_quality(&afferent_measure::AudioQuality {
                signal_energy: 100.0,
                error_energy: if lossy { 10.0 } else { 0.0 },
                si_sdr_db: if lossy { 9.5 } else { f64::INFINITY },
            });
            row
        };
        (0..n).map(row).collect()
    }

    fn summary(rows: Vec<Row>) -> Vec<OperatingPoint> {
        summarise(rows.into_iter().map(Ok)).unwrap()
    }

    #[test]
    fn figures_of_images_are_those_counted_by_hand() {
        let points = summary(images("jpeg", "420", Some(5.0), 9000, 4, 40));
        let [point] = &points[..] else { panic!("{points:?}") };
        let bpp = |bytes: f64| Some(bytes * 8.0 / (640.0 * 480.0));
        assert_eq!((point.n, point.failures, point.rate_n, point.pixels), (40, 0, 40, Some(40 * 640 * 480)));
        assert_eq!(point.codec_bpp_total, bpp(9600.0));
        assert_eq!(point.header_free_bpp_total, bpp(9000.0));
        assert_eq!(point.storage_bpp_total, bpp(9640.0));
        assert_eq!(point.transmit_bpp_total, bpp(9805.5));
        assert_eq!((point.codec_kbps_total, point.seconds), (None, None));
        assert_eq!((point.top1_agreement, point.top1_agreement_n), (Some(0.75), Some(40)));
        assert!((point.top1_agreement_ci95_low.unwrap() - 0.598_060_385_792_319).abs() < 1e-9);
        assert!((point.top1_agreement_ci95_high.unwrap() - 0.858_128_813_609_037).abs() < 1e-9);
        assert_eq!(point.top1_accuracy, None);
        assert_eq!((point.encode_ms_p50, point.encode_ms_p95), (Some(6.5), Some(11.0)));
        assert!(!point.lossless() && point.psnr_db_pooled.is_some());
        let gap = point.psnr_db_pooled.unwrap() - point.psnr_db_mean.unwrap();
        assert!(gap.abs() < 1e-9, "equal samples pool to their own PSNR");
    }

    #[test]
    fn figures_of_sound_are_in_kilobits_per_second() {
        let points = summary([sounds("opus", Some(6.0), 3000, 3), sounds("pcm", None, 128_000, 3)].concat());
        let [opus, pcm] = &points[..] else { panic!("{points:?}") };
        assert_eq!((opus.codec_kbps_total, opus.seconds), (Some(6.0), Some(12.0)));
        assert_eq!(opus.codec_bits_per_sample_total, Some(0.375));
        assert_eq!((opus.snr_db_pooled, opus.si_sdr_db_mean), (Some(10.0), Some(9.5)));
        assert_eq!((opus.codec_bpp_total, opus.pixels, opus.top1_agreement), (None, None, None));
        assert!(pcm.lossless());
        assert_eq!((pcm.codec_kbps_total, pcm.si_sdr_db_mean, pcm.snr_db_pooled), (Some(256.0), None, None));
    }

    #[test]
    fn a_failed_sample_is_counted_and_misses() {
        let mut rows = images("jpeg", "420", Some(5.0), 9000, 0, 10);
        rows[3].error = Some("AFF-CORRUPT: damaged".to_owned());
        rows[3].agrees = None;
        rows[3].prediction_index = None;
        (rows[3].sse, rows[3].values, rows[3].psnr_db, rows[3].ssim) = (None, None, None, None);
        let points = summary(rows);
        assert_eq!((points[0].n, points[0].failures, points[0].rate_n, points[0].quality_n), (10, 1, 10, 9));
        assert_eq!((points[0].top1_agreement_count, points[0].top1_agreement_n), (Some(9), Some(10)));
        assert_eq!(points[0].first_failure.as_deref(), Some("AFF-CORRUPT: damaged"));
    }

    #[test]
    fn points_come_in_order_whatever_the_order_of_rows() {
        let mut rows = [
            sounds("opus", Some(6.0), 3000, 2),
            images("webp", "m4", Some(75.0), 20_000, 9, 5),
            images("webp", "m4", Some(0.0), 3000, 2, 5),
            images("jpeg", "444", Some(5.0), 9000, 4, 5),
            images("jpeg", "420", Some(25.0), 9000, 4, 5),
            images("jpeg", "420", Some(5.0), 9000, 4, 5),
            images("png", "balanced", None, 400_000, 0, 5),
        ]
        .concat();
        let points = summary(rows.clone());
        let order: Vec<_> = points.iter().map(|p| (p.codec.as_str(), p.preset.as_str(), p.knob)).collect();
        assert_eq!(
            order,
            [
                ("jpeg", "420", Some(5.0)),
                ("jpeg", "420", Some(25.0)),
                ("jpeg", "444", Some(5.0)),
                ("png", "balanced", None),
                ("webp", "m4", Some(0.0)),
                ("webp", "m4", Some(75.0)),
                ("opus", "audio", Some(6.0)),
            ]
        );
        rows.reverse();
        assert_eq!(to_json(&points).unwrap(), to_json(&summary(rows)).unwrap());
    }

    #[test]
    fn what_decoded_keeps_points_apart() {
        let of = |flavour: &str, sha256: Option<&str>| -> Vec<Row> {
            let mut rows = images("optic", "fast", Some(40.0), 3000, 3, 5);
            for row in &mut rows {
                row.synthesis = Some(flavour.to_owned());
                row.synthesis_sha256 = sha256.map(str::to_owned);
            }
            rows
        };
        let rows = [of("linear", None), of("faithful", Some("aaaa")), of("faithful", Some("bbbb"))];
        let points = summary(rows.concat());
        let seen: Vec<_> = points.iter().map(|p| (p.coder(), p.synthesis_sha256.as_deref(), p.n)).collect();
        let faithful = || "optic/faithful".to_owned();
        assert_eq!(
            seen,
            [(faithful(), Some("aaaa"), 5), (faithful(), Some("bbbb"), 5), ("optic/linear".to_owned(), None, 5)]
        );
    }

    #[test]
    fn methods_are_not_mixed() {
        let mut rows = images("jpeg", "420", Some(5.0), 9000, 0, 2);
        rows[1].methodology_version += 1;
        let error = summarise(rows.into_iter().map(Ok)).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        let stray = Row { modality: "smell".to_owned(), ..Row::new() };
        assert_eq!(summarise([Ok(stray)]).unwrap(), [], "a row of no known codec belongs to no operating point");
        assert_eq!(summary(vec![]), []);
    }

    #[test]
    fn every_key_is_documented_and_reads_back() {
        let points = summary(images("jpeg", "420", Some(5.0), 9000, 4, 4));
        let json = to_json(&points).unwrap();
        assert_eq!(serde_json::from_str::<Vec<OperatingPoint>>(&json).unwrap(), points);

        let documented: Vec<&str> = include_str!("../../docs/summary.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .flat_map(|line| line.split(" | ").next().unwrap_or_default().split("`, `"))
            .map(|key| key.trim_end_matches('`'))
            .collect();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let mut keys: Vec<&str> = value[0].as_object().unwrap().keys().map(String::as_str).collect();
        let mut listed = documented.clone();
        keys.sort_unstable();
        listed.sort_unstable();
        assert_eq!(keys, listed, "docs/summary.md and the struct differ");
    }
}
