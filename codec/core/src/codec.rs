//! The traits of a codec.

use crate::container::{Chunk, ContainerWriter, ImageShape};
use crate::descriptor::Descriptor;
use crate::scale::Resize;
use afferent_media::{Audio, AudioView, Code, Error, Image, ImageView, Modality, PixelFormat, Result};

/// An operating point of a codec: how large it sees the sample, by which preset,
/// and where it stands on its knob.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// Preset by name; the codec's first where `None`.
    pub preset: Option<String>,
    /// Knob in the codec's native unit; the codec's default where `None`.
    pub knob: Option<f32>,
    /// By what ratio images are made smaller first. The codec itself never
    /// looks at it: [`crate::SampleEncoder`] does the resizing.
    pub resize: Resize,
}

impl Settings {
    /// The knob and preset that `descriptor` makes of these settings.
    ///
    /// # Errors
    /// [`Code::Config`] if the preset is unknown, the knob is out of range or
    /// not whole where it must be, or a knob is given to a codec without one.
    pub fn resolve(&self, descriptor: &Descriptor) -> Result<(&'static str, Option<f32>)> {
        let id = descriptor.id;
        let preset = match &self.preset {
            None => descriptor.presets.first().copied().unwrap_or_default(),
            Some(name) => descriptor.presets.iter().find(|known| *known == name).copied().ok_or_else(|| {
                Error::new(
                    Code::Config,
                    format!("{id} has no preset `{name}`"),
                    format!("use one of: {}", descriptor.presets.join(", ")),
                )
            })?,
        };
        let knob = match (&descriptor.knob, self.knob) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Error::new(Code::Config, format!("{id} has no knob"), "leave the knob out"));
            }
            (Some(knob), value) => {
                let value = value.unwrap_or(knob.default);
                if !(knob.min..=knob.max).contains(&value) || (knob.whole && value.fract() != 0.0) {
                    return Err(Error::new(
                        Code::Config,
                        format!("{id} cannot take {} = {value}", knob.name),
                        format!(
                            "use a {} from {} to {}{}{}",
                            if knob.whole { "whole number" } else { "number" },
                            knob.min,
                            knob.max,
                            if knob.unit.is_empty() { "" } else { " " },
                            knob.unit
                        ),
                    ));
                }
                Some(value)
            }
        };
        Ok((preset, knob))
    }
}

/// What a decoder may take before it must refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels of an image.
    pub max_pixels: u64,
    /// Most samples of sound, all channels together.
    pub max_samples: u64,
    /// Most channels of sound.
    pub max_channels: u16,
}

impl Default for Limits {
    /// 64 megapixels; 30 minutes of stereo at 48 kHz; 8 channels.
    fn default() -> Self {
        Self { max_pixels: 64 << 20, max_samples: 30 * 60 * 48_000 * 2, max_channels: 8 }
    }
}

impl Limits {
    /// Refuses an image header before memory is taken for it.
    ///
    /// # Errors
    /// [`Code::Corrupt`] for an empty image, [`Code::Limit`] above `max_pixels`.
    pub fn check_image(&self, width: u32, height: u32) -> Result<()> {
        if width == 0 || height == 0 {
            return Err(Error::new(
                Code::Corrupt,
                format!("a header says {width}x{height} pixels"),
                "encode the sample again",
            ));
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(Error::new(
                Code::Limit,
                format!("a header asks for {width}x{height} pixels, above the limit of {}", self.max_pixels),
                "raise the decoder's limit if this image is meant, or reject its sender",
            ));
        }
        Ok(())
    }

    /// Refuses a sound header before memory is taken for it.
    ///
    /// # Errors
    /// [`Code::Corrupt`] for no channel or rate, [`Code::Limit`] above `max_samples` or `max_channels`.
    pub fn check_audio(&self, rate: u32, channels: u16, frames: u64) -> Result<()> {
        if rate == 0 || channels == 0 {
            return Err(Error::new(
                Code::Corrupt,
                format!("a header says {channels} channels at {rate} Hz"),
                "encode the sample again",
            ));
        }
        if channels > self.max_channels || frames.saturating_mul(u64::from(channels)) > self.max_samples {
            return Err(Error::new(
                Code::Limit,
                format!(
                    "a header asks for {frames} frames of {channels} channels, above the limit of {} samples and {} channels",
                    self.max_samples, self.max_channels
                ),
                "raise the decoder's limit if this sound is meant, or reject its sender",
            ));
        }
        Ok(())
    }
}

/// Encodes images one by one.
pub trait ImageEncoder: Send {
    /// Whether it takes images of `format` as they are. What it does not take,
    /// [`crate::SampleEncoder`] converts to RGB or 8-bit grey first, which every codec takes.
    fn takes(&self, format: PixelFormat) -> bool {
        matches!(format, PixelFormat::Rgb8 | PixelFormat::Gray8)
    }

    /// Writes `image` into `out` as one or more chunks, stating for each chunk
    /// how many of its bytes are payload, side information and codec header.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a pixel format or size the codec cannot take.
    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()>;

    /// Writes `file`, which a camera coded in this codec's format, into `out` without
    /// coding it again, and says what it holds. The format said is that of its pixels
    /// once decoded.
    ///
    /// # Errors
    /// [`Code::Unsupported`] if this codec takes nothing that others coded (the
    /// default), [`Code::Corrupt`] if `file` is damaged or cut.
    fn adopt(&mut self, file: &[u8], out: &mut ContainerWriter) -> Result<ImageShape> {
        let _ = (file, out);
        Err(Error::new(
            Code::Unsupported,
            "this codec does not pass on what a camera has coded",
            "decode the frame, and encode it",
        ))
    }
}

/// Decodes images one by one.
pub trait ImageDecoder: Send {
    /// Decodes the chunks of one container into `out`, reusing its allocation.
    ///
    /// # Errors
    /// [`Code::Corrupt`] for a damaged bitstream, [`Code::Limit`] before memory
    /// is taken for an image above the limits.
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()>;
}

/// Encodes a stream of sound.
pub trait AudioEncoder: Send {
    /// Takes the next stretch of sound and writes what became whole into `out`.
    /// Every stretch of one stream has the same rate and channel count.
    ///
    /// # Errors
    /// [`Code::Unsupported`] for a rate or channel count the codec cannot take.
    fn encode(&mut self, audio: AudioView<'_>, out: &mut ContainerWriter) -> Result<()>;

    /// Ends the stream: writes what is left, and readies the encoder for the next one.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn finish(&mut self, out: &mut ContainerWriter) -> Result<()>;
}

/// Decodes a stream of sound.
pub trait AudioDecoder: Send {
    /// Decodes the chunks of one container into `out`: exactly the frames that
    /// were encoded, aligned with the source to the sample.
    ///
    /// # Errors
    /// [`Code::Corrupt`] for a damaged bitstream, [`Code::Limit`] before memory
    /// is taken for sound above the limits.
    fn decode(&mut self, shape: &crate::container::AudioShape, chunks: &[Chunk<'_>], out: &mut Audio) -> Result<()>;
}

/// One codec: what it is, and a maker of its encoders and decoders. A codec
/// implements the pair of its modality.
pub trait Codec: Send + Sync {
    /// What it is.
    fn descriptor(&self) -> &Descriptor;

    /// First eight bytes of the SHA-256 of what was learned and both ends must share:
    /// weights, tables. Written into every container; a decoder takes no other.
    fn weights(&self) -> Option<[u8; 8]> {
        None
    }

    /// What a preset (one of the descriptor's) settles beside the knob, for whoever
    /// compares codecs: `key=value` words of the encoder's effort, chroma
    /// subsampling, colour matrix and range, for example
    /// `speed=6 chroma=420 matrix=bt601 range=full`. Empty where there is nothing to say.
    fn settings_note(&self, preset: &str) -> String {
        let _ = preset;
        String::new()
    }

    /// An image encoder at these settings.
    ///
    /// # Errors
    /// [`Code::Config`] for settings out of range, [`Code::Unsupported`] if it
    /// is no image codec.
    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let _ = settings;
        Err(self.wrong_modality(Modality::Image))
    }

    /// An image decoder within these limits.
    ///
    /// # Errors
    /// [`Code::Unsupported`] if it is no image codec.
    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        let _ = limits;
        Err(self.wrong_modality(Modality::Image))
    }

    /// A sound encoder at these settings.
    ///
    /// # Errors
    /// [`Code::Config`] for settings out of range, [`Code::Unsupported`] if it
    /// is no sound codec.
    fn audio_encoder(&self, settings: &Settings) -> Result<Box<dyn AudioEncoder>> {
        let _ = settings;
        Err(self.wrong_modality(Modality::Audio))
    }

    /// A sound decoder within these limits.
    ///
    /// # Errors
    /// [`Code::Unsupported`] if it is no sound codec.
    fn audio_decoder(&self, limits: &Limits) -> Result<Box<dyn AudioDecoder>> {
        let _ = limits;
        Err(self.wrong_modality(Modality::Audio))
    }

    #[doc(hidden)]
    fn wrong_modality(&self, asked: Modality) -> Error {
        let descriptor = self.descriptor();
        Error::new(
            Code::Unsupported,
            format!("{} codes {}, not {asked}", descriptor.id, descriptor.modality),
            format!("choose a codec for {asked} (the command `codecs` lists them)"),
        )
    }
}
