//! A sweep through the command, killed again and again.

use crate::process::{afferent, pictures};
use afferent_measure::row::Row;
use afferent_measure::store::read_rows;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const KILLS: u32 = 12;
const PICTURES: u32 = 40;
/// Operating points of the plan, and the source itself.
const POINTS: usize = 2 * 2 * 2 + 1 + 1;

fn plan(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("plan.toml");
    std::fs::write(
        &path,
        "metrics = ['psnr', 'ssim']\n[[data]]\nname = 'drawn'\npath = 'media'\n\
         [[codec]]\nid = 'jpeg'\npresets = ['420', '444-optimised']\nknobs = [5, 75]\nresize = ['none', '1/2']\n\
         [[codec]]\nid = 'png'\n",
    )
    .unwrap();
    path
}

fn sweep(plan: &Path, out: &Path, workers: &str) -> Command {
    let mut command = Command::new(afferent());
    command.args(["bench", "sweep"]).arg(plan).arg("--out").arg(out).args(["--workers", workers]);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_sweep_that_is_killed_goes_on_and_computes_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("media"), PICTURES);
    let (plan, out) = (plan(folder.path()), folder.path().join("out"));
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..KILLS {
        let mut child = sweep(&plan, &out, "2").stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.random_range(5..120)));
        // One that has ended by itself is no matter.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let output = sweep(&plan, &out, "2").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));

    let mut seen: BTreeMap<(String, u32), u32> = BTreeMap::new();
    for row in read_rows(&out.join("rows")).unwrap() {
        let row: Row = row.unwrap();
        assert_eq!(row.error, None, "{row:?}");
        assert_eq!((row.data_set.as_deref(), row.workers), (Some("drawn"), Some(2)));
        assert_eq!((row.connection.as_deref(), row.transport_bytes), (None, 0.0));
        assert_eq!(row.source_format.as_deref(), Some("png"));
        match row.codec.as_str() {
            "source" => assert_eq!(Some(row.payload_bytes), row.source_bytes),
            "png" => assert_eq!(row.sse, Some(0)),
            _ => assert!(row.framing_bytes > 0 && row.sse > Some(0)),
        }
        let halved = row.resize == "1/2";
        assert_eq!((row.resize_ms.is_some(), row.restore_ms.is_some()), (halved, halved));
        assert_eq!(
            row.coded_width.map(|width| width < row.source_width.unwrap()),
            (row.codec != "source").then_some(halved)
        );
        *seen.entry((row.sample_id.unwrap(), row.stream)).or_default() += 1;
    }
    assert!(seen.values().all(|count| *count == 1), "rows that are not exactly once");
    assert_eq!(seen.len(), PICTURES as usize * POINTS);

    // A second run finds everything there, and another plan is refused.
    let again = text(&sweep(&plan, &out, "2").output().unwrap());
    assert!(
        again.contains(&format!("{0} samples at operating points, {0} of them from before", seen.len())),
        "{again}"
    );
    std::fs::write(&plan, std::fs::read_to_string(&plan).unwrap().replace("[5, 75]", "[5, 50]")).unwrap();
    let refused = sweep(&plan, &out, "2").output().unwrap();
    assert!(
        !refused.status.success() && text(&refused).contains("another plan: its points differ"),
        "{}",
        text(&refused)
    );
}

#[test]
fn a_sweep_decodes_one_bitstream_by_several_syntheses() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("media"), 2);
    let (plan, out) = (folder.path().join("plan.toml"), folder.path().join("out"));
    std::fs::write(
        &plan,
        "metrics = ['psnr']\n[[data]]\nname = 'drawn'\npath = 'media'\n\
         [[codec]]\nid = 'optic'\nknobs = [40]\nsynthesis = ['linear', 'faithful']\n[[codec]]\nid = 'png'\n",
    )
    .unwrap();
    let output = sweep(&plan, &out, "2").args(["--require", "tract/cpu"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let rows: Vec<Row> = read_rows(&out.join("rows")).unwrap().map(Result::unwrap).collect();
    let of = |flavour: Option<&str>, codec: &str| -> Vec<&Row> {
        let mut rows: Vec<&Row> =
            rows.iter().filter(|row| row.codec == codec && row.synthesis.as_deref() == flavour).collect();
        rows.sort_by_key(|row| row.sequence);
        rows
    };
    let (linear, faithful) = (of(Some("linear"), "optic"), of(Some("faithful"), "optic"));
    assert_eq!((rows.len(), linear.len(), faithful.len(), of(None, "png").len()), (8, 2, 2, 2));
    for (linear, faithful) in linear.into_iter().zip(faithful) {
        assert_eq!((&linear.error, &faithful.error), (&None, &None));
        assert_eq!(linear.bitstream_sha256, faithful.bitstream_sha256);
        assert_ne!(linear.sse, faithful.sse);
        assert_eq!((&linear.synthesis_sha256, &linear.synthesis_provider), (&None, &None));
        assert_eq!(faithful.synthesis_provider.as_deref(), Some("tract/cpu"));
        assert_eq!(faithful.synthesis_sha256.as_ref().map(String::len), Some(16));
        assert_eq!(faithful.damaged_chunks, Some(0));
    }
}

#[test]
fn the_rows_of_a_sweep_are_those_of_the_codecs() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("media"), 3);
    let run = |name: &str, workers: &str| -> BTreeMap<_, _> {
        let out = folder.path().join(name);
        let output = sweep(&plan(folder.path()), &out, workers).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let rows = read_rows(&out.join("rows")).unwrap().map(Result::unwrap);
        rows.map(|row: Row| {
            ((row.sample_id, row.stream), (row.payload_bytes, row.header_bytes, row.sse, row.bitstream_sha256))
        })
        .collect()
    };
    assert_eq!(run("one", "1"), run("three", "3"));
}
