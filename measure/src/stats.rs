//! Figures of sets, and how sure they are.
//!
//! - here: proportions with intervals, quantiles, means and rates;
//! - [`bootstrap`]: seeded intervals of any statistic over independent clusters;
//! - [`paired`]: two codecs on the same samples: `McNemar` and the difference;
//! - [`correlation`]: Spearman's rho and Kendall's tau-b;
//! - [`curve`]: operating points, Pareto front, upper hull;
//! - [`bd`]: Bjøntegaard deltas between two rate–quality curves;
//! - [`equal_quality`]: the rate that a stated quality takes;
//! - [`auc`]: area under the ROC curve.
//!
//! Every function says what it leaves out. The running figures here return
//! `None` rather than a figure of nothing; the modules return an error that says
//! why there is none.

pub mod auc;
pub mod bd;
pub mod bootstrap;
pub mod correlation;
pub mod curve;
pub mod equal_quality;
mod interpolate;
pub mod paired;

pub use bootstrap::{Bootstrap, Clusters, Interval};
pub use curve::{Curve, Point};

use afferent_media::{Code, Error};
use serde::{Deserialize, Serialize};

/// The standard normal quantile of 0.975.
const Z: f64 = 1.959_963_984_540_054;

/// A proportion with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many had the property.
    pub count: u64,
    /// Out of how many.
    pub n: u64,
    /// `count / n`.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Proportion {
    /// The proportion of `count` in `n` with its Wilson score interval (Wilson
    /// 1927; no continuity correction) at 95 %, for independent samples.
    /// `None` if `n` is 0 or `count` exceeds it.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn wilson(count: u64, n: u64) -> Option<Self> {
        if n == 0 || count > n {
            return None;
        }
        let total = n as f64;
        let estimate = count as f64 / total;
        let spread = Z * Z / total;
        let centre = (estimate + spread / 2.0) / (1.0 + spread);
        let half = Z / (1.0 + spread) * (estimate * (1.0 - estimate) / total + spread / (4.0 * total)).sqrt();
        // At the ends the interval touches 0 or 1 exactly; rounding must not hide it.
        let low = if count == 0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if count == n { 1.0 } else { (centre + half).min(1.0) };
        Some(Self { count, n, estimate, low, high })
    }
}

/// Finite values in order, for quantiles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sorted(Vec<f64>);

impl FromIterator<f64> for Sorted {
    /// Keeps the finite values of `values`.
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }
}

impl Sorted {
    /// How many values there are.
    #[must_use]
    pub fn n(&self) -> usize {
        self.0.len()
    }

    /// The quantile at `probability`, 0 to 1, by type 7 of Hyndman and Fan
    /// (1996): linear between the order statistics around `(n - 1) p`. It is
    /// what R, NumPy and pandas give by default. `None` of an empty set.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> Option<f64> {
        quantile(&self.0, probability)
    }

    /// The median.
    #[must_use]
    pub fn p50(&self) -> Option<f64> {
        self.quantile(0.50)
    }

    /// The 95th percentile.
    #[must_use]
    pub fn p95(&self) -> Option<f64> {
        self.quantile(0.95)
    }

    /// The 99th percentile.
    #[must_use]
    pub fn p99(&self) -> Option<f64> {
        self.quantile(0.99)
    }
}

/// The quantile of type 7 of values in order: see [`Sorted::quantile`].
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn quantile(sorted: &[f64], probability: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = last as f64 * probability.clamp(0.0, 1.0);
    let below = (place.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (place - below as f64) * (high - low))
}

/// What is wrong with a question that has no answer, and what to do.
fn wrong(what: impl Into<String>, remedy: &'static str) -> Error {
    Error::new(Code::Config, what, remedy)
}

/// A running mean of finite values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    n: u64,
}

impl Mean {
    /// Takes one more value; passes over what is not finite.
    pub fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.sum += value;
            self.n += 1;
        }
    }

    /// How many values were taken.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The mean; `None` of an empty set.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn value(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// A running rate, given both ways: the mean of the samples' ratios, in which
/// every sample weighs the same, and the ratio of the totals, in which every
/// pixel (or second) does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    ratios: Mean,
    amount: f64,
    per: f64,
}

impl Rate {
    /// Takes one sample's `amount` (bits) over what it is `per` (pixels,
    /// seconds); passes over a sample whose `per` is not above zero.
    pub fn add(&mut self, amount: f64, per: f64) {
        if per > 0.0 && per.is_finite() && amount.is_finite() {
            self.ratios.add(amount / per);
            self.amount += amount;
            self.per += per;
        }
    }

    /// How many samples were taken.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.ratios.n()
    }

    /// The mean of the ratios.
    #[must_use]
    pub fn mean_of_ratios(&self) -> Option<f64> {
        self.ratios.value()
    }

    /// The ratio of the totals.
    #[must_use]
    pub fn total(&self) -> Option<f64> {
        (self.ratios.n() > 0).then(|| self.amount / self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn wilson_intervals_are_those_of_the_tables() {
        // From statsmodels 0.14, proportion_confint(count, n, method="wilson").
        for (count, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889),
            (10, 10, 0.722_467_200_137_111, 1.0),
            (1, 10, 0.017_876_213_095_073, 0.404_150_026_795_238),
            (45, 50, 0.786_397_685_625_204, 0.956_524_235_068_110),
            (799, 1000, 0.773_038_813_467_910, 0.822_672_784_957_729),
            (132, 133, 0.958_640_702_260_731, 0.998_671_512_392_371),
        ] {
            let proportion = Proportion::wilson(count, n).unwrap();
            assert!(near(proportion.low, low) && near(proportion.high, high), "{proportion:?}");
        }
        assert_eq!(Proportion::wilson(0, 0), None);
        assert_eq!(Proportion::wilson(3, 2), None);
    }

    #[test]
    fn quantiles_are_of_type_7() {
        let sorted: Sorted = [4.0, 1.0, f64::NAN, 3.0, 2.0, f64::INFINITY].into_iter().collect();
        assert_eq!(sorted.n(), 4);
        assert_eq!(sorted.p50(), Some(2.5));
        assert!(near(sorted.p95().unwrap(), 3.85) && near(sorted.p99().unwrap(), 3.97));
        assert_eq!((sorted.quantile(-1.0), sorted.quantile(2.0)), (Some(1.0), Some(4.0)));
        assert_eq!(Sorted::default().p50(), None);
        assert_eq!([7.0].into_iter().collect::<Sorted>().p99(), Some(7.0));
    }

    #[test]
    fn a_rate_is_given_both_ways() {
        let mut rate = Rate::default();
        rate.add(8.0, 1.0);
        rate.add(8.0, 4.0);
        rate.add(8.0, 0.0);
        assert_eq!((rate.n(), rate.mean_of_ratios(), rate.total()), (2, Some(5.0), Some(3.2)));
        assert_eq!(Rate::default().total(), None);
        let mut mean = Mean::default();
        mean.add(f64::INFINITY);
        assert_eq!(mean.value(), None);
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_estimate_and_mirrors(n in 1u64..5000, part in 0.0..=1.0f64) {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let count = ((n as f64 * part) as u64).min(n);
            let (p, q) = (Proportion::wilson(count, n).unwrap(), Proportion::wilson(n - count, n).unwrap());
            prop_assert!(0.0 <= p.low && p.low <= p.estimate && p.estimate <= p.high && p.high <= 1.0);
            prop_assert!(near(p.low, 1.0 - q.high));
        }

        #[test]
        fn quantiles_grow_and_stay_inside(values in prop::collection::vec(-1e6..1e6f64, 1..50), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
            let sorted: Sorted = values.iter().copied().collect();
            let (low, high) = (sorted.quantile(a.min(b)).unwrap(), sorted.quantile(a.max(b)).unwrap());
            prop_assert!(low <= high);
            prop_assert!(sorted.quantile(0.0).unwrap() <= low && high <= sorted.quantile(1.0).unwrap());
        }
    }
}
