//! R'G'B' to Y'CbCr of BT.601 in full range and back, chroma at half size. Planar frames
//! of cameras are Y'CbCr already.

use crate::latents::BLOCK;
use crate::simd::Work;
use crate::transform::{SAMPLE_BITS, Samples};
use afferent_media::{ImageView, PixelFormat, Plane};

/// Weights with 14 fractional bits.
const BITS: u32 = 14;
const Y: [i32; 3] = [4899, 9617, 1868];
const CB: [i32; 3] = [-2765, -5427, 8192];
const CR: [i32; 3] = [8192, -6860, -1332];

/// Fills `planes` with the rows `top..bottom` of `image`, padded to whole blocks by
/// repeating the last column and row. `top` and `bottom` are even; rows at or below
/// the image's height repeat its last.
pub(crate) struct Split<'a> {
    pub(crate) image: ImageView<'a>,
    pub(crate) top: usize,
    pub(crate) bottom: usize,
    pub(crate) planes: &'a mut [Samples],
}

impl Work for Split<'_> {
    #[inline(always)]
    fn run(self) {
        split(self.image, self.top, self.bottom, self.planes);
    }
}

#[inline(always)]
fn split(image: ImageView<'_>, top: usize, bottom: usize, planes: &mut [Samples]) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let padded = width.next_multiple_of(BLOCK);
    let rows = bottom - top;
    planes[0].reset(padded, rows);
    for chroma in planes.iter_mut().skip(1) {
        chroma.reset(padded / 2, rows / 2);
    }
    if image.format() != PixelFormat::Rgb8 {
        let rows_per_chroma = if image.format() == PixelFormat::I422 { 2 } else { 1 };
        for (number, (from, to)) in image.planes().zip(planes).enumerate() {
            match number {
                0 => take(from, top, 1, to),
                _ => take(from, top / 2 * rows_per_chroma, rows_per_chroma, to),
            }
        }
        return;
    }
    let half = padded / 2;
    let [luma, cb, cr] = planes else { return };
    let used = width.div_ceil(2);
    let row = |y: usize| image.row((top + y).min(height - 1) as u32);
    for (y, to) in luma.data.chunks_exact_mut(padded).enumerate() {
        for (to, &[r, g, b]) in to.iter_mut().zip(row(y).as_chunks().0) {
            let weighted = dot(Y, [r.into(), g.into(), b.into()]) + (1 << (BITS - SAMPLE_BITS - 1));
            *to = (weighted >> (BITS - SAMPLE_BITS)) as i16 - (128 << SAMPLE_BITS);
        }
        repeat(to, width);
    }
    let rows = cb.data.chunks_exact_mut(half).zip(cr.data.chunks_exact_mut(half));
    for (y, (cb, cr)) in rows.enumerate() {
        let (above, below) = (row(2 * y), row(2 * y + 1));
        let pixels = above.as_chunks().0.iter().zip(below.as_chunks().0);
        for ((cb, cr), (above, below)) in cb.iter_mut().zip(&mut *cr).zip(pixels) {
            (*cb, *cr) = chroma(above, below);
        }
        if width % 2 == 1 {
            // A last column without a partner counts twice.
            let twice = |row: &[u8]| std::array::from_fn(|at| row[3 * (width - 1) + at % 3]);
            (cb[used - 1], cr[used - 1]) = chroma(&twice(above), &twice(below));
        }
        repeat(cb, used);
        repeat(cr, used);
    }
}

/// Fills `to` with the rows from `top` on of a plane around 128, each the mean of `of` (one
/// or two) of its rows.
#[inline(always)]
fn take(from: Plane<'_>, top: usize, of: usize, to: &mut Samples) {
    let (width, last) = (from.width as usize, from.height as usize - 1);
    let row = |y: usize| &from.data[y.min(last) * from.stride..][..width];
    let padded = to.width;
    for (y, to) in to.data.chunks_exact_mut(padded).enumerate() {
        let (above, below) = (row(top + y * of), row(top + y * of + of - 1));
        for ((to, &above), &below) in to.iter_mut().zip(above).zip(below) {
            *to = (i16::from(above) + i16::from(below) - 256) << (SAMPLE_BITS - 1);
        }
        repeat(to, width);
    }
}

/// Cb and Cr of two by two pixels.
#[inline(always)]
fn chroma(above: &[u8; 6], below: &[u8; 6]) -> (i16, i16) {
    const SHIFT: u32 = BITS + 2 - SAMPLE_BITS;
    let sum = |c: usize| i32::from(above[c]) + i32::from(above[c + 3]) + i32::from(below[c]) + i32::from(below[c + 3]);
    let sums = [sum(0), sum(1), sum(2)];
    let weighted = |weights| ((dot(weights, sums) + (1 << (SHIFT - 1))) >> SHIFT) as i16;
    (weighted(CB), weighted(CR))
}

#[inline(always)]
fn dot(weights: [i32; 3], values: [i32; 3]) -> i32 {
    weights[0] * values[0] + weights[1] * values[1] + weights[2] * values[2]
}

fn repeat(row: &mut [i16], used: usize) {
    let last = row[used - 1];
    row[used..].fill(last);
}

/// The pixels of decoded planes: chroma is enlarged by bilinear interpolation.
/// `to` holds `width` × `height` packed pixels, of grey where there is luma alone.
pub(crate) fn join(planes: &[Samples], width: usize, height: usize, to: &mut [u8]) {
    let luma = &planes[0];
    if planes.len() == 1 {
        for (row, from) in to.chunks_exact_mut(width).zip(luma.data.chunks_exact(luma.width)) {
            for (to, &y) in row.iter_mut().zip(from) {
                *to = byte((i32::from(y) + (128 << SAMPLE_BITS)) << BITS);
            }
        }
        return;
    }
    let half = planes[1].width;
    let rows = planes[1].height();
    for (y, row) in to.chunks_exact_mut(width * 3).enumerate().take(height) {
        // Chroma samples lie between pixels: weights 3/4 and 1/4 of the two nearest.
        let near = (y / 2).min(rows - 1);
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(rows - 1) };
        let line = |plane: &Samples, x: usize| {
            let column = |x: usize| 3 * i32::from(plane.data[near * half + x]) + i32::from(plane.data[far * half + x]);
            let other = if x.is_multiple_of(2) { (x / 2).saturating_sub(1) } else { (x / 2 + 1).min(half - 1) };
            (3 * column(x / 2) + column(other) + 8) >> 4
        };
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let y = (i32::from(luma.data[y * luma.width + x]) + (128 << SAMPLE_BITS)) << BITS;
            let (cb, cr) = (line(&planes[1], x), line(&planes[2], x));
            pixel[0] = byte(y + 22_970 * cr);
            pixel[1] = byte(y - 5_638 * cb - 11_700 * cr);
            pixel[2] = byte(y + 29_032 * cb);
        }
    }
}

fn byte(value: i32) -> u8 {
    let shift = BITS + SAMPLE_BITS;
    ((value + (1 << (shift - 1))) >> shift).clamp(0, 255) as u8
}
