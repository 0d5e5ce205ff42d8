//! AVIF stills, by libaom through libavif: what `avifenc` writes.
//!
//! Presets are libavif's speeds: `s6` (default, libavif's own), `s0` (slowest,
//! smallest), `s10` (fastest). libaom runs in its all-intra usage at `cpu-used` 6, 0
//! and 9 (libavif's 10 is 9), on one thread, tuned for SSIM as libavif sets it.
//!
//! The knob is libavif's quality, 0 to 100: libaom's `cq-level` is
//! `((100 - quality) * 63 + 50) / 100`, rounded down, from 63 (worst) to 0. At 100
//! the coding of the planes is lossless; the conversion of colours is not.
//!
//! Colour is 8-bit 4:2:0 (chroma averaged over 2x2 pixels, interpolated bilinearly
//! when decoding), BT.601 matrix, full range, marked as sRGB. Grey is coded as
//! monochrome and stays grey. The conversion is libavif's own, without vector code
//! (libyuv is not linked): it weighs most in decoding and in `s10`.
//!
//! Rate parts: the frame (its AV1 frame header and all tiles) is payload; every box
//! of the file with all that is not `mdat`'s content, and in `mdat` the temporal
//! delimiter and the sequence header, are codec header.
//!
//! The decoder takes files of the shape that the encoder writes, which any program
//! reads: one still picture, without alpha, grid, gain map or animation. All else is
//! refused.
//!
//! ```
//! use afferent_codec::{Container, Limits, Registry, SampleDecoder, SampleEncoder, Settings};
//! use afferent_media::{Image, PixelFormat, Sample};
//!
//! let mut registry = Registry::new();
//! afferent_codec_avif::register(&mut registry);
//! let mut encoder = SampleEncoder::new(registry.get("avif")?.as_ref(), &Settings::default())?;
//!
//! let grey = Sample::Image(Image::new(64, 48, PixelFormat::Gray8, vec![128; 64 * 48])?);
//! let mut file = Vec::new();
//! let parts = encoder.encode(&grey, &mut file)?;
//! assert_eq!(parts.storage().0, file.len() as u64);
//!
//! let mut decoder = SampleDecoder::new(registry, Limits::default());
//! assert_eq!(decoder.decode(&Container::parse(&file)?)?, grey);
//! # Ok::<(), afferent_media::Error>(())
//! ```

mod file;
mod sys;

use afferent_codec::{
    Chunk, Codec, ContainerWriter, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, Knob, Limits, Registry,
    Settings, Simd, Tier,
};
use afferent_media::{Bytes, Code, Error, Image, ImageView, Modality, PixelFormat, Result};

/// The most pixels on a side: what libavif reads unless told otherwise.
const MAX_SIDE: u32 = 32_768;

/// Adds the codec of this crate.
pub fn register(registry: &mut Registry) {
    registry.add(Avif::new());
}

/// The AVIF codec.
#[derive(Debug)]
pub struct Avif(Descriptor);

impl Avif {
    /// The codec.
    #[must_use]
    pub fn new() -> Self {
        let [aom, avif] = sys::versions();
        Self(Descriptor {
            id: "avif",
            version: 1,
            modality: Modality::Image,
            family: Family::Conventional,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: format!("libaom {aom} via libavif {avif}"),
            simd: if cfg!(aom_simd) { Simd::Yes } else { Simd::No },
            external: false,
            delay_samples: 0,
            frame_samples: 0,
            macs_per_unit: None,
            knob: Some(Knob {
                name: "quality",
                unit: "",
                min: 0.0,
                max: 100.0,
                default: 60.0,
                whole: true,
                points: [10.0, 35.0, 70.0],
            }),
            progressive: false,
            synthesis: false,
            presets: &["s6", "s0", "s10"],
            licence: "BSD-2-Clause",
            extension: "avif",
        })
    }
}

impl Default for Avif {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Avif {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn settings_note(&self, preset: &str) -> String {
        format!("speed={} usage=all-intra tune=ssim chroma=420 matrix=bt601 range=full", speed(preset))
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (preset, quality) = settings.resolve(&self.0)?;
        let config = sys::Config { quality: quality.unwrap_or(60.0) as i32, speed: speed(preset) };
        Ok(Box::new(Encoder { config, file: Vec::new() }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(Decoder(*limits)))
    }
}

/// libavif's speed of a preset.
fn speed(preset: &str) -> i32 {
    match preset {
        "s0" => 0,
        "s10" => 10,
        _ => 6,
    }
}

struct Encoder {
    config: sys::Config,
    file: Vec<u8>,
}

impl ImageEncoder for Encoder {
    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        let (width, height) = (image.width(), image.height());
        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(Error::new(
                Code::Unsupported,
                format!("AVIF files of {width}x{height} pixels are not read everywhere"),
                format!("crop or scale the image to at most {MAX_SIDE} pixels on a side"),
            ));
        }
        self.file.clear();
        sys::encode(self.config, image, &mut self.file)?;
        let layout = file::layout(&self.file).ok_or_else(|| internal("libavif wrote a file of another shape"))?;
        out.push(&self.file, Bytes(0), Bytes((self.file.len() - layout.frame_bytes) as u64))
    }
}

struct Decoder(Limits);

impl ImageDecoder for Decoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        let [chunk] = chunks else {
            return Err(corrupt(format!("an image needs exactly one intact chunk, there are {}", chunks.len())));
        };
        let layout = file::layout(chunk.bytes)
            .ok_or_else(|| corrupt("the AVIF file is damaged, or not one still picture without alpha"))?;
        self.0.check_image(layout.width, layout.height)?;
        sys::decode(chunk.bytes, layout.width, layout.height, out)
    }
}

/// The error for a bitstream that cannot be what an encoder wrote.
fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Code::Corrupt, what, "get the file or packet again from its source")
}

/// The error for a library that failed.
fn internal(what: impl Into<String>) -> Error {
    Error::new(Code::Internal, what, "report this with the image")
}

/// The error for a pixel layout that came after this codec.
fn unknown(format: PixelFormat) -> Error {
    Error::new(Code::Unsupported, format!("this codec does not take {format:?}"), "convert the image to RGB or grey")
}
