//! NIH ChestX-ray14 (Wang et al. 2017): findings, several per picture, grouped by
//! patient; and of these the pictures without a finding against pneumonia.

use super::Adapter;
use super::listing::{Listing, names, stem};
use afferent_media::manifest::Entry;
use afferent_media::{Code, Error, Result};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "chestxray14",
    layout: "Data_Entry_2017*.csv and image files in folders images*",
    one_set: true,
    classes: 2,
    recognise: |path| table(path).is_some(),
    list: |path, _| list(path, findings),
};

/// Chosen by name only: its layout is that of the whole.
pub(super) const PNEUMONIA: Adapter = Adapter {
    kind: "chestxray14-pneumonia",
    layout: "chestxray14: no finding (0, `normal`) against pneumonia (1), also beside other findings",
    recognise: |_| false,
    list: |path, _| list(path, pneumonia),
    ..ADAPTER
};

/// The findings in order of name; [`NONE`] where there is none.
const FINDINGS: [&str; 15] = [
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    NONE,
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
];
const NONE: &str = "No Finding";

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "Image Index")]
    image: String,
    #[serde(rename = "Finding Labels")]
    findings: String,
    #[serde(rename = "Patient ID")]
    patient: String,
}

/// The table of findings.
fn table(path: &Path) -> Option<PathBuf> {
    let name = names(path).find(|name| name.starts_with("Data_Entry_2017") && name.ends_with(".csv"))?;
    Some(path.join(name))
}

/// The label of a picture with these findings: its number where it has one, and
/// its name; `None` if the picture is left out.
type Label = fn(&str) -> Option<(Option<u32>, String)>;

fn findings(stated: &str) -> Option<(Option<u32>, String)> {
    Some((FINDINGS.iter().position(|known| *known == stated).map(|index| index as u32), stated.to_owned()))
}

fn pneumonia(stated: &str) -> Option<(Option<u32>, String)> {
    if stated == NONE {
        return Some((Some(0), "normal".into()));
    }
    stated.split('|').any(|finding| finding == "Pneumonia").then(|| (Some(1), "pneumonia".into()))
}

fn list(path: &Path, label: Label) -> Result<Listing> {
    let table = table(path).ok_or_else(|| {
        Error::new(Code::NotFound, "there is no Data_Entry_2017*.csv", "put the table of findings beside the images")
    })?;
    let wrong = |e: csv::Error| {
        Error::new(Code::Config, "bad CSV record", "get the table of findings again from its source")
            .caused_by(e)
            .at(table.display())
    };
    let splits = splits(path)?;
    let mut listing = Listing::images(path)?;
    let mut files: HashMap<String, Entry> = HashMap::new();
    for entry in std::mem::take(&mut listing.entries) {
        let name = format!("{}.png", stem(&entry.file));
        if let Some(first) = files.insert(name, entry.clone()) {
            return Err(Error::new(
                Code::Config,
                format!("{} and {} have the same name", first.file, entry.file),
                "keep one of them",
            ));
        }
    }
    for row in csv::Reader::from_path(&table).map_err(wrong)?.deserialize() {
        let row: Row = row.map_err(wrong)?;
        if let Some(unknown) = row.findings.split('|').find(|finding| !FINDINGS.contains(finding)) {
            return Err(Error::new(
                Code::Config,
                format!("{}: `{unknown}` is no finding of this data set", row.image),
                "get the table of findings again from its source",
            ));
        }
        let file = files.remove(&row.image);
        let Some((label_index, label)) = label(&row.findings) else {
            *listing.ignored.entry("other findings".into()).or_default() += 1;
            continue;
        };
        let there = file.is_some();
        let entry = Entry {
            split: splits.get(&row.image).map(|split| (*split).to_owned()),
            group: Some(row.patient),
            label_index,
            label: Some(label),
            ..file.unwrap_or(Entry { file: row.image, ..Entry::default() })
        };
        if there {
            listing.entries.push(entry);
        } else {
            listing.bad.push((entry, "the table lists it, but no folder holds it".into()));
        }
    }
    let mut unlisted: Vec<_> = files.into_values().collect();
    unlisted.sort_unstable_by(|a, b| a.file.cmp(&b.file));
    listing.bad.extend(unlisted.into_iter().map(|entry| (entry, "the table of findings does not list it".into())));
    Ok(listing)
}

/// The official split of each picture, as far as its lists are there.
fn splits(path: &Path) -> Result<HashMap<String, &'static str>> {
    let mut splits = HashMap::new();
    for (file, split) in [("train_val_list.txt", "train_val"), ("test_list.txt", "test")] {
        let file = path.join(file);
        if file.is_file() {
            let text = super::listing::text(&file)?;
            let names: HashSet<_> = text.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
            splits.extend(names.into_iter().map(|name| (name.to_owned(), split)));
        }
    }
    Ok(splits)
}
