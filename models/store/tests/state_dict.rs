//! The state-dict reader: what it reads, what it refuses, and that nothing panics.
#![allow(clippy::unwrap_used)]

mod common;

use afferent_media::Code;
use afferent_models::StateDict;
use common::{Entry, checkpoint, floats};
use proptest::prelude::*;

const PLAIN: Entry<'static> =
    Entry { name: "w", key: "7", kind: "FloatStorage", elements: 6, offset: 0, shape: &[2, 3], strides: &[3, 1] };

fn small() -> Vec<u8> {
    let transposed = Entry { name: "t", strides: &[1, 2], ..PLAIN };
    let tail = Entry { name: "tail", offset: 4, shape: &[2], strides: &[1], ..PLAIN };
    let scalar = Entry { name: "n", key: "8", kind: "LongStorage", elements: 1, shape: &[], strides: &[], ..PLAIN };
    let empty = Entry { name: "none", shape: &[0, 3], ..PLAIN };
    checkpoint(
        &[PLAIN, transposed, tail, scalar, empty],
        &[("8", 1, &5i64.to_le_bytes()), ("7", 6, &floats(&[0., 1., 2., 3., 4., 5.]))],
    )
}

#[test]
fn tensors_are_read_through_their_strides() {
    let bytes = small();
    let dict = StateDict::parse(&bytes).unwrap();
    let mut names: Vec<_> = dict.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["n", "none", "t", "tail", "w"]);
    let read = |name: &str| dict.get(name).unwrap().to_le_bytes();
    assert_eq!(read("w"), floats(&[0., 1., 2., 3., 4., 5.]));
    assert_eq!(read("t"), floats(&[0., 2., 4., 1., 3., 5.]));
    assert_eq!(read("tail"), floats(&[4., 5.]));
    assert_eq!(read("n"), 5i64.to_le_bytes());
    assert!(read("none").is_empty());
    assert_eq!(dict.get("t").unwrap().shape(), [2, 3]);
    assert!(dict.get("t").unwrap().is_f32() && !dict.get("n").unwrap().is_f32());
    assert!(dict.get("absent").is_none());
}

#[test]
fn what_cannot_be_is_refused() {
    let data = floats(&[0.0; 6]);
    let one = |entry: Entry<'_>| checkpoint(&[entry], &[("7", 6, &data)]);
    let max = i32::MAX.cast_unsigned();
    let corrupt = [
        ("outside", one(Entry { offset: 1, ..PLAIN })),
        ("outside", one(Entry { strides: &[4, 1], ..PLAIN })),
        // Six billion values out of one: a bomb.
        ("outside", one(Entry { shape: &[max, 3], strides: &[0, 0], ..PLAIN })),
        ("outside", one(Entry { shape: &[max, max, max], strides: &[0, 0, 0], ..PLAIN })),
        ("outside", one(Entry { offset: max, strides: &[max, max], ..PLAIN })),
        ("axes", one(Entry { shape: &[2], ..PLAIN })),
        ("axes", one(Entry { shape: &[1; 9], strides: &[1; 9], ..PLAIN })),
        ("negative", one(Entry { offset: u32::MAX, ..PLAIN })),
        ("another length", one(Entry { elements: 5, ..PLAIN })),
        ("listed twice", checkpoint(&[PLAIN], &[("7", 6, &data), ("7", 6, &data)])),
        ("used by no tensor", checkpoint(&[PLAIN], &[("9", 6, &data)])),
        ("is missing", checkpoint(&[PLAIN], &[])),
        ("ends inside", checkpoint(&[PLAIN], &[("7", 6, &data[1..])])),
        ("1 bytes after", checkpoint(&[PLAIN], &[("7", 6, &[&data[..], &[0]].concat())])),
        ("occurs twice", checkpoint(&[PLAIN, PLAIN], &[("7", 6, &data)])),
        ("in two ways", checkpoint(&[PLAIN, Entry { name: "v", elements: 5, ..PLAIN }], &[("7", 6, &data)])),
    ];
    for (says, bytes) in corrupt {
        let error = StateDict::parse(&bytes).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{says}: {error}");
        assert!(error.what().contains(says), "{says}: {error}");
    }
    let unsupported = [
        ("zip-based", b"PK\x03\x04....".to_vec()),
        ("not a PyTorch checkpoint", b"\x89PNG....".to_vec()),
        ("not a PyTorch checkpoint", Vec::new()),
        ("torch.QUInt8Storage", one(Entry { kind: "QUInt8Storage", ..PLAIN })),
    ];
    for (says, bytes) in unsupported {
        let error = StateDict::parse(&bytes).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported, "{says}: {error}");
        assert!(error.what().contains(says), "{says}: {error}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = small();
    for length in 0..bytes.len() {
        assert!(StateDict::parse(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

/// Reads whatever can be read: must end, and must not panic.
fn read_all(bytes: &[u8]) {
    if let Ok(dict) = StateDict::parse(bytes) {
        for name in dict.names() {
            let tensor = dict.get(name).unwrap();
            assert!(tensor.to_le_bytes().len() <= bytes.len());
        }
    }
}

#[test]
fn no_single_wrong_byte_panics() {
    let bytes = small();
    for at in 0..bytes.len() {
        for value in 0..=255 {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            read_all(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn no_damage_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        paste in any::<prop::sample::Index>(),
    ) {
        let mut bytes = small();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let (from, to) = (cut.index(bytes.len()), paste.index(bytes.len()));
        if from < to {
            bytes.drain(from..to.min(from + 8));
        } else {
            bytes.splice(to..to, small()[to..from].to_vec());
        }
        read_all(&bytes);
    }
}
