//! `afferent serve`: receive from devices, store, decode, perceive, measure.

use afferent_media::{Error, Result};
use afferent_runtime::backend::{Backend, Require};
use afferent_runtime::model::Loaded;
use afferent_runtime::{Events, Flavours, Options, Stop, Syntheses};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// Model of the zoo that perceives images, or `none`; may be given more than once
    #[arg(long, default_value = "efficientnet-lite0")]
    model: Vec<String>,
    /// What decodes pictures of codecs that leave the choice: `linear`, `faithful` or `generative`
    /// for all streams, or STREAM=FLAVOUR for one; may be given more than once
    #[arg(long, value_name = "FLAVOUR", default_value = "faithful")]
    synthesis: Vec<String>,
    /// Zoo file of your own, with models beside the built-in ones
    #[arg(long)]
    zoo: Option<PathBuf>,
    /// Backend and provider that must run networks, for example `ort/cuda` or `tract/cpu`; by
    /// default ONNX Runtime where it can be had, else tract
    #[arg(long)]
    require: Option<Require>,
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
    let names: Vec<&String> = args.model.iter().filter(|name| *name != "none").collect();
    let store = crate::models::store(args.zoo.as_deref())?;
    let mut syntheses = Syntheses::new(store.clone(), args.require, Flavours::parse(&args.synthesis)?)?;
    let models: Vec<Loaded> = if names.is_empty() {
        Vec::new()
    } else {
        let backend = Backend::open(&store, args.require)?;
        let models = names.into_iter().map(|name| Loaded::open(&store, &backend, name)).collect::<Result<_>>()?;
        syntheses = syntheses.on(backend);
        models
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
    let handles = || models.iter().map(Loaded::handle).collect();
    afferent_runtime::run(&options, &registry, &handles, &Arc::new(syntheses), &Events { on: args.events }, &stop)
}
