//! Rows to Parquet files and back.
//!
//! Files are compressed with zstd, carry statistics per column, and hold every
//! column's meaning in their key-value metadata (`column.NAME`), beside the
//! methodology's version. Writing holds one row group of rows in memory,
//! reading one batch, whatever the size of the set. Pages have no checksums (the
//! library writes none): where a flipped bit matters, keep the file's digest.
//!
//! A file appears under its name only when it is whole and synced: it is written
//! beside it first, and renamed.

use crate::column::{DAMAGED, Source};
use crate::row::{METHODOLOGY_VERSION, Row};
use afferent_media::{Code, Error, Result};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows per row group: what a writer holds in memory, about 25 MB.
const GROUP: usize = 16_384;
/// Rows read at a time.
const BATCH: usize = 1024;

/// Writes rows to one Parquet file.
pub struct RowWriter {
    path: PathBuf,
    part: PathBuf,
    file: Option<SerializedFileWriter<BufWriter<File>>>,
    pending: Vec<Row>,
    written: u64,
}

impl RowWriter {
    /// Begins the file `path`, in a folder that exists. An older file of that
    /// name stays until [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if it cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let failed = |e| write_failed(&path, e);
        let columns = Row::COLUMNS.iter().map(|(name, doc)| (format!("column.{name}"), doc.trim().to_owned()));
        let metadata = std::iter::once(("afferent.methodology_version".to_owned(), METHODOLOGY_VERSION.to_string()))
            .chain(columns)
            .map(|(key, value)| KeyValue::new(key, value));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(failed)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("afferent ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(metadata.collect()))
            .build();
        let file = File::create(&part).map_err(|e| Error::io(format!("creating {}", part.display()), e))?;
        let schema = Row::schema().map_err(failed)?;
        let file = SerializedFileWriter::new(BufWriter::new(file), schema, Arc::new(properties)).map_err(failed)?;
        Ok(Self { path, part, file: Some(file), pending: Vec::new(), written: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails; the file is then of no use.
    pub fn push(&mut self, row: Row) -> Result<()> {
        self.pending.push(row);
        if self.pending.len() >= GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| !self.pending.is_empty()) else { return Ok(()) };
        let mut group = file.next_row_group().map_err(|e| write_failed(&self.path, e))?;
        Row::write_group(&self.pending, &mut group).map_err(|e| write_failed(&self.path, e))?;
        group.close().map_err(|e| write_failed(&self.path, e))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes what is left, syncs the file and gives it its name. Returns how
    /// many rows it holds.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails; there is no file of that name then, or
    /// still the older one.
    pub fn finish(mut self) -> Result<u64> {
        self.flush()?;
        if let Some(file) = self.file.take() {
            let buffered = file.into_inner().map_err(|e| write_failed(&self.path, e))?;
            let io = |e| Error::io(format!("writing {}", self.part.display()), e);
            let file = buffered.into_inner().map_err(|e| io(e.into_error()))?;
            file.sync_all().map_err(io)?;
            std::fs::rename(&self.part, &self.path)
                .and_then(|()| sync_folder(&self.path))
                .map_err(|e| Error::io(format!("renaming to {}", self.path.display()), e))?;
        }
        Ok(self.written)
    }
}

impl Drop for RowWriter {
    /// Removes what was written if the file was not finished.
    fn drop(&mut self) {
        // After a rename there is nothing of that name, and nothing to do.
        let _ = std::fs::remove_file(&self.part);
    }
}

/// Writes `rows` to the file `path`; returns how many.
///
/// # Errors
/// As [`RowWriter`].
pub fn write_rows(path: impl Into<PathBuf>, rows: impl IntoIterator<Item = Row>) -> Result<u64> {
    let mut writer = RowWriter::create(path)?;
    for row in rows {
        writer.push(row)?;
    }
    writer.finish()
}

/// The row files of `path`: itself if it is a file, or the files
/// `rows-*.parquet` of the folder, or of its folder `rows`, in order of name.
///
/// # Errors
/// [`Code::NotFound`] if there is none, [`Code::Io`] if the folder cannot be read.
pub fn row_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let inner = path.join("rows");
    let path = if inner.is_dir() { inner.as_path() } else { path };
    let failed = |e| Error::io(format!("listing {}", path.display()), e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("rows-") && name.ends_with(".parquet") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::new(
            Code::NotFound,
            format!("{} holds no rows-*.parquet", path.display()),
            "give a folder that a server or a bench has sealed rows into; a server seals them every --seal-rows, and when it ends",
        ));
    }
    files.sort();
    Ok(files)
}

/// Reads the rows of one file, or of the files `rows-*.parquet` of a folder, in
/// order of name. Columns that this build does not know are passed over;
/// columns that a file lacks have their default.
///
/// # Errors
/// [`Code::NotFound`] or [`Code::Io`] if a file cannot be opened,
/// [`Code::Corrupt`] if it is damaged, [`Code::Unsupported`] if a column is of
/// another type. What is found later, the iterator yields, and ends.
pub fn read_rows(path: &Path) -> Result<Rows> {
    let mut rows = Rows { files: row_files(path)?.into(), file: None, ready: VecDeque::new() };
    // So that a missing or damaged first file is told at once.
    rows.open_next()?;
    Ok(rows)
}

/// The rows of one or more files, read batch by batch.
pub struct Rows {
    files: VecDeque<PathBuf>,
    file: Option<OpenFile>,
    ready: VecDeque<Row>,
}

struct OpenFile {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    next_group: usize,
    sources: Vec<Source<Row>>,
    rows_left: usize,
}

impl Rows {
    /// Opens the next file; false if there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Some(path) = self.files.pop_front() else { return Ok(false) };
        let file = File::open(&path).map_err(|e| Error::io(format!("opening {}", path.display()), e))?;
        let reader = guarded(|| SerializedFileReader::new(file).map_err(|e| read_failed(&path, e)))?;
        self.file = Some(OpenFile { path, reader, next_group: 0, sources: Vec::new(), rows_left: 0 });
        Ok(true)
    }

    /// Reads until a row is ready; false at the end of the last file.
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(file) = &mut self.file {
                if let Some(batch) = guarded(|| file.batch()).map_err(|e| e.at(file.path.display()))? {
                    self.ready.extend(batch);
                    return Ok(true);
                }
                self.file = None;
            }
            if !self.open_next()? {
                return Ok(false);
            }
        }
    }
}

impl OpenFile {
    /// The next rows; `None` at the end of the file.
    fn batch(&mut self) -> Result<Option<Vec<Row>>> {
        while self.rows_left == 0 {
            if self.next_group == self.reader.num_row_groups() {
                return Ok(None);
            }
            let group = self.reader.get_row_group(self.next_group).map_err(|e| read_failed(&self.path, e))?;
            self.next_group += 1;
            self.rows_left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            self.sources = Row::sources(&*group)?;
        }
        let mut rows = vec![Row::default(); self.rows_left.min(BATCH)];
        for source in &mut self.sources {
            source.fill(&mut rows)?;
        }
        self.rows_left -= rows.len();
        Ok(Some(rows))
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.ready.is_empty()
            && let Err(error) = self.advance()
        {
            self.files.clear();
            self.file = None;
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }
}

/// Makes a new name in the folder of `path` survive a crash, where the system
/// lets a folder be synced.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_failed(path: &Path, cause: ParquetError) -> Error {
    Error::new(Code::Io, format!("writing {}", path.display()), "check the disk and its free space").caused_by(cause)
}

/// Runs `read`, a call into the Parquet library, which panics on some damaged
/// files. What it leaves behind is not used again.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(Error::new(Code::Corrupt, "the file is damaged beyond what the Parquet library can tell", DAMAGED))
    })
}

fn read_failed(path: &Path, cause: ParquetError) -> Error {
    Error::new(Code::Corrupt, format!("{} is no readable Parquet file", path.display()), DAMAGED).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(sequence: u64) -> Row {
        Row {
            sequence,
            device: "porch".to_owned(),
            stream: u32::MAX,
            sample_id: (sequence.is_multiple_of(3)).then(|| format!("sample ü {sequence}")),
            knob: (sequence.is_multiple_of(2)).then_some(-0.5),
            payload_bytes: u64::MAX - sequence,
            transport_bytes: -1.25,
            captured_unix_us: Some(-1),
            agrees: [None, Some(true), Some(false)][(sequence % 3) as usize],
            psnr_db: Some(f64::MIN_POSITIVE),
            ..Row::new()
        }
    }

    fn read(path: &Path) -> Result<Vec<Row>> {
        read_rows(path)?.collect()
    }

    #[test]
    fn rows_come_back_over_many_row_groups() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows-0.parquet");
        let n = 2 * GROUP as u64 + 777;
        assert_eq!(write_rows(&file, (0..n).map(row)).unwrap(), n);
        let mut count = 0;
        for (sequence, back) in (0..).zip(read_rows(&file).unwrap()) {
            assert_eq!(back.unwrap(), row(sequence));
            count += 1;
        }
        assert_eq!(count, n);
        assert_eq!(write_rows(&file, []).unwrap(), 0);
        assert_eq!(read(&file).unwrap(), []);
    }

    #[test]
    fn a_folder_is_read_in_order_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(read(folder.path()).unwrap_err().code(), Code::NotFound);
        write_rows(at("rows-0002.parquet"), [row(2)]).unwrap();
        write_rows(at("rows-0001.parquet"), [row(0), row(1)]).unwrap();
        std::fs::write(at("rows-0003.parquet.part"), "half").unwrap();
        std::fs::write(at("notes.txt"), "no rows").unwrap();
        assert_eq!(read(folder.path()).unwrap(), [row(0), row(1), row(2)]);
        assert_eq!(read(&at("rows-0009.parquet")).unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn a_file_appears_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows-0.parquet");
        write_rows(&file, [row(1)]).unwrap();
        let mut writer = RowWriter::create(&file).unwrap();
        writer.push(row(2)).unwrap();
        assert_eq!(read(&file).unwrap(), [row(1)]);
        drop(writer);
        assert_eq!(read(&file).unwrap(), [row(1)]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(RowWriter::create(folder.path().join("no/rows.parquet")).err().unwrap().code(), Code::NotFound);
    }

    #[test]
    fn every_file_says_what_its_columns_mean() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows-0.parquet");
        write_rows(&file, [row(1)]).unwrap();
        let reader = SerializedFileReader::new(File::open(&file).unwrap()).unwrap();
        let metadata = reader.metadata().file_metadata();
        let pairs = metadata.key_value_metadata().unwrap();
        let of = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
        assert_eq!(of("afferent.methodology_version"), Some(METHODOLOGY_VERSION.to_string()));
        for column in metadata.schema_descr().columns() {
            assert!(
                of(&format!("column.{}", column.name())).is_some_and(|doc| doc.ends_with('.')),
                "{}",
                column.name()
            );
        }
        let group = reader.metadata().row_group(0);
        assert!(group.columns().iter().all(|column| column.statistics().is_some()));
        assert!(matches!(group.column(0).compression(), Compression::ZSTD(_)));
    }

    #[test]
    fn columns_of_other_versions_are_passed_over_or_defaulted() {
        columns_of_another_version(parquet::basic::Type::INT64, "from_the_future", None);
        columns_of_another_version(parquet::basic::Type::INT64, "device", Some(Code::Unsupported));
    }

    fn columns_of_another_version(physical: parquet::basic::Type, name: &str, refused: Option<Code>) {
        use parquet::schema::types::Type;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows-0.parquet");
        let column = Type::primitive_type_builder(name, physical).build().unwrap();
        let schema = Type::group_type_builder("row").with_fields(vec![Arc::new(column)]).build().unwrap();
        let file = File::create(&path).unwrap();
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<parquet::data_type::Int64Type>().write_batch(&[1, 2], Some(&[1, 1]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        match refused {
            None => assert_eq!(read(&path).unwrap(), [Row::default(), Row::default()]),
            Some(code) => assert_eq!(read(&path).unwrap_err().code(), code),
        }
    }

    #[test]
    fn damage_anywhere_is_an_error_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows-0.parquet");
        write_rows(&file, (0..300).map(row)).unwrap();
        let good = std::fs::read(&file).unwrap();
        let mut noticed = 0;
        let mut tried = 0;
        for at in (0..good.len()).step_by(29) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&file, &bad).unwrap();
            noticed += u32::from(read(&file).is_err());
            tried += 1;
        }
        assert!(noticed > 0 && tried > 500, "{noticed} of {tried}");
        for length in (0..good.len()).step_by(97) {
            std::fs::write(&file, &good[..length]).unwrap();
            assert_eq!(read(&file).unwrap_err().code(), Code::Corrupt);
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_row_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(error) = Row::from_bytes(&bytes) {
                prop_assert!(matches!(error.code(), Code::Corrupt | Code::Unsupported));
            }
        }
    }
}
