//! Operating points, and which of them are worth having.
//!
//! Rates are in any one unit above zero (bits per pixel, bit/s), qualities in any
//! in which more is better. A codec with many presets competes with the points of
//! all of them together, of which the [front](pareto_front) or the [hull] is kept.

use super::wrong;
use afferent_media::{Error, Result};
use serde::{Deserialize, Serialize};

/// One operating point: what was spent and what it bought.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Rate, in any one unit.
    pub rate: f64,
    /// Quality, more is better.
    pub quality: f64,
}

impl Point {
    /// A point of this `rate` and `quality`.
    #[must_use]
    pub const fn new(rate: f64, quality: f64) -> Self {
        Self { rate, quality }
    }
}

impl From<(f64, f64)> for Point {
    /// Rate first.
    fn from((rate, quality): (f64, f64)) -> Self {
        Self { rate, quality }
    }
}

/// The points that no other point dominates, by ascending rate: their numbers in
/// `points`. A point is dominated if another has no higher rate and no lower
/// quality and is better in one of the two; of equal points the first is kept.
/// Rates and qualities on the front both rise strictly. In O(n log n).
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config), naming the point, if a rate or
/// quality is not a number.
pub fn pareto_front(points: &[Point]) -> Result<Vec<usize>> {
    check(points, "is not a number", |point| !point.rate.is_nan() && !point.quality.is_nan())?;
    let mut front = by_rate(points);
    let mut best = None;
    front.retain(|&point| {
        let quality = points[point].quality;
        let better = best.is_none_or(|best| quality > best);
        if better {
            best = Some(quality);
        }
        better
    });
    Ok(front)
}

/// The upper concave hull of the front, by ascending rate: the numbers in
/// `points` of those that no mixture of two others beats, a mixture being some
/// samples coded the one way and some the other, so that both rate and quality
/// average. Linear in rate. Points on a line between two others are left out,
/// except the ends. By the monotone chain (Andrew 1979), in O(n log n).
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config), naming the point, if a rate or
/// quality is not finite.
pub fn hull(points: &[Point]) -> Result<Vec<usize>> {
    check(points, "is not finite", |point| point.rate.is_finite() && point.quality.is_finite())?;
    let mut hull: Vec<usize> = Vec::new();
    for next in pareto_front(points)? {
        while let [.., a, b] = hull[..] {
            let (a, b, c) = (points[a], points[b], points[next]);
            // Slopes, not cross products, which overflow sooner.
            if (b.quality - a.quality) / (b.rate - a.rate) > (c.quality - b.quality) / (c.rate - b.rate) {
                break;
            }
            hull.pop();
        }
        hull.push(next);
    }
    Ok(hull)
}

/// A codec's rate–quality curve: points at which rate and quality both rise.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub(super) log_rate: Vec<f64>,
    pub(super) quality: Vec<f64>,
    dropped: usize,
}

impl Curve {
    /// The curve through all `points`, given in any order.
    ///
    /// # Errors
    /// [`Code::Config`](afferent_media::Code::Config), naming the points, if a
    /// rate is not above zero or anything is not finite, and if quality does not
    /// rise strictly with rate: two points of one rate or one quality, or a lower
    /// quality at a higher rate.
    pub fn new(points: &[Point]) -> Result<Self> {
        check_curve(points)?;
        let order = by_rate(points);
        for pair in order.windows(2) {
            let (Point { rate, quality }, next) = (points[pair[0]], points[pair[1]]);
            if rate >= next.rate || quality >= next.quality {
                return Err(wrong(
                    format!(
                        "quality does not rise with rate from point {} ({rate}, {quality}) to point {} ({}, {})",
                        pair[0], pair[1], next.rate, next.quality
                    ),
                    "measure more samples, or keep only the front of the points and say so",
                ));
            }
        }
        Ok(Self::through(points, &order))
    }

    /// The curve through the [front](pareto_front) of `points`: a point that
    /// costs more than another without being better is left out, and
    /// [counted](Self::dropped). Of noisy points the front is biased upwards: it
    /// is what one would choose, having seen them.
    ///
    /// # Errors
    /// [`Code::Config`](afferent_media::Code::Config), naming the point, if a
    /// rate is not above zero or anything is not finite.
    pub fn front(points: &[Point]) -> Result<Self> {
        check_curve(points)?;
        Ok(Self::through(points, &pareto_front(points)?))
    }

    fn through(points: &[Point], order: &[usize]) -> Self {
        let (log_rate, quality) =
            order.iter().map(|&point| (points[point].rate.log10(), points[point].quality)).unzip();
        Self { log_rate, quality, dropped: points.len() - order.len() }
    }

    /// Number of points on the curve.
    #[must_use]
    pub fn points(&self) -> usize {
        self.quality.len()
    }

    /// Number of points left out because another dominates them.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

/// Ascending in rate; at one rate the best first, of equal points the first.
fn by_rate(points: &[Point]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (points[a], points[b]);
        (a.rate + 0.0).total_cmp(&(b.rate + 0.0)).then((b.quality + 0.0).total_cmp(&(a.quality + 0.0)))
    });
    order
}

fn check(points: &[Point], fault: &str, good: impl Fn(&Point) -> bool) -> Result<()> {
    points.iter().position(|point| !good(point)).map_or(Ok(()), |bad| Err(fault_at(points, bad, fault)))
}

pub(super) fn check_curve(points: &[Point]) -> Result<()> {
    check(points, "has no finite quality at a finite rate above zero", |point| {
        point.rate > 0.0 && point.rate.is_finite() && point.quality.is_finite()
    })
}

fn fault_at(points: &[Point], bad: usize, fault: &str) -> Error {
    let Point { rate, quality } = points[bad];
    wrong(
        format!("point {bad} (rate {rate}, quality {quality}) {fault}"),
        "leave the point out and say so, or choose a bounded measure of quality",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(points: &[(f64, f64)]) -> Vec<Point> {
        points.iter().copied().map(Point::from).collect()
    }

    #[test]
    fn the_front_keeps_what_nothing_beats() {
        let all = points(&[(3.0, 5.0), (1.0, 2.0), (2.0, 2.0), (1.0, 1.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.5)]);
        assert_eq!(pareto_front(&all).unwrap(), [1, 4, 0]);
        assert!(pareto_front(&[]).unwrap().is_empty() && hull(&[]).unwrap().is_empty());
        assert_eq!(pareto_front(&points(&[(0.0, 1.0), (-0.0, 1.0)])).unwrap(), [0]);
        assert_eq!(pareto_front(&points(&[(9.0, f64::INFINITY)])).unwrap(), [0], "an exact copy has endless PSNR");
        let error = pareto_front(&points(&[(1.0, 1.0), (f64::NAN, 1.0)])).unwrap_err();
        assert!(error.what().starts_with("point 1 "), "{error}");
    }

    #[test]
    fn the_hull_keeps_what_no_mixture_beats() {
        // The third lies under the line from the second to the fourth, the fifth on one.
        let all = points(&[(1.0, 0.0), (2.0, 4.0), (3.0, 4.5), (4.0, 8.0), (5.0, 9.0), (6.0, 10.0)]);
        assert_eq!(hull(&all).unwrap(), [0, 1, 3, 5]);
        assert_eq!(hull(&all[..1]).unwrap(), [0]);
        assert!(hull(&points(&[(1.0, f64::INFINITY)])).unwrap_err().what().contains("not finite"));
    }

    #[test]
    fn a_curve_rises_or_says_where_it_does_not() {
        let bumpy = points(&[(4.0, 3.0), (1.0, 1.0), (2.0, 2.0), (3.0, 1.5)]);
        let error = Curve::new(&bumpy).unwrap_err();
        assert!(error.what().contains("from point 2 (2, 2) to point 3 (3, 1.5)"), "{error}");
        let front = Curve::front(&bumpy).unwrap();
        assert_eq!((front.points(), front.dropped()), (3, 1));
        for bad in [(0.0, 1.0), (-1.0, 1.0), (f64::INFINITY, 1.0), (1.0, f64::INFINITY), (1.0, f64::NAN)] {
            assert!(Curve::new(&points(&[bad])).is_err() && Curve::front(&points(&[bad])).is_err(), "{bad:?}");
        }
        for equal in [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)] {
            assert!(Curve::new(&points(&[(1.0, 1.0), equal])).is_err(), "{equal:?}");
        }
    }

    proptest! {
        #[test]
        fn every_point_is_on_the_front_or_beaten(all in prop::collection::vec((0u8..12, 0u8..12), 0..30)) {
            let all: Vec<Point> = all.iter().map(|&(r, q)| Point::new(r.into(), q.into())).collect();
            let front = pareto_front(&all).unwrap();
            let hull = hull(&all).unwrap();
            prop_assert!(hull.iter().all(|point| front.contains(point)));
            prop_assert!(front.first() == hull.first() && front.last() == hull.last());
            for pair in front.windows(2) {
                prop_assert!(all[pair[0]].rate < all[pair[1]].rate && all[pair[0]].quality < all[pair[1]].quality);
            }
            for point in 0..all.len() {
                let held = |&f: &usize| all[f].rate <= all[point].rate && all[f].quality >= all[point].quality;
                prop_assert!(front.iter().any(held));
            }
        }
    }
}
