//! What a model makes of a data set at every operating point: charts and tables.

use super::analysis::{Coding, Draws, LEAST_CLUSTERS, Resampled, draw, inference, pristine, value};
use super::board::{Board, SOURCE, at, thickness, title};
use super::figure::Figure;
use super::grid::{Cell, Grid, Show, Value};
use super::page::{Section, slug};
use super::quality::METRICS;
use super::rows::{Seen, Set};
use crate::chart::{Axis, Chart, Kind, Level, Point, Scale, Series};
use afferent_measure::stats;
use afferent_measure::stats::correlation::{kendall, spearman};
use afferent_measure::stats::curve::pareto_front;
use afferent_measure::stats::equal_quality::{Reach, rate_at};
use afferent_media::Result;
use std::collections::BTreeMap;

/// Shares of the pristine figure at which rates are compared.
const SHARES: [f64; 4] = [0.99, 0.95, 0.90, 0.80];

/// The share at which the encoder's cost is compared.
const COST_SHARE: f64 = 0.95;

/// A model on a data set with its figures, and what resampling gives of each point.
pub(super) struct View<'a> {
    board: &'a Board<'a>,
    pub(super) model: usize,
    pub(super) figures: Vec<Figure>,
    draws: Vec<Draws>,
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
                "per preset and size: read on the upper hull of its points at the share of pristine; \
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
            name: codec.name.clone(),
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

    /// What each codec needs for a share of the pristine figure, and what of each other's
    /// need that is.
    fn equal_quality(&self, figure: usize) -> Grid {
        let (about, board) = (self.figures[figure], self.board);
        let rate = format!("rate, {}", board.set.unit());
        let ratios: Vec<String> = board.codecs.iter().map(|codec| format!("ratio to {}", codec.name)).collect();
        let mut columns = vec![
            ("codec", Show::Text),
            ("share of pristine", Show::Text),
            ("figure, %", Show::Number(2)),
            (rate.as_str(), Show::Range(4)),
        ];
        columns.extend(ratios.iter().map(|ratio| (ratio.as_str(), Show::Range(3))));
        columns.push(("", Show::Text));
        let mut grid = Grid::new(
            format!("Rate at equal {}", about.name()),
            "on the upper hull of the codec's points over presets, knobs and sizes: what a mixture of two of them takes for \
             least; bootstrap over groups, the whole hull recomputed from each draw",
            &columns,
        );
        let Some(pristine) = self.pristine(figure) else { return grid };
        for share in SHARES {
            let quality = share * pristine;
            let drawn: Vec<Resampled> =
                board.codecs.iter().map(|codec| self.rate_at(&codec.points, figure, quality)).collect();
            for (codec, own) in board.codecs.iter().zip(&drawn) {
                let remark = match own.whole {
                    rate if rate == f64::INFINITY => "not reached",
                    rate if rate == f64::NEG_INFINITY => "reached at the lowest rate measured",
                    rate if rate.is_nan() => "no curve",
                    _ if own.interval().is_none() && board.clusters() >= LEAST_CLUSTERS => {
                        "interval ends beyond what was measured"
                    }
                    _ => "",
                };
                let mut row = vec![
                    codec.name.clone().into(),
                    format!("{:.0} %", 100.0 * share).into(),
                    Cell::Number(quality),
                    self.over_points(own).into(),
                ];
                row.extend(drawn.iter().map(|other| {
                    // An infinite rate is one that was not measured: no ratio of the set without both.
                    let both = own.whole.is_finite() && other.whole.is_finite();
                    let ratio = Resampled::fold(&[own, other], |rates| rate_ratio(rates[0], rates[1]));
                    Cell::from(both.then(|| self.over_points(&ratio)).flatten())
                }));
                row.push(remark.into());
                grid.rows.push(row);
            }
        }
        grid.notes.push(format!(
            "Pristine: {pristine:.2} %. Ratios below 1 need less than the codec named above; the draws are the same for \
             both; nothing is extrapolated."
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
            series.push(Series { name: codec.name.clone(), style: codec.style, kind: Kind::Marks, points });
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
        ratio if ratio.is_infinite() => ratio,
        ratio => ratio.exp(),
    }
}
