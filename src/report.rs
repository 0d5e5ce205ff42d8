//! `afferent report`: rows as one page of charts and tables.

use afferent_bench::report::{Options, Report};
use afferent_measure::stats::Bootstrap;
use afferent_media::{Error, Result};
use afferent_runtime::{Flavours, Syntheses};
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parquet files of rows, or folders of `rows-*.parquet`
    #[arg(required = true)]
    rows: Vec<PathBuf>,
    /// The page to write: one file that loads nothing
    #[arg(long, default_value = "report.html")]
    out: PathBuf,
    /// Print the tables instead of writing a page
    #[arg(long)]
    text: bool,
    /// Write every table, and the figures of every chart, into this folder as CSV
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Write every chart into this folder as SVG
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Write where every number comes from into this file: tables, queries, digests of rows
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Where a data set's files are, to show its worst samples: the manifest or its folder
    #[arg(long, value_name = "NAME=PATH", value_parser = named)]
    data: Vec<(String, PathBuf)>,
    /// How many of the worst samples to show, of data sets given by --data
    #[arg(long, default_value_t = 6, conflicts_with = "no_samples")]
    samples: usize,
    /// Show no samples
    #[arg(long)]
    no_samples: bool,
    /// Seed of the draws for intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn named(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("give a name and a path: NAME=PATH")?;
    Ok((name.to_owned(), path.into()))
}

pub(crate) fn run(args: Args) -> Result<()> {
    let options = Options {
        rows: args.rows,
        data: args.data,
        samples: if args.no_samples { 0 } else { args.samples },
        bootstrap: Bootstrap::new(args.seed),
    };
    let syntheses = Syntheses::new(crate::models::store(None)?, None, Flavours::default())?;
    let report = Report::new(&options, &crate::codecs::registry(), &syntheses)?;
    if let Some(folder) = &args.csv {
        report.csv(folder)?;
    }
    if let Some(folder) = &args.svg {
        report.svg(folder)?;
    }
    if let Some(file) = &args.trace {
        std::fs::write(file, report.trace()).map_err(|e| Error::io(format!("writing {}", file.display()), e))?;
    }
    if args.text {
        let written = std::io::stdout().write_all(report.text().as_bytes());
        return written.map_err(|e| Error::io("writing to the terminal", e));
    }
    std::fs::write(&args.out, report.html()).map_err(|e| Error::io(format!("writing {}", args.out.display()), e))?;
    println!("Wrote {}", args.out.display());
    Ok(())
}
