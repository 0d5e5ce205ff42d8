//! The 24 Kodak photographs.

use super::listing::Listing;
use super::{Adapter, Options};
use afferent_media::Result;
use afferent_media::manifest::Entry;
use std::path::Path;

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "kodak",
    layout: "kodim01.png to kodim24.png",
    one_set: true,
    classes: 0,
    recognise: |path| path.join("kodim01.png").is_file(),
    list,
};

fn list(path: &Path, _: &Options) -> Result<Listing> {
    let entries = (1..=24).map(|n| Entry { file: format!("kodim{n:02}.png"), ..Entry::default() });
    Ok(Listing { root: path.to_path_buf(), entries: entries.collect(), ..Listing::default() })
}
