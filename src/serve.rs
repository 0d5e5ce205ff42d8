//! `afferent serve`: receive from devices, store, decode, perceive, measure.

use afferent_media::{Error, Result};
use afferent_models::Store;
use afferent_runtime::model::Loaded;
use afferent_runtime::{Events, Options, Stop};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address and UDP port to listen on; port 0 takes a free one
    #[arg(long, default_value = "0.0.0.0:7400")]
    listen: SocketAddr,
    /// Folder made by `afferent enroll --server`
    #[arg(long)]
    identity: PathBuf,
    /// Folder for everything that is kept: packets, rows
    #[arg(long)]
    data: PathBuf,
    /// Manifest or folder of pristine samples and labels; may be given more than once
    #[arg(long)]
    references: Vec<PathBuf>,
    /// Model of the zoo that perceives images, or `none`
    #[arg(long, default_value = "efficientnet-lite0")]
    model: String,
    /// Threads that decode and perceive
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, |n| n.get().min(64) as u16), value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Seal rows into Parquet once there are this many (and at the end)
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    seal_rows: u32,
    /// Print one JSON object per event on standard output
    #[arg(long)]
    events: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let registry = crate::codecs::registry();
    let model = match args.model.as_str() {
        "none" => None,
        name => Some(Loaded::open(&Store::from_env()?, name)?),
    };
    let stop = Stop::default();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .map_err(|e| Error::io("signal handlers", e))?;
    std::thread::spawn({
        let stop = stop.clone();
        move || signals.forever().for_each(|_| stop.set())
    });
    let options = Options {
        listen: args.listen,
        identity: args.identity,
        data: args.data,
        references: args.references,
        workers: args.workers.into(),
        seal_rows: args.seal_rows as usize,
    };
    let models = || Ok(model.as_ref().map(Loaded::handle));
    afferent_runtime::run(&options, &registry, &models, &Events { on: args.events }, &stop)
}
