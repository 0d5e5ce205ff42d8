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
            external: false,
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
        // A hardware encoder's preset is its name; what it chooses, its file says.
        if !self.0.presets.contains(&preset) {
            return format!("encoder={preset}");
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
        let one_scan = coding != "progressive";
        Ok(Box::new(Encoder { compressor, chroma, one_scan, file: Vec::new(), planes: Default::default() }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(Decoder(Reader::new(limits))))
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
    /// A file that is cut after this many bytes, where the next one begins.
    Cut(usize),
    /// The start of a file.
    Start,
    /// No JPEG file; the next may begin after this many bytes.
    Other(usize),
}

/// The start of a file: SOI, and the first byte of the next marker.
const START: &[u8] = b"\xff\xd8\xff";

/// What stands at the start of `bytes`, judged by markers alone.
#[must_use]
pub fn find(bytes: &[u8]) -> Found {
    Finder::default().find(bytes)
}

/// Finds a file whose bytes come one after the other, and looks at each of them once.
#[derive(Debug, Default)]
pub struct Finder(markers::Walk);

impl Finder {
    /// As [`find`]; `bytes` begin with those of the call before. Once the bytes at the
    /// start are taken away, another finder is needed.
    #[must_use]
    pub fn find(&mut self, bytes: &[u8]) -> Found {
        let start = bytes.len().min(START.len());
        if bytes[..start] != START[..start] {
            return Found::Other(next_start(bytes));
        }
        match self.0.end(bytes) {
            markers::End::At(length) => Found::File(length),
            // Markers alone are no picture that was lost.
            markers::End::Cut(length) if self.0.coded == 0 => Found::Other(length),
            markers::End::Cut(length) => Found::Cut(length),
            markers::End::Later => Found::Start,
            markers::End::Nowhere => Found::Other(next_start(bytes)),
        }
    }
}

/// Where after the first byte a file may begin, the end of `bytes` included.
fn next_start(bytes: &[u8]) -> usize {
    let rest = bytes.get(1..).unwrap_or_default();
    let found = memchr::memmem::find(rest, START).or_else(|| {
        // A start that is not yet whole.
        (1..START.len())
            .rev()
            .filter(|&length| rest.ends_with(&START[..length]))
            .map(|length| rest.len() - length)
            .next()
    });
    bytes.len().min(1 + found.unwrap_or(rest.len()))
}

/// Writes a JPEG file that another encoder of this machine has just made into `out`, and
/// says what it holds: its markers are read, its coded bits, unlike those of
/// [`ImageEncoder::adopt`], are not.
///
/// # Errors
/// [`Code::Corrupt`] for no JPEG file or a cut one, [`Code::Limit`] above the usual limits.
pub fn wrap(file: &[u8], out: &mut ContainerWriter) -> Result<ImageShape> {
    let mut finder = Finder::default();
    let Found::File(length) = finder.find(file) else {
        return Err(corrupt("the encoder's JPEG file is cut or damaged"));
    };
    let file = &file[..length];
    let (_, shape) = Reader::new(&Limits::default()).open(file)?;
    push(file, finder.0.coded, out)?;
    Ok(shape)
}

struct Encoder {
    compressor: Compressor,
    chroma: Subsamp,
    /// Whether its files have one scan.
    one_scan: bool,
    /// As long as the largest file that the largest image so far may become.
    /// Pages that no file reached are never touched, hence cost no memory.
    file: Vec<u8>,
    /// Planes in the sizes that the preset asks for, where the image has others.
    planes: planes::Scratch,
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
        let coded = if self.one_scan { markers::coded_in_one_scan } else { markers::coded };
        let mut file = OutputBuf::borrowed(&mut self.file);
        let interleaved = match image.format() {
            PixelFormat::Rgb8 => turbojpeg::PixelFormat::RGB,
            PixelFormat::Gray8 => turbojpeg::PixelFormat::GRAY,
            PixelFormat::I420 | PixelFormat::I422 => {
                let planes = self.planes.fit(&image, subsampling);
                self.compressor.compress_yuv_planes(&planes, &mut file).map_err(failed)?;
                return push(&file, coded(&file), out);
            }
            other => return Err(unknown(other)),
        };
        let source =
            turbojpeg::Image { pixels: image.data(), width, pitch: image.stride(), height, format: interleaved };
        self.compressor.compress(source, &mut file).map_err(failed)?;
        push(&file, coded(&file), out)
    }

    fn adopt(&mut self, file: &[u8], out: &mut ContainerWriter) -> Result<ImageShape> {
        let mut finder = Finder::default();
        let Found::File(length) = finder.find(file) else {
            return Err(corrupt("the camera's JPEG frame is cut or damaged"));
        };
        // Cameras pad their buffers; what follows the end is no part of the file.
        let file = &file[..length];
        // Damage is found here, where the frame can still be counted as lost; a decode at
        // an eighth reads every coded bit for a part of a whole decode's time.
        let (shape, _) = decode_eighth(file)?;
        push(file, finder.0.coded, out)?;
        Ok(shape)
    }
}

/// Writes a whole file, of which so many bytes are entropy-coded, as the one chunk of its
/// container.
fn push(file: &[u8], coded: usize, out: &mut ContainerWriter) -> Result<()> {
    out.push(file, Bytes(0), Bytes((file.len() - coded) as u64))
}

struct Decoder(Reader);

impl ImageDecoder for Decoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        self.0.read(only(chunks)?, out)?.map_or(Ok(()), Err)
    }
}

/// Decodes JPEG files.
///
/// Each file gets a decompressor of its own: libjpeg-turbo keeps tables from one file
/// to the next, and a file that lacks its own would be decoded with another's.
pub(crate) struct Reader {
    limits: Limits,
}

impl Reader {
    /// A reader within `limits`.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limits: *limits }
    }

    /// A decompressor for `file`, and what its header says, within the limits.
    fn open(&self, file: &[u8]) -> Result<(Decompressor, ImageShape)> {
        let mut decompressor = Decompressor::new().map_err(failed)?;
        decompressor.set_scan_limit(MAX_SCANS).map_err(failed)?;
        let header = decompressor.read_header(file).map_err(damaged)?;
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
        Ok((decompressor, ImageShape { width, height, format }))
    }

    /// Decodes `file`. `Some` error means damage that libjpeg-turbo could read
    /// over: pixels are there, some of them guessed.
    pub(crate) fn read(&mut self, file: &[u8], out: &mut Image) -> Result<Option<Error>> {
        let (mut decompressor, shape) = self.open(file)?;
        decompress(&mut decompressor, file, out, shape)
    }
}

/// Decodes `file` into `out`, with damage as [`Reader::read`].
fn decompress(
    decompressor: &mut Decompressor,
    file: &[u8],
    out: &mut Image,
    ImageShape { width, height, format }: ImageShape,
) -> Result<Option<Error>> {
    let target = turbojpeg::Image {
        pixels: out.reset(width, height, format)?,
        pitch: width as usize * format.channels(),
        width: width as usize,
        height: height as usize,
        format: if format == PixelFormat::Gray8 { turbojpeg::PixelFormat::GRAY } else { turbojpeg::PixelFormat::RGB },
    };
    match decompressor.decompress(file, target) {
        Ok(()) => Ok(None),
        Err(cause) => match markers::damage(&cause.to_string()) {
            markers::Damage::None => Ok(None),
            markers::Damage::Inside => Ok(Some(damaged(cause))),
            markers::Damage::Fatal => Err(damaged(cause)),
        },
    }
}

/// Decodes the luma of `file` at an eighth of the size, each side rounded up, which
/// takes a part of the time: the coded bits are read, most of the rest is left out.
///
/// # Errors
/// [`Code::Corrupt`] for a damaged file, [`Code::Limit`] above the usual limits,
/// [`Code::Internal`] if libjpeg-turbo cannot be set up.
pub fn eighth(file: &[u8]) -> Result<Image> {
    decode_eighth(file).map(|(_, luma)| luma)
}

fn decode_eighth(file: &[u8]) -> Result<(ImageShape, Image)> {
    let (mut decompressor, shape) = Reader::new(&Limits::default()).open(file)?;
    decompressor.set_scaling_factor(turbojpeg::ScalingFactor::ONE_EIGHTH).map_err(failed)?;
    let small =
        ImageShape { width: shape.width.div_ceil(8), height: shape.height.div_ceil(8), format: PixelFormat::Gray8 };
    let mut luma = Image::default();
    decompress(&mut decompressor, file, &mut luma, small)?.map_or(Ok(()), Err)?;
    Ok((shape, luma))
}

fn damaged(cause: turbojpeg::Error) -> Error {
    corrupt("the JPEG bitstream is damaged").caused_by(cause)
}

fn failed(cause: turbojpeg::Error) -> Error {
    Error::new(Code::Internal, "libjpeg-turbo failed", "report this with the image").caused_by(cause)
}
