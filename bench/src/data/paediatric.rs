//! Paediatric chest X-rays, normal or with pneumonia (Kermany et al. 2018).
//!
//! File names carry the patient: `person123_bacteria_456`, `IM-0115-0001`,
//! `NORMAL2-IM-0427-0001`. That patient is the group.

use super::listing::{Listing, by_split_and_class, stem};
use super::{Adapter, Options};
use afferent_media::Result;
use std::path::{Path, PathBuf};

pub(super) const ADAPTER: Adapter = Adapter {
    kind: "paediatric",
    layout: "train/ or test/ (also in chest_xray/) with folders NORMAL and PNEUMONIA",
    one_set: true,
    classes: 2,
    recognise: |path| SPLITS.iter().any(|split| root(path).join(split).join(CLASSES[1]).is_dir()),
    list,
};

const SPLITS: [&str; 3] = ["train", "val", "test"];
const CLASSES: [&str; 2] = ["NORMAL", "PNEUMONIA"];

/// The folder of the splits.
fn root(path: &Path) -> PathBuf {
    let inner = path.join("chest_xray");
    if inner.is_dir() { inner } else { path.to_path_buf() }
}

fn list(path: &Path, _: &Options) -> Result<Listing> {
    Ok(Listing::images(&root(path))?.complete(|entry| {
        by_split_and_class(entry, &SPLITS, &CLASSES)?;
        let patient = patient(stem(&entry.file)).ok_or("the name of the file states no patient")?;
        entry.group = Some(patient.to_owned());
        Ok(())
    }))
}

/// The patient that a file's name states.
fn patient(stem: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let before = stem.find("person").map(|at| at + "person".len()).or_else(|| stem.find("IM-").map(|at| at + 3))?;
    let count = digits(&stem[before..]);
    (count > 0).then(|| &stem[..before + count])
}

#[cfg(test)]
mod tests {
    #[test]
    fn patients_are_named_by_files() {
        for (stem, patient) in [
            ("person123_bacteria_456", Some("person123")),
            ("person1_virus_6", Some("person1")),
            ("IM-0115-0001", Some("IM-0115")),
            ("IM-0001-0001-0002", Some("IM-0001")),
            ("NORMAL2-IM-0427-0001", Some("NORMAL2-IM-0427")),
            ("person_bacteria", None),
            ("scan", None),
        ] {
            assert_eq!(super::patient(stem), patient, "{stem}");
        }
    }
}
