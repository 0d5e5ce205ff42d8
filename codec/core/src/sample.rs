//! One sample in, one container out, and back.

use crate::codec::{AudioDecoder, AudioEncoder, Codec, ImageDecoder, ImageEncoder, Limits, Settings};
use crate::container::{AudioShape, Container, ContainerWriter, Geometry, Header, ImageShape};
use crate::registry::Registry;
use crate::scale::{self, Resize};
use afferent_media::{Audio, Code, Error, Image, Modality, RateParts, Result, Sample};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The preset of a container whose image a camera has coded: no preset of the codec,
/// and no knob, as nobody here chose them.
pub const ADOPTED: &str = "camera";

enum Inner {
    Image(Box<dyn ImageEncoder>),
    Audio(Box<dyn AudioEncoder>),
}

/// Encodes whole samples at one operating point (resize × preset × knob) into
/// containers.
pub struct SampleEncoder {
    inner: Inner,
    header: Header,
    resize: Resize,
    resized_in: Option<Duration>,
    writer: ContainerWriter,
    /// An image as the codec takes it, where it does not take the sample's own format.
    converted: Image,
}

impl SampleEncoder {
    /// An encoder of `codec` at `settings`.
    ///
    /// # Errors
    /// [`Code::Config`] for settings out of range, or a resize of sound.
    pub fn new(codec: &dyn Codec, settings: &Settings) -> Result<Self> {
        let descriptor = codec.descriptor();
        let (preset, knob) = settings.resolve(descriptor)?;
        if descriptor.modality == Modality::Audio && !settings.resize.is_none() {
            return Err(Error::new(
                Code::Config,
                format!("{} codes sound, which has no size to change", descriptor.id),
                "leave `resize` out",
            ));
        }
        let (inner, geometry) = match descriptor.modality {
            Modality::Image => (
                Inner::Image(codec.image_encoder(settings)?),
                Geometry::Image(ImageShape { width: 0, height: 0, format: afferent_media::PixelFormat::Rgb8 }),
            ),
            Modality::Audio => (
                Inner::Audio(codec.audio_encoder(settings)?),
                Geometry::Audio(AudioShape { rate: 0, channels: 0, frames: 0 }),
            ),
        };
        let header = Header {
            codec: descriptor.id.to_owned(),
            codec_version: descriptor.version,
            preset: preset.to_owned(),
            knob,
            geometry,
            weights: codec.weights(),
        };
        let writer = ContainerWriter::new();
        Ok(Self { inner, header, resize: settings.resize, resized_in: None, writer, converted: Image::default() })
    }

    /// Writes the container of `sample` to the end of `out`.
    ///
    /// # Errors
    /// [`Code::Unsupported`] if the sample is not of the codec's modality or
    /// has a geometry that the codec cannot take.
    pub fn encode(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<RateParts> {
        self.writer.clear();
        self.resized_in = None;
        self.header.geometry = match (&mut self.inner, sample) {
            (Inner::Image(encoder), Sample::Image(image)) => {
                let source = image.view();
                let shape = ImageShape { width: source.width(), height: source.height(), format: source.format() };
                // The one place where camera frames become RGB or grey, for codecs that take nothing else.
                let view = if encoder.takes(source.format()) {
                    source
                } else {
                    source.interleave(&mut self.converted)?;
                    self.converted.view()
                };
                if self.resize.is_none() {
                    encoder.encode(view, &mut self.writer)?;
                    Geometry::Image(shape)
                } else {
                    let start = Instant::now();
                    let smaller = self.resize.shrink(view)?;
                    self.resized_in = Some(start.elapsed());
                    encoder.encode(smaller.view(), &mut self.writer)?;
                    Geometry::ResizedImage(shape, self.resize)
                }
            }
            (Inner::Audio(encoder), Sample::Audio(audio)) => {
                let view = audio.view();
                encoder.encode(view, &mut self.writer)?;
                encoder.finish(&mut self.writer)?;
                Geometry::Audio(AudioShape {
                    rate: view.rate(),
                    channels: view.channels(),
                    frames: view.frames() as u64,
                })
            }
            (_, sample) => {
                return Err(Error::new(
                    Code::Unsupported,
                    format!("{} cannot code {}", self.header.codec, sample.modality()),
                    "choose a codec of the sample's modality (the command `codecs` lists them)",
                ));
            }
        };
        self.writer.seal(&self.header, out)
    }

    /// Writes the container of an image that a camera has coded in this codec's
    /// format to the end of `out`, with [`ADOPTED`] for its preset.
    ///
    /// # Errors
    /// [`Code::Unsupported`] if the codec passes nothing on or images are to be
    /// resized, [`Code::Corrupt`] if `file` is damaged or cut.
    pub fn adopt(&mut self, file: &[u8], out: &mut Vec<u8>) -> Result<RateParts> {
        self.writer.clear();
        self.resized_in = None;
        let Inner::Image(encoder) = &mut self.inner else {
            return Err(Error::new(
                Code::Unsupported,
                format!("{} codes no images", self.header.codec),
                "choose a codec for images (the command `codecs` lists them)",
            ));
        };
        if !self.resize.is_none() {
            return Err(Error::new(
                Code::Unsupported,
                "a coded image cannot be resized",
                "decode it first, or leave `resize` out",
            ));
        }
        let geometry = Geometry::Image(encoder.adopt(file, &mut self.writer)?);
        let header = Header { preset: ADOPTED.to_owned(), knob: None, geometry, ..self.header.clone() };
        self.writer.seal(&header, out)
    }

    /// How long the last sample took to be made smaller; `None` if nothing was resized.
    #[must_use]
    pub fn resized_in(&self) -> Option<Duration> {
        self.resized_in
    }
}

enum Decoder {
    Image(Box<dyn ImageDecoder>),
    Audio(Box<dyn AudioDecoder>),
}

/// Decodes containers of any codec of a registry, keeping one decoder per codec.
pub struct SampleDecoder {
    registry: Registry,
    limits: Limits,
    decoders: HashMap<String, Decoder>,
    restored_in: Option<Duration>,
}

impl SampleDecoder {
    /// A decoder over `registry` within `limits`.
    #[must_use]
    pub fn new(registry: Registry, limits: Limits) -> Self {
        Self { registry, limits, decoders: HashMap::new(), restored_in: None }
    }

    /// How long the last sample took to be made as large as its source again;
    /// `None` if it had not been resized.
    #[must_use]
    pub fn restored_in(&self) -> Option<Duration> {
        self.restored_in
    }

    /// Decodes a parsed container; an image that was resized before coding comes
    /// back at its source's size. Where chunks are damaged or missing, a codec that
    /// is progressive decodes from those that are there; `container.damaged` says
    /// which it went without.
    ///
    /// # Errors
    /// [`Code::NotFound`] for a codec that is not in the registry,
    /// [`Code::Unsupported`] for another version of its bitstream or other weights,
    /// [`Code::Corrupt`] for damaged or contradictory content, [`Code::Limit`]
    /// before memory is taken for a sample above the limits.
    pub fn decode(&mut self, container: &Container<'_>) -> Result<Sample> {
        self.restored_in = None;
        let header = &container.header;
        let codec = self.registry.get(&header.codec)?;
        let descriptor = codec.descriptor();
        if descriptor.version != header.codec_version || descriptor.modality != header.geometry.modality() {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "{} version {} of {} is not known to this build (it knows version {} of {})",
                    header.codec,
                    header.codec_version,
                    header.geometry.modality(),
                    descriptor.version,
                    descriptor.modality
                ),
                "use a build that knows this version",
            ));
        }
        if header.weights != codec.weights() {
            let told = |weights: Option<[u8; 8]>| match weights {
                Some(digest) => digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                None => "none".to_owned(),
            };
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "{} was coded with other tables than this build has ({}, here {})",
                    header.codec,
                    told(header.weights),
                    told(codec.weights())
                ),
                "use a build that knows these tables",
            ));
        }
        if !descriptor.progressive {
            container.check_intact()?;
        }
        match &header.geometry {
            Geometry::Image(shape) | Geometry::ResizedImage(shape, _) => {
                self.limits.check_image(shape.width, shape.height)?;
            }
            Geometry::Audio(shape) => self.limits.check_audio(shape.rate, shape.channels, shape.frames)?,
        }
        if !self.decoders.contains_key(&header.codec) {
            let decoder = match descriptor.modality {
                Modality::Image => Decoder::Image(codec.image_decoder(&self.limits)?),
                Modality::Audio => Decoder::Audio(codec.audio_decoder(&self.limits)?),
            };
            self.decoders.insert(header.codec.clone(), decoder);
        }
        let contradiction =
            |what: String| Error::new(Code::Corrupt, what, "get the file or packet again from its source");
        match (self.decoders.get_mut(&header.codec), &header.geometry) {
            (Some(Decoder::Image(decoder)), Geometry::Image(shape) | Geometry::ResizedImage(shape, _)) => {
                let mut image = Image::default();
                decoder.decode(&container.chunks, &mut image)?;
                let resize = header.geometry.resize();
                let (width, height) = resize.apply(shape.width, shape.height);
                if (image.width(), image.height()) != (width, height) {
                    return Err(contradiction(format!(
                        "the bitstream holds {}x{} pixels, its container says {width}x{height}",
                        image.width(),
                        image.height(),
                    )));
                }
                if resize.is_none() {
                    return Ok(Sample::Image(image));
                }
                let start = Instant::now();
                let image = scale::restore(image.view(), shape.width, shape.height)?;
                self.restored_in = Some(start.elapsed());
                Ok(Sample::Image(image))
            }
            (Some(Decoder::Audio(decoder)), Geometry::Audio(shape)) => {
                let mut audio = Audio::default();
                decoder.decode(shape, &container.chunks, &mut audio)?;
                let view = audio.view();
                if (view.rate(), view.channels(), view.frames() as u64) != (shape.rate, shape.channels, shape.frames) {
                    return Err(contradiction(format!(
                        "the bitstream holds {} frames of {} channels at {} Hz, its container says {} of {} at {}",
                        view.frames(),
                        view.channels(),
                        view.rate(),
                        shape.frames,
                        shape.channels,
                        shape.rate
                    )));
                }
                Ok(Sample::Audio(audio))
            }
            _ => Err(contradiction(format!("{} changed its modality", header.codec))),
        }
    }
}
