//! `afferent inspect`: the rate ledger of a file.

use afferent_codec::{Container, Geometry};
use afferent_media::{Bytes, Error, Pixels, Result, Samples};
use comfy_table::{CellAlignment, Table, presets};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File made by `afferent encode`
    file: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let bytes = std::fs::read(&args.file).map_err(|e| Error::io(args.file.display().to_string(), e))?;
    print(&bytes).map_err(|e| e.at(args.file.display()))
}

/// Prints what a container says of itself, and where its bytes went.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let container = Container::parse(bytes)?;
    let header = &container.header;
    let knob = header.knob.map(|k| format!(" at {k}")).unwrap_or_default();
    let tables: String = header.weights.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    let tables = if tables.is_empty() { tables } else { format!(", tables {tables}") };
    println!("{} version {}, preset {}{knob}{tables}", header.codec, header.codec_version, header.preset);
    let rate: Box<dyn Fn(Bytes) -> String> = match header.geometry {
        Geometry::Image(image) | Geometry::ResizedImage(image, _) => {
            let (width, height) = header.geometry.resize().apply(image.width, image.height);
            print!("{}x{} pixels, {:?}", image.width, image.height, image.format);
            println!(
                "{}",
                if (width, height) == (image.width, image.height) {
                    String::new()
                } else {
                    format!(", coded as {width}x{height}")
                }
            );
            let pixels = Pixels(header.geometry.units());
            Box::new(move |bytes| format!("{:.4} bpp", (bytes.bits() / pixels).0))
        }
        Geometry::Audio(audio) => {
            let seconds = audio.frames as f64 / f64::from(audio.rate);
            println!("{} channels at {} Hz, {} frames, {seconds:.3} s", audio.channels, audio.rate, audio.frames);
            let samples = Samples(header.geometry.units());
            Box::new(move |bytes| {
                if samples.0 == 0 {
                    return "no sound".to_owned();
                }
                format!("{:.3} kb/s, {:.4} bits/sample", bytes.bits().per_second(seconds).0, (bytes.bits() / samples).0)
            })
        }
    };
    let chunks = container.chunks.len() + container.damaged.len();
    println!("{chunks} chunks, {} damaged or missing", container.damaged.len());
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["part", "bytes", "rate"]);
    let parts = container.parts;
    for (name, bytes) in [
        ("payload", parts.payload),
        ("side information", parts.side),
        ("codec header", parts.header),
        ("= codec", parts.codec()),
        ("container", parts.container),
        ("= storage", parts.storage()),
    ] {
        table.add_row([name.to_owned(), bytes.to_string(), rate(bytes)]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    // The figures are the header's: of damaged chunks too, so that is an error.
    container.intact().map(|_| ())
}
