//! `afferent`: cameras and microphones at the edge, perception elsewhere, and
//! what every bit bought. One file per subcommand; the logic is in the rooms.

mod bench;
mod boards;
mod codecs;
mod data;
mod decode;
mod demo;
mod encode;
mod enroll;
mod inspect;
mod models;
mod report;
mod serve;
mod summary;

use clap::{Parser, Subcommand};
use signal_hook::consts::SIGPIPE;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Parser)]
#[command(
    name = "afferent",
    version,
    about = "What every bit bought: edge codecs for machine perception, measured end to end"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole way on bundled (or your own) media and show what each codec cost and kept
    Demo(demo::Args),
    /// List the codecs of this build
    Codecs(codecs::Args),
    /// Encode one picture or recording
    Encode(encode::Args),
    /// Decode one file made by `encode`
    Decode(decode::Args),
    /// Show where every byte of a file went
    Inspect(inspect::Args),
    /// Make the identities of a server and its devices
    Enroll(enroll::Args),
    /// Receive from devices, store, decode, perceive and measure
    Serve(serve::Args),
    /// Show rows that a server has sealed as a table: what each operating point cost and kept
    Summary(summary::Args),
    /// Make one page of charts and tables of rows: what every bit bought
    Report(report::Args),
    /// List the models of the zoo, and fetch or verify one
    Models(models::Args),
    /// Show what a data set holds, check every file of it, and write its manifest
    Data(data::Args),
    /// List the boards that are known, show one, and check this machine against it
    Boards(boards::Args),
    /// Measure this software on this machine
    Bench(bench::Args),
}

impl Command {
    /// Whether it has neither children nor connections, whose ends are errors to handle.
    fn only_prints(&self) -> bool {
        matches!(
            self,
            Self::Codecs(_)
                | Self::Inspect(_)
                | Self::Summary(_)
                | Self::Report(_)
                | Self::Models(_)
                | Self::Data(_)
                | Self::Boards(_)
        )
    }
}

/// Lets SIGPIPE end this program once nobody reads what it prints (`afferent codecs | head`).
fn end_with_the_reader() {
    let always = Arc::new(AtomicBool::new(true));
    // Where that cannot be had, it ends with an error.
    signal_hook::flag::register_conditional_default(SIGPIPE, always).ok();
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(
        env_logger::Env::default().default_filter_or("warn,afferent_agent=info,afferent_runtime=info"),
    )
    .init();
    let command = Cli::parse().command;
    if command.only_prints() {
        end_with_the_reader();
    }
    let result = match command {
        Command::Demo(args) => demo::run(args),
        Command::Codecs(args) => codecs::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Enroll(args) => enroll::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Summary(args) => summary::run(args),
        Command::Report(args) => report::run(args),
        Command::Models(args) => models::run(args),
        Command::Data(args) => data::run(args),
        Command::Boards(args) => boards::run(args),
        Command::Bench(args) => bench::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
