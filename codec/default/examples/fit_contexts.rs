//! Fits the context tables: `fit_contexts OUT LIST FOLDER…` reads the photographs of a
//! list (`models/train/optic/photographs.csv`) in the folders and writes `contexts.bin`.

use afferent_codec::Limits;
use afferent_codec_default::fit;
use afferent_media::Sample;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// From .06 to .8 bits per pixel.
const QUALITIES: [u8; 7] = [12, 20, 28, 36, 44, 52, 60];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("name the file to write")?);
    let list = arguments.next().ok_or("name the list of photographs")?;
    let folders: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let mut files = Vec::new();
    for row in csv::Reader::from_path(&list)?.records() {
        let row = row?;
        let (name, digest) = (&row[0], &row[1]);
        let path = folders.iter().map(|folder| folder.join(name)).find(|path| path.exists());
        let path = path.ok_or_else(|| format!("{name} is in none of the folders"))?;
        let found: String = Sha256::digest(std::fs::read(&path)?).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != digest {
            return Err(format!("{} is not the file that the list means: its SHA-256 differs", path.display()).into());
        }
        files.push(path);
    }
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
