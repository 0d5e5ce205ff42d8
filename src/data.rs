//! `afferent data`: what a data set holds, as a table, as JSON and as a manifest.

use afferent_bench::data::{self, Options};
use afferent_media::{Code, Error, Result};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder, manifest or Parquet file
    path: PathBuf,
    /// Which layout it has; recognised where left out
    #[arg(long)]
    kind: Option<String>,
    /// Only this part, for example `heldout`
    #[arg(long)]
    split: Option<String>,
    /// The list of labels of ImageNet's validation images, where it is not beside them
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Write the manifest, a new .csv or .jsonl file; images inside Parquet are extracted beside it
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let extract = args.out.as_deref().map(|out| out.parent().unwrap_or(Path::new("")).to_path_buf());
    let options = Options { split: args.split, truth: args.truth, extract };
    let set = data::open(args.kind.as_deref(), &args.path, &options)?;
    if let Some(out) = &args.out {
        set.manifest.write(out)?;
    }
    if args.json {
        let json = serde_json::json!({
            "name": set.name, "kind": set.kind, "sha256": set.sha256.to_string(), "census": set.report,
        });
        let json = serde_json::to_string_pretty(&json)
            .map_err(|e| Error::new(Code::Internal, "the census cannot be printed", "report this").caused_by(e))?;
        println!("{json}");
    } else {
        println!("{} ({})\nsha256 {}\n{}", set.name, set.kind, set.sha256, set.report.render());
    }
    Ok(())
}
