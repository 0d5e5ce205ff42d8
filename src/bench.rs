//! `afferent bench`: measure this software on this machine.

use crate::demo::binaries;
use afferent_bench::{agent, anchor, bundled, capture, sweep};
use afferent_media::Result;
use afferent_runtime::backend::Require;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Measure data × codecs × knobs × sizes × models, as a plan says; goes on where it was
    Sweep {
        /// The plan (`afferent bench plan` prints one with every key explained)
        plan: PathBuf,
        /// Folder for rows and everything else; a sweep that was stopped goes on there
        #[arg(long)]
        out: PathBuf,
        /// Samples that are worked on at once
        #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
        workers: usize,
        /// Backend and provider that must run the models, for example `ort/cpu`
        #[arg(long)]
        require: Option<Require>,
    },
    /// Print a plan for `sweep` with every key explained
    Plan,
    /// What pictures that each stand alone pay beside a video codec (x264 and SVT-AV1, by ffmpeg)
    Anchor {
        /// Folder of frames in order of their names, all of one size; without it a window moves over bundled photographs
        #[arg(long)]
        frames: Option<PathBuf>,
        /// Name of the sequence, which names the result file
        #[arg(long, default_value = "moving")]
        name: String,
        /// Where the frames are from, for the result file
        #[arg(long, requires = "frames")]
        source: Option<String>,
        /// Frames per second
        #[arg(long, default_value_t = 30)]
        fps: u32,
        /// At most so many frames
        #[arg(long, default_value_t = 90)]
        count: usize,
        /// Image codecs to code each frame with, alone
        #[arg(long = "codec", default_values_t = ["optic", "webp", "jpeg"].map(String::from))]
        codecs: Vec<String>,
        /// Folder for the result file
        #[arg(long, default_value = "docs/results")]
        out: PathBuf,
        /// Folder for everything else it writes; it is emptied first
        #[arg(long, default_value = "target/bench-anchor")]
        work: PathBuf,
    },
    /// What the agent costs beside the codec it runs: CPU, memory, size
    Agent {
        /// Folder for the result file
        #[arg(long, default_value = "docs/results")]
        out: PathBuf,
        /// Folder for everything else it writes; it is emptied first
        #[arg(long, default_value = "target/bench-agent")]
        work: PathBuf,
    },
    /// Capture for an hour (30 frames a second by JPEG, sound by Opus): what is lost, how soon a
    /// sample is durable, and what it costs
    Capture {
        /// How long
        #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
        seconds: u32,
        /// Folder for the result file
        #[arg(long, default_value = "docs/results")]
        out: PathBuf,
        /// Folder for everything else it writes (4 GiB for an hour); it is emptied first
        #[arg(long, default_value = "target/bench-capture")]
        work: PathBuf,
    },
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.what {
        What::Plan => {
            print!("{}", include_str!("../bench/plans/example.toml"));
            Ok(())
        }
        What::Sweep { plan, out, workers, require } => {
            let options = sweep::Options { plan, out, workers, require };
            let mut registry = crate::codecs::registry();
            afferent_bench::external::register(&mut registry);
            let outcome = sweep::run(&options, &registry)?;
            if !outcome.left_out.is_empty() {
                println!("{} damaged files were left out: {}", outcome.left_out.len(), outcome.left_out.join(", "));
            }
            println!(
                "{} samples at operating points, {} of them from before; rows in {}",
                outcome.places,
                outcome.before,
                outcome.rows.display()
            );
            Ok(())
        }
        What::Anchor { frames, name, source, fps, count, codecs, out, work } => {
            let options = anchor::Options { frames, name, source, fps, count, codecs, work, out };
            anchor::run(&options, &crate::codecs::registry())
        }
        What::Agent { out, work } => {
            let (server, agent_binary) = binaries()?;
            let media = bundled::unpack(&work.with_extension("media"))?;
            agent::run(&server, &agent_binary, &media, &work, &out)
        }
        What::Capture { seconds, out, work } => {
            let (server, agent) = binaries()?;
            capture::run(&capture::Options { server, agent, seconds, work, out })
        }
    }
}
