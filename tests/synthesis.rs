//! The server chooses per stream what decodes, after the fact.

use crate::process::{Site, afferent, pictures, run};
use afferent_measure::row::Row;
use afferent_measure::store::read_rows;
use std::process::Command;
use std::time::Duration;

const PICTURES: u32 = 3;

#[test]
fn a_server_decodes_each_stream_by_its_synthesis() {
    let site = Site::new();
    let media = site.path("media");
    pictures(&media, PICTURES);
    let more = ["--require", "tract/cpu", "--synthesis", "generative", "--synthesis", "stream-0=linear"];
    let (mut server, address) = site.server_with("127.0.0.1:0", Some(&media), &more);
    let codecs = [("optic", Some(40.0)), ("optic", Some(40.0)), ("jpeg", Some(75.0))];
    let mut agent = site.agent(&site.agent_config(&address, &media, &codecs, ""));
    agent.wait(Duration::from_secs(120)).unwrap();
    server.terminate().unwrap();
    server.wait(Duration::from_secs(120)).unwrap();

    let mut rows: Vec<Row> = read_rows(&site.path("server").join("rows")).unwrap().map(Result::unwrap).collect();
    rows.sort_by_key(|row| (row.stream, row.sequence));
    assert_eq!(rows.len(), 3 * PICTURES as usize);
    for row in &rows {
        assert_eq!(row.error, None, "{row:?}");
        let expected = [Some("linear"), Some("generative"), None][row.stream as usize];
        assert_eq!(row.synthesis.as_deref(), expected);
        let network = row.stream == 1;
        assert_eq!(row.synthesis_sha256.is_some(), network);
        assert_eq!(row.synthesis_provider.as_deref(), network.then_some("tract/cpu"));
        assert!(row.decode_ms > Some(0.0) && row.damaged_chunks == Some(0));
    }
    for (linear, generative) in rows.iter().zip(&rows[PICTURES as usize..]).take(PICTURES as usize) {
        assert_eq!(linear.bitstream_sha256, generative.bitstream_sha256, "the device knows of no synthesis");
        assert_ne!(linear.sse, generative.sse);
    }
}

#[test]
fn a_server_without_the_synthesis_that_it_is_told_does_not_start() {
    let site = Site::new();
    let (ok, _, err) = run(Command::new(afferent())
        .args(["serve", "--listen", "127.0.0.1:0", "--model", "none", "--synthesis", "porch=cubist", "--identity"])
        .arg(site.path("identity"))
        .arg("--data")
        .arg(site.path("server")));
    assert!(!ok && err.contains("AFF-NOT-FOUND") && err.contains("cubist") && err.contains("faithful"), "{err}");
}
