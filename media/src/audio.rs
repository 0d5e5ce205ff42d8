//! Sound: 32-bit float planar buffers and views, full scale at ±1.

use crate::error::{Code, Error, Result};
use crate::units::Samples;

/// A borrowed stretch of planar sound, full scale at ±1.
#[derive(Debug, Clone, Copy)]
pub struct AudioView<'a> {
    rate: u32,
    channels: u16,
    frames: usize,
    /// Distance in samples from the start of one channel to the next.
    plane: usize,
    data: &'a [f32],
}

impl<'a> AudioView<'a> {
    /// A view of `data`: `channels` planes, one after the other.
    ///
    /// # Errors
    /// [`Code::Config`] if the rate or channel count is zero or the planes differ in length.
    pub fn new(rate: u32, channels: u16, data: &'a [f32]) -> Result<Self> {
        if rate == 0 || channels == 0 || !data.len().is_multiple_of(usize::from(channels)) {
            return Err(Error::new(
                Code::Config,
                format!("{} samples are no sound of {channels} channels at {rate} Hz", data.len()),
                "give a rate and a channel count above zero and channels of equal length",
            ));
        }
        let frames = data.len() / usize::from(channels);
        Ok(Self { rate, channels, frames, plane: frames, data })
    }

    /// Sampling rate in Hz.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Number of channels.
    #[must_use]
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// Samples per channel.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Length in seconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.rate)
    }

    /// Samples of all channels together.
    #[must_use]
    pub fn samples(&self) -> Samples {
        Samples(self.frames as u64 * u64::from(self.channels))
    }

    /// The samples of channel `c`; empty past the last channel.
    #[must_use]
    pub fn channel(&self, c: u16) -> &'a [f32] {
        let start = usize::from(c) * self.plane;
        if c < self.channels { self.data.get(start..start + self.frames).unwrap_or_default() } else { &[] }
    }

    /// The frames from `start` to `end`, clipped to what there is.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let start = start.min(self.frames);
        let end = end.clamp(start, self.frames);
        Self { frames: end - start, data: self.data.get(start..).unwrap_or_default(), ..*self }
    }

    /// An owned copy.
    #[must_use]
    pub fn to_audio(&self) -> Audio {
        let data = (0..self.channels).flat_map(|c| self.channel(c)).copied().collect();
        Audio { rate: self.rate, channels: self.channels, data }
    }
}

/// An owned stretch of planar sound. The default is empty, to be filled by a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    rate: u32,
    channels: u16,
    data: Vec<f32>,
}

impl Default for Audio {
    fn default() -> Self {
        Self { rate: 1, channels: 1, data: Vec::new() }
    }
}

impl Audio {
    /// Sound from planes, one after the other.
    ///
    /// # Errors
    /// As [`AudioView::new`].
    pub fn new(rate: u32, channels: u16, data: Vec<f32>) -> Result<Self> {
        AudioView::new(rate, channels, &data)?;
        Ok(Self { rate, channels, data })
    }

    /// Sound from interleaved samples.
    ///
    /// # Errors
    /// As [`AudioView::new`].
    pub fn from_interleaved(rate: u32, channels: u16, interleaved: &[f32]) -> Result<Self> {
        AudioView::new(rate, channels, interleaved)?;
        let step = usize::from(channels);
        let data = (0..step).flat_map(|c| interleaved.iter().skip(c).step_by(step)).copied().collect();
        Ok(Self { rate, channels, data })
    }

    /// Interleaved copy of the samples.
    #[must_use]
    pub fn interleaved(&self) -> Vec<f32> {
        let view = self.view();
        (0..view.frames()).flat_map(|i| (0..self.channels).map(move |c| view.channel(c)[i])).collect()
    }

    /// The planes, one after the other.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// A view of the whole.
    #[must_use]
    pub fn view(&self) -> AudioView<'_> {
        let frames = self.data.len() / usize::from(self.channels);
        AudioView { rate: self.rate, channels: self.channels, frames, plane: frames, data: &self.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_keeps_channels_apart() {
        let audio = Audio::from_interleaved(8000, 2, &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]).unwrap();
        assert_eq!(audio.data(), [1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
        let tail = audio.view().slice(1, 99);
        assert_eq!((tail.channel(0), tail.channel(1), tail.channel(2)), (&[2.0, 3.0][..], &[20.0, 30.0][..], &[][..]));
        assert_eq!(tail.to_audio().interleaved(), [2.0, 20.0, 3.0, 30.0]);
        assert_eq!(audio.view().slice(5, 9).frames(), 0);
    }
}
