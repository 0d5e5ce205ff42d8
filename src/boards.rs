//! `afferent boards`: what is known of each board, and whether this machine is one.

use afferent_boards_spec::{Board, examine};
use afferent_media::{Code, Error, Result};
use clap::Subcommand;
use comfy_table::{Table, presets};
use serde_json::Value;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the boards
    List {
        /// Print one JSON array of boards
        #[arg(long)]
        json: bool,
    },
    /// Show one board file, with the source of every fact
    Show {
        /// Name of a board, or a board file that ends in `.toml`
        name: String,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare this machine with a board file, by names in /sys and /proc only; status 1 if something contradicts it
    Check {
        /// Name of a board, or a board file that ends in `.toml`; by default the board is recognised
        name: Option<String>,
        /// Folder with a recorded tree of another machine's files
        #[arg(long, default_value = "/")]
        root: PathBuf,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List { json: true } => print(serde_json::to_value(Board::all()?)),
        Command::List { json: false } => {
            println!("{}", table(&Board::all()?));
            Ok(())
        }
        Command::Show { name, json: true } => print(serde_json::to_value(Board::named(&name)?)),
        Command::Show { name, json: false } => {
            print!("{}", Board::named(&name)?.text());
            Ok(())
        }
        Command::Check { name, root, json } => {
            let report = examine(name.as_deref(), &root)?;
            if json {
                print(serde_json::to_value(&report))?;
            } else {
                print!("{report}");
            }
            report.verdict()
        }
    }
}

fn print(value: serde_json::Result<Value>) -> Result<()> {
    let value =
        value.map_err(|e| Error::new(Code::Internal, "the boards cannot be printed", "report this").caused_by(e))?;
    println!("{value:#}");
    Ok(())
}

fn table(boards: &[Board]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["board", "title", "processor", "hardware encoders", "providers", "meters"]);
    for board in boards {
        let words = |words: Vec<String>| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        let accelerated = board.accelerators.iter().flat_map(|accelerator| &accelerator.providers);
        let mut providers: Vec<_> = board.cpu.providers.iter().chain(accelerated).map(ToString::to_string).collect();
        providers.dedup();
        table.add_row([
            board.name.clone(),
            board.title.clone(),
            board.cpu.model.clone().unwrap_or_else(|| format!("any {}", board.architecture)),
            words(board.encoders.iter().map(|encoder| encoder.element.to_string()).collect()),
            words(providers),
            words(board.meters.iter().map(|meter| meter.label.clone()).collect()),
        ]);
    }
    table
}
