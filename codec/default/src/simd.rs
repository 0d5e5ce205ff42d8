//! The one kernel of the transform: a small matrix times rows of samples, in 16-bit
//! integers with 32-bit sums.
//!
//! Integer sums do not depend on their order, so every version gives the same bits: a
//! plain one, one for NEON, and one each for SSE2 and AVX2 (chosen at run time).
//!
//! This is the crate's only module with `unsafe` code: calls of functions that need a
//! processor feature (checked before the call), and loads and stores through pointers
//! into slices (their bounds checked in [`rows`]).

/// Coefficients are given with this many fractional bits.
pub(crate) const MATRIX_BITS: u32 = 13;

/// Replaces each column of `N` samples by `matrix` times that column: sample `k` of
/// column `c` lies at `data[k * stride + c]`, for `c` in `0..lanes`. Sums are rounded
/// by `shift` bits and saturated to 16 bits.
///
/// # Panics
/// If `data` is too short.
pub(crate) fn rows<const N: usize>(matrix: &[[i16; N]; N], data: &mut [i16], stride: usize, lanes: usize, shift: u32) {
    const { assert!(N.is_multiple_of(8)) };
    assert!(lanes <= stride && data.len() >= (N - 1) * stride + lanes, "the rows do not fit");
    #[cfg(not(target_arch = "aarch64"))]
    #[allow(unused_mut)]
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    {
        if lanes >= 16 && has_avx2() {
            // SAFETY: AVX2 is there; `done + 16 <= lanes` keeps within the bounds asserted above.
            #[allow(unsafe_code)]
            unsafe {
                done = x86::avx2(matrix, data, stride, lanes, shift);
            }
        }
        // SAFETY: SSE2 belongs to x86-64; bounds as above.
        #[allow(unsafe_code)]
        unsafe {
            done = x86::sse2(matrix, data, stride, done, lanes, shift);
        }
    }
    // SAFETY: NEON belongs to every aarch64 target with a standard library; bounds as
    // asserted above.
    #[cfg(target_arch = "aarch64")]
    #[allow(unsafe_code)]
    let done = unsafe { arm::neon(matrix, data, stride, lanes, shift) };
    plain(matrix, data, stride, done, lanes, shift);
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    !cfg!(feature = "baseline") && std::is_x86_feature_detected!("avx2")
}

/// Work that [`widest`] may compile once more for wider vectors: its `run` must be
/// `#[inline(always)]` and do integer arithmetic only, whose results no width changes.
pub(crate) trait Work {
    fn run(self);
}

/// Runs `work` with the widest vectors that this processor has.
#[inline]
pub(crate) fn widest(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: AVX2 is there.
        #[allow(unsafe_code)]
        unsafe {
            x86::with_avx2(work);
        }
        return;
    }
    work.run();
}

fn plain<const N: usize>(
    matrix: &[[i16; N]; N],
    data: &mut [i16],
    stride: usize,
    mut at: usize,
    lanes: usize,
    shift: u32,
) {
    const LANES: usize = 8;
    while at < lanes {
        let count = LANES.min(lanes - at);
        let mut column = [[0_i16; LANES]; N];
        for (k, row) in column.iter_mut().enumerate() {
            row[..count].copy_from_slice(&data[k * stride + at..][..count]);
        }
        for (k, weights) in matrix.iter().enumerate() {
            let mut sums = [1_i32 << (shift - 1); LANES];
            for (&weight, row) in weights.iter().zip(&column) {
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum = sum.wrapping_add(i32::from(weight) * i32::from(x));
                }
            }
            for (to, sum) in data[k * stride + at..][..count].iter_mut().zip(sums) {
                *to = (sum >> shift).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            }
        }
        at += count;
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use std::arch::x86_64::*;

    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn with_avx2(work: impl super::Work) {
        work.run();
    }

    /// Two neighbouring weights as one 32-bit lane.
    #[inline(always)]
    fn pair<const N: usize>(weights: &[i16; N], at: usize) -> i32 {
        i32::from(weights[at] as u16) | (i32::from(weights[at + 1]) << 16)
    }

    /// Eight columns at a time; returns how many are done.
    ///
    /// # Safety
    /// `data` holds `(N - 1) * stride + lanes` samples.
    pub(super) unsafe fn sse2<const N: usize>(
        matrix: &[[i16; N]; N],
        data: &mut [i16],
        stride: usize,
        mut at: usize,
        lanes: usize,
        shift: u32,
    ) -> usize {
        while at + 8 <= lanes {
            // SAFETY: `at + 8 <= lanes`, and SSE2 belongs to x86-64.
            unsafe {
                let base = data.as_mut_ptr().add(at);
                let count = _mm_cvtsi32_si128(shift as i32);
                let round = _mm_set1_epi32(1 << (shift - 1));
                let mut low = [_mm_setzero_si128(); N];
                let mut high = [_mm_setzero_si128(); N];
                let mut j = 0;
                while j < N {
                    let a = _mm_loadu_si128(base.add(j * stride).cast());
                    let b = _mm_loadu_si128(base.add((j + 1) * stride).cast());
                    low[j / 2] = _mm_unpacklo_epi16(a, b);
                    high[j / 2] = _mm_unpackhi_epi16(a, b);
                    j += 2;
                }
                let mut k = 0;
                while k < N {
                    let weights = &matrix[k];
                    let (mut l, mut h) = (round, round);
                    let mut j = 0;
                    while j < N / 2 {
                        let w = _mm_set1_epi32(pair(weights, 2 * j));
                        l = _mm_add_epi32(l, _mm_madd_epi16(low[j], w));
                        h = _mm_add_epi32(h, _mm_madd_epi16(high[j], w));
                        j += 1;
                    }
                    let packed = _mm_packs_epi32(_mm_sra_epi32(l, count), _mm_sra_epi32(h, count));
                    _mm_storeu_si128(base.add(k * stride).cast(), packed);
                    k += 1;
                }
            }
            at += 8;
        }
        at
    }

    /// Sixteen columns at a time; returns how many are done.
    ///
    /// # Safety
    /// `data` holds `(N - 1) * stride + lanes` samples.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2<const N: usize>(
        matrix: &[[i16; N]; N],
        data: &mut [i16],
        stride: usize,
        lanes: usize,
        shift: u32,
    ) -> usize {
        let count = _mm_cvtsi32_si128(shift as i32);
        let round = _mm256_set1_epi32(1 << (shift - 1));
        let mut at = 0;
        while at + 16 <= lanes {
            // SAFETY: `at + 16 <= lanes`.
            unsafe {
                let base = data.as_mut_ptr().add(at);
                let mut low = [_mm256_setzero_si256(); N];
                let mut high = [_mm256_setzero_si256(); N];
                let mut j = 0;
                while j < N {
                    let a = _mm256_loadu_si256(base.add(j * stride).cast());
                    let b = _mm256_loadu_si256(base.add((j + 1) * stride).cast());
                    low[j / 2] = _mm256_unpacklo_epi16(a, b);
                    high[j / 2] = _mm256_unpackhi_epi16(a, b);
                    j += 2;
                }
                let mut k = 0;
                while k < N {
                    let weights = &matrix[k];
                    let (mut l, mut h) = (round, round);
                    let mut j = 0;
                    while j < N / 2 {
                        let w = _mm256_set1_epi32(pair(weights, 2 * j));
                        l = _mm256_add_epi32(l, _mm256_madd_epi16(low[j], w));
                        h = _mm256_add_epi32(h, _mm256_madd_epi16(high[j], w));
                        j += 1;
                    }
                    // Unpacking and packing both work within halves, so the order is kept.
                    let packed = _mm256_packs_epi32(_mm256_sra_epi32(l, count), _mm256_sra_epi32(h, count));
                    _mm256_storeu_si256(base.add(k * stride).cast(), packed);
                    k += 1;
                }
            }
            at += 16;
        }
        at
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
mod arm {
    use std::arch::aarch64::*;

    /// Eight columns at a time; returns how many are done.
    ///
    /// # Safety
    /// The processor has NEON, `data` holds `(N - 1) * stride + lanes` samples, and `N` is
    /// a multiple of 8.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn neon<const N: usize>(
        matrix: &[[i16; N]; N],
        data: &mut [i16],
        stride: usize,
        lanes: usize,
        shift: u32,
    ) -> usize {
        const { assert!(N.is_multiple_of(8)) };
        let right = vdupq_n_s32(-(shift as i32));
        let round = vdupq_n_s32(1 << (shift - 1));
        let mut at = 0;
        while at + 8 <= lanes {
            // SAFETY: `at + 8 <= lanes`, and eight weights from `j` on, since 8 divides `N`.
            unsafe {
                let base = data.as_mut_ptr().add(at);
                let mut columns = [vdupq_n_s16(0); N];
                for (k, column) in columns.iter_mut().enumerate() {
                    *column = vld1q_s16(base.add(k * stride));
                }
                for (k, weights) in matrix.iter().enumerate() {
                    let (mut low, mut high) = (round, round);
                    let mut j = 0;
                    while j < N {
                        let eight = vld1q_s16(weights.as_ptr().add(j));
                        macro_rules! add {
                            ($($lane:literal)*) => {$(
                                let column = columns[j + $lane];
                                low = vmlal_laneq_s16::<$lane>(low, vget_low_s16(column), eight);
                                high = vmlal_high_laneq_s16::<$lane>(high, column, eight);
                            )*};
                        }
                        add!(0 1 2 3 4 5 6 7);
                        j += 8;
                    }
                    let packed = vqmovn_high_s32(vqmovn_s32(vshlq_s32(low, right)), vshlq_s32(high, right));
                    vst1q_s16(base.add(k * stride), packed);
                }
            }
            at += 8;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_version_gives_the_same_bits(
            samples in proptest::collection::vec(any::<i16>(), 16 * 43),
            weights in proptest::array::uniform16(proptest::array::uniform16(-16_384_i16..16_384)),
        ) {
            let (mut fast, mut slow) = (samples.clone(), samples);
            rows(&weights, &mut fast, 43, 41, MATRIX_BITS);
            plain(&weights, &mut slow, 43, 0, 41, MATRIX_BITS);
            prop_assert_eq!(fast, slow);
        }
    }
}
