//! The walk over the coefficients of a strip: which binary decisions they are coded
//! by, and in which context. Encoder and decoder run this same code.
//!
//! Layer 0 begins with all DCs, each predicted from its neighbours; then, and in every
//! later layer, the blocks follow in raster order, each plane by plane: a flag whether the
//! layer holds anything here, a flag for each group of 4 × 4 bands, and within a group
//! the coefficients from low to high frequency: zero or not, sign, magnitude.
//!
//! The context of a magnitude is what its neighbours let expect: a weighted sum, in
//! integers, of magnitudes already coded (`Walk::expect`). The weights come from the
//! training photographs by least squares, one set per zone of bands.

use crate::contexts::*;
use crate::expect::{CAP, Expected, Gradient, Lines, NOTHING, magnitude};
use crate::latents::{CHROMA_BANDS, LUMA_BANDS, Latents, Plane, extent};
use afferent_codec::entropy::{BitCoder, Even, Mixer, Predictor};

/// Unary decisions end at this magnitude; what is above is escaped.
const ESCAPE: u32 = 14;

/// Bands of a group from low to high frequency, as (vertical, horizontal).
const SCAN: [(usize, usize); 16] = [
    (0, 0),
    (0, 1),
    (1, 0),
    (2, 0),
    (1, 1),
    (0, 2),
    (0, 3),
    (1, 2),
    (2, 1),
    (3, 0),
    (3, 1),
    (2, 2),
    (1, 3),
    (2, 3),
    (3, 2),
    (3, 3),
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

/// Looks on while coefficients are coded, as the recipe that fits the tables does, or
/// has a say in which of them are worth their bits, as an encoder may.
pub(crate) trait Tap {
    /// Whether [`Tap::spares`] is to be asked.
    const THINS: bool = false;

    /// Whether a coefficient of magnitude 1 should rather be 0. `index` is its place in
    /// its plane; `alone` says how much more than itself it costs: 0, 1 if nothing else
    /// is in its group of bands, 2 if nothing else is in its layer of the block.
    fn spares(&self, plane: usize, index: usize, zone: usize, level: usize, alone: usize) -> bool {
        let _ = (plane, index, zone, level, alone);
        false
    }

    /// A coefficient of `zone` and this magnitude, where `expected` was expected.
    fn coefficient(&mut self, zone: usize, expected: i32, magnitude: u32) {
        let _ = (zone, expected, magnitude);
    }
}

impl Tap for () {}

/// The state of the walk over one strip.
pub(crate) struct Walk<'t, P, T> {
    pub(crate) models: Vec<P>,
    lines: &'t Lines,
    pub(crate) tap: T,
    /// Per plane and block, one bit per layer that holds anything.
    filled: [Vec<u8>; PLANES],
    /// Per plane and block, how many coefficients beside the DC are not 0.
    filling: [Vec<u16>; PLANES],
    /// Per plane and block, how far the DC was from its prediction.
    residuals: [Vec<u16>; PLANES],
    expected: Expected,
    dc_mixers: [Mixer<3>; PLANES * 3],
    layer_mixers: [Mixer<2>; PLANES * 3],
    zero_mixers: [Mixer<3>; ZONES],
    above_one_mixers: [Mixer<2>; ZONES],
}

impl<'t, P: Predictor, T: Tap> Walk<'t, P, T> {
    /// A walk that starts with these models.
    pub(crate) fn new(models: Vec<P>, lines: &'t Lines, tap: T) -> Self {
        Self {
            models,
            lines,
            tap,
            filled: Default::default(),
            filling: Default::default(),
            residuals: Default::default(),
            expected: Expected::default(),
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
            if coder.exhausted() {
                return;
            }
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
            if coder.exhausted() {
                return;
            }
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
            DC_BEFORE
                + (((plane * 8 + if plane == 0 { activity } else { luma }) * 4 + around.min(6) / 2) * 3
                    + before[1].unsigned_abs().min(2) as usize)
                    * DC_CLASSES,
        ];
        let mut read = 0;
        while read < DC_CLASSES && {
            let mixer = &mut self.dc_mixers[plane * 3 + read.min(2)];
            mixed(&mut self.models, mixer, firsts.map(|first| first + read), coder, class > read)
        } {
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
                        magnitude(block[(edge - 1) * bands + k])
                            + magnitude(block[k * bands + edge - 1])
                            + magnitude(block[(edge - 2) * bands + k])
                            + magnitude(block[k * bands + edge - 2])
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
        let holds_any = |latents: &Latents| {
            let block = latents.planes[plane].block(at);
            groups.iter().any(|&group| holds(block, bands, group))
        };
        let mut here = holds_any(latents);
        if T::THINS && here {
            self.expected.fill(self.lines, layer, plane, latents, (row, column), gradient);
            let expected = self.expected.clone();
            self.thin(plane, latents, at, groups);
            self.expected = expected;
            here = holds_any(latents);
        }
        let flag = LAYER_FLAG + (plane * 3 + layer) * LAYER_FLAGS + around.min(6) * 5 + inside;
        let beside = if column > 0 { self.filling[plane][at - 1] } else { 0 };
        let above = if row > 0 { self.filling[plane][at - columns] } else { 0 };
        let other = if plane == 0 { 0 } else { 1 + usize::from(self.filled[0][at] & mask != 0) };
        let second = LAYER_FILLING
            + (plane * 3 + layer) * LAYER_FILLINGS
            + (filling(beside + above) * FILLINGS + filling(self.filling[plane][at])) * 3
            + other;
        let mixer = &mut self.layer_mixers[plane * 3 + layer];
        if !mixed(&mut self.models, mixer, [flag, second], coder, here) {
            return;
        }
        self.filled[plane][at] |= mask;

        if !T::THINS {
            self.expected.fill(self.lines, layer, plane, latents, (row, column), gradient);
        }
        let mut any = false;
        for (index, &(gv, gu)) in groups.iter().enumerate() {
            if groups.len() > 1 {
                let last = index + 1 == groups.len();
                let mut sum = 0;
                for v in 0..4 {
                    for u in 0..4 {
                        sum += self.expected.at(gv * 4 + v, gu * 4 + u).max(0);
                    }
                }
                let flag = GROUP_FLAG + (plane * 16 + gv * 4 + gu) * LEVELS + level(sum >> 1);
                let here = holds(latents.planes[plane].block(at), bands, (gv, gu));
                // The last group must hold something if no other does.
                if !((last && !any) || coder.bit(&mut self.models[flag], here)) {
                    continue;
                }
            }
            any = true;
            self.group(coder, plane, latents, (row, column), (gv, gu), gradient);
        }
    }

    /// Drops ones that cost more than they bring.
    fn thin(&mut self, plane: usize, latents: &mut Latents, at: usize, groups: &[(usize, usize)]) {
        let bands = latents.planes[plane].bands;
        let first = at * bands * bands;
        // What is left, and where the last one of magnitude 1 is if it is all that is.
        let mut left = 0;
        let mut last = None;
        for &(gv, gu) in groups {
            let mut left_here = 0;
            let mut last_here = None;
            for (sv, su) in SCAN {
                let (v, u) = (gv * 4 + sv, gu * 4 + su);
                let place = v * bands + u;
                let value = latents.planes[plane].values[first + place];
                if value == 0 || place == 0 {
                    continue;
                }
                let (zone, level) = (ZONE[plane][v][u] as usize, level(self.expected.at(v, u)));
                if value.abs() == 1 {
                    if self.tap.spares(plane, first + place, zone, level, 0) {
                        latents.planes[plane].values[first + place] = 0;
                        continue;
                    }
                    last_here = Some((place, zone, level));
                } else {
                    left_here += 1;
                }
                left_here += 1;
                self.spread(plane, v, u, magnitude(value));
            }
            if let (1, Some((place, zone, level))) = (left_here, last_here)
                && groups.len() > 1
                && self.tap.spares(plane, first + place, zone, level, 1)
            {
                latents.planes[plane].values[first + place] = 0;
                continue;
            }
            left += left_here;
            last = last_here.or(last);
        }
        if let (1, Some((place, zone, level))) = (left, last)
            && self.tap.spares(plane, first + place, zone, level, 2)
        {
            latents.planes[plane].values[first + place] = 0;
        }
    }

    /// Lets a coefficient of `size` raise what its higher neighbours expect.
    #[inline(always)]
    fn spread(&mut self, plane: usize, v: usize, u: usize, size: i32) {
        self.expected.spread(self.lines, plane, v, u, size);
    }

    /// Codes one group of bands of the block `at`.
    fn group(
        &mut self,
        coder: &mut impl BitCoder,
        plane: usize,
        latents: &mut Latents,
        (row, column): (usize, usize),
        (gv, gu): (usize, usize),
        gradient: Gradient,
    ) {
        let at = row * latents.columns + column;
        let (before, rest) = latents.planes.split_at_mut(plane);
        let Plane { bands, values } = &mut rest[0];
        let bands = *bands;
        let size = bands * bands;
        let (known, rest) = values.split_at_mut(at * size);
        let own = &mut rest[..size];
        let left = if column > 0 { &known[(at - 1) * size..][..size] } else { &NOTHING[..size] };
        let up = if row > 0 { &known[(at - latents.columns) * size..][..size] } else { &NOTHING[..size] };
        let other = before.last().map(|other| (other.block(at), other.bands));
        let mut any = false;
        for (index, &(sv, su)) in SCAN.iter().enumerate() {
            let (v, u) = (gv * 4 + sv, gu * 4 + su);
            let place = v * bands + u;
            if place == 0 {
                continue;
            }
            let asked = i32::from(own[place]);
            let size = asked.unsigned_abs();
            let zone = ZONE[plane][v][u] as usize;
            let expected = self.expected.at(v, u);
            let level = level(expected);
            self.tap.coefficient(zone, expected, size);
            let (left, up) = (left[place], up[place]);
            let (left_size, up_size) = (magnitude(left), magnitude(up));
            let mut near = 0;
            if u > 0 && place > 1 {
                near += magnitude(own[place - 1]);
            }
            if v > 0 && place > bands {
                near += magnitude(own[place - bands]);
            }
            // A group that is flagged holds something.
            if index < SCAN.len() - 1 || any {
                let pattern = (left_size.min(2) * 9 + up_size.min(2) * 3 + near.min(2)) as usize;
                let filling = filling(self.filling[plane][at]);
                let numbers = [
                    ZERO + zone * LEVELS + level,
                    ZERO_PATTERN + band(plane, v, u) * PATTERNS + pattern,
                    ZERO_BLOCK + (zone * FILLINGS + filling) * 4 + (level / 4).min(3),
                ];
                if !mixed(&mut self.models, &mut self.zero_mixers[zone], numbers, coder, size > 0) {
                    continue;
                }
            }
            self.filling[plane][at] += 1;
            any = true;
            let third = if v == 0 || u == 0 {
                let slope = gradient.along(v, u);
                (if slope.abs() > 2 { 2 * slope.signum() } else { slope.signum() } + 2) as usize
            } else {
                other.map_or(1, |(block, bands)| sign(block[v * bands + u]))
            };
            let number = SIGN + zone * SIGNS + (sign(left) * 3 + sign(up)) * 5 + third;
            let negative = coder.bit(&mut self.models[number], asked < 0);
            let mut value = 1;
            let pattern = ((left_size.min(3) * 4 + up_size.min(3)) * 5 + near.min(4)) as usize;
            let numbers = [ABOVE_ONE + zone * LEVELS + level, ABOVE_ONE_PATTERN + zone * LARGE_PATTERNS + pattern];
            if mixed(&mut self.models, &mut self.above_one_mixers[zone], numbers, coder, size > 1) {
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
            let value = value.min(LIMIT as u32) as i32;
            own[place] = if negative { -value } else { value } as i16;
            self.expected.spread(self.lines, plane, v, u, value.min(CAP));
        }
    }
}

/// One decision by several opinions.
#[inline(always)]
fn mixed<const N: usize, P: Predictor>(
    models: &mut [P],
    mixer: &mut Mixer<N>,
    numbers: [usize; N],
    coder: &mut impl BitCoder,
    bit: bool,
) -> bool {
    let mixed = mixer.mix(std::array::from_fn(|at| &models[numbers[at]]));
    let bit = coder.bit(&mut { mixed }, bit);
    mixer.learn(&mixed, bit);
    for number in numbers {
        models[number].learn(bit);
    }
    bit
}

/// The largest magnitude of a coefficient.
///
/// A DC is then at most 10,749 from its prediction, within its magnitude classes.
pub(crate) const LIMIT: i32 = 4095;

/// 0, 1, 2 for below, at and above 0.
#[inline(always)]
fn sign(value: i16) -> usize {
    (i32::from(value).signum() + 1) as usize
}

fn holds(block: &[i16], bands: usize, (gv, gu): (usize, usize)) -> bool {
    let mut any = 0;
    for v in 0..4 {
        let start = (gv * 4 + v) * bands + gu * 4;
        let line = &block[start..start + 4];
        // The DC is no part of it.
        any |= line[1] | line[2] | line[3] | if start == 0 { 0 } else { line[0] };
    }
    any != 0
}
