//! Charts and tables of each data set, and of each model on it.

use super::analysis::{Coding, Draws, LEAST_CLUSTERS, Resampled, Times, clusters, draw, inference, pristine, value};
use super::figure::Figure;
use super::grid::{Cell, Grid, Show, Value};
use super::page::{Section, slug};
use super::quality::{METRICS, MS_SSIM, PSNR, SI_SDR};
use super::rows::{Point as Measured, Rows, Seen, Set};
use crate::chart::{Axis, Chart, Kind, Level, Point, Scale, Series};
use afferent_measure::row::OperatingPoint;
use afferent_measure::stats::bd::{Contest, Interpolation, per_sample};
use afferent_measure::stats::correlation::{kendall, spearman};
use afferent_measure::stats::curve::pareto_front;
use afferent_measure::stats::equal_quality::{Reach, rate_at};
use afferent_measure::stats::{self, Bootstrap, Interval};
use afferent_media::{Modality, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The codec that others are compared with, where it was measured.
const ANCHOR: &str = "jpeg";

/// Shares of the pristine figure at which rates are compared.
const SHARES: [f64; 3] = [0.99, 0.95, 0.90];

/// The share at which the encoder's cost is compared.
const COST_SHARE: f64 = 0.95;

/// The rows' own file as an operating point.
const SOURCE: &str = "source";

/// Colours, markers and dashes of codecs: the same in all of the report.
pub(super) type Styles = BTreeMap<(Modality, String), usize>;

pub(super) fn styles(rows: &Rows) -> Styles {
    let mut styles = Styles::new();
    for modality in [Modality::Image, Modality::Audio] {
        let sets = rows.sets.iter().filter(|set| set.key.modality == modality);
        let names: BTreeSet<&str> = sets.flat_map(|set| &set.points).map(|point| point.coding.codec.as_str()).collect();
        // By name, the anchor first.
        let (anchor, others): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| *name == ANCHOR);
        let names = anchor.into_iter().chain(others).enumerate();
        styles.extend(names.map(|(number, name)| ((modality, name.to_owned()), number)));
    }
    styles
}

/// Points of one codec that compete: presets, knobs and sizes together.
struct Codec<'a> {
    name: &'a str,
    style: usize,
    points: Vec<usize>,
}

/// A data set with the figures of its operating points.
pub(super) struct Board<'a> {
    pub(super) set: &'a Set,
    pub(super) codings: Vec<Coding>,
    codecs: Vec<Codec<'a>>,
    /// Points to compare with: source files, and codecs that lose nothing.
    references: Vec<usize>,
    bootstrap: Bootstrap,
    id: String,
}

/// A model on a data set with its figures, and what resampling gives of each point.
pub(super) struct View<'a> {
    board: &'a Board<'a>,
    pub(super) model: usize,
    pub(super) figures: Vec<Figure>,
    draws: Vec<Draws>,
}

impl<'a> Board<'a> {
    pub(super) fn new(set: &'a Set, styles: &Styles, bootstrap: Bootstrap) -> Self {
        let codings: Vec<Coding> = set.points.iter().map(|point| Coding::of(set, point)).collect();
        let mut by_codec = BTreeMap::<&str, Vec<usize>>::new();
        for (number, point) in set.points.iter().enumerate() {
            by_codec.entry(&point.coding.codec).or_default().push(number);
        }
        let (mut codecs, mut references) = (Vec::new(), Vec::new());
        for (name, points) in by_codec {
            if name == SOURCE || points.iter().all(|&point| codings[point].lossless) {
                // Of several that lose nothing, the cheapest.
                let rate = |&point: &usize| codings[point].codec.total().unwrap_or(f64::INFINITY);
                references.extend(points.into_iter().min_by(|a, b| rate(a).total_cmp(&rate(b))));
            } else {
                codecs.push(Codec {
                    name,
                    style: styles.get(&(set.key.modality, name.to_owned())).copied().unwrap_or(0),
                    points,
                });
            }
        }
        codecs.sort_by_key(|codec| codec.style);
        let id = slug(&set.name());
        Self { set, codings, codecs, references, bootstrap, id }
    }

    fn point(&self, number: usize) -> &'a Measured {
        &self.set.points[number]
    }

    fn clusters(&self) -> usize {
        self.set.clusters()
    }

    fn rate_axis(&self) -> Axis {
        let label = match self.set.key.modality {
            Modality::Image => "codec rate, bits per source pixel (log)",
            Modality::Audio => "codec rate, kilobits per second (log)",
        };
        Axis::new(label, Scale::Log)
    }

    /// A note under every chart and table of the set.
    fn count(&self) -> String {
        let (n, clusters) = (self.set.samples.len(), self.clusters());
        let groups = if clusters < n { format!(" in {clusters} groups") } else { String::new() };
        format!("{}, n = {n}{groups}", self.set.name())
    }

    /// What must be said of intervals over so many independent clusters.
    fn caution(&self) -> Vec<String> {
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
    fn mark(&self, point: usize, x: f64, value: Value, name: &str, digits: usize) -> Point {
        let Value { estimate: y, interval, n, .. } = value;
        let ends = interval.map(|(low, high)| format!(" [{low:.digits$}, {high:.digits$}]")).unwrap_or_default();
        let coding = &self.point(point).coding;
        let note = format!("{}: {x:.3} {}, {name} {y:.digits$}{ends}, n = {n}", title(coding), self.set.unit());
        Point { x, y, interval, label: label(coding), note }
    }

    /// Every codec's points as marked: one curve where there is one preset at one
    /// size; else a thin curve for each, and the front of all. `rises` tells
    /// whether more of the vertical axis is better.
    fn series(&self, rises: bool, mark: impl Fn(usize) -> Option<Point>) -> Result<Vec<Series>> {
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

    fn per(&self) -> &'static str {
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
    fn reference(&self, point: usize) -> Option<String> {
        let (measured, coding) = (self.point(point), &self.codings[point]);
        let kind = match (measured.coding.codec.as_str(), coding.lossless) {
            (SOURCE, _) => "the source's own files",
            (_, true) => "lossless",
            (_, false) => "reference",
        };
        let rate = crate::chart::short(coding.codec.total()?);
        Some(format!("{} ({kind}): {rate} {}", measured.coding.codec, self.set.unit()))
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
                    let mut row: Vec<Cell> = vec![test.name.into(), anchor.name.into(), METRICS[metric].name.into()];
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
    fn front(&self, codec: &Codec<'_>, metric: usize) -> Result<Vec<usize>> {
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

impl<'a> View<'a> {
    pub(super) fn new(board: &'a Board<'a>, model: usize) -> Result<Self> {
        let figures = board.set.figures(model);
        let draws = draw(board.set, model, &figures, &board.bootstrap)?;
        Ok(Self { board, model, figures, draws })
    }

    pub(super) fn set(&self) -> &'a Set {
        self.board.set
    }

    pub(super) fn codings(&self) -> &'a [Coding] {
        &self.board.codings
    }

    /// What the model saw at a point, the worst sample first; of equally bad
    /// ones, that of which the model was surest.
    pub(super) fn worst(&self, point: usize) -> Vec<&'a Seen> {
        let mut seen: Vec<&Seen> =
            self.board.point(point).seen[self.model].iter().filter(|seen| seen.score.is_finite()).collect();
        seen.sort_by(|a, b| a.score.total_cmp(&b.score).then(b.probability.total_cmp(&a.probability)));
        seen
    }

    fn figure(&self, point: usize, figure: usize) -> &Resampled {
        &self.draws[point].figures[figure]
    }

    /// The figure at a point with its interval.
    pub(super) fn value(&self, point: usize, figure: usize) -> Option<Value> {
        let set = self.board.set;
        value(set, self.figures[figure], &set.points[point].seen[self.model], self.figure(point, figure))
    }

    /// What the model does on pristine samples.
    pub(super) fn pristine(&self, figure: usize) -> Option<f64> {
        let drawn: Vec<&Resampled> = (0..self.draws.len()).map(|point| self.figure(point, figure)).collect();
        pristine(self.board.set, self.model, self.figures[figure], &self.board.codings, &drawn)
    }

    /// The section of the model on the data set.
    pub(super) fn section(&self) -> Result<Section> {
        let Board { set, id, .. } = self.board;
        let model = &set.models[self.model];
        let task = if model.task.is_empty() { String::new() } else { format!(", {}", model.task) };
        let mut section = Section {
            id: format!("{id}-{}", slug(&format!("{} {}", model.name, model.provider))),
            heading: format!("{} on {}", model.name, set.name()),
            inner: true,
            lead: vec![format!("{}{task}, run by {}.", model.name, model.provider)],
            blocks: vec![],
        };
        for (number, figure) in self.figures.iter().enumerate() {
            let measured = match self.pristine(number) {
                Some(pristine) if figure.label => format!("{pristine:.1} on pristine samples"),
                _ if figure.label => {
                    "unknown on pristine samples: neither labels beside pristine predictions nor a lossless point"
                        .to_owned()
                }
                _ => "100 on pristine samples by definition".to_owned(),
            };
            section.lead.push(format!("{}, %: compared {}; {measured}.", figure.name(), figure.against()));
        }
        if self.figures.is_empty() {
            section.lead.push("No row says how the model did.".to_owned());
        }
        section.lead.extend(self.board.caution());
        for (number, figure) in self.figures.iter().enumerate() {
            let query = format!(
                "per operating point: Σ bits / Σ {} against {} over the rows of this model",
                self.board.per(),
                figure.name()
            );
            section.chart(&format!("rate-{}", figure.id()), self.rate_task(number)?, &query, self.board.caution());
        }
        for (number, figure) in self.figures.iter().enumerate() {
            for (metric, about) in METRICS.iter().enumerate() {
                let query = format!("per operating point: the mean of {} against {}", about.name, figure.name());
                let chart = self.similarity(number, metric)?;
                section.chart(&format!("{}-{}", about.id, figure.id()), chart, &query, vec![]);
            }
        }
        section.table("correlation", self.correlations());
        for (number, figure) in self.figures.iter().enumerate() {
            section.table(&format!("pareto-{}", figure.id()), self.pareto(number)?);
            section.table(&format!("equal-{}", figure.id()), self.equal_quality(number));
            section.chart(
                &format!("cost-{}", figure.id()),
                self.cost(number),
                "per preset and size: PCHIP of log rate over the figure on the Pareto front, read at the share of pristine; \
                 median time to resize and encode per megapixel at its cheapest point that reaches the share",
                vec![],
            );
        }
        section.table("task", self.task());
        Ok(section)
    }

    /// Rate against what the model makes of it.
    fn rate_task(&self, figure: usize) -> Result<Chart> {
        let about = self.figures[figure];
        let board = self.board;
        let series = board.series(true, |point| {
            let x = board.codings[point].codec.total()?;
            Some(board.mark(point, x, self.value(point, figure)?, about.name(), 1))
        })?;
        // Levels that coincide are one line with all their names.
        let mut levels: Vec<Level> = Vec::new();
        let pristine = self.pristine(figure).map(|y| Level { y, name: "pristine".to_owned() });
        let references = board
            .references
            .iter()
            .filter_map(|&point| Some(Level { y: self.value(point, figure)?.estimate, name: board.reference(point)? }));
        for level in pristine.into_iter().chain(references) {
            match levels.iter_mut().find(|known| (known.y - level.y).abs() < 1e-9) {
                Some(known) => known.name = format!("{} · {}", known.name, level.name),
                None => levels.push(level),
            }
        }
        Ok(Chart {
            title: format!("Rate and task: {} {}", about.name(), about.against()),
            note: format!(
                "{} · {} · bars: 95 % interval{}",
                board.count(),
                board.set.models[self.model].name,
                thickness(&series)
            ),
            x: board.rate_axis(),
            y: Axis::new(format!("{}, %", about.name()), Scale::Linear),
            series,
            levels,
        })
    }

    /// A metric of similarity against what the model makes of it.
    fn similarity(&self, figure: usize, metric: usize) -> Result<Chart> {
        let (about, board, similarity) = (self.figures[figure], self.board, &METRICS[metric]);
        let series = board.codecs.iter().map(|codec| Series {
            name: codec.name.to_owned(),
            style: codec.style,
            kind: Kind::Marks,
            points: codec
                .points
                .iter()
                .filter(|&&point| !board.codings[point].lossless)
                .filter_map(|&point| {
                    let x = board.codings[point].metrics[metric]?;
                    let Value { estimate: y, n, .. } = self.value(point, figure)?;
                    let coding = &board.point(point).coding;
                    let note = format!(
                        "{}: {} {x:.*}, {} {y:.1} %, n = {n}",
                        title(coding),
                        similarity.name,
                        similarity.digits,
                        about.name()
                    );
                    Some(Point { x, y, note, ..Point::default() })
                })
                .collect(),
        });
        Ok(Chart {
            title: format!("{} against {}", about.name(), similarity.name),
            note: format!("{} · one mark per operating point", board.count()),
            x: Axis::new(similarity.label(), Scale::Linear),
            y: Axis::new(format!("{}, %", about.name()), Scale::Linear),
            series: series.collect(),
            levels: vec![],
        })
    }

    /// How a metric's order of the operating points agrees with the model's.
    fn correlations(&self) -> Grid {
        let mut grid = Grid::new(
            "Which similarity predicts the task",
            "over operating points that lose something: rank correlation of the mean metric and the figure; bootstrap over groups of \
             samples, all points recomputed from each draw",
            &[
                ("metric", Show::Text),
                ("figure", Show::Text),
                ("Spearman ρ", Show::Range(3)),
                ("Kendall τ-b", Show::Range(3)),
                ("points", Show::Number(0)),
            ],
        );
        for (number, figure) in self.figures.iter().enumerate() {
            for (metric, about) in METRICS.iter().enumerate() {
                let points: Vec<&Draws> = self
                    .draws
                    .iter()
                    .zip(&self.board.codings)
                    .filter(|(draws, coding)| {
                        !coding.lossless
                            && draws.metrics[metric].whole.is_finite()
                            && draws.figures[number].whole.is_finite()
                    })
                    .map(|(draws, _)| draws)
                    .collect();
                if points.len() < 3 {
                    continue;
                }
                let sign = if about.rises { 1.0 } else { -1.0 };
                let columns: Vec<&Resampled> =
                    points.iter().flat_map(|draws| [&draws.metrics[metric], &draws.figures[number]]).collect();
                let rank = |how: fn(&[f64], &[f64]) -> Result<f64>| {
                    let drawn = Resampled::fold(&columns, |values| {
                        let (x, y): (Vec<f64>, Vec<f64>) =
                            values.chunks(2).map(|pair| (sign * pair[0], pair[1])).unzip();
                        how(&x, &y).unwrap_or(f64::NAN)
                    });
                    Cell::from(self.over_points(&drawn))
                };
                grid.rows.push(vec![
                    about.name.into(),
                    figure.name().into(),
                    rank(spearman),
                    rank(kendall),
                    (points.len() as u64).into(),
                ]);
            }
        }
        grid.notes.push("Distances are taken with their sign turned: 1 is perfect agreement of the orders.".to_owned());
        grid.notes.extend(self.board.caution());
        grid
    }

    /// A figure of the whole set of points, with its interval.
    fn over_points(&self, drawn: &Resampled) -> Option<Value> {
        let n = self.board.set.samples.len() as u64;
        let clusters = self.board.clusters() as u64;
        drawn.whole.is_finite().then(|| Value { estimate: drawn.whole, interval: drawn.interval(), n, clusters })
    }

    /// The points that no other dominates.
    fn pareto(&self, figure: usize) -> Result<Grid> {
        let (about, board) = (self.figures[figure], self.board);
        let rate = format!("codec {}", board.set.unit());
        let name = format!("{}, %", about.name());
        let mut grid = Grid::new(
            format!("Pareto front: rate and {}", about.name()),
            "operating points of all codecs of which no other has no higher rate and no lower figure",
            &[
                ("operating point", Show::Text),
                (rate.as_str(), Show::Number(4)),
                (name.as_str(), Show::Range(1)),
                ("n", Show::Number(0)),
                ("encode, ms p50", Show::Number(2)),
            ],
        );
        let candidates: Vec<(usize, f64, Value)> = (0..board.set.points.len())
            .filter(|&point| board.point(point).coding.codec != SOURCE)
            .filter_map(|point| Some((point, board.codings[point].codec.total()?, self.value(point, figure)?)))
            .collect();
        let places: Vec<stats::Point> =
            candidates.iter().map(|(_, rate, value)| stats::Point::new(*rate, value.estimate)).collect();
        for place in pareto_front(&places)? {
            let (point, rate, value) = candidates[place];
            let [_, encode, ..] = board.codings[point].times;
            grid.rows.push(vec![
                title(&board.point(point).coding).into(),
                Cell::Number(rate),
                Cell::Range(value),
                value.n.into(),
                encode.map(|(p50, _)| p50).into(),
            ]);
        }
        grid.notes
            .push("Chosen after the fact: of points whose intervals overlap, chance picks the better.".to_owned());
        Ok(grid)
    }

    /// The rate of `points` at a figure, of the set and of each resample; infinite
    /// where it was not measured.
    fn rate_at(&self, points: &[usize], figure: usize, quality: f64) -> Resampled {
        let columns: Vec<&Resampled> =
            points.iter().flat_map(|&point| [&self.draws[point].rate, self.figure(point, figure)]).collect();
        Resampled::fold(&columns, |values| rate_needed(values, quality))
    }

    /// What each codec needs for a share of the pristine figure.
    fn equal_quality(&self, figure: usize) -> Grid {
        let (about, board) = (self.figures[figure], self.board);
        let rate = format!("rate, {}", board.set.unit());
        let anchor = board.codecs.first();
        let ratio = format!("ratio to {}", anchor.map_or("–", |anchor| anchor.name));
        let mut grid = Grid::new(
            format!("Rate at equal {}", about.name()),
            "PCHIP of log rate over the figure on the codec's Pareto front over presets, knobs and sizes; bootstrap over groups, \
             the whole curve recomputed from each draw",
            &[
                ("codec", Show::Text),
                ("share of pristine", Show::Text),
                ("figure, %", Show::Number(2)),
                (rate.as_str(), Show::Range(4)),
                (ratio.as_str(), Show::Range(3)),
                ("", Show::Text),
            ],
        );
        let (Some(pristine), Some(anchor)) = (self.pristine(figure), anchor) else { return grid };
        for share in SHARES {
            let quality = share * pristine;
            let of_anchor = self.rate_at(&anchor.points, figure, quality);
            for codec in &board.codecs {
                let drawn = self.rate_at(&codec.points, figure, quality);
                let remark = match drawn.whole {
                    rate if rate == f64::INFINITY => "not reached",
                    rate if rate == f64::NEG_INFINITY => "reached at the lowest rate measured",
                    rate if rate.is_nan() => "no curve",
                    _ if drawn.interval().is_none() && board.clusters() >= LEAST_CLUSTERS => {
                        "interval ends beyond what was measured"
                    }
                    _ => "",
                };
                // An infinite rate is one that was not measured: no ratio of the set without both.
                let both = drawn.whole.is_finite() && of_anchor.whole.is_finite();
                let ratio = Resampled::fold(&[&drawn, &of_anchor], |rates| rate_ratio(rates[0], rates[1]));
                let ratio = both.then(|| self.over_points(&ratio)).flatten();
                grid.rows.push(vec![
                    codec.name.into(),
                    format!("{:.0} %", 100.0 * share).into(),
                    Cell::Number(quality),
                    self.over_points(&drawn).into(),
                    ratio.into(),
                    remark.into(),
                ]);
            }
        }
        grid.notes.push(format!(
            "Pristine: {pristine:.2} %. Ratios below 1 need less than {}; nothing is extrapolated.",
            anchor.name
        ));
        grid.notes.extend(board.caution());
        grid
    }

    /// The encoder's time against the rate that a share of the pristine figure takes.
    fn cost(&self, figure: usize) -> Chart {
        let (about, board) = (self.figures[figure], self.board);
        let quality = self.pristine(figure).map_or(f64::NAN, |pristine| COST_SHARE * pristine);
        let mut series = Vec::new();
        for codec in &board.codecs {
            let mut groups = BTreeMap::<(&str, &str), Vec<usize>>::new();
            for &point in &codec.points {
                let coding = &board.point(point).coding;
                groups.entry((&coding.preset, &coding.resize)).or_default().push(point);
            }
            let points = groups.into_iter().filter_map(|((preset, resize), points)| {
                let rate = |&point: &usize| self.draws[point].rate.whole;
                let reaches = |&&point: &&usize| self.figure(point, figure).whole >= quality;
                let pairs: Vec<f64> =
                    points.iter().flat_map(|point| [rate(point), self.figure(*point, figure).whole]).collect();
                let y = rate_needed(&pairs, quality);
                let cheapest = points.iter().filter(reaches).min_by(|a, b| rate(a).total_cmp(&rate(b)))?;
                let (x, _) = board.codings[*cheapest].encode_per?;
                let name = format!("{preset}{}", at(resize));
                let note = format!("{} {name}: {x:.2} ms per megapixel, {y:.4} {}", codec.name, board.set.unit());
                y.is_finite().then_some(Point { x, y, interval: None, label: format!("{} {name}", codec.name), note })
            });
            let points = points.collect();
            series.push(Series { name: codec.name.to_owned(), style: codec.style, kind: Kind::Marks, points });
        }
        Chart {
            title: format!("Encoder's cost at {:.0} % of pristine {}", 100.0 * COST_SHARE, about.name()),
            note: format!("{} · lower left is better · one mark per preset and size that reaches it", board.count()),
            x: Axis::new("resize and encode, milliseconds per megapixel of source, median (log)", Scale::Log),
            y: Axis::new(format!("codec rate at that quality, {} (log)", board.set.unit()), Scale::Log),
            series,
            levels: vec![],
        }
    }

    /// What the model made of every point.
    fn task(&self) -> Grid {
        let rate = format!("codec {}, total", self.board.set.unit());
        let names: Vec<String> = self.figures.iter().map(|figure| format!("{}, %", figure.name())).collect();
        let mut columns = vec![("operating point", Show::Text), (rate.as_str(), Show::Number(4))];
        columns.extend(names.iter().map(|name| (name.as_str(), Show::Range(1))));
        columns.extend([("n", Show::Number(0)), ("inference, ms p50", Show::Number(2))]);
        let mut grid =
            Grid::new("Operating points: the task", "group by operating point, rows of this model", &columns);
        for (number, point) in self.board.set.points.iter().enumerate() {
            let seen = &point.seen[self.model];
            let mut row: Vec<Cell> = vec![title(&point.coding).into(), self.board.codings[number].codec.total().into()];
            row.extend((0..self.figures.len()).map(|figure| Cell::from(self.value(number, figure))));
            row.extend([(seen.len() as u64).into(), inference(seen).map(|(p50, _)| p50).into()]);
            grid.rows.push(row);
        }
        grid.notes.extend(self.board.caution());
        grid
    }
}

/// What thick and thin lines are, where there are both.
fn thickness(series: &[Series]) -> &'static str {
    let faint = series.iter().any(|series| series.kind == Kind::Faint);
    if faint { " · thick: each codec's front; thin: each of its presets and sizes" } else { "" }
}

/// The rate at a quality, of pairs of rate and quality; infinite on the side on
/// which it was not measured. Points that a draw lacks are left out.
fn rate_needed(pairs: &[f64], quality: f64) -> f64 {
    let points: Vec<stats::Point> = pairs
        .chunks(2)
        .map(|pair| stats::Point::new(pair[0], pair[1]))
        .filter(|point| point.rate.is_finite() && point.quality.is_finite())
        .collect();
    match rate_at(&points, quality) {
        Ok(Reach::Rate(rate)) => rate,
        Ok(Reach::NotReached { .. }) => f64::INFINITY,
        Ok(Reach::AlreadyAtLowest { .. }) => f64::NEG_INFINITY,
        Err(_) => f64::NAN,
    }
}

/// The ratio of two rates of which either may be infinite: not measured on that
/// side. A draw in which the anchor was reached below all measured rates counts as
/// an infinite ratio, one in which it was not reached as the least.
fn rate_ratio(rate: f64, anchor: f64) -> f64 {
    let log = |rate: f64| if rate == f64::NEG_INFINITY { rate } else { rate.ln() };
    match log(rate) - log(anchor) {
        ratio if ratio == f64::NEG_INFINITY || ratio == f64::INFINITY => ratio,
        ratio => ratio.exp(),
    }
}

impl From<Interval> for Value {
    fn from(Interval { estimate, low, high, n, clusters }: Interval) -> Self {
        let enough = clusters >= LEAST_CLUSTERS as u64;
        Self { estimate, interval: enough.then_some((low, high)), n, clusters }
    }
}

/// How a size is appended to a name.
fn at(resize: &str) -> String {
    if resize == "none" { String::new() } else { format!(" at {resize}") }
}

/// An operating point's whole name.
pub(super) fn title(coding: &OperatingPoint) -> String {
    let knob = coding.knob.map(|knob| format!(" {}", knob.0)).unwrap_or_default();
    format!("{} {}{knob}{}", coding.codec, coding.preset, at(&coding.resize))
}

/// What stands beside a point: where the knob stood, and the size.
fn label(coding: &OperatingPoint) -> String {
    let knob = coding.knob.map(|knob| knob.0.to_string()).unwrap_or_default();
    format!("{knob}{}", at(&coding.resize)).trim().to_owned()
}
