//! Steps, dead-zone rounding and its reverse, in integers.

use crate::transform::COEFFICIENT_BITS;
use crate::walk::LIMIT;

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

    #[inline(always)]
    pub(crate) fn apply(self, coefficient: i16) -> i16 {
        let magnitude = (u32::from(coefficient.unsigned_abs()) * self.reciprocal + self.offset) >> Self::BITS;
        let magnitude = magnitude.min(LIMIT as u32) as i16;
        if coefficient < 0 { -magnitude } else { magnitude }
    }
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
