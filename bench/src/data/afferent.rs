//! The folders of Afferent's own data, prepared from public data sets: a manifest
//! that also says what each file was called in its source (`original`) and how
//! freely it may be passed on (`tier`).

use super::listing::Listing;
use super::{Adapter, Options, listed};
use afferent_media::{Code, Error, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "afferent",
    layout: "a folder of $AFFERENT_DATA: manifest.csv with the columns `original` and `tier`",
    one_set: false,
    classes: 0,
    recognise,
    list,
};

/// The longest header line that is looked at.
const MAX_HEADER_BYTES: u64 = 1 << 16;

fn recognise(path: &Path) -> bool {
    let Ok(file) = std::fs::File::open(path.join("manifest.csv")) else { return false };
    let mut header = String::new();
    let read = BufReader::new(file.take(MAX_HEADER_BYTES)).read_line(&mut header);
    let has = |column| header.trim_end().split(',').any(|own| own == column);
    read.is_ok() && has("original") && has("tier")
}

#[derive(Deserialize)]
struct Origin {
    file: String,
    original: String,
}

pub(super) fn list(path: &Path, options: &Options) -> Result<Listing> {
    let mut listing = listed::list(path, options)?;
    // Pictures of one patient or one drive are no independent samples.
    match super::called(path).as_str() {
        "chest_xray" => {
            let originals = originals(&path.join("manifest.csv"))?;
            for entry in &mut listing.entries {
                entry.group = originals.get(&entry.file).and_then(|original| before_underscore(original));
            }
        }
        "camvid" => {
            listing.highest_class = Some(super::camvid::HIGHEST_CLASS);
            for entry in &mut listing.entries {
                entry.group = before_underscore(super::listing::stem(&entry.file));
            }
        }
        "ade20k_sample" => listing.highest_class = Some(super::ade20k::HIGHEST_CLASS),
        _ => {}
    }
    Ok(listing)
}

/// The part of a name before its first `_`.
pub(super) fn before_underscore(name: &str) -> Option<String> {
    name.split_once('_').map(|(group, _)| group.to_owned())
}

/// What each file was called in its source.
fn originals(manifest: &Path) -> Result<HashMap<String, String>> {
    let wrong = |e: csv::Error| {
        Error::new(Code::Config, "bad CSV record", "fill the columns `file` and `original`")
            .caused_by(e)
            .at(manifest.display())
    };
    let mut reader = csv::Reader::from_path(manifest).map_err(wrong)?;
    reader.deserialize().map(|row| row.map(|row: Origin| (row.file, row.original)).map_err(wrong)).collect()
}
