//! What one file is: decoded whole, so that what is found damaged is damaged.

use super::jpeg;
use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_media::manifest::{Entry, Manifest};
use afferent_media::{Code, Error, Result, Sample};
use afferent_models::Sha256;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

/// The headers of a JPEG file are looked for in so many bytes.
const MAX_HEADER_BYTES: u64 = 4 << 20;

/// The class id of a mask's pixels that count for nothing.
const IGNORE: u8 = 255;

/// Why a sample cannot be used.
pub(super) enum Fault {
    /// A file is damaged: the data set can do without.
    Bad(Error),
    /// The data set contradicts itself.
    Wrong(Error),
}

/// Reads the files of `entry` and completes it by what they are.
///
/// Where the entry states it all and its files are older than `stated`, they are
/// not read again.
pub(super) fn probe(
    manifest: &Manifest,
    entry: &Entry,
    stated: Option<SystemTime>,
    highest_class: Option<u8>,
) -> Result<Entry, Fault> {
    let path = manifest.path(entry);
    let mask = entry.mask.as_ref().map(|mask| manifest.root().join(mask));
    if stated.is_some_and(|stated| is_known(entry, &path, mask.as_deref(), stated)) {
        return Ok(entry.clone());
    }
    let mut found = media(&path).and_then(|found| agree(entry, found)).map_err(Fault::Bad)?;
    if let Some(mask) = mask {
        if !mask.is_file() {
            return Err(Fault::Wrong(Error::new(
                Code::NotFound,
                format!("{} is missing", mask.display()),
                "unpack the masks beside the images",
            )));
        }
        let (width, height, classes) =
            open::indices(&mask, &Limits::default()).map_err(|error| match error.code() {
                Code::Unsupported => Fault::Wrong(error),
                _ => Fault::Bad(error),
            })?;
        check_mask(&found, (width, height), &classes, highest_class)
            .map_err(|error| Fault::Wrong(error.at(mask.display())))?;
        let digest = Sha256::of_file(&mask).map_err(Fault::Bad)?.to_string();
        same("mask_sha256", entry.mask_sha256.as_ref(), Some(&digest)).map_err(Fault::Bad)?;
        found.mask_sha256 = Some(digest);
    }
    Ok(found)
}

/// Whether the entry states all that [`probe`] finds, of files that have not
/// changed since.
fn is_known(entry: &Entry, path: &Path, mask: Option<&Path>, stated: SystemTime) -> bool {
    let size = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        (metadata.modified().ok()? < stated).then_some(metadata.len())
    };
    entry.sha256.is_some()
        && entry.format.is_some()
        && entry.bytes.is_some()
        && entry.bytes == size(path)
        && mask.is_none_or(|mask| entry.mask_sha256.is_some() && size(mask).is_some())
}

/// What the media file at `path` is.
fn media(path: &Path) -> Result<Entry> {
    let failed = |e| Error::io(path.display().to_string(), e);
    let mut found = Entry {
        sha256: Some(Sha256::of_file(path)?.to_string()),
        bytes: Some(std::fs::metadata(path).map_err(failed)?.len()),
        ..Entry::default()
    };
    let sample = open::sample(path, &Limits::default())?;
    if let Sample::Image(image) = &sample {
        found.width = Some(image.width());
        found.height = Some(image.height());
    }
    let format = match path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase() {
        extension if extension == "jpg" => "jpeg".into(),
        extension => extension,
    };
    if format == "jpeg" {
        let mut start = Vec::new();
        File::open(path).map_err(failed)?.take(MAX_HEADER_BYTES).read_to_end(&mut start).map_err(failed)?;
        let header = jpeg::header(&start);
        found.quality = header.quality;
        found.chroma = header.chroma.map(str::to_owned);
    }
    found.format = Some(format);
    Ok(found)
}

/// The entry with what was `found`, which must be what it states.
fn agree(entry: &Entry, found: Entry) -> Result<Entry> {
    same("sha256", entry.sha256.as_ref(), found.sha256.as_ref())?;
    same("bytes", entry.bytes.as_ref(), found.bytes.as_ref())?;
    same("width", entry.width.as_ref(), found.width.as_ref())?;
    same("height", entry.height.as_ref(), found.height.as_ref())?;
    Ok(Entry {
        sha256: found.sha256,
        bytes: found.bytes,
        format: found.format,
        width: found.width,
        height: found.height,
        quality: found.quality,
        chroma: found.chroma,
        ..entry.clone()
    })
}

fn same<T: PartialEq + Display>(what: &str, stated: Option<&T>, found: Option<&T>) -> Result<()> {
    match (stated, found) {
        (Some(stated), Some(found)) if stated != found => Err(Error::new(
            Code::Digest,
            format!("the manifest states {what} {stated}, the file has {found}"),
            "get the file again that the manifest lists, or take the column out",
        )),
        _ => Ok(()),
    }
}

fn check_mask(image: &Entry, size: (u32, u32), classes: &[u8], highest: Option<u8>) -> Result<()> {
    if (image.width, image.height) != (Some(size.0), Some(size.1)) {
        let shown = |side: Option<u32>| side.unwrap_or_default();
        return Err(Error::new(
            Code::Config,
            format!(
                "the mask has {}x{} pixels, its image {}x{}",
                size.0,
                size.1,
                shown(image.width),
                shown(image.height)
            ),
            "pair every image with the mask that was drawn on it",
        ));
    }
    let found = classes.iter().copied().filter(|class| *class != IGNORE).max();
    if let (Some(found), Some(highest)) = (found, highest)
        && found > highest
    {
        return Err(Error::new(
            Code::Config,
            format!("the mask holds class {found}, the classes are 0 to {highest}"),
            "use the masks of class ids that belong to this data set",
        ));
    }
    Ok(())
}
