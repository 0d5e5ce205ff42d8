//! JPEG, by libjpeg-turbo.
//!
//! Always the accurate integer DCT, and smooth ("fancy") upsampling of chroma
//! when decoding, as libjpeg does by default: decoded pixels are those of every
//! program built on libjpeg-turbo. Grey stays grey.
//!
//! Presets name chroma subsampling and entropy coding. `420` and `444` are
//! baseline with the standard Huffman tables (one pass, the fast path that
//! cameras use); `-optimised` computes the tables for each image (two passes,
//! a few per cent smaller); `-progressive` codes in several scans, each with its
//! own tables (slowest; smallest for large pictures and high quality, while at low
//! quality the many headers outweigh what they save).
//!
//! Rate parts: the entropy-coded segments of all scans are payload; every
//! marker segment (quantisation and Huffman tables, frame and scan headers), SOI
//! and EOI are codec header.

mod markers;

use crate::png::unknown;
use crate::{corrupt, only};
use afferent_codec::{
    Chunk, Codec, ContainerWriter, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, Knob, Limits, Settings,
    Simd, Tier,
};
use afferent_media::{Bytes, Code, Error, Image, ImageView, Modality, PixelFormat, Result};
use turbojpeg::{Colorspace, Compressor, Decompressor, OutputBuf, Subsamp};

/// The most pixels on a side.
const MAX_SIDE: u32 = 65_500;

/// The most scans of a progressive file that are decoded; encoders write about
/// ten, and a file of thousands is made to waste time.
const MAX_SCANS: u32 = 100;

/// The JPEG codec.
#[derive(Debug)]
pub struct Jpeg(Descriptor);

impl Jpeg {
    /// The codec.
    #[must_use]
    pub fn new() -> Self {
        Self(Descriptor {
            id: "jpeg",
            version: 1,
            modality: Modality::Image,
            family: Family::Conventional,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: concat!("libjpeg-turbo ", env!("JPEG_VERSION")).into(),
            simd: if cfg!(jpeg_simd) { Simd::Yes } else { Simd::No },
            delay_samples: 0,
            frame_samples: 0,
            macs_per_unit: None,
            knob: Some(Knob {
                name: "quality",
                unit: "",
                min: 1.0,
                max: 100.0,
                default: 75.0,
                whole: true,
                points: [5.0, 25.0, 75.0],
            }),
            progressive: false,
            synthesis: false,
            presets: &["420", "444", "420-optimised", "444-optimised", "420-progressive", "444-progressive"],
            licence: "IJG AND BSD-3-Clause AND Zlib",
            extension: "jpg",
        })
    }
}

impl Default for Jpeg {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Jpeg {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn settings_note(&self, preset: &str) -> String {
        let (chroma, coding) = parts(preset);
        let coding = if coding.is_empty() { "standard" } else { coding };
        format!("huffman={coding} dct=islow chroma={chroma} matrix=bt601 range=full")
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (preset, quality) = settings.resolve(&self.0)?;
        let (chroma, coding) = parts(preset);
        let chroma = if chroma == "444" { Subsamp::None } else { Subsamp::Sub2x2 };
        let mut compressor = Compressor::new().map_err(failed)?;
        compressor.set_quality(quality.unwrap_or(75.0) as i32).map_err(failed)?;
        compressor.set_optimize(coding == "optimised").map_err(failed)?;
        compressor.set_progressive(coding == "progressive").map_err(failed)?;
        Ok(Box::new(Encoder { compressor, chroma, file: Vec::new() }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(Decoder(Reader::new(limits)?)))
    }
}

/// Chroma subsampling and entropy coding of a preset.
fn parts(preset: &str) -> (&str, &str) {
    preset.split_once('-').unwrap_or((preset, ""))
}

struct Encoder {
    compressor: Compressor,
    chroma: Subsamp,
    /// As long as the largest file that the largest image so far may become.
    /// Pages that no file reached are never touched, hence cost no memory.
    file: Vec<u8>,
}

impl ImageEncoder for Encoder {
    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        if image.width() > MAX_SIDE || image.height() > MAX_SIDE {
            return Err(Error::new(
                Code::Unsupported,
                format!("JPEG cannot hold {}x{} pixels", image.width(), image.height()),
                format!("crop or scale the image to at most {MAX_SIDE} pixels on a side"),
            ));
        }
        let (format, chroma) = match image.format() {
            PixelFormat::Rgb8 => (turbojpeg::PixelFormat::RGB, self.chroma),
            PixelFormat::Gray8 => (turbojpeg::PixelFormat::GRAY, Subsamp::Gray),
            other => return Err(unknown(other)),
        };
        let source = turbojpeg::Image {
            pixels: image.data(),
            width: image.width() as usize,
            pitch: image.stride(),
            height: image.height() as usize,
            format,
        };
        self.compressor.set_subsamp(chroma).map_err(failed)?;
        let longest = self.compressor.buf_len(source.width, source.height).map_err(failed)?;
        if self.file.len() < longest {
            self.file = vec![0; longest];
        }
        let mut file = OutputBuf::borrowed(&mut self.file);
        self.compressor.compress(source, &mut file).map_err(failed)?;
        let header = file.len() - markers::entropy_coded(&file);
        out.push(&file, Bytes(0), Bytes(header as u64))
    }
}

struct Decoder(Reader);

impl ImageDecoder for Decoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        self.0.read(only(chunks)?, out)?.map_or(Ok(()), Err)
    }
}

/// Decodes JPEG files.
pub(crate) struct Reader {
    decompressor: Decompressor,
    limits: Limits,
}

impl Reader {
    /// A reader within `limits`.
    pub(crate) fn new(limits: &Limits) -> Result<Self> {
        let mut decompressor = Decompressor::new().map_err(failed)?;
        decompressor.set_scan_limit(MAX_SCANS).map_err(failed)?;
        Ok(Self { decompressor, limits: *limits })
    }

    /// Decodes `file`. `Some` error means damage that libjpeg-turbo could read
    /// over: pixels are there, some of them guessed.
    pub(crate) fn read(&mut self, file: &[u8], out: &mut Image) -> Result<Option<Error>> {
        let damaged = |cause| corrupt("the JPEG bitstream is damaged").caused_by(cause);
        let header = self.decompressor.read_header(file).map_err(damaged)?;
        let (width, height) = (header.width as u32, header.height as u32);
        self.limits.check_image(width, height)?;
        let (ours, theirs) = match header.colorspace {
            Colorspace::Gray => (PixelFormat::Gray8, turbojpeg::PixelFormat::GRAY),
            Colorspace::RGB | Colorspace::YCbCr => (PixelFormat::Rgb8, turbojpeg::PixelFormat::RGB),
            Colorspace::CMYK | Colorspace::YCCK => {
                return Err(Error::new(
                    Code::Unsupported,
                    "the JPEG file holds CMYK, whose colours depend on a printing profile",
                    "convert it to RGB or grey",
                ));
            }
        };
        let pixels = out.reset(width, height, ours)?;
        let target = turbojpeg::Image {
            pitch: header.width * ours.channels(),
            pixels,
            width: header.width,
            height: header.height,
            format: theirs,
        };
        match self.decompressor.decompress(file, target) {
            Ok(()) => Ok(None),
            Err(cause) if markers::may_be_read_over(&cause.to_string()) => Ok(Some(damaged(cause))),
            Err(cause) => Err(damaged(cause)),
        }
    }
}

fn failed(cause: turbojpeg::Error) -> Error {
    Error::new(Code::Internal, "libjpeg-turbo failed", "report this with the image").caused_by(cause)
}
