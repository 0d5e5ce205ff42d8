//! Image data sets as hubs publish them: Parquet shards with a struct column of
//! `bytes` and `path`, and an integer column `label` or `labels`.
//!
//! Each image is written to a file of its own as it is read, in batches of a few
//! rows. Its split is what the shard's name says (`validation-00000-of-00014`), or
//! the shard's folder.

use super::listing::{self, Listing};
use super::{Adapter, Options};
use ::parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use afferent_media::manifest::Entry;
use afferent_media::{Code, Error, Result};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "parquet",
    layout: "a .parquet file or a folder of them, with columns `image.bytes` and `label`",
    one_set: false,
    classes: 0,
    recognise,
    list: |path, options| list(path, options, None),
};

/// Rows that are in memory at a time.
const BATCH: usize = 16;

/// Any Parquet file that was named is a shard; in a folder the first must hold
/// images, since rows of measurements are Parquet files too.
fn recognise(path: &Path) -> bool {
    is_shard(path)
        || listing::files(path)
            .flatten()
            .find(|file| is_shard(file))
            .is_some_and(|shard| guarded(|| Shard::open(&shard, Path::new(""), "", None, None)).is_ok())
}

fn is_shard(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| e == "parquet")
}

/// Extracts the shards at `path` that hold the wanted split. Labels are below
/// `classes`, or below the number of names that a shard states.
pub(super) fn list(path: &Path, options: &Options, classes: Option<usize>) -> Result<Listing> {
    let folder = options.extract.as_deref().ok_or_else(|| {
        Error::new(
            Code::Config,
            "Parquet shards hold images inside themselves",
            "say where a manifest is to be written: the images are extracted beside it",
        )
    })?;
    let base = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let mut listing = Listing { root: folder.to_path_buf(), ..Listing::default() };
    for shard in listing::files(path) {
        let shard = shard?;
        if !is_shard(&shard) {
            *listing.ignored.entry("files beside the shards".into()).or_default() += 1;
            continue;
        }
        let name = shard.strip_prefix(base).unwrap_or(&shard).with_extension("");
        let Some(name) = name.to_str() else {
            return Err(Error::new(
                Code::Config,
                format!("the name of {} is not UTF-8", shard.display()),
                "rename the file",
            ));
        };
        let split = split(name);
        if options.split.is_some() && split != options.split {
            continue;
        }
        guarded(|| Shard::open(&shard, folder, name, split, classes)?.extract(&mut listing))
            .map_err(|e| e.at(shard.display()))?;
    }
    Ok(listing)
}

/// The split that a shard's name (without extension) states.
fn split(name: &str) -> Option<String> {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let split = match file.split_once('-') {
        Some((split, rest)) if rest.contains("-of-") => split,
        _ => folder.rsplit('/').next().unwrap_or_default(),
    };
    (!split.is_empty()).then(|| split.to_owned())
}

/// One shard, and where its columns are.
struct Shard {
    reader: SerializedFileReader<File>,
    bytes: usize,
    path: Option<usize>,
    label: Option<usize>,
    names: Vec<String>,
    classes: Option<usize>,
    /// The shard's name, also that of its folder of images.
    name: String,
    split: Option<String>,
    folder: PathBuf,
}

impl Shard {
    fn open(shard: &Path, folder: &Path, name: &str, split: Option<String>, classes: Option<usize>) -> Result<Self> {
        let file = File::open(shard).map_err(|e| Error::io("the shard cannot be opened", e))?;
        let reader = SerializedFileReader::new(file).map_err(damaged)?;
        let columns: Vec<_> = reader
            .metadata()
            .file_metadata()
            .schema_descr()
            .columns()
            .iter()
            .map(|column| (column.path().string(), column.physical_type(), column.max_rep_level()))
            .collect();
        let find = |matches: &dyn Fn(&str) -> bool, physical| {
            columns.iter().position(|(path, own, repeated)| matches(path) && *own == physical && *repeated == 0)
        };
        let bytes = find(&|path| path.ends_with(".bytes"), ByteArrayType::get_physical_type()).ok_or_else(|| {
            let found: Vec<_> = columns.iter().map(|(path, ..)| path.as_str()).collect();
            Error::new(
                Code::Unsupported,
                format!("no column of images among {}", found.join(", ")),
                "use shards with a struct column of `bytes` and `path`",
            )
        })?;
        let beside = columns[bytes].0.replace(".bytes", ".path");
        let path = find(&|path| path == beside, ByteArrayType::get_physical_type());
        let label = find(&|path| path == "label" || path == "labels", Int64Type::get_physical_type());
        let names = label.map(|label| names(reader.metadata(), &columns[label].0)).unwrap_or_default();
        let classes = classes.or((!names.is_empty()).then_some(names.len()));
        let (folder, name) = (folder.join(name), name.to_owned());
        Ok(Self { reader, bytes, path, label, names, classes, name, split, folder })
    }

    /// Writes each image to a file and lists it.
    fn extract(&self, listing: &mut Listing) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::io(self.folder.display().to_string(), e))?;
        let mut row = 0;
        for number in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(number).map_err(damaged)?;
            let mut bytes = Column::<ByteArrayType>::open(&*group, self.bytes)?;
            let mut path = self.path.map(|path| Column::<ByteArrayType>::open(&*group, path)).transpose()?;
            let mut label = self.label.map(|label| Column::<Int64Type>::open(&*group, label)).transpose()?;
            let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            while left > 0 {
                let rows = left.min(BATCH);
                let images = bytes.next(rows)?;
                let mut paths = path.as_mut().map(|path| path.next(rows)).transpose()?.unwrap_or(vec![None; rows]);
                let mut labels = label.as_mut().map(|label| label.next(rows)).transpose()?.unwrap_or(vec![None; rows]);
                for ((image, path), label) in images.into_iter().zip(paths.drain(..)).zip(labels.drain(..)) {
                    self.sample(row, image, path, label, listing)?;
                    row += 1;
                }
                left -= rows;
            }
        }
        Ok(())
    }

    fn sample(
        &self,
        row: usize,
        image: Option<ByteArray>,
        path: Option<ByteArray>,
        label: Option<i64>,
        listing: &mut Listing,
    ) -> Result<()> {
        let path = path.as_ref().and_then(|path| path.as_utf8().ok()).unwrap_or_default();
        let mut entry = Entry {
            id: format!("{}/{row:07}", self.name),
            source: Some(format!("{}.parquet row {row} {path}", self.name).trim_end().to_owned()),
            split: self.split.clone(),
            ..Entry::default()
        };
        if let Some(label) = label {
            let class = u32::try_from(label).ok().filter(|&class| self.classes.is_none_or(|n| (class as usize) < n));
            entry.label_index = Some(class.ok_or_else(|| {
                let upto = self.classes.map(|n| format!(" to {}", n.saturating_sub(1))).unwrap_or_default();
                Error::new(
                    Code::Config,
                    format!("row {row} has the label {label}, classes are 0{upto}"),
                    "use a split whose labels are published, of the data set that was named",
                )
            })?);
            entry.label = class.and_then(|class| self.names.get(class as usize)).cloned();
        }
        let image = image.as_ref().map(ByteArray::data).unwrap_or_default();
        let Some(extension) = extension(image) else {
            listing.bad.push((entry, "the row holds no JPEG, PNG or WebP file".into()));
            return Ok(());
        };
        entry.file = format!("{}/{row:07}.{extension}", self.name);
        let file = self.folder.join(format!("{row:07}.{extension}"));
        std::fs::write(&file, image).map_err(|e| Error::io(file.display().to_string(), e))?;
        listing.push(entry)
    }
}

/// One column, read as one value or none per row.
struct Column<T: DataType> {
    reader: ColumnReaderImpl<T>,
    defined: i16,
}

impl<T: DataType> Column<T> {
    fn open(group: &dyn RowGroupReader, column: usize) -> Result<Self> {
        let reader = get_typed_column_reader(group.get_column_reader(column).map_err(damaged)?);
        Ok(Self { reader, defined: group.metadata().column(column).column_descr().max_def_level() })
    }

    fn next(&mut self, rows: usize) -> Result<Vec<Option<T::T>>> {
        let (mut levels, mut values) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        while levels.len().max(if self.defined == 0 { values.len() } else { 0 }) < rows {
            let have = if self.defined == 0 { values.len() } else { levels.len() };
            let (read, ..) =
                self.reader.read_records(rows - have, Some(&mut levels), None, &mut values).map_err(damaged)?;
            if read == 0 {
                return Err(Error::new(Code::Corrupt, "a column has fewer values than rows", DAMAGED));
            }
        }
        if self.defined == 0 {
            return Ok(values.into_iter().map(Some).collect());
        }
        let mut values = values.into_iter();
        Ok(levels.into_iter().map(|level| (level == self.defined).then(|| values.next()).flatten()).collect())
    }
}

/// The class names of column `label` that the hub's library leaves in a shard.
fn names(metadata: &ParquetMetaData, label: &str) -> Vec<String> {
    let pairs = metadata.file_metadata().key_value_metadata();
    let stated =
        pairs.into_iter().flatten().find(|pair| pair.key == "huggingface").and_then(|pair| pair.value.as_deref());
    let stated = stated.and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok()).unwrap_or_default();
    let names = stated["info"]["features"][label]["names"].as_array();
    names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The extension for an image file that begins like `bytes`.
fn extension(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some("jpg"),
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}

const DAMAGED: &str = "get the shard again from its source";

fn damaged(cause: ParquetError) -> Error {
    Error::new(Code::Corrupt, "the shard is no readable Parquet file", DAMAGED).caused_by(cause)
}

/// Runs `read`, which calls the Parquet library, which panics on some damaged files.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Error::new(Code::Corrupt, "the shard is damaged", DAMAGED)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_shard_says_its_split() {
        for (name, split) in [
            ("validation-00000-of-00014", Some("validation")),
            ("data/test-00001-of-00002", Some("test")),
            ("default/train/0000", Some("train")),
            ("pets", None),
        ] {
            assert_eq!(super::split(name).as_deref(), split, "{name}");
        }
    }
}
