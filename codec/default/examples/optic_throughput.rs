//! How fast `optic` is beside JPEG and WebP at about the same fidelity, and how fast
//! the entropy coder under it is; before all that, what encoding 1920x1080 adds to a
//! process' memory.
//!
//! Each figure is the best of many rounds on one thread, in CPU time of that thread,
//! all codecs taking turns. Decoding is by the linear inverse, without a network. Run
//! it optimised, with a picture or with a bundled one:
//! `cargo run --profile ci -p afferent-codec-default --example optic_throughput [FILE]`

use afferent_codec::entropy::{Adaptive, BitCoder, Decoder, Encoder, Meter};
use afferent_codec::{Container, Limits, Registry, SampleEncoder, Settings};
use afferent_codec_conventional::open;
use afferent_media::{Image, Result, Sample};
use std::path::PathBuf;
use std::time::Duration;

const ROUND: Duration = Duration::from_millis(60);
const ROUNDS: usize = 9;
/// Bits per pixel that `optic` aims at.
const RATES: [f64; 4] = [0.05, 0.1, 0.2, 0.4];
const OTHERS: [(&str, &str); 3] = [("jpeg", "420"), ("webp", "m4"), ("webp", "m0")];

type Work<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The best round of each of `works` in runs per second, taking turns.
fn best(works: &mut [Work<'_>]) -> Result<Vec<f64>> {
    let mut best = vec![0.0; works.len()];
    for _ in 0..ROUNDS {
        for (work, best) in works.iter_mut().zip(&mut best) {
            let (start, mut runs) = (cpu_time(), 0);
            while cpu_time() - start < ROUND {
                work()?;
                runs += 1;
            }
            *best = f64::max(*best, f64::from(runs) / (cpu_time() - start).as_secs_f64());
        }
    }
    Ok(best)
}

/// One codec at one setting, its file of the picture, and what came back.
struct Point {
    name: String,
    codec: String,
    settings: Settings,
    file: Vec<u8>,
    rate: f64,
    psnr: f64,
}

fn point(registry: &Registry, image: &Image, id: &str, preset: Option<&str>, knob: u8) -> Result<Point> {
    let settings = Settings { preset: preset.map(str::to_owned), knob: Some(knob.into()), ..Settings::default() };
    let codec = registry.get(id)?;
    let mut file = Vec::new();
    let parts = SampleEncoder::new(codec.as_ref(), &settings)?.encode(&Sample::Image(image.clone()), &mut file)?;
    let mut out = Image::default();
    codec.image_decoder(&Limits::default())?.decode(&Container::parse(&file)?.chunks, &mut out)?;
    let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
    let error = image.data().iter().zip(out.data()).map(square).sum::<f64>() / image.data().len() as f64;
    Ok(Point {
        name: format!("{id} {} q{knob}", preset.unwrap_or("")),
        codec: id.to_owned(),
        settings,
        file,
        rate: (parts.codec().bits() / image.view().pixels()).0,
        psnr: 10.0 * (65_025.0 / error).log10(),
    })
}

/// The lowest quality at which `reached` is true; the highest if it never is.
fn search(
    registry: &Registry,
    image: &Image,
    (id, preset): (&str, Option<&str>),
    reached: impl Fn(&Point) -> bool,
) -> Result<Point> {
    let (mut low, mut high) = (0, 100);
    while low < high {
        let middle = (low + high) / 2;
        if reached(&point(registry, image, id, preset, middle.max(1))?) { high = middle } else { low = middle + 1 }
    }
    point(registry, image, id, preset, low.clamp(1, 100))
}

fn pictures(registry: &Registry, image: &Image) -> Result<()> {
    let mut points = Vec::new();
    for rate in RATES {
        let ours = search(registry, image, ("optic", None), |point| point.rate >= rate)?;
        let psnr = ours.psnr;
        points.push(ours);
        for (id, preset) in OTHERS {
            points.push(search(registry, image, (id, Some(preset)), |point| point.psnr >= psnr)?);
        }
    }
    for quality in [5, 25] {
        points.push(point(registry, image, "jpeg", Some("420"), quality)?);
    }
    let sample = Sample::Image(image.clone());
    let containers = points.iter().map(|point| Container::parse(&point.file)).collect::<Result<Vec<_>>>()?;
    let mut works: Vec<Work<'_>> = Vec::new();
    for (point, container) in points.iter().zip(&containers) {
        let codec = registry.get(&point.codec)?;
        let mut encoder = SampleEncoder::new(codec.as_ref(), &point.settings)?;
        let (mut file, sample) = (Vec::new(), &sample);
        works.push(Box::new(move || {
            file.clear();
            encoder.encode(sample, &mut file).map(drop)
        }));
        let (mut decoder, mut out) = (codec.image_decoder(&Limits::default())?, Image::default());
        works.push(Box::new(move || decoder.decode(&container.chunks, &mut out)));
    }
    let megapixels = f64::from(image.width()) * f64::from(image.height()) / 1e6;
    let speeds = best(&mut works)?;
    for (point, speed) in points.iter().zip(speeds.chunks_exact(2)) {
        let Point { name, rate, psnr, .. } = point;
        let (encode, decode) = (speed[0] * megapixels, speed[1] * megapixels);
        println!("{name:14} {rate:.3} bpp {psnr:5.2} dB: encode {encode:7.1} MPx/s, decode {decode:7.1} MPx/s");
    }
    Ok(())
}

/// The entropy coder alone, on decisions that adaptive probabilities meet one after
/// another, `share` of them ones.
fn decisions(share: f64) -> Result<()> {
    const COUNT: usize = 1 << 16;
    const MODELS: usize = 64;
    let mut seed = 9_u64;
    let bits: Vec<bool> = (0..COUNT)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) as f64) < share * f64::from(1_u32 << 31)
        })
        .collect();
    let fresh = || [Adaptive::new(1.0 - share); MODELS];
    let write = |bytes: &mut Vec<u8>| {
        bytes.clear();
        let (mut models, mut encoder) = (fresh(), Encoder::new(bytes));
        for (at, &bit) in bits.iter().enumerate() {
            encoder.bit(&mut models[at % MODELS], bit);
        }
        encoder.finish();
    };
    let (mut models, mut meter, mut bytes) = (fresh(), Meter::default(), Vec::new());
    for (at, &bit) in bits.iter().enumerate() {
        meter.bit(&mut models[at % MODELS], bit);
    }
    write(&mut bytes);
    let (mut scratch, bytes) = (Vec::new(), &bytes);
    let mut ones = 0_usize;
    let speeds = best(&mut [
        Box::new(|| {
            write(&mut scratch);
            Ok(())
        }),
        Box::new(|| {
            let (mut models, mut decoder) = (fresh(), Decoder::new(bytes));
            for at in 0..COUNT {
                ones += usize::from(decoder.bit(&mut models[at % MODELS], false));
            }
            Ok(())
        }),
    ])?;
    assert!(ones > 0);
    let (each, millions) = (meter.bits() / COUNT as f64, COUNT as f64 / 1e6);
    let (encode, decode) = (speeds[0] * millions, speeds[1] * millions);
    let over = 100.0 * (bytes.len() as f64 * 8.0 / meter.bits() - 1.0);
    println!(
        "entropy coder at {each:.2} bits a decision: encode {encode:6.1} M/s, decode {decode:6.1} M/s, {over:+.3} % bytes"
    );
    Ok(())
}

/// A line of `/proc/self/status`, in kB.
fn status(key: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().nth(1)?.parse().ok()
}

/// What encoding a large picture adds to the peak of resident memory, its pixels and the
/// file apart. Linux alone tells.
fn memory(registry: &Registry, image: &Image) -> Result<()> {
    let (width, height) = (1920, 1080);
    let view = image.view();
    let pixel = |x: u32, y: u32| &view.row(y % view.height())[3 * (x % view.width()) as usize..][..3];
    let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y).iter().copied())).collect();
    let sample = Sample::Image(Image::new(width, height, view.format(), data)?);
    for quality in [35_u8, 60] {
        let settings = Settings { knob: Some(quality.into()), ..Settings::default() };
        let mut file = Vec::with_capacity(4 << 20);
        // Starts the peak anew.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = status("VmRSS");
        let mut encoder = SampleEncoder::new(registry.get("optic")?.as_ref(), &settings)?;
        for _ in 0..3 {
            file.clear();
            encoder.encode(&sample, &mut file)?;
        }
        if let (Some(before), Some(after)) = (before, status("VmHWM")) {
            println!("encoding 1920x1080 at q{quality} adds {:.1} MB", (after - before) * 1024.0 / 1e6);
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut registry = Registry::new();
    afferent_codec_default::register(&mut registry);
    afferent_codec_conventional::register(&mut registry);
    let bundled = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/images/dragonfly.jpg");
    let file = std::env::args().nth(1).map_or_else(bundled, PathBuf::from);
    let image = open::image(&file, &Limits::default())?;
    println!("{}x{} pixels, linear inverse", image.width(), image.height());
    memory(&registry, &image)?;
    pictures(&registry, &image)?;
    for share in [0.5, 0.053] {
        decisions(share)?;
    }
    Ok(())
}
