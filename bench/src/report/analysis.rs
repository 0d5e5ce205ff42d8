//! From a data set's small rows to figures of its operating points, with intervals.

use super::figure::{Figure, Statistic};
use super::grid::Value;
use super::quality::METRICS;
use super::rows::{Coded, ENCODE, Point, Seen, Set, TIMES};
use afferent_measure::metrics::image::psnr_db;
use afferent_measure::stats::{Bootstrap, Clusters, Mean, Proportion, Rate, Sorted};
use afferent_media::{Code, Error, Modality, Result};
use std::num::NonZero;

/// Median and 95th percentile.
pub(crate) type Times = Option<(f64, f64)>;

/// What coding a data set at one operating point cost and kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coding {
    pub(crate) n: u64,
    pub(crate) failures: u64,
    /// In the set's unit of rate: bits per pixel, or kilobits per second.
    pub(crate) codec: Rate,
    pub(crate) header_free: Rate,
    pub(crate) storage: Rate,
    pub(crate) transmit: Rate,
    pub(crate) lossless: bool,
    pub(crate) psnr_pooled: Option<f64>,
    pub(crate) metrics: [Option<f64>; METRICS.len()],
    /// Milliseconds in the order of [`TIMES`].
    pub(crate) times: [Times; TIMES.len()],
    /// Milliseconds to resize and encode per megapixel of the source, or per second of sound.
    pub(crate) encode_per: Times,
}

impl Coding {
    /// The figures of `point` on `set`.
    pub(crate) fn of(set: &Set, point: &Point) -> Self {
        // Rates are bits per pixel, or bits per millisecond: kilobits per second.
        let (unit, cost) = match set.key.modality {
            Modality::Image => (1.0, 1e6),
            Modality::Audio => (1e3, 1.0),
        };
        let mut out = Self { n: point.coded.len() as u64, ..Self::default() };
        let (mut sse, mut values, mut identical, mut compared) = (0u64, 0u64, 0u64, 0u64);
        let mut means = [Mean::default(); METRICS.len()];
        let mut times: [Vec<f64>; TIMES.len()] = Default::default();
        let mut encode_per = Vec::new();
        for coded in &point.coded {
            let per = set.samples[coded.sample as usize].per;
            out.failures += u64::from(coded.failed);
            if coded.arrived() {
                let content = 8.0 * f64::from(coded.content);
                let stored = coded.bits() + 8.0 * f64::from(coded.container);
                out.header_free.add(content, unit * per);
                out.codec.add(coded.bits(), unit * per);
                out.storage.add(stored, unit * per);
                out.transmit.add(stored + 8.0 * f64::from(coded.transport), unit * per);
            }
            if let Some((errors, over)) = coded.sse {
                sse = sse.saturating_add(errors);
                values = values.saturating_add(over);
                compared += 1;
                identical += u64::from(errors == 0);
            }
            for (mean, value) in means.iter_mut().zip(coded.metrics) {
                mean.add(f64::from(value));
            }
            for (times, time) in times.iter_mut().zip(coded.times) {
                times.push(f64::from(time));
            }
            if per > 0.0 {
                // The time of encoding has that of resizing in it.
                encode_per.push(f64::from(coded.times[ENCODE]) * cost / per);
            }
        }
        out.lossless = compared > 0 && identical == compared;
        out.psnr_pooled = Some(psnr_db(sse, values)).filter(|psnr| psnr.is_finite());
        out.metrics = means.map(|mean| mean.value());
        out.times = times.map(quantiles);
        out.encode_per = quantiles(encode_per);
        out
    }
}

fn quantiles(times: Vec<f64>) -> Times {
    let sorted: Sorted = times.into_iter().collect();
    sorted.p50().zip(sorted.p95())
}

/// The times of inference of one model at one operating point.
pub(crate) fn inference(seen: &[Seen]) -> Times {
    quantiles(seen.iter().map(|seen| f64::from(seen.infer_ms)).collect())
}

/// A figure of the whole set, and of each resample of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resampled {
    pub(crate) whole: f64,
    pub(crate) drawn: Vec<f64>,
}

impl Resampled {
    /// The ends of the 95 % percentile interval (type 7); `None` without
    /// resamples, if more than one in twenty lacks the figure, or if it would end
    /// beyond what was measured.
    pub(crate) fn interval(&self) -> Option<(f64, f64)> {
        let mut drawn: Vec<f64> = self.drawn.iter().copied().filter(|value| !value.is_nan()).collect();
        if drawn.is_empty() || 20 * (self.drawn.len() - drawn.len()) > self.drawn.len() {
            return None;
        }
        drawn.sort_unstable_by(f64::total_cmp);
        // Values beyond what was measured keep their places in the order.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let end = |probability: f64| {
            let place = (drawn.len() - 1) as f64 * probability;
            let (low, high) = (drawn[place.floor() as usize], drawn[place.ceil() as usize]);
            Some(if low == high { low } else { low + place.fract() * (high - low) }).filter(|end| end.is_finite())
        };
        // All draws alike, as at 0 and 100 %: that is no certainty.
        Some((end(0.025)?, end(0.975)?)).filter(|(low, high)| low < high)
    }

    /// A function of figures, of the whole set and of each resample: `f` is handed
    /// the figures of one draw.
    pub(crate) fn fold(of: &[&Self], f: impl Fn(&[f64]) -> f64) -> Self {
        let length = of.iter().map(|figure| figure.drawn.len()).min().unwrap_or(0);
        let mut values: Vec<f64> = of.iter().map(|figure| figure.whole).collect();
        let whole = f(&values);
        let drawn = (0..length)
            .map(|draw| {
                values.clear();
                values.extend(of.iter().map(|figure| figure.drawn[draw]));
                f(&values)
            })
            .collect();
        Self { whole, drawn }
    }
}

/// What resampling gives of one operating point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draws {
    /// Codec rate, total over total.
    pub(crate) rate: Resampled,
    /// Means of the [`METRICS`].
    pub(crate) metrics: Vec<Resampled>,
    /// The figures that were asked for.
    pub(crate) figures: Vec<Resampled>,
}

/// The figures of `model` at all operating points of `set`, each of the whole set
/// and of every resample. All points see the same draws, so that what they have
/// in common cancels where they are compared.
pub(crate) fn draw(set: &Set, model: usize, figures: &[Figure], bootstrap: &Bootstrap) -> Result<Vec<Draws>> {
    let clusters = clusters(set);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    // So few points at a time that their samples stay near while resamples pass.
    let chunks: Vec<&[Point]> = set.points.chunks(8).collect();
    let share = chunks.len().div_ceil(threads).max(1);
    let results: Vec<Result<Vec<Draws>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = chunks
            .chunks(share)
            .map(|chunks| {
                let clusters = &clusters;
                scope.spawn(move || {
                    let mut draws = Vec::new();
                    for points in chunks {
                        draws.extend(draw_chunk(set, points, model, figures, clusters, bootstrap)?);
                    }
                    Ok(draws)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(stopped()))).collect()
    });
    let mut draws = Vec::with_capacity(set.points.len());
    for result in results {
        draws.extend(result?);
    }
    Ok(draws)
}

fn stopped() -> Error {
    Error::new(Code::Internal, "a worker of the report stopped", "report this")
}

/// The fewest independent clusters that are resampled: of fewer there are too few
/// different resamples to speak of an interval.
pub(crate) const LEAST_CLUSTERS: usize = 5;

/// The independent clusters of a set's samples.
pub(crate) fn clusters(set: &Set) -> Clusters {
    Clusters::by(set.samples.iter().map(|sample| sample.cluster))
}

fn draw_chunk(
    set: &Set,
    points: &[Point],
    model: usize,
    figures: &[Figure],
    clusters: &Clusters,
    bootstrap: &Bootstrap,
) -> Result<Vec<Draws>> {
    let mut statistics: Vec<Statistic<'_>> = Vec::new();
    for point in points {
        statistics.push(rate(set, &point.coded));
        statistics.extend((0..METRICS.len()).map(|metric| mean(&point.coded, metric)));
        statistics.extend(figures.iter().map(|figure| figure.statistic(&point.seen[model])));
    }
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); statistics.len()];
    let mut keep = |weights: &[u32]| {
        for (values, statistic) in values.iter_mut().zip(&mut statistics) {
            values.push(statistic(weights));
        }
        Some(0.0)
    };
    if clusters.count() < LEAST_CLUSTERS {
        keep(&vec![1; set.samples.len()]);
    } else {
        bootstrap.interval(clusters, keep)?;
    }
    let mut columns = values.into_iter().map(|mut values| {
        let whole = values.first().copied().unwrap_or(f64::NAN);
        let drawn = if values.is_empty() { values } else { values.split_off(1) };
        Resampled { whole, drawn }
    });
    let mut next = move |count: usize| columns.by_ref().take(count).collect::<Vec<_>>();
    Ok(points
        .iter()
        .map(|_| Draws {
            rate: next(1).pop().unwrap_or_default(),
            metrics: next(METRICS.len()),
            figures: next(figures.len()),
        })
        .collect())
}

/// Codec rate, total over total.
fn rate<'a>(set: &Set, coded: &[Coded]) -> Statistic<'a> {
    let unit = if set.key.modality == Modality::Image { 1.0 } else { 1e3 };
    let arrived: Vec<(usize, f64, f64)> = coded
        .iter()
        .filter(|coded| coded.arrived())
        .map(|coded| (coded.sample as usize, coded.bits(), unit * set.samples[coded.sample as usize].per))
        .filter(|(_, _, per)| *per > 0.0)
        .collect();
    Box::new(move |weights| {
        let (mut bits, mut per) = (0.0, 0.0);
        for &(sample, amount, over) in &arrived {
            let weight = f64::from(weights[sample]);
            bits += weight * amount;
            per += weight * over;
        }
        bits / per
    })
}

/// The mean of a metric over the samples that have it.
fn mean<'a>(coded: &[Coded], metric: usize) -> Statistic<'a> {
    let values: Vec<(usize, f64)> = coded
        .iter()
        .map(|coded| (coded.sample as usize, f64::from(coded.metrics[metric])))
        .filter(|(_, value)| value.is_finite())
        .collect();
    Box::new(move |weights| {
        let (mut sum, mut n) = (0.0, 0.0);
        for &(sample, value) in &values {
            let weight = f64::from(weights[sample]);
            sum += weight * value;
            n += weight;
        }
        sum / n
    })
}

/// A figure at one point with its interval: Wilson's for a share of independent
/// samples, else the bootstrap's; none where no two samples are independent.
pub(crate) fn value(set: &Set, figure: Figure, seen: &[Seen], drawn: &Resampled) -> Option<Value> {
    let judged: Vec<&Seen> = seen.iter().filter(|seen| figure.judges(&seen.scores)).collect();
    let mut clusters: Vec<u32> = judged.iter().map(|seen| set.samples[seen.sample as usize].cluster).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let (n, clusters) = (judged.len() as u64, clusters.len() as u64);
    let independent = clusters == n;
    let interval = if figure.proportion() && independent && clusters > 1 {
        let hits = judged.iter().filter(|seen| figure.hit(&seen.scores) == Some(true)).count() as u64;
        Proportion::wilson(hits, n).map(|share| (100.0 * share.low, 100.0 * share.high))
    } else {
        drawn.interval()
    };
    (n > 0 && drawn.whole.is_finite()).then_some(Value { estimate: drawn.whole, interval, n, clusters })
}

/// What the model does on the pristine samples: all of its own prediction; beside
/// labels, what rows say of it, or a lossless point. `None` if no row can tell.
pub(crate) fn pristine(
    set: &Set,
    model: usize,
    figure: Figure,
    codings: &[Coding],
    draws: &[&Resampled],
) -> Option<f64> {
    if !figure.label {
        return Some(100.0);
    }
    if figure.proportion() {
        // Each sample once, whichever point first tells.
        let mut told = vec![None; set.samples.len()];
        for seen in set.points.iter().flat_map(|point| &point.seen[model]) {
            if let Some((pristine, label)) = seen.pristine.zip(seen.label) {
                told[seen.sample as usize].get_or_insert(pristine == label);
            }
        }
        let mut mean = Mean::default();
        told.into_iter().flatten().for_each(|hit| mean.add(if hit { 100.0 } else { 0.0 }));
        if mean.value().is_some() {
            return mean.value();
        }
    }
    let lossless = codings.iter().zip(draws).find(|(coding, _)| coding.lossless && coding.failures == 0);
    lossless.map(|(_, drawn)| drawn.whole).filter(|value| value.is_finite())
}
