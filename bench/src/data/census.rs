//! What was found in a data set.

use afferent_media::manifest::Entry;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// Rows of a table above which it only says how many more there are.
const SHOWN: usize = 20;

/// A sample that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// Its id.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// How whole numbers are spread: each figure is one of them (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub n: usize,
    /// The least.
    pub min: u64,
    /// Least that a quarter of them do not exceed.
    pub q1: u64,
    /// Least that half of them do not exceed.
    pub median: u64,
    /// Least that three quarters of them do not exceed.
    pub q3: u64,
    /// The greatest.
    pub max: u64,
}

impl Spread {
    /// The spread of `values`; `None` if there is none.
    #[must_use]
    pub fn of(values: impl Iterator<Item = u64>) -> Option<Self> {
        let mut sorted: Vec<u64> = values.collect();
        sorted.sort_unstable();
        let n = sorted.len();
        let rank = |quarters: usize| sorted[(n * quarters).div_ceil(4).max(1) - 1];
        (n > 0).then(|| Self { n, min: rank(0), q1: rank(1), median: rank(2), q3: rank(3), max: rank(4) })
    }
}

/// A class and how many samples show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Its number in the label order, where the data set has one.
    pub index: Option<u32>,
    /// Its name, where the data set has one.
    pub label: Option<String>,
    /// How many samples are labelled so.
    pub n: usize,
}

/// What was found in a data set. All but `bad` and `ignored` is of the good samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Census {
    /// Samples that can be used.
    pub good: usize,
    /// Samples that were listed and cannot be used: they are not in the manifest.
    pub bad: Vec<Bad>,
    /// Files that are no samples, counted by extension or by why.
    pub ignored: BTreeMap<String, usize>,
    /// Samples whose media file is, byte by byte, that of another.
    pub duplicates: usize,
    /// Bytes of all media files.
    pub total_bytes: u64,
    /// Bytes of a media file.
    pub bytes: Option<Spread>,
    /// Width of a picture in pixels.
    pub width: Option<Spread>,
    /// Height of a picture in pixels.
    pub height: Option<Spread>,
    /// Samples of each file format.
    pub formats: BTreeMap<String, usize>,
    /// libjpeg quality, 1 to 100, of the JPEG files whose luminance table is the
    /// standard one scaled; there may be more JPEG files.
    pub quality: Option<Spread>,
    /// JPEG files of each chroma subsampling.
    pub chroma: BTreeMap<String, usize>,
    /// Samples of each split.
    pub splits: BTreeMap<String, usize>,
    /// The classes in order of number and name.
    pub classes: Vec<Class>,
    /// Clusters of dependent samples (patients, speakers, sequences): how many
    /// samples each has. `None` if no sample has one.
    pub groups: Option<Spread>,
    /// Samples with a segmentation mask.
    pub masks: usize,
}

impl Census {
    pub(super) fn new(good: &[Entry], bad: Vec<Bad>, ignored: BTreeMap<String, usize>) -> Self {
        let digests: HashSet<_> = good.iter().map(|entry| &entry.sha256).collect();
        let classes = counts(good.iter().filter_map(|entry| {
            let key = (entry.label_index, entry.label.clone());
            (key != (None, None)).then_some(key)
        }));
        Self {
            good: good.len(),
            bad,
            ignored,
            duplicates: good.len() - digests.len(),
            total_bytes: good.iter().filter_map(|entry| entry.bytes).sum(),
            bytes: Spread::of(good.iter().filter_map(|entry| entry.bytes)),
            width: Spread::of(good.iter().filter_map(|entry| entry.width.map(u64::from))),
            height: Spread::of(good.iter().filter_map(|entry| entry.height.map(u64::from))),
            formats: counts(good.iter().filter_map(|entry| entry.format.clone())),
            quality: Spread::of(good.iter().filter_map(|entry| entry.quality.map(u64::from))),
            chroma: counts(good.iter().filter_map(|entry| entry.chroma.clone())),
            splits: counts(good.iter().filter_map(|entry| entry.split.clone())),
            classes: classes.into_iter().map(|((index, label), n)| Class { index, label, n }).collect(),
            groups: Spread::of(
                counts(good.iter().filter_map(|entry| entry.group.as_ref())).into_values().map(|n| n as u64),
            ),
            masks: good.iter().filter(|entry| entry.mask.is_some()).count(),
        }
    }

    /// The census as text for a terminal. Control characters in names are replaced.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("{} samples, {:.1} MB", self.good, self.total_bytes as f64 / 1e6);
        for (count, what) in
            [(self.masks, "with a mask"), (self.duplicates, "are copies of others"), (self.bad.len(), "BAD")]
        {
            if count > 0 {
                let _ = write!(text, "; {count} {what}");
            }
        }
        text.push('\n');
        for (what, counts) in [
            ("formats", &self.formats),
            ("JPEG chroma", &self.chroma),
            ("splits", &self.splits),
            ("no samples", &self.ignored),
        ] {
            if !counts.is_empty() {
                let counts: Vec<_> = counts.iter().map(|(name, n)| format!("{} {n}", plain(name))).collect();
                let _ = writeln!(text, "{what}: {}", counts.join(", "));
            }
        }
        self.render_spreads(&mut text);
        if !self.classes.is_empty() {
            let mut table = table(&["class", "label", "samples"]);
            for class in self.classes.iter().take(SHOWN) {
                table.add_row([
                    class.index.map(|index| index.to_string()).unwrap_or_default(),
                    plain(class.label.as_deref().unwrap_or_default()),
                    class.n.to_string(),
                ]);
            }
            let _ = writeln!(text, "{table}{}", more(self.classes.len(), "classes"));
        }
        if !self.bad.is_empty() {
            let mut table = table(&["bad sample", "reason"]);
            for bad in self.bad.iter().take(SHOWN) {
                table.add_row([plain(&bad.id), plain(&bad.reason)]);
            }
            let _ = writeln!(text, "{table}{}", more(self.bad.len(), "bad samples"));
        }
        text
    }

    fn render_spreads(&self, text: &mut String) {
        let mut table = table(&["", "n", "least", "quarter", "median", "three quarters", "greatest"]);
        for (what, spread) in [
            ("width, pixels", self.width),
            ("height, pixels", self.height),
            ("file, bytes", self.bytes),
            ("JPEG quality", self.quality),
            ("samples per group", self.groups),
        ] {
            if let Some(s) = spread {
                let mut row = vec![what.to_owned(), s.n.to_string()];
                row.extend([s.min, s.q1, s.median, s.q3, s.max].map(|value| value.to_string()));
                table.add_row(row);
            }
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let _ = writeln!(text, "{table}");
    }
}

/// How often each key occurs.
fn counts<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    keys.fold(BTreeMap::new(), |mut counts, key| {
        *counts.entry(key).or_default() += 1;
        counts
    })
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(header);
    table
}

fn more(rows: usize, what: &str) -> String {
    rows.checked_sub(SHOWN).filter(|n| *n > 0).map(|n| format!("\nand {n} more {what}")).unwrap_or_default()
}

/// Text from a data set, unable to steer a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{FFFD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_nearest_ranks() {
        let of = |values: &[u64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some(Spread { n: 1, min: 7, q1: 7, median: 7, q3: 7, max: 7 }));
        assert_eq!(of(&[5, 1, 4, 2, 3]), Some(Spread { n: 5, min: 1, q1: 2, median: 3, q3: 4, max: 5 }));
        assert_eq!(of(&[4, 3, 2, 1]), Some(Spread { n: 4, min: 1, q1: 1, median: 2, q3: 3, max: 4 }));
    }
}
