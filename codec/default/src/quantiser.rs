//! Steps, dead-zone rounding and its reverse, in integers.

use crate::contexts::{ABOVE_ONE, LEVELS, PLANES, ZERO, ZONES};
use crate::simd::Work;
use crate::transform::COEFFICIENT_BITS;
use crate::walk::{LIMIT, Tap};
use afferent_codec::entropy::{Adaptive, Predictor};

/// Steps per octave.
const PER_OCTAVE: u32 = 16;
/// The finest quality.
pub(crate) const FINEST: u8 = 100;

/// 2^(k/16) with 12 fractional bits.
const ROOTS: [u32; PER_OCTAVE as usize] =
    [4096, 4277, 4467, 4664, 4871, 5087, 5312, 5547, 5793, 6049, 6317, 6597, 6889, 7194, 7512, 7845];

/// Luma's step at a quality, in units of coefficients (2 fractional bits):
/// 4 · 2^((100 − quality)/16). Chroma's is 0.55 of it, because at half size one unit
/// of chroma stands for four pixels.
pub(crate) fn step(quality: i32, plane: usize) -> u32 {
    let below = (i32::from(FINEST) - quality).clamp(0, 127) as u32;
    let luma = (4 << COEFFICIENT_BITS) * (ROOTS[(below % PER_OCTAVE) as usize] << (below / PER_OCTAVE));
    if plane == 0 { (luma + 2048) >> 12 } else { (luma / 512 * 282 + 2048) >> 12 }
}

/// Rounds coefficients by a step: `rounding` in units of 1/256 is what is added to a
/// magnitude before it is cut (128 would be to the nearest, less makes a dead zone).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantiser {
    reciprocal: u32,
    offset: u32,
}

impl Quantiser {
    const BITS: u32 = 18;

    pub(crate) fn new(step: u32, rounding: u32) -> Self {
        Self { reciprocal: ((1 << Self::BITS) + step / 2) / step, offset: rounding << (Self::BITS - 8) }
    }

    /// The least magnitude that does not become 0.
    fn least(self) -> i16 {
        ((1_u32 << Self::BITS) - self.offset).div_ceil(self.reciprocal).min(i16::MAX as u32) as i16
    }

    #[inline(always)]
    pub(crate) fn apply(self, coefficient: i16) -> i16 {
        self.apply_with_fraction(coefficient).0
    }

    /// The level, and the magnitude before rounding in 1/128 of a step (up to 255).
    #[inline(always)]
    pub(crate) fn apply_with_fraction(self, coefficient: i16) -> (i16, u8) {
        let exact = u32::from(coefficient.unsigned_abs()) * self.reciprocal;
        let magnitude = ((exact + self.offset) >> Self::BITS).min(LIMIT as u32) as i16;
        let fraction = (exact >> (Self::BITS - 7)).min(255) as u8;
        (if coefficient < 0 { -magnitude } else { magnitude }, fraction)
    }
}

/// Rounds a block of `bands` × `bands` coefficients whose rows lie `stride` apart into
/// `to`, which is all zero, and notes their magnitudes in 1/128 of a step (up to 255)
/// in rows where not all become 0.
pub(crate) struct Rounding<'a> {
    pub(crate) quantiser: Quantiser,
    pub(crate) from: &'a [i16],
    pub(crate) stride: usize,
    pub(crate) bands: usize,
    pub(crate) to: &'a mut [i16],
    pub(crate) fractions: Option<&'a mut [u8]>,
}

impl Work for Rounding<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { quantiser, from, stride, bands, to, mut fractions } = self;
        let least = quantiser.least();
        for v in 0..bands {
            let from = &from[v * stride..][..bands];
            let mut most = 0;
            for &coefficient in from {
                most = most.max(coefficient.saturating_abs());
            }
            // Most rows become all zero.
            if most < least {
                continue;
            }
            let to = &mut to[v * bands..][..bands];
            for u in 0..bands {
                to[u] = quantiser.apply_with_fraction(from[u]).0;
            }
            if let Some(fractions) = &mut fractions {
                let fractions = &mut fractions[v * bands..][..bands];
                for u in 0..bands {
                    fractions[u] = quantiser.apply_with_fraction(from[u]).1;
                }
            }
        }
    }
}

/// Which coefficients of magnitude 1 are worth their bits: those that lower the squared
/// error by more than lambda times what they cost in their context.
pub(crate) struct Thinning {
    /// Per zone and level, from what magnitude (in 1/128 of a step) on.
    least: Vec<u8>,
    /// Per plane, the magnitudes before rounding.
    pub(crate) fractions: [Vec<u8>; PLANES],
}

impl Thinning {
    /// Lambda in units of the squared step: the slope of squared error over rate, as
    /// measured between neighbouring qualities.
    const LAMBDA: i32 = 34; // 1/256
    /// What being alone costs beside itself, in 1/16 bit: in its group, in its layer.
    const ALONE: [i32; 3] = [0, 40, 56];

    /// With the costs that these models start from.
    pub(crate) fn new(models: &[Adaptive]) -> Self {
        let cost = |number: usize, bit: bool| {
            let zero = models[number].zero();
            -log2(if bit { 65_536 - zero } else { zero })
        };
        let mut least = Vec::with_capacity(3 * ZONES * LEVELS);
        for alone in Self::ALONE {
            for at in 0..ZONES * LEVELS {
                // In 1/16 bit, as all costs here.
                let sign = 15;
                let bits = cost(ZERO + at, true) - cost(ZERO + at, false) + cost(ABOVE_ONE + at, false) + sign + alone;
                // Δ²(2x - 1) < λ bits, with bits in 1/16 and x in 1/128.
                least.push((64 + Self::LAMBDA * bits / 64).clamp(0, 255) as u8);
            }
        }
        Self { least, fractions: Default::default() }
    }
}

impl Tap for &Thinning {
    const THINS: bool = true;

    #[inline(always)]
    fn spares(&self, plane: usize, index: usize, zone: usize, level: usize, alone: usize) -> bool {
        self.fractions[plane][index] < self.least[(alone * ZONES + zone) * LEVELS + level]
    }
}

/// log₂ of a probability of 16 fractional bits, in 1/16, by straight lines between
/// powers of two: integers, so that every processor's encoder decides alike.
fn log2(probability: u32) -> i32 {
    let power = probability.ilog2();
    let part = (probability << (16 - power)) - 65_536;
    (power as i32 - 16) * 16 + (part >> 12) as i32
}

/// The coefficient that a level stands for, somewhat nearer to zero than the middle
/// of its interval, as their distribution is.
#[inline(always)]
pub(crate) fn restore(level: i16, step: u32) -> i16 {
    let magnitude = u32::from(level.unsigned_abs());
    if magnitude == 0 {
        return 0;
    }
    let inward = if magnitude == 1 { step * 12 / 256 } else { step * 8 / 256 };
    let value = (magnitude * step - inward).min(i16::MAX as u32) as i16;
    if level < 0 { -value } else { value }
}
