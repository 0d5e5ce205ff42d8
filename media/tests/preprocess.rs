//! Preprocessing against Pillow: crop first, then resize (golden values by `golden/preprocess.py`).
#![allow(clippy::unwrap_used)]

use afferent_media::preprocess::{ChannelOrder, Layout, Preprocess, Region};
use afferent_media::resize::Filter;
use afferent_media::{Code, Image, ImageView, PixelFormat};

/// EfficientNet-Lite0's, but for the size.
fn preprocess(size: (u32, u32)) -> Preprocess {
    Preprocess {
        crop: Region::Center(224, 256),
        size,
        filter: Filter::Bicubic,
        channels: ChannelOrder::Rgb,
        mean: [127.0; 3],
        std: [128.0; 3],
        layout: Layout::Nchw,
    }
}

/// The picture that `golden/preprocess.py` makes.
fn picture(format: PixelFormat, width: u32, height: u32) -> Image {
    let channels = format.channels() as u32;
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..channels {
                let wave = (x * x + 3 * y * y + 29 * c * x) / 16;
                let edge = if (x * 2 + y) / 40 % 2 == 0 { 255 } else { 0 };
                let value = if (x + y * 2) / 64 % 2 == 0 { wave % 256 } else { edge ^ ((x * y) % 8) };
                data.push(u8::try_from(value).unwrap());
            }
        }
    }
    Image::new(width, height, format, data).unwrap()
}

#[test]
fn pixels_are_pillows() {
    let (mut cases, mut values, mut off) = (0, 0, 0);
    for line in include_str!("golden/preprocess.txt").lines() {
        let [mode, width, height, part, whole, filter, to_width, to_height, hex] =
            line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let number = |text: &str| text.parse::<u32>().unwrap();
        let format = if mode == "RGB" { PixelFormat::Rgb8 } else { PixelFormat::Gray8 };
        let filter = match filter {
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            "lanczos" => Filter::Lanczos,
            "box" => Filter::Box,
            other => panic!("{other}"),
        };
        let description = Preprocess {
            crop: Region::Center(number(part), number(whole)),
            size: (number(to_width), number(to_height)),
            filter,
            mean: [0.0; 3],
            std: [1.0; 3],
            layout: Layout::Nhwc,
            ..preprocess((1, 1))
        };
        let tensor = description.apply(picture(format, number(width), number(height)).view()).unwrap();
        let expected = hex
            .as_bytes()
            .chunks(2 * format.channels())
            .flat_map(|pixel| {
                let value = |i| u8::from_str_radix(std::str::from_utf8(&pixel[i..i + 2]).unwrap(), 16).unwrap();
                // Grey is repeated.
                if pixel.len() == 2 { [value(0); 3] } else { [value(0), value(2), value(4)] }
            })
            .collect::<Vec<_>>();
        assert_eq!(tensor.data().len(), expected.len());
        for (&found, &expected) in tensor.data().iter().zip(&expected) {
            let difference = (found - f32::from(expected)).abs();
            assert!(difference <= 1.0, "{mode} {width}x{height} {filter:?}: {found} for {expected}");
            off += usize::from(difference > 0.0);
        }
        cases += 1;
        values += expected.len();
    }
    println!("{cases} cases, {values} values, {off} off by one");
    assert!(cases == 12 && off * 50 <= values, "{off} of {values} values differ from Pillow's by one");
}

#[test]
fn nothing_outside_the_crop_contributes() {
    let inside = picture(PixelFormat::Rgb8, 64, 48);
    let mut data = inside.data().to_vec();
    // The crop is 42 pixels: columns 11 to 52, rows 3 to 44.
    for y in 0..48 {
        for x in 0..64 {
            if !(11..53).contains(&x) || !(3..45).contains(&y) {
                data[(y * 64 + x) * 3..][..3].fill(255);
            }
        }
    }
    let outside = Image::new(64, 48, PixelFormat::Rgb8, data).unwrap();
    let description = preprocess((20, 20));
    assert_eq!(description.apply(inside.view()).unwrap(), description.apply(outside.view()).unwrap());
}

#[test]
fn layouts_and_orders_hold_the_same_values() {
    let image = picture(PixelFormat::Rgb8, 30, 20);
    let rgb = Preprocess { crop: Region::Whole, mean: [1.0, 2.0, 3.0], std: [4.0, 5.0, 6.0], ..preprocess((30, 20)) };
    let bgr = Preprocess { channels: ChannelOrder::Bgr, layout: Layout::Nhwc, ..rgb };
    let (nchw, nhwc) = (rgb.apply(image.view()).unwrap(), bgr.apply(image.view()).unwrap());
    assert_eq!((nchw.shape(), nhwc.shape()), (&[1, 3, 20, 30][..], &[1, 20, 30, 3][..]));
    for (pixel, source) in image.data().chunks(3).enumerate() {
        for c in 0..3 {
            let (mean, std) = (rgb.mean[c], rgb.std[c]);
            assert_eq!(nchw.data()[c * 600 + pixel], (f32::from(source[c]) - mean) / std);
            assert_eq!(nhwc.data()[pixel * 3 + c], (f32::from(source[2 - c]) - mean) / std);
        }
    }
}

#[test]
fn rows_may_be_padded() {
    let image = picture(PixelFormat::Gray8, 40, 33);
    let padded: Vec<u8> = image.data().chunks(40).flat_map(|row| [row, &[9; 7]].concat()).collect();
    // Of the last row the padding may be missing.
    let view = ImageView::new(40, 33, 47, PixelFormat::Gray8, &padded[..padded.len() - 7]).unwrap();
    let description = preprocess((16, 16));
    assert_eq!(description.apply(view).unwrap(), description.apply(image.view()).unwrap());
}

#[test]
fn the_digest_tells_descriptions_apart() {
    let base = preprocess((224, 224));
    // Pinned: a new digest means rows that cannot be compared with older ones.
    assert_eq!(base.digest(), "37df71eb03e99d54");
    let others = [
        Preprocess { crop: Region::Whole, ..base },
        Preprocess { size: (224, 225), ..base },
        Preprocess { filter: Filter::Bilinear, ..base },
        Preprocess { channels: ChannelOrder::Bgr, ..base },
        Preprocess { mean: [127.0, 127.0, 127.5], ..base },
        Preprocess { std: [127.0; 3], ..base },
        Preprocess { layout: Layout::Nhwc, ..base },
    ];
    let mut digests: Vec<_> = others.iter().chain([&base]).map(Preprocess::digest).collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), others.len() + 1);
}

#[test]
fn descriptions_are_data() {
    let json = r#"{"crop":{"center":[224,256]},"size":[224,224],"filter":"bicubic","channels":"rgb",
                   "mean":[127,127,127],"std":[128,128,128],"layout":"nchw"}"#;
    let read: Preprocess = serde_json::from_str(json).unwrap();
    assert_eq!(read, preprocess((224, 224)));
    assert_eq!(serde_json::from_str::<Preprocess>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
}

#[test]
fn wrong_descriptions_name_the_field() {
    let image = picture(PixelFormat::Rgb8, 8, 8);
    let base = preprocess((4, 4));
    let cases = [
        (Preprocess { crop: Region::Center(0, 1), ..base }, "crop"),
        (Preprocess { crop: Region::Center(2, 1), ..base }, "crop"),
        (Preprocess { crop: Region::Center(0, 0), ..base }, "crop"),
        (Preprocess { size: (0, 4), ..base }, "size"),
        (Preprocess { size: (4, u32::MAX), ..base }, "size"),
        (Preprocess { mean: [f32::NAN; 3], ..base }, "mean"),
        (Preprocess { std: [0.0; 3], ..base }, "std"),
        (Preprocess { crop: Region::Center(1, 100), ..base }, "no pixel"),
    ];
    for (description, says) in cases {
        let error = description.apply(image.view()).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(error.what().contains(says), "{error}");
    }
}
