//! What a machine shows of what a board file says.

use crate::board::{Board, Entry, Kind};
use crate::evidence::{Evidence, Machine};
use crate::recognise::{By, architecture, compatible, features, model, recognise};
use afferent_media::{Code, Error, Result};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The least share of a sold memory size that Linux reports of it: firmware,
/// kernel and graphics keep the rest.
const MEMORY_SHARE: f64 = 0.6;

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: a kind and a name.
    pub about: String,
    /// How file and machine stand to each other.
    pub level: Level,
    /// What was seen, and where.
    pub what: String,
    /// What to do, where something is to be done.
    pub to_do: Option<String>,
}

/// How file and machine stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// The machine shows what the file says.
    Agrees,
    /// The file says that it may be there, and it is not to be seen now.
    Missing,
    /// Nothing that can be read says whether it is so.
    Unchecked,
    /// The machine shows otherwise: the file, or the choice of it, is wrong.
    Contradicts,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agrees => "agrees",
            Self::Missing => "missing",
            Self::Unchecked => "unchecked",
            Self::Contradicts => "CONTRADICTS",
        })
    }
}

/// Compares what `board` says with what the machine under `root` shows: `/` on
/// the board itself. Names in sysfs and procfs and the existence of files are
/// all that is looked at.
///
/// # Errors
/// [`Code::NotFound`], [`Code::Config`] or [`Code::Io`] if `root` is no folder.
pub fn check(board: &Board, root: &Path) -> Result<Vec<Finding>> {
    let machine = Machine::at(root)?;
    let mut findings = vec![identity(board, &machine)];
    findings.extend(cores(board, &machine));
    findings.extend(cpu_features(board, &machine));
    findings.extend(memory(board, &machine));
    for entry in board.entries() {
        findings.push(presence(&entry, &machine));
        findings.extend(software(&entry, &machine));
    }
    findings.extend(board.absent.iter().filter(|absent| !absent.never.is_empty()).map(|absent| {
        let about = format!("no {} {}", absent.kind, absent.name);
        match first(&absent.never, &machine) {
            Some(place) => contradicts(
                about,
                format!("the file says that there is none ({}), but {place}", absent.why),
                "if the board file is wrong, correct it in a file of your own; else another board is at hand: name it",
            ),
            None => agrees(about, absent.why.clone()),
        }
    }));
    Ok(findings)
}

/// Where the first of `seen` is that the machine shows.
fn first(seen: &[Evidence], machine: &Machine) -> Option<String> {
    seen.iter().find_map(|evidence| evidence.look(machine))
}

fn finding(about: impl Into<String>, level: Level, what: impl Into<String>, to_do: Option<String>) -> Finding {
    Finding { about: about.into(), level, what: what.into(), to_do }
}

fn agrees(about: impl Into<String>, what: impl Into<String>) -> Finding {
    finding(about, Level::Agrees, what, None)
}

fn contradicts(about: impl Into<String>, what: impl Into<String>, to_do: impl Into<String>) -> Finding {
    finding(about, Level::Contradicts, what, Some(to_do.into()))
}

/// Whether this is such a board at all.
fn identity(board: &Board, machine: &Machine) -> Finding {
    let to_do = "leave the name out to have the board recognised, or name another";
    let own = compatible(machine);
    if !board.compatible.is_empty() {
        let strings = board.compatible.join(", ");
        return match own.iter().find(|own| board.compatible.contains(own)) {
            Some(own) => agrees("identity", format!("the device tree says {own}")),
            None if own.is_empty() => {
                contradicts("identity", format!("there is no device tree; the file claims {strings}"), to_do)
            }
            None => contradicts(
                "identity",
                format!("the device tree says {}; the file claims {strings}", own.join(", ")),
                to_do,
            ),
        };
    }
    match architecture(machine) {
        None => finding("identity", Level::Unchecked, "/proc/cpuinfo does not say the architecture", None),
        Some(is) if is == board.architecture => agrees("identity", format!("/proc/cpuinfo is that of {is}")),
        Some(is) => contradicts(
            "identity",
            format!("/proc/cpuinfo is that of {is}; the file is for {}", board.architecture),
            to_do,
        ),
    }
}

/// The number of cores, those included that a power mode has switched off.
fn cores(board: &Board, machine: &Machine) -> Option<Finding> {
    if board.cpu.cores.is_empty() {
        return None;
    }
    let path = "/sys/devices/system/cpu/present";
    let Some(cores) = machine.read(path).and_then(|text| count(&text)) else {
        return Some(finding("cpu cores", Level::Unchecked, format!("{path} does not say"), None));
    };
    let sold: Vec<_> = board.cpu.cores.iter().map(u16::to_string).collect();
    Some(if board.cpu.cores.iter().any(|sold| u64::from(*sold) == cores) {
        agrees("cpu cores", format!("{cores}"))
    } else {
        contradicts(
            "cpu cores",
            format!("{path} has {cores}; the file says {}", sold.join(" or ")),
            "name the board that this is; on a virtual machine, name vm-arm64 or host",
        )
    })
}

/// How many numbers a list like `0-3,5` has.
fn count(list: &str) -> Option<u64> {
    list.split(',').try_fold(0u64, |sum, part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        Some(sum + u64::from(to.checked_sub(from)?) + 1)
    })
}

/// The features that compiled code may rely on.
fn cpu_features(board: &Board, machine: &Machine) -> Option<Finding> {
    let wanted = &board.cpu.features;
    if wanted.is_empty() {
        return None;
    }
    let Some(has) = features(machine) else {
        return Some(finding("cpu features", Level::Unchecked, "/proc/cpuinfo does not say", None));
    };
    let lacking: Vec<_> = wanted.iter().filter(|feature| !has.contains(feature)).map(String::as_str).collect();
    Some(if lacking.is_empty() {
        agrees("cpu features", wanted.join(" "))
    } else {
        contradicts(
            "cpu features",
            format!("/proc/cpuinfo lacks {}", lacking.join(" ")),
            "name the board that this is; an emulator may hide features: give it the board's processor",
        )
    })
}

/// Whether the memory is one of the sizes that are sold.
fn memory(board: &Board, machine: &Machine) -> Option<Finding> {
    let largest = *board.memory_mib.iter().max()?;
    let text = machine.read("/proc/meminfo").unwrap_or_default();
    let total = |line: &str| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok();
    let Some(kib) = text.lines().find_map(total) else {
        return Some(finding("memory", Level::Unchecked, "/proc/meminfo does not say", None));
    };
    let mib = kib / 1024;
    let fitting = board.memory_mib.iter().filter(|sold| u64::from(**sold) >= mib).min();
    Some(match fitting {
        Some(sold) if mib as f64 >= f64::from(*sold) * MEMORY_SHARE => {
            agrees("memory", format!("{mib} MiB of {sold} MiB are Linux's"))
        }
        Some(sold) => contradicts(
            "memory",
            format!("Linux has {mib} MiB, far under the {sold} MiB of the smallest size that would hold it"),
            "look for `mem=` or `total_mem` in the boot configuration; else name the board that this is",
        ),
        None => contradicts(
            "memory",
            format!("Linux has {mib} MiB, more than the largest size, {largest} MiB"),
            "name the board that this is; if a larger one is sold now, add its size to a board file of your own",
        ),
    })
}

/// Whether one thing of the file is there.
fn presence(entry: &Entry, machine: &Machine) -> Finding {
    let about = format!("{} {}", entry.kind, entry.name);
    if entry.seen.is_empty() {
        return finding(about, Level::Unchecked, "no name or file would show it", None);
    }
    if let Some(place) = first(&entry.seen, machine) {
        return agrees(about, place);
    }
    let sought: Vec<_> = entry.seen.iter().map(Evidence::to_string).collect();
    let what = format!("not seen: {}", sought.join(", nor "));
    if entry.always {
        let to_do = entry.to_do.clone().unwrap_or_else(|| {
            "every such board has it: look in dmesg whether its driver failed, or name the board that this is".into()
        });
        contradicts(about, what, to_do)
    } else {
        let to_do = entry.to_do.clone().or_else(|| match entry.kind {
            Kind::Camera | Kind::Microphone => Some("connect it, or use another".to_owned()),
            _ => None,
        });
        finding(about, Level::Missing, what, to_do)
    }
}

/// Whether the software of one thing is installed.
fn software(entry: &Entry, machine: &Machine) -> Option<Finding> {
    let software = entry.software.as_ref()?;
    let about = format!("software of {} {}", entry.kind, entry.name);
    Some(match software.evidence().look(machine) {
        Some(place) => agrees(about, place),
        None => finding(about, Level::Missing, format!("not seen: {}", software.file), Some(software.install.clone())),
    })
}

/// What a check of one machine found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the board file.
    pub board: String,
    /// What people call the board.
    pub title: String,
    /// By what the board was chosen.
    pub by: By,
    /// What the machine calls itself.
    pub model: Option<String>,
    /// What was compared, in the schema's order.
    pub findings: Vec<Finding>,
}

/// Checks the machine under `root` against the board called `name` (or a board
/// file that ends in `.toml`), or else against the one that is recognised.
///
/// # Errors
/// As [`Board::named`], [`recognise`] and [`check`].
pub fn examine(name: Option<&str>, root: &Path) -> Result<Report> {
    let (board, by) = match name {
        Some(name) => (Board::named(name)?, By::Name),
        None => recognise(root).map(|recognised| (recognised.board, recognised.by))?,
    };
    Ok(Report {
        findings: check(&board, root)?,
        model: model(&Machine::at(root)?),
        board: board.name,
        title: board.title,
        by,
    })
}

impl Report {
    /// Nothing, if nothing contradicts the board file.
    ///
    /// # Errors
    /// [`Code::Config`] that says how much does.
    pub fn verdict(&self) -> Result<()> {
        let wrong = self.findings.iter().filter(|finding| finding.level == Level::Contradicts).count();
        match wrong {
            0 => Ok(()),
            wrong => Err(Error::new(
                Code::Config,
                format!("{wrong} of {} findings contradict the board file `{}`", self.findings.len(), self.board),
                "do what stands under each of them",
            )),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "board {} ({}), {}", self.board, self.title, self.by)?;
        if let Some(model) = &self.model {
            writeln!(f, "the machine calls itself {model}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{:<12} {}: {}", finding.level, finding.about, finding.what)?;
            if let Some(to_do) = &finding.to_do {
                writeln!(f, "{:12} to do: {to_do}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_counted() {
        for (list, cores) in
            [("0-3", Some(4)), ("0", Some(1)), ("0-3,8-11", Some(8)), ("", None), ("3-1", None), ("x-y", None)]
        {
            assert_eq!(count(list), cores, "{list}");
        }
    }
}
