//! `afferent demo`: the whole way, once, on real input.

use afferent_bench::demo::{self, Options};
use afferent_media::{Code, Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Your own pictures or recordings: a folder or a manifest
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder for what the demo writes
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
    /// A few samples only
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let (server, agent) = binaries()?;
    demo::run(&Options { data: args.data, out: args.out, quick: args.quick, server, agent })
}

/// This binary, and the agent's beside it.
pub(crate) fn binaries() -> Result<(PathBuf, PathBuf)> {
    let server = std::env::current_exe().map_err(|e| Error::io("finding this binary", e))?;
    let agent = server.with_file_name("afferent-agent");
    if !agent.is_file() {
        return Err(Error::new(
            Code::NotFound,
            format!("{} is missing", agent.display()),
            "build it too: `make build`, or cargo build -p afferent-agent with the same profile",
        ));
    }
    Ok((server, agent))
}
