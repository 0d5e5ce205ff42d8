//! `afferent bench`: measure this software on this machine.

use crate::demo::binaries;
use afferent_bench::{agent, bundled};
use afferent_media::Result;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What the agent costs beside the codec it runs: CPU, memory, size
    Agent {
        /// Folder for the result file
        #[arg(long, default_value = "docs/results")]
        out: PathBuf,
        /// Folder for everything else it writes; it is emptied first
        #[arg(long, default_value = "target/bench-agent")]
        work: PathBuf,
    },
}

pub(crate) fn run(args: Args) -> Result<()> {
    let registry = afferent_codec_conventional::registry();
    let (server, agent_binary) = binaries()?;
    match args.what {
        What::Agent { out, work } => {
            let media = bundled::unpack(&work.with_extension("media"))?;
            agent::run(&server, &agent_binary, &media, &work, &out, &registry)
        }
    }
}
