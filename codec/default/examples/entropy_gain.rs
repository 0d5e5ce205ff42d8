//! What the context coder is worth: the same latents by other means.
//!
//! `entropy_gain FOLDER` codes every picture of a folder at several qualities and prints
//! the mean of bits per pixel: by the codec (adaptive contexts), by the same contexts
//! with probabilities that stand still, by one static table per band (its ideal code
//! length on these very latents: no real table does better), by zlib (level 9) and by
//! lossless WebP (libwebp, its slowest), both given the latents band by band.

use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_codec_default::fit;
use std::io::Write;

const QUALITIES: [u8; 6] = [10, 20, 26, 36, 47, 60];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder of pictures")?;
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::path);
    println!("quality,pictures,contexts,contexts_still,band_tables,zlib,webp_lossless");
    for quality in QUALITIES {
        let mut sums = [0.0; 5];
        let mut pictures = 0;
        for file in &files {
            let Ok(image) = open::image(&file.path(), &Limits::default()) else { continue };
            let pixels = f64::from(image.width()) * f64::from(image.height());
            pictures += 1;
            for strip in fit::strips(image.into_rgb().view(), quality) {
                let (adaptive, still) = fit::cost(&strip);
                let (mut static_bits, mut zlib, mut webp) = (0.0, 0, 0);
                for (width, values) in strip.bands() {
                    static_bits += order0(&values, width);
                    let bytes: Vec<u8> = values.iter().map(|&v| zigzag(v)).collect();
                    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
                    encoder.write_all(&bytes)?;
                    zlib += encoder.finish()?.len();
                    webp += lossless_webp(&bytes, width);
                }
                let bytes = |bytes: usize| 8.0 * bytes as f64;
                for (sum, bits) in sums.iter_mut().zip([adaptive, still, static_bits, bytes(zlib), bytes(webp)]) {
                    *sum += bits / pixels;
                }
            }
        }
        let means: Vec<String> = sums.iter().map(|sum| format!("{:.4}", sum / f64::from(pictures))).collect();
        println!("{quality},{pictures},{}", means.join(","));
    }
    Ok(())
}

/// A latent as a byte: small magnitudes, small bytes. What does not fit is cut, in
/// favour of whoever codes the bytes.
fn zigzag(value: i16) -> u8 {
    let value = i32::from(value).clamp(-127, 127);
    (if value < 0 { -2 * value - 1 } else { 2 * value }) as u8
}

/// Ideal code length of each band (`width` latents) under its own histogram, in bits.
fn order0(values: &[i16], width: usize) -> f64 {
    let mut bits = 0.0;
    for band in values.chunks(width) {
        let mut counts = std::collections::HashMap::new();
        for value in band {
            *counts.entry(value).or_insert(0_u32) += 1;
        }
        let total = band.len() as f64;
        bits -= counts.values().map(|&n| f64::from(n) * (f64::from(n) / total).log2()).sum::<f64>();
    }
    bits
}

#[allow(unsafe_code)]
fn lossless_webp(bytes: &[u8], width: usize) -> usize {
    let rgb: Vec<u8> = bytes.iter().flat_map(|&byte| [0, byte, 0]).collect();
    let (width, height) = (width as i32, (bytes.len() / width) as i32);
    let mut out = std::ptr::null_mut();
    // SAFETY: `rgb` holds `height` rows of `3 * width` bytes; libwebp's buffer is freed once.
    unsafe {
        let size = libwebp_sys::WebPEncodeLosslessRGB(rgb.as_ptr(), width, height, 3 * width, &raw mut out);
        libwebp_sys::WebPFree(out.cast());
        size
    }
}
