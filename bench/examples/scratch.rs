use afferent_bench::report::*;
use afferent_measure::stats::Bootstrap;
use afferent_measure::{Row, write_rows};
fn main() {
    let d = std::path::Path::new("/tmp/ap");
    std::fs::create_dir_all(d).unwrap();
    let task = std::env::args().nth(1).unwrap();
    let mut rows = vec![];
    for s in 0..200u64 {
        for k in 0..20u64 {
            let mut h = s * 7919 + k * 104729 + 1;
            let mut r = || {
                h = h.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (h >> 33) as f64 / (1u64 << 31) as f64
            };
            let words: Vec<String> = if task == "detection" {
                (0..10)
                    .map(|c| {
                        let mut sc: Vec<f64> = (0..6).map(|_| r()).collect();
                        sc.sort_by(|a, b| b.total_cmp(a));
                        format!(
                            "{c}:3:{}",
                            sc.iter()
                                .map(|x| format!("{x:?}/{:x}", if r() < 0.5 { 0x3f } else { 0 }))
                                .collect::<Vec<_>>()
                                .join(",")
                        )
                    })
                    .collect()
            } else {
                (0..20).map(|c| format!("{c}:{}:{}", (c + k % 3) % 20, 100 + (r() * 1000.0) as u64)).collect()
            };
            let mut row = Row {
                sample_id: Some(format!("s{s}")),
                codec: "jpeg".into(),
                preset: "p".into(),
                knob: Some(k as f64 + 1.),
                model: Some("m".into()),
                provider: Some("t".into()),
                task: Some(task.clone()),
                label_stats: Some(words.join(" ")),
                payload_bytes: 1000 * (k + 1),
                psnr_db: Some(20. + k as f64),
                ..Row::new()
            };
            row.set_image_source(640, 480);
            rows.push(row);
        }
    }
    write_rows(d.join("rows-0.parquet"), rows).unwrap();
    let t = std::time::Instant::now();
    let r = Report::new(
        &Options { rows: vec![d.into()], data: vec![], samples: 0, bootstrap: Bootstrap::new(0) },
        &afferent_codec_conventional::registry(),
    )
    .unwrap();
    println!("{task} {:?} {}", t.elapsed(), r.html().len());
}
