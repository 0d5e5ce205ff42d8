//! What runs networks: ONNX Runtime where it can be had, tract otherwise.
//!
//! Which of the two it was, and by which provider, is said once and recorded in
//! every row. Who requires one gets it or an error.

use afferent_media::{Code, Error, Network, Result};
use afferent_models::Store;
use afferent_models_ort::{Options, OrtNetwork, Provider, Runtime};
use afferent_models_tract::{SizedNetwork, TractNetwork};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The environment variable that names the user's own ONNX Runtime library.
pub const LIBRARY: &str = "AFFERENT_ONNXRUNTIME";

/// A backend and provider that must be the ones.
///
/// ```
/// use afferent_runtime::backend::Require;
/// let require: Require = "ort/cuda".parse()?;
/// assert_eq!(require.to_string(), "ort/cuda");
/// assert!("gpu".parse::<Require>().is_err());
/// # Ok::<(), afferent_media::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// tract, on the processor.
    Tract,
    /// ONNX Runtime, by this provider.
    Ort(Provider),
}

impl fmt::Display for Require {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tract => f.write_str("tract/cpu"),
            Self::Ort(provider) => write!(f, "ort/{provider}"),
        }
    }
}

impl FromStr for Require {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some(("tract", "cpu")) => Ok(Self::Tract),
            Some(("ort", provider)) => provider.parse().map(Self::Ort),
            _ => Err(Error::new(
                Code::Config,
                format!("`{text}` is no backend and provider"),
                format!("write tract/cpu, or ort/ and one of: {}", Provider::ALL.map(Provider::name).join(", ")),
            )),
        }
    }
}

/// What runs networks in this process.
#[derive(Debug, Clone)]
pub enum Backend {
    /// tract, pure Rust.
    Tract,
    /// ONNX Runtime, by this provider.
    Ort(Runtime, Provider),
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tract => f.write_str("tract"),
            Self::Ort(runtime, provider) => write!(f, "ONNX Runtime {} ({provider})", runtime.version()),
        }
    }
}

impl Backend {
    /// The backend that is required or, where none is, ONNX Runtime on the
    /// processor if its library is named in `AFFERENT_ONNXRUNTIME` or can be had
    /// from the store, and tract if not.
    ///
    /// # Errors
    /// Whatever keeps a required backend from being had.
    pub fn open(store: &Store, require: Option<Require>) -> Result<Self> {
        let ort = |provider| Ok(Self::Ort(Runtime::load(&library(store)?)?, provider));
        match require {
            Some(Require::Tract) => Ok(Self::Tract),
            Some(Require::Ort(provider)) => ort(provider),
            None => Ok(ort(Provider::Cpu).unwrap_or_else(|error| {
                log::warn!("networks are run by tract, which is slower, because ONNX Runtime cannot be had: {error}");
                Self::Tract
            })),
        }
    }

    /// Loads a network whose inputs may be of any size, each time of another.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn load_sized(&self, path: &Path) -> Result<Engine> {
        match self {
            Self::Tract => SizedNetwork::load(path).map(Engine::Sized),
            Self::Ort(..) => self.load(path),
        }
    }

    /// Loads the network of an ONNX file.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn load(&self, path: &Path) -> Result<Engine> {
        match self {
            Self::Tract => TractNetwork::load(path).map(Engine::Tract),
            Self::Ort(runtime, provider) => {
                let options = Options { provider: *provider, ..Options::default() };
                OrtNetwork::load(runtime, path, options).map(|network| Engine::Ort(Box::new(network)))
            }
        }
    }
}

/// The library that the user names, or the store's.
fn library(store: &Store) -> Result<PathBuf> {
    match std::env::var_os(LIBRARY).filter(|named| !named.is_empty()) {
        Some(named) => Ok(PathBuf::from(named)),
        None => store.library("onnxruntime"),
    }
}

/// A loaded network, from which each worker gets one of its own.
pub enum Engine {
    /// Run by tract.
    Tract(TractNetwork),
    /// Run by tract, for images of any size.
    Sized(SizedNetwork),
    /// Run by ONNX Runtime.
    Ort(Box<OrtNetwork>),
}

impl Engine {
    /// What the network takes: name and shape (`None` for a dynamic axis) of each input.
    #[must_use]
    pub fn inputs(&self) -> &[(String, Vec<Option<usize>>)] {
        match self {
            Self::Tract(network) => network.inputs(),
            Self::Sized(network) => network.inputs(),
            Self::Ort(network) => network.inputs(),
        }
    }

    /// What really runs it.
    #[must_use]
    pub fn provider(&self) -> &str {
        match self {
            Self::Tract(network) => network.provider(),
            Self::Sized(network) => network.provider(),
            Self::Ort(network) => network.provider(),
        }
    }

    /// A network for one worker.
    ///
    /// # Errors
    /// [`Code::Model`] if it cannot be made once more.
    pub fn network(&self) -> Result<Box<dyn Network>> {
        match self {
            // Clones share their weights.
            Self::Tract(network) => Ok(Box::new(network.clone())),
            Self::Sized(network) => Ok(Box::new(network.clone())),
            Self::Ort(network) => Ok(Box::new(network.another()?)),
        }
    }
}
