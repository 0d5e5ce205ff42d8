//! Rate against agreement, as one SVG file that reads well in light and dark.

use crate::summary::OperatingPoint;
use afferent_media::Modality;
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 68.0;

/// Colours in light and dark, told apart by people with any colour vision
/// (after Okabe and Ito, lightened for dark ground).
const COLOURS: [(&str, &str); 6] = [
    ("#0072b2", "#56b4e9"),
    ("#c8500a", "#ff9b57"),
    ("#00875f", "#35cfa2"),
    ("#a8478f", "#e79ad2"),
    ("#9a7200", "#f2c94c"),
    ("#5a52c8", "#aba6ff"),
];

/// One line of the plot.
struct Series<'a> {
    name: String,
    points: Vec<Figure<'a>>,
}

/// One operating point with what the plot shows of it.
#[derive(Clone, Copy)]
struct Figure<'a> {
    point: &'a OperatingPoint,
    bpp: f64,
    share: f64,
    low: f64,
    high: f64,
}

/// Draws codec rate in bits per source pixel (logarithmic) against top-1
/// agreement with the pristine prediction, with its 95 % intervals: one line per
/// codec and preset, codecs without a knob as horizontal references. `data`
/// names the samples, for example `bundled photographs`. `None` if no point of
/// images has an agreement.
#[must_use]
pub fn agreement(points: &[OperatingPoint], data: &str) -> Option<String> {
    let images: Vec<&OperatingPoint> =
        points.iter().filter(|point| point.kind() == Some(Modality::Image) && point.top1_agreement.is_some()).collect();
    let (lines, references) = series(&images);
    if lines.is_empty() && references.is_empty() {
        return None;
    }
    let frame = Frame::around(&lines, &references);
    let mut canvas = Canvas::default();
    canvas.title(&images, data);
    canvas.axes(&frame);
    for reference in &references {
        canvas.reference(&frame, reference);
    }
    for (index, line) in lines.iter().enumerate() {
        canvas.line(&frame, index, line);
    }
    // Texts come last, where they cover least; names before the rest.
    for (index, line) in lines.iter().enumerate() {
        canvas.name(&frame, index, line);
    }
    for reference in &references {
        canvas.reference_name(&frame, reference);
    }
    for line in &lines {
        canvas.knobs(&frame, line);
    }
    Some(canvas.finish())
}

/// The lines, and the references: codecs without a knob.
fn series<'a>(images: &[&'a OperatingPoint]) -> (Vec<Series<'a>>, Vec<Figure<'a>>) {
    let differ = |key: fn(&OperatingPoint) -> &str| images.windows(2).any(|pair| key(pair[0]) != key(pair[1]));
    let models = differ(|point| point.model.as_deref().unwrap_or_default());
    let sizes = differ(|point| &point.resize);
    let (mut lines, mut references) = (Vec::<Series<'a>>::new(), Vec::new());
    for &point in images {
        let (Some(bpp), Some(share), Some(low), Some(high)) = (
            point.codec_bpp_total.filter(|&bpp| bpp > 0.0),
            point.top1_agreement,
            point.top1_agreement_ci95_low,
            point.top1_agreement_ci95_high,
        ) else {
            continue;
        };
        let figure = Figure { point, bpp, share, low, high };
        if point.knob.is_none() {
            references.push(figure);
            continue;
        }
        let mut name = format!("{} {}", point.codec, point.preset);
        if let Some(model) = point.model.as_deref().filter(|_| models) {
            let _ = write!(name, ", {model}");
        }
        if sizes {
            let _ = write!(name, ", resize {}", point.resize);
        }
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(figure),
            None => lines.push(Series { name, points: vec![figure] }),
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.bpp.total_cmp(&b.bpp));
    }
    (lines, references)
}

/// Where values lie on the canvas.
struct Frame {
    /// Least and greatest rate, as decimal logarithms.
    rates: (f64, f64),
    /// Least share shown; the greatest is 1.
    floor: f64,
}

impl Frame {
    fn around(lines: &[Series<'_>], references: &[Figure<'_>]) -> Self {
        let on_lines = || lines.iter().flat_map(|line| &line.points);
        let rates: Vec<f64> = if lines.is_empty() {
            references.iter().map(|figure| figure.bpp.log10()).collect()
        } else {
            on_lines().map(|figure| figure.bpp.log10()).collect()
        };
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let margin = (0.09 * (greatest - least)).max(0.15);
        let low = on_lines().chain(references).map(|figure| figure.low).fold(1.0, f64::min);
        let floor = ((low * 10.0).floor() / 10.0).clamp(0.0, 0.9);
        Self { rates: (least - margin, greatest + margin), floor }
    }

    fn x(&self, bpp: f64) -> f64 {
        let (least, greatest) = self.rates;
        LEFT + (bpp.log10() - least) / (greatest - least) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, share: f64) -> f64 {
        TOP + (1.0 - share) / (1.0 - self.floor) * (HEIGHT - TOP - BOTTOM)
    }

    fn place(&self, figure: &Figure<'_>) -> (f64, f64) {
        (self.x(figure.bpp), self.y(figure.share))
    }

    /// Rates of 1, 2 and 5 times a power of ten inside the frame.
    #[allow(clippy::cast_possible_truncation)]
    fn rate_ticks(&self) -> Vec<f64> {
        let decades = self.rates.0.floor() as i32..=self.rates.1.floor() as i32;
        decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(decade)))
            .filter(|rate| (self.rates.0..=self.rates.1).contains(&rate.log10()))
            .collect()
    }

    /// Shares at a step that leaves at most eleven lines.
    fn share_ticks(&self) -> Vec<f64> {
        let step = if 1.0 - self.floor > 0.21 { 10u32 } else { 2 };
        (0..=100)
            .step_by(step as usize)
            .map(|percent| f64::from(percent) / 100.0)
            .filter(|&s| s >= self.floor - 1e-9)
            .collect()
    }
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

    fn overlap(&self, other: &Self) -> f64 {
        let across = self.right.min(other.right) - self.left.max(other.left);
        let down = self.bottom.min(other.bottom) - self.top.max(other.top);
        if across > 0.0 && down > 0.0 { across * down } else { 0.0 }
    }

    /// How much of it lies outside the plot.
    fn outside(&self) -> f64 {
        (LEFT + 4.0 - self.left).max(0.0)
            + (self.right - (WIDTH - 6.0)).max(0.0)
            + (TOP - 24.0 - self.top).max(0.0)
            + (self.bottom - (HEIGHT - BOTTOM - 2.0)).max(0.0)
    }
}

/// The body of the drawing, and what texts must keep clear of.
#[derive(Default)]
struct Canvas {
    body: String,
    taken: Vec<Area>,
}

impl Canvas {
    fn title(&mut self, images: &[&OperatingPoint], data: &str) {
        let counts = || images.iter().filter_map(|point| point.top1_agreement_n);
        let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let n = if least == most { format!("n = {least}") } else { format!("n = {least} to {most}") };
        let mut models: Vec<_> = images.iter().filter_map(|point| point.model.as_deref()).collect();
        models.sort_unstable();
        models.dedup();
        self.text(LEFT, 34.0, "title", "start", "What a bit buys: agreement with the pristine prediction");
        let under =
            format!("{data}, {n} per point · {} · numbers: knob · bars: 95 % interval (Wilson)", models.join(", "));
        self.text(LEFT, 58.0, "soft", "start", &under);
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let _ = writeln!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escape(text)
        );
    }

    fn stroke(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = writeln!(self.body, r#"<path class="{class}" d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}"/>"#);
    }

    fn axes(&mut self, frame: &Frame) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for share in frame.share_ticks() {
            let y = frame.y(share);
            self.stroke("grid", (LEFT, y), (right, y));
            self.text(LEFT - 10.0, y + 4.5, "tick", "end", &format!("{:.0}", 100.0 * share));
        }
        for rate in frame.rate_ticks() {
            let x = frame.x(rate);
            self.stroke("axis", (x, bottom), (x, bottom + 5.0));
            self.text(x, bottom + 22.0, "tick", "middle", &rate_label(rate));
        }
        self.stroke("axis", (LEFT, bottom), (right, bottom));
        self.text(
            f64::midpoint(LEFT, right),
            HEIGHT - 16.0,
            "soft",
            "middle",
            "codec rate, bits per source pixel (log)",
        );
        let y = f64::midpoint(TOP, bottom);
        let _ = writeln!(
            self.body,
            r#"<text class="soft" transform="translate(22 {y:.1}) rotate(-90)" text-anchor="middle">top-1 agreement, %</text>"#
        );
    }

    /// A horizontal line at the agreement of a codec without a knob.
    fn reference(&mut self, frame: &Frame, figure: &Figure<'_>) {
        let y = frame.y(figure.share);
        self.stroke("reference", (LEFT, y), (WIDTH - RIGHT, y));
        self.taken.push(Area { left: LEFT, top: y - 1.0, right: WIDTH - RIGHT, bottom: y + 1.0 });
    }

    /// What a reference is, and its rate.
    fn reference_name(&mut self, frame: &Frame, figure: &Figure<'_>) {
        let y = frame.y(figure.share);
        let kind = if figure.point.lossless() { "lossless" } else { "no knob" };
        let text = format!("{} ({kind}): {} bpp", figure.point.codec, rate_label(figure.bpp));
        let (left, right) = (LEFT + 4.0, WIDTH - RIGHT - 4.0);
        let places =
            [(right, y - 7.0, "end"), (left, y - 7.0, "start"), (right, y + 16.0, "end"), (left, y + 16.0, "start")];
        self.place_text("soft", &text, 13.0, &places);
    }

    fn line(&mut self, frame: &Frame, index: usize, line: &Series<'_>) {
        let places: Vec<(f64, f64)> = line.points.iter().map(|figure| frame.place(figure)).collect();
        let colour = index % COLOURS.len();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let _ = writeln!(self.body, r#"<path class="line s{colour}" d="M{}"/>"#, path.join("L"));
        for pair in places.windows(2) {
            for step in 1..16 {
                let part = f64::from(step) / 16.0;
                let x = pair[0].0 + part * (pair[1].0 - pair[0].0);
                let y = pair[0].1 + part * (pair[1].1 - pair[0].1);
                self.taken.push(Area::around(x, y, 3.0));
            }
        }
        for (figure, &(x, y)) in line.points.iter().zip(&places) {
            let (top, bottom) = (frame.y(figure.high), frame.y(figure.low));
            let _ = writeln!(
                self.body,
                r#"<path class="bar s{colour}" d="M{x:.1} {top:.1}V{bottom:.1}M{:.1} {top:.1}h8M{:.1} {bottom:.1}h8"/>"#,
                x - 4.0,
                x - 4.0
            );
            self.taken.push(Area { left: x - 4.0, top, right: x + 4.0, bottom });
            self.taken.push(Area::around(x, y, 7.0));
        }
        for (figure, (x, y)) in line.points.iter().zip(places) {
            let point = figure.point;
            let label = format!(
                "{} {}: {:.3} bpp, {:.1} % [{:.1}, {:.1}], n = {}",
                line.name,
                knob(point),
                figure.bpp,
                100.0 * figure.share,
                100.0 * figure.low,
                100.0 * figure.high,
                point.top1_agreement_n.unwrap_or(0)
            );
            let _ = writeln!(
                self.body,
                r#"<path class="mark f{colour}" d="{}"><title>{}</title></path>"#,
                marker(index, x, y),
                escape(&label)
            );
        }
    }

    /// The line's name, in its colour, near one of its ends.
    fn name(&mut self, frame: &Frame, index: usize, line: &Series<'_>) {
        let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else { return };
        let ((left, low), (right, high)) = (frame.place(first), frame.place(last));
        let places = [
            (left - 12.0, low + 5.0, "end"),
            (right + 12.0, high + 5.0, "start"),
            (right + 10.0, high + 22.0, "start"),
            (left + 12.0, low + 16.0, "start"),
            (left - 10.0, low - 10.0, "end"),
            (left - 10.0, low + 22.0, "end"),
            (right, high + 34.0, "middle"),
        ];
        self.place_text(&format!("name f{}", index % COLOURS.len()), &line.name, 15.0, &places);
    }

    /// The knob's value at each point.
    fn knobs(&mut self, frame: &Frame, line: &Series<'_>) {
        for figure in &line.points {
            let (x, y) = frame.place(figure);
            let places = [
                (x + 9.0, y + 16.0, "start"),
                (x - 9.0, y - 8.0, "end"),
                (x + 9.0, y - 8.0, "start"),
                (x - 9.0, y + 16.0, "end"),
                (x + 11.0, y + 4.0, "start"),
                (x - 11.0, y + 4.0, "end"),
            ];
            self.place_text("knob", &knob(figure.point), 11.0, &places);
        }
    }

    /// Writes `text` at whichever of `places` covers least.
    fn place_text(&mut self, class: &str, text: &str, size: f64, places: &[(f64, f64, &'static str)]) {
        let width = text_width(text, size);
        let area = |&(x, y, anchor): &(f64, f64, &str)| {
            let left = match anchor {
                "end" => x - width,
                "middle" => x - width / 2.0,
                _ => x,
            };
            Area { left, top: y - 0.8 * size, right: left + width, bottom: y + 0.25 * size }
        };
        let cost = |place: &(f64, f64, &str)| {
            let area = area(place);
            100.0 * area.outside() + self.taken.iter().map(|taken| area.overlap(taken)).sum::<f64>()
        };
        let Some(best) = places.iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).copied() else { return };
        self.taken.push(area(&best));
        // A rim in the colour of the ground, as a text of its own: not every
        // renderer can draw the stroke below the fill.
        self.text(best.0, best.1, &format!("{class} rim"), best.2, text);
        self.text(best.0, best.1, class, best.2, text);
    }

    fn finish(self) -> String {
        let mut style = String::from(
            "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#24292f}\
             .title{font-size:19px;font-weight:600}.soft{fill:#57606a}.tick{fill:#57606a;font-size:12px}\
             .name{font-size:15px;font-weight:600}.knob{font-size:11px;fill:#57606a}\
             .rim{stroke:#ffffff;stroke-width:4px;stroke-linejoin:round}\
             path{fill:none}.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#57606a;stroke-width:1}\
             .reference{stroke:#57606a;stroke-width:1.5;stroke-dasharray:6 5}\
             .line{stroke-width:2.5;stroke-linejoin:round}.bar{stroke-width:1.5;stroke-opacity:.55}\
             .mark{stroke:#ffffff;stroke-width:1.5}.ground{fill:#ffffff}",
        );
        let mut dark = String::from(
            "text{fill:#e6edf3}.soft,.tick,.knob{fill:#9da7b3}.rim{stroke:#0d1117}.grid{stroke:#262c36}\
             .axis,.reference{stroke:#9da7b3}.mark{stroke:#0d1117}.ground{fill:#0d1117}",
        );
        for (index, (light, night)) in COLOURS.iter().enumerate() {
            let _ = write!(style, ".s{index}{{stroke:{light}}}.f{index}{{fill:{light}}}");
            let _ = write!(dark, ".s{index}{{stroke:{night}}}.f{index}{{fill:{night}}}");
        }
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="Codec rate against top-1 agreement with the pristine prediction">
<style>{style}@media (prefers-color-scheme:dark){{{dark}}}</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>
{}</svg>
"#,
            self.body
        )
    }
}

/// The outline of a marker: lines differ in shape as well as in colour.
fn marker(index: usize, x: f64, y: f64) -> String {
    let r = 6.0;
    match index % 5 {
        0 => format!("M{:.1} {y:.1}a{r} {r} 0 1 0 12 0a{r} {r} 0 1 0 -12 0z", x - r),
        1 => format!("M{:.1} {:.1}h11v11h-11z", x - 5.5, y - 5.5),
        2 => format!("M{x:.1} {:.1}l7 12.2h-14z", y - 7.8),
        3 => format!("M{x:.1} {:.1}l7.5 7.5l-7.5 7.5l-7.5 -7.5z", y - 7.5),
        _ => format!("M{x:.1} {:.1}l7 -12.2h-14z", y + 7.8),
    }
}

fn knob(point: &OperatingPoint) -> String {
    point.knob.map(|knob| knob.to_string()).unwrap_or_default()
}

/// A rate to three significant digits at most.
fn rate_label(bpp: f64) -> String {
    let text = match bpp {
        bpp if bpp >= 9.995 => format!("{bpp:.1}"),
        bpp if bpp >= 0.9995 => format!("{bpp:.2}"),
        bpp => format!("{bpp:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// About how wide `text` is at a font size: sans-serif faces take half to
/// three fifths of it per letter.
#[allow(clippy::cast_precision_loss)]
fn text_width(text: &str, size: f64) -> f64 {
    0.58 * size * text.chars().count() as f64
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::summarise;
    use crate::summary::tests::{images, sounds};

    fn plot(rows: Vec<afferent_measure::Row>) -> Option<String> {
        agreement(&summarise(rows.into_iter().map(Ok)).unwrap(), "made-up <photographs>")
    }

    #[test]
    fn a_plot_shows_every_point_and_says_its_data() {
        let svg = plot(
            [
                images("jpeg", "420", Some(5.0), 8000, 3, 96),
                images("jpeg", "420", Some(25.0), 19_000, 8, 96),
                images("jpeg", "420", Some(75.0), 45_000, 32, 96),
                images("webp", "m4", Some(0.0), 4200, 3, 96),
                images("webp", "m4", Some(25.0), 11_000, 9, 96),
                images("webp", "m4", Some(75.0), 28_000, 24, 96),
                images("png", "balanced", None, 400_000, 0, 96),
                sounds("opus", Some(6.0), 3000, 12),
            ]
            .concat(),
        )
        .unwrap();
        if let Ok(path) = std::env::var("AFFERENT_PLOT") {
            std::fs::write(path, &svg).unwrap();
        }
        assert_eq!(svg.matches("class=\"mark ").count(), 6);
        for part in
            ["n = 96 per point", "made-up &lt;photographs&gt;", ">jpeg 420<", ">webp m4<", "png (lossless): 10.4 bpp"]
        {
            assert!(svg.contains(part), "`{part}` is missing");
        }
        assert!(!svg.contains("opus") && !svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn odd_sets_still_make_a_plot() {
        assert_eq!(plot(vec![]), None);
        assert_eq!(plot(sounds("opus", Some(6.0), 3000, 12)), None);
        for rows in [
            images("png", "balanced", None, 400_000, 0, 3),
            images("jpeg", "420", Some(5.0), 9000, 1, 1),
            (0..12).flat_map(|k| images(&format!("codec{k}"), "p", Some(1.0), 9000 + k, 1, 2)).collect(),
        ] {
            let svg = plot(rows).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf\""));
        }
    }

    #[test]
    fn rates_are_written_short() {
        assert_eq!(
            [0.05, 0.2, 1.0, 2.0, 10.0, 0.1234, 10.42].map(rate_label),
            ["0.05", "0.2", "1", "2", "10", "0.123", "10.4"]
        );
    }
}
