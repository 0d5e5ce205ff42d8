//! Where each binary decision finds its adaptive probability.
//!
//! Every decision has a number; the tables hold, for each number, the probability that
//! the training photographs gave it, and each strip starts from there.

/// Luma, Cb, Cr.
pub(crate) const PLANES: usize = 3;

/// Groups of bands that share statistics: luma's lowest 4 × 4 bands one by one, the
/// higher ones by half octaves and direction; likewise each chroma plane.
pub(crate) const LUMA_ZONES: usize = 16 + 4 * 3;
pub(crate) const CHROMA_ZONES: usize = 4 + 3 * 3;
pub(crate) const ZONES: usize = LUMA_ZONES + 2 * CHROMA_ZONES;

/// Classes of the magnitude that the neighbours let expect.
pub(crate) const LEVELS: usize = 24;

/// The zone of band (`v`, `u`): vertical and horizontal frequency.
pub(crate) const fn zone(plane: usize, v: usize, u: usize) -> usize {
    let reach = if v > u { v } else { u };
    let direction = if u > 2 * v {
        1
    } else if v > 2 * u {
        2
    } else {
        0
    };
    if plane == 0 {
        if reach < 4 {
            return v * 4 + u;
        }
        let half_octave = match reach {
            4..=5 => 0,
            6..=7 => 1,
            8..=11 => 2,
            _ => 3,
        };
        return 16 + half_octave * 3 + direction;
    }
    let base = LUMA_ZONES + (plane - 1) * CHROMA_ZONES;
    if reach < 2 {
        return base + v * 2 + u;
    }
    let octave = match reach {
        2..=3 => 0,
        4..=5 => 1,
        _ => 2,
    };
    base + 4 + octave * 3 + direction
}

/// [`zone`] as a table over planes and bands.
pub(crate) static ZONE: [[[u8; 16]; 16]; PLANES] = {
    let mut table = [[[0; 16]; 16]; PLANES];
    let mut at = 0;
    while at < PLANES * 256 {
        let (plane, v, u) = (at / 256, at / 16 % 16, at % 16);
        if plane == 0 || (v < 8 && u < 8) {
            table[plane][v][u] = zone(plane, v, u) as u8;
        }
        at += 1;
    }
    table
};

/// The level of an expected magnitude in units of 1/64: finer where it is small.
#[inline(always)]
pub(crate) fn level(expected: i32) -> usize {
    LEVEL[(expected.max(0) as usize >> 1).min(LEVEL.len() - 1)] as usize
}

static LEVEL: [u8; 512] = {
    // Bounds in units of 1/64, each about 1.3 times the one before.
    let bounds: [usize; LEVELS - 1] =
        [2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 31, 39, 48, 60, 76, 96, 122, 154, 196, 256, 350, 500, 760];
    let mut table = [0; 512];
    let mut at = 0;
    while at < 512 {
        let mut level = 0;
        while level < LEVELS - 1 && at * 2 + 1 >= bounds[level] {
            level += 1;
        }
        table[at] = level as u8;
        at += 1;
    }
    table
};

/// Decisions on the magnitude after "is it above 0" and "is it above 1".
pub(crate) const UNARY: usize = 8;
/// Classes of activity around a DC.
pub(crate) const ACTIVITIES: usize = 8;
/// Bits of a DC's magnitude class.
pub(crate) const DC_CLASSES: usize = 14;

/// First numbers of each kind of decision.
pub(crate) const ZERO: usize = 0;
pub(crate) const ABOVE_ONE: usize = ZERO + ZONES * LEVELS;
pub(crate) const ABOVE_TWO: usize = ABOVE_ONE + ZONES * LEVELS;
pub(crate) const SIGN: usize = ABOVE_TWO + PLANES * UNARY * LEVELS;
pub(crate) const SIGNS: usize = 9 * 5;
pub(crate) const DC_CLASS: usize = SIGN + ZONES * SIGNS;
pub(crate) const DC_SIGN: usize = DC_CLASS + PLANES * 3 * ACTIVITIES * DC_CLASSES;
pub(crate) const DC_MANTISSA: usize = DC_SIGN + PLANES * 27;
pub(crate) const LAYER_FLAG: usize = DC_MANTISSA + PLANES * DC_CLASSES;
/// Neighbour states × states of what is known of the block itself.
pub(crate) const LAYER_FLAGS: usize = 7 * 5;
pub(crate) const GROUP_FLAG: usize = LAYER_FLAG + PLANES * 3 * LAYER_FLAGS;
/// Second and third opinions on "is it above 0" and a second on "is it above 1".
pub(crate) const BANDS: usize = 16 * 16 + 2 * 8 * 8;
pub(crate) const ZERO_PATTERN: usize = GROUP_FLAG + PLANES * 16 * LEVELS;
pub(crate) const PATTERNS: usize = 27;
pub(crate) const ZERO_BLOCK: usize = ZERO_PATTERN + BANDS * PATTERNS;
pub(crate) const FILLINGS: usize = 8;
pub(crate) const ABOVE_ONE_PATTERN: usize = ZERO_BLOCK + ZONES * FILLINGS * 4;
pub(crate) const LARGE_PATTERNS: usize = 4 * 4 * 5;
/// Second and third opinions on the class of a DC's distance from its prediction, and a
/// second on whether a layer holds anything.
pub(crate) const DC_AROUND: usize = ABOVE_ONE_PATTERN + ZONES * LARGE_PATTERNS;
pub(crate) const DC_BEFORE: usize = DC_AROUND + PLANES * 8 * 3 * DC_CLASSES;
pub(crate) const LAYER_FILLING: usize = DC_BEFORE + PLANES * 8 * 4 * 3 * DC_CLASSES;
pub(crate) const LAYER_FILLINGS: usize = FILLINGS * FILLINGS * 3;
/// All decisions.
pub(crate) const COUNT: usize = LAYER_FILLING + PLANES * 3 * LAYER_FILLINGS;

/// Numbers the bands of all planes.
pub(crate) const fn band(plane: usize, v: usize, u: usize) -> usize {
    match plane {
        0 => v * 16 + u,
        _ => 256 + (plane - 1) * 64 + v * 8 + u,
    }
}

/// The class of how many coefficients of a block are known not to be 0.
pub(crate) const fn filling(count: u16) -> usize {
    match count {
        0..=2 => count as usize,
        3..=4 => 3,
        5..=7 => 4,
        8..=12 => 5,
        13..=20 => 6,
        _ => 7,
    }
}

/// The magnitudes that the expectation is a weighted sum of. First those of
/// neighbouring blocks (left, above, both diagonals, two to the left, two above; sums
/// of left and above over bands one off horizontally, vertically, diagonally; the two
/// diagonal blocks over all eight bands around; the octave below in the blocks to the
/// right and below), then of lower bands in the same block, then of other planes.
pub(crate) const SPATIAL: usize = 11;
/// Vertical and horizontal distance to the bands of the same block.
pub(crate) const NEAR: [(usize, isize); 8] = [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, -1), (1, 2), (2, 1)];
/// The gradient of the DCs, and the same band of the planes before (luma, Cb).
pub(crate) const OTHER: usize = 3;
pub(crate) const FEATURES: usize = SPATIAL + NEAR.len() + OTHER;

/// Weights of one zone in units of 1/64, the constant last.
pub(crate) type Weights = [i16; FEATURES + 1];
