//! `afferent decode`: one container in, one picture or recording out.

use afferent_codec::{Container, Limits, SampleDecoder};
use afferent_codec_conventional::open;
use afferent_measure::row::coder;
use afferent_media::{Error, Result};
use afferent_runtime::backend::Require;
use afferent_runtime::{Flavours, Syntheses};
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File made by `afferent encode`
    input: PathBuf,
    /// File to write: .png for a picture, .wav for a recording
    #[arg(long, short)]
    output: PathBuf,
    /// What decodes a picture of a codec that leaves the choice: `linear` (no network), `faithful`
    /// (closest to what was captured) or `generative` (most natural to look at)
    #[arg(long, value_name = "FLAVOUR", default_value = "faithful")]
    synthesis: String,
    /// Zoo file of your own, with networks beside the built-in ones
    #[arg(long)]
    zoo: Option<PathBuf>,
    /// Backend and provider that must run the network, for example `ort/cuda` or `tract/cpu`; by
    /// default ONNX Runtime where it can be had, else tract
    #[arg(long)]
    require: Option<Require>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let bytes = std::fs::read(&args.input).map_err(|e| Error::io(args.input.display().to_string(), e))?;
    let mut registry = crate::codecs::registry();
    let container = Container::parse(&bytes).map_err(|e| e.at(args.input.display()))?;
    let codec = &container.header.codec;
    let mut name = codec.clone();
    if registry.get(codec).is_ok_and(|codec| codec.descriptor().synthesis) {
        let store = crate::models::store(args.zoo.as_deref())?;
        let syntheses = Syntheses::new(store, args.require, Flavours::all(&args.synthesis))?;
        registry = syntheses.registry(&registry, &args.synthesis)?;
        name = coder(codec, Some(&args.synthesis));
    }
    let start = Instant::now();
    let sample =
        SampleDecoder::new(registry, Limits::default()).decode(&container).map_err(|e| e.at(args.input.display()))?;
    let took = start.elapsed();
    open::write(&sample, &args.output)?;
    if !container.damaged.is_empty() {
        eprintln!(
            "WARNING: decoded in part: {} of {} chunks are damaged or missing",
            container.damaged.len(),
            container.damaged.len() + container.chunks.len()
        );
    }
    println!("decoded {name} in {:.2} ms", took.as_secs_f64() * 1e3);
    Ok(())
}
