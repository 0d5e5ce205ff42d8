//! iBean: bean leaves, healthy or with one of two diseases.

use super::listing::{Listing, by_split_and_class};
use super::{Adapter, Options};
use afferent_media::Result;
use std::path::Path;

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "ibean",
    layout: "train/, validation/ or test/ with folders angular_leaf_spot, bean_rust, healthy",
    one_set: true,
    classes: 2,
    recognise: |path| SPLITS.iter().any(|split| path.join(split).join(CLASSES[0]).is_dir()),
    list,
};

const SPLITS: [&str; 3] = ["train", "validation", "test"];
const CLASSES: [&str; 3] = ["angular_leaf_spot", "bean_rust", "healthy"];

fn list(path: &Path, _: &Options) -> Result<Listing> {
    Ok(Listing::images(path)?.complete(|entry| by_split_and_class(entry, &SPLITS, &CLASSES)))
}
