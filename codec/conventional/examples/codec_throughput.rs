//! How fast the codecs are through their traits, JPEG against libjpeg-turbo itself.
//!
//! Each line is the best of many rounds on one thread, in CPU time of that thread,
//! the two JPEG ways taking turns. Run it optimised:
//! `cargo run --profile ci -p afferent-codec-conventional --example codec_throughput`

use afferent_codec::{ContainerWriter, Limits, Registry, SampleEncoder, Settings};
use afferent_codec_conventional::{open, register};
use afferent_media::{Image, ImageView, PixelFormat, Result, Sample};
use std::path::PathBuf;
use std::time::Duration;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const ROUND: Duration = Duration::from_millis(60);
const ROUNDS: usize = 15;

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs of `work` per second, over one round.
fn round(work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let start = cpu_time();
    let mut runs = 0;
    while cpu_time() - start < ROUND {
        work()?;
        runs += 1;
    }
    Ok(f64::from(runs) / (cpu_time() - start).as_secs_f64())
}

/// The best round of each of `works`, taking turns.
fn best<const N: usize>(mut works: [&mut dyn FnMut() -> Result<()>; N]) -> Result<[f64; N]> {
    let mut best = [0.0; N];
    for _ in 0..ROUNDS {
        for (work, best) in works.iter_mut().zip(&mut best) {
            *best = f64::max(*best, round(*work)?);
        }
    }
    Ok(best)
}

fn megapixels(runs: f64) -> f64 {
    runs * f64::from(WIDTH * HEIGHT) / 1e6
}

fn settings(preset: &str, knob: Option<f32>) -> Settings {
    Settings { preset: Some(preset.to_owned()), knob, ..Settings::default() }
}

fn jpeg(registry: &Registry, view: ImageView<'_>, quality: f32) -> Result<()> {
    let failed =
        |e: turbojpeg::Error| afferent_media::Error::new(afferent_media::Code::Internal, "turbojpeg", "").caused_by(e);
    let source = turbojpeg::Image {
        pixels: view.data(),
        width: WIDTH as usize,
        pitch: view.stride(),
        height: HEIGHT as usize,
        format: turbojpeg::PixelFormat::RGB,
    };
    let mut compressor = turbojpeg::Compressor::new().map_err(failed)?;
    compressor.set_quality(quality as i32).map_err(failed)?;
    compressor.set_subsamp(turbojpeg::Subsamp::Sub2x2).map_err(failed)?;
    let longest = compressor.buf_len(source.width, source.height).map_err(failed)?;
    let mut buffer = vec![0; longest];
    let mut encoder = registry.get("jpeg")?.image_encoder(&settings("420", Some(quality)))?;
    let mut writer = ContainerWriter::new();
    let [direct, ours] =
        best([&mut || compressor.compress_to_slice(source, &mut buffer).map(drop).map_err(failed), &mut || {
            writer.clear();
            encoder.encode(view, &mut writer)
        }])?;
    let (direct, ours) = (megapixels(direct), megapixels(ours));
    let cost = 100.0 * (direct / ours - 1.0);
    println!("jpeg 420 q{quality:<3} encode {ours:8.1} MP/s, tj3Compress8 alone {direct:8.1} MP/s: {cost:+.1} %");
    Ok(())
}

fn images(registry: &Registry, image: &Image) -> Result<()> {
    for quality in [5.0, 25.0, 75.0] {
        jpeg(registry, image.view(), quality)?;
    }
    for (id, preset, knob) in [
        ("jpeg", "420-optimised", Some(75.0)),
        ("jpeg", "420-progressive", Some(75.0)),
        ("webp", "m0", Some(75.0)),
        ("webp", "m4", Some(0.0)),
        ("webp", "m4", Some(75.0)),
        ("webp", "m6", Some(75.0)),
        ("png", "fast", None),
        ("png", "balanced", None),
    ] {
        let codec = registry.get(id)?;
        let mut encoder = codec.image_encoder(&settings(preset, knob))?;
        let mut writer = ContainerWriter::new();
        let [encode] = best([&mut || {
            writer.clear();
            encoder.encode(image.view(), &mut writer)
        }])?;
        let mut file = Vec::new();
        SampleEncoder::new(codec.as_ref(), &settings(preset, knob))?
            .encode(&Sample::Image(image.clone()), &mut file)?;
        let container = afferent_codec::Container::parse(&file)?;
        let (mut decoder, mut out) = (codec.image_decoder(&Limits::default())?, Image::default());
        let [decode] = best([&mut || decoder.decode(&container.chunks, &mut out)])?;
        let bpp = (container.parts.codec().bits() / image.view().pixels()).0;
        let (encode, decode) = (megapixels(encode), megapixels(decode));
        let knob = knob.map_or(String::new(), |knob| format!("q{knob}"));
        println!("{id} {preset} {knob:<4} encode {encode:8.1} MP/s, decode {decode:8.1} MP/s, {bpp:.3} bpp");
    }
    Ok(())
}

fn sound(registry: &Registry, data: &std::path::Path) -> Result<()> {
    let audio = open::audio(&data.join("speech/vm-record-prepend.flac"), &Limits::default())?;
    let seconds = audio.view().seconds();
    let sample = Sample::Audio(audio);
    for (preset, knob) in [("audio", 6.0), ("audio", 16.0), ("audio", 32.0), ("voip", 16.0), ("lowdelay", 32.0)] {
        let codec = registry.get("opus")?;
        let mut encoder = SampleEncoder::new(codec.as_ref(), &settings(preset, Some(knob)))?;
        let mut file = Vec::new();
        let mut parts = encoder.encode(&sample, &mut file)?;
        let [encode] = best([&mut || {
            file.clear();
            parts = encoder.encode(&sample, &mut file)?;
            Ok(())
        }])?;
        let rate = parts.codec().bits().per_second(seconds).0;
        println!(
            "opus {preset} {knob} kb/s, 8 kHz mono: encode {:6.0} times real time, {rate:.1} kb/s",
            encode * seconds
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut registry = Registry::new();
    register(&mut registry);
    for codec in registry.iter() {
        let descriptor = codec.descriptor();
        println!("{:5} {}, vector code: {:?}", descriptor.id, descriptor.implementation, descriptor.simd);
    }
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo");
    let image = open::image(&data.join("images/dragonfly.jpg"), &Limits::default())?;
    assert_eq!((image.width(), image.height(), image.format()), (WIDTH, HEIGHT, PixelFormat::Rgb8));
    images(&registry, &image)?;
    sound(&registry, &data)
}
