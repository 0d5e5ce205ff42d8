//! Bjøntegaard deltas: what one codec costs or yields beside another, averaged
//! over the range that both reach.
//!
//! Bjøntegaard (VCEG-M33, 2001): the mean horizontal (rate, in log10) or vertical
//! (quality) distance of two curves, over the interval of the other coordinate
//! that both cover. His cubic fit oscillates; the pieces here are either PCHIP
//! (Fritsch and Butland 1984; SciPy's `PchipInterpolator`) or Akima's (1970; recommended by Herglotz et al. 2022;
//! SciPy's `Akima1DInterpolator`). They are integrated exactly, over the common
//! interval only: nothing is extrapolated.

use super::interpolate::Cubic;
use super::{Bootstrap, Clusters, Curve, Interval, Point, wrong};
use afferent_media::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a curve runs between its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interpolation {
    /// Monotone cubics; a straight line between two points.
    Pchip,
    /// Akima's cubics: smoother, not monotone where points turn sharply.
    Akima,
}

impl Interpolation {
    /// The fewest points of a curve: 2 for PCHIP; 4, Bjøntegaard's number, for
    /// Akima, whose slopes are a guess from less.
    #[must_use]
    pub const fn least_points(self) -> usize {
        match self {
            Self::Pchip => 2,
            Self::Akima => 4,
        }
    }
}

/// The mean difference of two curves, test less anchor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Mean difference: log10 of rate for [`bd_rate`], quality for [`bd_quality`].
    pub mean: f64,
    /// Where the common interval starts: quality for [`bd_rate`], log10 of rate
    /// for [`bd_quality`].
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// The common interval as a share of what either curve covers, 0 to 1:
    /// the mean over little of it says little of the whole.
    pub overlap: f64,
}

impl Delta {
    /// The rate difference of a [`bd_rate`] in percent, (10^mean − 1) · 100:
    /// negative if the test needs less than the anchor; above −100.
    #[must_use]
    pub fn percent(&self) -> f64 {
        percent(self.mean)
    }
}

fn percent(log10: f64) -> f64 {
    (log10 * std::f64::consts::LN_10).exp_m1() * 100.0
}

/// The rate that `test` takes beside `anchor` at equal quality: the mean over the
/// common qualities of log10 rate of `test` less that of `anchor`. The exchange of
/// the two changes its sign.
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config) if a curve has too few points
/// ([`Interpolation::least_points`]), no range of quality is common to both, or
/// the values are too far apart for 64-bit floats.
pub fn bd_rate(anchor: &Curve, test: &Curve, how: Interpolation) -> Result<Delta> {
    delta(how, "quality", [anchor, test].map(|curve| (&curve.quality[..], &curve.log_rate[..])))
}

/// The quality that `test` yields beside `anchor` at equal rate: the mean over the
/// common log10 rates of the quality of `test` less that of `anchor`.
///
/// # Errors
/// As of [`bd_rate`], for the range of rate.
pub fn bd_quality(anchor: &Curve, test: &Curve, how: Interpolation) -> Result<Delta> {
    delta(how, "rate", [anchor, test].map(|curve| (&curve.log_rate[..], &curve.quality[..])))
}

fn delta(how: Interpolation, along: &str, curves: [(&[f64], &[f64]); 2]) -> Result<Delta> {
    for (x, _) in curves {
        if x.len() < how.least_points() {
            return Err(wrong(
                format!("{how:?} interpolation of a curve of {} points", x.len()),
                "measure at least 2 points for PCHIP, 4 for Akima, each better than every cheaper one",
            ));
        }
    }
    let Some((from, to)) = common(curves.map(|(x, _)| x)) else {
        return Err(wrong(
            format!("the curves have no range of {along} in common"),
            "measure both codecs over the same range; nothing is extrapolated",
        ));
    };
    let [anchor, test] = curves.map(|(x, y)| Cubic::new(x, y, how).integral(from, to) / (to - from));
    let mean = test - anchor;
    if !mean.is_finite() {
        return Err(out_of_range());
    }
    let [(a, _), (b, _)] = curves;
    let either = a[a.len() - 1].max(b[b.len() - 1]) - a[0].min(b[0]);
    Ok(Delta { mean, from, to, overlap: (to - from) / either })
}

pub(super) fn out_of_range() -> Error {
    wrong("the points lie too near or too far apart for 64-bit floats", "give rates and qualities in ordinary units")
}

/// The interval that two rising sequences both cover.
fn common(x: [&[f64]; 2]) -> Option<(f64, f64)> {
    let from = x[0].first()?.max(*x[1].first()?);
    let to = x[0].last()?.min(*x[1].last()?);
    (from < to).then_some((from, to))
}

/// The points of one sample under both codecs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contest {
    /// What the anchor did to it.
    pub anchor: Vec<Point>,
    /// What the codec under test did to it.
    pub test: Vec<Point>,
}

/// The mean of a Bjøntegaard delta-rate over samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerSample {
    /// Mean of the log10 rate differences; the exchange of the codecs changes its
    /// sign. `n` counts the samples used.
    pub log10: Interval,
    /// Arithmetic mean of the samples' percentages, as usually reported; large
    /// losses weigh more than large gains.
    pub percent: Interval,
    /// Samples left out because their curves have no quality in common.
    pub no_overlap: u64,
    /// Samples left out because a curve has too few points, dominated ones not
    /// counted.
    pub too_few_points: u64,
}

impl PerSample {
    /// The geometric mean of the rate ratios, less one, in percent.
    #[must_use]
    pub fn geometric_percent(&self) -> Interval {
        self.log10.map(percent)
    }
}

/// The delta-rate of every sample by [`bd_rate`] on the [fronts](Curve::front) of
/// its points, averaged, with bootstrap intervals over the samples used. Samples
/// without a delta are counted, never dropped in silence: a mean over what
/// overlaps says nothing about the rest.
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config) if a sample has a bad point
/// ([`Curve::front`], naming both), fewer than two clusters have a delta, or
/// `clusters` are of another number of samples.
pub fn per_sample(
    samples: &[Contest],
    how: Interpolation,
    clusters: &Clusters,
    bootstrap: &Bootstrap,
) -> Result<PerSample> {
    clusters.expect_samples(samples.len())?;
    let (mut used, mut log10) = (Vec::new(), Vec::new());
    let (mut no_overlap, mut too_few_points) = (0, 0);
    for (number, sample) in samples.iter().enumerate() {
        let curve = |points: &[Point]| Curve::front(points).map_err(|error| error.at(format!("sample {number}")));
        let (anchor, test) = (curve(&sample.anchor)?, curve(&sample.test)?);
        if anchor.points().min(test.points()) < how.least_points() {
            too_few_points += 1;
        } else if common([&anchor.quality, &test.quality]).is_none() {
            no_overlap += 1;
        } else {
            used.push(number);
            log10.push(bd_rate(&anchor, &test, how).map_err(|error| error.at(format!("sample {number}")))?.mean);
        }
    }
    let clusters = clusters.select(&used);
    let percents: Vec<f64> = log10.iter().copied().map(percent).collect();
    let left_out =
        |error: Error| error.at(format!("{no_overlap} samples without overlap, {too_few_points} with too few points"));
    let [log10, percent] = [&log10, &percents].map(|values| bootstrap.mean(&clusters, values).map_err(left_out));
    Ok(PerSample { log10: log10?, percent: percent?, no_overlap, too_few_points })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Interpolation; 2] = [Interpolation::Pchip, Interpolation::Akima];

    fn curve(points: &[(f64, f64)]) -> Curve {
        Curve::new(&points.iter().copied().map(Point::from).collect::<Vec<_>>()).unwrap()
    }

    fn scaled(by: f64) -> Curve {
        curve(&[(0.1, 30.0), (0.2, 33.0), (0.4, 35.5), (0.9, 38.0)].map(|(rate, quality)| (rate * by, quality)))
    }

    #[test]
    fn twice_the_rate_is_a_hundred_percent() {
        for how in BOTH {
            let double = bd_rate(&scaled(1.0), &scaled(2.0), how).unwrap();
            assert!((double.percent() - 100.0).abs() < 1e-9 && (double.from, double.to) == (30.0, 38.0), "{double:?}");
            assert!(bd_rate(&scaled(1.0), &scaled(1.0), how).unwrap().percent() == 0.0);
            assert!(bd_quality(&scaled(1.0), &scaled(2.0), how).unwrap().mean < 0.0);
        }
    }

    #[test]
    fn nothing_is_extrapolated_and_nothing_made_of_too_little() {
        let above = curve(&[(0.1, 38.0), (0.2, 40.0), (0.4, 41.0), (0.9, 42.0)]);
        let one = curve(&[(0.2, 35.0)]);
        for how in BOTH {
            assert!(bd_rate(&scaled(1.0), &above, how).unwrap_err().what().contains("quality in common"));
            assert!(bd_quality(&scaled(1.0), &scaled(9.0), how).unwrap_err().what().contains("rate in common"));
            for (a, b) in [(&scaled(1.0), &one), (&one, &scaled(1.0)), (&Curve::front(&[]).unwrap(), &one)] {
                assert!(bd_rate(a, b, how).unwrap_err().what().contains("points"));
            }
        }
        let three = curve(&[(0.1, 30.0), (0.2, 33.0), (0.4, 35.5)]);
        assert!(bd_rate(&three, &three, Interpolation::Akima).is_err());
        assert!(bd_rate(&three, &three, Interpolation::Pchip).is_ok());
        let wild = curve(&[(1.0, -f64::MAX), (2.0, f64::MAX)]);
        assert!(bd_rate(&wild, &wild, Interpolation::Pchip).unwrap_err().what().contains("64-bit"));
    }

    #[test]
    fn samples_without_a_delta_are_counted() {
        let points = |points: &[(f64, f64)]| points.iter().copied().map(Point::from).collect::<Vec<_>>();
        let good = |by: f64| Contest {
            anchor: points(&[(1.0, 1.0), (2.0, 2.0), (3.0, 1.5)]),
            test: points(&[(by, 1.0), (2.0 * by, 2.0)]),
        };
        let apart = Contest { test: points(&[(1.0, 5.0), (2.0, 6.0)]), ..good(1.0) };
        let flat = Contest { test: points(&[(1.0, 1.0), (2.0, 1.0)]), ..good(1.0) };
        let samples = [good(2.0), apart, good(0.5), flat, Contest::default()];
        let (clusters, bootstrap) = (Clusters::each(5), Bootstrap::new(1));
        let mean = per_sample(&samples, Interpolation::Pchip, &clusters, &bootstrap).unwrap();
        assert_eq!((mean.log10.n, mean.no_overlap, mean.too_few_points), (2, 1, 2));
        assert!(mean.log10.estimate.abs() < 1e-12 && (mean.percent.estimate - 25.0).abs() < 1e-9, "{mean:?}");
        assert!(mean.geometric_percent().estimate.abs() < 1e-9);

        let error = per_sample(&samples[..2], Interpolation::Pchip, &Clusters::each(2), &bootstrap).unwrap_err();
        assert!(error.what().starts_with("1 samples without overlap"), "{error}");
        assert!(per_sample(&samples, Interpolation::Pchip, &Clusters::each(4), &bootstrap).is_err());
        let bad = [good(1.0), Contest { test: points(&[(0.0, 1.0)]), ..good(1.0) }];
        let error = per_sample(&bad, Interpolation::Pchip, &Clusters::each(2), &bootstrap).unwrap_err();
        assert!(error.what().starts_with("sample 1: point 0"), "{error}");
    }

    fn rising() -> impl Strategy<Value = Curve> {
        let steps = prop::collection::vec((0.05..1.0f64, 0.1..3.0f64), 4..8);
        (0.01..1.0f64, 25.0..30.0f64, steps).prop_map(|(mut rate, mut quality, steps)| {
            let mut points = Vec::new();
            for (ratio, rise) in steps {
                rate *= 1.0 + ratio;
                quality += rise;
                points.push((rate, quality));
            }
            curve(&points)
        })
    }

    proptest! {
        #[test]
        fn exchange_changes_the_sign(a in rising(), b in rising(), by in 0.1..10.0f64) {
            for how in BOTH {
                if let (Ok(there), Ok(back)) = (bd_rate(&a, &b, how), bd_rate(&b, &a, how)) {
                    prop_assert_eq!(there.mean, -back.mean);
                    prop_assert!(there.percent() > -100.0);
                }
                let mut scaled = a.clone();
                scaled.log_rate.iter_mut().for_each(|log| *log += by.log10());
                let shift = bd_rate(&a, &scaled, how).unwrap();
                prop_assert!((shift.mean - by.log10()).abs() < 1e-9);
            }
        }
    }
}
