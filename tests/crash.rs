//! `kill -9` of agent and server at random moments of a replay: everything
//! accepted arrives, and rows are exactly once.

use crate::process::{Site, agent_binary, pictures, run};
use afferent_measure::row::Row;
use afferent_measure::store::read_rows;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const KILLS: u32 = 50;
const PICTURES: u32 = 60;
const REPEAT: u32 = 40;

#[test]
fn killed_fifty_times_nothing_is_lost_and_nothing_comes_twice() {
    let seed = std::env::var("AFFERENT_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    eprintln!("seed {seed} (AFFERENT_TEST_SEED sets another)");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::new();
    let media = site.path("media");
    pictures(&media, PICTURES);
    let (mut server, address) = site.server("127.0.0.1:0", Some(&media));
    let codecs = [("jpeg", Some(5.0)), ("webp", Some(25.0)), ("png", None)];
    let config =
        site.agent_config(&address, &media, &codecs, &format!("repeat = {REPEAT}\npace = 'real'\nperiod_ms = 3"));
    let mut agent = site.agent(&config);
    let expected = u64::from(PICTURES * REPEAT) * codecs.len() as u64;
    let mut kills = (0, 0);
    let mut ended_early = 0;
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(random.random_range(5..150)));
        if agent.check().is_err() {
            panic!("the agent failed by itself");
        }
        if random.random_bool(0.5) {
            if agent.running() {
                kills.0 += 1;
            } else {
                ended_early += 1;
            }
            agent.kill();
            agent = site.agent(&config);
        } else {
            server.kill();
            server = site.server(&address, Some(&media)).0;
            kills.1 += 1;
        }
    }
    agent.wait(Duration::from_secs(300)).unwrap();
    // Every row is in the log before the server ends.
    server.terminate().unwrap();
    server.wait(Duration::from_secs(120)).unwrap();
    eprintln!("killed the agent {} times, the server {}; the agent had ended {ended_early} times", kills.0, kills.1);

    let mut seen: BTreeMap<(u32, u64), u32> = BTreeMap::new();
    let mut epochs = std::collections::BTreeSet::new();
    for row in read_rows(&site.path("server").join("rows")).unwrap() {
        let row: Row = row.unwrap();
        assert_eq!(row.error, None, "{row:?}");
        assert_eq!(row.codec, codecs[row.stream as usize].0);
        // The replay goes on where the spool ended: the sample is the sequence's.
        assert_eq!(row.sample_id.as_deref(), Some(format!("{:04}.png", row.sequence % u64::from(PICTURES)).as_str()));
        if row.codec == "png" {
            assert_eq!(row.sse, Some(0), "a lossless codec returned other pixels");
        }
        *seen.entry((row.stream, row.sequence)).or_default() += 1;
        epochs.insert(row.epoch);
    }
    assert_eq!(epochs.len(), 1, "the spool was made anew");
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "rows that are not exactly once: {twice:?}");
    assert_eq!(seen.len() as u64, expected, "rows for every sample");
}

#[test]
fn a_spool_that_goes_on_from_a_copy_loses_nothing() {
    let site = Site::new();
    let media = site.path("media");
    pictures(&media, 2);
    let (mut server, address) = site.server("127.0.0.1:0", Some(&media));
    let agent = |repeat: u32| {
        let config = site.agent_config(&address, &media, &[("png", None)], &format!("repeat = {repeat}"));
        run(Command::new(agent_binary()).arg("run").arg("--config").arg(config))
    };
    assert!(agent(1).0);
    let (spool, copy) = (site.path("spool"), site.path("copy"));
    assert!(run(Command::new("cp").arg("-r").arg(&spool).arg(&copy)).0);
    assert!(agent(3).0);
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::rename(&copy, &spool).unwrap();
    // It numbers samples as the other did, more of them, and learns that from the server's
    // welcome, however many it has captured by then.
    let (ok, _, said) = agent(4);
    assert!(!ok && said.contains("the server has 6 samples of stream number 0"), "{said}");
    let (ok, _, said) = agent(4);
    assert!(ok, "{said}");
    server.terminate().unwrap();
    server.wait(Duration::from_secs(60)).unwrap();

    let mut epochs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for row in read_rows(&site.path("server").join("rows")).unwrap() {
        let row = row.unwrap();
        epochs.entry(row.epoch).or_default().push(row.sequence);
    }
    let mut sequences: Vec<_> = epochs.into_values().collect();
    sequences.iter_mut().for_each(|of_epoch| of_epoch.sort_unstable());
    sequences.sort_unstable();
    assert_eq!(sequences, [vec![0, 1, 2, 3, 4, 5], vec![2, 3, 4, 5, 6, 7]]);
}
