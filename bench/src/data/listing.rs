//! What an adapter finds before any media file is opened.

use afferent_codec_conventional::open;
use afferent_media::manifest::Entry;
use afferent_media::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use walkdir::{DirEntry, WalkDir};

/// The most samples of a data set: above those of ImageNet's 1.3 million.
const MAX_SAMPLES: usize = 4 << 20;

/// The samples of a data set as its layout names them.
#[derive(Default)]
pub(super) struct Listing {
    /// The folder that files are relative to.
    pub(super) root: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// Samples that cannot be used, and why.
    pub(super) bad: Vec<(Entry, String)>,
    /// Files that are no samples, counted by what they are.
    pub(super) ignored: BTreeMap<String, usize>,
    /// The highest class id that a mask may hold, besides 255 for "ignore".
    pub(super) highest_class: Option<u8>,
    /// When the digests were stated that entries bring along.
    pub(super) stated: Option<SystemTime>,
}

impl Listing {
    /// The image files in and below `root`, in order of name.
    pub(super) fn images(root: &Path) -> Result<Self> {
        let mut listing = Self { root: root.to_path_buf(), ..Self::default() };
        for file in files(root) {
            let file = file?;
            let relative = file.strip_prefix(root).unwrap_or(&file);
            let extension = relative.extension().and_then(|e| e.to_str()).unwrap_or("none").to_ascii_lowercase();
            if !open::IMAGE_EXTENSIONS.contains(&extension.as_str()) {
                *listing.ignored.entry(extension).or_default() += 1;
                continue;
            }
            match relative.to_str() {
                Some(name) => listing.push(Entry { file: name.to_owned(), ..Entry::default() })?,
                None => {
                    let entry = Entry { file: relative.to_string_lossy().into_owned(), ..Entry::default() };
                    listing.bad.push((entry, "the name of the file is not UTF-8".into()));
                }
            }
        }
        Ok(listing)
    }

    /// Adds a sample.
    pub(super) fn push(&mut self, entry: Entry) -> Result<()> {
        if self.entries.len() + self.bad.len() == MAX_SAMPLES {
            return Err(Error::new(
                Code::Limit,
                format!("there are more than {MAX_SAMPLES} samples"),
                "open a part of the data set",
            ));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Lets `fill` complete each entry; what it returns an error for is bad.
    pub(super) fn complete(mut self, mut fill: impl FnMut(&mut Entry) -> Result<(), String>) -> Self {
        for mut entry in std::mem::take(&mut self.entries) {
            match fill(&mut entry) {
                Ok(()) => self.entries.push(entry),
                Err(reason) => self.bad.push((entry, reason)),
            }
        }
        self
    }

    /// Keeps the samples of one part, and the bad ones whose part is not known.
    pub(super) fn only(&mut self, split: &str) -> Result<()> {
        let found: BTreeSet<_> = self.entries.iter().filter_map(|entry| entry.split.clone()).collect();
        if !found.contains(split) {
            let found: Vec<_> = found.into_iter().collect();
            return Err(Error::new(
                Code::NotFound,
                format!("there is no split `{split}`"),
                if found.is_empty() {
                    "leave the split out: this data set has no parts".into()
                } else {
                    format!("choose one of: {}", found.join(", "))
                },
            ));
        }
        self.entries.retain(|entry| entry.split.as_deref() == Some(split));
        self.bad.retain(|(entry, _)| entry.split.as_deref().is_none_or(|own| own == split));
        Ok(())
    }
}

/// The files in and below `root`, in order of name. Links to folders are not followed.
pub(super) fn files(root: &Path) -> impl Iterator<Item = Result<PathBuf>> {
    let shown = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(shown).filter_map(|entry| match entry {
        Ok(entry) if entry.path().is_dir() => None,
        Ok(entry) => Some(Ok(entry.into_path())),
        Err(error) => Some(Err(Error::io("the folder cannot be listed", error.into()))),
    })
}

/// The names in `folder`, none if it cannot be listed: to recognise a layout by.
pub(super) fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.'))
}

/// Whether a file of this name is an image.
pub(super) fn is_image(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    open::IMAGE_EXTENSIONS.contains(&extension.as_str())
}

/// The file name of `file` without its extension.
pub(super) fn stem(file: &str) -> &str {
    Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// Completes an entry `split/class/name`: its split, and its label in the order of `classes`.
pub(super) fn by_split_and_class(entry: &mut Entry, splits: &[&str], classes: &[&str]) -> Result<(), String> {
    let mut parts = entry.file.split('/');
    let (Some(split), Some(class)) = (parts.next(), parts.next()) else {
        return Err("the file lies in no folder of a split and a class".into());
    };
    if !splits.contains(&split) {
        return Err(format!("`{split}` is none of the splits {}", splits.join(", ")));
    }
    let Some(index) = classes.iter().position(|known| *known == class) else {
        return Err(format!("`{class}` is none of the classes {}", classes.join(", ")));
    };
    entry.label_index = Some(index as u32);
    entry.label = Some(class.to_owned());
    entry.split = Some(split.to_owned());
    Ok(())
}

/// The longest list of labels that is read, in bytes.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// The text of a list of labels.
pub(super) fn text(path: &Path) -> Result<String> {
    let failed = |e| Error::io(path.display().to_string(), e);
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(Error::new(
            Code::Limit,
            format!("{} has more than {MAX_TEXT_BYTES} bytes", path.display()),
            "name the list of labels",
        ));
    }
    Ok(text)
}
