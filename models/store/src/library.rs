//! Shared libraries that are loaded at run time: found where the user has them,
//! or fetched from a registry's package, verified and kept.
//!
//! `models/libraries.toml` says, for each platform, which member of which package
//! holds the library.

use crate::store::{Store, cached, lock, mirrored, unwritable, write};
use crate::zoo::Package;
use afferent_media::{Code, Error, Result};
use serde::Deserialize;
use std::path::PathBuf;

const KNOWN: &str = include_str!("../../libraries.toml");

/// A library's file in a package, for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Name, for example `onnxruntime`.
    pub name: String,
    /// Version of the library.
    pub version: String,
    /// SPDX expression of its licence.
    pub licence: String,
    /// Operating system, as [`std::env::consts::OS`] says.
    pub os: String,
    /// Processor, as [`std::env::consts::ARCH`] says.
    pub arch: String,
    /// The package and its member.
    pub package: Package,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Libraries {
    library: Vec<Library>,
}

/// The libraries that this program knows, on every platform.
///
/// # Errors
/// [`Code::Config`] if the built-in list is wrong, which a test rules out.
pub fn built_in() -> Result<Vec<Library>> {
    let wrong = |e| Error::new(Code::Config, "the built-in list of libraries is wrong", "report this").caused_by(e);
    let libraries: Libraries = toml::from_str(KNOWN).map_err(|e: toml::de::Error| wrong(Box::new(e)))?;
    for library in &libraries.library {
        library.package.check()?;
    }
    Ok(libraries.library)
}

impl Store {
    /// The verified shared library `name` for this platform, fetched if need be.
    /// The mirror may hold the package or the library under its own file name in
    /// the folder `name`.
    ///
    /// # Errors
    /// [`Code::Unsupported`] if none is known for this platform, otherwise as
    /// [`Store::resolve`].
    pub fn library(&self, name: &str) -> Result<PathBuf> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let here = |library: &Library| library.name == name && library.os == os && library.arch == arch;
        let library = built_in()?.into_iter().find(here).ok_or_else(|| {
            Error::new(
                Code::Unsupported,
                format!("no package is known to hold {name} for {os} on {arch}"),
                "install the library by other means and name its file",
            )
        })?;
        let package = &library.package;
        let folder = self.cache().join("libraries").join(format!("{name}-{}", library.version));
        let path = folder.join(package.member_name());
        if !cached(&path, package.member_sha256)? {
            std::fs::create_dir_all(&folder).map_err(|e| unwritable(&folder, e))?;
            let _lock = lock(&folder)?;
            if !cached(&path, package.member_sha256)? {
                let bytes = self.obtain_library(name, package).map_err(|e| e.at(format!("library `{name}`")))?;
                write(&folder, &path, &bytes).map_err(|e| unwritable(&folder, e))?;
            }
        }
        Ok(path)
    }

    fn obtain_library(&self, name: &str, package: &Package) -> Result<Vec<u8>> {
        let folder = self.mirror().map(|mirror| mirror.join(name));
        match mirrored(folder.as_deref(), package.member_name(), package.member_sha256)? {
            Some(bytes) => Ok(bytes),
            None => self.registered(package, folder.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_sound() {
        let libraries = built_in().unwrap();
        let linux = libraries.iter().filter(|library| library.os == "linux");
        assert_eq!(linux.map(|library| library.arch.as_str()).collect::<Vec<_>>(), ["x86_64", "aarch64"]);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), None).unwrap();
        assert_eq!(store.library("libunknown").unwrap_err().code(), Code::Unsupported);
    }
}
