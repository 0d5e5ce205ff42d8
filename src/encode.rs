//! `afferent encode`: one file in, one container out.

use crate::inspect;
use afferent_codec::{Limits, Resize, SampleEncoder, Settings};
use afferent_codec_conventional::open;
use afferent_media::{Code, Error, Modality, Result, Sample};
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Picture (.jpg, .png, .webp) or recording (.wav, .flac); a picture is read as RGB or
    /// grey of 8 bits: alpha is left out, and of 16 bits the upper 8 are kept
    input: PathBuf,
    /// Codec by id (`afferent codecs` lists them)
    #[arg(long, short)]
    codec: String,
    /// Knob in the codec's own unit
    #[arg(long, short, allow_negative_numbers = true)]
    knob: Option<f32>,
    /// Preset by name
    #[arg(long, short)]
    preset: Option<String>,
    /// Make a picture smaller by this ratio before coding it, for example `1/2`
    #[arg(long, default_value = "none")]
    resize: Resize,
    /// File to write
    #[arg(long, short)]
    output: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let registry = crate::codecs::registry();
    let codec = registry.get(&args.codec)?;
    let settings = Settings { preset: args.preset, knob: args.knob, resize: args.resize };
    let mut encoder = SampleEncoder::new(codec.as_ref(), &settings)?;
    let sample = match codec.descriptor().modality {
        Modality::Image => Sample::Image(open::image(&args.input, &Limits::default())?),
        Modality::Audio => Sample::Audio(open::audio(&args.input, &Limits::default())?),
    };
    if args.output.canonicalize().is_ok_and(|output| args.input.canonicalize().is_ok_and(|input| input == output)) {
        return Err(Error::new(
            Code::Config,
            format!("{} is input and output", args.output.display()),
            "give another output file",
        ));
    }
    let mut out = Vec::new();
    let start = Instant::now();
    encoder.encode(&sample, &mut out)?;
    let took = start.elapsed();
    std::fs::write(&args.output, &out).map_err(|e| Error::io(args.output.display().to_string(), e))?;
    inspect::print(&out)?;
    println!("encoded in {:.2} ms", took.as_secs_f64() * 1e3);
    Ok(())
}
