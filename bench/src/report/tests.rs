use super::*;
use crate::bundled;
use crate::summary::tests::{images, sounds};
use afferent_measure::{Row, write_rows};
use afferent_media::Code;
use grid::{Cell, Grid};
use std::collections::BTreeSet;

fn options() -> Options {
    Options { rows: vec![], data: vec![], samples: 6, bootstrap: Bootstrap { seed: 1, resamples: 200 } }
}

fn registry() -> Registry {
    afferent_codec_conventional::registry()
}

fn report(rows: Vec<Row>) -> Report {
    Report::of(&Rows::of(rows).unwrap(), &options(), &registry(), &Syntheses::linear()).unwrap()
}

/// The block whose file name ends in `name`.
fn block<'a>(report: &'a Report, name: &str) -> &'a Content {
    let blocks = report
        .page
        .sections
        .iter()
        .flat_map(|section| section.blocks.iter().map(|block| (section.file(block), &block.content)));
    let names: Vec<String> = blocks.clone().map(|(name, _)| name).collect();
    blocks.into_iter().find(|(file, _)| file.ends_with(name)).unwrap_or_else(|| panic!("no {name} in {names:?}")).1
}

fn table<'a>(report: &'a Report, name: &str) -> &'a Grid {
    match block(report, name) {
        Content::Table(grid) | Content::Chart(_, grid) => grid,
        Content::Worst(_) => panic!("{name} is no table"),
    }
}

/// The figure in a row and column of a table.
fn cell<'a>(grid: &'a Grid, row: &str, column: &str) -> &'a Cell {
    let column = grid.columns.iter().position(|known| known.name.starts_with(column)).unwrap();
    let named = |cells: &&Vec<Cell>| cells[0] == Cell::Text(row.to_owned());
    &grid.rows.iter().find(named).unwrap_or_else(|| panic!("no row {row} in {:?}", grid.rows))[column]
}

fn number(grid: &Grid, row: &str, column: &str) -> f64 {
    match cell(grid, row, column) {
        Cell::Number(value) => *value,
        Cell::Range(value) => value.estimate,
        other => panic!("{row}, {column}: {other:?}"),
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6 * b.abs().max(1.0)
}

/// One image's row: `bytes` of payload and 20 of header for 100 × 80 pixels.
fn image(sample: u32, codec: &str, knob: f64, bytes: u64, right: bool) -> Row {
    let mut row = Row {
        sample_id: Some(format!("sample-{sample}")),
        data_set: Some("pairs".to_owned()),
        codec: codec.to_owned(),
        preset: "p".to_owned(),
        knob: Some(knob),
        model: Some("net".to_owned()),
        provider: Some("tract/cpu".to_owned()),
        task: Some("classification".to_owned()),
        reference_kind: "pristine".to_owned(),
        reference_index: Some(1),
        agrees: Some(right),
        label_index: Some(u32::from(sample != 3)),
        correct: Some(right == (sample != 3)),
        payload_bytes: bytes,
        header_bytes: 20,
        container_bytes: 30,
        framing_bytes: 40,
        transport_bytes: 10.0,
        encode_ms: Some(0.008 * f64::from(sample + 1)),
        psnr_db: Some(20.0 + knob),
        ..Row::new()
    };
    row.set_image_source(100, 80 * (sample + 1));
    row
}

/// Four images, each twice as tall as 80 pixels times its number, at two points
/// of two codecs; `half` needs half the bits of `jpeg` at equal PSNR.
fn pairs() -> Vec<Row> {
    let mut rows = Vec::new();
    for sample in 0..4 {
        let size = 1000 * u64::from(sample + 1);
        rows.push(image(sample, "jpeg", 1.0, size - 20, sample < 1));
        rows.push(image(sample, "jpeg", 9.0, 4 * size - 20, true));
        rows.push(image(sample, "half", 1.0, size / 2 - 20, sample < 2));
        rows.push(image(sample, "half", 9.0, 2 * size - 20, true));
    }
    rows
}

#[test]
fn figures_are_those_counted_by_hand() {
    let report = report(pairs());
    let points = table(&report, "points");
    assert!(near(number(points, "jpeg p 1", "codec bpp, total"), 1.0));
    assert!(near(number(points, "jpeg p 1", "codec bpp, mean"), 1.0));
    assert!(near(number(points, "jpeg p 9", "codec bpp, total"), 4.0));
    // 20 bytes of header in each of four; 80,000 pixels in all.
    assert!(near(number(points, "half p 1", "header-free bpp, total"), 0.5 - 4.0 * 160.0 / 80_000.0));
    let mean = 0.5 - 160.0 / 8000.0 * (1.0 + 0.5 + 1.0 / 3.0 + 0.25) / 4.0;
    assert!(near(number(points, "half p 1", "header-free bpp, mean"), mean));
    assert!(near(number(points, "jpeg p 1", "storage bpp, total"), 1.0 + 4.0 * 240.0 / 80_000.0));
    assert!(near(number(points, "jpeg p 1", "transmit bpp, total"), 1.0 + 4.0 * 640.0 / 80_000.0));
    // Each takes 0.008 ms per 8,000 pixels: 1 ms per megapixel.
    assert!(near(number(table(&report, "times"), "jpeg p 1", "resize and encode, ms/megapixel"), 1.0));

    let task = table(&report, "_task");
    assert!(near(number(task, "jpeg p 1", "top-1 agreement"), 25.0));
    // Wilson's interval of 1 in 4, from statsmodels.
    let Cell::Range(value) = cell(task, "jpeg p 1", "top-1 agreement") else { panic!() };
    let (low, high) = value.interval.unwrap();
    assert!((low - 4.558_726).abs() < 1e-5 && (high - 69.935_82).abs() < 1e-4, "{low} {high}");
    // The first sample is right, the fourth is right where it disagrees.
    assert!(near(number(task, "jpeg p 1", "top-1 accuracy"), 50.0));
    assert!(near(number(task, "jpeg p 9", "top-1 accuracy"), 75.0));

    let bd = table(&report, "bd-rate");
    assert!(near(number(bd, "half", "BD-rate"), -50.0), "half the bits at equal PSNR");
    assert_eq!((number(bd, "half", "n"), number(bd, "half", "no overlap")), (4.0, 0.0));

    // 90 % agreement lies between 25 % at 1 bpp and 100 % at 4 bpp; two points are
    // joined by a straight line in rate.
    let equal = table(&report, "equal-agreement");
    let row = |codec: &str| {
        let wanted = [Cell::Text(codec.to_owned()), Cell::Text("90 %".to_owned())];
        equal.rows.iter().find(|row| row[..2] == wanted).unwrap()
    };
    let (Cell::Range(jpeg), Cell::Range(half)) = (&row("jpeg")[3], &row("half")[3]) else { panic!() };
    assert!(near(jpeg.estimate, 1.0 + 3.0 * (90.0 - 25.0) / 75.0));
    assert!(near(half.estimate, 0.5 + 1.5 * (90.0 - 50.0) / 50.0));
    assert!(matches!(&row("half")[4], Cell::Range(ratio) if near(ratio.estimate, half.estimate / jpeg.estimate)));

    // PSNRs 21, 21, 29, 29 and agreements 25, 50, 100, 100: of six pairs four are
    // concordant, two tied in PSNR, of which one in both.
    let ranks = table(&report, "correlation");
    let place = ranks.rows.iter().find(|row| row[1] == Cell::Text("top-1 agreement".to_owned())).unwrap();
    let Cell::Range(tau) = place[3] else { panic!() };
    assert!(near(tau.estimate, 4.0 / (4.0f64 * 5.0).sqrt()), "{tau:?}");

    let pareto = table(&report, "pareto-agreement");
    let names: Vec<&Cell> = pareto.rows.iter().map(|row| &row[0]).collect();
    assert_eq!(names, [&Cell::Text("half p 1".to_owned()), &Cell::Text("half p 9".to_owned())]);
}

#[test]
fn what_is_pristine_is_told_by_rows_and_by_lossless_points() {
    let lead = |report: &Report| report.page.sections[1].lead.join(" ");
    // Three of four pristine predictions are the label.
    assert!(lead(&report(pairs())).contains("75.0 on pristine samples"));

    // Masks: class 0 is right on 6 of 8 pixels of either, class 1 on 2 of 4.
    let mask = |codec: &str, knob, stats: &str, lossless: bool| Row {
        task: Some("segmentation".to_owned()),
        label_stats: Some(stats.to_owned()),
        agrees: None,
        correct: None,
        label_index: None,
        sse: lossless.then_some(0),
        values: lossless.then_some(3),
        ..image(0, codec, knob, 1000, true)
    };
    let pristine =
        report(vec![mask("png", 0.0, "0:0:6 0:1:1 1:0:1 1:1:2", true), mask("jpeg", 1.0, "0:0:1 1:0:1", false)]);
    let miou = 100.0 * (6.0 / 8.0 + 2.0 / 4.0) / 2.0;
    assert!(lead(&pristine).contains(&format!("{miou:.1} on pristine samples")), "{}", lead(&pristine));
    assert!(near(number(table(&pristine, "_task"), "png p 0", "mIoU"), miou));
    assert!(near(number(table(&pristine, "_task"), "jpeg p 1", "mIoU"), 25.0));
    let chart = table(&pristine, "rate-miou");
    assert!(chart.rows.iter().any(|row| matches!(&row[0], Cell::Text(name) if name.contains("png (lossless)"))));

    let alone = report(vec![mask("jpeg", 1.0, "0:0:1", false)]);
    assert!(lead(&alone).contains("unknown on pristine samples"));
}

#[test]
fn dependent_samples_are_drawn_together_or_have_no_interval() {
    let grouped = |group: fn(u64) -> String| {
        let mut rows = images("jpeg", "420", Some(5.0), 9000, 4, 40);
        for row in &mut rows {
            row.group = Some(group(row.sequence));
        }
        report(rows)
    };
    let interval = |report: &Report| match cell(table(report, "_task"), "jpeg 420 5", "top-1 agreement") {
        Cell::Range(value) => value.interval,
        other => panic!("{other:?}"),
    };
    let film = grouped(|_| "film".to_owned());
    assert_eq!(interval(&film), None);
    assert!(film.html().contains("there is no interval"));
    // Every fourth sample misses: whole groups of like samples make it less sure.
    let (low, high) = interval(&grouped(|sequence| format!("{}", sequence % 4 + 4 * (sequence / 20)))).unwrap();
    let (even_low, even_high) = interval(&grouped(|sequence| format!("{sequence}"))).unwrap();
    assert!(high - low > 1.5 * (even_high - even_low), "{low} {high} {even_low} {even_high}");
}

#[test]
fn failures_and_strays_are_counted() {
    let mut rows = pairs();
    rows[0].error = Some("AFF-CORRUPT: damaged <chunk>".to_owned());
    (rows[0].agrees, rows[0].correct, rows[0].psnr_db) = (None, None, None);
    rows.push(Row { modality: "smell".to_owned(), ..Row::new() });
    let report = report(rows);
    assert!(near(number(table(&report, "_task"), "jpeg p 1", "top-1 agreement"), 0.0), "a failure is a miss");
    assert_eq!(number(table(&report, "times"), "jpeg p 1", "failures"), 1.0);
    let html = report.html();
    assert!(html.contains("1 coded samples failed") && html.contains("1 of no known codec"));
    assert!(html.contains("AFF-CORRUPT: damaged &lt;chunk&gt;"));

    let mut mixed = pairs();
    mixed[1].methodology_version += 1;
    assert_eq!(Rows::of(mixed).unwrap_err().code(), Code::Config);
    assert_eq!(Rows::of([]).unwrap_err().code(), Code::NotFound);
}

/// Several presets, sizes, codecs, modalities and models at once.
fn many() -> Vec<Row> {
    let mut rows = Vec::new();
    for model in ["small & fast", "large"] {
        for (codec, preset, resize) in
            [("jpeg", "420", "none"), ("jpeg", "444", "none"), ("jpeg", "420", "1/2"), ("webp", "m4", "none")]
        {
            for (step, bytes) in [(1u32, 3000), (2, 9000), (3, 27_000)] {
                let mut more = images(codec, preset, Some(f64::from(step)), bytes, u64::from(step) + 1, 40);
                for row in &mut more {
                    row.resize = resize.to_owned();
                    row.model = Some(model.to_owned());
                    row.label_index = Some(7);
                    row.correct = row.agrees;
                    row.positive_score = Some(if row.agrees == Some(true) { 0.75 } else { 0.25 });
                    row.ms_ssim = row.psnr_db.map(|psnr| 1.0 - 1.0 / psnr);
                    row.lpips = row.psnr_db.map(|psnr| 1.0 / psnr);
                }
                rows.extend(more);
            }
        }
        let lossless =
            [images("png", "balanced", None, 400_000, 0, 40), images("source", "file", None, 90_000, 13, 40)];
        rows.extend(lossless.concat().into_iter().map(|row| Row { model: Some(model.to_owned()), ..row }));
    }
    // Names that make the same id, or none.
    for name in ["a set", "A-set", "画像"] {
        let named = |row| Row { data_set: Some(name.to_owned()), ..row };
        rows.extend(images("jpeg", "420", Some(5.0), 9000, 4, 3).into_iter().map(named));
    }
    rows.extend(sounds("opus", Some(6.0), 3000, 12));
    rows.extend(sounds("pcm", None, 128_000, 12));
    rows
}

#[test]
fn the_page_is_whole_and_asks_for_nothing() {
    for rows in [many(), pairs(), images("png", "balanced", None, 400_000, 0, 1), sounds("opus", Some(6.0), 3000, 1)] {
        let report = report(rows);
        let html = report.html();
        for attribute in ["src=\"", "href=\""] {
            for target in html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(target.starts_with('#') || target.starts_with("data:"), "{attribute}{target}");
            }
        }
        assert!(!html.contains("http") || !html.replace("http-equiv", "").contains("http"));
        let (page, _) = html.split_once("<script>").unwrap();
        let mut words = page.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(!words.any(|word| ["NaN", "inf"].contains(&word)) && !page.contains("data:image"));
        let values = |attribute: &str| -> Vec<&str> {
            html.split(&format!(" {attribute}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
        };
        let ids: BTreeSet<&str> = values("id").into_iter().collect();
        assert_eq!(ids.len(), values("id").len(), "ids are unique");
        for (attribute, prefix) in [("href", "#"), ("aria-labelledby", ""), ("data-csv", "")] {
            for target in values(attribute).into_iter().filter_map(|target| target.strip_prefix(prefix)) {
                assert!(ids.contains(target) || target.starts_with("data:"), "{attribute} {target}");
            }
        }
        for (open, close) in [("<figure", "</figure>"), ("<table", "</table>"), ("<svg", "</svg>"), ("<g ", "</g>")] {
            assert_eq!(html.matches(open).count(), html.matches(close).count(), "{open}");
        }
        assert!(!report.text().contains('\x1b'));
    }
}

#[test]
fn every_screen_says_what_it_compares_with() {
    let report = report(many());
    let html = report.html();
    for part in [
        "top-1 agreement with the pristine prediction",
        "top-1 accuracy with labels",
        "small &amp; fast",
        "jpeg front",
        "jpeg 420 at 1/2",
        "source (the source's own files)",
        "png (lossless)",
    ] {
        assert!(html.contains(part), "`{part}` is missing");
    }
    let Content::Chart(chart, _) = block(&report, "large-tract-cpu_rate-agreement") else { panic!() };
    assert_eq!(chart.legend().len(), 2);
    assert!(chart.faint() && chart.levels.iter().any(|level| level.name.starts_with("pristine · png")));
    assert!(near(number(table(&report, "large-tract-cpu_task"), "jpeg 420 1", "top-1 accuracy"), 50.0));
}

#[test]
fn charts_and_tables_are_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows-0.parquet");
    write_rows(&rows, pairs()).unwrap();
    let options = Options { rows: vec![folder.path().to_owned()], ..options() };
    let report = Report::new(&options, &registry(), &Syntheses::linear()).unwrap();
    assert!(report.html().contains(&afferent_models::Sha256::of_file(&rows).unwrap().to_string()));
    report.csv(&folder.path().join("csv")).unwrap();
    report.svg(&folder.path().join("svg")).unwrap();
    let names = |folder: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(rows.with_file_name(folder)).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(names("csv").contains("pairs_points.csv") && names("csv").contains("pairs_rate-psnr.csv"));
    assert!(names("svg").contains("pairs-net-tract-cpu_rate-agreement.svg"), "{:?}", names("svg"));
    let missing = Options { rows: vec![folder.path().join("none.parquet")], ..options };
    assert_eq!(Report::new(&missing, &registry(), &Syntheses::linear()).unwrap_err().code(), Code::NotFound);
}

#[test]
fn the_worst_samples_are_coded_again_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = bundled::unpack(folder.path()).unwrap().join("images");
    let entries = afferent_media::manifest::Manifest::open(&manifest, &[]).unwrap().entries().to_vec();
    let mut rows = images("jpeg", "420", Some(5.0), 9000, 4, 8);
    for (row, entry) in rows.iter_mut().zip(&entries) {
        row.sample_id = Some(entry.id.clone());
        row.data_set = Some("bundled".to_owned());
        row.codec_version = 1;
        row.prediction_label = Some(format!("thing {}", row.sequence));
        row.sample_score = row.agrees.map(|agrees| f64::from(u8::from(agrees)));
    }
    let shown = |data: &str, samples| {
        let options = Options { data: vec![(data.to_owned(), manifest.clone())], samples, ..options() };
        Report::of(&Rows::of(rows.clone()).unwrap(), &options, &registry(), &Syntheses::linear()).unwrap().html()
    };
    let html = shown("bundled", 3);
    assert_eq!(html.matches("src=\"data:image/jpeg;base64,").count(), 6);
    let worst = entries[3].id.replace('&', "&amp;");
    assert!(html.contains(&format!("<code>{worst}</code>")) && html.contains("decoded: thing 3"));
    assert!(!shown("bundled", 0).contains("data:image"));
    let other = Options { data: vec![("other".to_owned(), manifest.clone())], ..options() };
    let error = Report::of(&Rows::of(rows.clone()).unwrap(), &other, &registry(), &Syntheses::linear()).unwrap_err();
    assert!(error.code() == Code::Config && error.remedy().contains("bundled"), "{error}");
    rows[3].sample_id = Some("unheard of".to_owned());
    let options = Options { data: vec![("bundled".to_owned(), manifest.clone())], samples: 3, ..options() };
    let error = Report::of(&Rows::of(rows.clone()).unwrap(), &options, &registry(), &Syntheses::linear()).unwrap_err();
    assert!(error.code() == Code::Config && error.what().contains("unheard of"), "{error}");
}

#[test]
fn what_decodes_competes_as_a_codec_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = bundled::unpack(folder.path()).unwrap().join("images");
    let entries = afferent_media::manifest::Manifest::open(&manifest, &[]).unwrap().entries().to_vec();
    let store = afferent_models::Store::new(folder.path(), None).unwrap();
    let flavours = afferent_runtime::Flavours::default();
    let tract = afferent_runtime::backend::Require::Tract;
    let syntheses = Syntheses::new(store, Some(tract), flavours).unwrap();
    let mut rows = Vec::new();
    for (flavour, miss) in [("linear", 2), ("faithful", 4)] {
        for knob in [20.0, 50.0] {
            let network = syntheses.digest("optic", flavour);
            for (row, entry) in images("optic", "fast", Some(knob), 900, miss, 8).into_iter().zip(&entries) {
                rows.push(Row {
                    sample_id: Some(entry.id.clone()),
                    data_set: Some("bundled".to_owned()),
                    codec_version: 1,
                    synthesis: Some(flavour.to_owned()),
                    synthesis_provider: network.as_ref().map(|_| "tract/cpu".to_owned()),
                    synthesis_sha256: network.clone(),
                    sample_score: row.agrees.map(|agrees| f64::from(u8::from(agrees))),
                    ..row
                });
            }
        }
    }
    let options = Options { data: vec![("bundled".to_owned(), manifest)], samples: 1, ..options() };
    let html = |rows: &[Row]| {
        let registry = afferent_agent::registry();
        Report::of(&Rows::of(rows.to_vec()).unwrap(), &options, &registry, &syntheses).unwrap().html()
    };
    let page = html(&rows);
    for part in ["optic/linear fast", "Worst samples: optic/faithful fast", "syntheses", "optic/faithful on tract/cpu"]
    {
        assert!(page.contains(part), "`{part}` is missing");
    }
    // What another network made cannot be made again.
    for row in rows.iter_mut().filter(|row| row.synthesis_sha256.is_some()) {
        row.synthesis_sha256 = Some("of another build".to_owned());
    }
    let page = html(&rows);
    assert!(page.contains("optic/faithful fast") && !page.contains("Worst samples: optic/faithful"));
}
