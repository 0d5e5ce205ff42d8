//! 16-bit PCM: signed, little-endian, interleaved, one chunk per second
//! (per 262,144 frames at rates above that).
//!
//! Full scale ±1 becomes ±32,768: a sample is multiplied by 32,768, rounded to
//! the nearest integer (ties away from zero) and clipped to -32,768 ..= 32,767;
//! NaN becomes 0. Sound that came from 16-bit integers divided by 32,768 returns
//! exactly. There is no header: rate, channels and length are the container's.
//!
//! A chunk that was lost is silence in the decoded sound.

use crate::corrupt;
use crate::sound::{check_places, same_stream};
use afferent_codec::{
    AudioDecoder, AudioEncoder, AudioShape, Chunk, Codec, ContainerWriter, Descriptor, Exactness, Family, Limits,
    Settings, Simd, Tier,
};
use afferent_media::{Audio, AudioView, Bytes, Modality, Result};

const FULL_SCALE: f32 = 32_768.0;

/// The PCM codec.
#[derive(Debug)]
pub struct Pcm(Descriptor);

impl Pcm {
    /// The codec.
    #[must_use]
    pub fn new() -> Self {
        Self(Descriptor {
            id: "pcm",
            version: 1,
            modality: Modality::Audio,
            family: Family::Lossless,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: concat!("afferent ", env!("CARGO_PKG_VERSION")).into(),
            simd: Simd::NotApplicable,
            external: false,
            delay_samples: 0,
            frame_samples: 1,
            macs_per_unit: None,
            knob: None,
            progressive: true,
            synthesis: false,
            presets: &["s16"],
            licence: env!("CARGO_PKG_LICENSE"),
            extension: "s16le",
        })
    }
}

impl Default for Pcm {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Pcm {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn audio_encoder(&self, settings: &Settings) -> Result<Box<dyn AudioEncoder>> {
        settings.resolve(&self.0)?;
        Ok(Box::new(Encoder::default()))
    }

    fn audio_decoder(&self, limits: &Limits) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Decoder(*limits)))
    }
}

/// The 16-bit value of `sample`.
pub(crate) fn quantise(sample: f32) -> i16 {
    // `as` clips, and makes NaN zero.
    (sample * FULL_SCALE).round() as i16
}

#[derive(Default)]
struct Encoder {
    /// Rate and channels of the stream, once its first stretch came.
    stream: Option<(u32, u16)>,
    chunk: Vec<u8>,
}

impl AudioEncoder for Encoder {
    fn encode(&mut self, audio: AudioView<'_>, out: &mut ContainerWriter) -> Result<()> {
        same_stream(&mut self.stream, audio)?;
        let step = 2 * usize::from(audio.channels());
        let whole = chunk_frames(audio.rate()) as usize * step;
        let mut rest = audio;
        while rest.frames() > 0 {
            let begun = self.chunk.len();
            let frames = rest.frames().min((whole - begun) / step);
            self.chunk.resize(begun + frames * step, 0);
            for channel in 0..rest.channels() {
                let places = self.chunk[begun + 2 * usize::from(channel)..].chunks_mut(step);
                for (place, &sample) in places.zip(rest.channel(channel)) {
                    place[..2].copy_from_slice(&quantise(sample).to_le_bytes());
                }
            }
            if self.chunk.len() == whole {
                out.push(&self.chunk, Bytes(0), Bytes(0))?;
                self.chunk.clear();
            }
            rest = rest.slice(frames, rest.frames());
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut ContainerWriter) -> Result<()> {
        self.stream = None;
        if self.chunk.is_empty() {
            return Ok(());
        }
        let written = out.push(&self.chunk, Bytes(0), Bytes(0));
        self.chunk.clear();
        written
    }
}

struct Decoder(Limits);

impl AudioDecoder for Decoder {
    fn decode(&mut self, shape: &AudioShape, chunks: &[Chunk<'_>], out: &mut Audio) -> Result<()> {
        self.0.check_audio(shape.rate, shape.channels, shape.frames)?;
        let step = 2 * usize::from(shape.channels);
        let (frames, whole) = (shape.frames as usize, chunk_frames(shape.rate));
        check_places(chunks, shape.frames.div_ceil(whole))?;
        let mut planes = vec![0.0; frames * usize::from(shape.channels)];
        for chunk in chunks {
            let start = chunk.index as u64 * whole;
            let expected = (shape.frames - start).min(whole) as usize * step;
            if chunk.bytes.len() != expected {
                return Err(corrupt(format!(
                    "PCM chunk {} has {} bytes where {expected} belong",
                    chunk.index,
                    chunk.bytes.len()
                )));
            }
            for (frame, samples) in (start as usize..).zip(chunk.bytes.chunks_exact(step)) {
                for (channel, sample) in samples.as_chunks::<2>().0.iter().enumerate() {
                    planes[channel * frames + frame] = f32::from(i16::from_le_bytes(*sample)) / FULL_SCALE;
                }
            }
        }
        *out = Audio::new(shape.rate, shape.channels, planes)?;
        Ok(())
    }
}

/// Frames of a whole chunk: one second, but never more than memory should hold.
fn chunk_frames(rate: u32) -> u64 {
    u64::from(rate.clamp(1, 1 << 18))
}
