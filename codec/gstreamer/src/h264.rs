//! H.264, every frame an IDR frame with its parameter sets: an image codec.
//!
//! The knob is the quantiser of every macroblock, in the standard's own scale: lower is
//! better, and 6 less about doubles the rate. Presets are elements. Chroma is 4:2:0;
//! RGB becomes YUV by JFIF's matrix and range, which the bitstream names where the
//! element writes it. Grey is coded with grey chroma and comes back as grey.
//!
//! A chunk is an access unit in Annex B's form and one byte after it: bit 0 says that
//! the last column is none of the picture's (H.264 at 4:2:0 has even sides), bit 1 the
//! last row, bit 2 that the picture is grey. Where it is 0, which it is for cameras, the
//! chunk is a file that other programs read. Rate parts: slices are payload; parameter
//! sets, everything else and the last byte are codec header.
//!
//! The decoder is a process for each picture, so that none is made from another's
//! remains: `avdec_h264` or else `openh264dec`, both of which give the standard's pixels.
//! The former paints over what is lost inside a slice: the checksum of the chunk's
//! container is what finds damage there.

use crate::element::{Element, Tools};
use crate::pipeline::{Kept, Pipeline, Raw, takes};
use afferent_codec::{
    Chunk, Codec, ContainerWriter, Descriptor, ImageDecoder, ImageEncoder, Knob, Limits, Settings, Tier,
};
use afferent_media::{Bytes, Code, Error, Image, ImageView, PixelFormat, Result};
use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal};

/// The quantiser.
const KNOB: Knob =
    Knob { name: "quantiser", unit: "", min: 0.0, max: 51.0, default: 28.0, whole: true, points: [46.0, 37.0, 28.0] };

const CUT_COLUMN: u8 = 1;
const CUT_ROW: u8 = 2;
const GREY: u8 = 4;

/// Decoders, in order of preference: the second does not take all that encoders write.
const DECODERS: [(&str, &[&str]); 2] =
    [("avdec_h264", &["avdec_h264", "max-threads=1", "output-corrupt=false"]), ("openh264dec", &["openh264dec"])];

/// The codec.
pub struct H264 {
    descriptor: Descriptor,
    tools: Tools,
}

impl H264 {
    /// With the software encoders as presets.
    #[must_use]
    pub fn new() -> Self {
        let implementation = "GStreamer (subprocess)".to_owned();
        let presets = &["x264enc", "openh264enc"];
        Self {
            // Of the two encoders; the decoders' are LGPL and BSD.
            descriptor: Descriptor {
                implementation,
                presets,
                ..crate::descriptor("h264", Some(KNOB), "GPL-2.0-or-later AND BSD-2-Clause")
            },
            tools: Tools::default(),
        }
    }

    /// With one element, whose plugin has this version.
    pub(crate) fn by(element: &'static Element, version: &str, tools: Tools) -> Self {
        let implementation = format!("GStreamer {} {version} (subprocess)", element.name);
        let (tier, presets): (Tier, _) = (element.tier, element.preset);
        Self {
            descriptor: Descriptor {
                implementation,
                tier,
                presets,
                ..crate::descriptor("h264", Some(KNOB), element.licence)
            },
            tools,
        }
    }
}

impl Default for H264 {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for H264 {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn settings_note(&self, preset: &str) -> String {
        format!("encoder={preset} frames=idr chroma=420 matrix=bt601 range=full")
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (preset, quantiser) = settings.resolve(&self.descriptor)?;
        let element = Element::named(preset)?;
        let quantiser = quantiser.unwrap_or(KNOB.default) as i32;
        let obeyed = element.quantisers();
        if !obeyed.contains(&quantiser) {
            return Err(Error::new(
                Code::Config,
                format!("{} does not obey quantiser {quantiser}", element.name),
                format!("use one from {} to {}", obeyed.start(), obeyed.end()),
            ));
        }
        self.tools.check(element.name)?;
        Ok(Box::new(Encoder { element, quantiser, pipeline: Kept::new(element.name, self.tools.clone()) }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        let mut first = None;
        for (element, stages) in DECODERS {
            match self.tools.check(element) {
                Ok(_) => return Ok(Box::new(Decoder { limits: *limits, stages, tools: self.tools.clone() })),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.map_or_else(
            || Error::new(Code::Internal, "no decoder of H.264 is known", "report this"),
            |error| {
                let remedy =
                    "install GStreamer with a decoder of H.264 (Debian: gstreamer1.0-tools, gstreamer1.0-libav)";
                Error::new(Code::NotFound, "there is no decoder of H.264 on this machine", remedy).caused_by(error)
            },
        ))
    }
}

struct Encoder {
    element: &'static Element,
    quantiser: i32,
    pipeline: Kept,
}

impl ImageEncoder for Encoder {
    fn takes(&self, format: PixelFormat) -> bool {
        takes(format)
    }

    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        let raw = Raw::of(&image, true)?;
        let mut chunk = self.pipeline.code(raw, raw.pack(&image), || self.element.stages(self.quantiser))?;
        let unit = Unit::of(&chunk)?;
        if (unit.width, unit.height) != (raw.width, raw.height) {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "{} made {}x{} pixels of {}x{}",
                    self.element.name, unit.width, unit.height, raw.width, raw.height
                ),
                "use frames whose sides are multiples of 16",
            ));
        }
        let mut flags = 0;
        for (set, flag) in [
            (raw.width > image.width(), CUT_COLUMN),
            (raw.height > image.height(), CUT_ROW),
            (image.format() == PixelFormat::Gray8, GREY),
        ] {
            flags |= if set { flag } else { 0 };
        }
        chunk.push(flags);
        out.push(&chunk, Bytes(0), Bytes((chunk.len() - unit.coded) as u64))
    }
}

/// What an access unit holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// Width and height of what is coded: whole macroblocks, of which the picture is
    /// a part. A decoder takes memory for all of it.
    pub frame: (u32, u32),
    /// Bytes of its slices, without the start codes before them.
    pub coded: usize,
}

impl Unit {
    /// Looks at an access unit in Annex B's form: whether it stands alone, and how large
    /// its picture is.
    ///
    /// # Errors
    /// [`Code::Corrupt`] unless it has one sequence parameter set (which some encoders
    /// repeat, byte for byte), a picture parameter set and slices of an IDR picture alone,
    /// at 4:2:0 and 8 bits.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::new(Code::Corrupt, format!("the H.264 access unit {what}"), "encode it again");
        let mut starts = memchr::memmem::find_iter(bytes, b"\0\0\x01").map(|at| at + 3).peekable();
        let mut sequence: Option<(&[u8], _, _)> = None;
        let (mut parameters, mut pictures, mut coded) = (false, 0, 0);
        while let Some(start) = starts.next() {
            let end = starts.peek().map_or(bytes.len(), |next| next - 3);
            // Zeros before the next start code belong to no unit.
            let nal = &bytes[start..end];
            let nal = &nal[..nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
            let Some(head) = nal.first() else { return Err(wrong("has an empty part")) };
            match head & 0x1f {
                5 => {
                    // A slice whose first macroblock is the picture's first: a bit that is 1.
                    pictures += usize::from(nal.get(1).is_some_and(|byte| byte & 0x80 != 0));
                    coded += nal.len();
                }
                7 if sequence.is_some_and(|(first, ..)| first == nal) => {}
                7 if sequence.is_some() => return Err(wrong("has two sequence parameter sets")),
                7 => {
                    let read = SeqParameterSet::from_bits(RefNal::new(nal, &[], true).rbsp_bits());
                    let sps = read.map_err(|_| wrong("has a damaged sequence parameter set"))?;
                    let colour = &sps.chroma_info;
                    if colour.chroma_format != ChromaFormat::YUV420
                        || (colour.bit_depth_luma_minus8, colour.bit_depth_chroma_minus8) != (0, 0)
                    {
                        return Err(wrong("is not of 8 bits at 4:2:0"));
                    }
                    let of = sps.pixel_dimensions().ok().filter(|&(width, height)| width > 0 && height > 0);
                    let of = of.ok_or_else(|| wrong("has a picture of no size"))?;
                    let frame = frame(&sps).ok_or_else(|| wrong("has a picture of no size"))?;
                    sequence = Some((nal, of, frame));
                }
                8 => parameters = true,
                // Supplements, delimiters, filler.
                6 | 9 | 12 => {}
                _ => return Err(wrong("is not one IDR picture")),
            }
        }
        match sequence {
            Some((_, (width, height), frame)) if parameters && pictures == 1 && width % 2 == 0 && height % 2 == 0 => {
                Ok(Self { width, height, frame, coded })
            }
            _ => Err(wrong("does not stand alone")),
        }
    }
}

/// Sides of the coded frame in pixels, before anything is cropped from it.
fn frame(sps: &SeqParameterSet) -> Option<(u32, u32)> {
    let field_pairs = match sps.frame_mbs_flags {
        FrameMbsFlags::Frames => 1,
        FrameMbsFlags::Fields { .. } => 2,
    };
    let width = sps.pic_width_in_mbs_minus1.checked_add(1)?.checked_mul(16)?;
    let height = sps.pic_height_in_map_units_minus1.checked_add(1)?.checked_mul(16 * field_pairs)?;
    Some((width, height))
}

struct Decoder {
    limits: Limits,
    stages: &'static [&'static str],
    tools: Tools,
}

impl ImageDecoder for Decoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        let corrupt = |what: String| Error::new(Code::Corrupt, what, "get the packet again from its source");
        let [chunk] = chunks else {
            return Err(corrupt(format!("an image needs exactly one intact chunk, there are {}", chunks.len())));
        };
        let Some((&flags, bytes)) = chunk.bytes.split_last() else {
            return Err(corrupt("the H.264 chunk is empty".to_owned()));
        };
        if flags > CUT_COLUMN | CUT_ROW | GREY {
            return Err(corrupt(format!("the H.264 chunk ends with {flags}, which says nothing")));
        }
        let unit = Unit::of(bytes)?;
        // Of what is coded: little of it may be left by the crop.
        self.limits.check_image(unit.frame.0, unit.frame.1)?;
        // GStreamer's rows of planes are multiples of 4 bytes.
        let (width, height) = (unit.width as usize, unit.height as usize);
        let (row, chroma_row) = (width.next_multiple_of(4), (width / 2).next_multiple_of(4));
        let length = row * height + chroma_row * height;
        let words = ["fdsrc", "fd=0", "!", "h264parse", "!"].iter().chain(self.stages);
        let words = words.chain(&["!", "video/x-raw,format=I420"]).map(|&word| word.to_owned()).collect();
        let pipeline = Pipeline::start(&self.tools, self.stages[0], words, length)?;
        let damaged = |e| corrupt("the decoder made no picture of the H.264 bitstream".to_owned()).caused_by(e);
        let raw = pipeline.finish(bytes.to_vec())?.map_err(damaged)?;
        if raw.len() != length {
            return Err(corrupt("the decoder gave another picture than the bitstream announces".to_owned()));
        }
        let side = |side: u32, flag: u8| side - u32::from(flags & flag != 0);
        let (width, height) = (side(unit.width, CUT_COLUMN), side(unit.height, CUT_ROW));
        let rows = |plane: &[u8], stride: usize, width: u32, height: u32, to: &mut [u8]| {
            for (to, from) in to.chunks_exact_mut(width as usize).zip(plane.chunks_exact(stride)).take(height as usize)
            {
                to.copy_from_slice(&from[..width as usize]);
            }
        };
        let (luma, chroma) = raw.split_at(row * unit.height as usize);
        if flags & GREY != 0 {
            rows(luma, row, width, height, out.reset(width, height, PixelFormat::Gray8)?);
            return Ok(());
        }
        let mut planes = Image::default();
        let pixels = planes.reset(width, height, PixelFormat::I420)?;
        let (y, uv) = pixels.split_at_mut(width as usize * height as usize);
        rows(luma, row, width, height, y);
        let half = (width.div_ceil(2), height.div_ceil(2));
        let (from, to) = (chroma.split_at(chroma.len() / 2), uv.split_at_mut(half.0 as usize * half.1 as usize));
        rows(from.0, chroma_row, half.0, half.1, to.0);
        rows(from.1, chroma_row, half.0, half.1, to.1);
        planes.view().interleave(out)
    }
}
