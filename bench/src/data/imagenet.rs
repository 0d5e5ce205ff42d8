//! ImageNet (ILSVRC2012) as folders, as the flat validation set, or as shards.
//!
//! Classes are numbered 0 to 999 in order of WordNet id, as the models of the zoo
//! number them; their label is the WordNet id. The development kit numbers them
//! 1 to 1000 in another order (`ILSVRC2012_ID`): `ilsvrc2012.txt` holds the
//! WordNet ids in that one.
//!
//! What tells the labels of the flat validation set, one image per line:
//!
//! - a name `ILSVRC2012_val_…` and the class number or WordNet id
//!   (`val.txt`, `LOC_val_solution.csv`);
//! - or, for all 50 000 images in order, the `ILSVRC2012_ID`
//!   (`ILSVRC2012_validation_ground_truth.txt`) or the WordNet id
//!   (`imagenet_2012_validation_synset_labels.txt`).

use super::listing::{self, Listing};
use super::{Adapter, Options, parquet};
use afferent_media::{Code, Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "imagenet",
    layout: "folders named n01440764 (also in train/ or val/), ILSVRC2012_val_*.JPEG with a list of labels, \
             or Parquet shards",
    one_set: true,
    classes: 0,
    recognise,
    list,
};

static ILSVRC2012: &str = include_str!("ilsvrc2012.txt");
const CLASSES: usize = 1000;
const VALIDATION: usize = 50_000;

/// The usual names of lists of validation labels.
const TRUTHS: [&str; 4] = [
    "val.txt",
    "LOC_val_solution.csv",
    "ILSVRC2012_validation_ground_truth.txt",
    "imagenet_2012_validation_synset_labels.txt",
];

fn recognise(path: &Path) -> bool {
    let telling = |folder: &Path| listing::names(folder).any(|name| is_wnid(&name) || number(&name).is_some());
    telling(path) || ["val", "train"].iter().any(|split| telling(&path.join(split)))
}

fn is_wnid(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}

/// The number, from 1, of the validation image that `name` begins with.
fn number(name: &str) -> Option<usize> {
    let number = name.split_once("ILSVRC2012_val_")?.1.get(..8)?.parse().ok()?;
    (1..=VALIDATION).contains(&number).then_some(number)
}

/// The WordNet ids in both orders.
struct Synsets {
    by_id: Vec<&'static str>,
    by_name: Vec<&'static str>,
}

impl Synsets {
    fn new() -> Self {
        let by_id: Vec<_> = ILSVRC2012.lines().collect();
        let mut by_name = by_id.clone();
        by_name.sort_unstable();
        Self { by_id, by_name }
    }

    fn class(&self, wnid: &str) -> Option<usize> {
        self.by_name.binary_search(&wnid).ok()
    }
}

fn list(path: &Path, options: &Options) -> Result<Listing> {
    if (parquet::ADAPTER.recognise)(path) {
        return parquet::list(path, options, Some(CLASSES));
    }
    let synsets = Synsets::new();
    let listing = Listing::images(path)?;
    let flat = listing.entries.iter().any(|entry| wnid(&entry.file).is_none());
    let truth = if flat { truth(&find(path, options)?, &synsets)? } else { HashMap::new() };
    Ok(listing.complete(|entry| {
        let class = match wnid(&entry.file) {
            Some(wnid) => synsets.class(wnid).ok_or(format!("{wnid} is none of the 1000 classes"))?,
            None => *number(&entry.file)
                .and_then(|number| truth.get(&number))
                .ok_or("no list of labels says what it shows")?,
        };
        entry.label_index = Some(class as u32);
        entry.label = Some(synsets.by_name[class].to_owned());
        entry.split = entry.file.split_once('/').map(|(folder, _)| folder).filter(|f| !is_wnid(f)).map(str::to_owned);
        Ok(())
    }))
}

/// The WordNet id that the folder of `file` is named by.
fn wnid(file: &str) -> Option<&str> {
    let folder = file.rsplit('/').nth(1)?;
    is_wnid(folder).then_some(folder)
}

/// Where the labels of the validation images are listed.
fn find(path: &Path, options: &Options) -> Result<PathBuf> {
    if let Some(truth) = &options.truth {
        return Ok(truth.clone());
    }
    let beside = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_path_buf));
    let folders = [Some(path.to_path_buf()), beside].into_iter().flatten();
    let places = folders.flat_map(|folder| TRUTHS.map(|name| folder.join(name)));
    places.into_iter().find(|place| place.is_file()).ok_or_else(|| {
        Error::new(
            Code::NotFound,
            "nothing says what the validation images show",
            format!("name the list of labels, or put it beside the images as one of: {}", TRUTHS.join(", ")),
        )
    })
}

/// The class of each validation image by its number.
fn truth(path: &Path, synsets: &Synsets) -> Result<HashMap<usize, usize>> {
    let text = listing::text(path)?;
    let wrong = |line: usize, what: String| {
        Error::new(
            Code::Config,
            format!("{} line {}: {what}", path.display(), line + 1),
            "use the list of labels of the ILSVRC2012 validation set",
        )
    };
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut truth = HashMap::new();
    if lines().any(|(_, line)| number(line).is_some()) {
        for (at, line) in lines().filter(|(_, line)| !line.starts_with("ImageId")) {
            let mut words = line.split([' ', ',', '\t']);
            let number = words.next().and_then(number).ok_or_else(|| wrong(at, format!("no image in `{line}`")))?;
            let word = words.next().unwrap_or_default();
            let class = word.parse().ok().filter(|class| *class < CLASSES).or_else(|| synsets.class(word));
            let class =
                class.ok_or_else(|| wrong(at, format!("`{word}` is no class from 0 to 999 and no WordNet id")))?;
            if truth.insert(number, class).is_some_and(|before| before != class) {
                return Err(wrong(at, format!("image {number} has two labels")));
            }
        }
        return Ok(truth);
    }
    for (number, (at, line)) in lines().enumerate() {
        let word = line.trim();
        let wnid = match word.parse::<usize>() {
            Ok(id) => id.checked_sub(1).and_then(|id| synsets.by_id.get(id)).copied(),
            Err(_) => Some(word),
        };
        let class = wnid.and_then(|wnid| synsets.class(wnid));
        truth.insert(
            number + 1,
            class.ok_or_else(|| wrong(at, format!("`{word}` is no ILSVRC2012_ID and no WordNet id")))?,
        );
    }
    if truth.len() != VALIDATION {
        return Err(wrong(
            truth.len(),
            format!("labels without names must be {VALIDATION}, these are {}", truth.len()),
        ));
    }
    Ok(truth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_of_classes_are_those_of_the_data_set() {
        let synsets = Synsets::new();
        assert_eq!(synsets.by_id.len(), CLASSES);
        assert!(synsets.by_id.iter().all(|wnid| is_wnid(wnid)));
        assert!(synsets.by_name.windows(2).all(|pair| pair[0] < pair[1]));
        // The first validation images: a sea snake and an alp.
        assert_eq!(synsets.class(synsets.by_id[490 - 1]), Some(65));
        assert_eq!(synsets.class(synsets.by_id[361 - 1]), Some(970));
    }
}
