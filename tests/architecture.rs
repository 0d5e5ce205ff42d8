//! Who may use whom, and what the agent may never link.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The room of each of our crates.
fn room(package: &str) -> &'static str {
    match package {
        "afferent" => "command",
        "afferent-media" => "media",
        "afferent-journal" => "journal",
        "afferent-measure" => "measure",
        "afferent-agent" => "edge-agent",
        "afferent-runtime" => "runtime",
        "afferent-bench" => "bench",
        "afferent-boards-spec" | "afferent-boards-hal" => "boards/on-board",
        "afferent-boards-flash" => "boards/flash",
        "afferent-conformance" => "tests",
        name if name.starts_with("afferent-link") => "link",
        name if name.starts_with("afferent-codec") => "codec",
        name if name.starts_with("afferent-models") => "models",
        name => panic!("{name} has no room: say in this test where it lives"),
    }
}

/// The rooms that a room may use, besides `media` and itself.
fn may_use(room: &str) -> &'static [&'static str] {
    match room {
        "command" => &[
            "codec",
            "journal",
            "link",
            "measure",
            "models",
            "edge-agent",
            "runtime",
            "bench",
            "boards/on-board",
            "boards/flash",
        ],
        "edge-agent" => &["codec", "journal", "link", "boards/on-board"],
        "runtime" => &["codec", "journal", "link", "measure", "models"],
        "bench" => &["codec", "journal", "link", "measure", "models", "edge-agent", "runtime"],
        "tests" => &["codec"],
        _ => &[],
    }
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let here = room(&name(package));
        for dependency in package["dependencies"].as_array().unwrap() {
            // Tests may look across rooms.
            if dependency["kind"] == "dev" || !ours.contains(&name(dependency)) {
                continue;
            }
            let there = room(&name(dependency));
            if there != here && there != "media" && !may_use(here).contains(&there) {
                wrong.push(format!("{} ({here}) uses {} ({there})", name(package), name(dependency)));
            }
        }
    }
    assert!(ours.len() > 15, "the workspace was not read: {ours:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_agent_links_no_inference_engine_no_parquet_and_no_flasher() {
    let out = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-p",
            "afferent-agent",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-f",
            "{lib}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let tree = String::from_utf8(out.stdout).unwrap();
    let linked: BTreeMap<&str, usize> = tree.lines().fold(BTreeMap::new(), |mut all, line| {
        *all.entry(line).or_default() += 1;
        all
    });
    assert!(linked.contains_key("afferent_codec"), "the tree was not read: {tree}");
    for banned in [
        "tract",
        "ort",
        "onnx",
        "parquet",
        "arrow",
        "candle",
        "burn",
        "afferent_boards_flash",
        "afferent_codec_avif",
        "afferent_models",
        "afferent_measure",
    ] {
        let found: Vec<_> =
            linked.keys().filter(|lib| **lib == banned || lib.starts_with(&format!("{banned}_"))).collect();
        assert!(found.is_empty(), "the agent links {found:?}");
    }
}
