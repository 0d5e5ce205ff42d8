//! How long ST-LPIPS takes in tract on the bundled images, in one thread.
//!
//! `cargo run --profile ci -p afferent-models-tract --example similarity_throughput`
//!
//! The model comes through the store. Each image, whole and its first 256×256
//! pixels, is compared with itself, coarsely quantised, for five seconds. The
//! median is told, the mean time on the processor, which hardly depends on what
//! else the machine does (where Linux tells it), and how long the first run of a
//! size took, which optimises the network. `measure/golden/throughput.py` does
//! the same by the reference.

use afferent_measure::DeepSimilarity;
use afferent_media::{Code, Error, ImageView, PixelFormat, Result};
use afferent_models::Store;
use afferent_models_tract::SizedNetwork;
use std::path::Path;
use std::time::{Duration, Instant};

const IMAGES: [&str; 3] = ["clock", "dandelion", "room"];

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/images");
    let mut network = SizedNetwork::load(&Store::from_env()?.resolve("st-lpips-alex")?.path)?;
    println!("image,width,height,metric,first_ms,median_ms,cpu_ms,value");
    for name in IMAGES {
        let path = folder.join(name).with_extension("jpg");
        let bytes = std::fs::read(&path).map_err(|e| Error::io(path.display().to_string(), e))?;
        let picture = turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB).map_err(|e| {
            Error::new(Code::Corrupt, path.display().to_string(), "restore the bundled images").caused_by(e)
        })?;
        let coarse: Vec<u8> = picture.pixels.iter().map(|value| value / 24 * 24 + 12).collect();
        for (width, height) in [(256, 256), (picture.width as u32, picture.height as u32)] {
            let view = |pixels| ImageView::new(width, height, picture.pitch, PixelFormat::Rgb8, pixels);
            let (pristine, decoded) = (view(&picture.pixels)?, view(&coarse)?);
            let mut run = || -> Result<(f64, f64)> {
                let start = Instant::now();
                let distance = DeepSimilarity::ST_LPIPS_ALEX.distance(&mut network, pristine, decoded)?;
                Ok((distance, start.elapsed().as_secs_f64() * 1e3))
            };
            let (value, first) = run()?;
            let (start, cpu, mut times) = (Instant::now(), on_processor(), Vec::new());
            while times.is_empty() || start.elapsed() < Duration::from_secs(5) {
                times.push(run()?.1);
            }
            let cpu = (on_processor() - cpu) / times.len() as f64;
            times.sort_by(f64::total_cmp);
            let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
            let id = DeepSimilarity::ST_LPIPS_ALEX.id;
            println!("{name},{width},{height},{id},{first:.0},{median:.0},{cpu:.0},{value:.6}");
        }
    }
    Ok(())
}

/// How long this thread has run, in ms: the first number of Linux's `schedstat`, in ns.
fn on_processor() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(f64::NAN, |ns| ns / 1e6)
}
