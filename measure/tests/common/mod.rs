//! Real inputs of golden tests: the bundled images and what a coder might have
//! made of them, as `golden/real.py` makes them.

#![allow(clippy::unwrap_used)] // helpers of tests are tests
#![allow(dead_code)] // each test uses a part

use afferent_media::{Image, PixelFormat};
use std::path::Path;

/// What the reference implementations said: lines of `metric,image,damage,x,y,width,height,value`.
const GOLDEN: &str = include_str!("../../golden/real.csv");

/// One line of the golden file.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    /// What was measured, and by which variant where it is a trap.
    pub(crate) metric: String,
    /// Bundled image, how it was damaged, and the part that was measured.
    pub(crate) case: Case,
    /// What the reference implementation says.
    pub(crate) value: f64,
}

/// A pair of images.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) image: String,
    pub(crate) damage: String,
    pub(crate) crop: [usize; 4],
}

/// The golden lines whose metric is `metric`.
pub(crate) fn expectations(metric: &str) -> impl Iterator<Item = Expectation> {
    lines().filter(move |line| line.metric == metric)
}

fn lines() -> impl Iterator<Item = Expectation> {
    let parse = |line: &str| {
        let [metric, image, damage, x, y, width, height, value] =
            line.split(',').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        let crop = [x, y, width, height].map(|side| side.parse().unwrap());
        Expectation { metric, case: Case { image, damage, crop }, value: value.parse().unwrap() }
    };
    GOLDEN.lines().skip(1).map(parse)
}

impl Case {
    /// Asserts that `ours` is within `tolerance` (relative) of what the reference
    /// says, and that what each trap of the metric gives is not within ten times that.
    pub(crate) fn check(&self, metric: &str, tolerance: f64, ours: f64) {
        let mut seen = 0;
        for line in lines().filter(|line| line.case == *self) {
            let off = ((ours - line.value) / line.value).abs();
            if line.metric == metric {
                eprintln!("{metric} of {} {}: {ours}, {off:.1e} off", self.image, self.damage);
                assert!(off <= tolerance, "{line:?}: {ours}, {off:e} off");
                seen += 1;
            } else if line.metric.strip_prefix(metric).is_some_and(|variant| variant.starts_with('!')) {
                // Some traps are not a number, which is as far off as can be.
                assert!(off.is_nan() || off > 10.0 * tolerance, "{line:?} is no trap for {ours}");
            }
        }
        assert_eq!(seen, 1, "{metric} of {self:?}");
    }

    /// The pristine image and the damaged one.
    pub(crate) fn pair(&self) -> (Image, Image) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|dir| dir.join("data/demo").is_dir());
        let path = folder.unwrap().join("data/demo/images").join(&self.image).with_extension("jpg");
        let pristine = decode(&std::fs::read(path).unwrap());
        let damaged = damage(&pristine, &self.damage);
        (self.cut(&pristine), self.cut(&damaged))
    }

    fn cut(&self, picture: &Picture) -> Image {
        let [x, y, width, height] = self.crop;
        let rows = picture.pixels.chunks_exact(picture.width * 3).skip(y).take(height);
        let data = rows.flat_map(|row| row[x * 3..(x + width) * 3].iter().copied()).collect();
        Image::new(width.try_into().unwrap(), height.try_into().unwrap(), PixelFormat::Rgb8, data).unwrap()
    }
}

struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

fn decode(jpeg: &[u8]) -> Picture {
    let image = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).unwrap();
    Picture { width: image.width, height: image.height, pixels: image.pixels }
}

fn damage(pristine: &Picture, damage: &str) -> Picture {
    let &Picture { width, height, ref pixels } = pristine;
    let jpeg = |quality, subsampling| {
        let format = turbojpeg::PixelFormat::RGB;
        let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 3, height, format };
        decode(&turbojpeg::compress(image, quality, subsampling).unwrap())
    };
    let pixels = match damage {
        "jpeg10" => return jpeg(10, turbojpeg::Subsamp::Sub2x2),
        "jpeg30" => return jpeg(30, turbojpeg::Subsamp::Sub2x2),
        "jpeg75" => return jpeg(75, turbojpeg::Subsamp::None),
        "coarse" => pixels.iter().map(|value| (u16::from(value / 24) * 24 + 12).min(255) as u8).collect(),
        "noise" => {
            let mut state = 7u32;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                i32::try_from(state >> 24).unwrap() / 6 - 21
            };
            pixels.iter().map(|&value| (i32::from(value) + noise()).clamp(0, 255) as u8).collect()
        }
        "blocks" => blocks(pristine, 6),
        other => panic!("unknown damage {other}"),
    };
    Picture { width, height, pixels }
}

/// Every square of `side` pixels filled with the mean of its values, rounded down.
fn blocks(picture: &Picture, side: usize) -> Vec<u8> {
    let &Picture { width, height, ref pixels } = picture;
    let mut out = vec![0; pixels.len()];
    for top in (0..height).step_by(side) {
        for left in (0..width).step_by(side) {
            let inside =
                || (top..height.min(top + side)).flat_map(|y| (left..width.min(left + side)).map(move |x| (x, y)));
            for c in 0..3 {
                let at = |(x, y)| (y * width + x) * 3 + c;
                let sum: usize = inside().map(|place| usize::from(pixels[at(place)])).sum();
                let mean = sum / inside().count();
                inside().for_each(|place| out[at(place)] = mean as u8);
            }
        }
    }
    out
}
