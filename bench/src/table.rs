//! Operating points as tables for a terminal.

use crate::summary::OperatingPoint;
use afferent_media::Modality;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use std::fmt::Write;

/// Below so many samples a table says that its intervals are wide.
const FEW: u64 = 100;

/// The tables of images and of sound, with their footnotes, as plain text of at
/// most 120 columns without terminal escapes.
#[must_use]
pub fn render(points: &[OperatingPoint]) -> String {
    let mut text = String::new();
    for modality in [Modality::Image, Modality::Audio] {
        let of_kind: Vec<&OperatingPoint> = points.iter().filter(|point| point.kind() == Some(modality)).collect();
        let mut models: Vec<_> = of_kind.iter().map(|point| model(point)).collect();
        models.sort_unstable();
        models.dedup();
        for wanted in models {
            let group: Vec<_> = of_kind.iter().copied().filter(|point| model(point) == wanted).collect();
            if !text.is_empty() {
                text.push('\n');
            }
            section(&mut text, modality, wanted, &group);
        }
    }
    text
}

/// What a table has in common: data set, resizing, model and provider.
type Model<'a> = (Option<&'a str>, &'a str, Option<&'a str>, Option<&'a str>);

fn model(point: &OperatingPoint) -> Model<'_> {
    (point.data_set.as_deref(), &point.resize, point.model.as_deref(), point.provider.as_deref())
}

/// One column: its heading, and what it shows of a point.
type Column = (&'static str, fn(&OperatingPoint) -> String);

const IMAGES: &[Column] = &[
    ("codec", codec),
    (KNOB, knob),
    ("n", samples),
    ("codec\nbpp", |p| number(p.codec_bpp_total, 3)),
    ("transmit\nbpp", |p| number(p.transmit_bpp_total, 3)),
    ("PSNR\ndB", |p| decibels(p, p.psnr_db_pooled)),
    ("SSIM\n", |p| number(p.ssim_mean, 3)),
    ("agreement\n% [95 % interval]", agreement),
    ("encode\nms", |p| times(p.encode_ms_p50, p.encode_ms_p95)),
    ("decode\nms", |p| times(p.decode_ms_p50, p.decode_ms_p95)),
    ("link\nms", |p| times(p.link_ms_p50, p.link_ms_p95)),
    ("infer\nms", |p| times(p.infer_ms_p50, p.infer_ms_p95)),
];

const SOUND: &[Column] = &[
    ("codec", codec),
    (KNOB, knob),
    ("n", samples),
    ("codec\nkbps", |p| number(p.codec_kbps_total, 2)),
    ("transmit\nkbps", |p| number(p.transmit_kbps_total, 2)),
    ("SI-SDR\ndB", |p| decibels(p, p.si_sdr_db_mean)),
    ("encode\nms", |p| times(p.encode_ms_p50, p.encode_ms_p95)),
    ("decode\nms", |p| times(p.decode_ms_p50, p.decode_ms_p95)),
    ("link\nms", |p| times(p.link_ms_p50, p.link_ms_p95)),
];

const KNOB: &str = "knob";

/// Columns apart by two spaces, one rule under the headings.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

fn section(
    text: &mut String,
    modality: Modality,
    (data, resize, model, provider): Model<'_>,
    points: &[&OperatingPoint],
) {
    let (name, columns) = match modality {
        Modality::Image => ("Images", IMAGES),
        Modality::Audio => ("Sound", SOUND),
    };
    text.push_str(name);
    if let Some(data) = data {
        let _ = write!(text, " · {data}");
    }
    if let Some(model) = model {
        let _ = write!(text, " · {model}{}", provider.map(|p| format!(" on {p}")).unwrap_or_default());
    }
    if resize != "none" {
        let _ = write!(text, " · resized: {resize}");
    }
    text.push_str("\n\n");

    // One name for all knobs moves into the heading.
    let mut names: Vec<&str> = points.iter().filter_map(|point| point.knob_name.as_deref()).collect();
    names.dedup();
    let shared = if let [name] = names[..] { Some(name) } else { None };
    let heads = columns.iter().map(|(heading, _)| shared.filter(|_| *heading == KNOB).unwrap_or(heading).to_owned());
    let rows = points.iter().map(|point| {
        let bare = |heading: &str| shared.is_some() && heading == KNOB;
        columns.iter().map(move |(heading, show)| if bare(heading) { plain_knob(point) } else { show(point) })
    });
    text.push_str(&lines(heads, rows));
    text.push('\n');
    for note in footnotes(modality, points) {
        text.push_str(&wrap(&note));
    }
}

/// A table under its headings, the first column to the left and the others to
/// the right, without terminal escapes.
pub(crate) fn lines<R>(heads: impl Iterator<Item = String>, rows: impl Iterator<Item = R>) -> String
where
    R: Iterator<Item = String>,
{
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    table.set_header(heads);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn footnotes(modality: Modality, points: &[&OperatingPoint]) -> Vec<String> {
    let unit = match modality {
        Modality::Image => "Rates are total bits over total pixels of the source images",
        Modality::Audio => "Rates are total bits over total seconds of the source sound",
    };
    let mut notes = vec![format!(
        "{unit}. codec: payload, side information, codec headers; transmit: all that crossed the link, with container, \
         framing and the transport's resends, acknowledgements, IP and UDP headers; the connection's handshake is stated apart."
    )];
    if points.iter().any(|point| point.top1_agreement.is_some()) {
        notes.push(
            "agreement: top-1 agreement with the pristine prediction, the same model's on the sample before coding, \
             with its 95\u{a0}% interval (Wilson)."
                .to_owned(),
        );
    }
    notes.push(
        "ms: p50/p95; link is told by two clocks and may be off by their error (clock_error_ms in the rows)."
            .to_owned(),
    );
    if points.iter().any(|point| point.lossless()) {
        notes.push("∞: every sample was decoded exactly.".to_owned());
    }
    if points.iter().any(|point| point.n < FEW) {
        notes.push(format!(
            "n is small (below {FEW}): intervals are wide, and differences between lines may be chance."
        ));
    }
    if points.iter().any(|point| weak(point)) {
        notes.push("*: no SIMD in this build: a weak opponent; its times are no fair comparison.".to_owned());
    }
    for point in points.iter().filter(|point| point.failures > 0) {
        notes.push(format!(
            "!: {} of {} samples of {} failed{}; {}.",
            point.failures,
            point.n,
            [codec(point), knob(point)].join(" ").trim_end_matches([' ', '–']),
            if point.top1_agreement.is_some() { " and count as misses" } else { "" },
            point.first_failure.as_deref().unwrap_or("no reason recorded")
        ));
    }
    notes
}

/// `note` in lines of at most 118 columns, as an item of a list.
pub(crate) fn wrap(note: &str) -> String {
    let mut text = String::from(" ·");
    let mut column = 2;
    for word in note.split(' ') {
        let length = word.chars().count();
        if column + 1 + length > 118 {
            text.push_str("\n  ");
            column = 2;
        }
        text.push(' ');
        text.push_str(word);
        column += 1 + length;
    }
    text.push('\n');
    text
}

fn weak(point: &OperatingPoint) -> bool {
    point.codec_simd == "no"
}

fn codec(point: &OperatingPoint) -> String {
    let mark = if weak(point) { "*" } else { "" };
    match &point.synthesis {
        // The name is long as it is.
        Some(_) => format!("{}{mark}", point.coder()),
        None => format!("{} {}{mark}", point.codec, point.preset),
    }
}

fn knob(point: &OperatingPoint) -> String {
    match (&point.knob_name, point.knob) {
        (Some(name), Some(knob)) => format!("{name} {knob}"),
        _ => plain_knob(point),
    }
}

fn plain_knob(point: &OperatingPoint) -> String {
    point.knob.map_or_else(|| NONE.to_owned(), |knob| knob.to_string())
}

fn samples(point: &OperatingPoint) -> String {
    format!("{}{}", point.n, if point.failures > 0 { "!" } else { "" })
}

/// What stands where a figure does not apply.
const NONE: &str = "–";

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.digits$}"))
}

fn decibels(point: &OperatingPoint, value: Option<f64>) -> String {
    if value.is_none() && point.lossless() { "∞".to_owned() } else { number(value, 1) }
}

fn agreement(point: &OperatingPoint) -> String {
    match (point.top1_agreement, point.top1_agreement_ci95_low, point.top1_agreement_ci95_high) {
        (Some(share), Some(low), Some(high)) => {
            format!("{:.1} [{:>4.1}, {:>5.1}]", 100.0 * share, 100.0 * low, 100.0 * high)
        }
        _ => NONE.to_owned(),
    }
}

fn times(p50: Option<f64>, p95: Option<f64>) -> String {
    match (p50, p95) {
        (Some(p50), Some(p95)) => format!("{}/{}", time(p50), time(p95)),
        _ => NONE.to_owned(),
    }
}

/// A time to about two significant digits.
fn time(ms: f64) -> String {
    match ms {
        ms if ms.abs() < 0.995 => format!("{ms:.2}"),
        ms if ms.abs() < 9.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::summarise;
    use crate::summary::tests::{images, sounds};
    use afferent_measure::Row;

    fn table(rows: Vec<Row>) -> String {
        render(&summarise(rows.into_iter().map(Ok)).unwrap())
    }

    #[test]
    fn tables_fit_120_columns_and_say_what_they_mean() {
        let mut rows = [
            images("jpeg", "420", Some(5.0), 9000, 4, 40),
            images("jpeg", "420", Some(75.0), 45_000, 0, 40),
            images("png", "balanced", None, 400_000, 0, 40),
            images("webp", "m4", Some(25.0), 12_000, 9, 400),
            images("optic", "fast", Some(40.0), 2000, 3, 40),
            sounds("opus", Some(6.0), 3000, 12),
            sounds("pcm", None, 128_000, 12),
        ]
        .concat();
        rows[0].error = Some("AFF-CORRUPT: chunk 0: checksum differs".to_owned());
        for row in rows.iter_mut().filter(|row| row.codec == "webp") {
            row.codec_simd = "no".to_owned();
            row.infer_ms = Some(1234.5);
        }
        for row in rows.iter_mut().filter(|row| row.codec == "optic") {
            row.synthesis = Some("generative".to_owned());
        }
        let text = table(rows);
        println!("{text}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 120, "{widest} columns");
        assert!(!text.contains('\x1b') && !text.contains("accuracy"));
        for part in [
            "Images · efficientnet-lite0 on tract/cpu",
            "top-1 agreement with the pristine prediction",
            "75.0 [59.8,  85.8]",
            "webp m4*",
            "optic/generative ",
            "40!",
            "n is small",
            "1 of 40 samples of jpeg 420 quality 5 failed",
            "source images",
            "kbps",
            "∞",
        ] {
            assert!(text.contains(part), "`{part}` is missing");
        }
    }

    #[test]
    fn what_does_not_apply_is_a_dash_and_needs_no_footnote() {
        let mut rows = images("png", "balanced", None, 400_000, 0, 200);
        for row in &mut rows {
            (row.model, row.provider, row.agrees, row.infer_ms) = (None, None, None, None);
        }
        let text = table(rows);
        let line = text.lines().find(|line| line.contains("png")).unwrap();
        assert_eq!(line.matches(NONE).count(), 3, "{line}");
        assert!(!text.contains("agreement:") && !text.contains("n is small") && !text.contains('*'), "{text}");
        assert_eq!(render(&[]), "");
    }

    #[test]
    fn times_keep_two_digits() {
        assert_eq!([0.034, 0.996, 5.55, 9.96, 123.4].map(time), ["0.03", "1.0", "5.5", "10", "123"]);
    }
}
