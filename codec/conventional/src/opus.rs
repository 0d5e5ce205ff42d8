//! Opus, by libopus: RFC 6716 packets in our chunks.
//!
//! Frames of 20 ms, complexity 10, unconstrained VBR: what `opusenc` and FFmpeg
//! do unless told otherwise. `bitrate` is the target for the whole stream, all
//! channels together. Presets are libopus's applications: `audio` (default, picks
//! speech or music coding by itself), `voip` (tuned for intelligible speech; its
//! high-pass filter bounds any comparison of waveforms, such as SI-SDR, whatever the
//! rate), `lowdelay` (no speech coding, least delay). One or two channels.
//!
//! # Time
//! The encoder's look-ahead is compensated to the sample: decoding returns exactly
//! the frames that were encoded, in place. (Where libopus codes speech at less than
//! the sound's rate, its own resamplers lead by a fraction of a sample of the coded
//! rate: up to 50 µs.) 8, 12, 16, 24 and 48 kHz are coded as
//! they are. Any other rate from 1 to 768 kHz is resampled to the next of these
//! above it (48 kHz at most) by [`afferent_media::resample`], and back when
//! decoded; then the encoder holds a clip until its end, within the default
//! [`Limits`], and codes it as a whole.
//!
//! # Input
//! NaN becomes 0 and everything is clipped to ±1, as any converter would.
//!
//! # Chunks
//! One per second: 50 frames, fewer in the last.
//!
//! ```text
//! look-ahead:u8 (in units of 0.5 ms) | { length:varint | packet } …
//! ```
//!
//! The look-ahead, the lengths and the packets' first byte (TOC) are codec header;
//! the rest of the packets is payload. A chunk that was lost is concealed by
//! libopus (silence from its second successor on); the decoder recovers within
//! some 100 ms of the next chunk, whose packets predict from the lost ones.

mod chunk;
mod decoder;
mod encoder;

use afferent_codec::{
    AudioDecoder, AudioEncoder, Codec, Descriptor, Exactness, Family, Knob, Limits, Settings, Simd, Tier,
};
use afferent_media::{Code, Error, Modality, Result};
use opusic_c::{Application, Channels, ErrorCode, SampleRate};

/// Frames per second and per chunk.
const FRAMES_PER_CHUNK: u64 = 50;

/// The Opus codec.
#[derive(Debug)]
pub struct Opus(Descriptor);

impl Opus {
    /// The codec.
    #[must_use]
    pub fn new() -> Self {
        Self(Descriptor {
            id: "opus",
            version: 1,
            modality: Modality::Audio,
            family: Family::Conventional,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: opusic_c::version().into(),
            // libopus selects its vector code at run time on these architectures.
            simd: if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) { Simd::Yes } else { Simd::No },
            // One frame and 6.5 ms of look-ahead, at 48 kHz.
            external: false,
            delay_samples: 960 + 312,
            frame_samples: 960,
            macs_per_unit: None,
            knob: Some(Knob {
                name: "bitrate",
                unit: "kb/s",
                min: 6.0,
                max: 256.0,
                default: 32.0,
                whole: false,
                points: [6.0, 16.0, 32.0],
            }),
            progressive: true,
            synthesis: false,
            presets: &["audio", "voip", "lowdelay"],
            licence: "BSD-3-Clause",
            extension: "opus-packets",
        })
    }
}

impl Default for Opus {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Opus {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn audio_encoder(&self, settings: &Settings) -> Result<Box<dyn AudioEncoder>> {
        let (preset, kilobits) = settings.resolve(&self.0)?;
        let application = match preset {
            "voip" => Application::Voip,
            "lowdelay" => Application::LowDelay,
            _ => Application::Audio,
        };
        let bitrate = (kilobits.unwrap_or(32.0) * 1000.0).round() as u32;
        Ok(Box::new(encoder::Encoder::new(application, bitrate)))
    }

    fn audio_decoder(&self, limits: &Limits) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(decoder::Decoder::new(limits)))
    }
}

/// How sound of some rate and channel count is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// The rate at which libopus codes.
    rate: SampleRate,
    channels: Channels,
}

impl Plan {
    fn new(rate: u32, channels: u16) -> Result<Self> {
        let channels = match channels {
            1 => Channels::Mono,
            2 => Channels::Stereo,
            _ => {
                return Err(Error::new(
                    Code::Unsupported,
                    format!("Opus is given {channels} channels"),
                    "code one or two channels per stream",
                ));
            }
        };
        let rate = match rate {
            1_000..=8_000 => SampleRate::Hz8000,
            8_001..=12_000 => SampleRate::Hz12000,
            12_001..=16_000 => SampleRate::Hz16000,
            16_001..=24_000 => SampleRate::Hz24000,
            24_001..=768_000 => SampleRate::Hz48000,
            _ => {
                return Err(Error::new(
                    Code::Unsupported,
                    format!("Opus is given sound at {rate} Hz"),
                    "give a rate from 1,000 to 768,000 Hz",
                ));
            }
        };
        Ok(Self { rate, channels })
    }

    /// Samples of all channels in one 20 ms frame.
    fn frame_samples(self) -> usize {
        self.frame() * self.channels()
    }

    /// Samples per channel in one 20 ms frame.
    fn frame(self) -> usize {
        self.rate as usize / 50
    }

    fn rate(self) -> u32 {
        self.rate as u32
    }

    fn channels(self) -> usize {
        self.channels as usize
    }

    /// Frames at the coded rate of `frames` at `rate`, as the resampler rounds;
    /// refused above `limits`, because a low rate may grow 48-fold.
    fn coded_frames(self, rate: u32, frames: u64, limits: &Limits) -> Result<u64> {
        let (from, to) = (u64::from(rate), u64::from(self.rate()));
        let coded = if from == to { frames } else { frames.saturating_mul(to).saturating_add(from / 2) / from };
        limits.check_audio(self.rate(), self.channels as u16, coded)?;
        Ok(coded)
    }
}

fn failed(cause: ErrorCode) -> Error {
    Error::new(Code::Internal, "libopus failed", "report this with the sound").caused_by(cause.message())
}
