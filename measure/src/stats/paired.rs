//! Two codecs on the same samples, each right or wrong.
//!
//! All here is for independent samples; where they come in clusters, the
//! [bootstrap](super::Bootstrap::difference) is to be used instead.

use super::{Interval, Z, wrong};
use afferent_media::Result;
use serde::{Deserialize, Serialize};

/// How two codecs fared on the same samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// Samples with which both had success.
    pub both: u32,
    /// Samples with which only the first had success.
    pub only_first: u32,
    /// Samples with which only the second had success.
    pub only_second: u32,
    /// Samples with which neither had success.
    pub neither: u32,
}

impl FromIterator<(bool, bool)> for Pairs {
    /// Counts samples, each with the success of the first and of the second.
    fn from_iter<I: IntoIterator<Item = (bool, bool)>>(samples: I) -> Self {
        let mut pairs = Self::default();
        for sample in samples {
            let count = match sample {
                (true, true) => &mut pairs.both,
                (true, false) => &mut pairs.only_first,
                (false, true) => &mut pairs.only_second,
                (false, false) => &mut pairs.neither,
            };
            *count = count.saturating_add(1);
        }
        pairs
    }
}

impl Pairs {
    /// Number of samples.
    #[must_use]
    pub fn n(&self) -> u64 {
        [self.both, self.only_first, self.only_second, self.neither].map(u64::from).iter().sum()
    }

    /// [`mcnemar`] of the discordant counts.
    #[must_use]
    pub fn mcnemar(&self) -> McNemar {
        mcnemar(self.only_first, self.only_second)
    }

    /// The share of the first's successes less that of the second's, (b − c) / n,
    /// from −1 to 1, with the adjusted Wald interval of Agresti and Min (2005) at
    /// 95 %: half a sample is added to each of the four counts, and the Wald
    /// interval taken of those, d ± z √((b + c) / n − d²) / √n with
    /// d = (b − c) / n, cut off at ±1.
    ///
    /// # Errors
    /// [`Code::Config`](afferent_media::Code::Config) without a sample.
    #[allow(clippy::cast_precision_loss)]
    pub fn difference(&self) -> Result<Interval> {
        let n = self.n();
        if n == 0 {
            return Err(wrong("no samples, no difference of proportions", "measure at least one sample with both"));
        }
        let (b, c) = (f64::from(self.only_first), f64::from(self.only_second));
        let total = n as f64 + 2.0;
        let centre = (b - c) / total;
        let half = Z * (((b + c + 1.0) / total - centre * centre) / total).sqrt();
        Ok(Interval {
            estimate: (b - c) / n as f64,
            low: (centre - half).max(-1.0),
            high: (centre + half).min(1.0),
            n,
            clusters: n,
        })
    }
}

/// McNemar's exact test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Two-sided exact p-value: how probably fair coins would split the discordant
    /// samples as unevenly or more.
    pub p: f64,
    /// The mid-p value, in which the split as it was counts half on each side:
    /// less conservative, and close to its nominal level.
    pub mid_p: f64,
}

/// McNemar's test (1947), exact and two-sided, of `b` samples with which only the
/// first had success and `c` with which only the second had: with X binomial over
/// `b + c` fair coins and m = min(b, c), p = min(1, 2 P(X ≤ m)); and the mid-p
/// value (Lancaster 1961; Fagerland, Lydersen and Laake 2013),
/// 2 P(X ≤ m) − P(X = m). Both are 1 if `b` = `c`, the former 1 without a
/// discordant sample, too; below 10⁻³⁰⁰ they may be zero. In O(√(b + c)).
#[must_use]
pub fn mcnemar(b: u32, c: u32) -> McNemar {
    let (less, more) = (u64::from(b.min(c)), u64::from(b.max(c)));
    if less == more {
        return McNemar { p: 1.0, mid_p: 1.0 };
    }
    // Binomial coefficients relative to the middle one, downwards, where they
    // fall faster than geometrically: no logarithm of a factorial to round.
    let n = less + more;
    let mut k = n / 2;
    let mut term = 1.0;
    let (mut upper, mut tail, mut at) = (0.0, 0.0, 0.0);
    while term > 0.0 {
        if k > less {
            upper += term;
        } else {
            tail += term;
        }
        if k == less {
            at = term;
        }
        if k == 0 {
            break;
        }
        term *= ratio(k, n - k + 1);
        k -= 1;
    }
    // The other half mirrors this one; an even n has a middle of its own.
    let middle = f64::from(u8::from(n % 2 == 0));
    let all = 2.0 * (upper + tail) - middle;
    McNemar { p: (2.0 * tail / all).min(1.0), mid_p: (2.0 * tail - at) / all }
}

#[allow(clippy::cast_precision_loss)]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_tables_by_hand() {
        // Of 2^5 splits, two are as uneven as 0 to 5; of 2^4, ten as 1 to 3.
        assert_eq!(mcnemar(0, 5), McNemar { p: 2.0 / 32.0, mid_p: 1.0 / 32.0 });
        assert_eq!(mcnemar(3, 1), McNemar { p: 10.0 / 16.0, mid_p: 6.0 / 16.0 });
        assert_eq!(mcnemar(0, 0), McNemar { p: 1.0, mid_p: 1.0 });
        assert_eq!(mcnemar(0, 1), McNemar { p: 1.0, mid_p: 0.5 });
        assert_eq!(mcnemar(u32::MAX, 0).p, 0.0);
        assert!(mcnemar(u32::MAX, u32::MAX - 1).p > 0.999);
    }

    #[test]
    fn pairs_are_counted() {
        let pairs: Pairs =
            [(true, true), (true, false), (true, false), (false, true), (false, false)].into_iter().collect();
        assert_eq!(pairs, Pairs { both: 1, only_first: 2, only_second: 1, neither: 1 });
        assert_eq!((pairs.n(), pairs.mcnemar()), (5, mcnemar(2, 1)));
        assert!((pairs.difference().unwrap().estimate - 0.2).abs() < 1e-15);
        assert_eq!(Pairs::default().difference().unwrap_err().code(), afferent_media::Code::Config);
    }

    proptest! {
        #[test]
        fn the_test_is_symmetric_and_bounded(b in 0u32..5000, c in 0u32..5000) {
            let test = mcnemar(b, c);
            prop_assert_eq!(test, mcnemar(c, b));
            prop_assert!(0.0 <= test.mid_p && test.mid_p <= test.p && test.p <= 1.0, "{:?}", test);
            // One more on the greater side is never less telling.
            prop_assert!(mcnemar(b.max(c) + 1, b.min(c)).p <= test.p * (1.0 + 1e-12));
        }

        #[test]
        fn the_difference_lies_in_its_interval_and_mirrors(
            both in 0u32..50, b in 0u32..50, c in 0u32..50, neither in 1u32..50,
        ) {
            let d = Pairs { both, only_first: b, only_second: c, neither }.difference().unwrap();
            let mirrored = Pairs { both, only_first: c, only_second: b, neither }.difference().unwrap();
            prop_assert!(-1.0 <= d.low && d.low <= d.estimate && d.estimate <= d.high && d.high <= 1.0, "{:?}", d);
            prop_assert!((d.low + mirrored.high).abs() < 1e-12);
        }
    }
}
