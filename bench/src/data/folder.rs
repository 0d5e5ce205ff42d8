//! Images in a folder and below it, without labels.

use super::listing::{self, Listing};
use super::{Adapter, Options};
use afferent_media::Result;
use std::path::Path;

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "folder",
    layout: "image files in a folder and below it",
    one_set: false,
    classes: 0,
    recognise: |path| {
        path.is_dir() && listing::files(path).flatten().any(|file| file.to_str().is_some_and(listing::is_image))
    },
    list,
};

fn list(path: &Path, _: &Options) -> Result<Listing> {
    Listing::images(path)
}
