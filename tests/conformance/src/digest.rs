//! SHA-256 of samples, latents and bytes.

use afferent_media::Sample;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Of bytes, in hexadecimal.
#[must_use]
pub fn bytes(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Of latents, as 16-bit little-endian numbers.
#[must_use]
pub fn latents(latents: &[i16]) -> String {
    bytes(&latents.iter().flat_map(|level| level.to_le_bytes()).collect::<Vec<_>>())
}

/// Of a sample: its shape, then [`values`].
#[must_use]
pub fn sample(sample: &Sample) -> String {
    let mut all = match sample {
        Sample::Image(image) => format!("{}x{} {:?} ", image.width(), image.height(), image.format()),
        Sample::Audio(audio) => format!("{} Hz {} ", audio.view().rate(), audio.view().channels()),
    }
    .into_bytes();
    all.extend(values(sample));
    bytes(&all)
}

/// The values of a sample: pixels as bytes, sound as 32-bit little-endian floats.
#[must_use]
pub fn values(sample: &Sample) -> Vec<u8> {
    match sample {
        Sample::Image(image) => image.data().to_vec(),
        Sample::Audio(audio) => audio.data().iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

/// The greatest difference between a sample and the [`values`] of another: in grey levels,
/// or in 1/32,768 of full scale. `None` if they are not of one shape.
#[must_use]
pub fn difference(sample: &Sample, other: &[u8]) -> Option<f64> {
    match sample {
        Sample::Image(image) => {
            let pairs = image.data().iter().zip(other);
            (image.data().len() == other.len())
                .then(|| pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).fold(0.0, f64::max))
        }
        Sample::Audio(audio) => {
            let (others, rest) = other.as_chunks::<4>();
            let pairs = audio.data().iter().zip(others);
            (rest.is_empty() && audio.data().len() == others.len()).then(|| {
                pairs.map(|(a, b)| f64::from((a - f32::from_le_bytes(*b)).abs()) * 32_768.0).fold(0.0, f64::max)
            })
        }
    }
}
