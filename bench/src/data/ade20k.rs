//! ADE20K as the scene-parsing benchmark publishes it. In its masks 0 is
//! everything without a class, and 1 to 150 are the classes.

use super::listing::{Listing, stem};
use super::{Adapter, Options};
use afferent_media::Result;
use std::path::Path;

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "ade20k",
    layout: "images/validation/ (or training/) and annotations/validation/ with a PNG mask of the same name",
    one_set: true,
    classes: 0,
    recognise: |path| SPLITS.iter().any(|split| path.join("annotations").join(split).is_dir()),
    list,
};

const SPLITS: [&str; 2] = ["training", "validation"];

/// The highest class id of a mask.
pub(super) const HIGHEST_CLASS: u8 = 150;

fn list(path: &Path, _: &Options) -> Result<Listing> {
    let mut listing = Listing::images(path)?;
    // Masks are PNG files and would be listed as images.
    listing.entries.retain(|entry| entry.file.starts_with("images/"));
    listing.highest_class = Some(HIGHEST_CLASS);
    Ok(listing.complete(|entry| {
        let split =
            SPLITS.into_iter().find(|split| Path::new(&entry.file).starts_with(Path::new("images").join(split)));
        let split = split.ok_or("the file lies in no folder of a split")?;
        entry.split = Some(split.to_owned());
        entry.mask = Some(format!("annotations/{split}/{}.png", stem(&entry.file)));
        Ok(())
    }))
}
