//! How fast the server turns what `optic` coded into pictures: by the linear inverse and
//! by each network of the zoo, on each backend that can be had.
//!
//! *decode* is bitstream to pixels, *both ways* pixels to bitstream to pixels. Wall time,
//! the best of three rounds, nothing else running; the networks use the threads that
//! their backend takes, which is every core. Run it optimised, with a picture or with a
//! bundled one of 640x480:
//! `cargo run --profile ci -p afferent-runtime --example synthesis_throughput [FILE]`

use afferent_codec::{Container, Limits, SampleDecoder, SampleEncoder, Settings};
use afferent_codec_conventional::open;
use afferent_media::{Result, Sample};
use afferent_models::Store;
use afferent_runtime::backend::{Backend, Require};
use afferent_runtime::synthesis::{Flavours, LINEAR, Syntheses};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// At which the bitstream is made.
const QUALITY: f32 = 35.0;

/// Runs per second in the best round, after one run that builds what there is to build.
fn best(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut best = 0.0;
    for _ in 0..ROUNDS {
        let (start, mut runs) = (Instant::now(), 0);
        while start.elapsed() < ROUND {
            work()?;
            runs += 1;
        }
        best = f64::max(best, f64::from(runs) / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<()> {
    let bundled = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../data/demo/images/dragonfly.jpg");
    let file = std::env::args().nth(1).map_or_else(bundled, PathBuf::from);
    let image = open::image(&file, &Limits::default())?;
    let megapixels = f64::from(image.width()) * f64::from(image.height()) / 1e6;
    let mut registry = afferent_codec_conventional::registry();
    afferent_codec_default::register(&mut registry);
    let settings = Settings { knob: Some(QUALITY), ..Settings::default() };
    let mut encoder = SampleEncoder::new(registry.get("optic")?.as_ref(), &settings)?;
    let (sample, mut bytes) = (Sample::Image(image), Vec::new());
    let rate = encoder.encode(&sample, &mut bytes)?.codec().bits().0 as f64 / (megapixels * 1e6);
    println!("{megapixels:.2} MPx, quality {QUALITY}, {rate:.3} bpp");

    let backends = [None, Some(Require::Tract), Some(Require::Ort(afferent_models_ort::Provider::Cpu))];
    for require in backends {
        let flavours: &[&str] = if require.is_some() { &["faithful", "generative"] } else { &[LINEAR] };
        let backend = match require {
            None => None,
            require => match Backend::open(&Store::from_env()?, require) {
                Ok(backend) => Some(backend),
                Err(error) => {
                    println!("passed over: {error}");
                    continue;
                }
            },
        };
        for &flavour in flavours {
            let syntheses = Syntheses::new(Store::from_env()?, None, Flavours::all(flavour))?;
            let syntheses = match &backend {
                Some(backend) => syntheses.on(backend.clone()),
                None => syntheses,
            };
            let provider = match syntheses.get("optic", flavour)? {
                Some(network) => network.provider().to_owned(),
                None => "no network".to_owned(),
            };
            let mut decoder = SampleDecoder::new(syntheses.registry(&registry, flavour)?, Limits::default());
            let decode = best(|| decoder.decode(&Container::parse(&bytes)?).map(drop))?;
            let mut again = Vec::new();
            let both = best(|| {
                again.clear();
                encoder.encode(&sample, &mut again)?;
                decoder.decode(&Container::parse(&again)?).map(drop)
            })?;
            println!(
                "{flavour:10} {provider:10} decode {:6.2} MPx/s, both ways {both:6.1} pictures/s",
                decode * megapixels
            );
        }
    }
    Ok(())
}
