//! Fits the context tables: `fit_contexts OUT FOLDER…` reads every picture under the
//! folders and writes `contexts.bin`.

use afferent_codec::Limits;
use afferent_codec_default::fit;
use afferent_media::Sample;
use std::path::{Path, PathBuf};

/// From .06 to .8 bits per pixel.
const QUALITIES: [u8; 7] = [12, 20, 28, 36, 44, 52, 60];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("name the file to write")?);
    let mut files = Vec::new();
    for folder in arguments {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if matches!(path.extension().and_then(|e| e.to_str()), Some("png" | "webp" | "jpg")) {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &Path| match afferent_codec_conventional::open::sample(path, &Limits::default()) {
        Ok(Sample::Image(image)) => Some(image.into_rgb()),
        _ => None,
    };
    let mut moments = fit::Moments::default();
    for (at, file) in files.iter().step_by(4).enumerate() {
        let Some(image) = read(file) else { continue };
        for strip in fit::strips(image.view(), QUALITIES[at % QUALITIES.len()]) {
            moments.add(&strip);
        }
    }
    let weights = moments.solve();
    let mut counts = Vec::new();
    let (mut bits, mut pixels) = (0.0, 0.0);
    for file in &files {
        let Some(image) = read(file) else { continue };
        for quality in QUALITIES {
            for strip in fit::strips(image.view(), quality) {
                bits += fit::count(&mut counts, &weights, &strip);
            }
            pixels += f64::from(image.width()) * f64::from(image.height());
        }
    }
    std::fs::write(&out, fit::file(&weights, &counts))?;
    println!("{} pictures, {:.4} bits per pixel", files.len(), bits / pixels);
    Ok(())
}
