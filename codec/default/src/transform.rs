//! The analysis and its linear inverse: a learned, separable, lapped transform.
//!
//! Along each axis a *lapping* matrix works across every inner block boundary, on half
//! a block on either side; then a second matrix works on every block (time-domain
//! lapping after Tran, Liang and Tu, IEEE Trans. Signal Processing 51(6), 2003; both
//! matrices learned, `models/train/optic`). Nothing reaches beyond a picture's border, so
//! borders need no special case. Luma has 16 bands along each axis, 64
//! multiply-accumulates per pixel; the chroma planes of half size have 8, together 16.
//!
//! Samples come with 4 fractional bits around 0 and stay so through the horizontal
//! pass; coefficients leave with 2. All of it is integer arithmetic ([`crate::simd`]).

use crate::latents::{CHROMA_BANDS, LUMA_BANDS};
use crate::simd::{MATRIX_BITS, Work, rows, widest};
use crate::tables::Matrices;

/// Fractional bits of samples before the transform.
pub(crate) const SAMPLE_BITS: u32 = 4;
/// Fractional bits of coefficients.
pub(crate) const COEFFICIENT_BITS: u32 = 2;

/// A plane of 16-bit samples whose width is a multiple of its block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub(crate) width: usize,
    pub(crate) data: Vec<i16>,
}

impl Samples {
    pub(crate) fn reset(&mut self, width: usize, height: usize) {
        self.width = width;
        self.data.clear();
        self.data.resize(width * height, 0);
    }

    pub(crate) fn height(&self) -> usize {
        self.data.len().checked_div(self.width).unwrap_or(0)
    }
}

/// Transforms in place. `above` says how many of the first rows belong to the block
/// before (half a block, or none at the picture's top); what is left over below the
/// last whole block belongs to the one after. Coefficients replace the rows between.
pub(crate) fn forward(plane: &mut Samples, bands: usize, above: usize, panel: &mut Vec<i16>, matrices: &Matrices) {
    match bands {
        LUMA_BANDS => widest(Ahead { lap: &matrices.luma_lap, block: &matrices.luma, plane, above, panel }),
        CHROMA_BANDS => widest(Ahead { lap: &matrices.chroma_lap, block: &matrices.chroma, plane, above, panel }),
        _ => {}
    }
}

/// Undoes [`forward`] for a whole plane.
pub(crate) fn inverse(plane: &mut Samples, bands: usize, panel: &mut Vec<i16>, matrices: &Matrices) {
    match bands {
        LUMA_BANDS => back(&matrices.luma_unlap, &matrices.luma_inverse, plane, panel),
        CHROMA_BANDS => back(&matrices.chroma_unlap, &matrices.chroma_inverse, plane, panel),
        _ => {}
    }
}

struct Ahead<'a, const N: usize> {
    lap: &'a [[i16; N]; N],
    block: &'a [[i16; N]; N],
    plane: &'a mut Samples,
    above: usize,
    panel: &'a mut Vec<i16>,
}

impl<const N: usize> Work for Ahead<'_, N> {
    #[inline(always)]
    fn run(self) {
        let Self { lap, block, plane, above, panel } = self;
        ahead(lap, block, plane, above, panel);
    }
}

#[inline(always)]
fn ahead<const N: usize>(
    lap: &[[i16; N]; N],
    block: &[[i16; N]; N],
    plane: &mut Samples,
    above: usize,
    panel: &mut Vec<i16>,
) {
    let (width, height) = (plane.width, plane.height());
    panels::<N>(plane, panel, |turned| {
        for boundary in 1..width / N {
            rows(lap, &mut turned[(boundary * N - N / 2) * N..], N, N, MATRIX_BITS);
        }
        for at in 0..width / N {
            rows(block, &mut turned[at * N * N..], N, N, MATRIX_BITS);
        }
    });
    let first = if above == 0 { N / 2 } else { 0 };
    for top in (first..).step_by(N).take_while(|top| top + N <= height) {
        rows(lap, &mut plane.data[top * width..], width, width, MATRIX_BITS);
    }
    for top in (above..).step_by(N).take_while(|top| top + N <= height) {
        rows(block, &mut plane.data[top * width..], width, width, MATRIX_BITS + SAMPLE_BITS - COEFFICIENT_BITS);
    }
}

fn back<const N: usize>(lap: &[[i16; N]; N], block: &[[i16; N]; N], plane: &mut Samples, panel: &mut Vec<i16>) {
    let (width, height) = (plane.width, plane.height());
    for top in (0..height).step_by(N) {
        rows(block, &mut plane.data[top * width..], width, width, MATRIX_BITS + COEFFICIENT_BITS - SAMPLE_BITS);
    }
    for top in (N / 2..).step_by(N).take_while(|top| top + N <= height) {
        rows(lap, &mut plane.data[top * width..], width, width, MATRIX_BITS);
    }
    panels::<N>(plane, panel, |turned| {
        for at in 0..width / N {
            rows(block, &mut turned[at * N * N..], N, N, MATRIX_BITS);
        }
        for boundary in 1..width / N {
            rows(lap, &mut turned[(boundary * N - N / 2) * N..], N, N, MATRIX_BITS);
        }
    });
}

/// Turns `N` rows at a time on their side, lets `work` have them, and turns them back.
#[inline(always)]
fn panels<const N: usize>(plane: &mut Samples, panel: &mut Vec<i16>, mut work: impl FnMut(&mut [i16])) {
    let width = plane.width;
    panel.clear();
    panel.resize(width * N, 0);
    for strip in plane.data.chunks_mut(width * N) {
        // Block by block, so that both sides stay in the nearest cache.
        for (at, turned) in panel.chunks_exact_mut(N * N).enumerate() {
            for y in 0..strip.len() / width {
                let row = &strip[y * width + at * N..][..N];
                for x in 0..N {
                    turned[x * N + y] = row[x];
                }
            }
        }
        work(panel);
        for (at, turned) in panel.chunks_exact(N * N).enumerate() {
            for y in 0..strip.len() / width {
                let row = &mut strip[y * width + at * N..][..N];
                for x in 0..N {
                    row[x] = turned[x * N + y];
                }
            }
        }
    }
}
