//! One subfolder per class, numbered in order of name.

use super::listing::{self, Listing};
use super::{Adapter, Options};
use afferent_media::Result;
use std::collections::BTreeSet;
use std::path::Path;

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "classes",
    layout: "two or more subfolders of image files, each named after a class, and no image beside them",
    one_set: false,
    classes: 2,
    recognise,
    list,
};

fn recognise(path: &Path) -> bool {
    let holds_images = |name: &String| listing::names(&path.join(name)).any(|name| listing::is_image(&name));
    !listing::names(path).any(|name| listing::is_image(&name)) && listing::names(path).filter(holds_images).count() > 1
}

fn list(path: &Path, _: &Options) -> Result<Listing> {
    let listing = Listing::images(path)?;
    let class = |file: &str| file.split_once('/').map(|(class, _)| class.to_owned());
    let classes: BTreeSet<_> = listing.entries.iter().filter_map(|entry| class(&entry.file)).collect();
    Ok(listing.complete(|entry| {
        let class = class(&entry.file).ok_or("the file lies in no folder of a class")?;
        entry.label_index = Some(classes.range(..class.clone()).count() as u32);
        entry.label = Some(class);
        Ok(())
    }))
}
