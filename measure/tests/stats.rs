//! Statistics against their reference implementations: `golden/stats.py` wrote
//! `golden/stats.json`, the sets and the answers.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use afferent_measure::stats::bd::{Contest, Interpolation, bd_quality, bd_rate, per_sample};
use afferent_measure::stats::curve::{hull, pareto_front};
use afferent_measure::stats::equal_quality::{Reach, Setting, Sweep, rate_at, rate_at_interval, rate_ratio};
use afferent_measure::stats::paired::Pairs;
use afferent_measure::stats::{Bootstrap, Clusters, Curve, Interval, Point, auc, correlation};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

fn golden<T: for<'a> Deserialize<'a>>(part: &str) -> Vec<T> {
    let all: Value = serde_json::from_str(include_str!("../golden/stats.json")).unwrap();
    serde_json::from_value(all[part].clone()).unwrap()
}

/// Equal to 1e-9 of the greater, or to 1e-12 around zero.
fn near(ours: f64, theirs: f64, what: &str) {
    let apart = (ours - theirs).abs();
    assert!(apart <= 1e-9 * theirs.abs() || theirs.abs() < 1e-3 && apart <= 1e-12, "{what}: {ours}, not {theirs}");
}

fn near_interval(ours: Interval, estimate: f64, [low, high]: [f64; 2], what: &str) {
    near(ours.estimate, estimate, what);
    near(ours.low, low, what);
    near(ours.high, high, what);
}

#[derive(Deserialize)]
struct Ratio {
    amount: Vec<f64>,
    per: Vec<f64>,
    clusters: Vec<u32>,
    seed: u64,
    resamples: u32,
    estimate: f64,
    interval: [f64; 2],
}

#[test]
fn bootstrap_intervals_are_those_of_literal_resamples() {
    for case in golden::<Ratio>("bootstrap") {
        let bootstrap = Bootstrap { seed: case.seed, resamples: case.resamples };
        let clusters = Clusters::by(&case.clusters);
        let total = |weights: &[u32], values: &[f64]| -> f64 {
            weights.iter().zip(values).map(|(&weight, value)| f64::from(weight) * value).sum()
        };
        let ratio = |weights: &[u32]| Some(total(weights, &case.amount) / total(weights, &case.per));
        let interval = bootstrap.interval(&clusters, ratio).unwrap();
        near_interval(interval, case.estimate, case.interval, "ratio");
        assert_eq!((interval.n, interval.small()), (45, clusters.count() < 30));
    }
}

#[derive(Deserialize)]
struct Paired {
    both: u32,
    b: u32,
    c: u32,
    neither: u32,
    p: f64,
    mid_p: f64,
    low: f64,
    high: f64,
}

#[test]
fn paired_figures_are_those_of_statsmodels() {
    for Paired { both, b, c, neither, p, mid_p, low, high } in golden("paired") {
        let pairs = Pairs { both, only_first: b, only_second: c, neither };
        let what = format!("{pairs:?}");
        let (test, difference) = (pairs.mcnemar(), pairs.difference().unwrap());
        assert!((test.p - p).abs() <= 1e-9 * p && (test.mid_p - mid_p).abs() <= 1e-9 * mid_p, "{what}: {test:?}");
        near(difference.low, low, &what);
        near(difference.high, high, &what);
    }
}

#[derive(Deserialize)]
struct Correlated {
    x: Vec<f64>,
    y: Vec<f64>,
    spearman: f64,
    kendall: f64,
    spearman_interval: Option<[f64; 2]>,
    kendall_interval: Option<[f64; 2]>,
}

#[test]
fn correlations_are_those_of_scipy() {
    for Correlated { x, y, spearman, kendall, spearman_interval, kendall_interval } in golden("correlation") {
        near(correlation::spearman(&x, &y).unwrap(), spearman, "rho");
        near(correlation::kendall(&x, &y).unwrap(), kendall, "tau");
        let (clusters, bootstrap) = (Clusters::each(x.len()), Bootstrap { seed: 7, resamples: 300 });
        if let Some(interval) = spearman_interval {
            let ours = correlation::spearman_interval(&x, &y, &clusters, &bootstrap).unwrap();
            near_interval(ours, spearman, interval, "rho");
        }
        if let Some(interval) = kendall_interval {
            let ours = correlation::kendall_interval(&x, &y, &clusters, &bootstrap).unwrap();
            near_interval(ours, kendall, interval, "tau");
        }
    }
}

#[derive(Deserialize)]
struct Scored {
    score: Vec<f64>,
    positive: Vec<bool>,
    clusters: Vec<u32>,
    auc: f64,
    interval: [f64; 2],
}

#[test]
fn areas_are_those_of_mann_and_whitney_in_scipy() {
    for Scored { score, positive, clusters, auc, interval } in golden("auc") {
        near(auc::auc(&score, &positive).unwrap(), auc, "area");
        let bootstrap = Bootstrap { seed: 3, resamples: 500 };
        let ours = auc::auc_interval(&score, &positive, &Clusters::by(&clusters), &bootstrap).unwrap();
        near_interval(ours, auc, interval, "area");
    }
}

#[derive(Deserialize)]
struct Bjontegaard {
    anchor: Vec<(f64, f64)>,
    test: Vec<(f64, f64)>,
    pchip_rate: f64,
    pchip_quality: f64,
    pchip_percent: f64,
    akima_rate: f64,
    akima_quality: f64,
    akima_percent: f64,
}

#[test]
fn deltas_are_those_of_scipy_and_of_bjontegaard() {
    let cases = golden::<Bjontegaard>("bd");
    assert_eq!(cases.len(), 9);
    for case in cases {
        let curve =
            |points: &[(f64, f64)]| Curve::new(&points.iter().copied().map(Point::from).collect::<Vec<_>>()).unwrap();
        let (anchor, test) = (curve(&case.anchor), curve(&case.test));
        for (how, rate, quality, percent) in [
            (Interpolation::Pchip, case.pchip_rate, case.pchip_quality, case.pchip_percent),
            (Interpolation::Akima, case.akima_rate, case.akima_quality, case.akima_percent),
        ] {
            let what = format!("{how:?} of {:?} and {:?}", case.anchor, case.test);
            let delta = bd_rate(&anchor, &test, how).unwrap();
            near(delta.mean, rate, &what);
            near(delta.percent(), percent, &what);
            near(bd_quality(&anchor, &test, how).unwrap().mean, quality, &what);
            assert!(0.0 < delta.overlap && delta.overlap <= 1.0);
        }
    }
}

#[derive(Deserialize)]
struct EqualQuality {
    pixels: Vec<f64>,
    quality: f64,
    first: Vec<[Vec<f64>; 2]>,
    second: Vec<[Vec<f64>; 2]>,
    rate: f64,
    rate_interval: [f64; 2],
    ratio: f64,
    ratio_interval: [f64; 2],
}

#[test]
fn rates_at_equal_quality_are_those_of_literal_resamples() {
    for case in golden::<EqualQuality>("equal_quality") {
        let sweep = |settings: Vec<[Vec<f64>; 2]>| {
            let setting = |[amount, quality]: [Vec<f64>; 2]| Setting { amount, per: case.pixels.clone(), quality };
            Sweep::new(settings.into_iter().map(setting).collect()).unwrap()
        };
        let (first, second) = (sweep(case.first), sweep(case.second));
        let (clusters, bootstrap) = (Clusters::each(case.pixels.len()), Bootstrap { seed: 9, resamples: 500 });
        let rate = rate_at_interval(case.quality, &clusters, &bootstrap, |weights| first.points(weights)).unwrap();
        near_interval(rate.rate().unwrap(), case.rate, case.rate_interval, "rate");
        let ratio = rate_ratio(case.quality, &clusters, &bootstrap, |w| first.points(w), |w| second.points(w)).unwrap();
        near_interval(ratio, case.ratio, case.ratio_interval, "ratio");
    }
}

/// Any float at all, and often one of a few, so that ties occur.
fn float() -> impl Strategy<Value = f64> {
    use prop::num::f64;
    prop_oneof![
        1 => f64::ANY,
        6 => f64::POSITIVE | f64::NORMAL | f64::SUBNORMAL,
        6 => prop::sample::select(vec![0.0, -0.0, 1.0, 2.0, 3.0, 1e-310, 1.7e308]),
        12 => 0.1..10.0f64,
    ]
}

proptest! {
    #[test]
    fn no_input_makes_a_panic_or_a_figure_that_is_none(
        a in prop::collection::vec((float(), float()), 0..9),
        b in prop::collection::vec((float(), float()), 0..9),
        quality in float(),
    ) {
        let (x, y): (Vec<f64>, Vec<f64>) = a.iter().copied().unzip();
        let positive: Vec<bool> = y.iter().map(|y| *y > 1.0).collect();
        let (clusters, bootstrap) = (Clusters::each(a.len()), Bootstrap { seed: 1, resamples: 100 });
        let intervals = [
            auc::auc_interval(&x, &positive, &clusters, &bootstrap),
            correlation::spearman_interval(&x, &y, &clusters, &bootstrap),
            correlation::kendall_interval(&x, &y, &clusters, &bootstrap),
            bootstrap.mean(&clusters, &x),
        ];
        for interval in intervals.into_iter().flatten() {
            prop_assert!([interval.estimate, interval.low, interval.high].iter().all(|end| end.is_finite()));
        }

        let [a, b] = [a, b].map(|points| points.into_iter().map(Point::from).collect::<Vec<_>>());
        let _ = (pareto_front(&a), hull(&a), Curve::new(&a));
        if let Ok(Reach::Rate(rate)) = rate_at(&a, quality) {
            prop_assert!(rate.is_finite());
        }
        for how in [Interpolation::Pchip, Interpolation::Akima] {
            if let (Ok(anchor), Ok(test)) = (Curve::front(&a), Curve::front(&b)) {
                for delta in [bd_rate(&anchor, &test, how), bd_quality(&anchor, &test, how)].into_iter().flatten() {
                    prop_assert!(delta.mean.is_finite() && (0.0..=1.0).contains(&delta.overlap), "{delta:?}");
                }
            }
            let samples = vec![Contest { anchor: a.clone(), test: b.clone() }; 3];
            let _ = per_sample(&samples, how, &Clusters::each(3), &bootstrap);
        }
        let setting = Setting { amount: x.clone(), per: y.clone(), quality: x };
        if let Ok(sweep) = Sweep::new(vec![setting.clone(), setting]) {
            let points = |weights: &[u32]| sweep.points(weights);
            let _ = rate_at_interval(quality, &clusters, &bootstrap, points);
            let _ = rate_ratio(quality, &clusters, &bootstrap, points, points);
        }
    }
}
