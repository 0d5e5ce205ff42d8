//! The self-describing container of chunks.
//!
//! ```text
//! "AFR" version:u8 | length:varint | header | CRC-32C of header:u32 LE | chunk bytes …
//! ```
//!
//! The header (postcard) names codec, version, preset, knob and geometry, and
//! holds the table of chunks: length, how much of it is side information and
//! codec header, and the chunk's CRC-32C. The table comes first and has its own
//! checksum, so that one flipped bit in a chunk costs that chunk and no other,
//! and a truncated container still yields the chunks before the cut.
//!
//! Everything but the chunk bytes is the *container* part of the rate ledger.

use crate::scale::Resize;
use afferent_media::{Bytes, Code, Error, Modality, PixelFormat, RateParts, Result};
use serde::{Deserialize, Serialize};

/// First bytes of every container; the last one is the format's version.
pub const MAGIC: [u8; 4] = *b"AFR\x01";

/// The longest header accepted, in bytes.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

/// Geometry of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixel layout before encoding.
    pub format: PixelFormat,
}

/// Geometry of a stretch of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioShape {
    /// Sampling rate in Hz.
    pub rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Samples per channel.
    pub frames: u64,
}

/// Geometry of the source sample, before any padding or resizing. Later kinds are
/// added at the end, so that earlier containers stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Geometry {
    /// An image.
    Image(ImageShape),
    /// A stretch of sound.
    Audio(AudioShape),
    /// An image that was made smaller before it was coded.
    ResizedImage(ImageShape, Resize),
}

impl Geometry {
    /// Which kind of signal this is.
    #[must_use]
    pub fn modality(&self) -> Modality {
        match self {
            Self::Image(_) | Self::ResizedImage(..) => Modality::Image,
            Self::Audio(_) => Modality::Audio,
        }
    }

    /// Pixels of an image, samples (all channels) of sound: what a rate is divided by.
    #[must_use]
    pub fn units(&self) -> u64 {
        match self {
            Self::Image(i) | Self::ResizedImage(i, _) => u64::from(i.width) * u64::from(i.height),
            Self::Audio(a) => a.frames.saturating_mul(u64::from(a.channels)),
        }
    }

    /// By what ratio the sample was made smaller before it was coded.
    #[must_use]
    pub fn resize(&self) -> Resize {
        match self {
            Self::ResizedImage(_, resize) => *resize,
            Self::Image(_) | Self::Audio(_) => Resize::NONE,
        }
    }
}

/// What a container says of its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Codec id.
    pub codec: String,
    /// Version of that codec's bitstream.
    pub codec_version: u16,
    /// Preset by name.
    pub preset: String,
    /// Knob in the codec's native unit.
    pub knob: Option<f32>,
    /// Geometry of the source sample.
    pub geometry: Geometry,
    /// First eight bytes of the SHA-256 of the codec's weights, if it has any.
    pub weights: Option<[u8; 8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    length: u32,
    side: u32,
    header: u32,
    crc: u32,
}

/// One independently decodable chunk (or progressive layer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Place in the container, from 0.
    pub index: usize,
    /// The codec's bytes.
    pub bytes: &'a [u8],
    /// How many of them are side information.
    pub side: Bytes,
    /// How many of them are codec header.
    pub header: Bytes,
}

/// Collects the chunks that an encoder writes, then seals them under a header.
/// Buffers are kept from one sample to the next.
#[derive(Debug, Default)]
pub struct ContainerWriter {
    body: Vec<u8>,
    table: Vec<Entry>,
}

impl ContainerWriter {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a chunk of `bytes`, of which `side` are side information and
    /// `header` are codec header; the rest is payload.
    ///
    /// # Errors
    /// [`Code::Internal`] if the parts exceed the chunk, [`Code::Limit`] above 4 GiB.
    pub fn push(&mut self, bytes: &[u8], side: Bytes, header: Bytes) -> Result<()> {
        let length = u32::try_from(bytes.len())
            .map_err(|_| Error::new(Code::Limit, "a chunk exceeds 4 GiB", "encode smaller samples"))?;
        match (u32::try_from(side.0), u32::try_from(header.0)) {
            (Ok(side), Ok(header)) if u64::from(side) + u64::from(header) <= u64::from(length) => {
                self.body.extend_from_slice(bytes);
                self.table.push(Entry { length, side, header, crc: crc32c::crc32c(bytes) });
                Ok(())
            }
            _ => Err(Error::new(
                Code::Internal,
                format!("a chunk of {length} bytes cannot hold {side} of side information and {header} of header"),
                "report this codec",
            )),
        }
    }

    /// Writes the container to the end of `out`, empties the writer, and says
    /// where the bytes went (framing is the link's and stays zero).
    ///
    /// # Errors
    /// [`Code::Limit`] if there are too many chunks for a header.
    pub fn seal(&mut self, header: &Header, out: &mut Vec<u8>) -> Result<RateParts> {
        let start = out.len();
        let encoded = postcard::to_stdvec(&(header, &self.table)).map_err(|e| {
            Error::new(Code::Internal, "the container header cannot be written", "report this").caused_by(e)
        })?;
        if encoded.len() > MAX_HEADER_BYTES {
            self.clear();
            return Err(Error::new(
                Code::Limit,
                format!("{} chunks are too many for one container", self.table.len()),
                "encode shorter samples",
            ));
        }
        out.extend_from_slice(&MAGIC);
        let mut length = encoded.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(&encoded);
        out.extend_from_slice(&crc32c::crc32c(&encoded).to_le_bytes());
        let container = Bytes((out.len() - start) as u64);
        out.extend_from_slice(&self.body);
        let parts = RateParts { container, ..sum(&self.table) };
        self.clear();
        Ok(parts)
    }

    /// Forgets what was written and keeps the buffers.
    pub fn clear(&mut self) {
        self.body.clear();
        self.table.clear();
    }
}

fn sum(table: &[Entry]) -> RateParts {
    let total = |part: fn(&Entry) -> u32| Bytes(table.iter().map(|e| u64::from(part(e))).sum());
    let (side, header) = (total(|e| e.side), total(|e| e.header));
    RateParts { payload: total(|e| e.length) - side - header, side, header, ..RateParts::default() }
}

/// A parsed container.
#[derive(Debug, Clone, PartialEq)]
pub struct Container<'a> {
    /// What it says of its content.
    pub header: Header,
    /// The chunks whose checksum holds, in order.
    pub chunks: Vec<Chunk<'a>>,
    /// The places of the chunks that are damaged or missing.
    pub damaged: Vec<usize>,
    /// Where its bytes went, by the table (damaged chunks included).
    pub parts: RateParts,
}

impl<'a> Container<'a> {
    /// Parses `bytes`. Damaged and missing chunks are listed, not an error:
    /// see [`intact`](Self::intact).
    ///
    /// # Errors
    /// [`Code::Corrupt`] if the header is damaged or bytes follow the last
    /// chunk, [`Code::Unsupported`] for a later format version, [`Code::Limit`]
    /// for a header that is too long.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let corrupt =
            |what: &str| Error::new(Code::Corrupt, what.to_owned(), "get the file or packet again from its source");
        let rest = bytes.strip_prefix(&MAGIC[..3]).ok_or_else(|| corrupt("these bytes are no Afferent container"))?;
        let (&version, mut rest) = rest.split_first().ok_or_else(|| corrupt("the container ends in its magic"))?;
        if version != MAGIC[3] {
            return Err(Error::new(
                Code::Unsupported,
                format!("container format {version} is not known to this build (it knows {})", MAGIC[3]),
                "update this side",
            ));
        }
        let mut length = 0usize;
        for shift in (0..).step_by(7) {
            let (&byte, tail) = rest.split_first().ok_or_else(|| corrupt("the container ends in its header length"))?;
            rest = tail;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 21 {
                length = usize::MAX;
                break;
            }
        }
        if length > MAX_HEADER_BYTES {
            return Err(Error::new(
                Code::Limit,
                format!("a container header exceeds {MAX_HEADER_BYTES} bytes"),
                "get the file or packet again from its source",
            ));
        }
        let (encoded, rest) =
            rest.split_at_checked(length).ok_or_else(|| corrupt("the container ends in its header"))?;
        let (crc, mut rest) =
            rest.split_first_chunk::<4>().ok_or_else(|| corrupt("the container ends in its header"))?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(encoded) {
            return Err(corrupt("the checksum of the container header differs"));
        }
        let (header, table): (Header, Vec<Entry>) =
            postcard::from_bytes(encoded).map_err(|e| corrupt("the container header has wrong syntax").caused_by(e))?;
        if table.iter().any(|e| u64::from(e.side) + u64::from(e.header) > u64::from(e.length)) {
            return Err(corrupt("the parts of a chunk exceed its length"));
        }
        let container = Bytes((bytes.len() - rest.len()) as u64);
        let mut chunks = Vec::with_capacity(table.len());
        let mut damaged = Vec::new();
        for (index, entry) in table.iter().enumerate() {
            let (chunk, tail) = rest.split_at_checked(entry.length as usize).unwrap_or((rest, &[]));
            rest = tail;
            if chunk.len() == entry.length as usize && crc32c::crc32c(chunk) == entry.crc {
                let (side, header) = (Bytes(entry.side.into()), Bytes(entry.header.into()));
                chunks.push(Chunk { index, bytes: chunk, side, header });
            } else {
                damaged.push(index);
            }
        }
        if !rest.is_empty() {
            return Err(corrupt("bytes follow the last chunk"));
        }
        Ok(Self { header, chunks, damaged, parts: RateParts { container, ..sum(&table) } })
    }

    /// The container, if no chunk is damaged or missing.
    ///
    /// # Errors
    /// [`Code::Corrupt`], naming the chunks.
    pub fn intact(self) -> Result<Self> {
        self.check_intact().map(|()| self)
    }

    pub(crate) fn check_intact(&self) -> Result<()> {
        if self.damaged.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Code::Corrupt,
            format!(
                "{} of {} chunks are damaged or missing: {:?}",
                self.damaged.len(),
                self.damaged.len() + self.chunks.len(),
                self.damaged
            ),
            "get the file or packet again from its source",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            codec: "jpeg".into(),
            codec_version: 1,
            preset: "420".into(),
            knob: Some(5.0),
            geometry: Geometry::Image(ImageShape { width: 640, height: 480, format: PixelFormat::Rgb8 }),
            weights: None,
        }
    }

    fn sealed(chunks: &[&[u8]]) -> (Vec<u8>, RateParts) {
        let mut writer = ContainerWriter::new();
        for chunk in chunks {
            writer.push(chunk, Bytes(0), Bytes(1.min(chunk.len() as u64))).unwrap();
        }
        let mut out = Vec::new();
        let parts = writer.seal(&header(), &mut out).unwrap();
        (out, parts)
    }

    #[test]
    fn the_ledger_adds_up_to_the_file() {
        let (bytes, parts) = sealed(&[b"hello", b"", b"chunks"]);
        assert_eq!(parts.storage(), Bytes(bytes.len() as u64));
        assert_eq!((parts.payload, parts.header), (Bytes(9), Bytes(2)));
        let container = Container::parse(&bytes).unwrap().intact().unwrap();
        assert_eq!(container.parts, parts);
        assert_eq!(container.header, header());
        assert_eq!(container.chunks.iter().map(|c| c.bytes).collect::<Vec<_>>(), [&b"hello"[..], b"", b"chunks"]);
    }

    #[test]
    fn the_container_of_one_chunk_is_small() {
        let (_, parts) = sealed(&[&[0; 3000]]);
        assert_eq!(parts.container, Bytes(41));
    }

    #[test]
    fn a_flipped_bit_costs_one_chunk_and_a_cut_costs_the_rest() {
        let (mut bytes, parts) = sealed(&[b"first", b"second", b"third"]);
        bytes[parts.container.0 as usize + 7] ^= 4;
        let container = Container::parse(&bytes).unwrap();
        assert_eq!(container.damaged, [1]);
        assert_eq!(container.chunks[1].bytes, b"third");
        assert!(container.intact().unwrap_err().what().contains("1 of 3"));
        bytes[parts.container.0 as usize + 7] ^= 4;
        bytes.truncate(bytes.len() - 1);
        assert_eq!(Container::parse(&bytes).unwrap().damaged, [2]);
    }

    #[test]
    fn later_formats_and_foreign_bytes_are_refused() {
        let (mut bytes, _) = sealed(&[b"x"]);
        bytes[3] = 2;
        assert_eq!(Container::parse(&bytes).unwrap_err().code(), Code::Unsupported);
        assert_eq!(Container::parse(b"\xff\xd8\xff").unwrap_err().code(), Code::Corrupt);
        assert_eq!(Container::parse(b"AFR\x01\xff\xff\xff\xff\xff\x7f").unwrap_err().code(), Code::Limit);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_err(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Container::parse(&bytes);
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend(bytes);
            let _ = Container::parse(&with_magic);
        }

        #[test]
        fn any_change_is_noticed(at in 0usize..1000, flip in 1u8..=255, cut in 0usize..1000) {
            let (good, _) = sealed(&[b"first", b"second", b"third"]);
            let mut bad = good.clone();
            let at = at % bad.len();
            bad[at] ^= flip;
            prop_assert!(Container::parse(&bad).and_then(Container::intact).is_err());
            let cut = cut % good.len();
            prop_assert!(Container::parse(&good[..cut]).and_then(Container::intact).is_err());
        }
    }
}
