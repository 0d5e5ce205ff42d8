//! Small text files of the kernel, under a root folder.

use crate::reading::Missing;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest text that is read from a file.
const MAX_TEXT: u64 = 4096;
/// Most entries that are looked at in a folder.
const MAX_ENTRIES: usize = 1024;

/// The folder that `/sys` and `/dev` are taken under: `/` on a board, the folder
/// of a recorded tree in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Self {
        Self::new("/")
    }
}

impl Root {
    /// The root at `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Where the absolute `path` of a board is under this root.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text in the file at `path`, without white space around it; at most
    /// 4096 bytes.
    ///
    /// # Errors
    /// [`Missing`] as the operating system says; `Failed` for what is no text.
    pub fn text(&self, path: impl AsRef<Path>) -> Result<String, Missing> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        std::fs::File::open(self.path(path))
            .and_then(|file| file.take(MAX_TEXT).read_to_end(&mut bytes))
            .map_err(|e| Missing::io(path.display(), &e))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(_) => {
                Err(Missing::failed(format!("{}: no text", path.display()), "check that the file is named right"))
            }
        }
    }

    /// The number in the file at `path`.
    ///
    /// # Errors
    /// As [`text`](Self::text), and `Failed` for what is no number.
    pub fn number<T: FromStr>(&self, path: impl AsRef<Path>) -> Result<T, Missing> {
        let path = path.as_ref();
        let text = self.text(path)?;
        text.parse().map_err(|_| no_number(path, &text))
    }

    /// The hexadecimal number in the file at `path`, with or without `0x`.
    ///
    /// # Errors
    /// As [`number`](Self::number).
    pub fn hexadecimal(&self, path: impl AsRef<Path>) -> Result<u32, Missing> {
        let path = path.as_ref();
        let text = self.text(path)?;
        hexadecimal(&text).ok_or_else(|| no_number(path, &text))
    }

    /// The names in the folder `path` that begin with `prefix`, in order of their
    /// length, then their letters (so that `hwmon10` follows `hwmon9`).
    ///
    /// # Errors
    /// [`Missing`] as the operating system says.
    pub fn names(&self, path: impl AsRef<Path>, prefix: &str) -> Result<Vec<String>, Missing> {
        let path = path.as_ref();
        let entries = std::fs::read_dir(self.path(path)).map_err(|e| Missing::io(path.display(), &e))?;
        let mut names: Vec<String> = entries
            .take(MAX_ENTRIES)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        Ok(names)
    }

    /// The folders in `class` whose file `key` says `value`: the kernel numbers
    /// devices anew at each start, so they are named by what they say.
    ///
    /// # Errors
    /// [`Missing`] as the operating system says; `None` where no folder says so.
    pub(crate) fn find(&self, class: &str, key: &str, value: &str) -> Result<Vec<PathBuf>, Missing> {
        let folders: Vec<PathBuf> = self
            .names(class, "")?
            .into_iter()
            .map(|name| Path::new(class).join(name))
            .filter(|folder| self.text(folder.join(key)).is_ok_and(|said| said == value))
            .collect();
        if folders.is_empty() {
            return Err(Missing::none(
                format!("nothing in {class} has the {key} `{value}`"),
                format!("check the name: `grep . {class}/*/{key}` on the board lists what is there"),
            ));
        }
        Ok(folders)
    }

    /// Writes `text` to the file at `path`.
    ///
    /// # Errors
    /// [`Missing`] as the operating system says.
    pub(crate) fn write(&self, path: impl AsRef<Path>, text: &str) -> Result<(), Missing> {
        let path = path.as_ref();
        // Without creating it: a file that the kernel does not have is an error.
        std::fs::OpenOptions::new()
            .write(true)
            .open(self.path(path))
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|e| Missing::io(path.display(), &e))
    }
}

/// The hexadecimal number in `text`, with or without `0x`.
pub(crate) fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

fn no_number(path: &Path, text: &str) -> Missing {
    let shown: String = text.chars().take(40).collect();
    Missing::failed(format!("{}: `{shown}` is no number", path.display()), "check that the file is named right")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Why;

    #[test]
    fn files_are_numbers_or_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        for (name, text) in [("good", "42000\n"), ("hex", "50005\n"), ("words", "hot\n"), ("empty", "")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("bytes"), [0xff, 0xfe]).unwrap();
        assert_eq!(root.number::<i32>("/good"), Ok(42_000));
        assert_eq!(root.hexadecimal("/hex"), Ok(0x50005));
        for (name, why) in [("words", Why::Failed), ("empty", Why::Failed), ("bytes", Why::Failed), ("none", Why::None)]
        {
            let missing = root.number::<i32>(Path::new("/").join(name)).unwrap_err();
            assert_eq!(missing.why, why, "{missing}");
            assert!(missing.what.contains(name), "{missing}");
        }
        // A file is never created by writing to it.
        assert_eq!(root.write("/none", "1").unwrap_err().why, Why::None);
        assert!(!folder.path().join("none").exists());
    }
}
