//! The rate that a stated quality takes, and what it takes beside another codec.
//!
//! It is read on the upper [hull] of the points: the rate of the mixture of two
//! operating points, some samples coded the one way and some the other, that has this
//! quality for least. A codec can be used so; and of noisy points the hull rests on few
//! that stand out together, where a curve through each point of the front follows the
//! chance in all of them. A quality outside the measured range has no rate, and the
//! answer says on which side it lies.
//!
//! Intervals come from resampled samples, the whole curve being recomputed from
//! each resample: quality at every rate is measured on the same samples, so an
//! interval of one point says little about one of the curve. A resample whose
//! curve does not reach the quality takes its place at the end of the order.
//!
//! ```
//! use afferent_measure::stats::equal_quality::{Reach, Setting, Sweep, rate_at_interval};
//! use afferent_measure::stats::{Bootstrap, Clusters};
//! // Four images at two settings: bits, pixels, and whether the model still agreed.
//! let setting = |bits, agreed: [f64; 4]| Setting { amount: vec![bits; 4], per: vec![1000.0; 4], quality: agreed.into() };
//! let sweep = Sweep::new(vec![setting(100.0, [0.0, 1.0, 0.0, 1.0]), setting(400.0, [1.0, 1.0, 1.0, 1.0])])?;
//! let bpp = rate_at_interval(0.99, &Clusters::each(4), &Bootstrap::new(1), |weights| sweep.points(weights));
//! assert!(bpp.is_err(), "in too many resamples every image agrees already at the lowest rate");
//! # Ok::<(), afferent_media::Error>(())
//! ```

use super::bd::out_of_range;
use super::bootstrap::mean;
use super::curve::{check_curve, hull};
use super::{Bootstrap, Clusters, Interval, Point, wrong};
use afferent_media::Result;
use serde::{Deserialize, Serialize};

/// The rate at a quality, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Reach<T> {
    /// This rate.
    Rate(T),
    /// The quality is above what was measured.
    NotReached {
        /// The best quality that was.
        best: f64,
    },
    /// The quality is already exceeded at the lowest measured rate; how much less
    /// would do was not measured.
    AlreadyAtLowest {
        /// That rate.
        rate: f64,
        /// The quality there.
        quality: f64,
    },
}

impl<T> Reach<T> {
    /// The rate, where there is one.
    pub fn rate(self) -> Option<T> {
        match self {
            Self::Rate(rate) => Some(rate),
            Self::NotReached { .. } | Self::AlreadyAtLowest { .. } => None,
        }
    }

    /// Why there is no rate, to be printed in its place.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Rate(_) => None,
            Self::NotReached { best } => Some(format!("not reached (best {best:.4})")),
            Self::AlreadyAtLowest { rate, quality } => {
                Some(format!("already at the lowest measured rate ({quality:.4} at {rate:.4})"))
            }
        }
    }
}

/// The rate at which the upper [hull] of `points` has this `quality`; between the points
/// of the hull rate is linear in quality.
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config) without a point, with one whose rate is
/// not above zero or that is not finite, for a quality that is not finite, and for values
/// too far apart for 64-bit floats.
pub fn rate_at(points: &[Point], quality: f64) -> Result<Reach<f64>> {
    check_curve(points)?;
    let hull: Vec<Point> = hull(points)?.into_iter().map(|point| points[point]).collect();
    let (Some(&least), Some(&best)) = (hull.first(), hull.last()) else {
        return Err(wrong("a codec without operating points has no rate", "measure at least one"));
    };
    if !quality.is_finite() {
        return Err(wrong(format!("{quality} is no quality to ask for"), "ask for a finite one"));
    }
    if quality > best.quality {
        return Ok(Reach::NotReached { best: best.quality });
    }
    if quality < least.quality {
        return Ok(Reach::AlreadyAtLowest { rate: least.rate, quality: least.quality });
    }
    // Both rise along the hull.
    let above = hull.partition_point(|point| point.quality < quality);
    let to = hull[above];
    let rate = match above.checked_sub(1).map(|below| hull[below]) {
        Some(from) => from.rate + (to.rate - from.rate) * ((quality - from.quality) / (to.quality - from.quality)),
        None => to.rate,
    };
    if rate.is_finite() { Ok(Reach::Rate(rate)) } else { Err(out_of_range()) }
}

/// [`rate_at`] with its bootstrap interval: `points` gives the operating points of
/// a resample, handed how often each sample occurs ([`Sweep::points`], or any
/// other figure of sets per setting), or `None` where they do not exist.
///
/// # Errors
/// As of [`rate_at`] on the whole set and of [`Bootstrap::interval`]: among others
/// if so many resamples do not reach the quality that the interval would end
/// beyond what was measured.
pub fn rate_at_interval(
    quality: f64,
    clusters: &Clusters,
    bootstrap: &Bootstrap,
    mut points: impl FnMut(&[u32]) -> Option<Vec<Point>>,
) -> Result<Reach<Interval>> {
    Ok(match whole(quality, clusters, &mut points)? {
        Reach::Rate(_) => Reach::Rate(
            bootstrap.interval(clusters, |weights| log_rate(&points(weights)?, quality))?.map(|log| 10f64.powf(log)),
        ),
        Reach::NotReached { best } => Reach::NotReached { best },
        Reach::AlreadyAtLowest { rate, quality } => Reach::AlreadyAtLowest { rate, quality },
    })
}

/// The rate of the `first` codec over that of the `second` at equal quality, with
/// its paired bootstrap interval: both curves from the same samples each time.
/// Resamples in which both lie beyond their measured rates on the same side have
/// no ratio.
///
/// # Errors
/// As of [`rate_at_interval`]; and if either codec has no rate at that quality,
/// saying which and why.
pub fn rate_ratio(
    quality: f64,
    clusters: &Clusters,
    bootstrap: &Bootstrap,
    mut first: impl FnMut(&[u32]) -> Option<Vec<Point>>,
    mut second: impl FnMut(&[u32]) -> Option<Vec<Point>>,
) -> Result<Interval> {
    for (name, reach) in
        [("first", whole(quality, clusters, &mut first)?), ("second", whole(quality, clusters, &mut second)?)]
    {
        if let Some(why) = reach.why() {
            return Err(wrong(
                format!("the {name} codec at quality {quality}: {why}"),
                "choose a quality that both codecs reach within their measured rates",
            ));
        }
    }
    let first = |weights: &[u32]| log_rate(&first(weights)?, quality);
    let second = |weights: &[u32]| log_rate(&second(weights)?, quality);
    Ok(bootstrap.difference(clusters, first, second)?.map(|log| 10f64.powf(log)))
}

fn whole(
    quality: f64,
    clusters: &Clusters,
    points: &mut impl FnMut(&[u32]) -> Option<Vec<Point>>,
) -> Result<Reach<f64>> {
    let points = points(&vec![1; clusters.samples()])
        .ok_or_else(|| wrong("the whole set has no operating points", "give one weight to every sample measured"))?;
    rate_at(&points, quality)
}

/// Log10 of the rate; infinite on the side on which the rate was not measured.
fn log_rate(points: &[Point], quality: f64) -> Option<f64> {
    Some(match rate_at(points, quality).ok()? {
        Reach::Rate(rate) => rate.log10(),
        Reach::NotReached { .. } => f64::INFINITY,
        Reach::AlreadyAtLowest { .. } => f64::NEG_INFINITY,
    })
}

/// Every sample at one setting of a codec.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// What was spent on each sample: bits.
    pub amount: Vec<f64>,
    /// What it is spent per: pixels, seconds.
    pub per: Vec<f64>,
    /// The quality of each sample, more is better: 0 or 1 for right and wrong.
    pub quality: Vec<f64>,
}

/// The same samples at every setting of a codec.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep(Vec<Setting>);

impl Sweep {
    /// A sweep over `settings`, in any order.
    ///
    /// # Errors
    /// [`Code::Config`](afferent_media::Code::Config), naming setting and sample,
    /// if the settings are not of equally many samples, an amount is negative, a
    /// `per` not above zero, or anything not finite.
    pub fn new(settings: Vec<Setting>) -> Result<Self> {
        let samples = settings.first().map_or(0, |setting| setting.quality.len());
        for (number, Setting { amount, per, quality }) in settings.iter().enumerate() {
            if [amount.len(), per.len(), quality.len()] != [samples; 3] {
                return Err(wrong(
                    format!(
                        "setting {number} has {} amounts, {} pers and {} qualities for {samples} samples",
                        amount.len(),
                        per.len(),
                        quality.len()
                    ),
                    "measure every sample at every setting, and state each sample's three values",
                ));
            }
            let good = |sample: &usize| {
                let (amount, per, quality) = (amount[*sample], per[*sample], quality[*sample]);
                amount >= 0.0 && amount.is_finite() && per > 0.0 && per.is_finite() && quality.is_finite()
            };
            if let Some(sample) = (0..samples).find(|sample| !good(sample)) {
                return Err(wrong(
                    format!(
                        "sample {sample} at setting {number}: amount {}, per {}, quality {}",
                        amount[sample], per[sample], quality[sample]
                    ),
                    "leave a sample without finite figures out of every setting and say so",
                ));
            }
        }
        Ok(Self(settings))
    }

    /// The operating points with each sample counted `weights` times: the ratio of
    /// total amount to total per, and the mean of the qualities. `None` if no
    /// sample counts, or the weights are not one for each.
    #[must_use]
    pub fn points(&self, weights: &[u32]) -> Option<Vec<Point>> {
        let average = |values: &[f64]| if values.len() == weights.len() { mean(weights, values) } else { None };
        let point = |setting: &Setting| {
            Some(Point::new(average(&setting.amount)? / average(&setting.per)?, average(&setting.quality)?))
        };
        self.0.iter().map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(points: &[(f64, f64)]) -> Vec<Point> {
        points.iter().copied().map(Point::from).collect()
    }

    #[test]
    fn a_rate_is_found_between_points_and_refused_beyond() {
        let curve = points(&[(4.0, 0.9), (1.0, 0.5), (2.0, 0.5), (0.01, 0.1)]);
        for (rate, quality) in [(0.01, 0.1), (1.0, 0.5), (4.0, 0.9)] {
            assert!((rate_at(&curve, quality).unwrap().rate().unwrap() - rate).abs() < 1e-12);
        }
        assert_eq!(rate_at(&curve, 0.91).unwrap(), Reach::NotReached { best: 0.9 });
        let below = rate_at(&curve, 0.05).unwrap();
        assert_eq!(below.why().unwrap(), "already at the lowest measured rate (0.1000 at 0.0100)");
        assert_eq!(rate_at(&curve[..1], 0.9).unwrap().rate(), Some(4.0));
        assert!(rate_at(&curve[..1], 1.0).unwrap().why().unwrap().starts_with("not reached"));
        assert!(rate_at(&[], 0.5).unwrap_err().what().contains("without operating points"));
        assert!(rate_at(&curve, f64::NAN).is_err());
        assert!(rate_at(&points(&[(0.0, 1.0)]), 1.0).is_err());
    }

    /// Sixty samples, each recognised from its own rate on.
    fn sweep(cost: f64) -> Sweep {
        let settings = [0.2, 0.4, 0.8, 1.6].map(|rate| Setting {
            amount: (0..60).map(|i| rate * cost * f64::from(800 + i % 7 * 50)).collect(),
            per: vec![1000.0; 60],
            quality: (0..60).map(|i| f64::from(u8::from(rate > f64::from(i * 37 % 60) / 50.0))).collect(),
        });
        Sweep::new(settings.into()).unwrap()
    }

    #[test]
    fn the_whole_curve_is_resampled() {
        let (clusters, bootstrap) = (Clusters::each(60), Bootstrap::new(5));
        let (one, two) = (sweep(1.0), sweep(2.0));
        let at = |quality| rate_at_interval(quality, &clusters, &bootstrap, |weights| one.points(weights));
        let interval = at(0.5).unwrap().rate().unwrap();
        assert!(interval.low < interval.estimate && interval.estimate < interval.high, "{interval:?}");
        assert!(interval.low > 0.19 && interval.high < 1.6 && interval.n == 60);
        assert!(matches!(at(1.1).unwrap(), Reach::NotReached { best } if best == 1.0));
        assert!(matches!(at(0.01).unwrap(), Reach::AlreadyAtLowest { .. }));
        // Most of the resamples around the lowest point lie below it.
        assert!(at(0.2).unwrap_err().what().contains("beyond what was measured"));

        // What both have in common cancels, far though either alone is from sure.
        let ratio = |quality| rate_ratio(quality, &clusters, &bootstrap, |w| two.points(w), |w| one.points(w));
        let twice = ratio(0.5).unwrap();
        for value in [twice.estimate, twice.low, twice.high] {
            assert!((value - 2.0).abs() < 1e-9, "{twice:?}");
        }
        assert!(ratio(1.1).unwrap_err().what().contains("first codec at quality 1.1: not reached"));
        assert!(rate_at_interval(0.5, &Clusters::each(59), &bootstrap, |weights| one.points(weights)).is_err());
    }

    #[test]
    fn a_sweep_names_what_it_refuses() {
        let good = Setting { amount: vec![1.0, 2.0], per: vec![1.0, 1.0], quality: vec![0.0, 1.0] };
        let refuse = |bad: Setting| Sweep::new(vec![good.clone(), bad]).unwrap_err().what().to_string();
        assert!(refuse(Setting { per: vec![1.0], ..good.clone() }).contains("setting 1 has 2 amounts, 1 pers"));
        assert!(refuse(Setting { per: vec![1.0, 0.0], ..good.clone() }).contains("sample 1 at setting 1"));
        assert!(refuse(Setting { quality: vec![f64::NAN, 0.0], ..good.clone() }).contains("sample 0 at setting 1"));
        assert!(refuse(Setting { amount: vec![-1.0, 0.0], ..good.clone() }).contains("amount -1"));
        let sweep = Sweep::new(vec![good]).unwrap();
        assert_eq!(sweep.points(&[1, 3]).unwrap(), [Point::new(7.0 / 4.0, 0.75)]);
        assert_eq!((sweep.points(&[0, 0]), sweep.points(&[1])), (None, None));
        assert!(rate_at_interval(0.5, &Clusters::each(0), &Bootstrap::new(1), |_| Some(vec![])).is_err());
    }

    proptest! {
        #[test]
        fn more_quality_takes_no_less_rate(
            all in prop::collection::vec((0.01..10.0f64, 0.0..1.0f64), 1..12), a in 0.0..1.0f64, b in 0.0..1.0f64,
        ) {
            let all = points(&all);
            let at = |quality| match rate_at(&all, quality).unwrap() {
                Reach::Rate(rate) => rate,
                Reach::NotReached { .. } => f64::INFINITY,
                Reach::AlreadyAtLowest { .. } => 0.0,
            };
            prop_assert!(at(a.min(b)) <= at(a.max(b)) * (1.0 + 1e-12));
        }
    }
}
