//! What was learned and both ends must share: the matrices of the transform, the
//! weights of the contexts and the probabilities that every strip starts from.
//!
//! Two small files, made by `models/train/optic` and the example `fit_contexts`; all
//! numbers are 16 bits, little-endian.

use crate::contexts::{COUNT, FEATURES, ZONES};
use crate::expect::Lines;
use crate::latents::{CHROMA_BANDS, LUMA_BANDS};
use afferent_codec::entropy::Adaptive;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

pub(crate) static MATRICES: &[u8] = include_bytes!("../tables/matrices.bin");
pub(crate) static CONTEXTS: &[u8] = include_bytes!("../tables/contexts.bin");

type Luma = [[i16; LUMA_BANDS]; LUMA_BANDS];
type Chroma = [[i16; CHROMA_BANDS]; CHROMA_BANDS];

/// The matrices of the transform and their inverses, with 13 fractional bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matrices {
    pub(crate) luma_lap: Luma,
    pub(crate) luma: Luma,
    pub(crate) luma_unlap: Luma,
    pub(crate) luma_inverse: Luma,
    pub(crate) chroma_lap: Chroma,
    pub(crate) chroma: Chroma,
    pub(crate) chroma_unlap: Chroma,
    pub(crate) chroma_inverse: Chroma,
}

/// Everything that was learned.
pub(crate) struct Tables {
    pub(crate) matrices: Matrices,
    pub(crate) lines: Lines,
    pub(crate) models: Vec<Adaptive>,
}

/// The tables of this build.
pub(crate) static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut numbers = Numbers(MATRICES);
    let matrices = Matrices {
        luma_lap: numbers.matrix(),
        luma: numbers.matrix(),
        luma_unlap: numbers.matrix(),
        luma_inverse: numbers.matrix(),
        chroma_lap: numbers.matrix(),
        chroma: numbers.matrix(),
        chroma_unlap: numbers.matrix(),
        chroma_inverse: numbers.matrix(),
    };
    debug_assert!(numbers.0.is_empty());
    let mut numbers = Numbers(CONTEXTS);
    let mut weights = [[0; FEATURES + 1]; ZONES];
    for weight in weights.iter_mut().flatten() {
        *weight = numbers.next();
    }
    let models = (0..COUNT).map(|_| Adaptive::from_bits(numbers.next() as u16)).collect();
    debug_assert!(numbers.0.is_empty());
    Tables { matrices, lines: Lines::new(&weights), models }
});

/// First eight bytes of the SHA-256 of the files, one after the other: containers name it.
pub(crate) fn digest() -> [u8; 8] {
    static DIGEST: LazyLock<[u8; 8]> = LazyLock::new(|| {
        let digest = Sha256::new().chain_update(MATRICES).chain_update(CONTEXTS).finalize();
        std::array::from_fn(|at| digest[at])
    });
    *DIGEST
}

struct Numbers(&'static [u8]);

impl Numbers {
    fn next(&mut self) -> i16 {
        let Some((number, rest)) = self.0.split_first_chunk::<2>() else {
            // A test sees to it that the files are as long as they must be.
            return 0;
        };
        self.0 = rest;
        i16::from_le_bytes(*number)
    }

    fn matrix<const N: usize>(&mut self) -> [[i16; N]; N] {
        let mut matrix = [[0; N]; N];
        for weight in matrix.iter_mut().flatten() {
            *weight = self.next();
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_as_long_as_they_must_be() {
        assert_eq!(MATRICES.len(), 2 * 4 * (LUMA_BANDS * LUMA_BANDS + CHROMA_BANDS * CHROMA_BANDS));
        assert_eq!(CONTEXTS.len(), 2 * (ZONES * (FEATURES + 1) + COUNT));
    }

    #[test]
    fn the_inverses_invert() {
        fn check<const N: usize>(a: &[[i16; N]; N], b: &[[i16; N]; N]) {
            for (i, row) in a.iter().enumerate() {
                for j in 0..N {
                    let sum: i64 = row.iter().zip(b).map(|(&x, column)| i64::from(x) * i64::from(column[j])).sum();
                    let one = if i == j { 1.0 } else { 0.0 };
                    let got = sum as f64 / 2_f64.powi(26);
                    assert!((got - one).abs() < 2e-3, "{i}, {j}: {got}");
                }
            }
        }
        let m = &TABLES.matrices;
        check(&m.luma, &m.luma_inverse);
        check(&m.luma_lap, &m.luma_unlap);
        check(&m.chroma, &m.chroma_inverse);
        check(&m.chroma_lap, &m.chroma_unlap);
    }
}
