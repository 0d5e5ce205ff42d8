//! The demo: the whole way, once, on real input.
//!
//! Starts a server process and an agent process on loopback, replays pictures
//! and recordings through every codec of the build at the three points of its
//! knob, and asks the rows what each cost and kept. What `optic` coded is decoded by its
//! faithful network where ONNX Runtime runs it, which is quick, and linearly where not.

use crate::process::Process;
use crate::{bundled, folder, plot, summary, table};
use afferent_agent::config::{Pace, Replay, Stream};
use afferent_codec::Descriptor;
use afferent_codec_conventional::open;
use afferent_link_quic::identity::Authority;
use afferent_measure::row::Row;
use afferent_measure::store::{read_rows, write_rows};
use afferent_media::manifest::{Entry, Manifest};
use afferent_media::{Code, Error, Modality, Result};
use afferent_runtime::backend::Backend;
use afferent_runtime::synthesis;
use afferent_runtime::wire::Wire;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The classifier that perceives.
const MODEL: &str = "efficientnet-lite0";

/// What the demo writes besides its work folder.
const OUTPUTS: [&str; 5] = ["table.txt", "summary.json", "connections.json", "rows.parquet", "rate-agreement.svg"];

/// No row for this long means that something is stuck.
const STALLED: Duration = Duration::from_secs(120);

/// Name of the demo's device.
const DEVICE: &str = "demo-board";

/// How the demo is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The user's own pictures and recordings; the bundled ones where `None`.
    pub data: Option<PathBuf>,
    /// Folder for everything the demo writes.
    pub out: PathBuf,
    /// Few samples only.
    pub quick: bool,
    /// The `afferent` binary.
    pub server: PathBuf,
    /// The `afferent-agent` binary.
    pub agent: PathBuf,
}

/// One modality's samples: where they are, and how many.
struct Input {
    modality: Modality,
    path: PathBuf,
    samples: u64,
}

/// Runs the demo and prints its table.
///
/// # Errors
/// [`Code::NotFound`] if there is nothing to replay or a binary is missing, and
/// whatever fails on the way, with the logs' place.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let registry = afferent_agent::registry();
    let work = folder::fresh(&options.out.join("work"))?;
    // What an earlier run wrote must not stand beside this one's.
    for name in OUTPUTS {
        let path = options.out.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(path.display().to_string(), e)),
            _ => {}
        }
    }
    let inputs = inputs(options, &work)?;
    let streams: Vec<(&Input, &Descriptor, Option<f32>)> = inputs
        .iter()
        .flat_map(|input| {
            let codecs = registry.iter().map(|codec| codec.descriptor());
            codecs.filter(move |d| d.modality == input.modality).flat_map(move |d| match d.knob {
                Some(knob) => knob.points.map(|point| (input, d, Some(point))).to_vec(),
                None => vec![(input, d, None)],
            })
        })
        .collect();
    let expected: u64 = streams.iter().map(|(input, ..)| input.samples).sum();

    println!("Resolving the model {MODEL} (fetched once, then kept) ...");
    let store = afferent_models::Store::from_env()?;
    let model = store.resolve(MODEL)?;
    println!("{MODEL}: sha256 {}", &model.sha256);
    // The server opens its own; here it is fetched, where that can take long.
    let backend = Backend::open(&store, None)?;
    let synthesis = match backend {
        Backend::Tract => synthesis::LINEAR,
        Backend::Ort(..) => synthesis::DEFAULT,
    };
    println!("Networks are run by {backend}; optic is decoded by its {synthesis} synthesis");

    let identity = work.join("identity");
    let authority = Authority::create(&identity)?;
    authority.issue_server(&["afferent-server"])?;
    let device = authority.issue_device(DEVICE)?;

    let mut server = Process::start(
        "server",
        Command::new(&options.server)
            .args(["serve", "--listen", "127.0.0.1:0", "--events", "--workers", "1", "--model", MODEL])
            .args(["--synthesis", synthesis])
            .arg("--identity")
            .arg(&identity)
            .arg("--data")
            .arg(work.join("server"))
            .args(inputs.iter().flat_map(|input| [PathBuf::from("--references"), input.path.clone()])),
        &work,
    )?;
    let address = server.wait_for("listening", Duration::from_secs(120))?;
    let address = address["address"].as_str().unwrap_or_default().to_owned();

    let config = agent_config(&address, &device, &work, &streams)?;
    let config_path = work.join("agent.toml");
    std::fs::write(&config_path, config).map_err(|e| Error::io(config_path.display().to_string(), e))?;
    println!(
        "{} samples through {} operating points, from an agent process to a server process on {address}",
        expected,
        streams.len()
    );
    let mut agent =
        Process::start("agent", Command::new(&options.agent).arg("run").arg("--config").arg(&config_path), &work)?;

    let bar = ProgressBar::new(expected);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} rows  {elapsed} (about {eta} left)")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let mut rows = 0;
    let mut moved = Instant::now();
    while rows < expected {
        if let Some(event) = server.event(Duration::from_millis(200))?
            && event["event"] == "rows"
        {
            rows = event["rows"].as_u64().unwrap_or(rows);
            moved = Instant::now();
            bar.set_position(rows);
        }
        agent.check()?;
        if moved.elapsed() > STALLED {
            return Err(Error::new(
                Code::Internal,
                format!("{rows} of {expected} rows came, and none for {} s", STALLED.as_secs()),
                format!("see the logs in {}", work.display()),
            ));
        }
    }
    bar.finish();
    agent.wait(Duration::from_secs(60))?;
    server.terminate()?;
    server.wait(Duration::from_secs(60))?;

    report(options, &work)?;
    println!("\nAll took {:.1} s.", start.elapsed().as_secs_f64());
    Ok(())
}

/// Reads the rows, prints the table, and writes rows, summary and plot.
fn report(options: &Options, work: &Path) -> Result<()> {
    let folder = work.join("server").join("rows");
    let out = &options.out;
    let rows: Vec<Row> = read_rows(&folder)?.collect::<Result<_>>()?;
    let count = write_rows(out.join("rows.parquet"), rows.iter().cloned())?;
    let points = summary::summarise(rows.into_iter().map(Ok))?;
    summary::write(&out.join("summary.json"), &points)?;
    let write = |name: &str, content: &str| {
        let path = out.join(name);
        std::fs::write(&path, content).map_err(|e| Error::io(path.display().to_string(), e))
    };
    let table = table::render(&points);
    write("table.txt", &table)?;
    println!("\n{table}");
    let data = match &options.data {
        Some(data) => data.file_name().unwrap_or(data.as_os_str()).to_string_lossy().into_owned(),
        None => "the bundled photographs".to_owned(),
    };
    let wires = wires(&folder)?;
    for wire in &wires {
        println!(
            "The connection of {}: {} bytes up, {} down at the server's socket, {} of them handshake; {} packets of {} framed bytes.",
            wire.device,
            wire.up_bytes,
            wire.down_bytes,
            wire.handshake_bytes,
            wire.packets,
            wire.parts.framed()
        );
    }
    let json = serde_json::to_string_pretty(&wires)
        .map_err(|e| Error::new(Code::Internal, "the ledgers cannot be written", "report this").caused_by(e))?;
    write("connections.json", &json)?;
    println!("\nWrote into {}:", out.display());
    println!("  table.txt            the table above");
    println!("  summary.json         one object per operating point");
    println!("  connections.json     what each connection carried on the wire");
    println!("  rows.parquet         one row per sample and operating point: {count} rows");
    if let Some(svg) = plot::agreement(&points, &data) {
        write("rate-agreement.svg", &svg)?;
        println!("  rate-agreement.svg   rate against agreement with the pristine prediction");
    }
    println!("  work/                this run's identities, logs, spool and store: delete it as you like");
    Ok(())
}

/// The ledgers of the server's connections, from beside its rows.
fn wires(folder: &Path) -> Result<Vec<Wire>> {
    let mut wires: BTreeMap<String, Wire> = BTreeMap::new();
    let listing = std::fs::read_dir(folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
    for item in listing {
        let path = item.map_err(|e| Error::io(folder.display().to_string(), e))?.path();
        if path.extension().is_some_and(|e| e == "json") {
            let text = std::fs::read(&path).map_err(|e| Error::io(path.display().to_string(), e))?;
            let more: Vec<Wire> = serde_json::from_slice(&text).map_err(|e| {
                Error::new(Code::Corrupt, format!("{} is no list of ledgers", path.display()), "run again").caused_by(e)
            })?;
            // A connection that spans two seals is in both: the later says more.
            for wire in more {
                let kept = wires.entry(wire.connection.clone()).or_default();
                if wire.up_bytes >= kept.up_bytes {
                    *kept = wire;
                }
            }
        }
    }
    Ok(wires.into_values().collect())
}

/// Finds what to replay: the user's files, or the bundled ones unpacked into `work`.
fn inputs(options: &Options, work: &Path) -> Result<Vec<Input>> {
    const QUICK: usize = 4;
    let mut inputs = Vec::new();
    for (modality, folder) in [(Modality::Image, "images"), (Modality::Audio, "speech")] {
        let extensions = open::extensions(modality);
        let manifest = match &options.data {
            Some(data) => match Manifest::open(data, extensions).and_then(|manifest| manifest.only(extensions)) {
                Err(error) if error.code() == Code::NotFound && data.exists() => continue,
                other => other?,
            },
            None => Manifest::open(&bundled::unpack(&work.join("media"))?.join(folder), extensions)?,
        };
        // What is replayed is written down, so that agent and server read the
        // same list; its files are reached through a link beside it.
        let link = work.join(format!("{modality}-files"));
        let root = manifest.root().canonicalize().map_err(|e| Error::io(manifest.root().display().to_string(), e))?;
        std::os::unix::fs::symlink(&root, &link).map_err(|e| Error::io(link.display().to_string(), e))?;
        let mut list = String::new();
        let samples = manifest.entries().len().min(if options.quick { QUICK } else { usize::MAX });
        for entry in &manifest.entries()[..samples] {
            let entry = Entry { file: format!("{modality}-files/{}", entry.file), ..entry.clone() };
            list += &serde_json::to_string(&entry).map_err(|e| {
                Error::new(Code::Internal, "the list of samples cannot be written", "report this").caused_by(e)
            })?;
            list.push('\n');
        }
        let path = work.join(format!("{modality}.jsonl"));
        std::fs::write(&path, list).map_err(|e| Error::io(path.display().to_string(), e))?;
        inputs.push(Input { modality, path, samples: samples as u64 });
    }
    if inputs.is_empty() {
        return Err(Error::new(
            Code::NotFound,
            "there is no picture or recording to replay",
            "give --data a folder of .jpg, .png, .webp, .wav or .flac files",
        ));
    }
    Ok(inputs)
}

/// The agent's configuration: one stream per operating point.
fn agent_config(
    address: &str,
    device: &Path,
    work: &Path,
    streams: &[(&Input, &Descriptor, Option<f32>)],
) -> Result<String> {
    let mut config = afferent_agent::Layers::new(None, &[])?.config()?;
    config.server.address = address.to_owned();
    config.identity.folder = device.to_path_buf();
    config.spool.folder = work.join("spool");
    config.streams = streams
        .iter()
        .map(|(input, descriptor, knob)| Stream {
            name: match knob {
                Some(knob) => format!("{}-{knob}", descriptor.id),
                None => descriptor.id.to_owned(),
            },
            codec: descriptor.id.to_owned(),
            knob: *knob,
            replay: Some(Replay { path: input.path.clone(), pace: Pace::Fast, period_ms: 100, repeat: 1 }),
            ..Stream::default()
        })
        .collect();
    toml::to_string(&config).map_err(|e| {
        Error::new(Code::Internal, "the agent's configuration cannot be written", "report this").caused_by(e)
    })
}
