//! `afferent codecs`: what this build can encode and decode.

use afferent_codec::{Descriptor, Registry, Simd};
use afferent_media::{Code, Error, Result};
use comfy_table::{Table, presets};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON array of descriptors
    #[arg(long)]
    json: bool,
}

/// The codecs of this command. The agent has fewer: `afferent_agent::registry`;
/// its hardware encoders are those that its configuration names.
pub(crate) fn registry() -> Registry {
    let mut registry = afferent_codec_conventional::registry();
    afferent_codec_avif::register(&mut registry);
    afferent_codec_default::register(&mut registry);
    afferent_codec_gstreamer::register(&mut registry);
    registry
}

pub(crate) fn run(args: Args) -> Result<()> {
    let registry = registry();
    let descriptors: Vec<&Descriptor> = registry.iter().map(|codec| codec.descriptor()).collect();
    if args.json {
        let json = serde_json::to_string_pretty(&descriptors)
            .map_err(|e| Error::new(Code::Internal, "the descriptors cannot be printed", "report this").caused_by(e))?;
        println!("{json}");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["codec", "of", "family", "knob", "range", "presets", "library", "SIMD", "same bits on"]);
    for d in &descriptors {
        let (knob, range) = match d.knob {
            Some(k) => (format!("{} {}", k.name, k.unit), format!("{} to {} (default {})", k.min, k.max, k.default)),
            None => ("none".into(), String::new()),
        };
        let simd = match d.simd {
            Simd::Yes => "yes",
            Simd::No => "NO",
            Simd::NotApplicable => "-",
        };
        table.add_row([
            d.id.to_owned(),
            d.modality.to_string(),
            format!("{:?}", d.family).to_lowercase(),
            knob,
            range,
            d.presets.join(", "),
            d.implementation.clone(),
            simd.to_owned(),
            format!("{:?}", d.exactness).to_lowercase(),
        ]);
    }
    println!("{table}");
    let weak: Vec<_> = descriptors.iter().filter(|d| d.simd == Simd::No).map(|d| d.id).collect();
    if !weak.is_empty() {
        println!(
            "WARNING: built without SIMD: {}. Their speed is not that of the library; \
             build with the default features and nasm.",
            weak.join(", ")
        );
    }
    Ok(())
}
