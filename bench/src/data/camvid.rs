//! CamVid with the eleven classes of SegNet, as its tutorial publishes it, or
//! listed by a manifest of `file` and `mask`. In its masks 11 is void. Pictures of
//! one drive form a group, named by what precedes `_` in their names.

use super::listing::{Listing, stem};
use super::{Adapter, Options, afferent, listed};
use afferent_media::Result;
use std::path::Path;

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "camvid",
    layout: "test/ and testannot/ (also train, val) with PNG masks of the same name, or manifest.csv with `mask`",
    one_set: true,
    classes: 0,
    recognise: |path| SPLITS.iter().any(|split| path.join(split).is_dir() && path.join(annotations(split)).is_dir()),
    list,
};

const SPLITS: [&str; 3] = ["train", "val", "test"];

/// The highest class id of a mask.
pub(super) const HIGHEST_CLASS: u8 = 11;

fn annotations(split: &str) -> String {
    format!("{split}annot")
}

fn list(path: &Path, options: &Options) -> Result<Listing> {
    let mut listing = if listed::file(path).is_some() {
        listed::list(path, options)?
    } else {
        let mut listing = Listing::images(path)?;
        listing
            .entries
            .retain(|entry| !SPLITS.iter().any(|split| Path::new(&entry.file).starts_with(annotations(split))));
        listing.complete(|entry| {
            let split = SPLITS.into_iter().find(|split| Path::new(&entry.file).starts_with(split));
            let split = split.ok_or("the file lies in no folder of a split")?;
            entry.split = Some(split.to_owned());
            entry.mask = Some(format!("{}/{}.png", annotations(split), stem(&entry.file)));
            Ok(())
        })
    };
    listing.highest_class = Some(HIGHEST_CLASS);
    for entry in &mut listing.entries {
        entry.group = afferent::before_underscore(stem(&entry.file));
    }
    Ok(listing)
}
