//! The bundled photographs and speech, with their attribution.

use afferent_media::{Error, Result};
use include_dir::{Dir, include_dir};
use std::path::{Path, PathBuf};

static BUNDLED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../data/demo");

/// Unpacks the bundled media into `folder` and returns its canonical path; it
/// then holds `images` and `speech`, each with a manifest, and `ATTRIBUTION.md`.
///
/// # Errors
/// Those of writing.
pub fn unpack(folder: &Path) -> Result<PathBuf> {
    let failed = |e| Error::io(folder.display().to_string(), e);
    std::fs::create_dir_all(folder).map_err(failed)?;
    BUNDLED.extract(folder).map_err(failed)?;
    folder.canonicalize().map_err(failed)
}
