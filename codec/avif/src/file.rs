//! Where an AVIF file holds what.
//!
//! Only the one shape that our encoder writes is read: the boxes `ftyp`, `meta`
//! and `mdat`, one item that is the whole of `mdat`, and in it one sequence header
//! and one frame. Everything else of the format (grids, alpha, gain maps,
//! sequences, layers) is thereby refused before the C libraries see it, and the
//! size that the limits are held against is the one that the AV1 decoder will use.

/// What is known of a file before it is decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Width in pixels, by the AV1 sequence header.
    pub(crate) width: u32,
    /// Height in pixels, by the AV1 sequence header.
    pub(crate) height: u32,
    /// Bytes of the coded frame, its header and tiles.
    pub(crate) frame_bytes: usize,
}

/// The layout of `file`; `None` if it has any other shape.
pub(crate) fn layout(file: &[u8]) -> Option<Layout> {
    let (b"ftyp", _, rest) = split_box(file)? else { return None };
    let (b"meta", meta, rest) = split_box(rest)? else { return None };
    let (b"mdat", coded, []) = split_box(rest)? else { return None };
    // A full box: version and flags come before the boxes in it.
    let mut rest = meta.get(4..)?;
    let mut location = None;
    while !rest.is_empty() {
        let (kind, content, after) = split_box(rest)?;
        if kind == b"iloc" && location.replace(content).is_some() {
            return None;
        }
        rest = after;
    }
    // Version 0, offsets and lengths of 4 bytes, one item, in this file, of one extent.
    let [0, 0, 0, 0, 0x44, 0, 0, 1, _, _, 0, 0, 0, 1, extent @ ..] = location? else { return None };
    let start = u32::try_from(file.len() - coded.len()).ok()?;
    let length = u32::try_from(coded.len()).ok()?;
    if extent != [start.to_be_bytes(), length.to_be_bytes()].as_flattened() {
        return None;
    }
    still(coded)
}

/// The first box of `bytes`: its type and content, and what follows it.
fn split_box(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    let (kind, _) = rest.split_first_chunk()?;
    let size = u32::from_be_bytes(*size) as usize;
    Some((kind, bytes.get(8..size)?, bytes.get(size..)?))
}

/// The layout of a still picture: a sequence header and a frame, after a temporal
/// delimiter or none.
fn still(coded: &[u8]) -> Option<Layout> {
    let (mut kind, mut content, mut rest) = split_unit(coded)?;
    if kind == TEMPORAL_DELIMITER && content.is_empty() {
        (kind, content, rest) = split_unit(rest)?;
    }
    let (FRAME, _, []) = split_unit(rest)? else { return None };
    if kind != SEQUENCE_HEADER {
        return None;
    }
    let mut first = [0; 8];
    let known = content.len().min(first.len());
    first[..known].copy_from_slice(&content[..known]);
    let mut bits = u64::from_be_bytes(first);
    let mut take = |count: u32| {
        let value = bits >> (64 - count);
        bits <<= count;
        value as u32
    };
    // Profile, still picture, reduced header, level, bits of width and of height less one.
    let (_, 1, 1, _, width_bits, height_bits) = (take(3), take(1), take(1), take(5), take(4), take(4)) else {
        return None;
    };
    Some(Layout { width: take(width_bits + 1) + 1, height: take(height_bits + 1) + 1, frame_bytes: rest.len() })
}

/// Types of open bitstream units.
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME: u8 = 6;

/// The first open bitstream unit of `bytes`: its type and content, and what
/// follows it. It must state its size and belong to no layer.
fn split_unit(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&head, mut rest) = bytes.split_first()?;
    if head & 0b1000_0111 != 0b10 {
        return None;
    }
    let mut size = 0usize;
    for shift in (0..28).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        size |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let (content, rest) = rest.split_at_checked(size)?;
            return Some((head >> 3, content, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `width` by `height` pixels, as its headers say, with an empty frame.
    fn file(width: u64, height: u64) -> Vec<u8> {
        // Profile 0, one still picture, reduced header, level 0, sides of 16 bits each.
        let sequence = 0b00_0110_0000_1111_1111_u64 << 46 | (width - 1) << 30 | (height - 1) << 14;
        let mut coded = vec![0x12, 0, 0x0a, 8];
        coded.extend(sequence.to_be_bytes());
        coded.extend([0x32, 3, 1, 2, 3]);
        let boxed = |kind: &[u8; 4], content: &[u8]| {
            [&(8 + content.len() as u32).to_be_bytes(), kind.as_slice(), content].concat()
        };
        let location = |start: u8| {
            let iloc = [0, 0, 0, 0, 0x44, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, start, 0, 0, 0, coded.len() as u8];
            let meta = [vec![0; 4], boxed(b"pitm", &[0; 6]), boxed(b"iloc", &iloc)].concat();
            [boxed(b"ftyp", b"avif"), boxed(b"meta", &meta), boxed(b"mdat", &[])].concat()
        };
        let start = location(0).len() as u8;
        let mut file = location(start);
        file.truncate(file.len() - 8);
        file.extend(boxed(b"mdat", &coded));
        file
    }

    #[test]
    fn the_size_is_that_of_the_sequence_header() {
        for (width, height) in [(1, 1), (640, 480), (65_536, 65_536)] {
            let layout = layout(&file(width.into(), height.into())).unwrap();
            assert_eq!(layout, Layout { width, height, frame_bytes: 5 });
        }
    }

    #[test]
    fn any_other_shape_is_refused() {
        let good = file(640, 480);
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bad = good.clone();
            change(&mut bad);
            assert_ne!(bad, good);
            assert_eq!(layout(&bad), None);
        };
        let coded = good.len() - 17;
        let iloc = good.windows(4).position(|kind| kind == b"iloc").unwrap() + 4;
        // The frame twice, a byte after the boxes, a frame as another unit, a layer, no size.
        refused(&|bad| bad.extend_from_within(coded + 12..));
        refused(&|bad| bad.push(0));
        refused(&|bad| bad[coded + 12] = 0x1a);
        refused(&|bad| bad[coded + 12] |= 4);
        refused(&|bad| bad[coded + 12] &= !2);
        // More than one picture; a full sequence header.
        refused(&|bad| bad[coded + 4] &= !0b1_0000);
        refused(&|bad| bad[coded + 4] &= !0b1000);
        // Another version, two items, two extents, an extent beside the data.
        for at in [0, 7, 13, 17, 21] {
            refused(&|bad| bad[iloc + at] += 1);
        }
        refused(&|bad| bad[iloc - 4..iloc].copy_from_slice(b"free"));
        let pitm = good.windows(4).position(|kind| kind == b"pitm").unwrap();
        refused(&|bad| bad[pitm..pitm + 4].copy_from_slice(b"iloc"));
        refused(&|bad| bad[4..8].copy_from_slice(b"moov"));
    }

    #[test]
    fn no_cut_and_no_size_panics() {
        let good = file(640, 480);
        for end in 0..good.len() {
            assert_eq!(layout(&good[..end]), None);
        }
        for at in 0..good.len() {
            for value in [0, 1, 7, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = layout(&bad);
            }
        }
    }
}
