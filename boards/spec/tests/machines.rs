//! Boards against the trees of machines in `trees/`.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use afferent_boards_spec::{Board, By, Finding, Level, Report, check, examine, recognise};
use afferent_media::Code;
use std::path::{Path, PathBuf};

const MACHINES: [&str; 8] =
    ["rpi5", "rpi4", "rpi-zero2w", "jetson-orin-nano", "jetson-agx-orin", "generic-arm64", "vm-arm64", "host"];

fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(name)
}

/// A copy of a tree, to change.
fn copy(name: &str) -> tempfile::TempDir {
    fn all(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if path.is_dir() { all(&path, &to) } else { std::fs::write(to, std::fs::read(path).unwrap()).unwrap() }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    all(&tree(name), folder.path());
    folder
}

fn findings(board: &str, root: &Path) -> Vec<Finding> {
    check(&Board::named(board).unwrap(), root).unwrap()
}

fn about<'a>(findings: &'a [Finding], about: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.about == about).unwrap_or_else(|| panic!("{about} is not in {findings:#?}"))
}

fn contradictions(findings: &[Finding]) -> Vec<&str> {
    let wrong = findings.iter().filter(|finding| finding.level == Level::Contradicts);
    wrong.map(|finding| finding.about.as_str()).collect()
}

#[test]
fn every_board_has_a_machine_and_is_recognised_on_it() {
    let names: Vec<_> = Board::all().unwrap().into_iter().map(|board| board.name).collect();
    assert_eq!(names, MACHINES);
    for name in MACHINES {
        assert_eq!(recognise(&tree(name)).unwrap().board.name, name);
    }
    let by = |name| recognise(&tree(name)).unwrap().by;
    assert_eq!(by("rpi4"), By::Compatible("raspberrypi,4-model-b".into()));
    assert_eq!(by("jetson-orin-nano"), By::Compatible("nvidia,p3768-0000+p3767-0005-super".into()));
    assert!(matches!(by("generic-arm64"), By::Architecture(_)));
    assert!(matches!(by("host"), By::Architecture(_)));
}

#[test]
fn no_machine_contradicts_its_own_board() {
    for name in MACHINES {
        let findings = findings(name, &tree(name));
        assert_eq!(contradictions(&findings), [""; 0], "{name}: {findings:#?}");
        // What is to be done is said wherever something is not as it could be.
        for finding in &findings {
            if let (Level::Missing, None) = (finding.level, &finding.to_do) {
                let kind = finding.about.split(' ').next().unwrap();
                assert!(
                    ["accelerator", "encoder", "header", "i2c", "led", "throttle"].contains(&kind),
                    "{name}: {finding:?}"
                );
            }
        }
    }
}

#[test]
fn a_machine_shows_what_is_connected_and_what_is_not() {
    let five = findings("rpi5", &tree("rpi5"));
    let camera = about(&five, "camera CSI, two connectors");
    assert_eq!(camera.level, Level::Agrees);
    assert_eq!(camera.what, "/sys/class/video4linux/video0/name says rp1-cfe-csi2_ch0");
    assert_eq!(about(&five, "software of camera CSI, two connectors").level, Level::Agrees);
    assert_eq!(about(&five, "microphone USB").level, Level::Agrees);
    assert_eq!(about(&five, "camera USB").level, Level::Missing);
    assert_eq!(about(&five, "memory").what, "8063 MiB of 8192 MiB are Linux's");

    let four = findings("rpi4", &tree("rpi4"));
    let software = about(&four, "software of camera CSI");
    assert_eq!(software.level, Level::Missing);
    assert_eq!(software.to_do.as_deref(), Some("sudo apt install rpicam-apps-lite"));
    let bus = about(&four, "i2c 1");
    assert_eq!(bus.level, Level::Missing);
    assert!(bus.to_do.as_ref().unwrap().contains("dtparam=i2c_arm=on"));
    assert_eq!(about(&four, "encoder v4l2jpegenc").level, Level::Agrees);
    assert_eq!(about(&four, "throttle firmware, get_throttled").level, Level::Agrees);
    assert_eq!(about(&four, "microphone USB").level, Level::Missing);

    let nano = findings("jetson-orin-nano", &tree("jetson-orin-nano"));
    assert_eq!(about(&nano, "meter ina3221 VDD_IN").level, Level::Agrees);
    assert_eq!(about(&nano, "camera USB").level, Level::Agrees);
    assert_eq!(about(&nano, "encoder nvjpegenc").level, Level::Unchecked);

    let virt = findings("vm-arm64", &tree("vm-arm64"));
    assert_eq!(about(&virt, "camera vivid").level, Level::Agrees);
    assert_eq!(about(&virt, "microphone Loopback").level, Level::Agrees);
}

#[test]
fn another_board_contradicts() {
    let wrong = findings("rpi4", &tree("rpi5"));
    let found = contradictions(&wrong);
    for part in ["identity", "encoder v4l2h264enc", "encoder v4l2jpegenc"] {
        assert!(found.contains(&part), "{found:?}");
    }
    assert_eq!(about(&wrong, "header 40-pin header").level, Level::Missing);
    let what = &about(&wrong, "identity").what;
    assert_eq!(what, "the device tree says raspberrypi,5-model-b, brcm,bcm2712; the file claims raspberrypi,4-model-b");

    // An encoder that no Pi 5 has, and features that a Pi 4 lacks.
    let found = findings("rpi5", &tree("rpi4"));
    let found = contradictions(&found);
    for part in ["no encoder H.264 and JPEG", "cpu features"] {
        assert!(found.contains(&part), "{found:?}");
    }
    assert!(contradictions(&findings("host", &tree("rpi4"))).contains(&"identity"));
    assert!(contradictions(&findings("rpi4", &tree("host"))).contains(&"identity"));
}

#[test]
fn what_every_board_has_is_missed() {
    let machine = copy("rpi5");
    let path = |path: &str| machine.path().join(path);
    std::fs::remove_dir_all(path("sys/class/leds/ACT")).unwrap();
    std::fs::write(path("sys/devices/system/cpu/present"), "0-2\n").unwrap();
    std::fs::write(path("proc/meminfo"), "MemTotal: 33554432 kB\n").unwrap();
    let found = findings("rpi5", machine.path());
    assert_eq!(contradictions(&found), ["cpu cores", "memory", "led ACT"]);
    assert_eq!(about(&found, "cpu cores").what, "/sys/devices/system/cpu/present has 3; the file says 4");
    assert!(about(&found, "memory").what.contains("more than the largest size, 16384 MiB"));
    assert!(found.iter().all(|finding| finding.level != Level::Contradicts || finding.to_do.is_some()));

    std::fs::write(path("proc/meminfo"), "MemTotal: 200000 kB\n").unwrap();
    assert!(about(&findings("rpi5", machine.path()), "memory").what.contains("far under the 1024 MiB"));
}

#[test]
fn a_file_of_ones_own_is_checked_like_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let text = Board::named("generic-arm64").unwrap().text().replace("generic-arm64", "mine");
    let compatible = "compatible = [\"friendlyarm,nanopi-r5s\"]\n[cpu]";
    std::fs::write(&path, text.replacen("[cpu]", compatible, 1)).unwrap();
    let report = examine(path.to_str(), &tree("generic-arm64")).unwrap();
    assert_eq!(report.board, "mine");
    assert_eq!(report.findings[0].what, "the device tree says friendlyarm,nanopi-r5s");
    report.verdict().unwrap();
}

#[test]
fn a_report_prints_and_judges() {
    let report = examine(None, &tree("rpi5")).unwrap();
    report.verdict().unwrap();
    let text = report.to_string();
    let head = "board rpi5 (Raspberry Pi 5), recognised by `raspberrypi,5-model-b` in the device tree\n\
                the machine calls itself Raspberry Pi 5 Model B Rev 1.0\n\
                agrees       identity: the device tree says raspberrypi,5-model-b\n";
    assert!(text.starts_with(head), "{text}");
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["by"]["compatible"], "raspberrypi,5-model-b");
    assert_eq!(json["findings"][0]["level"], "agrees");

    let wrong: Report = examine(Some("rpi4"), &tree("rpi5")).unwrap();
    let error = wrong.verdict().unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(error.what().contains("contradict the board file `rpi4`"), "{error}");
    assert!(wrong.to_string().contains("CONTRADICTS  identity"));
}

#[test]
fn a_machine_that_shows_nothing_is_no_board() {
    let folder = tempfile::tempdir().unwrap();
    let error = recognise(folder.path()).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.remedy().contains("rpi5, rpi4"), "{error}");
    assert!(findings("rpi5", folder.path()).iter().any(|finding| finding.level == Level::Unchecked));

    assert_eq!(recognise(Path::new("/no/such/root")).unwrap_err().code(), Code::NotFound);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(recognise(&file).unwrap_err().code(), Code::Config);
}

#[test]
fn damaged_trees_do_no_harm() {
    fn damage(folder: &Path, with: &[u8]) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { damage(&path, with) } else { std::fs::write(path, with).unwrap() }
        }
    }
    for with in [&b""[..], b"\0", b"\n\n", b"[]: - \n-:\0", &[0xff; 300], "0-99999999999999999999".as_bytes()] {
        for name in ["rpi4", "jetson-orin-nano", "host"] {
            let machine = copy(name);
            damage(machine.path(), with);
            for board in [name, "rpi4", "jetson-agx-orin"] {
                assert!(!findings(board, machine.path()).is_empty());
            }
        }
    }
}

/// A pipe in a tree would make a reader wait for ever.
#[test]
fn a_pipe_is_not_read() {
    let machine = copy("rpi4");
    let path = machine.path().join("proc/cpuinfo");
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(about(&findings("rpi4", machine.path()), "cpu features").level, Level::Unchecked);
}
