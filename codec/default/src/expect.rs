//! What magnitude to expect of a coefficient: a weighted sum, in integers, of the
//! magnitudes of its neighbours that are already known.
//!
//! The neighbours are listed at [`crate::contexts::SPATIAL`] and after it; the weights
//! are learned. What surrounds a block is summed for all of its bands at once, in loops
//! over rows of bands that compilers turn into vector code; what its own bands add is
//! spread out from each coefficient that is not 0, which few are.

use crate::contexts::{NEAR, PLANES, SPATIAL, Weights, ZONES, zone};
use crate::latents::{CHROMA_BANDS, LUMA_BANDS, Latents, Plane, extent};
use crate::simd::{Work, widest};

/// Magnitudes above this are alike as neighbours.
pub(crate) const CAP: i32 = 15;

#[inline(always)]
pub(crate) fn magnitude(value: i16) -> i32 {
    i32::from(value).abs().min(CAP)
}

/// Bands of a row.
const ROW: usize = LUMA_BANDS;
/// Room for what reaches over the edges: two bands on the left, two on the right, two
/// below.
const STRIDE: usize = ROW + 4;
const HEIGHT: usize = ROW + 2;
/// Where band (0, 0) lies in an array with this room.
const LEFT: usize = 2;

/// The weights in the order in which they are used.
pub(crate) struct Lines {
    /// Per plane, for blocks of 4 × 4, 8 × 8 and 16 × 16 bands: the weights of each
    /// neighbour for all bands in raster order.
    four: [[[i16; 16]; AROUND]; PLANES],
    eight: [[[i16; 64]; AROUND]; PLANES],
    sixteen: Box<[[i16; 256]; AROUND]>,
    /// Per plane and band that is not 0, what each of [`NEAR`] adds.
    near: Box<[[[[i16; NEAR.len()]; ROW]; ROW]; PLANES]>,
}

/// Neighbouring blocks, the gradient, luma, Cb, the constant.
const AROUND: usize = SPATIAL + 4;

impl Lines {
    pub(crate) fn new(weights: &[Weights; ZONES]) -> Self {
        fn around<const N: usize>(weights: &[Weights; ZONES], plane: usize, reach: usize) -> [[i16; N]; AROUND] {
            let mut lines = [[0; N]; AROUND];
            for at in 0..reach * reach {
                let own = &weights[zone(plane, at / reach, at % reach)];
                for (line, &weight) in lines.iter_mut().zip(own[..SPATIAL].iter().chain(&own[SPATIAL + NEAR.len()..])) {
                    line[at] = weight;
                }
            }
            lines
        }
        let mut near = Box::new([[[[0; NEAR.len()]; ROW]; ROW]; PLANES]);
        for (plane, near) in near.iter_mut().enumerate() {
            let bands = if plane == 0 { LUMA_BANDS } else { CHROMA_BANDS };
            for (v, near) in near.iter_mut().enumerate().take(bands) {
                for (u, near) in near.iter_mut().enumerate().take(bands) {
                    for (k, (dv, du)) in NEAR.into_iter().enumerate() {
                        let (tv, tu) = (v + dv, u as isize + du);
                        if tv < bands && (0..bands as isize).contains(&tu) {
                            near[k] = weights[zone(plane, tv, tu as usize)][SPATIAL + k];
                        }
                    }
                }
            }
        }
        Self {
            four: std::array::from_fn(|plane| around(weights, plane, 4)),
            eight: std::array::from_fn(|plane| around(weights, plane, 8)),
            sixteen: Box::new(around(weights, 0, 16)),
            near,
        }
    }
}

/// What is expected of each band of one block, in units of 1/64.
#[derive(Clone)]
pub(crate) struct Expected([i32; STRIDE * HEIGHT]);

impl Default for Expected {
    fn default() -> Self {
        Self([0; STRIDE * HEIGHT])
    }
}

/// A block that is not there.
pub(crate) static NOTHING: [i16; ROW * ROW] = [0; ROW * ROW];

impl Expected {
    #[inline(always)]
    pub(crate) fn at(&self, v: usize, u: usize) -> i32 {
        self.0[v * STRIDE + LEFT + u]
    }

    /// Lets a coefficient of `size` raise what its higher neighbours expect.
    #[inline(always)]
    pub(crate) fn spread(&mut self, lines: &Lines, plane: usize, v: usize, u: usize, size: i32) {
        let weights = &lines.near[plane][v][u];
        let at = v * STRIDE + LEFT + u;
        for k in 0..NEAR.len() {
            let (dv, du) = NEAR[k];
            // Beyond the bands nothing reads or resets the sum.
            let to = &mut self.0[(at + dv * STRIDE).wrapping_add_signed(du)];
            *to = to.wrapping_add(size * i32::from(weights[k]));
        }
    }

    /// Expects from all that is known before any of this layer's bands of this block.
    pub(crate) fn fill(
        &mut self,
        lines: &Lines,
        layer: usize,
        plane: usize,
        latents: &Latents,
        place: (usize, usize),
        gradient: Gradient,
    ) {
        let known = if layer == 0 { 0 } else { extent(latents.planes[plane].bands, layer - 1) };
        match extent(latents.planes[plane].bands, layer) {
            4 => {
                let weights = &lines.four[plane];
                widest(Fill::<4, 16> { expected: self, weights, known, plane, latents, place, gradient });
            }
            8 => {
                let weights = &lines.eight[plane];
                widest(Fill::<8, 64> { expected: self, weights, known, plane, latents, place, gradient });
            }
            _ => {
                let weights = &lines.sixteen;
                widest(Fill::<16, 256> { expected: self, weights, known, plane, latents, place, gradient });
            }
        }
        // What the layers before hold of this block.
        let bands = latents.planes[plane].bands;
        let own = latents.planes[plane].block(place.0 * latents.columns + place.1);
        for v in 0..known {
            for u in 0..known {
                let size = magnitude(own[v * bands + u]);
                if size != 0 {
                    self.spread(lines, plane, v, u, size);
                }
            }
        }
    }
}

/// The filling of R × R = N bands, of which the lowest `known` along each axis are.
struct Fill<'a, const R: usize, const N: usize> {
    expected: &'a mut Expected,
    weights: &'a [[i16; N]; AROUND],
    known: usize,
    plane: usize,
    latents: &'a Latents,
    place: (usize, usize),
    gradient: Gradient,
}

impl<const R: usize, const N: usize> Work for Fill<'_, R, N> {
    #[inline(always)]
    fn run(self) {
        let Self { expected, weights, known, plane, latents, place: (row, column), gradient } = self;
        let (columns, rows) = (latents.columns, latents.rows);
        let here = &latents.planes[plane];
        let bands = here.bands;
        let at = row * columns + column;
        let block = |there: bool, at: usize| if there { here.block(at) } else { &NOTHING[..bands * bands] };
        let (west, north) = (column > 0, row > 0);
        let left = block(west, at.wrapping_sub(1));
        let up = block(north, at.wrapping_sub(columns));
        let up_left = block(west && north, at.wrapping_sub(columns + 1));
        let up_right = block(north && column + 1 < columns, at.wrapping_sub(columns.wrapping_sub(1)));
        let left2 = block(column > 1, at.wrapping_sub(2));
        let up2 = block(row > 1, at.wrapping_sub(2 * columns));
        // Of the blocks to come, the layers before are known.
        let right = block(known > 0 && column + 1 < columns, at + 1);
        let below = block(known > 0 && row + 1 < rows, at + columns);

        // Sums of magnitudes, with room for neighbouring bands.
        let mut cross = [[0_i16; STRIDE]; HEIGHT];
        let mut corner = [[0_i16; STRIDE]; HEIGHT];
        for v in 0..R {
            let line = |block: &[i16]| sizes::<R>(&block[v * bands..]);
            let (left, up, up_left, up_right) = (line(left), line(up), line(up_left), line(up_right));
            for u in 0..R {
                cross[v + 1][LEFT + u] = left[u] + up[u];
                corner[v + 1][LEFT + u] = up_left[u] + up_right[u];
            }
        }
        let slope = |v: usize, u: usize| gradient.along(v, u).abs().min(CAP) as i16;
        let slopes = [slope(0, 1), slope(1, 0), slope(1, 1)];
        let mut features = [[0_i16; N]; AROUND - 1];
        let around = [left, up, up_left, up_right, left2, up2];
        for feature in 0..around.len() {
            for v in 0..R {
                features[feature][v * R..][..R].copy_from_slice(&sizes::<R>(&around[feature][v * bands..]));
            }
        }
        for v in 0..R {
            let (above, beside, under) = (&cross[v], &cross[v + 1], &cross[v + 2]);
            let (corner_above, corner_beside, corner_under) = (&corner[v], &corner[v + 1], &corner[v + 2]);
            for u in 0..R {
                let (at, c) = (v * R + u, LEFT + u);
                features[6][at] = beside[c - 1] + beside[c + 1];
                features[7][at] = above[c] + under[c];
                features[8][at] = above[c - 1] + above[c + 1] + under[c - 1] + under[c + 1];
                features[9][at] = corner_above[c - 1]
                    + corner_above[c]
                    + corner_above[c + 1]
                    + corner_beside[c - 1]
                    + corner_beside[c + 1]
                    + corner_under[c - 1]
                    + corner_under[c]
                    + corner_under[c + 1];
            }
        }
        for v in 0..R.min(2 * known) {
            for u in 0..R.min(2 * known) {
                let parent = v / 2 * bands + u / 2;
                features[10][v * R + u] = (magnitude(right[parent]) + magnitude(below[parent])) as i16;
            }
        }
        features[11] = [slopes[2]; N];
        features[11][..R].fill(slopes[0]);
        for v in 0..R {
            features[11][v * R] = slopes[1];
        }
        features[11][0] = slopes[0];
        for other in 0..plane {
            let Plane { bands, .. } = latents.planes[other];
            for v in 0..R {
                let line = &latents.planes[other].block(at)[v * bands..];
                features[12 + other][v * R..][..R].copy_from_slice(&sizes::<R>(line));
            }
        }
        let mut sums = [0_i32; N];
        for at in 0..N {
            sums[at] = i32::from(weights[AROUND - 1][at]);
        }
        for k in 0..AROUND - 1 {
            for at in 0..N {
                sums[at] += i32::from(features[k][at]) * i32::from(weights[k][at]);
            }
        }
        for v in 0..R {
            expected.0[v * STRIDE + LEFT..][..R].copy_from_slice(&sums[v * R..][..R]);
        }
    }
}

#[inline(always)]
fn sizes<const R: usize>(line: &[i16]) -> [i16; R] {
    let mut sizes = [0; R];
    let line = &line[..R];
    for u in 0..R {
        sizes[u] = line[u].wrapping_abs().min(CAP as i16);
    }
    sizes
}

/// How the DCs change across a block: from the left neighbour to the right one, and
/// from the upper to the lower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gradient {
    horizontal: i32,
    vertical: i32,
}

impl Gradient {
    pub(crate) fn new(latents: &Latents, plane: usize, row: usize, column: usize) -> Self {
        let columns = latents.columns;
        let Plane { bands, values } = &latents.planes[plane];
        let dc = |row: usize, column: usize| i32::from(values[(row * columns + column) * bands * bands]);
        let (right, below) = ((column + 1).min(columns - 1), (row + 1).min(latents.rows - 1));
        Self {
            horizontal: dc(row, right) - dc(row, column.saturating_sub(1)),
            vertical: dc(below, column) - dc(row.saturating_sub(1), column),
        }
    }

    /// The gradient that a band of these frequencies lies along.
    pub(crate) fn along(self, v: usize, u: usize) -> i32 {
        match (v, u) {
            (0, _) => self.horizontal,
            (_, 0) => self.vertical,
            _ => self.horizontal.abs() + self.vertical.abs(),
        }
    }

    pub(crate) fn activity(self) -> usize {
        match self.horizontal.abs() + self.vertical.abs() {
            0 => 0,
            1..=2 => 1,
            3..=6 => 2,
            7..=15 => 3,
            _ => 4,
        }
    }
}
