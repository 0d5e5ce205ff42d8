//! SNR and SI-SDR of sound.

use afferent_media::{AudioView, Code, Error, Result};

/// How near a stretch of sound is to its pristine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioQuality {
    /// Sum of squares of the pristine, all channels together.
    pub signal_energy: f64,
    /// Sum of squares of decoded minus pristine, all channels together.
    pub error_energy: f64,
    /// Scale-invariant signal-to-distortion ratio in dB, mean over channels:
    /// see [`si_sdr_db`]. Infinite for equal sound, not a number for silence.
    pub si_sdr_db: f64,
}

impl AudioQuality {
    /// Signal-to-noise ratio in dB; infinite for equal sound, not a number for
    /// equal silence.
    #[must_use]
    pub fn snr_db(&self) -> f64 {
        decibels(self.signal_energy, self.error_energy)
    }
}

/// Compares `decoded` with `pristine`: energies over all channels, SI-SDR per
/// channel and averaged over those that are not silent.
///
/// # Errors
/// [`Code::Config`] if their rates, channel counts or lengths differ, or there
/// is no sample.
pub fn compare(pristine: AudioView<'_>, decoded: AudioView<'_>) -> Result<AudioQuality> {
    let shape = |audio: AudioView<'_>| (audio.rate(), audio.channels(), audio.frames());
    let describe = |audio: AudioView<'_>| {
        format!("{} frames of {} channels at {} Hz", audio.frames(), audio.channels(), audio.rate())
    };
    if shape(pristine) != shape(decoded) {
        return Err(Error::new(
            Code::Config,
            format!("{} cannot be compared with {}", describe(decoded), describe(pristine)),
            "resample, trim and align the decoded sound to the pristine first",
        ));
    }
    if pristine.frames() == 0 {
        return Err(Error::new(Code::Config, "there is no sound to compare", "give at least one sample"));
    }
    let (mut signal_energy, mut error_energy) = (0.0, 0.0);
    let (mut sum, mut heard) = (0.0, 0u32);
    for channel in 0..pristine.channels() {
        let (pristine, decoded) = (pristine.channel(channel), decoded.channel(channel));
        signal_energy += pristine.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>();
        error_energy += pairs(pristine, decoded).map(|(s, d)| (d - s) * (d - s)).sum::<f64>();
        let ratio = si_sdr_db(pristine, decoded);
        if !ratio.is_nan() {
            sum += ratio;
            heard += 1;
        }
    }
    Ok(AudioQuality { signal_energy, error_energy, si_sdr_db: sum / f64::from(heard) })
}

/// Scale-invariant signal-to-distortion ratio in dB of one channel (Le Roux,
/// Wisdom, Erdogan and Hershey 2019), after the mean of each signal has been
/// removed: with α = ⟨d, s⟩ / ‖s‖², 10 log10(‖αs‖² / ‖αs − d‖²), in 64-bit
/// floats, without any ε. A constant offset or gain of the decoder does not
/// count as distortion.
///
/// Infinite for equal signals, minus infinity if nothing of the pristine is
/// left, not a number if the pristine is silent or constant. Samples past the
/// end of the shorter slice are passed over.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn si_sdr_db(pristine: &[f32], decoded: &[f32]) -> f64 {
    let n = pristine.len().min(decoded.len());
    let mean = |signal: &[f32]| signal[..n].iter().copied().map(f64::from).sum::<f64>() / n as f64;
    let (pristine_mean, decoded_mean) = (mean(pristine), mean(decoded));
    let centred = || pairs(pristine, decoded).map(|(s, d)| (s - pristine_mean, d - decoded_mean));
    if !pristine[..n].iter().any(|&s| s.to_bits() != pristine[0].to_bits()) {
        // A constant is silence once its mean is gone; rounding must not speak.
        return f64::NAN;
    }
    let (product, energy) = centred().fold((0.0, 0.0), |(product, energy), (s, d)| (product + s * d, energy + s * s));
    let scale = product / energy;
    let (target, residual) = centred().fold((0.0, 0.0), |(target, residual), (s, d)| {
        let projected = scale * s;
        (target + projected * projected, residual + (projected - d) * (projected - d))
    });
    if target == 0.0 { f64::NEG_INFINITY } else { decibels(target, residual) }
}

fn decibels(signal: f64, error: f64) -> f64 {
    10.0 * (signal / error).log10()
}

fn pairs(a: &[f32], b: &[f32]) -> impl Iterator<Item = (f64, f64)> {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)))
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect()
    }

    fn quality(channels: u16, pristine: &[f32], decoded: &[f32]) -> AudioQuality {
        let view = |data| AudioView::new(16_000, channels, data).unwrap();
        compare(view(pristine), view(decoded)).unwrap()
    }

    #[test]
    fn shapes_that_differ_are_refused_with_a_remedy() {
        let (long, short) = (wave(100), wave(99));
        let view = |data| AudioView::new(16_000, 1, data).unwrap();
        let error = compare(view(&long), view(&short)).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(error.remedy().contains("align"), "{error}");
        let other_rate = AudioView::new(8000, 1, &long).unwrap();
        assert_eq!(compare(view(&long), other_rate).unwrap_err().code(), Code::Config);
        assert_eq!(compare(view(&[]), view(&[])).unwrap_err().code(), Code::Config);
    }

    #[test]
    fn equal_sound_is_infinite_and_silence_has_no_ratio() {
        let sound = wave(400);
        let equal = quality(1, &sound, &sound);
        assert_eq!((equal.error_energy, equal.si_sdr_db, equal.snr_db()), (0.0, f64::INFINITY, f64::INFINITY));
        let lost = quality(1, &sound, &[0.0; 400]);
        assert_eq!(lost.si_sdr_db, f64::NEG_INFINITY);
        assert!(lost.snr_db().abs() < 1e-9);
        assert!(quality(1, &[0.0; 400], &sound).si_sdr_db.is_nan());
        assert!(quality(1, &[0.1; 400], &sound).si_sdr_db.is_nan(), "a constant is no signal");
    }

    #[test]
    fn gain_and_offset_are_no_distortion() {
        let sound = wave(400);
        let louder: Vec<f32> = sound.iter().map(|s| s * 0.5 + 0.25).collect();
        // All values are multiples of 2^-7: nothing is rounded but the means.
        assert!(quality(1, &sound, &louder).si_sdr_db > 200.0);
    }

    #[test]
    fn a_silent_channel_is_left_out_of_the_mean() {
        let sound = wave(200);
        let coded: Vec<f32> =
            sound.iter().enumerate().map(|(i, s)| s + if i % 2 == 0 { 0.01 } else { -0.01 }).collect();
        let alone = quality(1, &sound, &coded).si_sdr_db;
        let silence = vec![0.0; 200];
        let beside = quality(2, &[sound, silence.clone()].concat(), &[coded, silence].concat()).si_sdr_db;
        assert_eq!(alone, beside);
    }
}
