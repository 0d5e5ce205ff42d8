//! Whether bitstreams mean the same on every processor and in every build.
//!
//! Every codec that claims [`Exactness::Exact`](afferent_codec::Exactness) is held to it:
//! one build codes the [`vectors`] ([`encode`]), every other build decodes what it wrote
//! ([`check`]), and a [`matrix`] says what was equal. `tools/conformance` builds and runs
//! them; `docs/exactness.md` says what is claimed.

pub mod check;
pub mod digest;
pub mod encode;
pub mod matrix;
pub mod point;
pub mod record;
pub mod vectors;
mod work;

use afferent_media::{Code, Error};

/// The error for a folder that `encode` or `check` did not write.
pub(crate) fn foreign(what: impl Into<String>) -> Error {
    Error::new(Code::Corrupt, what, "make the folder anew with `conformance encode`")
}

#[cfg(test)]
mod tests {
    use crate::vectors::{Vector, made};
    use crate::{check, encode, matrix, point};

    #[test]
    fn a_build_agrees_with_itself_on_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = ["one-pixel", "odd-17x33", "extremes", "text", "tone-8k", "one-sample"];
        let vectors: Vec<Vector> = made().into_iter().filter(|vector| chosen.contains(&&*vector.name)).collect();
        let registry = point::registry();
        let place = |name: &str| folder.path().join(name);
        for (name, threads) in [("one", 1), ("three", 3)] {
            encode::run(&registry, &vectors, name, &place(name), &place("decoded"), threads).unwrap();
        }
        let records = |name: &str| std::fs::read(place(name).join("records.jsonl")).unwrap();
        assert_eq!(records("one"), records("three"));

        let found = check::run(&registry, &place("one"), &place("three"), &place("decoded"), 2).unwrap();
        assert!(found.held(), "{found:?}");
        let ids: Vec<_> = found.codecs.iter().map(|codec| &*codec.codec).collect();
        assert!(["jpeg", "optic", "opus", "pcm", "png", "webp"].iter().all(|id| ids.contains(id)), "{ids:?}");
        for codec in &found.codecs {
            assert!(codec.streams > 0 && codec.bytes_equal == codec.streams, "{codec:?}");
            assert!(codec.decoded_equal == codec.streams && codec.difference == 0.0, "{codec:?}");
            assert_eq!(codec.latents_equal, (codec.codec == "optic").then_some(codec.streams));
        }
        let matrix = matrix::Matrix::new(vec![found]);
        assert!(matrix.held() && matrix.text().contains("optic"), "{}", matrix.text());
    }

    #[test]
    fn what_differs_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let vectors: Vec<Vector> = made().into_iter().filter(|vector| vector.name == "text").collect();
        let registry = point::registry();
        let place = |name: &str| folder.path().join(name);
        for name in ["here", "there"] {
            encode::run(&registry, &vectors, name, &place(name), &place("decoded"), 2).unwrap();
        }
        // Another machine whose first latents and decoded pixels were others.
        let file = place("there").join("records.jsonl");
        let text = std::fs::read_to_string(&file).unwrap();
        let changed: String = text
            .lines()
            .map(|line| {
                let mut record: crate::record::Record = serde_json::from_str(line).unwrap();
                if record.codec == "optic" {
                    record.latents = record.latents.map(|digest| digest.replace(['0', '1'], "2"));
                }
                if record.codec == "png" {
                    record.decoded = record.decoded.replace(['0', '1'], "2");
                }
                if record.codec == "webp" {
                    record.stream = record.stream.replace(['0', '1'], "2");
                }
                serde_json::to_string(&record).unwrap() + "\n"
            })
            .collect();
        std::fs::write(&file, changed).unwrap();
        let found = check::run(&registry, &place("there"), &place("here"), &place("decoded"), 1).unwrap();
        let of = |id: &str| found.codecs.iter().find(|codec| codec.codec == id).unwrap();
        assert_eq!(of("optic").latents_equal, Some(0));
        assert_eq!(of("png").decoded_equal, 0);
        assert_eq!(of("webp").bytes_equal, 0);
        assert!(!of("optic").failures.is_empty() && !of("png").failures.is_empty() && !of("webp").failures.is_empty());
        assert!(of("jpeg").failures.is_empty() && !found.held());
    }
}
