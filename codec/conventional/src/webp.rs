//! Lossy WebP, by libwebp.
//!
//! Presets are the encoder's methods: `m4` (default, libwebp's own), `m0`
//! (fastest), `m6` (slowest, smallest). Everything else is libwebp's default.
//!
//! WebP has no grey: grey pixels are coded as RGB and come back as RGB. Planar YUV is
//! coded as it is, without a detour through RGB: WebP holds 4:2:0 of BT.601 at limited
//! range, so full range is made narrower, and of 4:2:2 each two rows of chroma become
//! their mean.
//!
//! Rate parts, of the simple file format: the RIFF header (12 bytes), the header
//! of the VP8 chunk (8), the uncompressed frame header (10: frame tag, start code,
//! size) and the byte that pads the chunk to an even length are codec header; the
//! rest is payload. Segment, filter and probability headers are arithmetic-coded
//! together with the first partition and count as payload.

mod planes;
mod sys;

use crate::png::unknown;
use crate::{corrupt, only};
use afferent_codec::{
    Chunk, Codec, ContainerWriter, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, Knob, Limits, Settings,
    Simd, Tier,
};
use afferent_media::{Bytes, Code, Error, Image, ImageView, Modality, PixelFormat, Result};

/// The most pixels on a side.
const MAX_SIDE: u32 = 16_383;

/// RIFF header, VP8 chunk header, VP8 frame header.
const HEADER_BYTES: u64 = 12 + 8 + 10;

/// The WebP codec.
#[derive(Debug)]
pub struct Webp(Descriptor);

impl Webp {
    /// The codec.
    #[must_use]
    pub fn new() -> Self {
        let [major, minor, revision] = sys::version();
        Self(Descriptor {
            id: "webp",
            version: 1,
            modality: Modality::Image,
            family: Family::Conventional,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: format!("libwebp {major}.{minor}.{revision}"),
            // SSE2 and NEON belong to these architectures, so they are always in.
            simd: if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) { Simd::Yes } else { Simd::No },
            external: false,
            delay_samples: 0,
            frame_samples: 0,
            macs_per_unit: None,
            knob: Some(Knob {
                name: "quality",
                unit: "",
                min: 0.0,
                max: 100.0,
                default: 75.0,
                whole: false,
                points: [0.0, 25.0, 75.0],
            }),
            progressive: false,
            synthesis: false,
            presets: &["m4", "m0", "m6"],
            licence: "BSD-3-Clause",
            extension: "webp",
        })
    }
}

impl Default for Webp {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Webp {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn settings_note(&self, preset: &str) -> String {
        format!("method={} chroma=420 matrix=bt601 range=limited", method(preset))
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (preset, quality) = settings.resolve(&self.0)?;
        let config = sys::config(quality.unwrap_or(75.0), method(preset))?;
        Ok(Box::new(Encoder { config, file: Vec::new(), rgb: Vec::new(), planes: planes::Scratch::default() }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(Decoder(*limits)))
    }
}

/// libwebp's method of a preset.
fn method(preset: &str) -> i32 {
    match preset {
        "m0" => 0,
        "m6" => 6,
        _ => 4,
    }
}

struct Encoder {
    config: sys::Config,
    file: Vec<u8>,
    /// Grey pixels as RGB.
    rgb: Vec<u8>,
    planes: planes::Scratch,
}

impl ImageEncoder for Encoder {
    fn takes(&self, format: PixelFormat) -> bool {
        matches!(format, PixelFormat::Rgb8 | PixelFormat::Gray8 | PixelFormat::I420 | PixelFormat::I422)
    }

    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        let (width, height) = (image.width(), image.height());
        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(Error::new(
                Code::Unsupported,
                format!("WebP cannot hold {width}x{height} pixels"),
                format!("crop or scale the image to at most {MAX_SIDE} pixels on a side"),
            ));
        }
        self.file.clear();
        match image.format() {
            PixelFormat::Rgb8 => sys::encode(&self.config, image, &mut self.file)?,
            PixelFormat::Gray8 => {
                self.rgb.clear();
                self.rgb.extend(image.rows().flatten().flat_map(|&v| [v, v, v]));
                let rgb = ImageView::new(width, height, width as usize * 3, PixelFormat::Rgb8, &self.rgb)?;
                sys::encode(&self.config, rgb, &mut self.file)?;
            }
            PixelFormat::I420 | PixelFormat::I422 => {
                sys::encode(&self.config, self.planes.fit(&image)?, &mut self.file)?;
            }
            other => return Err(unknown(other)),
        }
        out.push(&self.file, Bytes(0), Bytes(HEADER_BYTES + padding(&self.file)))
    }
}

/// 1 if the VP8 chunk of this simple file is padded to an even length.
fn padding(file: &[u8]) -> u64 {
    file.get(16).map_or(0, |lowest| u64::from(lowest & 1))
}

struct Decoder(Limits);

impl ImageDecoder for Decoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        read(only(chunks)?, &self.0, out)
    }
}

/// Decodes a still WebP file of any kind; alpha is dropped without blending.
pub(crate) fn read(file: &[u8], limits: &Limits, out: &mut Image) -> Result<()> {
    let damaged = || corrupt("the WebP bitstream is damaged");
    let header = sys::header(file).ok_or_else(damaged)?;
    limits.check_image(header.width, header.height)?;
    if header.animated {
        return Err(Error::new(
            Code::Unsupported,
            "the WebP file holds an animation",
            "extract the frames as still images",
        ));
    }
    let pixels = out.reset(header.width, header.height, PixelFormat::Rgb8)?;
    if sys::decode(file, header.width, pixels) { Ok(()) } else { Err(damaged()) }
}
