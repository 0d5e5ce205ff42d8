//! Seeded bootstrap intervals over independent clusters.
//!
//! Efron (1979), with the percentile interval (Efron and Tibshirani 1993, chapter
//! 13): clusters are drawn with replacement, as many as there are, and the
//! interval runs from the 2.5 % to the 97.5 % quantile (type 7) of the statistic
//! over the resamples. Samples that belong together (frames of one recording,
//! crops of one photograph, utterances of one speaker) come and go together
//! (Davison and Hinkley 1997, section 3.8, strategy 1).
//!
//! The interval is not corrected for bias or skew: it may lie off-centre of its
//! estimate, and is somewhat too narrow for few clusters, which
//! [`Interval::notice`] says.
//!
//! The draws are the same for ever: PCG XSL RR 128/64 (O'Neill 2014; `pcg64`, of
//! the crate `rand_pcg`) with the seed as state and the stream
//! `0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf96`, cluster `⌊u k / 2⁶⁴⌋` of `k` for
//! each 64-bit output `u`. A test holds them to NumPy's `PCG64`.
//! Only a statistic that takes logarithms may differ between platforms, in its
//! last digits.
//!
//! ```
//! use afferent_measure::stats::{Bootstrap, Clusters};
//! // Bits per pixel of a set as the ratio of the totals.
//! let (bits, pixels) = ([90.0, 20.0, 55.0], [100.0, 50.0, 50.0]);
//! let total = |weights: &[u32], values: &[f64]| -> f64 {
//!     weights.iter().zip(values).map(|(&weight, value)| f64::from(weight) * value).sum()
//! };
//! let bpp = Bootstrap::new(7).interval(&Clusters::each(3), |weights| Some(total(weights, &bits) / total(weights, &pixels)))?;
//! assert!(bpp.low < bpp.estimate && bpp.estimate < bpp.high);
//! assert!(bpp.small(), "three samples are indicative at best");
//! # Ok::<(), afferent_media::Error>(())
//! ```

use super::{quantile, wrong};
use afferent_media::Result;
use rand_pcg::{Pcg64, rand_core::Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// PCG's own default stream.
const STREAM: u128 = 0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf96;

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The statistic of the whole set.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Number of samples.
    pub n: u64,
    /// Number of independent clusters of samples; `n` if each stands alone.
    pub clusters: u64,
}

impl Interval {
    /// With fewer independent clusters than this an interval is indicative only:
    /// the usual rule of thumb under which normal and percentile intervals are
    /// noticeably too narrow.
    pub const FEW: u64 = 30;

    /// Whether there are fewer than [`FEW`](Self::FEW) independent clusters.
    #[must_use]
    pub fn small(&self) -> bool {
        self.clusters < Self::FEW
    }

    /// What to print beside the interval of a [`small`](Self::small) set.
    #[must_use]
    pub fn notice(&self) -> Option<&'static str> {
        self.small().then_some("indicative: fewer than 30 independent clusters")
    }

    /// The interval of an increasing function of the statistic.
    pub(super) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self { estimate: f(self.estimate), low: f(self.low), high: f(self.high), ..self }
    }
}

/// Which independent cluster every sample belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    of: Vec<usize>,
    count: usize,
}

impl Clusters {
    /// Every one of `n` samples is a cluster of its own.
    #[must_use]
    pub fn each(n: usize) -> Self {
        Self { of: (0..n).collect(), count: n }
    }

    /// Samples of equal `id` belong together. Only which are equal matters: the
    /// clusters count in the order in which they first appear.
    #[must_use]
    pub fn by<T: Ord>(ids: impl IntoIterator<Item = T>) -> Self {
        let mut seen = BTreeMap::new();
        let of = ids
            .into_iter()
            .map(|id| {
                let next = seen.len();
                *seen.entry(id).or_insert(next)
            })
            .collect();
        Self { of, count: seen.len() }
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.of.len()
    }

    /// Number of clusters.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The clusters of only the samples `kept`; those past the end are passed over.
    #[must_use]
    pub fn select(&self, kept: &[usize]) -> Self {
        Self::by(kept.iter().filter_map(|&sample| self.of.get(sample)))
    }

    /// Refuses to go with `n` samples of something else.
    pub(super) fn expect_samples(&self, n: usize) -> Result<()> {
        if self.samples() == n {
            return Ok(());
        }
        Err(wrong(
            format!("clusters are given for {} samples, values for {n}", self.samples()),
            "give each sample one cluster and one value, in the same order",
        ))
    }
}

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Seed of the draws: the same for figures to be compared.
    pub seed: u64,
    /// Number of resamples, 100 to 1,000,000.
    pub resamples: u32,
}

impl Bootstrap {
    /// 2,000 resamples, enough for the two tails of a 95 % percentile interval
    /// (Efron and Tibshirani 1993, chapter 19).
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, resamples: 2000 }
    }

    /// The 95 % percentile interval of `statistic`, which is handed how often
    /// each sample occurs: once each for the estimate, then as drawn. Ratios of
    /// totals, a mean IoU over a summed confusion matrix, an AUC: anything that
    /// can be computed from counted samples has an interval.
    ///
    /// `statistic` answers `None` or not a number where it does not exist (no
    /// positive was drawn); such resamples are left out, up to one in twenty. An
    /// infinite answer stands for one beyond what was measured: it takes its
    /// place at the end of the order, and only an interval that would end there
    /// is refused.
    ///
    /// Intervals over the same clusters with the same `Bootstrap` come from the
    /// same draws, in the same order.
    ///
    /// # Errors
    /// [`Code::Config`](afferent_media::Code::Config) with fewer than two
    /// clusters, a number of resamples out of range, a statistic that does not
    /// exist on the whole set or in more than 5 % of the resamples, or an end
    /// beyond what was measured.
    pub fn interval(&self, clusters: &Clusters, mut statistic: impl FnMut(&[u32]) -> Option<f64>) -> Result<Interval> {
        if !(100..=1_000_000).contains(&self.resamples) {
            return Err(wrong(
                format!("{} bootstrap resamples", self.resamples),
                "take 100 to 1,000,000 resamples; 2,000 are usual",
            ));
        }
        if clusters.count < 2 {
            return Err(wrong(
                format!("no interval from {} samples in {} clusters", clusters.samples(), clusters.count),
                "measure at least two independent clusters; thirty make the interval more than indicative",
            ));
        }
        let mut weights = vec![1; clusters.samples()];
        let estimate = statistic(&weights).filter(|value| value.is_finite()).ok_or_else(|| {
            wrong("the statistic does not exist on the whole set", "measure samples on which it is defined")
        })?;

        let mut random = Pcg64::new(self.seed.into(), STREAM);
        let mut drawn = vec![0u32; clusters.count];
        let mut values = Vec::new();
        for _ in 0..self.resamples {
            drawn.fill(0);
            for _ in 0..clusters.count {
                drawn[below(&mut random, clusters.count)] += 1;
            }
            for (weight, &cluster) in weights.iter_mut().zip(&clusters.of) {
                *weight = drawn[cluster];
            }
            values.extend(statistic(&weights).filter(|value| !value.is_nan()));
        }
        let undefined = self.resamples as usize - values.len();
        if undefined * 20 > self.resamples as usize {
            return Err(wrong(
                format!("the statistic does not exist in {undefined} of {} resamples", self.resamples),
                "measure more independent clusters of every kind that it needs",
            ));
        }
        values.sort_unstable_by(f64::total_cmp);
        let end = |probability| {
            quantile(&values, probability).filter(|end| end.is_finite()).ok_or_else(|| {
                wrong(
                    format!(
                        "the interval ends beyond what was measured, where {} of {} resamples lie",
                        values.iter().filter(|value| value.is_infinite()).count(),
                        self.resamples
                    ),
                    "measure a wider range of rates, or more samples",
                )
            })
        };
        Ok(Interval {
            estimate,
            low: end(0.025)?,
            high: end(0.975)?,
            n: clusters.samples() as u64,
            clusters: clusters.count as u64,
        })
    }

    /// The interval of the mean of `values`, one for each sample.
    ///
    /// # Errors
    /// As of [`interval`](Self::interval), and if there are more or fewer values
    /// than samples, or one is not finite.
    pub fn mean(&self, clusters: &Clusters, values: &[f64]) -> Result<Interval> {
        clusters.expect_samples(values.len())?;
        self.interval(clusters, |weights| mean(weights, values))
    }

    /// The interval of `first − second`, both computed on the same draws: the
    /// paired difference, from which what the samples have in common cancels.
    ///
    /// # Errors
    /// As of [`interval`](Self::interval).
    pub fn difference(
        &self,
        clusters: &Clusters,
        mut first: impl FnMut(&[u32]) -> Option<f64>,
        mut second: impl FnMut(&[u32]) -> Option<f64>,
    ) -> Result<Interval> {
        self.interval(clusters, |weights| Some(first(weights)? - second(weights)?))
    }
}

/// The mean of `values`, each counted as often as its weight says.
pub(super) fn mean(weights: &[u32], values: &[f64]) -> Option<f64> {
    let sum: f64 = weights.iter().zip(values).map(|(&weight, value)| f64::from(weight) * value).sum();
    let n: f64 = weights.iter().copied().map(f64::from).sum();
    (n > 0.0).then(|| sum / n)
}

/// A number below `count`, each as probable as the other to within `count` in 2⁶⁴.
#[allow(clippy::cast_possible_truncation)]
fn below(random: &mut Pcg64, count: usize) -> usize {
    ((u128::from(random.next_u64()) * count as u128) >> 64) as usize
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clusters_are_drawn_whole_and_as_many_as_there_are() {
        let clusters = Clusters::by(["b", "a", "b", "c", "a", "b"]);
        assert_eq!((clusters.samples(), clusters.count()), (6, 3));
        assert_eq!(clusters, Clusters::by([9, 4, 9, 1, 4, 9]), "only which are equal matters");
        assert_eq!(clusters.select(&[1, 3, 4, 7]), Clusters::by(["a", "c", "a"]));
        let mut first = true;
        Bootstrap::new(1)
            .interval(&clusters, |weights| {
                let [b, a, again, c, also, third] = weights.try_into().unwrap();
                assert!(b == again && b == third && a == also);
                assert_eq!(a + b + c, 3);
                assert!(!std::mem::take(&mut first) || weights == [1; 6]);
                Some(f64::from(b))
            })
            .unwrap();
    }

    #[test]
    fn what_has_no_interval_says_why() {
        let remedy = |clusters: &Clusters, resamples, value: Option<f64>| {
            let error = Bootstrap { seed: 1, resamples }.interval(clusters, |_| value).unwrap_err();
            assert_eq!(error.code(), afferent_media::Code::Config);
            error.to_string()
        };
        assert!(remedy(&Clusters::each(0), 100, Some(1.0)).contains("0 clusters"));
        assert!(remedy(&Clusters::by([5, 5, 5]), 100, Some(1.0)).contains("3 samples in 1 clusters"));
        assert!(remedy(&Clusters::each(2), 99, Some(1.0)).contains("99 bootstrap"));
        assert!(remedy(&Clusters::each(2), 100, None).contains("whole set"));
        assert!(remedy(&Clusters::each(2), 100, Some(f64::NAN)).contains("whole set"));
        // Of two samples, a half of the resamples lack one.
        let both = |weights: &[u32]| weights.iter().all(|&weight| weight > 0).then_some(1.0);
        let error = Bootstrap::new(1).interval(&Clusters::each(2), both).unwrap_err();
        assert!(error.what().contains("does not exist in"), "{error}");
        let beyond = |weights: &[u32]| Some(if weights[0] > 1 { f64::INFINITY } else { 1.0 });
        let error = Bootstrap::new(1).interval(&Clusters::each(2), beyond).unwrap_err();
        assert!(error.what().contains("beyond"), "{error}");
    }

    #[test]
    fn a_few_resamples_beyond_the_measured_do_not_spoil_the_interval() {
        let mut calls = 0;
        let interval = Bootstrap { seed: 1, resamples: 1000 }
            .interval(&Clusters::each(40), |_| {
                calls += 1;
                Some(if calls % 100 == 0 { f64::INFINITY } else { f64::from(calls % 100) })
            })
            .unwrap();
        assert!((interval.low, interval.high) == (3.0, 98.0), "{interval:?}");
        assert_eq!(interval.notice(), None);
        assert!(Interval { clusters: 29, ..interval }.notice().unwrap().starts_with("indicative"));
    }

    #[test]
    fn a_difference_is_paired() {
        let first: Vec<f64> = (0..50).map(|i| f64::from(i * i % 97)).collect();
        let second: Vec<f64> = first.iter().map(|value| value - 3.0).collect();
        let (bootstrap, clusters) = (Bootstrap::new(3), Clusters::each(50));
        let difference = bootstrap.difference(&clusters, |w| mean(w, &first), |w| mean(w, &second)).unwrap();
        assert!((difference.high - 3.0).abs() < 1e-9 && (difference.low - 3.0).abs() < 1e-9, "{difference:?}");
        let alone = bootstrap.mean(&clusters, &first).unwrap();
        assert!(alone.high - alone.low > 10.0);
    }

    #[test]
    fn intervals_of_a_mean_cover_it_about_as_often_as_they_say() {
        // Skewed values of mean 1/3 in clusters of two with a common part.
        let mut random = Pcg64::new(11, STREAM);
        let mut uniform = || random.next_u64() as f64 / 2f64.powi(64);
        let (mut covered, worlds) = (0, 400);
        for world in 0..worlds {
            let mut values = Vec::new();
            for _ in 0..40 {
                let common = uniform();
                values.extend([common * common, common * common]);
            }
            let clusters = Clusters::by((0..values.len()).map(|i| i / 2));
            let bootstrap = Bootstrap { seed: world, resamples: 400 };
            let interval = bootstrap.mean(&clusters, &values).unwrap();
            covered += u32::from(interval.low <= 1.0 / 3.0 && 1.0 / 3.0 <= interval.high);
        }
        let coverage = f64::from(covered) / worlds as f64;
        assert!((0.91..=0.98).contains(&coverage), "{coverage}");
    }

    proptest! {
        #[test]
        fn an_interval_of_a_mean_lies_inside_the_values(
            values in prop::collection::vec(-1e3..1e3f64, 2..30), seed: u64,
        ) {
            let clusters = Clusters::each(values.len());
            let bootstrap = Bootstrap { seed, resamples: 100 };
            let interval = bootstrap.mean(&clusters, &values).unwrap();
            let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), &v| (l.min(v), m.max(v)));
            prop_assert!(interval.low <= interval.high);
            prop_assert!(least - 1e-9 <= interval.low && interval.high <= most + 1e-9);
            prop_assert_eq!(interval, bootstrap.mean(&clusters, &values).unwrap());
        }
    }
}
