//! What coding a data set at every operating point costs and keeps: charts and tables.

use super::analysis::{Coding, LEAST_CLUSTERS, Times, clusters};
use super::grid::{Cell, Grid, Show, Value};
use super::page::{Section, slug};
use super::quality::{METRICS, MS_SSIM, PSNR, SI_SDR};
use super::rows::{Point as Measured, Rows, Set};
use crate::chart::{Axis, Chart, Kind, Level, Point, Scale, Series};
use afferent_measure::row::OperatingPoint;
use afferent_measure::stats::bd::{Contest, Interpolation, per_sample};
use afferent_measure::stats::curve::pareto_front;
use afferent_measure::stats::{self, Bootstrap, Interval};
use afferent_media::{Modality, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The codec that others are compared with, where it was measured.
const ANCHOR: &str = "jpeg";

/// The rows' own file as an operating point.
pub(super) const SOURCE: &str = "source";

/// Colours, markers and dashes of codecs: the same in all of the report.
pub(super) type Styles = BTreeMap<(Modality, String), usize>;

pub(super) fn styles(rows: &Rows) -> Styles {
    let mut styles = Styles::new();
    for modality in [Modality::Image, Modality::Audio] {
        let sets = rows.sets.iter().filter(|set| set.key.modality == modality);
        let names: BTreeSet<String> = sets.flat_map(|set| &set.points).map(|point| point.coding.coder()).collect();
        // By name, the anchor first.
        let (anchor, others): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| name == ANCHOR);
        let names = anchor.into_iter().chain(others).enumerate();
        styles.extend(names.map(|(number, name)| ((modality, name), number)));
    }
    styles
}

/// Points of one codec (and what decodes it) that compete: presets, knobs and sizes
/// together.
pub(super) struct Codec {
    pub(super) name: String,
    pub(super) style: usize,
    pub(super) points: Vec<usize>,
}

/// A data set with the figures of its operating points.
pub(super) struct Board<'a> {
    pub(super) set: &'a Set,
    pub(super) codings: Vec<Coding>,
    pub(super) codecs: Vec<Codec>,
    /// Points to compare with: source files, and codecs that lose nothing.
    pub(super) references: Vec<usize>,
    pub(super) bootstrap: Bootstrap,
    pub(super) id: String,
}

impl<'a> Board<'a> {
    pub(super) fn new(set: &'a Set, styles: &Styles, bootstrap: Bootstrap) -> Self {
        let codings: Vec<Coding> = set.points.iter().map(|point| Coding::of(set, point)).collect();
        let mut by_codec = BTreeMap::<String, Vec<usize>>::new();
        for (number, point) in set.points.iter().enumerate() {
            by_codec.entry(point.coding.coder()).or_default().push(number);
        }
        let (mut codecs, mut references) = (Vec::new(), Vec::new());
        for (name, points) in by_codec {
            if name == SOURCE || points.iter().all(|&point| codings[point].lossless) {
                // Of several that lose nothing, the cheapest.
                let rate = |&point: &usize| codings[point].codec.total().unwrap_or(f64::INFINITY);
                references.extend(points.into_iter().min_by(|a, b| rate(a).total_cmp(&rate(b))));
            } else {
                let style = styles.get(&(set.key.modality, name.clone())).copied().unwrap_or(0);
                codecs.push(Codec { name, style, points });
            }
        }
        codecs.sort_by_key(|codec| codec.style);
        let id = slug(&set.name());
        Self { set, codings, codecs, references, bootstrap, id }
    }

    pub(super) fn point(&self, number: usize) -> &'a Measured {
        &self.set.points[number]
    }

    pub(super) fn clusters(&self) -> usize {
        self.set.clusters()
    }

    pub(super) fn rate_axis(&self) -> Axis {
        let label = match self.set.key.modality {
            Modality::Image => "codec rate, bits per source pixel (log)",
            Modality::Audio => "codec rate, kilobits per second (log)",
        };
        Axis::new(label, Scale::Log)
    }

    /// A note under every chart and table of the set.
    pub(super) fn count(&self) -> String {
        let (n, clusters) = (self.set.samples.len(), self.clusters());
        let groups = if clusters < n { format!(" in {clusters} groups") } else { String::new() };
        format!("{}, n = {n}{groups}", self.set.name())
    }

    /// What must be said of intervals over so many independent clusters.
    pub(super) fn caution(&self) -> Vec<String> {
        match self.clusters() as u64 {
            few if few < LEAST_CLUSTERS as u64 => vec![format!(
                "Indicative: {few} independent groups of samples, fewer than {LEAST_CLUSTERS}: there is no interval."
            )],
            few if few < Interval::FEW => vec![format!(
                "Indicative: {few} independent samples, fewer than {}; intervals are too narrow, differences may be chance.",
                Interval::FEW
            )],
            _ => vec![],
        }
    }

    /// A point of a chart: `y` is of `name`, with so many decimals.
    pub(super) fn mark(&self, point: usize, x: f64, value: Value, name: &str, digits: usize) -> Point {
        let Value { estimate: y, interval, n, .. } = value;
        let ends = interval.map(|(low, high)| format!(" [{low:.digits$}, {high:.digits$}]")).unwrap_or_default();
        let coding = &self.point(point).coding;
        let note = format!("{}: {x:.3} {}, {name} {y:.digits$}{ends}, n = {n}", title(coding), self.set.unit());
        Point { x, y, interval, label: label(coding), note }
    }

    /// Every codec's points as marked: one curve where there is one preset at one
    /// size; else a thin curve for each, and the front of all. `rises` tells
    /// whether more of the vertical axis is better.
    pub(super) fn series(&self, rises: bool, mark: impl Fn(usize) -> Option<Point>) -> Result<Vec<Series>> {
        let mut all = Vec::new();
        for codec in &self.codecs {
            let mut groups = BTreeMap::<(&str, &str), Vec<Point>>::new();
            for &point in &codec.points {
                let coding = &self.point(point).coding;
                groups.entry((&coding.preset, &coding.resize)).or_default().extend(mark(point));
            }
            groups.retain(|_, points| !points.is_empty());
            let marks: Vec<Point> = groups.values().flatten().cloned().collect();
            let single = groups.len() == 1;
            for ((preset, resize), mut points) in groups {
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                let name = format!("{} {preset}{}", codec.name, at(resize));
                let kind = if single { Kind::Curve } else { Kind::Faint };
                all.push(Series { name, style: codec.style, kind, points });
            }
            if !single && !marks.is_empty() {
                let sign = if rises { 1.0 } else { -1.0 };
                let places: Vec<stats::Point> =
                    marks.iter().map(|mark| stats::Point::new(mark.x, sign * mark.y)).collect();
                let points = pareto_front(&places)?.into_iter().map(|place| marks[place].clone()).collect();
                all.push(Series {
                    name: format!("{} front", codec.name),
                    style: codec.style,
                    kind: Kind::Curve,
                    points,
                });
            }
        }
        Ok(all)
    }

    /// The section of the data set: what does not depend on a model.
    pub(super) fn section(&self) -> Result<Section> {
        let mut section = Section {
            id: self.id.clone(),
            heading: format!("Data set: {}", self.set.name()),
            inner: false,
            lead: self.lead(),
            blocks: vec![],
        };
        for (number, metric) in METRICS.iter().enumerate() {
            let chart = self.distortion(number)?;
            let query = format!(
                "per operating point: Σ bits / Σ {} over rows that arrived, against the mean of {} over rows that have it",
                self.per(),
                metric.name
            );
            section.chart(&format!("rate-{}", metric.id), chart, &query, vec![]);
        }
        section.table("bd-rate", self.bd_rates()?);
        section.table("points", self.points());
        section.table("times", self.times());
        Ok(section)
    }

    fn lead(&self) -> Vec<String> {
        let set = self.set;
        let mut lead = vec![format!(
            "{} samples in {} independent groups, {} operating points. SHA-256 of the manifest: {}.",
            set.samples.len(),
            self.clusters(),
            set.points.len(),
            set.key.sha256.as_deref().unwrap_or("not in the rows")
        )];
        let sources: Vec<String> = set
            .sources
            .iter()
            .map(|(format, (n, quality))| match quality {
                Some((low, high)) => format!("{n} × {format} of quality {low:.0} to {high:.0}"),
                None => format!("{n} × {format}"),
            })
            .collect();
        lead.push(format!("Source files: {}.", sources.join(", ")));
        let failures: u64 = self.codings.iter().map(|coding| coding.failures).sum();
        if failures > 0 {
            lead.push(format!(
                "{failures} coded samples failed; the table of times names the first failure of each point."
            ));
        }
        lead.extend(self.caution());
        lead
    }

    pub(super) fn per(&self) -> &'static str {
        match self.set.key.modality {
            Modality::Image => "source pixels",
            Modality::Audio => "seconds of source",
        }
    }

    /// Rate against a metric of similarity.
    fn distortion(&self, metric: usize) -> Result<Chart> {
        let about = &METRICS[metric];
        let series = self.series(about.rises, |point| {
            let coding = &self.codings[point];
            let (x, estimate) = (coding.codec.total()?, coding.metrics[metric]?);
            // Of files that lose nothing there is a mean over the few that do.
            let value = Value { estimate, interval: None, n: coding.n, clusters: 0 };
            (!coding.lossless).then(|| self.mark(point, x, value, about.name, about.digits))
        })?;
        let levels = self.references.iter().filter(|&&point| !self.codings[point].lossless).filter_map(|&point| {
            let y = self.codings[point].metrics[metric]?;
            Some(Level { y, name: self.reference(point)? })
        });
        Ok(Chart {
            title: format!("Rate and distortion: {}", about.name),
            note: format!("{}{}", self.count(), thickness(&series)),
            x: self.rate_axis(),
            y: Axis::new(about.label(), Scale::Linear),
            levels: levels.collect(),
            series,
        })
    }

    /// What a reference is, and its rate.
    pub(super) fn reference(&self, point: usize) -> Option<String> {
        let (measured, coding) = (self.point(point), &self.codings[point]);
        let kind = match (measured.coding.codec.as_str(), coding.lossless) {
            (SOURCE, _) => "the source's own files",
            (_, true) => "lossless",
            (_, false) => "reference",
        };
        let rate = crate::chart::short(coding.codec.total()?);
        Some(format!("{} ({kind}): {rate} {}", measured.coding.coder(), self.set.unit()))
    }

    /// Bjøntegaard delta-rates of every two codecs, image by image.
    fn bd_rates(&self) -> Result<Grid> {
        let mut grid = Grid::new(
            "BD-rate between codecs",
            "per image: PCHIP through its Pareto front of the points on each codec's front of the data set, log rate \
             integrated over the qualities that both reach; mean over images, bootstrap over groups",
            &[
                ("codec", Show::Text),
                ("anchor", Show::Text),
                ("metric", Show::Text),
                ("BD-rate, %", Show::Range(1)),
                ("geometric, %", Show::Range(1)),
                ("n", Show::Number(0)),
                ("no overlap", Show::Number(0)),
                ("too few points", Show::Number(0)),
            ],
        );
        let all = clusters(self.set);
        for metric in [PSNR, MS_SSIM, SI_SDR] {
            let fronts: Vec<Vec<usize>> =
                self.codecs.iter().map(|codec| self.front(codec, metric)).collect::<Result<_>>()?;
            for (first, anchor) in self.codecs.iter().enumerate() {
                for (second, test) in self.codecs.iter().enumerate().skip(first + 1) {
                    if fronts[first].len() < 2 || fronts[second].len() < 2 {
                        continue;
                    }
                    let anchors = self.per_sample(&fronts[first], metric);
                    let tests = self.per_sample(&fronts[second], metric);
                    let contests: Vec<Contest> =
                        anchors.into_iter().zip(tests).map(|(anchor, test)| Contest { anchor, test }).collect();
                    let mut row: Vec<Cell> =
                        vec![test.name.clone().into(), anchor.name.clone().into(), METRICS[metric].name.into()];
                    match per_sample(&contests, Interpolation::Pchip, &all, &self.bootstrap) {
                        Ok(delta) => row.extend([
                            Cell::Range(delta.percent.into()),
                            Cell::Range(delta.geometric_percent().into()),
                            delta.percent.n.into(),
                            delta.no_overlap.into(),
                            delta.too_few_points.into(),
                        ]),
                        Err(error) => {
                            grid.notes.push(format!("{} against {}: {}.", test.name, anchor.name, error.what()));
                            row.resize(8, Cell::None);
                        }
                    }
                    grid.rows.push(row);
                }
            }
        }
        grid.notes.push(
            "Negative: the codec needs less than its anchor at equal quality. MS-SSIM in decibels, −10 log₁₀(1 − x). Nothing \
             is extrapolated: images without a common range are left out and counted."
                .to_owned(),
        );
        grid.notes.extend(self.caution());
        Ok(grid)
    }

    /// The points of a codec that no other of its points dominates on the data set.
    fn front(&self, codec: &Codec, metric: usize) -> Result<Vec<usize>> {
        let about = &METRICS[metric];
        let (points, places): (Vec<usize>, Vec<stats::Point>) = codec
            .points
            .iter()
            .filter(|&&point| !self.codings[point].lossless)
            .filter_map(|&point| {
                let coding = &self.codings[point];
                Some((point, stats::Point::new(coding.codec.total()?, about.quality(coding.metrics[metric]?))))
            })
            .unzip();
        Ok(pareto_front(&places)?.into_iter().map(|place| points[place]).collect())
    }

    /// For every sample its rate and quality at each of `points` that has both.
    fn per_sample(&self, points: &[usize], metric: usize) -> Vec<Vec<stats::Point>> {
        let mut samples = vec![Vec::new(); self.set.samples.len()];
        for coded in points.iter().flat_map(|&point| &self.point(point).coded) {
            let per = self.set.samples[coded.sample as usize].per;
            let rate = coded.bits() / per;
            let quality = METRICS[metric].quality(f64::from(coded.metrics[metric]));
            if rate > 0.0 && rate.is_finite() && quality.is_finite() {
                samples[coded.sample as usize].push(stats::Point::new(rate, quality));
            }
        }
        samples
    }

    /// Rates and distortion of every point.
    fn points(&self) -> Grid {
        let unit = self.set.unit();
        let total = format!("codec {unit}, total");
        let mean = format!("codec {unit}, mean");
        let (free_total, free_mean) = (format!("header-free {unit}, total"), format!("header-free {unit}, mean"));
        let (storage, transmit) = (format!("storage {unit}, total"), format!("transmit {unit}, total"));
        let used: Vec<usize> = (0..METRICS.len())
            .filter(|&metric| self.codings.iter().any(|coding| coding.metrics[metric].is_some()))
            .collect();
        let labels: Vec<String> = used.iter().map(|&metric| METRICS[metric].label()).collect();
        let mut columns = vec![
            ("operating point", Show::Text),
            (total.as_str(), Show::Number(4)),
            (&mean, Show::Number(4)),
            (&free_total, Show::Number(4)),
            (&free_mean, Show::Number(4)),
            (&storage, Show::Number(4)),
            (&transmit, Show::Number(4)),
            ("PSNR pooled, dB", Show::Number(2)),
        ];
        columns.extend(
            used.iter().zip(&labels).map(|(&metric, label)| (label.as_str(), Show::Number(METRICS[metric].digits))),
        );
        let query = format!(
            "group by operating point; total: Σ bits / Σ {0}; mean: mean of bits / {0} per sample; both over rows that arrived",
            self.per()
        );
        let mut grid = Grid::new("Operating points: rates and distortion", query, &columns);
        for (point, coding) in self.set.points.iter().zip(&self.codings) {
            let mut row: Vec<Cell> = vec![title(&point.coding).into()];
            row.extend(
                [
                    coding.codec.total(),
                    coding.codec.mean_of_ratios(),
                    coding.header_free.total(),
                    coding.header_free.mean_of_ratios(),
                    coding.storage.total(),
                    coding.transmit.total(),
                    coding.psnr_pooled,
                ]
                .map(Cell::from),
            );
            row.extend(used.iter().map(|&metric| Cell::from(coding.metrics[metric])));
            grid.rows.push(row);
        }
        grid.notes.push(
            "codec: payload, side information and codec headers; header-free: without the headers; storage: with Afferent's \
             container; transmit: with framing and the transport's share."
                .to_owned(),
        );
        grid
    }

    /// Times and counts of every point.
    fn times(&self) -> Grid {
        let per = match self.set.key.modality {
            Modality::Image => "resize and encode, ms/megapixel p50",
            Modality::Audio => "encode, ms/s p50",
        };
        let mut grid = Grid::new(
            "Operating points: times and counts",
            "group by operating point; median and 95th percentile (type 7) of each time over the rows that have it",
            &[
                ("operating point", Show::Text),
                ("size", Show::Text),
                ("n", Show::Number(0)),
                ("failures", Show::Number(0)),
                (per, Show::Number(2)),
                ("resize, ms p50", Show::Number(2)),
                ("encode, ms p50", Show::Number(2)),
                ("encode, ms p95", Show::Number(2)),
                ("link, ms p50", Show::Number(2)),
                ("decode, ms p50", Show::Number(2)),
                ("restore, ms p50", Show::Number(2)),
                ("settings", Show::Text),
            ],
        );
        let median = |times: Times| Cell::from(times.map(|(p50, _)| p50));
        for (point, coding) in self.set.points.iter().zip(&self.codings) {
            let [resize, encode, link, decode, restore] = coding.times;
            grid.rows.push(vec![
                title(&point.coding).into(),
                if point.coding.resize == "none" { "source".into() } else { point.coding.resize.clone().into() },
                coding.n.into(),
                coding.failures.into(),
                median(coding.encode_per),
                median(resize),
                median(encode),
                encode.map(|(_, p95)| p95).into(),
                median(link),
                median(decode),
                median(restore),
                point.settings.clone().unwrap_or_default().into(),
            ]);
            if let Some(failure) = &point.first_failure {
                grid.notes.push(format!(
                    "{}: {} of {} failed; first: {failure}",
                    title(&point.coding),
                    coding.failures,
                    coding.n
                ));
            }
        }
        if self.set.points.iter().any(|point| point.coding.codec_simd == "no") {
            grid.notes.push(
                "Codecs without SIMD in this build are weak opponents: their times are no fair comparison.".to_owned(),
            );
        }
        grid
    }
}

/// What thick and thin lines are, where there are both.
pub(super) fn thickness(series: &[Series]) -> &'static str {
    let faint = series.iter().any(|series| series.kind == Kind::Faint);
    if faint { " · thick: each codec's front; thin: each of its presets and sizes" } else { "" }
}

/// How a size is appended to a name.
pub(super) fn at(resize: &str) -> String {
    if resize == "none" { String::new() } else { format!(" at {resize}") }
}

/// An operating point's whole name.
pub(super) fn title(coding: &OperatingPoint) -> String {
    let knob = coding.knob.map(|knob| format!(" {}", knob.0)).unwrap_or_default();
    format!("{} {}{knob}{}", coding.coder(), coding.preset, at(&coding.resize))
}

/// What stands beside a point: where the knob stood, and the size.
pub(super) fn label(coding: &OperatingPoint) -> String {
    let knob = coding.knob.map(|knob| knob.0.to_string()).unwrap_or_default();
    format!("{knob}{}", at(&coding.resize)).trim().to_owned()
}
