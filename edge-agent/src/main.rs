//! `afferent-agent`: the one binary that runs on a board.

use afferent_agent::{Layers, Stop, agent, bench, config};
use afferent_codec::Descriptor;
use afferent_media::{Code, Error, Result};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use serde_json::json;
use signal_hook::consts::SIGPIPE;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Parser)]
#[command(name = "afferent-agent", version, about = "Captures, encodes, keeps and sends")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until the sources end and everything is acknowledged, or until SIGINT or SIGTERM
    ///
    /// Exit status: 0, the sources have ended and everything is acknowledged; 1, an error;
    /// 2, stopped before that, and the spool keeps what is left; 3, records of the spool
    /// were damaged on disk and are lost, in this run or before (`afferent-agent spool`
    /// counts them), whether it was stopped or not.
    Run {
        /// Print one JSON object per event on standard output
        #[arg(long)]
        events: bool,
        #[command(flatten)]
        layered: Layered,
    },
    /// Show the configuration, or check it
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Config {
        /// Print the documented defaults: every key there is
        #[arg(long, group = "what")]
        default: bool,
        /// Print every value and where it came from
        #[arg(long, group = "what")]
        show: bool,
        /// Check that `run` could start with it: streams, codecs, identity; no device is touched
        #[arg(long, group = "what")]
        check: bool,
        #[command(flatten)]
        layered: Layered,
    },
    /// List the codecs of this build, with their presets and the ranges of their knobs
    Codecs(Layered),
    /// Say what the spool holds while the agent is stopped: accepted = acknowledged + spooled + lost
    Spool(Layered),
    /// Recognise this board and compare it with its file, by names in /sys and /proc only; status 1 if something contradicts it
    Board {
        /// Name of a board, or a board file that ends in `.toml`; by default the board is recognised
        name: Option<String>,
        /// Folder with a recorded tree of another machine's files
        #[arg(long, default_value = "/")]
        root: PathBuf,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure what every codec costs on this board: latency, processor time, bytes, memory, heat, energy
    Bench {
        /// Seconds of measuring, all codecs together
        #[arg(long, default_value_t = 600)]
        seconds: u32,
        /// Measure this codec alone; may be given several times
        #[arg(long, value_name = "ID")]
        codec: Vec<String>,
        /// Folder or manifest of pictures to encode instead of the bundled ones
        #[arg(long)]
        pictures: Option<PathBuf>,
        /// Folder or manifest of sound to encode instead of the made one
        #[arg(long)]
        sounds: Option<PathBuf>,
        /// Print JSON, as docs/board-benchmark.md documents it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        layered: Layered,
    },
}

#[derive(Args)]
struct Layered {
    /// Configuration file
    #[arg(long, env = "AFFERENT_AGENT_CONFIG")]
    config: Option<PathBuf>,
    /// Set one key, for example --set encode.threads=2
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Layered {
    fn layers(&self) -> Result<Layers> {
        Layers::new(self.config.as_deref(), &self.set)
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(
        env_logger::Env::default().default_filter_or("warn,afferent_agent=info,afferent_runtime=info"),
    )
    .init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Its own status of a wrong command line, 2, says here that work is left.
            let code = if told.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            return if told.print().is_ok() { code } else { ExitCode::FAILURE };
        }
    };
    match command(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn command(command: Command) -> Result<ExitCode> {
    if !matches!(command, Command::Run { .. } | Command::Bench { .. }) {
        // Who reads what is printed may stop reading: that ends it quietly.
        signal_hook::flag::register_conditional_default(SIGPIPE, Arc::new(AtomicBool::new(true))).ok();
    }
    match command {
        Command::Run { events, layered } => run(&layered, events),
        Command::Config { default: true, .. } => {
            print!("{}", config::DEFAULT);
            Ok(ExitCode::SUCCESS)
        }
        Command::Config { check: true, layered, .. } => {
            let config = layered.layers()?.config()?;
            agent::check(&config, &afferent_agent::registry_with(&config.encode)?)?;
            println!("the configuration can run: {} streams", config.streams.len());
            Ok(ExitCode::SUCCESS)
        }
        Command::Config { layered, .. } => {
            print!("{}", layered.layers()?.show()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Codecs(layered) => {
            let config = layered.layers()?.config()?;
            for codec in afferent_agent::registry_with(&config.encode)?.iter() {
                println!("{}", described(codec.descriptor()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Spool(layered) => {
            let (epoch, s) = agent::standing(&layered.layers()?.config()?)?;
            println!(
                "epoch {epoch:016x}: {} accepted = {} acknowledged + {} spooled + {} lost; {} bytes on disk",
                s.accepted, s.acknowledged, s.spooled, s.lost, s.disk
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Board { name, root, json } => {
            let report = afferent_boards_spec::examine(name.as_deref(), &root)?;
            print(&report, json)?;
            report.verdict().map(|()| ExitCode::SUCCESS)
        }
        Command::Bench { seconds, codec, pictures, sounds, json, layered } => {
            let config = layered.layers()?.config()?;
            let registry = afferent_agent::registry_with(&config.encode)?;
            let options = bench::Options { seconds, codecs: codec, pictures, sounds, body: config.body };
            let measured = bench::run(&options, &registry, &stop_by_signal()?)?;
            print(&measured, json)?;
            Ok(if measured.complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
    }
}

/// One line of what a configuration may ask of a codec.
fn described(codec: &Descriptor) -> String {
    let knob = codec.knob.map_or(String::new(), |k| {
        let unit = if k.unit.is_empty() { String::new() } else { format!(" {}", k.unit) };
        format!("; knob: {} {} to {}{unit}, default {}", k.name, k.min, k.max, k.default)
    });
    format!("{} ({}){knob}; presets: {}", codec.id, codec.modality, codec.presets.join(", "))
}

/// Prints `report` for people, or as JSON.
fn print(report: &(impl Serialize + Display), json: bool) -> Result<()> {
    if json {
        let json = serde_json::to_string_pretty(report)
            .map_err(|e| Error::new(Code::Internal, "the report cannot be printed", "report this").caused_by(e))?;
        println!("{json}");
    } else {
        print!("{report}");
    }
    Ok(())
}

/// A stop that SIGINT and SIGTERM set.
fn stop_by_signal() -> Result<Stop> {
    let stop = Stop::default();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .map_err(|e| Error::io("signal handlers", e))?;
    std::thread::spawn({
        let stop = stop.clone();
        move || {
            for _ in signals.forever() {
                stop.set();
            }
        }
    });
    Ok(stop)
}

fn run(layered: &Layered, events: bool) -> Result<ExitCode> {
    let config = layered.layers()?.config()?;
    let registry = afferent_agent::registry_with(&config.encode)?;
    let stop = stop_by_signal()?;
    let outcome = agent::run(&config, &registry, &stop)?;
    let s = outcome.standing;
    if events {
        println!("{}", json!({ "event": "ended", "outcome": outcome }));
    } else {
        println!("{} accepted = {} acknowledged + {} spooled + {} lost", s.accepted, s.acknowledged, s.spooled, s.lost);
        for (stream, times) in config.streams.iter().zip(&outcome.accepted_in) {
            println!("stream `{}`, capture to durable: {times}", stream.name);
        }
    }
    Ok(match (s.lost, outcome.complete) {
        (1.., _) => ExitCode::from(3),
        (0, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::from(2),
    })
}
