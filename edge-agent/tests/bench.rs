//! The benchmark, for a second: what it must say, not how fast this machine is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_agent::bench::{Options, run};
use afferent_agent::config::Body;
use afferent_agent::{Stop, registry};
use afferent_boards_hal::ThrottleConfig;
use afferent_boards_spec::benchmark::Benchmark;
use afferent_codec::{
    AudioEncoder, Codec, ContainerWriter, Descriptor, ImageDecoder, ImageEncoder, Limits, Registry, Settings,
};
use afferent_codec_conventional::{pcm::Pcm, png::Png};
use afferent_media::{Audio, AudioView, Code, Error, Result, Sample};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

fn options(codecs: &[&str]) -> Options {
    Options { seconds: 1, codecs: codecs.iter().map(|id| (*id).to_owned()).collect(), ..Options::default() }
}

#[test]
fn every_point_has_its_turns_and_figures() {
    let measured = run(&options(&["optic", "pcm"]), &registry(), &Stop::default()).unwrap();
    assert!(measured.complete && measured.rounds == 2);
    // Two presets at three knobs, and sound.
    assert_eq!(measured.points.len(), 7);
    for point in &measured.points {
        assert!(point.n >= 1 && point.error.is_none(), "{point:?}");
        let latency = point.latency_ms.unwrap();
        assert!(0.0 < latency.p50 && latency.p50 <= latency.p90 && latency.p90 <= latency.p99, "{latency:?}");
        assert!(latency.p99 <= latency.max);
        assert!(point.cpu_ms.unwrap() > 0.0 && point.storage_bytes > point.codec_bytes, "{point:?}");
        assert_eq!(point.energy_j, None);
        let image = point.modality == "image";
        for given in [point.bpp.is_some(), point.megapixels_per_s.is_some(), point.psnr_db.is_some()] {
            assert_eq!(given, image, "{point:?}");
        }
        assert_eq!((point.kbps.is_some(), point.times_real_time.is_some()), (!image, !image));
    }
    let pcm = measured.points.last().unwrap();
    // 16 kHz, 16 bits, one channel.
    assert_eq!((pcm.codec_bytes, pcm.kbps), (Some(32_000.0), Some(256.0)));
    assert_eq!(measured.inputs.iter().map(|input| input.samples).collect::<Vec<_>>(), [4, 8]);
    assert!(measured.body.energy.contains("names a meter"), "{}", measured.body.energy);

    let json = serde_json::to_string(&measured).unwrap();
    let read = serde_json::from_str::<Benchmark>(&json).unwrap();
    assert_eq!((&read.machine, &read.inputs), (&measured.machine, &measured.inputs));
    let table = measured.to_string();
    assert_eq!(read.to_string(), table);
    assert!(table.contains("complete") && table.contains("\noptic   rdo"), "{table}");
}

#[test]
fn what_was_measured_until_the_stop_is_told_as_incomplete() {
    let stop = Stop::default();
    stop.set();
    let measured = run(&options(&["pcm"]), &registry(), &stop).unwrap();
    assert!(!measured.complete);
    assert_eq!((measured.points[0].n, measured.points[0].latency_ms, measured.points[0].bpp), (0, None, None));
    assert!(measured.to_string().contains("INCOMPLETE"));
}

#[test]
fn mistakes_are_named() {
    let error = run(&options(&["mp3"]), &registry(), &Stop::default()).unwrap_err();
    assert!(error.code() == Code::NotFound && error.what().contains("mp3"), "{error}");
    let error = run(&Options { seconds: 0, ..options(&["pcm"]) }, &registry(), &Stop::default()).unwrap_err();
    assert_eq!(error.code(), Code::Config);
}

#[test]
fn a_point_that_cannot_take_the_input_says_so_and_the_others_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    // Opus takes no three channels.
    let sound = Audio::new(16_000, 3, vec![0.1; 3 * 32_000]).unwrap();
    afferent_codec_conventional::open::write(&Sample::Audio(sound), &folder.path().join("a.wav")).unwrap();
    let options = Options { sounds: Some(folder.path().to_owned()), ..options(&["opus", "pcm"]) };
    let measured = run(&options, &registry(), &Stop::default()).unwrap();
    let (opus, pcm): (Vec<_>, Vec<_>) = measured.points.iter().partition(|point| point.codec == "opus");
    assert!(opus.iter().all(|point| point.n == 0 && point.error.as_ref().unwrap().contains("channels")), "{opus:?}");
    assert!(pcm[0].n > 0 && measured.complete);
    assert_eq!(measured.inputs[0].samples, 2);
}

/// PCM, whose encoder takes so many blocks and then fails as it is told to.
struct Failing(Pcm, u64, fn() -> Error);

struct FailingEncoder(Box<dyn AudioEncoder>, u64, fn() -> Error);

/// The blocks that the rehearsal takes.
const REHEARSAL: u64 = 8;

impl AudioEncoder for FailingEncoder {
    fn encode(&mut self, audio: AudioView<'_>, out: &mut ContainerWriter) -> Result<()> {
        self.1 = self.1.checked_sub(1).ok_or_else(self.2)?;
        self.0.encode(audio, out)
    }

    fn finish(&mut self, out: &mut ContainerWriter) -> Result<()> {
        self.0.finish(out)
    }
}

impl Codec for Failing {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    fn audio_encoder(&self, settings: &Settings) -> Result<Box<dyn AudioEncoder>> {
        Ok(Box::new(FailingEncoder(self.0.audio_encoder(settings)?, self.1, self.2)))
    }
}

#[test]
fn an_encoder_that_fails_ends_its_point_and_its_failures_are_no_samples() {
    let mut registry = Registry::new();
    let gone = || Error::new(Code::Io, "the device is gone", "plug it in");
    registry.add(Failing(Pcm::new(), REHEARSAL + 3, gone));
    let measured = run(&options(&["pcm"]), &registry, &Stop::default()).unwrap();
    let point = &measured.points[0];
    assert_eq!((point.n, measured.complete), (3, true));
    assert!(point.latency_ms.is_some() && point.cpu_ms.is_some() && point.kbps == Some(256.0), "{point:?}");
    assert!(point.error.as_ref().unwrap().contains("the device is gone"), "{point:?}");
    assert!(measured.to_string().contains("FAILED after 3 samples: AFF-IO: the device is gone"), "{measured}");
}

#[test]
fn an_encoder_that_panics_leaves_no_thread_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    registry.add(Failing(Pcm::new(), REHEARSAL, || panic!("the encoder has a bug")));
    // A source, so that a thread reads beside the measurement.
    let (root, throttle) = (folder.path().to_owned(), Some(ThrottleConfig::RpiVolt));
    let options = Options { body: Body { root, throttle, ..Body::default() }, ..options(&["pcm"]) };
    let (done, ended) = channel::<()>();
    let measuring = std::thread::spawn(move || {
        let _done = done;
        run(&options, &registry, &Stop::default()).is_ok()
    });
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Err(RecvTimeoutError::Disconnected));
    assert!(measuring.join().is_err());
}

/// PNG as by another process, on a machine without its decoder.
struct Elsewhere(Descriptor, Png);

impl Codec for Elsewhere {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        self.1.image_encoder(settings)
    }

    fn image_decoder(&self, _: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Err(Error::new(Code::NotFound, "there is no decoder", "install it"))
    }
}

#[test]
fn what_is_not_known_of_another_process_and_without_a_decoder_is_absent_with_its_reason() {
    let mut registry = registry();
    let png = Png::new();
    registry.add(Elsewhere(Descriptor { external: true, ..png.descriptor().clone() }, png));
    let measured = run(&options(&["png"]), &registry, &Stop::default()).unwrap();
    assert_eq!(measured.points.len(), 3);
    for point in &measured.points {
        assert!(point.n > 0 && point.error.is_none() && point.bpp.is_some(), "{point:?}");
        assert_eq!((point.cpu_ms, point.memory_mib, point.psnr_db), (None, None, None));
        let [cost, psnr] = &point.absent[..] else { panic!("{point:?}") };
        assert!(cost.starts_with("cpu_ms, memory_mib: ") && cost.contains("another process"), "{cost}");
        assert!(psnr.starts_with("psnr_db: ") && psnr.contains("there is no decoder"), "{psnr}");
        assert!(measured.to_string().contains(psnr));
    }
}
