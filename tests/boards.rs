//! Boards, by the command and by the agent alone.

use crate::process::{afferent, agent_binary, run};
use std::path::{Path, PathBuf};
use std::process::Command;

fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("boards/spec/tests/trees").join(name)
}

#[test]
fn boards_are_listed_and_shown() {
    let (ok, out, err) = run(Command::new(afferent()).args(["boards", "list"]));
    assert!(ok, "{err}");
    assert!(out.contains("rpi-zero2w") && out.contains("nvv4l2h264enc"), "{out}");
    let (ok, out, err) = run(Command::new(afferent()).args(["boards", "show", "rpi5"]));
    assert!(ok, "{err}");
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards/spec/boards/rpi5.toml");
    assert_eq!(out, std::fs::read_to_string(text).unwrap());
    let (ok, _, err) = run(Command::new(afferent()).args(["boards", "show", "rpi9"]));
    assert!(!ok);
    assert!(err.contains("AFF-NOT-FOUND") && err.contains("jetson-orin-nano"), "{err}");
}

#[test]
fn a_machine_is_checked_by_the_command_and_by_the_agent() {
    let check = || {
        let mut command = Command::new(afferent());
        command.args(["boards", "check"]);
        command
    };
    let board = || {
        let mut command = Command::new(agent_binary());
        command.arg("board");
        command
    };
    let commands: [&dyn Fn() -> Command; 2] = [&check, &board];
    for command in commands {
        let (ok, out, err) = run(command().arg("--root").arg(tree("jetson-orin-nano")));
        assert!(ok, "{err}");
        assert!(out.contains("agrees       meter ina3221 VDD_IN"), "{out}");
        let (ok, out, err) = run(command().args(["rpi4", "--json", "--root"]).arg(tree("rpi5")));
        assert!(!ok, "a contradiction is status 1");
        assert!(err.contains("AFF-CONFIG") && err.contains("contradict the board file `rpi4`"), "{err}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["findings"][0]["level"], "contradicts");
    }
}
