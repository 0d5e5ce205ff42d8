//! Rate against agreement, as one SVG file that reads well in light and dark.

use crate::chart::{Axis, Chart, Kind, Level, Point, Scale, Series, short};
use crate::summary::OperatingPoint;
use afferent_media::Modality;
use std::fmt::Write;

/// Draws codec rate in bits per source pixel (logarithmic) against top-1
/// agreement with the pristine prediction, with its 95 % intervals: one line per
/// codec and preset, codecs without a knob as horizontal references. `data`
/// names the samples, for example `bundled photographs`. `None` if no point of
/// images has an agreement.
#[must_use]
pub fn agreement(points: &[OperatingPoint], data: &str) -> Option<String> {
    let images: Vec<&OperatingPoint> =
        points.iter().filter(|point| point.kind() == Some(Modality::Image) && point.top1_agreement.is_some()).collect();
    let (mut series, levels, floor) = series(&images);
    if series.is_empty() && levels.is_empty() {
        return None;
    }
    for line in &mut series {
        line.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    let chart = Chart {
        title: "What a bit buys: agreement with the pristine prediction".to_owned(),
        note: note(&images, data),
        x: Axis::new("codec rate, bits per source pixel (log)", Scale::Log),
        y: Axis { bounds: Some((floor, 100.0)), ..Axis::new("top-1 agreement, %", Scale::Linear) },
        series,
        levels,
    };
    Some(chart.standalone())
}

fn note(images: &[&OperatingPoint], data: &str) -> String {
    let counts = || images.iter().filter_map(|point| point.top1_agreement_n);
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let n = if least == most { format!("n = {least}") } else { format!("n = {least} to {most}") };
    let mut models: Vec<_> = images.iter().filter_map(|point| point.model.as_deref()).collect();
    models.sort_unstable();
    models.dedup();
    format!("{data}, {n} per point · {} · numbers: knob · bars: 95 % interval (Wilson)", models.join(", "))
}

/// The lines, the references (codecs without a knob), and the least agreement to show.
fn series(images: &[&OperatingPoint]) -> (Vec<Series>, Vec<Level>, f64) {
    let differ = |key: fn(&OperatingPoint) -> &str| images.windows(2).any(|pair| key(pair[0]) != key(pair[1]));
    let models = differ(|point| point.model.as_deref().unwrap_or_default());
    let sizes = differ(|point| &point.resize);
    let (mut lines, mut references, mut floor) = (Vec::<Series>::new(), Vec::new(), 90.0f64);
    for &point in images {
        let (Some(x), Some(y), Some(low), Some(high)) = (
            point.codec_bpp_total.filter(|&bpp| bpp > 0.0),
            point.top1_agreement.map(percent),
            point.top1_agreement_ci95_low.map(percent),
            point.top1_agreement_ci95_high.map(percent),
        ) else {
            continue;
        };
        floor = floor.min((low / 10.0).floor() * 10.0);
        let Some(knob) = point.knob.map(|knob| knob.to_string()) else {
            let kind = if point.lossless() { "lossless" } else { "no knob" };
            references.push(Level { y, name: format!("{} ({kind}): {} bpp", point.coder(), short(x)) });
            continue;
        };
        let mut name = format!("{} {}", point.coder(), point.preset);
        if let Some(model) = point.model.as_deref().filter(|_| models) {
            let _ = write!(name, ", {model}");
        }
        if sizes {
            let _ = write!(name, ", resize {}", point.resize);
        }
        let n = point.top1_agreement_n.unwrap_or(0);
        let note = format!("{name} {knob}: {x:.3} bpp, {y:.1} % [{low:.1}, {high:.1}], n = {n}");
        let place = Point { x, y, interval: Some((low, high)), label: knob, note };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(place),
            None => lines.push(Series { name, style: lines.len(), kind: Kind::Curve, points: vec![place] }),
        }
    }
    (lines, references, floor)
}

fn percent(share: f64) -> f64 {
    100.0 * share
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
}
