//! `afferent decode`: one container in, one picture or recording out.

use afferent_codec::{Container, Limits, SampleDecoder};
use afferent_codec_conventional::open;
use afferent_media::{Error, Result};
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File made by `afferent encode`
    input: PathBuf,
    /// File to write: .png for a picture, .wav for a recording
    #[arg(long, short)]
    output: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let bytes = std::fs::read(&args.input).map_err(|e| Error::io(args.input.display().to_string(), e))?;
    let registry = crate::codecs::registry();
    let container = Container::parse(&bytes).and_then(Container::intact).map_err(|e| e.at(args.input.display()))?;
    let start = Instant::now();
    let sample =
        SampleDecoder::new(registry, Limits::default()).decode(&container).map_err(|e| e.at(args.input.display()))?;
    let took = start.elapsed();
    open::write(&sample, &args.output)?;
    println!("decoded {} in {:.2} ms", container.header.codec, took.as_secs_f64() * 1e3);
    Ok(())
}
