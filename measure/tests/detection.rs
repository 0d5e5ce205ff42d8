//! Average precision against `pycocotools`: `golden/detection.py` wrote
//! `golden/detection.json`.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // helpers of tests are tests

use afferent_measure::task::detection::{DetectedBox, Matches, average_precision};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    images: Vec<Image>,
    ap: f64,
    ap50: f64,
    ap75: f64,
}

#[derive(Deserialize)]
struct Image {
    there: Vec<(u32, f64, f64, f64, f64)>,
    found: Vec<(u32, f64, f64, f64, f64, f64)>,
}

fn at((class, score, x0, y0, x1, y1): (u32, f64, f64, f64, f64, f64)) -> DetectedBox {
    DetectedBox { class, score, x0: x0 as f32, y0: y0 as f32, x1: x1 as f32, y1: y1 as f32 }
}

#[test]
fn boxes_measure_as_pycocotools_says() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../golden/detection.json")).unwrap();
    let mut worst = 0.0f64;
    for case in &cases {
        let matches = case.images.iter().map(|image| {
            let there: Vec<_> = image.there.iter().map(|&(c, x0, y0, x1, y1)| at((c, 1.0, x0, y0, x1, y1))).collect();
            let found: Vec<_> = image.found.iter().copied().map(at).collect();
            // As a row carries it.
            Matches::find(&found, &there).unwrap().to_string().parse().unwrap()
        });
        let ours = average_precision(&matches.collect::<Vec<Matches>>()).unwrap();
        for (ours, theirs) in [(ours.ap, case.ap), (ours.ap50, case.ap50), (ours.ap75, case.ap75)] {
            assert!((ours - theirs).abs() < 1e-9, "{}: {ours} instead of {theirs}", case.name);
            worst = worst.max((ours - theirs).abs());
        }
    }
    println!("worst deviation {worst:e}");
    assert_eq!(cases.len(), 6);
}
