//! How long the image metrics take on the bundled images, in one thread.
//!
//! `cargo run --profile ci -p afferent-measure --example metric_throughput`
//!
//! Each image is compared with itself, coarsely quantised, so often that a
//! second passes; the median is told. `measure/golden/throughput.py` does the
//! same by the reference implementations.

use afferent_measure::metrics::image;
use afferent_media::{Code, Error, ImageView, PixelFormat, Result};
use std::path::Path;
use std::time::{Duration, Instant};

const IMAGES: [&str; 3] = ["clock", "dandelion", "room"];

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/demo/images");
    println!("image,width,height,metric,median_ms,images_per_second,value");
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
            let (median, per_second) = timed(&|| measure().map(drop))?;
            println!("{name},{width},{height},{metric},{median:.3},{per_second:.1},{value:.6}");
        }
    }
    Ok(())
}

/// The median time in ms over runs of a second together, and how many of those fit in a second.
fn timed(run: &dyn Fn() -> Result<()>) -> Result<(f64, f64)> {
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    Ok((median * 1e3, 1.0 / median))
}
