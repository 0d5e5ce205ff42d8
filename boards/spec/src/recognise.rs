//! Which board this is.

use crate::board::{Architecture, Board};
use crate::evidence::Machine;
use afferent_media::{Code, Error, Result};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// A board, and how it was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The board.
    pub board: Board,
    /// By what.
    pub by: By,
}

/// By what a board was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum By {
    /// This string of the device tree's root `compatible`.
    Compatible(String),
    /// The architecture alone: no file describes just this machine.
    Architecture(Architecture),
    /// The user named it.
    Name,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compatible(text) => write!(f, "recognised by `{text}` in the device tree"),
            Self::Architecture(architecture) => {
                write!(f, "which stands for every {architecture} machine that no other file describes")
            }
            Self::Name => f.write_str("as named"),
        }
    }
}

/// The board whose files are under `root`: `/` on the board itself.
///
/// The device tree's strings are tried from the most specific on; without one
/// that a file claims, the architecture decides.
///
/// # Errors
/// [`Code::NotFound`] if no file describes the machine, [`Code::Config`] or
/// [`Code::Io`] if `root` is no folder.
pub fn recognise(root: &Path) -> Result<Recognised> {
    let machine = Machine::at(root)?;
    let all = Board::all()?;
    for own in compatible(&machine) {
        if let Some(board) = all.iter().find(|board| board.compatible.contains(&own)) {
            return Ok(Recognised { board: board.clone(), by: By::Compatible(own) });
        }
    }
    if let Some(architecture) = architecture(&machine) {
        let fits = |board: &&Board| board.compatible.is_empty() && board.architecture == architecture;
        if let Some(board) = all.iter().find(fits) {
            return Ok(Recognised { board: board.clone(), by: By::Architecture(architecture) });
        }
    }
    let known: Vec<_> = all.iter().map(|board| board.name.as_str()).collect();
    Err(Error::new(
        Code::NotFound,
        format!("no board file describes the machine under {}", root.display()),
        format!("name one of {}, or write one as docs/boards.md says", known.join(", ")),
    ))
}

/// The strings of the device tree's root, the most specific first; none where
/// there is no device tree.
pub(crate) fn compatible(machine: &Machine) -> Vec<String> {
    let text = machine.read("/proc/device-tree/compatible").unwrap_or_default();
    text.split('\0').filter(|own| !own.is_empty()).map(str::to_owned).collect()
}

/// What the machine calls itself.
pub(crate) fn model(machine: &Machine) -> Option<String> {
    machine.read("/proc/device-tree/model").or_else(|| machine.read("/sys/class/dmi/id/product_name"))
}

/// The kernel's architecture, by a feature that each of them always has.
pub(crate) fn architecture(machine: &Machine) -> Option<Architecture> {
    let features = features(machine)?;
    let has = |name: &str| features.iter().any(|feature| feature == name);
    if has("asimd") {
        Some(Architecture::Aarch64)
    } else if has("lm") {
        Some(Architecture::X86_64)
    } else {
        None
    }
}

/// The features of the first core, as `/proc/cpuinfo` names them.
pub(crate) fn features(machine: &Machine) -> Option<Vec<String>> {
    let text = machine.read("/proc/cpuinfo")?;
    let (_, features) = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| matches!(key.trim(), "Features" | "flags"))?;
    Some(features.split_whitespace().map(str::to_owned).collect())
}
