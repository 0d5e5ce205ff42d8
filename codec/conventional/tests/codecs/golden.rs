//! The same pixels as Pillow, from the same photograph at the same settings.

use crate::{decoded, encoded, green, photograph, settings};
use afferent_media::{Image, Sample};
use sha2::{Digest, Sha256};

fn digest(image: &Image) -> String {
    Sha256::digest(image.data()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn pixels_are_those_of_pillow() {
    let rgb = photograph();
    let grey = green(&rgb);
    let mut compared = 0;
    for line in include_str!("../golden/pillow.csv").lines().skip(1) {
        let [codec, preset, format, quality, expected] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let source = if format == "gray8" { &grey } else { &rgb };
        let pixels = if codec == "source" {
            source.clone()
        } else {
            let settings = settings(preset, Some(quality.parse().unwrap()));
            let (file, _) = encoded(codec, &settings, &Sample::Image(source.clone()));
            let Sample::Image(image) = decoded(&file) else { panic!("an image became sound") };
            image
        };
        assert_eq!(digest(&pixels), expected, "{line}");
        compared += 1;
    }
    assert_eq!(compared, 1 + 6 * 3 + 3 + 9);
}
