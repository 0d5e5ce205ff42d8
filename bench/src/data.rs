//! Data sets as people keep them, each made into one [`Manifest`].
//!
//! An adapter knows one layout: which files are samples, and what is known of
//! them. Everything after that is the same for all: every file is read, decoded
//! and hashed on all cores; what cannot be read is left out, counted and named in
//! the [`Census`]; what contradicts itself (labels out of range, masks of another
//! size than their image) is an error.
//!
//! Files and folders whose name begins with a dot are no part of any layout.

mod ade20k;
mod afferent;
mod camvid;
mod census;
mod chestxray14;
mod classes;
mod folder;
mod ibean;
mod imagenet;
mod jpeg;
mod kodak;
mod listed;
mod listing;
mod paediatric;
mod parquet;
mod probe;

pub use census::{Bad, Census, Class, Spread};

use afferent_media::manifest::{Entry, Manifest};
use afferent_media::{Code, Error, Result};
use afferent_models::Sha256;
use listing::Listing;
use probe::Fault;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One layout of files.
struct Adapter {
    kind: &'static str,
    /// What this layout looks like.
    layout: &'static str,
    /// Whether the layout is one data set's own, which is then called `kind`.
    one_set: bool,
    /// The fewest classes that the set can be used with.
    classes: usize,
    recognise: fn(&Path) -> bool,
    list: fn(&Path, &Options) -> Result<Listing>,
}

/// In the order in which they are tried: the most telling layout first.
const ADAPTERS: &[Adapter] = &[
    afferent::ADAPTER,
    listed::ADAPTER,
    kodak::ADAPTER,
    chestxray14::ADAPTER,
    chestxray14::PNEUMONIA,
    paediatric::ADAPTER,
    ibean::ADAPTER,
    ade20k::ADAPTER,
    camvid::ADAPTER,
    imagenet::ADAPTER,
    parquet::ADAPTER,
    classes::ADAPTER,
    folder::ADAPTER,
];

/// How to open a data set.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only this part of it, for example `heldout`.
    pub split: Option<String>,
    /// The labels of images that lie in one folder; where none is given, files of
    /// the usual names are looked for beside them. Of use to `imagenet` only.
    pub truth: Option<PathBuf>,
    /// The folder to extract media to that a data set keeps inside other files.
    pub extract: Option<PathBuf>,
}

/// A data set whose every file has been read.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// What it is called: its kind or its folder, and `/split` if only a part.
    pub name: String,
    /// Which adapter made it.
    pub kind: &'static str,
    /// The samples that can be used; each has its digest, size and format.
    pub manifest: Manifest,
    /// SHA-256 over one line per sample in order of id: the JSON array of id,
    /// `sha256`, `mask_sha256`, `label_index`, `label` and `transcript`, and a
    /// newline. It depends neither on where the files are nor on their order.
    pub sha256: Sha256,
    /// What was found.
    pub report: Census,
}

/// The kinds of data set that [`open`] knows, each with what it looks like.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    ADAPTERS.iter().map(|adapter| (adapter.kind, adapter.layout))
}

/// Opens the data set at `path`, of the layout `kind` or of the first one that is
/// recognised, and reads every file of it.
///
/// A manifest that states the digests of its files spares this: files of the
/// stated size that are older than the manifest are taken to be what it states.
///
/// # Errors
/// [`Code::NotFound`] if there is nothing at `path`, of the wanted split, or whose
/// layout is known; [`Code::Config`] for an unknown `kind`, duplicate ids, labels
/// out of range or missing, masks that are missing, of another size than their
/// image or of classes that the set does not have, fewer classes than the set
/// needs; [`Code::Corrupt`] if no file can be read; [`Code::Io`] if a folder
/// cannot be listed.
pub fn open(kind: Option<&str>, path: &Path, options: &Options) -> Result<DataSet> {
    let adapter = choose(kind, path)?;
    read(adapter, path, options).map_err(|e| e.at(path.display()))
}

fn choose(kind: Option<&str>, path: &Path) -> Result<&'static Adapter> {
    if !path.exists() {
        return Err(Error::new(
            Code::NotFound,
            format!("there is no {}", path.display()),
            "name the folder, manifest or Parquet file of a data set",
        ));
    }
    let found = match kind {
        Some(kind) => ADAPTERS.iter().find(|adapter| adapter.kind == kind),
        None => ADAPTERS.iter().find(|adapter| (adapter.recognise)(path)),
    };
    found.ok_or_else(|| {
        let known: Vec<_> = kinds().map(|(kind, layout)| format!("{kind}: {layout}")).collect();
        match kind {
            Some(kind) => Error::new(
                Code::Config,
                format!("`{kind}` is no kind of data set"),
                format!("use one of: {}", known.join("; ")),
            ),
            None if path.read_dir().is_ok_and(|mut entries| entries.next().is_none()) => {
                Error::new(Code::NotFound, format!("{} is empty", path.display()), "name a folder that holds samples")
            }
            None => Error::new(
                Code::NotFound,
                format!("no data set was recognised in {}", path.display()),
                format!("name its kind; looked for {}", known.join("; ")),
            ),
        }
    })
}

fn read(adapter: &'static Adapter, path: &Path, options: &Options) -> Result<DataSet> {
    let mut listing = (adapter.list)(path, options)?;
    if let Some(split) = &options.split {
        listing.only(split)?;
    }
    let Listing { root, entries, bad, ignored, highest_class, stated } = listing;
    let mut bad: Vec<Bad> = bad.into_iter().map(|(entry, reason)| Bad { id: name(&entry), reason }).collect();
    if entries.is_empty() {
        return Err(nothing(&bad));
    }
    let listed = Manifest::new(root, entries)?;
    let probed: Vec<_> =
        listed.entries().par_iter().map(|entry| probe::probe(&listed, entry, stated, highest_class)).collect();
    let (mut good, mut wrong) = (Vec::with_capacity(probed.len()), Vec::new());
    for (entry, probed) in listed.entries().iter().zip(probed) {
        match probed {
            Ok(entry) => good.push(entry),
            Err(Fault::Bad(error)) => bad.push(Bad { id: entry.id.clone(), reason: error.to_string() }),
            Err(Fault::Wrong(error)) => wrong.push(error),
        }
    }
    let count = wrong.len();
    if let Some(first) = wrong.into_iter().next() {
        return Err(first.at(format!("{count} of {} masks cannot be used, the first", listed.entries().len())));
    }
    if good.is_empty() {
        return Err(nothing(&bad));
    }
    check_labels(&good, adapter.classes)?;
    let report = Census::new(&good, bad, ignored);
    let called = if adapter.one_set { adapter.kind.into() } else { called(path) };
    Ok(DataSet {
        name: options.split.iter().fold(called, |name, split| format!("{name}/{split}")),
        kind: adapter.kind,
        sha256: digest(&good)?,
        manifest: Manifest::new(listed.root(), good)?,
        report,
    })
}

/// What a sample is called, also before its id is made.
fn name(entry: &Entry) -> String {
    if entry.id.is_empty() { entry.file.clone() } else { entry.id.clone() }
}

/// What the data set at `path` is called after its folder.
fn called(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = if absolute.is_dir() { Some(&*absolute) } else { absolute.parent() };
    folder.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
}

/// The error for a data set without a single usable sample.
fn nothing(bad: &[Bad]) -> Error {
    match bad.first() {
        Some(first) => Error::new(
            Code::Corrupt,
            format!("none of {} samples can be used; the first, {}: {}", bad.len(), first.id, first.reason),
            "get the data set again from its source",
        ),
        None => Error::new(Code::NotFound, "the data set has no sample", "check that it was unpacked whole"),
    }
}

/// Checks that a class number has one name, and that there are `least` classes.
fn check_labels(entries: &[Entry], least: usize) -> Result<()> {
    let mut names: BTreeMap<u32, &Option<String>> = BTreeMap::new();
    for entry in entries {
        let Some(index) = entry.label_index else { continue };
        let name = names.entry(index).or_insert(&entry.label);
        if *name != &entry.label {
            let shown = |label: &Option<String>| label.clone().unwrap_or_else(|| "nothing".into());
            return Err(Error::new(
                Code::Config,
                format!("class {index} is called `{}` and `{}`", shown(name), shown(&entry.label)),
                "give every class number one name",
            ));
        }
    }
    let classes: BTreeSet<_> = entries.iter().filter_map(|entry| entry.label.as_ref()).collect();
    if classes.len() < least {
        let found: Vec<_> = classes.iter().map(|class| class.as_str()).collect();
        return Err(Error::new(
            Code::Config,
            format!("there are samples of {} class(es) only: {}", found.len(), found.join(", ")),
            format!("at least {least} classes are needed: check that the data set was unpacked whole"),
        ));
    }
    Ok(())
}

fn digest(entries: &[Entry]) -> Result<Sha256> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_unstable_by_key(|entry| &entry.id);
    let mut lines = Vec::new();
    for entry in sorted {
        let line = (&entry.id, &entry.sha256, &entry.mask_sha256, entry.label_index, &entry.label, &entry.transcript);
        serde_json::to_writer(&mut lines, &line).map_err(|e| {
            Error::new(Code::Internal, "the data set's digest cannot be made", "report this").caused_by(e)
        })?;
        lines.push(b'\n');
    }
    Ok(Sha256::of(&lines))
}
