//! Metrics against their reference implementations: `golden/make.py` wrote
//! `golden/golden.csv`, `golden/real.py` wrote `golden/real.csv`; the inputs are
//! the same formulas here.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use afferent_measure::metrics::{audio, image};
use afferent_media::{Audio, Image, PixelFormat};

const GOLDEN: &str = include_str!("../golden/golden.csv");

fn noise(seed: u32) -> impl Iterator<Item = i64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from(state >> 24)
    })
}

fn pristine(width: i64, height: i64, channels: i64, kind: &str) -> Vec<i64> {
    let mut noise = noise(1);
    let mut values = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..channels {
                values.push(match kind {
                    "ramp" => (3 * x + 5 * y + 40 * c) % 256,
                    "bars" => [200, 30][usize::from((x / 7 + y / 5 + c) % 2 != 0)],
                    "flat" => 128,
                    "noise" => noise.next().unwrap(),
                    "saturated" => [0, 255][usize::from((x * x + y * y) % 97 < 40)],
                    other => panic!("unknown kind {other}"),
                });
            }
        }
    }
    values
}

fn coded(pristine: &[i64], damage: &str) -> Vec<i64> {
    let damaged = pristine.iter().zip(noise(2)).map(|(&value, noise)| match damage {
        "none" => value,
        "shift" => value + 9,
        "coarse" => value / 24 * 24 + 12,
        "noisy" => value + noise / 8 - 16,
        other => panic!("unknown damage {other}"),
    });
    damaged.map(|value| value.clamp(0, 255)).collect()
}

fn to_image(width: i64, height: i64, channels: i64, values: &[i64]) -> Image {
    let format = if channels == 1 { PixelFormat::Gray8 } else { PixelFormat::Rgb8 };
    let bytes = values.iter().map(|&value| u8::try_from(value).unwrap()).collect();
    Image::new(width.try_into().unwrap(), height.try_into().unwrap(), format, bytes).unwrap()
}

#[test]
fn images_measure_as_scikit_image_says() {
    let mut seen = 0;
    for line in GOLDEN.lines().filter(|line| line.starts_with("image,")) {
        let [_, name, width, height, channels, kind, damage, sse, psnr, ssim] =
            line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let [width, height, channels] = [width, height, channels].map(|side| side.parse::<i64>().unwrap());
        let before = pristine(width, height, channels, kind);
        let after = to_image(width, height, channels, &coded(&before, damage));
        let before = to_image(width, height, channels, &before);
        let quality = image::compare(before.view(), after.view()).unwrap();

        assert_eq!(quality.sse, sse.parse::<u64>().unwrap(), "{name}");
        let psnr: f64 = psnr.parse().unwrap();
        assert!(quality.psnr_db() == psnr || (quality.psnr_db() - psnr).abs() < 1e-9, "{name}: {}", quality.psnr_db());
        let ssim: f64 = ssim.parse().unwrap();
        let ours = quality.ssim.unwrap();
        assert!((ours - ssim).abs() < 1e-9, "{name}: {ours} instead of {ssim}");

        // Grey against the same picture in RGB changes nothing.
        let mixed = image::compare(before.view(), after.clone().into_rgb().view()).unwrap();
        assert_eq!((mixed.sse, mixed.values), (quality.sse, quality.values), "{name}");
        assert!((mixed.ssim.unwrap() - ours).abs() < 1e-12, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[test]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn sounds_measure_as_numpy_says() {
    let mut seen = 0;
    for line in GOLDEN.lines().filter(|line| line.starts_with("sound,")) {
        let [_, name, frames, channels, step, gain, offset, mask, snr, si_sdr] =
            line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let [frames, channels, step, mask] = [frames, channels, step, mask].map(|value| value.parse::<i64>().unwrap());
        let [gain, offset, snr, si_sdr] = [gain, offset, snr, si_sdr].map(|value| value.parse::<f64>().unwrap());
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for c in 0..channels {
            for (i, noise) in (0..frames).zip(noise(3 + u32::try_from(c).unwrap())) {
                let wave = ((i * step * (c + 1)) % 512 - 256) * 4;
                before.push(((wave + noise - 128) as f64 / 2048.0) as f32);
                after.push(((wave + (noise & mask) - 128) as f64 / 2048.0 * gain + offset) as f32);
            }
        }
        let channels = u16::try_from(channels).unwrap();
        let before = Audio::new(16_000, channels, before).unwrap();
        let after = Audio::new(16_000, channels, after).unwrap();
        let quality = audio::compare(before.view(), after.view()).unwrap();
        assert!((quality.snr_db() - snr).abs() < 1e-9, "{name}: {} instead of {snr}", quality.snr_db());
        assert!((quality.si_sdr_db - si_sdr).abs() < 1e-9, "{name}: {} instead of {si_sdr}", quality.si_sdr_db);
        seen += 1;
    }
    assert_eq!(seen, 5);
}

/// A metric of `golden/real.csv`, how far off (relative) it may be, and ours.
type Check = (&'static str, f64, fn(&image::ImageQuality) -> f64);

#[test]
fn real_images_measure_as_the_references_say() {
    let checks: [Check; 7] = [
        // That the inputs are the same.
        ("sse", 0.0, |quality| quality.sse as f64),
        ("psnr", 1e-12, |quality| quality.psnr_db()),
        ("sse-y", 1e-12, |quality| quality.sse_y),
        ("psnr-y", 1e-12, |quality| quality.psnr_y_db()),
        ("ssim", 1e-9, |quality| quality.ssim.unwrap()),
        ("ms-ssim-exact-window", 1e-10, |quality| quality.ms_ssim.unwrap()),
        // The package rounds its window to 32 bits.
        ("ms-ssim", 1e-5, |quality| quality.ms_ssim.unwrap()),
    ];
    let mut cases = 0;
    for case in common::expectations("sse").map(|line| line.case) {
        let (pristine, damaged) = case.pair();
        let quality = image::compare(pristine.view(), damaged.view()).unwrap();
        for (metric, tolerance, ours) in checks {
            case.check(metric, tolerance, ours(&quality));
        }
        // 32-bit floats, as most users call it.
        case.check("ms-ssim-f32", 1e-4, quality.ms_ssim.unwrap());
        cases += 1;
    }
    assert_eq!(cases, 7);
}

#[test]
fn grey_and_rgb_images_of_equal_channels_measure_alike() {
    let (pristine, damaged) = common::expectations("sse").next().unwrap().case.pair();
    let grey = |image: &Image| {
        let pixels = image.view().rows().flat_map(|row| row.iter().copied().step_by(3)).collect();
        Image::new(image.width(), image.height(), PixelFormat::Gray8, pixels).unwrap()
    };
    let (pristine, damaged) = (grey(&pristine), grey(&damaged));
    let one = image::compare(pristine.view(), damaged.view()).unwrap();
    let three = image::compare(pristine.clone().into_rgb().view(), damaged.clone().into_rgb().view()).unwrap();
    assert_eq!((one.sse, one.values, one.sse_y), (three.sse, three.values, three.sse_y));
    assert!((one.ssim.unwrap() - three.ssim.unwrap()).abs() < 1e-12);
    assert!((one.ms_ssim.unwrap() - three.ms_ssim.unwrap()).abs() < 1e-12);
}
