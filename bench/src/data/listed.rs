//! A manifest, as it is.

use super::listing::Listing;
use super::{Adapter, Options};
use afferent_media::manifest::Manifest;
use afferent_media::{Error, Result};
use std::path::{Path, PathBuf};

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "manifest",
    layout: "a .csv or .jsonl manifest, or a folder with manifest.csv or manifest.jsonl",
    one_set: false,
    classes: 0,
    recognise: |path| file(path).is_some(),
    list,
};

/// The manifest at `path`.
pub(super) fn file(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return ["manifest.csv", "manifest.jsonl"].map(|name| path.join(name)).into_iter().find(|file| file.is_file());
    }
    path.extension().is_some_and(|e| e == "csv" || e == "jsonl").then(|| path.to_path_buf())
}

pub(super) fn list(path: &Path, _: &Options) -> Result<Listing> {
    let file = file(path).unwrap_or_else(|| path.join("manifest.csv"));
    let manifest = Manifest::open(&file, &[])?;
    let stated = std::fs::metadata(&file).and_then(|metadata| metadata.modified());
    Ok(Listing {
        root: manifest.root().to_path_buf(),
        stated: Some(stated.map_err(|e| Error::io(file.display().to_string(), e))?),
        entries: manifest.into_entries(),
        ..Listing::default()
    })
}
