//! How fast AVIF is through its traits, on one thread, in CPU time of that thread:
//! the best of 15 rounds or of one that is long, on one bundled photograph of 640x480 pixels.
//! `cargo run --profile ci -p afferent-codec-avif --example avif_throughput`

use afferent_codec::{Codec, Container, ContainerWriter, Limits, SampleEncoder, Settings};
use afferent_codec_avif::Avif;
use afferent_codec_conventional::open;
use afferent_media::{Image, Result, Sample};
use std::path::Path;
use std::time::Duration;

const ROUND: Duration = Duration::from_millis(60);
const ROUNDS: usize = 15;

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs of `work` per second, in the best round.
fn best(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = 0.0;
    for _ in 0..ROUNDS {
        let start = cpu_time();
        let mut runs = 0;
        while cpu_time() - start < ROUND {
            work()?;
            runs += 1;
        }
        let seconds = (cpu_time() - start).as_secs_f64();
        best = f64::max(best, f64::from(runs) / seconds);
        if seconds > 1.0 {
            break;
        }
    }
    Ok(best)
}

fn main() -> Result<()> {
    let codec = Avif::new();
    let descriptor = codec.descriptor();
    println!("{}, vector code: {:?}", descriptor.implementation, descriptor.simd);
    let photograph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/images/dragonfly.jpg");
    let image = open::image(&photograph, &Limits::default())?;
    let megapixels = image.view().pixels().0 as f64 / 1e6;
    let sample = Sample::Image(image.clone());
    for preset in descriptor.presets {
        for quality in descriptor.knob.map_or_else(Vec::new, |knob| knob.points.to_vec()) {
            let mut settings = Settings { preset: Some((*preset).to_owned()), ..Settings::default() };
            settings.knob = Some(quality);
            let (mut encoder, mut writer) = (codec.image_encoder(&settings)?, ContainerWriter::new());
            let encode = best(|| {
                writer.clear();
                encoder.encode(image.view(), &mut writer)
            })?;
            let mut file = Vec::new();
            SampleEncoder::new(&codec, &settings)?.encode(&sample, &mut file)?;
            let container = Container::parse(&file)?;
            let (mut decoder, mut out) = (codec.image_decoder(&Limits::default())?, Image::default());
            let decode = best(|| decoder.decode(&container.chunks, &mut out))?;
            let bpp = (container.parts.codec().bits() / image.view().pixels()).0;
            println!(
                "{preset:3} q{quality:<3} encode {:7.2} MP/s, decode {:6.1} MP/s, {bpp:.3} bpp, {} bytes of header",
                encode * megapixels,
                decode * megapixels,
                container.parts.header.0,
            );
        }
    }
    Ok(())
}
