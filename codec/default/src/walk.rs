//! The walk over the coefficients of a strip: which binary decisions they are coded
//! by, and in which context. Encoder and decoder run this same code.
//!
//! Layer 0 begins with all DCs, each predicted from its neighbours; then, and in every
//! later layer, the blocks follow in raster order, plane by plane: a flag whether the
//! layer holds anything here, a flag for each group of 4 × 4 bands, and within a group
//! the coefficients from low to high frequency: zero or not, sign, magnitude.
//!
//! The context of a magnitude is what its neighbours let expect: a weighted sum, in
//! integers, of magnitudes already coded (`Walk::expect`). The weights come from the
//! training photographs by least squares, one set per zone of bands.

use crate::contexts::*;
use crate::latents::{CHROMA_BANDS, LUMA_BANDS, Latents, extent};
use afferent_codec::entropy::{BitCoder, Even, Mixer, Predictor};

/// Magnitudes above this are alike as neighbours.
const CAP: i32 = 15;

/// Unary decisions end at this magnitude; what is above is escaped.
const ESCAPE: u32 = 14;

/// Row length and rows of the working arrays: 16 bands and room for what reaches over
/// the edges.
const STRIDE: usize = 20;
const HEIGHT: usize = 19;
/// Where band (0, 0) lies.
const ORIGIN: usize = STRIDE + 2;

/// Bands of a group from low to high frequency, as (vertical, horizontal).
const SCAN: [(usize, usize); 16] = [
    (0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2),
    (2, 1), (3, 0), (3, 1), (2, 2), (1, 3), (2, 3), (3, 2), (3, 3),
];

/// Groups of 4 × 4 bands that each layer adds, as (vertical, horizontal).
const LUMA_GROUPS: [&[(usize, usize)]; 3] = [
    &[(0, 0)],
    &[(0, 1), (1, 0), (1, 1)],
    &[(0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3), (3, 0), (1, 3), (3, 1), (2, 3), (3, 2), (3, 3)],
];

fn groups(plane: usize, layer: usize) -> &'static [(usize, usize)] {
    match (plane, layer) {
        (0, _) => LUMA_GROUPS[layer],
        (_, 0 | 1) => LUMA_GROUPS[layer],
        _ => &[],
    }
}

/// Looks on while coefficients are coded; the recipe that fits the tables does.
pub(crate) trait Tap {
    /// A coefficient of `zone` and this magnitude, where `expected` was expected.
    fn coefficient(&mut self, zone: usize, expected: i32, magnitude: u32) {
        let _ = (zone, expected, magnitude);
    }
}

impl Tap for () {}

/// The state of the walk over one strip.
pub(crate) struct Walk<'t, P, T> {
    pub(crate) models: Vec<P>,
    pub(crate) weights: &'t [Weights; ZONES],
    pub(crate) tap: T,
    /// Per plane and block, one bit per layer that holds anything.
    filled: [Vec<u8>; PLANES],
    /// Per plane and block, how many coefficients beside the DC are not 0.
    filling: [Vec<u16>; PLANES],
    /// Per plane and block, how far the DC was from its prediction.
    residuals: [Vec<u16>; PLANES],
    expected: [i32; STRIDE * HEIGHT],
    dc_mixers: [Mixer<3>; PLANES * 3],
    layer_mixers: [Mixer<2>; PLANES * 3],
    zero_mixers: [Mixer<3>; ZONES],
    above_one_mixers: [Mixer<2>; ZONES],
}

impl<'t, P: Predictor, T: Tap> Walk<'t, P, T> {
    /// A walk that starts with these models.
    pub(crate) fn new(models: Vec<P>, weights: &'t [Weights; ZONES], tap: T) -> Self {
        Self {
            models,
            weights,
            tap,
            filled: Default::default(),
            filling: Default::default(),
            residuals: Default::default(),
            expected: [0; STRIDE * HEIGHT],
            dc_mixers: [Mixer::even(); PLANES * 3],
            layer_mixers: [Mixer::even(); PLANES * 3],
            zero_mixers: [Mixer::even(); ZONES],
            above_one_mixers: [Mixer::even(); ZONES],
        }
    }

    /// Readies the walk for another strip of this size; the models stay.
    pub(crate) fn begin(&mut self, latents: &Latents) {
        for filled in &mut self.filled {
            filled.clear();
            filled.resize(latents.columns * latents.rows, 0);
        }
        for counts in self.filling.iter_mut().chain(&mut self.residuals) {
            counts.clear();
            counts.resize(latents.columns * latents.rows, 0);
        }
    }

    /// Codes one layer: writes what `latents` holds, or fills it with what is read.
    pub(crate) fn layer(&mut self, coder: &mut impl BitCoder, layer: usize, latents: &mut Latents) {
        if layer == 0 {
            self.dcs(coder, latents);
        }
        for row in 0..latents.rows {
            for column in 0..latents.columns {
                for plane in 0..latents.planes.len() {
                    if !groups(plane, layer).is_empty() {
                        self.block(coder, layer, plane, latents, row, column);
                    }
                }
            }
        }
    }

    fn dcs(&mut self, coder: &mut impl BitCoder, latents: &mut Latents) {
        for row in 0..latents.rows {
            for column in 0..latents.columns {
                let mut before = [0_i32; PLANES];
                for plane in 0..latents.planes.len() {
                    before[plane] = self.dc(coder, plane, latents, row, column, before);
                }
            }
        }
    }

    /// Codes one DC, and returns how far it was from its prediction.
    fn dc(
        &mut self,
        coder: &mut impl BitCoder,
        plane: usize,
        latents: &mut Latents,
        row: usize,
        column: usize,
        before: [i32; PLANES],
    ) -> i32 {
        let columns = latents.columns;
        let at = row * columns + column;
        let dc = |block: usize| i32::from(latents.planes[plane].block(block)[0]);
        let (left, up, up_left, up_right) = match (row, column) {
            (0, 0) => (0, 0, 0, 0),
            (0, _) => (dc(at - 1), dc(at - 1), dc(at - 1), dc(at - 1)),
            (_, 0) => {
                let up = dc(at - columns);
                (up, up, up, if columns > 1 { dc(at - columns + 1) } else { up })
            }
            _ => {
                let up = dc(at - columns);
                let up_right = if column + 1 < columns { dc(at - columns + 1) } else { up };
                (dc(at - 1), up, dc(at - columns - 1), up_right)
            }
        };
        let [a, b, c, d] = if plane == 0 { [11, 8, -5, 2] } else { [9, 6, -2, 3] };
        let predicted = (a * left + b * up + c * up_left + d * up_right + 8) >> 4;
        let spread = (left - up_left).abs() + (up - up_left).abs() + (up - up_right).abs();
        let activity = match spread {
            0 => 0,
            1 => 1,
            2 => 2,
            3..=4 => 3,
            5..=7 => 4,
            8..=12 => 5,
            13..=24 => 6,
            _ => 7,
        };
        // How large the planes before were, and their signs.
        let size = before.iter().map(|r| r.abs()).max().unwrap_or(0).min(2) as usize;
        let three = |r: i32| (r.signum() + 1) as usize;

        let residual = i32::from(latents.planes[plane].block(at)[0]) - predicted;
        let magnitude = residual.unsigned_abs();
        let class = if magnitude == 0 { 0 } else { (magnitude.ilog2() as usize + 1).min(DC_CLASSES) };
        let known = |block: usize| u32::from(self.residuals[plane][block]);
        let around = if column > 0 { known(at - 1) } else { 0 } + if row > 0 { known(at - columns) } else { 0 };
        let around = if around == 0 { 0 } else { (around.ilog2() as usize + 1).min(7) };
        let luma = before[0].unsigned_abs();
        let luma = if luma == 0 { 0 } else { (luma.ilog2() as usize + 1).min(7) };
        let firsts = [
            DC_CLASS + ((plane * 3 + size) * ACTIVITIES + activity) * DC_CLASSES,
            DC_AROUND + ((plane * 8 + around) * 3 + size) * DC_CLASSES,
            DC_BEFORE + (((plane * 8 + if plane == 0 { activity } else { luma }) * 4 + around.min(6) / 2) * 3
                + before[1].unsigned_abs().min(2) as usize)
                * DC_CLASSES,
        ];
        let mut read = 0;
        while read < DC_CLASSES && self.mixed(coder, firsts.map(|first| first + read), plane, read, class > read) {
            read += 1;
        }
        let residual = if read == 0 {
            0
        } else {
            let trend = three(left + up - 2 * up_left);
            let sign = DC_SIGN + plane * 27 + (three(before[0]) * 3 + three(before[1])) * 3 + trend;
            let negative = coder.bit(&mut self.models[sign], residual < 0);
            let mut value = 1_u32;
            for bit in (0..read - 1).rev() {
                let asked = magnitude >> bit & 1 == 1;
                let got = if bit + 2 == read {
                    coder.bit(&mut self.models[DC_MANTISSA + plane * DC_CLASSES + read - 1], asked)
                } else {
                    coder.bit(&mut Even, asked)
                };
                value = value << 1 | u32::from(got);
            }
            if negative { -(value as i32) } else { value as i32 }
        };
        // Only damaged streams leave the range of 16 bits.
        let value = (predicted + residual).clamp(-LIMIT, LIMIT) as i16;
        latents.planes[plane].block_mut(at)[0] = value;
        self.residuals[plane][at] = residual.unsigned_abs().min(u32::from(u16::MAX)) as u16;
        residual
    }

    /// One decision on a DC's class, by three opinions.
    #[inline(always)]
    fn mixed(&mut self, coder: &mut impl BitCoder, numbers: [usize; 3], plane: usize, read: usize, bit: bool) -> bool {
        let mixer = &mut self.dc_mixers[plane * 3 + read.min(2)];
        let [a, b, c] = numbers;
        let mixed = mixer.mix([&self.models[a], &self.models[b], &self.models[c]]);
        let bit = coder.bit(&mut { mixed }, bit);
        mixer.learn(&mixed, bit);
        for number in numbers {
            self.models[number].learn(bit);
        }
        bit
    }

    fn block(
        &mut self,
        coder: &mut impl BitCoder,
        layer: usize,
        plane: usize,
        latents: &mut Latents,
        row: usize,
        column: usize,
    ) {
        let columns = latents.columns;
        let at = row * columns + column;
        let bands = if plane == 0 { LUMA_BANDS } else { CHROMA_BANDS };
        let reach = extent(bands, layer);
        let groups = groups(plane, layer);
        let gradient = Gradient::new(latents, plane, row, column);

        // Is there anything of this layer in this block?
        let mask = 1_u8 << layer;
        let filled = |block: usize, weight: usize| usize::from(self.filled[plane][block] & mask != 0) * weight;
        let mut around = 0;
        if column > 0 {
            around += filled(at - 1, 2);
        }
        if row > 0 {
            around += filled(at - columns, 2);
            if column > 0 {
                around += filled(at - columns - 1, 1);
            }
            if column + 1 < columns {
                around += filled(at - columns + 1, 1);
            }
        }
        let inside = match layer {
            0 => match (plane, gradient.activity()) {
                (0, activity) => activity,
                // Chroma moves where luma does.
                (_, activity) => activity.min(1) * 2 + usize::from(self.filled[0][at] & 1),
            },
            _ => {
                // The outermost bands that the layer before coded.
                let edge = extent(bands, layer - 1);
                let block = latents.planes[plane].block(at);
                let sum: i32 = (0..edge)
                    .map(|k| {
                        magnitude(block[(edge - 1) * bands + k]) + magnitude(block[k * bands + edge - 1])
                            + magnitude(block[(edge - 2) * bands + k]) + magnitude(block[k * bands + edge - 2])
                    })
                    .sum();
                match sum {
                    0 => 0,
                    1 => 1,
                    2..=3 => 2,
                    4..=7 => 3,
                    _ => 4,
                }
            }
        };
        let here = {
            let block = latents.planes[plane].block(at);
            groups.iter().any(|&group| holds(block, bands, group, plane))
        };
        let flag = LAYER_FLAG + (plane * 3 + layer) * LAYER_FLAGS + around.min(6) * 5 + inside;
        let beside = if column > 0 { self.filling[plane][at - 1] } else { 0 };
        let above = if row > 0 { self.filling[plane][at - columns] } else { 0 };
        let other = if plane == 0 { 0 } else { 1 + usize::from(self.filled[0][at] & mask != 0) };
        let second = LAYER_FILLING
            + (plane * 3 + layer) * LAYER_FILLINGS
            + (filling(beside + above) * FILLINGS + filling(self.filling[plane][at])) * 3
            + other;
        let mixer = &mut self.layer_mixers[plane * 3 + layer];
        let mixed = mixer.mix([&self.models[flag], &self.models[second]]);
        let here = coder.bit(&mut { mixed }, here);
        mixer.learn(&mixed, here);
        self.models[flag].learn(here);
        self.models[second].learn(here);
        if !here {
            return;
        }
        self.filled[plane][at] |= mask;

        self.expect(layer, plane, latents, row, column, reach, gradient);
        let mut any = false;
        for (index, &(gv, gu)) in groups.iter().enumerate() {
            if groups.len() > 1 {
                let last = index + 1 == groups.len();
                let mut sum = 0;
                for v in 0..4 {
                    let start = ORIGIN + (gv * 4 + v) * STRIDE + gu * 4;
                    sum += self.expected[start..start + 4].iter().map(|e| e.max(&0)).sum::<i32>();
                }
                let flag = GROUP_FLAG + (plane * 16 + gv * 4 + gu) * LEVELS + level(sum >> 1);
                let here = holds(latents.planes[plane].block(at), bands, (gv, gu), plane);
                // The last group must hold something if no other does.
                if !((last && !any) || coder.bit(&mut self.models[flag], here)) {
                    continue;
                }
            }
            any = true;
            self.group(coder, plane, latents, at, row, column, (gv, gu), gradient);
        }
    }

    /// What magnitude to expect in each band of a block, from all that is known before
    /// any of this layer's bands in it, in units of 1/64.
    fn expect(
        &mut self,
        layer: usize,
        plane: usize,
        latents: &Latents,
        row: usize,
        column: usize,
        reach: usize,
        gradient: Gradient,
    ) {
        let (columns, rows) = (latents.columns, latents.rows);
        let at = row * columns + column;
        let bands = latents.planes[plane].bands;
        let here = &latents.planes[plane];
        let read = |to: &mut [i32; STRIDE * HEIGHT], block: Option<usize>, reach: usize| {
            *to = [0; STRIDE * HEIGHT];
            if let Some(block) = block {
                for (v, line) in here.block(block).chunks_exact(bands).take(reach).enumerate() {
                    let to = &mut to[ORIGIN + v * STRIDE..][..reach];
                    for (to, &value) in to.iter_mut().zip(line) {
                        *to = magnitude(value);
                    }
                }
            }
        };
        let (has_left, has_up) = (column > 0, row > 0);
        let mut left = [0; STRIDE * HEIGHT];
        let mut up = [0; STRIDE * HEIGHT];
        let mut up_left = [0; STRIDE * HEIGHT];
        let mut up_right = [0; STRIDE * HEIGHT];
        let mut left2 = [0; STRIDE * HEIGHT];
        let mut up2 = [0; STRIDE * HEIGHT];
        read(&mut left, has_left.then(|| at - 1), reach);
        read(&mut up, has_up.then(|| at - columns), reach);
        read(&mut up_left, (has_left && has_up).then(|| at - columns - 1), reach);
        read(&mut up_right, (has_up && column + 1 < columns).then(|| at - columns + 1), reach);
        read(&mut left2, (column > 1).then(|| at - 2), reach);
        read(&mut up2, (row > 1).then(|| at - 2 * columns), reach);
        // Of the blocks to come, the layers before are known.
        let mut later = [0; STRIDE * HEIGHT];
        if layer > 0 {
            let known = extent(bands, layer - 1);
            let mut next = [0; STRIDE * HEIGHT];
            read(&mut later, (column + 1 < columns).then_some(at + 1), known);
            read(&mut next, (row + 1 < rows).then_some(at + columns), known);
            for (a, b) in later.iter_mut().zip(&next) {
                *a += b;
            }
        }
        let mut cross = [0; STRIDE * HEIGHT];
        let mut corner = [0; STRIDE * HEIGHT];
        for at in 0..cross.len() {
            cross[at] = left[at] + up[at];
            corner[at] = up_left[at] + up_right[at];
        }
        let edge = if layer == 0 { 0 } else { extent(bands, layer - 1) };
        let own = here.block(at);
        for v in 0..reach {
            for u in 0..reach {
                let p = ORIGIN + v * STRIDE + u;
                if v < edge && u < edge {
                    continue;
                }
                let w = &self.weights[zone(plane, v, u)];
                let beside = cross[p - 1] + cross[p + 1];
                let above = cross[p - STRIDE] + cross[p + STRIDE];
                let diagonal =
                    cross[p - STRIDE - 1] + cross[p - STRIDE + 1] + cross[p + STRIDE - 1] + cross[p + STRIDE + 1];
                let corners = corner[p - STRIDE - 1]
                    + corner[p - STRIDE]
                    + corner[p - STRIDE + 1]
                    + corner[p - 1]
                    + corner[p + 1]
                    + corner[p + STRIDE - 1]
                    + corner[p + STRIDE]
                    + corner[p + STRIDE + 1];
                let parent = later[ORIGIN + (v / 2) * STRIDE + u / 2];
                let features = [
                    left[p], up[p], up_left[p], up_right[p], left2[p], up2[p], beside, above, diagonal, corners, parent,
                ];
                let mut sum = i32::from(w[FEATURES]);
                for (feature, &weight) in features.iter().zip(w) {
                    sum += feature * i32::from(weight);
                }
                sum += gradient.along(v, u).abs().min(CAP) * i32::from(w[SPATIAL + NEAR.len()]);
                for other in 0..plane {
                    let other_bands = latents.planes[other].bands;
                    let value = latents.planes[other].block(at)[v * other_bands + u];
                    sum += magnitude(value) * i32::from(w[SPATIAL + NEAR.len() + 1 + other]);
                }
                self.expected[p] = sum;
            }
        }
        // What the layers before hold of this block.
        for v in 0..edge {
            for u in 0..edge {
                let size = magnitude(own[v * bands + u]);
                if size != 0 {
                    self.spread(plane, bands, v, u, size);
                }
            }
        }
    }

    /// Lets a coefficient of `size` raise what its higher neighbours expect.
    #[inline(always)]
    fn spread(&mut self, plane: usize, bands: usize, v: usize, u: usize, size: i32) {
        for (k, &(dv, du)) in NEAR.iter().enumerate() {
            let (tv, tu) = (v + dv, u as isize + du);
            if tv < bands && tu >= 0 && (tu as usize) < bands {
                let weight = self.weights[zone(plane, tv, tu as usize)][SPATIAL + k];
                self.expected[ORIGIN + tv * STRIDE + tu as usize] += size * i32::from(weight);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn group(
        &mut self,
        coder: &mut impl BitCoder,
        plane: usize,
        latents: &mut Latents,
        at: usize,
        row: usize,
        column: usize,
        (gv, gu): (usize, usize),
        gradient: Gradient,
    ) {
        let bands = latents.planes[plane].bands;
        let columns = latents.columns;
        let mut any = false;
        for (index, &(sv, su)) in SCAN.iter().enumerate() {
            let (v, u) = (gv * 4 + sv, gu * 4 + su);
            if v == 0 && u == 0 {
                continue;
            }
            let place = v * bands + u;
            let asked = i32::from(latents.planes[plane].block(at)[place]);
            let size = asked.unsigned_abs();
            let zone = zone(plane, v, u);
            let expected = self.expected[ORIGIN + v * STRIDE + u];
            let level = level(expected);
            self.tap.coefficient(zone, expected, size);
            // A group that is flagged holds something.
            let sure = index == SCAN.len() - 1 && !any;
            let block = latents.planes[plane].block(at);
            let left_size = if column > 0 { magnitude(latents.planes[plane].block(at - 1)[place]) } else { 0 };
            let up_size = if row > 0 { magnitude(latents.planes[plane].block(at - columns)[place]) } else { 0 };
            let mut near = 0;
            if u > 0 && (v > 0 || u > 1) {
                near += magnitude(block[place - 1]);
            }
            if v > 0 && (u > 0 || v > 1) {
                near += magnitude(block[place - bands]);
            }
            if !sure {
                let pattern = (left_size.min(2) * 9 + up_size.min(2) * 3 + near.min(2)) as usize;
                let filling = filling(self.filling[plane][at]);
                let numbers = [
                    ZERO + zone * LEVELS + level,
                    ZERO_PATTERN + band(plane, v, u) * PATTERNS + pattern,
                    ZERO_BLOCK + (zone * FILLINGS + filling) * 4 + (level / 4).min(3),
                ];
                let [a, b, c] = numbers;
                let mixed = self.zero_mixers[zone].mix([&self.models[a], &self.models[b], &self.models[c]]);
                let bit = coder.bit(&mut { mixed }, size > 0);
                self.zero_mixers[zone].learn(&mixed, bit);
                for number in numbers {
                    self.models[number].learn(bit);
                }
                if !bit {
                    continue;
                }
            }
            self.filling[plane][at] += 1;
            any = true;
            let sign = |block: &[i16]| (i32::from(block[place]).signum() + 1) as usize;
            let left = if column > 0 { sign(latents.planes[plane].block(at - 1)) } else { 1 };
            let up = if row > 0 { sign(latents.planes[plane].block(at - columns)) } else { 1 };
            let third = if v == 0 || u == 0 {
                let slope = gradient.along(v, u);
                (if slope.abs() > 2 { 2 * slope.signum() } else { slope.signum() } + 2) as usize
            } else if plane > 0 {
                sign_of(latents.planes[plane - 1].block(at)[v * latents.planes[plane - 1].bands + u])
            } else {
                1
            };
            let negative =
                coder.bit(&mut self.models[SIGN + zone * SIGNS + (left * 3 + up) * 5 + third], asked < 0);
            let mut value = 1;
            let pattern = ((left_size.min(3) * 4 + up_size.min(3)) * 5 + near.min(4)) as usize;
            let numbers = [ABOVE_ONE + zone * LEVELS + level, ABOVE_ONE_PATTERN + zone * LARGE_PATTERNS + pattern];
            let mixed =
                self.above_one_mixers[zone].mix([&self.models[numbers[0]], &self.models[numbers[1]]]);
            let above = coder.bit(&mut { mixed }, size > 1);
            self.above_one_mixers[zone].learn(&mixed, above);
            for number in numbers {
                self.models[number].learn(above);
            }
            if above {
                value = 2;
                while value < ESCAPE {
                    let unary = (value as usize - 2).min(UNARY - 1);
                    let number = ABOVE_TWO + (plane * UNARY + unary) * LEVELS + level;
                    if !coder.bit(&mut self.models[number], size > value) {
                        break;
                    }
                    value += 1;
                }
                if value == ESCAPE {
                    value += coder.escape(size.saturating_sub(ESCAPE));
                }
            }
            let magnitude = value.min(LIMIT as u32) as i32;
            latents.planes[plane].block_mut(at)[place] = if negative { -magnitude } else { magnitude } as i16;
            self.spread(plane, bands, v, u, magnitude.min(CAP));
        }
    }
}

/// The largest magnitude of a coefficient.
///
/// A DC is then at most 9,214 from its prediction, within its magnitude classes.
pub(crate) const LIMIT: i32 = 4095;

#[inline(always)]
fn magnitude(value: i16) -> i32 {
    i32::from(value).abs().min(CAP)
}

fn sign_of(value: i16) -> usize {
    (i32::from(value).signum() + 1) as usize
}

fn holds(block: &[i16], bands: usize, (gv, gu): (usize, usize), _plane: usize) -> bool {
    (0..4).any(|v| {
        (0..4).any(|u| {
            let (v, u) = (gv * 4 + v, gu * 4 + u);
            (v > 0 || u > 0) && block[v * bands + u] != 0
        })
    })
}

/// How the DCs change across a block: from the left neighbour to the right one, and
/// from the upper to the lower.
#[derive(Debug, Clone, Copy)]
struct Gradient {
    horizontal: i32,
    vertical: i32,
}

impl Gradient {
    fn new(latents: &Latents, plane: usize, row: usize, column: usize) -> Self {
        let columns = latents.columns;
        let dc = |row: usize, column: usize| i32::from(latents.planes[plane].block(row * columns + column)[0]);
        let (right, below) = ((column + 1).min(columns - 1), (row + 1).min(latents.rows - 1));
        Self {
            horizontal: dc(row, right) - dc(row, column.saturating_sub(1)),
            vertical: dc(below, column) - dc(row.saturating_sub(1), column),
        }
    }

    /// The gradient that a band of these frequencies lies along.
    fn along(self, v: usize, u: usize) -> i32 {
        match (v, u) {
            (0, _) => self.horizontal,
            (_, 0) => self.vertical,
            _ => self.horizontal.abs() + self.vertical.abs(),
        }
    }

    fn activity(self) -> usize {
        match self.horizontal.abs() + self.vertical.abs() {
            0 => 0,
            1..=2 => 1,
            3..=6 => 2,
            7..=15 => 3,
            _ => 4,
        }
    }
}
