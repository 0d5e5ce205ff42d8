//! The data manifest: the list of samples that every data-set adapter emits.
//!
//! A manifest is a CSV file with a header line or a JSON Lines file (`.jsonl`),
//! one sample per record. Only `file` is required; unknown columns are ignored.
//!
//! | column | meaning |
//! |---|---|
//! | `id` | opaque sample id; the value of `file` where absent |
//! | `file` | media file, relative to the manifest |
//! | `label_index`, `label` | class number and name |
//! | `transcript` | what is said |
//! | `mask` | segmentation mask file, relative to the manifest |
//! | `stems` | separated sources, `name=file` joined by `;` |
//! | `split`, `group` | part of the data set; cluster (speaker, patient, sequence) |
//! | `licence`, `source` | terms and origin of the sample |
//! | `sha256`, `mask_sha256`, `bytes` | digests and size of the files |
//! | `format`, `width`, `height`, `quality`, `chroma` | what the media file is |
//!
//! Labels stay on the server's side: an agent reads `id` and `file` only.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The most bytes of manifest that are read.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// One sample of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Opaque sample id, unique in the manifest.
    pub id: String,
    /// Media file, relative to the manifest's folder.
    pub file: String,
    /// Class number in the task's label order.
    pub label_index: Option<u32>,
    /// Class name.
    pub label: Option<String>,
    /// What is said.
    pub transcript: Option<String>,
    /// Segmentation mask file, relative to the manifest's folder.
    pub mask: Option<String>,
    /// Separated sources, `name=file` joined by `;`.
    pub stems: Option<String>,
    /// Part of the data set, for example `heldout`.
    pub split: Option<String>,
    /// Cluster of dependent samples: speaker, patient, sequence, track.
    pub group: Option<String>,
    /// Terms of use.
    pub licence: Option<String>,
    /// Where the sample came from.
    pub source: Option<String>,
    /// SHA-256 of the media file, 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// SHA-256 of the mask file.
    pub mask_sha256: Option<String>,
    /// Size of the media file in bytes.
    pub bytes: Option<u64>,
    /// Format of the media file: `jpeg`, `png`, `webp`, `wav` or `flac`.
    pub format: Option<String>,
    /// Width of the picture in pixels.
    pub width: Option<u32>,
    /// Height of the picture in pixels.
    pub height: Option<u32>,
    /// The libjpeg quality, 1 to 100, that a JPEG file's luminance quantisation
    /// table is of.
    pub quality: Option<u8>,
    /// Chroma subsampling of a JPEG file, for example `4:2:0`, or `grey`.
    pub chroma: Option<String>,
}

/// A list of samples and the folder that their files are relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    root: PathBuf,
    entries: Vec<Entry>,
}

impl Manifest {
    /// A manifest of `entries` whose files are relative to `root`. An empty id
    /// becomes the file name.
    ///
    /// # Errors
    /// [`Code::Config`] if there is no entry, a file is missing from an entry,
    /// leaves `root`, or an id occurs twice.
    pub fn new(root: impl Into<PathBuf>, mut entries: Vec<Entry>) -> Result<Self> {
        let mut seen = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter_mut().enumerate() {
            if entry.file.is_empty() {
                return Err(Error::new(
                    Code::Config,
                    format!("record {index} names no file"),
                    "fill the column `file`",
                ));
            }
            for path in [Some(&entry.file), entry.mask.as_ref()].into_iter().flatten() {
                let inside = Path::new(path)
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
                if !inside {
                    return Err(Error::new(
                        Code::Config,
                        format!("record {index}: `{path}` leaves the manifest's folder"),
                        "use paths relative to the manifest, without `..`",
                    ));
                }
            }
            if entry.id.is_empty() {
                entry.id.clone_from(&entry.file);
            }
            if let Some(first) = seen.insert(entry.id.clone(), index) {
                return Err(Error::new(
                    Code::Config,
                    format!("records {first} and {index} have the same id `{}`", entry.id),
                    "give every sample an id of its own",
                ));
            }
        }
        if entries.is_empty() {
            return Err(Error::new(Code::Config, "the manifest lists no sample", "list at least one file"));
        }
        Ok(Self { root: root.into(), entries })
    }

    /// Reads `path`: a CSV or JSON Lines manifest, a folder holding
    /// `manifest.csv` or `manifest.jsonl`, or a folder of media files (listed
    /// recursively in name order, keeping those whose extension is in `extensions`).
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if it cannot be read, [`Code::Limit`]
    /// above [`MAX_MANIFEST_BYTES`], [`Code::Config`] with the record's number
    /// if a record is wrong.
    pub fn open(path: &Path, extensions: &[&str]) -> Result<Self> {
        let place = path.display();
        if path.is_dir() {
            for name in ["manifest.csv", "manifest.jsonl"] {
                let file = path.join(name);
                if file.is_file() {
                    return Self::open(&file, extensions);
                }
            }
            return Self::folder(path, extensions).map_err(|e| e.at(place));
        }
        let size = std::fs::metadata(path).map_err(|e| Error::io(format!("manifest {place}"), e))?.len();
        if size > MAX_MANIFEST_BYTES {
            return Err(Error::new(
                Code::Limit,
                format!("manifest {place} has {size} bytes"),
                format!("split it: at most {MAX_MANIFEST_BYTES} bytes are read"),
            ));
        }
        let text = std::fs::read(path).map_err(|e| Error::io(format!("manifest {place}"), e))?;
        let entries =
            if path.extension().is_some_and(|e| e == "jsonl") { Self::jsonl(&text) } else { Self::csv(&text) };
        let root = path.parent().unwrap_or(Path::new("")).to_path_buf();
        entries.and_then(|entries| Self::new(root, entries)).map_err(|e| e.at(place))
    }

    /// Writes the manifest to `path`, a new file: JSON Lines if its extension is
    /// `.jsonl`, else CSV. Files are named relative to its folder, which must
    /// hold [`Self::root`]; ids stay.
    ///
    /// # Errors
    /// [`Code::Config`] if the folder of `path` does not hold the media files,
    /// [`Code::Io`] if the file exists or cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |e| Error::io(path.display().to_string(), e);
        let folder = std::path::absolute(path).map_err(failed)?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        // That of a manifest opened by its bare name is empty.
        let root = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
        let root = std::path::absolute(root).map_err(failed)?;
        let Some(prefix) = root.strip_prefix(folder).ok().and_then(Path::to_str) else {
            return Err(Error::new(
                Code::Config,
                format!("{} is not above the media files in {}", folder.display(), root.display()),
                "write the manifest into the folder of the media files or one that holds it; \
                 a link to that folder will do, if the data set is opened through it",
            ));
        };
        let place = |file: &str| if prefix.is_empty() { file.to_owned() } else { format!("{prefix}/{file}") };
        let entries = self.entries.iter().map(|entry| Entry {
            file: place(&entry.file),
            mask: entry.mask.as_deref().map(place),
            stems: entry.stems.as_deref().map(|stems| {
                let placed = stems.split(';').map(|stem| match stem.split_once('=') {
                    Some((name, file)) => format!("{name}={}", place(file)),
                    None => stem.to_owned(),
                });
                placed.collect::<Vec<_>>().join(";")
            }),
            ..entry.clone()
        });
        let file = std::io::BufWriter::new(std::fs::File::create_new(path).map_err(failed)?);
        if path.extension().is_some_and(|e| e == "jsonl") {
            write_jsonl(file, entries)
        } else {
            write_csv(file, entries)
        }
        .map_err(failed)
    }

    fn csv(text: &[u8]) -> Result<Vec<Entry>> {
        csv::Reader::from_reader(text).deserialize().collect::<std::result::Result<_, _>>().map_err(|e| {
            Error::new(Code::Config, "bad CSV record", "check the record against the manifest's columns").caused_by(e)
        })
    }

    fn jsonl(text: &[u8]) -> Result<Vec<Entry>> {
        text.split(|&byte| byte == b'\n')
            .enumerate()
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, line)| {
                serde_json::from_slice(line).map_err(|e| {
                    Error::new(Code::Config, format!("bad JSON on line {}", number + 1), "write one object per line")
                        .caused_by(e)
                })
            })
            .collect()
    }

    fn folder(root: &Path, extensions: &[&str]) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let listing = std::fs::read_dir(&folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
            for item in listing {
                let path = item.map_err(|e| Error::io(folder.display().to_string(), e))?.path();
                // A link to a folder may lead in circles: only real folders are entered.
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path
                    .extension()
                    .and_then(|e| e.to_str())
                    .is_some_and(|e| extensions.iter().any(|known| known.eq_ignore_ascii_case(e)))
                {
                    let relative = path.strip_prefix(root).unwrap_or(&path);
                    let Some(name) = relative.to_str() else {
                        return Err(Error::new(
                            Code::Config,
                            format!("the name of {} is not UTF-8", path.display()),
                            "rename the file",
                        ));
                    };
                    files.push(name.to_owned());
                }
            }
        }
        if files.is_empty() {
            return Err(Error::new(
                Code::NotFound,
                format!("no file with one of the extensions {}", extensions.join(", ")),
                "point at a folder of media files or at a manifest",
            ));
        }
        files.sort();
        let entries = files.into_iter().map(|file| Entry { file, ..Entry::default() }).collect();
        Self::new(root, entries)
    }

    /// The manifest without the samples whose extension is not in `extensions`.
    ///
    /// # Errors
    /// [`Code::NotFound`] if none is left.
    pub fn only(mut self, extensions: &[&str]) -> Result<Self> {
        self.entries.retain(|entry| {
            Path::new(&entry.file)
                .extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| extensions.iter().any(|known| known.eq_ignore_ascii_case(e)))
        });
        if self.entries.is_empty() {
            return Err(Error::new(
                Code::NotFound,
                format!("{}: no sample has one of the extensions {}", self.root.display(), extensions.join(", ")),
                "list media files of this kind, or leave its streams out",
            ));
        }
        Ok(self)
    }

    /// The samples, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The samples, in order.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The folder that files are relative to.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The media file of `entry`.
    #[must_use]
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.root.join(&entry.file)
    }
}

fn write_csv(file: impl Write, entries: impl Iterator<Item = Entry>) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(file);
    for entry in entries {
        writer.serialize(entry)?;
    }
    writer.flush()
}

fn write_jsonl(mut file: impl Write, entries: impl Iterator<Item = Entry>) -> std::io::Result<()> {
    for entry in entries {
        serde_json::to_writer(&mut file, &entry)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_and_jsonl_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.csv"), "file,label_index,label,extra\nx.png,3,cat,?\ny.png,,,\n").unwrap();
        std::fs::write(
            folder.path().join("a.jsonl"),
            "{\"file\":\"x.png\",\"label_index\":3,\"label\":\"cat\"}\n\n{\"file\":\"y.png\",\"more\":1}\n",
        )
        .unwrap();
        let from_csv = Manifest::open(&folder.path().join("a.csv"), &[]).unwrap();
        let from_jsonl = Manifest::open(&folder.path().join("a.jsonl"), &[]).unwrap();
        assert_eq!(from_csv, from_jsonl);
        assert_eq!(from_csv.entries()[0].id, "x.png");
        assert_eq!(from_csv.entries()[1].label_index, None);
    }

    #[test]
    fn wrong_manifests_say_where() {
        let open = |name: &str, text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Manifest::open(&path, &[]).unwrap_err()
        };
        assert_eq!(open("m.csv", "file\n").code(), Code::Config);
        assert!(open("m.csv", "file\n../x.png\n").what().contains("leaves"));
        assert!(open("m.csv", "file\n/etc/passwd\n").what().contains("leaves"));
        assert!(open("m.csv", "file\nx.png\nx.png\n").what().contains("same id"));
        assert!(open("m.csv", "file,label_index\nx.png,cat\n").to_string().contains("line: 2"));
        assert!(open("m.jsonl", "{\"file\":\"x\"}\n{oops\n").what().contains("line 2"));
    }

    #[test]
    fn what_is_written_is_read_again_from_a_folder_above() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("set");
        std::fs::create_dir(&root).unwrap();
        let entry = Entry {
            file: "a, \"b\".png".into(),
            mask: Some("m.png".into()),
            stems: Some("voice=v.wav;rest=r.wav".into()),
            label: Some("tench, Tinca tinca".into()),
            quality: Some(75),
            ..Entry::default()
        };
        let manifest = Manifest::new(&root, vec![entry]).unwrap();
        for name in ["manifest.csv", "manifest.jsonl"] {
            let inside = root.join(name);
            manifest.write(&inside).unwrap();
            assert_eq!(Manifest::open(&inside, &[]).unwrap(), manifest);
            assert_eq!(manifest.write(&inside).unwrap_err().code(), Code::Io);
            let above = folder.path().join(name);
            manifest.write(&above).unwrap();
            let read = Manifest::open(&above, &[]).unwrap();
            assert_eq!(read.entries()[0].stems.as_deref(), Some("voice=set/v.wav;rest=set/r.wav"));
            assert_eq!(read.entries()[0].mask.as_deref(), Some("set/m.png"));
            assert_eq!(read.path(&read.entries()[0]), manifest.path(&manifest.entries()[0]));
            assert_eq!(read.entries()[0].id, manifest.entries()[0].id);
        }
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(manifest.write(&elsewhere.path().join("m.csv")).unwrap_err().code(), Code::Config);
        let here = Manifest::new("", manifest.into_entries()).unwrap();
        assert_eq!(here.write(&elsewhere.path().join("m.csv")).unwrap_err().code(), Code::Config);
    }

    #[test]
    fn a_folder_is_listed_in_name_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.PNG", "b/a.png", "note.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let manifest = Manifest::open(folder.path(), &["png"]).unwrap();
        let files: Vec<_> = manifest.entries().iter().map(|e| e.file.as_str()).collect();
        assert_eq!(files, ["b/a.png", "c.PNG"]);
        assert_eq!(Manifest::open(folder.path(), &["wav"]).unwrap_err().code(), Code::NotFound);
    }
}
