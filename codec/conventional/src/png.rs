//! PNG, lossless, by the `png` crate (pure Rust).
//!
//! RGB and grey stay what they are. Presets choose how long deflate searches:
//! `fast` (default: some 40 times faster than `balanced` for photographs about
//! 4 % larger), `balanced`, `high`; the pixels are the same.
//!
//! Rate parts: the content of the IDAT chunks is payload; the signature, IHDR,
//! IEND and the length, type and checksum of every chunk are codec header.

use crate::{corrupt, only};
use afferent_codec::{
    Chunk, Codec, ContainerWriter, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, Limits, Settings, Simd,
    Tier,
};
use afferent_media::{Bytes, Code, Error, Image, ImageView, Modality, PixelFormat, Result};
use png::{BitDepth, ColorType, Compression, Transformations};
use std::io::Cursor;

/// The PNG codec.
#[derive(Debug)]
pub struct Png(Descriptor);

impl Png {
    /// The codec.
    #[must_use]
    pub fn new() -> Self {
        Self(Descriptor {
            id: "png",
            version: 1,
            modality: Modality::Image,
            family: Family::Lossless,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: "png 0.18 (Rust)".into(),
            simd: Simd::NotApplicable,
            external: false,
            delay_samples: 0,
            frame_samples: 0,
            macs_per_unit: None,
            knob: None,
            progressive: false,
            synthesis: false,
            presets: &["fast", "balanced", "high"],
            licence: "MIT OR Apache-2.0",
            extension: "png",
        })
    }
}

impl Default for Png {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Png {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn settings_note(&self, preset: &str) -> String {
        format!("deflate={preset} chroma=444 matrix=identity range=full")
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let compression = match settings.resolve(&self.0)?.0 {
            "balanced" => Compression::Balanced,
            "high" => Compression::High,
            _ => Compression::Fast,
        };
        Ok(Box::new(Encoder { compression, file: Vec::new() }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(Decoder { limits: *limits, scratch: Vec::new() }))
    }
}

struct Encoder {
    compression: Compression,
    file: Vec<u8>,
}

impl ImageEncoder for Encoder {
    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        self.file.clear();
        write(image, self.compression, &mut self.file)?;
        out.push(&self.file, Bytes(0), Bytes(self.file.len() as u64 - content(&self.file)))
    }
}

struct Decoder {
    limits: Limits,
    scratch: Vec<u8>,
}

impl ImageDecoder for Decoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        read(only(chunks)?, &self.limits, &mut self.scratch, out)
    }
}

/// Appends `image` as a PNG file to `file`.
pub(crate) fn write(image: ImageView<'_>, compression: Compression, file: &mut Vec<u8>) -> Result<()> {
    let failed = |cause: png::EncodingError| {
        Error::new(
            Code::Unsupported,
            format!("PNG cannot hold {}x{} pixels", image.width(), image.height()),
            "crop or scale the image",
        )
        .caused_by(cause)
    };
    let mut encoder = png::Encoder::new(file, image.width(), image.height());
    encoder.set_color(match image.format() {
        PixelFormat::Rgb8 => ColorType::Rgb,
        PixelFormat::Gray8 => ColorType::Grayscale,
        other => return Err(unknown(other)),
    });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(compression);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&image.packed()).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// Decodes a PNG file of any kind: palettes and fewer than 8 bits are expanded,
/// of 16 bits the upper 8 are kept, and alpha is dropped without blending.
pub(crate) fn read(file: &[u8], limits: &Limits, scratch: &mut Vec<u8>, out: &mut Image) -> Result<()> {
    let mut reader = reader(file, limits, Transformations::EXPAND | Transformations::STRIP_16)?;
    let (width, height) = reader.info().size();
    let (format, keep, of) = match reader.output_color_type().0 {
        ColorType::Grayscale => (PixelFormat::Gray8, 1, 1),
        ColorType::GrayscaleAlpha => (PixelFormat::Gray8, 1, 2),
        ColorType::Rgb => (PixelFormat::Rgb8, 3, 3),
        ColorType::Rgba => (PixelFormat::Rgb8, 3, 4),
        ColorType::Indexed => return Err(corrupt("the PNG palette is missing")),
    };
    let pixels = out.reset(width, height, format)?;
    if keep == of {
        reader.next_frame(pixels).map_err(damaged)?;
    } else {
        scratch.resize(pixels.len() / keep * of, 0);
        reader.next_frame(scratch).map_err(damaged)?;
        for (to, from) in pixels.chunks_exact_mut(keep).zip(scratch.chunks_exact(of)) {
            to.copy_from_slice(&from[..keep]);
        }
    }
    // Reads to IEND, so that a file cut after its pixels is noticed.
    reader.finish().map_err(damaged)
}

/// Decodes a PNG file whose pixels are numbers of at most 8 bits, grey or indices
/// of a palette: its width, its height and the numbers.
pub(crate) fn indices(file: &[u8], limits: &Limits) -> Result<(u32, u32, Vec<u8>)> {
    let mut reader = reader(file, limits, Transformations::IDENTITY)?;
    let (width, height) = reader.info().size();
    let (colour, depth) = reader.output_color_type();
    if !matches!(colour, ColorType::Grayscale | ColorType::Indexed) || depth == BitDepth::Sixteen {
        return Err(Error::new(
            Code::Unsupported,
            format!("the PNG file holds {colour:?} of {} bits, not one number of at most 8 bits", depth as u8),
            "write the mask as 8-bit grey or with a palette, one class id per pixel",
        ));
    }
    let depth = depth as usize;
    let row = (width as usize * depth).div_ceil(8);
    let mut packed = vec![0; row * height as usize];
    reader.next_frame(&mut packed).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    if depth == 8 {
        return Ok((width, height, packed));
    }
    let unpacked = packed.chunks_exact(row).flat_map(|row| {
        (0..width as usize * depth)
            .step_by(depth)
            .map(move |bit| row[bit / 8] >> (8 - depth - bit % 8) & ((1 << depth) - 1))
    });
    Ok((width, height, unpacked.collect()))
}

/// A reader whose file's header is within `limits`.
fn reader<'a>(
    file: &'a [u8],
    limits: &Limits,
    transformations: Transformations,
) -> Result<png::Reader<Cursor<&'a [u8]>>> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    let info = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = info.size();
    limits.check_image(width, height)?;
    // What the decoder keeps beside the pixels: text, profiles, a few rows.
    decoder.set_limits(png::Limits { bytes: (64 << 20) + width as usize * 64 });
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(transformations);
    decoder.read_info().map_err(damaged)
}

fn damaged(cause: png::DecodingError) -> Error {
    match cause {
        png::DecodingError::LimitsExceeded => Error::new(
            Code::Limit,
            "the PNG file needs more memory than its pixels",
            "write it again without extra chunks, or reject its sender",
        ),
        other => corrupt("the PNG bitstream is damaged").caused_by(other),
    }
}

/// How many bytes of a well-formed PNG file are content of IDAT chunks.
fn content(file: &[u8]) -> u64 {
    let mut rest = file.get(8..).unwrap_or_default();
    let mut content = 0;
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length);
        if tail.starts_with(b"IDAT") {
            content += u64::from(length);
        }
        rest = tail.get(length as usize + 8..).unwrap_or_default();
    }
    content
}

/// The error for a pixel layout that came after this codec.
pub(crate) fn unknown(format: PixelFormat) -> Error {
    Error::new(Code::Unsupported, format!("this codec does not take {format:?}"), "convert the image to RGB or grey")
}
