//! How long a report of many rows takes, and how much memory.
//!
//! ```text
//! cargo run --profile ci -p afferent-bench --example report_scale -- write target/scale 1000000
//! cargo run --profile ci -p afferent-bench --example report_scale -- report target/scale
//! ```
//!
//! The rows are made up: five data sets, two models, a thousand samples (for a
//! million rows), five codecs at two presets, two sizes and five knobs each.

use afferent_bench::report::{Options, Report};
use afferent_measure::Row;
use afferent_measure::stats::Bootstrap;
use afferent_measure::store::RowWriter;
use afferent_media::{Code, Error, Result};
use afferent_runtime::Syntheses;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["write", folder, rows] => {
            let rows = rows.parse().map_err(|_| usage())?;
            write(Path::new(folder), rows)
        }
        ["report", folder] => report(PathBuf::from(folder)),
        _ => Err(usage()),
    }
}

fn usage() -> Error {
    Error::new(Code::Config, "write FOLDER ROWS, or report FOLDER", "see the head of the example")
}

fn write(folder: &Path, rows: u64) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
    let mut writer = RowWriter::create(folder.join("rows-0.parquet"))?;
    (0..rows).try_for_each(|number| writer.push(row(number)))?;
    println!("{} rows", writer.finish()?);
    Ok(())
}

/// The `number`th row: samples turn slowest, so that every operating point has as many.
fn row(number: u64) -> Row {
    let mut rest = number;
    let mut next = |count: u64| {
        let digit = rest % count;
        rest /= count;
        digit
    };
    let (knob, preset, size, codec, model, set) = (next(5), next(2), next(2), next(5), next(2), next(5));
    let sample = rest;
    // A share between 0 and 1 that looks like chance: the same for all of a sample's points.
    #[allow(clippy::cast_precision_loss)]
    let chance = |salt: u64| {
        let mixed = (sample ^ salt << 32 ^ set << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / u64::MAX as f64
    };
    #[allow(clippy::cast_precision_loss)]
    let (level, shift) = (knob as f64 + 1.0, codec as f64 + 0.3 * preset as f64 + 0.5 * size as f64);
    let right = chance(1) < 1.0 - 0.5 / (level * (1.0 + 0.2 * shift));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let payload = (4000.0 * level * level * (0.5 + chance(2)) / (1.0 + 0.2 * shift)) as u64;
    #[allow(clippy::cast_precision_loss)]
    let mut row = Row {
        device: "board".to_owned(),
        sequence: number,
        sample_id: Some(format!("images/sample-{sample:06}.png")),
        data_set: Some(format!("set {set}")),
        data_sha256: Some(format!("{set:064x}")),
        group: (set == 4).then(|| format!("film {}", sample / 10)),
        source_format: Some("png".to_owned()),
        codec: ["jpeg", "webp", "avif", "jxl", "ours"][codec as usize].to_owned(),
        codec_implementation: "made up 1.0".to_owned(),
        codec_simd: "yes".to_owned(),
        preset: ["fast", "slow"][preset as usize].to_owned(),
        knob_name: Some("quality".to_owned()),
        knob: Some(20.0 * level),
        resize: ["none", "1/2"][size as usize].to_owned(),
        model: Some(["small", "large"][model as usize].to_owned()),
        model_sha256: Some("0".repeat(64)),
        task: Some("classification".to_owned()),
        provider: Some("tract/cpu".to_owned()),
        workers: Some(2),
        build: "made up".to_owned(),
        payload_bytes: payload,
        header_bytes: 300,
        container_bytes: 40,
        encode_ms: Some(2.0 + shift + chance(3)),
        decode_ms: Some(1.0 + chance(4)),
        infer_ms: Some(30.0 + chance(5)),
        reference_kind: "pristine".to_owned(),
        reference_index: Some(7),
        prediction_index: Some(if right { 7 } else { 8 }),
        prediction_label: Some("thing".to_owned()),
        agrees: Some(right),
        label_index: Some(if chance(6) < 0.8 { 7 } else { 8 }),
        correct: Some(right == (chance(6) < 0.8)),
        sample_score: Some(f64::from(u8::from(right))),
        sse: Some(40_000_000_000 / payload.max(1)),
        values: Some(640 * 480 * 3),
        psnr_db: Some(24.0 + 3.0 * level + shift + 4.0 * chance(7)),
        ssim: Some(1.0 - 0.2 / (level + shift + chance(8))),
        ms_ssim: Some(1.0 - 0.1 / (level + shift + chance(9))),
        ..Row::new()
    };
    row.set_image_source(640, 480);
    row
}

fn report(folder: PathBuf) -> Result<()> {
    let start = Instant::now();
    let options = Options { rows: vec![folder.clone()], data: vec![], samples: 0, bootstrap: Bootstrap::new(0) };
    let report = Report::new(&options, &afferent_codec_conventional::registry(), &Syntheses::linear())?;
    let html = report.html();
    let took = start.elapsed().as_secs_f64();
    let path = folder.join("report.html");
    std::fs::write(&path, &html).map_err(|e| Error::io(path.display().to_string(), e))?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("{took:.1} s, {peak}, {} bytes of HTML in {}", html.len(), path.display());
    Ok(())
}
