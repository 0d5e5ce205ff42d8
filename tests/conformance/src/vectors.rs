//! What is coded: pictures and sounds made in integers, the same on every machine, and
//! some of the bundled ones.

use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_media::{Audio, Image, PixelFormat, Result, Sample};
use rand_pcg::{Pcg32, rand_core::Rng};
use std::path::Path;

/// The largest picture that every preset codes; the default preset codes all.
pub const SMALL_PIXELS: u64 = 60_000;

/// Bundled photographs, and recordings of speech, by their place under `data/demo`.
const BUNDLED: [&str; 4] =
    ["images/brook.jpg", "images/paintbrushes.jpg", "speech/tt-weasels.flac", "speech/vm-newuser.flac"];

/// One picture or sound.
#[derive(Debug)]
pub struct Vector {
    /// Name, unique among the vectors.
    pub name: String,
    /// What is coded.
    pub sample: Sample,
}

impl Vector {
    fn new(name: impl Into<String>, sample: impl Into<Option<Sample>>) -> Option<Self> {
        Some(Self { name: name.into(), sample: sample.into()? })
    }

    /// Whether presets other than a codec's default code it too.
    #[must_use]
    pub fn small(&self) -> bool {
        match &self.sample {
            Sample::Image(image) => image.view().pixels().0 <= SMALL_PIXELS,
            Sample::Audio(_) => true,
        }
    }
}

/// All vectors: those made here, and those of `bundled` (the folder `data/demo`).
///
/// # Errors
/// As [`open::sample`], for the bundled ones.
pub fn all(bundled: Option<&Path>) -> Result<Vec<Vector>> {
    let mut vectors = made();
    for place in BUNDLED {
        let Some(folder) = bundled else { continue };
        let sample = open::sample(&folder.join(place), &Limits::default())?;
        let name = place.split(['/', '.']).nth(1).unwrap_or(place);
        vectors.push(Vector { name: name.to_owned(), sample });
    }
    Ok(vectors)
}

/// The vectors that are made here.
#[must_use]
pub fn made() -> Vec<Vector> {
    let grey = PixelFormat::Gray8;
    let rgb = PixelFormat::Rgb8;
    let pictures = [
        ("one-pixel", scene(1, 1, rgb, 1)),
        ("one-pixel-grey", scene(1, 1, grey, 2)),
        ("one-row", scene(301, 1, rgb, 3)),
        ("one-column", scene(1, 77, grey, 4)),
        ("odd-17x33", scene(17, 33, rgb, 5)),
        ("flat", picture(64, 48, rgb, |_, _, _| 113)),
        ("ramps", picture(256, 200, rgb, |x, y, c| (x * (3 - c) / 2 + y * c / 2) as u8)),
        ("extremes", picture(98, 81, rgb, |x, y, c| if (x * 3 + y * 5 + c * 7) % 11 < 5 { 255 } else { 0 })),
        ("stripes", picture(130, 70, grey, |x, _, _| if x % 2 == 0 { 255 } else { 0 })),
        ("noise", noise(160, 120, rgb)),
        ("noise-grey", noise(99, 101, grey)),
        ("text", picture(240, 160, grey, text)),
        ("scene-227", scene(227, 227, rgb, 6)),
        ("scene-227-grey", scene(227, 227, grey, 7)),
        ("scene-768x512", scene(768, 512, rgb, 8)),
        ("tall", scene(176, 1700, rgb, 9)),
    ];
    let sounds = [
        ("tone-16k", sound(16_000, 1, 20_011)),
        ("tone-8k", sound(8_000, 1, 5_600)),
        ("tone-48k-stereo", sound(48_000, 2, 48_960)),
        ("tone-44k1", sound(44_100, 1, 22_050)),
        ("one-sample", sound(16_000, 1, 1)),
    ];
    pictures.into_iter().chain(sounds).filter_map(|(name, sample)| Vector::new(name, sample)).collect()
}

fn picture(width: u32, height: u32, format: PixelFormat, mut value: impl FnMut(u32, u32, u32) -> u8) -> Option<Sample> {
    let channels = format.channels() as u32;
    let mut data = Vec::with_capacity((width * height * channels) as usize);
    for y in 0..height {
        for x in 0..width {
            data.extend((0..channels).map(|c| value(x, y, c)));
        }
    }
    Image::new(width, height, format, data).ok().map(Sample::Image)
}

fn noise(width: u32, height: u32, format: PixelFormat) -> Option<Sample> {
    let mut random = Pcg32::new(0x5eed, u64::from(width));
    picture(width, height, format, |_, _, _| (random.next_u32() >> 24) as u8)
}

/// Strokes of one and two pixels on paper, as letters are.
fn text(x: u32, y: u32, _: u32) -> u8 {
    let (column, row) = (x / 9, y / 14);
    let mut glyph = Pcg32::new(u64::from(column), u64::from(row));
    let strokes = glyph.next_u32();
    let (x, y) = (x % 9, y % 14);
    let upright = y > 1 && y < 11 && ((x == 1 && strokes & 1 != 0) || (x / 2 == 3 && strokes & 2 != 0));
    let level = x > 0 && x < 8 && ((y == 2 && strokes & 4 != 0) || (y == 6 && strokes & 8 != 0) || (y == 10));
    if strokes.is_multiple_of(5) || !(upright || level) { 244 } else { 16 }
}

/// Something like a photograph: noise of many sizes, the same in all channels but for a
/// part, and edges through it.
fn scene(width: u32, height: u32, format: PixelFormat, seed: u64) -> Option<Sample> {
    /// Sizes of noise as powers of two, and how much each weighs.
    const OCTAVES: [(u32, i32); 4] = [(1, 7), (3, 16), (5, 40), (7, 80)];
    // Knots of every octave: one plane for all channels, and one for each.
    let grids: Vec<[Vec<i32>; 4]> = OCTAVES
        .iter()
        .map(|(octave, _)| {
            std::array::from_fn(|plane| {
                let mut random = Pcg32::new(seed, u64::from(*octave) * 4 + plane as u64);
                let count = ((width >> octave) + 2) * ((height >> octave) + 2);
                (0..count).map(|_| (random.next_u32() >> 22) as i32 - 512).collect()
            })
        })
        .collect();
    picture(width, height, format, |x, y, c| {
        let mut value = 128 << 9;
        for ((octave, weight), planes) in OCTAVES.iter().zip(&grids) {
            let size = 1 << octave;
            let columns = (width >> octave) + 2;
            let at = ((y >> octave) * columns + (x >> octave)) as usize;
            let (right, down) = ((x % size) as i32, (y % size) as i32);
            let size = size as i32;
            let smooth = |plane: &[i32]| {
                let across = |at: usize| plane[at] * (size - right) + plane[at + 1] * right;
                (across(at) * (size - down) + across(at + columns as usize) * down) / (size * size)
            };
            value += smooth(&planes[0]) * weight * 3 / 4 + smooth(&planes[c as usize + 1]) * weight / 4;
        }
        if (3 * x + 2 * y) / 90 % 3 == 0 {
            value += 60 << 9;
        }
        (value >> 9).clamp(0, 255) as u8
    })
}

/// Something like a voice: triangle waves whose pitch and loudness wander, between
/// noises; 16-bit values.
fn sound(rate: u32, channels: u16, frames: usize) -> Option<Sample> {
    let mut data = Vec::with_capacity(frames * usize::from(channels));
    for channel in 0..u32::from(channels) {
        let mut random = Pcg32::new(u64::from(rate), u64::from(channel));
        let mut phase = 0_u32;
        let mut pitch = 140;
        let mut low = 0_i32;
        for at in 0..frames as u32 {
            if at % (rate / 25) == 0 {
                pitch = 90 + channel * 30 + random.next_u32() % 160;
            }
            phase = phase.wrapping_add((u64::from(pitch) << 32).div_euclid(u64::from(rate)) as u32);
            let wave = |harmonic: u32| ((phase.wrapping_mul(harmonic) as i32) >> 16).abs() - 16_384;
            let hiss = (random.next_u32() >> 17) as i32 - 16_384;
            low += (hiss - low) / 4;
            let voiced = at / (rate / 5) % 3 != 2;
            let loud = (at % (rate / 5)) as i64 * 256 / i64::from(rate / 5);
            let value = if voiced { wave(1) + wave(3) / 2 + wave(7) / 4 + low / 16 } else { low / 2 };
            let value = i64::from(value) * (256 - loud) / 512;
            data.push(value.clamp(-32_768, 32_767) as f32 / 32_768.0);
        }
    }
    Audio::new(rate, channels, data).ok().map(Sample::Audio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    /// If this fails, results of before are of other vectors.
    #[test]
    fn the_vectors_are_what_they_were() {
        let vectors = made();
        assert_eq!(vectors.len(), 21);
        let all: String = vectors.iter().map(|vector| digest::sample(&vector.sample)).collect();
        assert_eq!(digest::bytes(all.as_bytes()), "e232eb0cf6bbdef67f0ffc34e691910a076f110477249905f959d2e009e6788d");
    }
}
