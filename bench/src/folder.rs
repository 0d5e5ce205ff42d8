//! Folders that a benchmark makes anew each time.

use afferent_media::{Code, Error, Result};
use std::path::{Path, PathBuf};

/// Left in each folder that was made here: only such a folder is ever emptied.
const MARKER: &str = ".afferent-work";

/// Makes `folder` anew, emptying what an earlier run left, and returns its
/// canonical path.
///
/// # Errors
/// [`Code::Config`] if there is a folder of that name that no run has made;
/// those of the file system.
pub fn fresh(folder: &Path) -> Result<PathBuf> {
    let failed = |e| Error::io(folder.display().to_string(), e);
    if folder.exists() {
        if !folder.join(MARKER).exists() {
            return Err(Error::new(
                Code::Config,
                format!("{} exists and was not made by this program", folder.display()),
                "choose another folder, or move that one away",
            ));
        }
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(folder.join(MARKER), "").map_err(failed)?;
    folder.canonicalize().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_folders_are_emptied() {
        let outer = tempfile::tempdir().unwrap();
        let own = fresh(&outer.path().join("own")).unwrap();
        std::fs::write(own.join("old"), "").unwrap();
        assert!(!fresh(&own).unwrap().join("old").exists());
        let theirs = outer.path().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        assert_eq!(fresh(&theirs).unwrap_err().code(), Code::Config);
        assert!(theirs.exists());
    }
}
