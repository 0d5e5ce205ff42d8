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
//! Planar YUV 4:2:0 and 4:2:2 are compressed as they are, without a detour through
//! RGB; where the preset asks for other chroma than the planes have, chroma alone is
//! averaged or repeated. What a camera has coded itself is taken as it is
//! ([`ImageEncoder::adopt`]); such files often lack their Huffman tables, which are
//! then the standard ones.
//!
//! Rate parts: the entropy-coded segments of all scans are payload; every
//! marker segment (quantisation and Huffman tables, frame and scan headers), SOI
//! and EOI are codec header.

mod markers;
mod planes;

use crate::png::unknown;
use crate::{corrupt, only};
use afferent_codec::{
    ADOPTED, Chunk, Codec, ContainerWriter, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, ImageShape,
    Knob, Limits, Settings, Simd, Tier,
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
        if preset == ADOPTED {
            return "coded by the camera".to_owned();
        }
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
        Ok(Box::new(Encoder { compressor, chroma, file: Vec::new(), planes: Default::default(), reader: None }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(Decoder(Reader::new(limits)?)))
    }
}

/// Chroma subsampling and entropy coding of a preset.
fn parts(preset: &str) -> (&str, &str) {
    preset.split_once('-').unwrap_or((preset, ""))
}

/// What stands at the start of some bytes, as a stream of JPEG files is cut into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A whole file of this many bytes.
    File(usize),
    /// The start of a file.
    Start,
    /// No JPEG file.
    Other,
}

/// What stands at the start of `bytes`, judged by markers alone.
#[must_use]
pub fn find(bytes: &[u8]) -> Found {
    const SOI: &[u8] = b"\xff\xd8\xff";
    let start = bytes.len().min(SOI.len());
    if bytes[..start] != SOI[..start] {
        return Found::Other;
    }
    match markers::extent(bytes).end {
        markers::End::At(length) => Found::File(length),
        markers::End::Later => Found::Start,
        markers::End::Nowhere => Found::Other,
    }
}

struct Encoder {
    compressor: Compressor,
    chroma: Subsamp,
    /// As long as the largest file that the largest image so far may become.
    /// Pages that no file reached are never touched, hence cost no memory.
    file: Vec<u8>,
    /// Planes in the sizes that the preset asks for, where the image has others.
    planes: planes::Scratch,
    /// Reads the headers of files that are adopted.
    reader: Option<Reader>,
}

impl ImageEncoder for Encoder {
    fn takes(&self, format: PixelFormat) -> bool {
        matches!(format, PixelFormat::Rgb8 | PixelFormat::Gray8 | PixelFormat::I420 | PixelFormat::I422)
    }

    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        if image.width() > MAX_SIDE || image.height() > MAX_SIDE {
            return Err(Error::new(
                Code::Unsupported,
                format!("JPEG cannot hold {}x{} pixels", image.width(), image.height()),
                format!("crop or scale the image to at most {MAX_SIDE} pixels on a side"),
            ));
        }
        let (width, height) = (image.width() as usize, image.height() as usize);
        let subsampling = if image.format() == PixelFormat::Gray8 { Subsamp::Gray } else { self.chroma };
        self.compressor.set_subsamp(subsampling).map_err(failed)?;
        let longest = self.compressor.buf_len(width, height).map_err(failed)?;
        if self.file.len() < longest {
            self.file = vec![0; longest];
        }
        let mut file = OutputBuf::borrowed(&mut self.file);
        let interleaved = match image.format() {
            PixelFormat::Rgb8 => turbojpeg::PixelFormat::RGB,
            PixelFormat::Gray8 => turbojpeg::PixelFormat::GRAY,
            PixelFormat::I420 | PixelFormat::I422 => {
                let planes = self.planes.fit(&image, subsampling);
                self.compressor.compress_yuv_planes(&planes, &mut file).map_err(failed)?;
                return push(&file, out);
            }
            other => return Err(unknown(other)),
        };
        let source =
            turbojpeg::Image { pixels: image.data(), width, pitch: image.stride(), height, format: interleaved };
        self.compressor.compress(source, &mut file).map_err(failed)?;
        push(&file, out)
    }

    fn adopt(&mut self, file: &[u8], out: &mut ContainerWriter) -> Result<ImageShape> {
        let Found::File(length) = find(file) else {
            return Err(corrupt("the camera's JPEG frame is cut or damaged"));
        };
        // Cameras pad their buffers; what follows the end is no part of the file.
        let file = &file[..length];
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::new(&Limits::default())?),
        };
        let shape = reader.shape(file)?;
        push(file, out)?;
        Ok(shape)
    }
}

/// Writes a whole file as the one chunk of its container.
fn push(file: &[u8], out: &mut ContainerWriter) -> Result<()> {
    let header = file.len() - markers::extent(file).coded;
    out.push(file, Bytes(0), Bytes(header as u64))
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

    /// What the header of `file` says, within the limits.
    fn shape(&mut self, file: &[u8]) -> Result<ImageShape> {
        let header = self.decompressor.read_header(file).map_err(damaged)?;
        let (width, height) = (header.width as u32, header.height as u32);
        self.limits.check_image(width, height)?;
        let format = match header.colorspace {
            Colorspace::Gray => PixelFormat::Gray8,
            Colorspace::RGB | Colorspace::YCbCr => PixelFormat::Rgb8,
            Colorspace::CMYK | Colorspace::YCCK => {
                return Err(Error::new(
                    Code::Unsupported,
                    "the JPEG file holds CMYK, whose colours depend on a printing profile",
                    "convert it to RGB or grey",
                ));
            }
        };
        Ok(ImageShape { width, height, format })
    }

    /// Decodes `file`. `Some` error means damage that libjpeg-turbo could read
    /// over: pixels are there, some of them guessed.
    pub(crate) fn read(&mut self, file: &[u8], out: &mut Image) -> Result<Option<Error>> {
        let ImageShape { width, height, format } = self.shape(file)?;
        let pixels = out.reset(width, height, format)?;
        let target = turbojpeg::Image {
            pitch: width as usize * format.channels(),
            pixels,
            width: width as usize,
            height: height as usize,
            format: if format == PixelFormat::Gray8 {
                turbojpeg::PixelFormat::GRAY
            } else {
                turbojpeg::PixelFormat::RGB
            },
        };
        match self.decompressor.decompress(file, target) {
            Ok(()) => Ok(None),
            Err(cause) if markers::may_be_read_over(&cause.to_string()) => Ok(Some(damaged(cause))),
            Err(cause) => Err(damaged(cause)),
        }
    }
}

/// Decodes luma at an eighth of the size, which takes a fraction of the time.
pub struct Eighth(Reader);

impl Eighth {
    /// A decoder within the usual limits.
    ///
    /// # Errors
    /// [`Code::Internal`] if libjpeg-turbo cannot be set up.
    pub fn new() -> Result<Self> {
        let mut reader = Reader::new(&Limits::default())?;
        reader.decompressor.set_scaling_factor(turbojpeg::ScalingFactor::ONE_EIGHTH).map_err(failed)?;
        Ok(Self(reader))
    }

    /// The luma of `file`, each side an eighth, rounded up.
    ///
    /// # Errors
    /// [`Code::Corrupt`] for a damaged file, [`Code::Limit`] above the limits.
    pub fn read(&mut self, file: &[u8]) -> Result<Image> {
        let ImageShape { width, height, .. } = self.0.shape(file)?;
        let (width, height) = (width.div_ceil(8), height.div_ceil(8));
        let mut image = Image::default();
        let target = turbojpeg::Image {
            pixels: image.reset(width, height, PixelFormat::Gray8)?,
            width: width as usize,
            pitch: width as usize,
            height: height as usize,
            format: turbojpeg::PixelFormat::GRAY,
        };
        self.0.decompressor.decompress(file, target).map_err(damaged)?;
        Ok(image)
    }
}

fn damaged(cause: turbojpeg::Error) -> Error {
    corrupt("the JPEG bitstream is damaged").caused_by(cause)
}

fn failed(cause: turbojpeg::Error) -> Error {
    Error::new(Code::Internal, "libjpeg-turbo failed", "report this with the image").caused_by(cause)
}
