//! Resampling of sound: the one implementation for the whole product.
//!
//! By `rubato`'s synchronous FFT resampler (fixed ratio), whose start-up delay
//! is trimmed so that source and result stay aligned.

use crate::audio::{Audio, AudioView};
use crate::error::{Code, Error, Result};
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Resamples `source` to `rate` Hz. The result has
/// `round(frames * rate / source rate)` frames and is aligned with the source.
///
/// # Errors
/// [`Code::Config`] if the rate is zero or the ratio is beyond the resampler.
pub fn resample(source: AudioView<'_>, rate: u32) -> Result<Audio> {
    if rate == source.rate() {
        return Ok(source.to_audio());
    }
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(
            Code::Config,
            format!("cannot resample from {} to {rate} Hz", source.rate()),
            "give a usual sampling rate",
        )
        .caused_by(cause)
    };
    if rate == 0 {
        return Err(failed("the rate is zero".into()));
    }
    let channels = usize::from(source.channels());
    let frames = (source.frames() as u64 * u64::from(rate) + u64::from(source.rate()) / 2) / u64::from(source.rate());
    let frames = usize::try_from(frames).map_err(|e| failed(e.into()))?;
    let packed = source.to_audio();
    let input =
        SequentialSlice::new(packed.data(), channels, source.frames()).map_err(|e| failed(e.to_string().into()))?;
    // The filter's centre lies between two samples unless the block is even:
    // then the result would be half a sample late.
    let least = source.rate() as usize / gcd(source.rate(), rate) as usize;
    let block = least * BLOCK.div_ceil(least).next_multiple_of(2);
    let mut resampler = Fft::<f32>::new(source.rate() as usize, rate as usize, block, channels, FixedSync::Both)
        .map_err(|e| failed(e.into()))?;
    let out = resampler.process_all(&input, source.frames(), None).map_err(|e| failed(e.into()))?;
    let interleaved = out.take_data();
    let mut audio = Audio::from_interleaved(rate, source.channels(), &interleaved)?;
    if audio.view().frames() != frames {
        // Rounding of the length may differ by a frame from ours: cut or repeat silence.
        let view = audio.view();
        let data = (0..source.channels())
            .flat_map(|c| (0..frames).map(move |i| view.channel(c).get(i).copied().unwrap_or(0.0)))
            .collect();
        audio = Audio::new(rate, source.channels(), data)?;
    }
    Ok(audio)
}

/// Frames that are resampled at a time, at least.
const BLOCK: usize = 1024;

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_keeps_its_length_place_and_level() {
        for (from, to) in [(44_100, 48_000), (48_000, 16_000), (22_050, 48_000)] {
            let tone = |rate: u32| -> Vec<f32> {
                (0..rate).map(|i| (i as f32 / rate as f32 * 440.0 * std::f32::consts::TAU).sin()).collect()
            };
            let source = Audio::new(from, 1, tone(from)).unwrap();
            let out = resample(source.view(), to).unwrap();
            let expected = tone(to);
            assert_eq!(out.data().len(), expected.len());
            let middle = 2000..to as usize - 2000;
            let worst = middle.map(|i| (out.data()[i] - expected[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{from} -> {to}: {worst}");
        }
    }
}
