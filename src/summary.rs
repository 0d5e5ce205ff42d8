//! `afferent summary`: rows as a table, or as one JSON object per operating point.

use afferent_bench::{summary, table};
use afferent_measure::store::read_rows;
use afferent_media::Result;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A Parquet file of rows, or a folder of them: `rows` in a server's data folder
    rows: PathBuf,
    /// Print what docs/summary.md describes
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let points = summary::summarise(read_rows(&args.rows)?)?;
    if args.json {
        println!("{}", summary::to_json(&points)?);
    } else {
        println!("{}", table::render(&points));
    }
    Ok(())
}
