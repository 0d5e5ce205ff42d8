//! Exact entropy coding of binary decisions: a byte-wise range coder and adaptive
//! probabilities, in integers alone, so that every processor decodes the same.
//!
//! A codec describes its symbols as a *walk* over binary decisions and gives each
//! decision a [`Predictor`]. The walk is written once, generic over a [`BitCoder`]:
//! an [`Encoder`] writes the decisions, a [`Decoder`] answers them, and a [`Meter`]
//! adds up what they would cost. What the two ends must agree on is hence one
//! piece of code.
//!
//! The range coder is that of G. N. N. Martin (1979) as LZMA carries it out: 32 bits
//! of range, renormalised byte by byte, carries propagated through pending bytes.
//! The last bytes are chosen so that trailing zeros can be left away: a decoder reads
//! zeros after the end.
//!
//! ```
//! use afferent_codec::entropy::{Adaptive, BitCoder, Decoder, Encoder};
//!
//! fn walk(coder: &mut impl BitCoder, bits: &mut [bool]) {
//!     let mut model = Adaptive::new(0.9);
//!     for bit in bits {
//!         *bit = coder.bit(&mut model, *bit);
//!     }
//! }
//!
//! let mut bits = [false, false, true, false, false, false, false, true, false, false];
//! let mut bytes = Vec::new();
//! let mut encoder = Encoder::new(&mut bytes);
//! walk(&mut encoder, &mut bits);
//! encoder.finish();
//! assert_eq!(bytes, [0xc8]); // ten decisions in eight bits
//!
//! let mut decoded = [false; 10];
//! walk(&mut Decoder::new(&bytes), &mut decoded);
//! assert_eq!(decoded, bits);
//! ```

/// Gives the probability of the next binary decision and learns from it.
pub trait Predictor {
    /// Probability that the next bit is 0, in units of 2⁻¹⁶, within
    /// [`MIN_PROBABILITY`] and 2¹⁶ − [`MIN_PROBABILITY`].
    fn zero(&self) -> u32;

    /// Learns that the bit was `bit`.
    fn learn(&mut self, bit: bool);
}

/// No bit is taken for less probable than this, in units of 2⁻¹⁶ (11 bits of cost):
/// a wrong guess stays affordable, and the coder's range never runs empty.
pub const MIN_PROBABILITY: u32 = 32;

/// An adaptive probability: the mean of a fast and a slow exponential average, as in
/// VVC's successor to CABAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adaptive {
    fast: u16,
    slow: u16,
}

impl Adaptive {
    /// Shift of the fast average: it forgets half in about 22 decisions.
    const FAST: u32 = 5;
    /// Shift of the slow average: it forgets half in about 89 decisions.
    const SLOW: u32 = 7;

    /// Starts at this probability of 0: for tests and examples; what two ends must agree
    /// on is better given by [`Adaptive::from_bits`].
    #[must_use]
    pub fn new(zero: f64) -> Self {
        Self::from_bits((zero * 65_536.0).clamp(0.0, 65_535.0) as u16)
    }

    /// Starts at this probability of 0 in units of 2⁻¹⁶.
    #[must_use]
    pub const fn from_bits(zero: u16) -> Self {
        Self { fast: zero, slow: zero }
    }
}

impl Predictor for Adaptive {
    #[inline(always)]
    fn zero(&self) -> u32 {
        ((u32::from(self.fast) + u32::from(self.slow)) >> 1).clamp(MIN_PROBABILITY, 65_536 - MIN_PROBABILITY)
    }

    #[inline(always)]
    fn learn(&mut self, bit: bool) {
        if bit {
            self.fast -= self.fast >> Self::FAST;
            self.slow -= self.slow >> Self::SLOW;
        } else {
            self.fast += (u16::MAX - self.fast) >> Self::FAST;
            self.slow += (u16::MAX - self.slow) >> Self::SLOW;
        }
    }
}

/// An even chance that never learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Even;

impl Predictor for Even {
    #[inline(always)]
    fn zero(&self) -> u32 {
        1 << 15
    }

    #[inline(always)]
    fn learn(&mut self, _: bool) {}
}

/// Mixes the answers of `N` predictors in the logistic domain, with weights that learn
/// which of them to trust (Mahoney's PAQ; here in integers).
///
/// ```
/// use afferent_codec::entropy::{Adaptive, Mixer, Predictor};
/// let (sure, unsure) = (Adaptive::new(0.99), Adaptive::new(0.5));
/// let mixed = Mixer::<2>::even().mix([&sure, &unsure]);
/// assert!((f64::from(mixed.zero()) / 65_536.0 - 0.946).abs() < 0.01);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mixer<const N: usize>([i32; N]);

/// One mixed answer: a [`Predictor`] that does not learn by itself.
#[derive(Debug, Clone, Copy)]
pub struct Mixed<const N: usize> {
    logits: [i32; N],
    zero: u32,
}

impl<const N: usize> Mixer<N> {
    /// One, as a weight.
    const ONE: i32 = 1 << 16;
    /// How fast weights learn: the error (16 fractional bits) times the logit (8) is
    /// shifted by this.
    const RATE: u32 = 14;

    /// Starts with equal weights that add up to 5/4: opinions that stand on partly
    /// different evidence are, together, surer than their mean.
    #[must_use]
    pub fn even() -> Self {
        Self([Self::ONE * 5 / (4 * N as i32); N])
    }

    /// Mixes what the predictors answer.
    #[inline(always)]
    #[must_use]
    pub fn mix(&self, predictors: [&impl Predictor; N]) -> Mixed<N> {
        // Weights up to 4 times logits up to 8 stay within 32 bits.
        const { assert!(N <= 3) };
        let mut logits = [0; N];
        let mut sum = Self::ONE / 2;
        for at in 0..N {
            logits[at] = i32::from(STRETCH[(predictors[at].zero() >> 4) as usize & 4095]);
            sum += logits[at] * self.0[at];
        }
        let at = ((sum >> 16) + SQUASH.len() as i32 / 2).clamp(0, SQUASH.len() as i32 - 1);
        Mixed { logits, zero: SQUASH[at as usize].clamp(MIN_PROBABILITY, 65_536 - MIN_PROBABILITY) }
    }

    /// Learns from the decision that `mixed` was asked for.
    #[inline(always)]
    pub fn learn(&mut self, mixed: &Mixed<N>, bit: bool) {
        let error = (if bit { 0 } else { 65_536 }) - mixed.zero as i32;
        for at in 0..N {
            let step = (mixed.logits[at] * error) >> Self::RATE;
            self.0[at] = (self.0[at] + step).clamp(-4 * Self::ONE, 4 * Self::ONE);
        }
    }
}

impl<const N: usize> Predictor for Mixed<N> {
    #[inline(always)]
    fn zero(&self) -> u32 {
        self.zero
    }

    #[inline(always)]
    fn learn(&mut self, _: bool) {}
}

/// The logistic function at multiples of 1/4 from 0 on, 16 fractional bits.
const LOGISTIC: [u32; 33] = [
    32_768, 36_843, 40_793, 44_511, 47_911, 50_941, 53_581, 55_834, 57_724, 59_287, 60_565, 61_598, 62_428, 63_090,
    63_615, 64_030, 64_357, 64_614, 64_816, 64_974, 65_097, 65_194, 65_269, 65_328, 65_374, 65_410, 65_438, 65_459,
    65_476, 65_489, 65_500, 65_508, 65_514,
];

/// The logistic function over -8 to 8 in steps of 1/256, between [`LOGISTIC`]'s values
/// by straight lines: integers, so that every compiler makes the same table.
static SQUASH: [u32; 4096] = {
    let mut table = [0; 4096];
    let mut at = 0;
    while at < 2048 {
        let (cell, part) = (at / 64, at as u32 % 64);
        let value = LOGISTIC[cell] + (LOGISTIC[cell + 1] - LOGISTIC[cell]) * part / 64;
        table[2048 + at] = value;
        if at > 0 {
            table[2048 - at] = 65_536 - value;
        }
        at += 1;
    }
    table[0] = 65_536 - LOGISTIC[32];
    table
};

/// The inverse of [`SQUASH`], in units of 1/256, for probabilities in units of 1/4096.
static STRETCH: [i16; 4096] = {
    let mut table = [0; 4096];
    let (mut at, mut logit) = (0, 0);
    while at < 4096 {
        while logit < 4095 && SQUASH[logit] < at as u32 * 16 + 8 {
            logit += 1;
        }
        table[at] = logit as i16 - 2048;
        at += 1;
    }
    table
};

/// Takes binary decisions: writes them, answers them, or weighs them.
pub trait BitCoder {
    /// Whether the decisions that are answered can no longer be what was encoded: the
    /// stream has ended long ago. A walk may stop then.
    fn exhausted(&self) -> bool {
        false
    }

    /// One decision. An encoder takes `bit` and returns it; a decoder does not look
    /// at it and returns what was encoded. `predictor` learns either way.
    fn bit(&mut self, predictor: &mut impl Predictor, bit: bool) -> bool;

    /// A whole number of at most `u16::MAX` in Exp-Golomb code of order 0 with even
    /// chances: for the rare values behind a walk's own decisions.
    fn escape(&mut self, value: u32) -> u32 {
        let value = value.min(u32::from(u16::MAX)) + 1;
        let length = value.ilog2();
        let mut known = 0;
        while known < 16 && self.bit(&mut Even, known < length) {
            known += 1;
        }
        let mut read = 1;
        for at in (0..known).rev() {
            read = read << 1 | u32::from(self.bit(&mut Even, value >> at & 1 == 1));
        }
        (read - 1).min(u32::from(u16::MAX))
    }
}

/// Writes decisions to the end of a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Where this coder's bytes begin.
    start: usize,
    low: u64,
    range: u32,
    /// The last byte, held back because a carry may still reach it.
    held: Option<u8>,
    /// How many bytes of 255 are held back behind it.
    pending: usize,
}

impl<'a> Encoder<'a> {
    /// A coder whose bytes go behind what `out` holds.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, low: 0, range: u32::MAX, held: None, pending: 0 }
    }

    #[inline(never)]
    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        let byte = (self.low >> 24) as u8;
        if carry == 1 || byte != 0xff {
            if let Some(held) = self.held {
                self.out.push(held.wrapping_add(carry));
            }
            self.out.extend(std::iter::repeat_n(0xff_u8.wrapping_add(carry), self.pending));
            self.pending = 0;
            self.held = Some(byte);
        } else if self.held.is_none() {
            // A first byte of 255 that no carry can reach any more than another.
            self.held = Some(byte);
        } else {
            self.pending += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// Writes what is left. Any value within the last range decodes alike, so the one
    /// with the most trailing zeros is taken, and up to four of those bytes are left away.
    pub fn finish(mut self) {
        let top = self.low + u64::from(self.range) - 1;
        for bits in (0..=32).rev() {
            let mask = (1_u64 << bits) - 1;
            let value = (self.low + mask) & !mask;
            if value <= top {
                self.low = value;
                break;
            }
        }
        for _ in 0..5 {
            self.shift();
        }
        for _ in 0..4 {
            if self.out.len() > self.start && self.out.last() == Some(&0) {
                self.out.pop();
            }
        }
    }
}

impl BitCoder for Encoder<'_> {
    #[inline(always)]
    fn bit(&mut self, predictor: &mut impl Predictor, bit: bool) -> bool {
        let bound = ((u64::from(self.range) * u64::from(predictor.zero())) >> 16) as u32;
        predictor.learn(bit);
        if bit {
            self.low += u64::from(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.shift();
        }
        bit
    }
}

/// Answers decisions from bytes. Any bytes decode to something: whoever calls it
/// bounds how many decisions it asks for, and may look at [`Decoder::overrun`].
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    code: u32,
    range: u32,
}

impl<'a> Decoder<'a> {
    /// A decoder of what one [`Encoder`] wrote.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, at: 0, code: 0, range: u32::MAX };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | decoder.next();
        }
        decoder
    }

    #[inline(always)]
    fn next(&mut self) -> u32 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        u32::from(byte)
    }

    /// How many bytes were read behind the end. An intact stream makes it at most 4.
    #[must_use]
    pub fn overrun(&self) -> usize {
        self.at.saturating_sub(self.bytes.len())
    }
}

impl BitCoder for Decoder<'_> {
    #[inline(always)]
    fn exhausted(&self) -> bool {
        self.overrun() > 4
    }

    #[inline(always)]
    fn bit(&mut self, predictor: &mut impl Predictor, _: bool) -> bool {
        let bound = ((u64::from(self.range) * u64::from(predictor.zero())) >> 16) as u32;
        let bit = self.code >= bound;
        predictor.learn(bit);
        if bit {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.code = self.code << 8 | self.next();
        }
        bit
    }
}

/// Adds up the ideal cost of decisions and writes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    bits: f64,
}

impl Meter {
    /// What the decisions so far would cost, in bits.
    #[must_use]
    pub fn bits(&self) -> f64 {
        self.bits
    }
}

impl BitCoder for Meter {
    #[inline(always)]
    fn bit(&mut self, predictor: &mut impl Predictor, bit: bool) -> bool {
        let zero = predictor.zero();
        let probability = if bit { 65_536 - zero } else { zero };
        self.bits += 16.0 - f64::from(probability).log2();
        predictor.learn(bit);
        bit
    }
}
