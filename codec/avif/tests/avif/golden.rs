//! The same pixels as dav1d, another decoder, in files of another encoder.

use crate::decoded;
use afferent_codec::Limits;
use afferent_codec_conventional::open;
use std::path::Path;

#[test]
fn pixels_are_those_of_another_decoder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["rgb8-10", "rgb8-60", "gray8-10", "gray8-60"] {
        let file = std::fs::read(folder.join(name).with_extension("avif")).unwrap();
        let image = decoded(&file, &Limits::default()).unwrap();
        let expected = open::image(&folder.join(name).with_extension("png"), &Limits::default()).unwrap();
        assert_eq!((image.width(), image.height(), image.format()), (97, 75, expected.format()), "{name}");
        // Planes are exact; colours, computed in floating point, may round otherwise.
        let off: Vec<u8> = image.data().iter().zip(expected.data()).map(|(a, b)| a.abs_diff(*b)).collect();
        let (most, some) = (off.iter().max().unwrap(), off.iter().filter(|off| **off > 0).count());
        let allowed = if name.starts_with("gray") { 0 } else { 1 };
        assert!(*most <= allowed && some * 1000 <= off.len(), "{name}: {some} of {} differ, by {most}", off.len());
    }
}
