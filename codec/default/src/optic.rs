//! The codec: strips, layers and chunks around transform, quantiser and walk.

use crate::color::{self, Split};
use crate::latents::{BLOCK, CHROMA_BANDS, LAYERS, LUMA_BANDS, Latents};
use crate::quantiser::{FINEST, Quantiser, Rounding, Thinning, restore, step};
use crate::simd::widest;
use crate::tables::TABLES;
use crate::transform::{self, Samples};
use crate::walk::{Tap, Walk};
use afferent_codec::entropy::{self, Adaptive, BitCoder};
use afferent_codec::{Chunk, ContainerWriter, ImageDecoder, ImageEncoder, Limits};
use afferent_media::{Bytes, Code, Error, Image, ImageView, PixelFormat, Result};
use std::ops::Range;

/// Most blocks of a strip along the vertical: 512 pixels, which keeps an encoder of
/// 1920 x 1080 below 6 MB.
const STRIP_ROWS: usize = 32;

/// Below this many bytes the layers of a picture share one chunk.
const ONE_CHUNK_BELOW: usize = 2048;

/// The most pixels on a side.
pub(crate) const MAX_SIDE: u32 = 1 << 16;

/// First byte of a picture: format version above four flags, of which one is not used.
const FORMAT: u8 = 1 << 4;
const COLOUR: u8 = 1;
const LAYERED: u8 = 2;
const MAPPED: u8 = 4;

/// What the first chunk of every strip says of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) colour: bool,
    pub(crate) layered: bool,
    pub(crate) mapped: bool,
    pub(crate) quality: u8,
}

impl Head {
    fn write(self, to: &mut Vec<u8>) {
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        to.push(FORMAT | flag(self.colour, COLOUR) | flag(self.layered, LAYERED) | flag(self.mapped, MAPPED));
        to.push(self.quality);
        for mut side in [self.width, self.height] {
            while side >= 0x80 {
                to.push(side as u8 | 0x80);
                side >>= 7;
            }
            to.push(side as u8);
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        let (&quality, mut rest) = rest.split_first()?;
        if first & 0xf8 != FORMAT || quality > FINEST {
            return None;
        }
        let mut side = || {
            let mut value = 0_u32;
            for shift in [0, 7, 14] {
                let (&byte, tail) = rest.split_first()?;
                rest = tail;
                value |= u32::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return (1..=MAX_SIDE).contains(&value).then_some(value);
                }
            }
            None
        };
        let (width, height) = (side()?, side()?);
        *bytes = rest;
        Some(Self {
            width,
            height,
            colour: first & COLOUR != 0,
            layered: first & LAYERED != 0,
            mapped: first & MAPPED != 0,
            quality,
        })
    }

    /// Blocks of 16 × 16 pixels across and down.
    pub(crate) fn blocks(self) -> (usize, usize) {
        ((self.width as usize).div_ceil(BLOCK), (self.height as usize).div_ceil(BLOCK))
    }

    /// The block rows of each strip: whole regions of a step map, as equal as can be.
    pub(crate) fn strips(self) -> Vec<Range<usize>> {
        let (_, rows) = self.blocks();
        let (regions, count) = (rows.div_ceil(REGION_BLOCKS), rows.div_ceil(STRIP_ROWS));
        let edge = |at: usize| (regions * at / count * REGION_BLOCKS).min(rows);
        (0..count).map(|at| edge(at)..edge(at + 1)).collect()
    }

    /// The layers that share each chunk of a strip.
    fn shares(self) -> &'static [Range<usize>] {
        const ALL: &Range<usize> = &(0..LAYERS);
        if self.layered { &[0..1, 1..2, 2..3] } else { std::slice::from_ref(ALL) }
    }
}

/// Pixels along each side of a region of a [`StepMap`].
pub const REGION: usize = 64;
const REGION_BLOCKS: usize = REGION / BLOCK;

/// How much finer or coarser each region of 64 × 64 pixels is coded than the rest:
/// differences of quality, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepMap {
    columns: usize,
    offsets: Vec<i8>,
}

impl StepMap {
    /// A map for a picture of this size; `offset` is asked for each region by its
    /// column and row, and kept within ±[`StepMap::MOST`].
    pub fn new(width: u32, height: u32, mut offset: impl FnMut(usize, usize) -> i8) -> Self {
        let columns = (width as usize).div_ceil(REGION);
        let rows = (height as usize).div_ceil(REGION);
        let offsets =
            (0..columns * rows).map(|at| offset(at % columns, at / columns).clamp(-Self::MOST, Self::MOST)).collect();
        Self { columns, offsets }
    }

    /// The largest difference of quality: two octaves of step.
    pub const MOST: i8 = 32;

    fn fits(&self, width: u32, height: u32) -> bool {
        let columns = (width as usize).div_ceil(REGION);
        (columns, columns * (height as usize).div_ceil(REGION)) == (self.columns, self.offsets.len())
    }

    /// The difference at a block.
    fn at(&self, row: usize, column: usize) -> i32 {
        self.offsets.get(row / REGION_BLOCKS * self.columns + column / REGION_BLOCKS).map_or(0, |&o| o.into())
    }

    /// Codes the regions of a strip, each as a change from the one before.
    fn code(&mut self, coder: &mut impl BitCoder, strip: &Range<usize>) {
        let mut zero = Adaptive::from_bits(45_875);
        let mut sign = Adaptive::from_bits(32_768);
        let mut more = Adaptive::from_bits(26_214);
        let most = i32::from(Self::MOST);
        let mut before = 0_i32;
        let first = strip.start / REGION_BLOCKS * self.columns;
        let end = strip.end.div_ceil(REGION_BLOCKS) * self.columns;
        for offset in self.offsets.get_mut(first..end).into_iter().flatten() {
            let change = i32::from(*offset) - before;
            if coder.bit(&mut zero, change != 0) {
                let negative = coder.bit(&mut sign, change < 0);
                let mut size = 1;
                while size < 2 * most && coder.bit(&mut more, change.abs() > size) {
                    size += 1;
                }
                before = (before + if negative { -size } else { size }).clamp(-most, most);
            }
            *offset = before as i8;
        }
    }
}

/// What is added to magnitudes before they are cut, in 1/256 of a step.
#[derive(Debug, Clone, Copy)]
struct Offsets {
    dc: u32,
    ac: u32,
}

impl Offsets {
    /// Where rounding alone makes the dead zone.
    const DEAD_ZONE: Self = Self { dc: 128, ac: 92 };
    /// Where ones are thinned out afterwards.
    const THINNED: Self = Self { dc: 128, ac: 104 };
}

/// Encodes pictures. Buffers are kept from one to the next.
pub struct Encoder {
    quality: u8,
    rounding: Offsets,
    thinning: Option<Thinning>,
    map: Option<StepMap>,
    planes: Vec<Samples>,
    panel: Vec<i16>,
    latents: Latents,
}

impl Encoder {
    /// An encoder at a quality of 0 to 100, which drops coefficients that cost more
    /// than they bring if `thin`.
    #[must_use]
    pub fn new(quality: u8, thin: bool) -> Self {
        Self {
            quality: quality.min(FINEST),
            rounding: if thin { Offsets::THINNED } else { Offsets::DEAD_ZONE },
            thinning: thin.then(|| Thinning::new(&TABLES.models)),
            map: None,
            planes: Vec::new(),
            panel: Vec::new(),
            latents: Latents::default(),
        }
    }

    /// Codes the pictures that follow by this map of steps, or without one.
    pub fn set_step_map(&mut self, map: Option<StepMap>) {
        self.map = map;
    }

    pub(crate) fn head(&self, image: ImageView<'_>) -> Head {
        Head {
            width: image.width(),
            height: image.height(),
            colour: image.format() != PixelFormat::Gray8,
            layered: true,
            mapped: self.map.is_some(),
            quality: self.quality,
        }
    }

    /// The quantised coefficients of one strip.
    pub(crate) fn analyse(&mut self, image: ImageView<'_>, head: Head, strip: &Range<usize>) -> &mut Latents {
        let (columns, rows) = head.blocks();
        let above = if strip.start > 0 { BLOCK / 2 } else { 0 };
        let below = if strip.end < rows { BLOCK / 2 } else { 0 };
        self.planes.resize_with(if head.colour { 3 } else { 1 }, Samples::default);
        let (top, bottom) = (strip.start * BLOCK - above, strip.end * BLOCK + below);
        widest(Split { image, top, bottom, planes: &mut self.planes });
        self.latents.reset(columns, strip.len(), head.colour);
        for (plane, (samples, to)) in self.planes.iter_mut().zip(&mut self.latents.planes).enumerate() {
            let bands = to.bands;
            let above = above * bands / BLOCK;
            let mut fractions = self.thinning.as_mut().map(|thinning| &mut thinning.fractions[plane]);
            if let Some(fractions) = &mut fractions {
                fractions.clear();
                fractions.resize(to.values.len(), 0);
            }
            transform::forward(samples, bands, above, &mut self.panel, &TABLES.matrices);
            for row in 0..strip.len() {
                for column in 0..columns {
                    let offset = self.map.as_ref().map_or(0, |map| map.at(strip.start + row, column));
                    let step = step(i32::from(head.quality) + offset, plane);
                    let at = row * columns + column;
                    let from = &samples.data[(above + row * bands) * samples.width + column * bands..];
                    let block = to.block_mut(at);
                    let fractions = fractions.as_mut().map(|all| &mut all[at * bands * bands..][..bands * bands]);
                    let quantiser = Quantiser::new(step, self.rounding.ac);
                    widest(Rounding { quantiser, from, stride: samples.width, bands, to: block, fractions });
                    block[0] = Quantiser::new(step, self.rounding.dc).apply(from[0]);
                }
            }
        }
        &mut self.latents
    }

    /// Drops what is not worth its bits, as coding does along the way.
    #[cfg(feature = "fit")]
    pub(crate) fn thin(&mut self) -> &mut Latents {
        if let Some(thinning) = &self.thinning {
            let mut walk = Walk::new(TABLES.models.clone(), &TABLES.lines, thinning);
            walk.begin(&self.latents);
            for layer in 0..LAYERS {
                walk.layer(&mut entropy::Meter::default(), layer, &mut self.latents);
            }
        }
        &mut self.latents
    }

    /// Writes the chunks of the strip in `self.latents`, one per share of layers.
    fn code(&mut self, head: Head, strip: &Range<usize>, chunks: &mut Vec<Coded>) -> Result<()> {
        match self.thinning.take() {
            None => self.code_by((), head, strip, chunks),
            Some(thinning) => {
                let coded = self.code_by(&thinning, head, strip, chunks);
                self.thinning = Some(thinning);
                coded
            }
        }
    }

    fn code_by(&mut self, tap: impl Tap, head: Head, strip: &Range<usize>, chunks: &mut Vec<Coded>) -> Result<()> {
        let mut walk = Walk::new(TABLES.models.clone(), &TABLES.lines, tap);
        walk.begin(&self.latents);
        for share in head.shares() {
            let mut chunk = Coded::default();
            if share.start == 0 {
                head.write(&mut chunk.bytes);
                chunk.header = chunk.bytes.len();
                if let Some(map) = &mut self.map {
                    let mut side = Vec::new();
                    let mut coder = entropy::Encoder::new(&mut side);
                    map.code(&mut coder, strip);
                    coder.finish();
                    let length = u16::try_from(side.len()).map_err(|_| {
                        Error::new(Code::Limit, "the step map of a strip exceeds 64 KiB", "make a smoother map")
                    })?;
                    chunk.bytes.extend_from_slice(&length.to_le_bytes());
                    chunk.bytes.extend_from_slice(&side);
                }
                chunk.side = chunk.bytes.len() - chunk.header;
            }
            let mut coder = entropy::Encoder::new(&mut chunk.bytes);
            for layer in share.clone() {
                walk.layer(&mut coder, layer, &mut self.latents);
            }
            coder.finish();
            chunks.push(chunk);
        }
        Ok(())
    }
}

/// The bytes of one chunk: header, side information, payload.
#[derive(Debug, Default)]
struct Coded {
    bytes: Vec<u8>,
    header: usize,
    side: usize,
}

impl ImageEncoder for Encoder {
    fn takes(&self, format: PixelFormat) -> bool {
        matches!(format, PixelFormat::Rgb8 | PixelFormat::Gray8 | PixelFormat::I420 | PixelFormat::I422)
    }

    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        if image.width() > MAX_SIDE || image.height() > MAX_SIDE {
            return Err(Error::new(
                Code::Unsupported,
                format!("optic cannot hold {}x{} pixels", image.width(), image.height()),
                format!("crop or scale the image to at most {MAX_SIDE} pixels on a side"),
            ));
        }
        if let Some(map) = &self.map
            && !map.fits(image.width(), image.height())
        {
            return Err(Error::new(
                Code::Config,
                format!("the step map is not for {}x{} pixels", image.width(), image.height()),
                "make a map for this size, or none",
            ));
        }
        let mut head = self.head(image);
        let strips = head.strips();
        let mut chunks = Vec::new();
        for strip in &strips {
            self.analyse(image, head, strip);
            self.code(head, strip, &mut chunks)?;
        }
        let total: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        if strips.len() == 1 && total < ONE_CHUNK_BELOW {
            head.layered = false;
            chunks.clear();
            // What was not worth its bits is gone already.
            self.code_by((), head, &strips[0], &mut chunks)?;
        }
        // The most important layers of all strips come first.
        for share in 0..head.shares().len() {
            for chunk in chunks.iter().skip(share).step_by(head.shares().len()) {
                out.push(&chunk.bytes, Bytes(chunk.side as u64), Bytes(chunk.header as u64))?;
            }
        }
        Ok(())
    }
}

/// A picture's latents, as far as its chunks were there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) head: Head,
    pub(crate) map: StepMap,
    pub(crate) strips: Vec<Latents>,
}

/// All latents of a picture in the order of planes within strips: what every decoder,
/// on any processor, must agree on.
///
/// # Errors
/// [`Code::Corrupt`] for chunks that are no picture, [`Code::Limit`] above the limits.
pub fn latents(chunks: &[Chunk<'_>], limits: &Limits) -> Result<Vec<i16>> {
    let parsed = parse(chunks, limits)?;
    Ok(parsed.strips.iter().flat_map(|strip| &strip.planes).flat_map(|plane| &plane.values).copied().collect())
}

pub(crate) fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Code::Corrupt, what, "get the file or packet again from its source")
}

/// Reads chunks. A strip ends at its first missing layer; the layers before it count.
/// At least one strip must have its first.
pub(crate) fn parse(chunks: &[Chunk<'_>], limits: &Limits) -> Result<Parsed> {
    let mut parsed: Option<(Parsed, Vec<Range<usize>>, Vec<Progress<'_>>)> = None;
    for chunk in chunks {
        if let Some((picture, strips, progress)) = &mut parsed {
            let (share, strip) = (chunk.index / strips.len(), chunk.index % strips.len());
            if share >= picture.head.shares().len() {
                return Err(corrupt(format!("the picture has no chunk {}", chunk.index)));
            }
            read(chunk.bytes, picture, &strips[strip], strip, share, &mut progress[strip])?;
            continue;
        }
        let mut bytes = chunk.bytes;
        let head = Head::read(&mut bytes).ok_or_else(|| corrupt("the picture's first chunk is missing or damaged"))?;
        limits.check_image(head.width, head.height)?;
        let strips = head.strips();
        if chunk.index >= strips.len() {
            return Err(corrupt("the first layer of every strip is missing"));
        }
        let (columns, _) = head.blocks();
        let latents = strips.iter().map(|strip| {
            let mut latents = Latents::default();
            latents.reset(columns, strip.len(), head.colour);
            latents
        });
        let mut picture =
            Parsed { head, map: StepMap::new(head.width, head.height, |_, _| 0), strips: latents.collect() };
        let mut progress: Vec<Progress<'_>> = strips.iter().map(|_| Progress::default()).collect();
        let at = chunk.index;
        read(chunk.bytes, &mut picture, &strips[at], at, 0, &mut progress[at])?;
        parsed = Some((picture, strips, progress));
    }
    parsed.map(|(picture, ..)| picture).ok_or_else(|| corrupt("the picture has no intact chunk"))
}

/// The walk of a strip between its chunks.
#[derive(Default)]
struct Progress<'t> {
    walk: Option<Walk<'t, Adaptive, ()>>,
    shares: usize,
}

fn read(
    mut bytes: &[u8],
    picture: &mut Parsed,
    strip: &Range<usize>,
    at: usize,
    share: usize,
    progress: &mut Progress<'_>,
) -> Result<()> {
    if share != progress.shares {
        // What lies between is missing, and this layer's contexts with it.
        return Ok(());
    }
    if share == 0 {
        let head = Head::read(&mut bytes).ok_or_else(|| corrupt("the first chunk of a strip is damaged"))?;
        if head != picture.head {
            return Err(corrupt("two strips of the picture contradict each other"));
        }
        if head.mapped {
            let side = bytes
                .split_first_chunk::<2>()
                .and_then(|(length, rest)| rest.split_at_checked(u16::from_le_bytes(*length).into()));
            let (side, rest) = side.ok_or_else(|| corrupt("a strip ends in its step map"))?;
            picture.map.code(&mut entropy::Decoder::new(side), strip);
            bytes = rest;
        }
    }
    let latents = &mut picture.strips[at];
    let walk = progress.walk.get_or_insert_with(|| {
        let mut walk = Walk::new(TABLES.models.clone(), &TABLES.lines, ());
        walk.begin(latents);
        walk
    });
    let mut coder = entropy::Decoder::new(bytes);
    for layer in picture.head.shares()[share].clone() {
        walk.layer(&mut coder, layer, latents);
    }
    if coder.exhausted() {
        return Err(corrupt("a chunk of the picture ends too early"));
    }
    progress.shares += 1;
    Ok(())
}

impl Parsed {
    pub(crate) fn format(&self) -> PixelFormat {
        if self.head.colour { PixelFormat::Rgb8 } else { PixelFormat::Gray8 }
    }

    /// Luma's step at a block of the picture.
    pub(crate) fn step(&self, row: usize, column: usize) -> u32 {
        step(i32::from(self.head.quality) + self.map.at(row, column), 0)
    }

    /// The planes of the linear synthesis, with 4 fractional bits around 0.
    pub(crate) fn planes(&self) -> Vec<Samples> {
        let (columns, rows) = self.head.blocks();
        let mut panel = Vec::new();
        let starts = self.head.strips();
        (0..if self.head.colour { 3 } else { 1 })
            .map(|plane| {
                let bands = if plane == 0 { LUMA_BANDS } else { CHROMA_BANDS };
                let mut samples = Samples::default();
                samples.reset(columns * bands, rows * bands);
                for (strip, latents) in starts.iter().zip(&self.strips) {
                    for row in 0..strip.len() {
                        for column in 0..columns {
                            let offset = self.map.at(strip.start + row, column);
                            let step = step(i32::from(self.head.quality) + offset, plane);
                            let block = latents.planes[plane].block(row * columns + column);
                            let mut start = (strip.start + row) * bands * samples.width + column * bands;
                            for from in block.chunks_exact(bands) {
                                for (to, &level) in samples.data[start..start + bands].iter_mut().zip(from) {
                                    *to = restore(level, step);
                                }
                                start += samples.width;
                            }
                        }
                    }
                }
                transform::inverse(&mut samples, bands, &mut panel, &TABLES.matrices);
                samples
            })
            .collect()
    }
}

/// Decodes pictures by the linear synthesis alone: no network, the same pixels on
/// every processor.
pub(crate) struct LinearDecoder(pub(crate) Limits);

impl ImageDecoder for LinearDecoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        let parsed = parse(chunks, &self.0)?;
        let head = parsed.head;
        let format = parsed.format();
        let planes = parsed.planes();
        let pixels = out.reset(head.width, head.height, format)?;
        color::join(&planes, head.width as usize, head.height as usize, pixels);
        Ok(())
    }
}
