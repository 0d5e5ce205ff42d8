//! Charts: series of points over two axes, as SVG that reads well in light and
//! in dark.
//!
//! A [`Chart`] is drawn as a file of its own, with its colours inside, or
//! [`inline`](Chart::inline) into a page that has [`rules`] and [`variables`] in
//! its style. Series differ in colour, in marker and, beyond eight, in dash, so
//! that no difference is told by colour alone.

use maud::{Markup, PreEscaped, html};
use std::collections::BTreeMap;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 36.0;
const BOTTOM: f64 = 68.0;
/// Height of the plot between its axes.
const PLOT: f64 = 380.0;
/// Above the plot: with a title, and without.
const TITLED: f64 = 92.0;
const BARE: f64 = 30.0;

/// How many series there are before a combination of colour, marker and dash comes again.
pub const STYLES: usize = 24;

/// Colours in light and dark: first those of text, rules and ground, then those
/// of series, told apart by people with any colour vision (after Okabe and Ito,
/// lightened for dark ground).
const COLOURS: [(&str, &str, &str); 12] = [
    ("--ink", "#24292f", "#e6edf3"),
    ("--soft", "#57606a", "#9da7b3"),
    ("--grid", "#d8dee4", "#262c36"),
    ("--ground", "#ffffff", "#0d1117"),
    ("--c0", "#0072b2", "#56b4e9"),
    ("--c1", "#c8500a", "#ff9b57"),
    ("--c2", "#00875f", "#35cfa2"),
    ("--c3", "#a8478f", "#e79ad2"),
    ("--c4", "#9a7200", "#f2c94c"),
    ("--c5", "#5a52c8", "#aba6ff"),
    ("--c6", "#0b7f8f", "#6fe3ef"),
    ("--c7", "#7a4a2b", "#d3a584"),
];
const HUES: usize = 8;

const RULES: &str = "\
    .chart text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink)}\
    .chart .title{font-size:19px;font-weight:600}.chart .soft{fill:var(--soft)}\
    .chart .tick{fill:var(--soft);font-size:12px}.chart .name{font-size:15px;font-weight:600}\
    .chart .knob{font-size:11px;fill:var(--soft)}\
    .chart .rim{stroke:var(--ground);stroke-width:4px;stroke-linejoin:round}\
    .chart path{fill:none}.chart .grid{stroke:var(--grid);stroke-width:1}.chart .axis{stroke:var(--soft);stroke-width:1}\
    .chart .reference{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:6 5}\
    .chart .line{stroke-width:2.5;stroke-linejoin:round}.chart .dashed{stroke-dasharray:9 4}\
    .chart .bar{stroke-width:1.5;stroke-opacity:.55}.chart .mark{stroke:var(--ground);stroke-width:1.5}\
    .chart .faint .line{stroke-width:1;stroke-opacity:.45}.chart .faint .mark{fill-opacity:.5;stroke-width:.5}\
    .chart .ground{fill:var(--ground)}";

/// The style of charts, in terms of [`variables`].
#[must_use]
pub fn rules() -> String {
    let hues =
        (0..HUES).map(|hue| format!(".chart .s{hue}{{stroke:var(--c{hue})}}.chart .f{hue}{{fill:var(--c{hue})}}"));
    RULES.to_owned() + &hues.collect::<String>()
}

/// The colours of light or dark ground, as declarations of CSS variables:
/// `--ink`, `--soft`, `--grid`, `--ground`, and `--c0` on for series.
#[must_use]
pub fn variables(dark: bool) -> String {
    COLOURS.iter().map(|(name, light, night)| format!("{name}:{};", if dark { night } else { light })).collect()
}

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equally long.
    Linear,
    /// Equal ratios are equally long; only values above zero are shown.
    Log,
}

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// How values lie along it.
    pub scale: Scale,
    /// Its ends; around the points, with a margin, where `None`.
    pub bounds: Option<(f64, f64)>,
}

impl Axis {
    /// An axis that ends around its points.
    #[must_use]
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        Self { label: label.into(), scale, bounds: None }
    }

    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }
}

/// One point of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// Its place along the horizontal axis, in that axis's unit.
    pub x: f64,
    /// Its place along the vertical axis, in that axis's unit.
    pub y: f64,
    /// Ends of its interval along the vertical axis.
    pub interval: Option<(f64, f64)>,
    /// What stands beside it where there is room: its knob.
    pub label: String,
    /// All that is to be said of it, in words.
    pub note: String,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A line through marked points, with its name and intervals.
    Curve,
    /// A thin line with small marks, behind the curves.
    Faint,
    /// Marks alone, each with its label.
    Marks,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its colour, marker and dash: series of equal style are drawn alike.
    pub style: usize,
    /// How it is drawn.
    pub kind: Kind,
    /// Its points, in the order of its line.
    pub points: Vec<Point>,
}

/// A horizontal line to compare with.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its place along the vertical axis.
    pub y: f64,
    /// What it is.
    pub name: String,
}

/// Series of points over two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What the chart asks or says.
    pub title: String,
    /// Of what, how many, and how to read it.
    pub note: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What it shows.
    pub series: Vec<Series>,
    /// What it compares with.
    pub levels: Vec<Level>,
}

impl Chart {
    /// The chart as an SVG file with title and colours. Points that an axis
    /// cannot show (not finite, or not above zero on a logarithmic one) are left out.
    #[must_use]
    pub fn standalone(&self) -> String {
        let resolved = |dark: bool| {
            COLOURS.iter().fold(rules(), |rules, (name, light, night)| {
                rules.replace(&format!("var({name})"), if dark { night } else { light })
            })
        };
        let style = format!("{}@media (prefers-color-scheme:dark){{{}}}", resolved(false), resolved(true));
        let height = TITLED + PLOT + BOTTOM;
        let mut svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox=(format!("0 0 {WIDTH} {height}"))
                width=(WIDTH) height=(height) role="img" aria-label=(self.title) {
                style { (PreEscaped(style)) }
                rect class="ground" width=(WIDTH) height=(height) rx="8" {}
                text class="title" x=(LEFT) y="34" { (self.title) }
                text class="soft" x=(LEFT) y="58" { (self.note) }
                (self.body(TITLED, None))
            }
        }
        .into_string();
        svg.push('\n');
        svg
    }

    /// The chart for a page that says its title itself. Its points can have the
    /// keyboard's focus: the first is reached by Tab, the others have
    /// `tabindex="-1"` for a script to move it. What is drawn in style `k` is in
    /// groups of `data-style="k"`, thin series in such of the class `faint`.
    #[must_use]
    pub fn inline(&self) -> Markup {
        html! {
            svg class="chart" viewBox=(format!("0 0 {WIDTH} {}", BARE + PLOT + BOTTOM)) role="group"
                aria-roledescription="chart" aria-label=(self.title) {
                (self.body(BARE, Some(false)))
            }
        }
    }

    /// The styles of its curves and marks, each with its first name: a legend.
    #[must_use]
    pub fn legend(&self) -> BTreeMap<usize, &str> {
        let mut legend = BTreeMap::new();
        for series in self.series.iter().filter(|series| series.kind != Kind::Faint) {
            legend.entry(series.style).or_insert(series.name.as_str());
        }
        legend
    }

    /// Whether it has thin series.
    #[must_use]
    pub fn faint(&self) -> bool {
        self.series.iter().any(|series| series.kind == Kind::Faint)
    }

    /// How many points it shows.
    #[must_use]
    pub fn points(&self) -> usize {
        self.series.iter().flat_map(|series| self.shown(series)).count()
    }

    fn shown<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = &'a Point> {
        series.points.iter().filter(|point| self.x.shows(point.x) && self.y.shows(point.y))
    }

    fn body(&self, top: f64, reach: Option<bool>) -> Markup {
        let points = || self.series.iter().flat_map(|series| self.shown(series));
        let levels = || self.levels.iter().map(|level| level.y).filter(|&y| self.y.shows(y));
        let heights = || {
            let intervals = points().filter_map(|point| point.interval).flat_map(|(low, high)| [low, high]);
            points().map(|point| point.y).chain(levels()).chain(intervals.filter(|&y| self.y.shows(y)))
        };
        let frame = Frame {
            x: Span::of(&self.x, points().map(|point| point.x), (LEFT, WIDTH - RIGHT)),
            y: Span::of(&self.y, heights(), (top + PLOT, top)),
        };
        let mut canvas = Canvas { top, reach, ..Canvas::default() };
        canvas.axes(&frame, self);
        for level in self.levels.iter().filter(|level| self.y.shows(level.y)) {
            canvas.level(&frame, level);
        }
        let all: Vec<Drawn<'_>> = self
            .series
            .iter()
            .map(|series| {
                let places = self.shown(series).map(|point| (point, frame.x.at(point.x), frame.y.at(point.y)));
                Drawn { series, places: places.collect() }
            })
            .collect();
        // What is faint comes first, below the rest.
        let (faint, strong): (Vec<_>, Vec<_>) = all.iter().partition(|drawn| drawn.series.kind == Kind::Faint);
        for drawn in faint.into_iter().chain(strong) {
            canvas.series(&frame, drawn);
        }
        // Texts come last, where they cover least; names before the rest.
        for drawn in all.iter().filter(|drawn| drawn.series.kind == Kind::Curve) {
            canvas.name(drawn);
        }
        for level in self.levels.iter().filter(|level| self.y.shows(level.y)) {
            canvas.level_name(&frame, level);
        }
        for drawn in all.iter().filter(|drawn| drawn.series.kind != Kind::Faint) {
            canvas.labels(drawn);
        }
        PreEscaped(canvas.body)
    }
}

/// A series with the places of its points.
struct Drawn<'a> {
    series: &'a Series,
    places: Vec<(&'a Point, f64, f64)>,
}

/// Where the values of an axis lie on the canvas.
struct Span {
    scale: Scale,
    /// Least and greatest value; decimal logarithms on a logarithmic axis.
    ends: (f64, f64),
    /// Where those lie.
    places: (f64, f64),
}

impl Span {
    fn of(axis: &Axis, values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let scaled = |value: f64| if axis.scale == Scale::Log { value.log10() } else { value };
        let ends = match axis.bounds {
            Some((low, high)) => (scaled(low), scaled(high)),
            None => {
                let (low, high) = values
                    .map(scaled)
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
                let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
                let least = if axis.scale == Scale::Log { 0.15 } else { (0.02 * high.abs()).max(1e-3) };
                let margin = (0.09 * (high - low)).max(least);
                (low - margin, high + margin)
            }
        };
        Self { scale: axis.scale, ends, places }
    }

    fn at(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Log { value.log10() } else { value };
        let ((low, high), (from, to)) = (self.ends, self.places);
        from + (value - low) / (high - low) * (to - from)
    }

    /// Round values inside the span: at most about ten.
    fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.ends;
        if self.scale == Scale::Linear {
            return linear_ticks(low, high);
        }
        let steps: [&[f64]; 3] = [&[1.0], &[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]];
        let ticks = |steps: &[f64]| -> Vec<f64> {
            (integer(low)..=integer(high))
                .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)))
                .filter(|value| (low..=high).contains(&value.log10()))
                .collect()
        };
        let found = steps.into_iter().map(ticks).find(|ticks| ticks.len() >= 4);
        found.unwrap_or_else(|| linear_ticks(10f64.powf(low), 10f64.powf(high)))
    }
}

#[allow(clippy::cast_possible_truncation)]
fn integer(value: f64) -> i32 {
    value.floor() as i32
}

/// Multiples of 1, 2 or 5 times a power of ten, at most eleven.
fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 10.0;
    let power = 10f64.powi(integer(rough.log10()));
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * power);
    let first = integer((low / step - 1e-9).ceil());
    (first..).map(|count| f64::from(count) * step).take_while(|value| *value <= high + 1e-9 * step).take(12).collect()
}

struct Frame {
    x: Span,
    y: Span,
}

/// A rectangle that a text must not cover.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn around(x: f64, y: f64, reach: f64) -> Self {
        Self { left: x - reach, top: y - reach, right: x + reach, bottom: y + reach }
    }

    fn size(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    fn overlap(&self, other: &Self) -> f64 {
        let across = self.right.min(other.right) - self.left.max(other.left);
        let down = self.bottom.min(other.bottom) - self.top.max(other.top);
        if across > 0.0 && down > 0.0 { across * down } else { 0.0 }
    }
}

/// Where a text may stand: its place and its anchor.
type Place = (f64, f64, &'static str);

/// The body of the drawing, and what texts must keep clear of.
#[derive(Default)]
struct Canvas {
    top: f64,
    body: String,
    taken: Vec<Area>,
    /// On a page: whether a point can be reached by Tab already.
    reach: Option<bool>,
}

impl Canvas {
    fn put(&mut self, markup: &Markup) {
        self.body.push_str(&markup.0);
        self.body.push('\n');
    }

    fn text(&mut self, (x, y, anchor): Place, class: &str, text: &str) {
        self.put(&html! {
            text class=(class) x=(short_place(x)) y=(short_place(y)) text-anchor=(anchor) { (text) }
        });
    }

    fn stroke(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.put(&html! { path class=(class) d=(format!("M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}")) {} });
    }

    fn axes(&mut self, frame: &Frame, chart: &Chart) {
        let (right, bottom) = (WIDTH - RIGHT, self.top + PLOT);
        for value in frame.y.ticks() {
            let y = frame.y.at(value);
            self.stroke("grid", (LEFT, y), (right, y));
            self.text((LEFT - 10.0, y + 4.5, "end"), "tick", &short(value));
        }
        for value in frame.x.ticks() {
            let x = frame.x.at(value);
            self.stroke("axis", (x, bottom), (x, bottom + 5.0));
            self.text((x, bottom + 22.0, "middle"), "tick", &short(value));
        }
        self.stroke("axis", (LEFT, bottom), (right, bottom));
        self.text((f64::midpoint(LEFT, right), bottom + BOTTOM - 16.0, "middle"), "soft", &chart.x.label);
        let turned = format!("translate(22 {:.1}) rotate(-90)", self.top + PLOT / 2.0);
        self.put(&html! { text class="soft" transform=(turned) text-anchor="middle" { (chart.y.label) } });
    }

    fn level(&mut self, frame: &Frame, level: &Level) {
        let y = frame.y.at(level.y);
        self.stroke("reference", (LEFT, y), (WIDTH - RIGHT, y));
        self.taken.push(Area { left: LEFT, top: y - 1.0, right: WIDTH - RIGHT, bottom: y + 1.0 });
    }

    fn level_name(&mut self, frame: &Frame, level: &Level) {
        let y = frame.y.at(level.y);
        let (left, right) = (LEFT + 4.0, WIDTH - RIGHT - 4.0);
        let places =
            [(right, y - 7.0, "end"), (left, y - 7.0, "start"), (right, y + 16.0, "end"), (left, y + 16.0, "start")];
        if let Some(place) = self.room(&level.name, 13.0, &places, f64::INFINITY) {
            self.rimmed(place, "soft", &level.name);
        }
    }

    fn series(&mut self, frame: &Frame, drawn: &Drawn<'_>) {
        let Drawn { series, places } = drawn;
        let (hue, kind) = (series.style % HUES, series.kind);
        self.body.push_str(&format!(
            "<g data-style=\"{}\"{}>\n",
            series.style,
            if kind == Kind::Faint { " class=\"faint\"" } else { "" }
        ));
        if kind != Kind::Marks {
            let path: Vec<String> = places.iter().map(|(_, x, y)| format!("{x:.1} {y:.1}")).collect();
            let dash = if series.style % STYLES >= HUES { " dashed" } else { "" };
            self.put(&html! { path class={ "line s" (hue) (dash) } d={ "M" (path.join("L")) } {} });
        }
        if kind != Kind::Faint {
            self.take_line(places);
            for (point, x, y) in places {
                self.interval(frame, hue, point, *x);
                self.taken.push(Area::around(*x, *y, 7.0));
            }
        }
        for (point, x, y) in places {
            let reach = if kind == Kind::Faint { 0.55 } else { 1.0 };
            let outline = marker(series.style, *x, *y, reach);
            let turn = self.reach.as_mut().map(|reached| if std::mem::replace(reached, true) { "-1" } else { "0" });
            self.put(&html! {
                path class={ "mark f" (hue) } d=(outline) tabindex=[turn] role=[turn.map(|_| "img")] {
                    title { (point.note) }
                }
            });
        }
        self.body.push_str("</g>\n");
    }

    /// Keeps texts off the line through `places`.
    fn take_line(&mut self, places: &[(&Point, f64, f64)]) {
        for pair in places.windows(2) {
            let ((_, x1, y1), (_, x2, y2)) = (pair[0], pair[1]);
            for step in 1..16 {
                let part = f64::from(step) / 16.0;
                self.taken.push(Area::around(x1 + part * (x2 - x1), y1 + part * (y2 - y1), 3.0));
            }
        }
    }

    fn interval(&mut self, frame: &Frame, hue: usize, point: &Point, x: f64) {
        let Some((low, high)) = point.interval.filter(|(low, high)| low.is_finite() && high.is_finite()) else {
            return;
        };
        let (top, bottom) = (frame.y.at(high), frame.y.at(low));
        let left = x - 4.0;
        let path = format!("M{x:.1} {top:.1}V{bottom:.1}M{left:.1} {top:.1}h8M{left:.1} {bottom:.1}h8");
        self.put(&html! { path class={ "bar s" (hue) } d=(path) {} });
        self.taken.push(Area { left, top, right: x + 4.0, bottom });
    }

    /// The line's name, in its colour, near one of its ends.
    fn name(&mut self, drawn: &Drawn<'_>) {
        let (Some((_, left, low)), Some((_, right, high))) = (drawn.places.first(), drawn.places.last()) else {
            return;
        };
        let places = [
            (left - 12.0, low + 5.0, "end"),
            (right + 12.0, high + 5.0, "start"),
            (right + 10.0, high + 22.0, "start"),
            (left + 12.0, low + 16.0, "start"),
            (left - 10.0, low - 10.0, "end"),
            (left - 10.0, low + 22.0, "end"),
            (*right, high + 34.0, "middle"),
        ];
        let class = format!("name f{}", drawn.series.style % HUES);
        if let Some(place) = self.room(&drawn.series.name, 15.0, &places, f64::INFINITY) {
            self.in_style(drawn.series.style, |canvas| canvas.rimmed(place, &class, &drawn.series.name));
        }
    }

    /// What stands beside each point, where there is room for it.
    fn labels(&mut self, drawn: &Drawn<'_>) {
        for (point, x, y) in &drawn.places {
            let places = [
                (x + 9.0, y + 16.0, "start"),
                (x - 9.0, y - 8.0, "end"),
                (x + 9.0, y - 8.0, "start"),
                (x - 9.0, y + 16.0, "end"),
                (x + 11.0, y + 4.0, "start"),
                (x - 11.0, y + 4.0, "end"),
            ];
            if let Some(place) = self.room(&point.label, 11.0, &places, 0.1) {
                self.in_style(drawn.series.style, |canvas| canvas.rimmed(place, "knob", &point.label));
            }
        }
    }

    fn in_style(&mut self, style: usize, draw: impl FnOnce(&mut Self)) {
        self.body.push_str(&format!("<g data-style=\"{style}\">"));
        draw(self);
        self.body.push_str("</g>\n");
    }

    /// Takes whichever of `places` the text covers least at; none if it would
    /// cover more than `most` of its own size, or is empty.
    fn room(&mut self, text: &str, size: f64, places: &[Place], most: f64) -> Option<Place> {
        let width = text_width(text, size);
        let area = |&(x, y, anchor): &Place| {
            let left = match anchor {
                "end" => x - width,
                "middle" => x - width / 2.0,
                _ => x,
            };
            Area { left, top: y - 0.8 * size, right: left + width, bottom: y + 0.25 * size }
        };
        let outside = |area: &Area| {
            (LEFT + 4.0 - area.left).max(0.0)
                + (area.right - (WIDTH - 6.0)).max(0.0)
                + (self.top - 24.0 - area.top).max(0.0)
                + (area.bottom - (self.top + PLOT - 2.0)).max(0.0)
        };
        let cost = |place: &Place| {
            let area = area(place);
            100.0 * outside(&area) + self.taken.iter().map(|taken| area.overlap(taken)).sum::<f64>()
        };
        let (best, cost) = places.iter().map(|place| (place, cost(place))).min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let chosen = area(best);
        if text.is_empty() || cost > most * chosen.size() {
            return None;
        }
        self.taken.push(chosen);
        Some(*best)
    }

    /// A text with a rim in the colour of the ground, as a text of its own: not
    /// every renderer can draw the stroke below the fill.
    fn rimmed(&mut self, place: Place, class: &str, text: &str) {
        self.put(&html! {
            text class={ (class) " rim" } x=(short_place(place.0)) y=(short_place(place.1)) text-anchor=(place.2)
                aria-hidden="true" { (text) }
        });
        self.text(place, class, text);
    }
}

fn short_place(place: f64) -> String {
    format!("{place:.1}")
}

/// The marker of a style, for a legend on a page.
#[must_use]
pub fn swatch(style: usize) -> Markup {
    html! {
        svg class="chart swatch" viewBox="0 0 18 18" width="18" height="18" aria-hidden="true" {
            path class={ "mark f" (style % HUES) } d=(marker(style, 9.0, 9.0, 1.0)) {}
        }
    }
}

/// The outline of a marker of a style, `reach` times its usual size.
fn marker(style: usize, x: f64, y: f64, reach: f64) -> String {
    let r = 6.0 * reach;
    let corners = |corners: &[(f64, f64)]| {
        let corners: Vec<String> =
            corners.iter().map(|(dx, dy)| format!("{:.1} {:.1}", x + dx * r, y + dy * r)).collect();
        format!("M{}z", corners.join("L"))
    };
    match style % 6 {
        0 => {
            format!("M{:.1} {y:.1}a{r:.1} {r:.1} 0 1 0 {:.1} 0a{r:.1} {r:.1} 0 1 0 {:.1} 0z", x - r, 2.0 * r, -2.0 * r)
        }
        1 => corners(&[(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)]),
        2 => corners(&[(0.0, -1.3), (1.17, 0.73), (-1.17, 0.73)]),
        3 => corners(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
        4 => corners(&[(0.0, 1.3), (1.17, -0.73), (-1.17, -0.73)]),
        // A cross of equal arms.
        _ => corners(&[
            (-0.4, -1.2),
            (0.4, -1.2),
            (0.4, -0.4),
            (1.2, -0.4),
            (1.2, 0.4),
            (0.4, 0.4),
            (0.4, 1.2),
            (-0.4, 1.2),
            (-0.4, 0.4),
            (-1.2, 0.4),
            (-1.2, -0.4),
            (-0.4, -0.4),
        ]),
    }
}

/// A value to three significant digits at most, without an exponent.
#[must_use]
#[allow(clippy::cast_sign_loss)]
pub fn short(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { integer(value.abs().log10() + 1e-4) };
    let digits = (2 - magnitude).clamp(0, 9) as usize;
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// About how wide `text` is at a font size: sans-serif faces take half to
/// three fifths of it per letter.
#[allow(clippy::cast_precision_loss)]
fn text_width(text: &str, size: f64) -> f64 {
    0.58 * size * text.chars().count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Chart {
        let point = |&(x, y): &(f64, f64)| Point { x, y, note: format!("{x}, {y}"), ..Point::default() };
        Chart {
            title: "title <of> it".to_owned(),
            note: "n = 3".to_owned(),
            x: Axis::new("rate", Scale::Log),
            y: Axis::new("quality", Scale::Linear),
            series: vec![Series {
                name: "one".to_owned(),
                style: 0,
                kind: Kind::Curve,
                points: points.iter().map(point).collect(),
            }],
            levels: vec![],
        }
    }

    #[test]
    fn points_that_an_axis_cannot_show_are_left_out() {
        let chart = chart(&[(0.1, 1.0), (0.0, 2.0), (-1.0, 2.0), (1.0, f64::NAN), (f64::INFINITY, 1.0), (2.0, 3.0)]);
        assert_eq!(chart.points(), 2);
        let svg = chart.standalone();
        assert_eq!(svg.matches("class=\"mark ").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("title &lt;of&gt; it"));
        let inline = chart.inline().into_string();
        assert_eq!((inline.matches("tabindex=\"0\"").count(), inline.matches("tabindex=\"-1\"").count()), (1, 1));
        assert!(!inline.contains("<style") && !inline.contains("http"));
    }

    #[test]
    fn an_empty_chart_has_axes() {
        for points in [&[][..], &[(1.0, 5.0)], &[(1.0, 0.0), (1.0, 0.0)]] {
            let svg = chart(points).standalone();
            assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("quality"));
        }
    }

    #[test]
    fn ticks_are_round_and_few() {
        let linear = |low, high| linear_ticks(low, high).into_iter().map(short).collect::<Vec<_>>();
        assert_eq!(linear(20.0, 100.0), ["20", "30", "40", "50", "60", "70", "80", "90", "100"]);
        assert_eq!(linear(0.0, 1.0).len(), 11);
        assert_eq!(linear(24.9, 35.4), ["26", "28", "30", "32", "34"]);
        assert_eq!(linear(-0.3, 0.3), ["-0.3", "-0.2", "-0.1", "0", "0.1", "0.2", "0.3"]);
        let log = |low: f64, high: f64| {
            let span = Span { scale: Scale::Log, ends: (low.log10(), high.log10()), places: (0.0, 1.0) };
            span.ticks().into_iter().map(short).collect::<Vec<_>>()
        };
        assert_eq!(log(0.05, 2.1), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(log(0.001, 10_000.0), ["0.001", "0.01", "0.1", "1", "10", "100", "1000", "10000"]);
        assert_eq!(log(0.3, 0.75), ["0.3", "0.4", "0.5", "0.6", "0.7"]);
        assert_eq!(log(1.0, 1.1).first().map(String::as_str), Some("1"));
    }

    #[test]
    fn figures_are_written_short() {
        assert_eq!(
            [0.05, 0.2, 1.0, 2.0, 10.0, 0.1234, 10.42, 9.9996, 1234.5, -0.0001, 100.0].map(short),
            ["0.05", "0.2", "1", "2", "10", "0.123", "10.4", "10", "1234", "-0.0001", "100"]
        );
    }
}
