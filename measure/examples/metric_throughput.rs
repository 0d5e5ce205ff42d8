//! How long the image metrics take on the bundled images, in one thread.
//!
//! `cargo run --profile ci -p afferent-measure --example metric_throughput`
//!
//! Each image is compared with itself, coarsely quantised, so often that a
//! second passes. The median is told, and the mean time on the processor, which
//! hardly depends on what else the machine does (where Linux tells it).
//! `measure/golden/throughput.py` does the same by the reference implementations.

use afferent_measure::metrics::image;
use afferent_media::{Code, Error, ImageView, PixelFormat, Result};
use std::path::Path;
use std::time::{Duration, Instant};

const IMAGES: [&str; 3] = ["clock", "dandelion", "room"];

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/demo/images");
    println!("image,width,height,metric,median_ms,cpu_ms,value");
    for name in IMAGES {
        let path = folder.join(name).with_extension("jpg");
        let bytes = std::fs::read(&path).map_err(|e| Error::io(path.display().to_string(), e))?;
        let picture = turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB).map_err(|e| {
            Error::new(Code::Corrupt, path.display().to_string(), "restore the bundled images").caused_by(e)
        })?;
        let coarse: Vec<u8> = picture.pixels.iter().map(|value| value / 24 * 24 + 12).collect();
        let (width, height) = (picture.width as u32, picture.height as u32);
        let view = |pixels| ImageView::new(width, height, picture.pitch, PixelFormat::Rgb8, pixels);
        let (pristine, decoded) = (view(&picture.pixels)?, view(&coarse)?);
        let metrics: [(&str, &dyn Fn() -> Result<f64>); 4] = [
            ("psnr", &|| image::squared_error(pristine, decoded).map(|(sse, values)| image::psnr_db(sse, values))),
            ("ssim", &|| image::ssim(pristine, decoded)),
            ("ms-ssim", &|| image::ms_ssim(pristine, decoded)),
            ("all", &|| image::compare(pristine, decoded).map(|quality| quality.psnr_y_db())),
        ];
        for (metric, measure) in metrics {
            let value = measure()?;
            let (median, cpu) = timed(&|| measure().map(drop))?;
            println!("{name},{width},{height},{metric},{median:.3},{cpu:.3},{value:.6}");
        }
    }
    Ok(())
}

/// The median time and the mean time on the processor, in ms, over runs of a second together.
fn timed(run: &dyn Fn() -> Result<()>) -> Result<(f64, f64)> {
    let (start, cpu, mut times) = (Instant::now(), on_processor(), Vec::new());
    while start.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = (on_processor() - cpu) / times.len() as f64;
    times.sort_by(f64::total_cmp);
    Ok((times.get(times.len() / 2).copied().unwrap_or(f64::NAN), cpu))
}

/// How long this thread has run, in ms: the first number of Linux's `schedstat`, in ns.
fn on_processor() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(f64::NAN, |ns| ns / 1e6)
}
