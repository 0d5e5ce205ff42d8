//! AVIF through its traits: against another decoder, and against hostile input.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;
mod hostile;
mod images;

use afferent_codec::{
    Chunk, Codec, Container, ContainerWriter, Geometry, Header, ImageEncoder, ImageShape, Limits, Settings,
};
use afferent_codec_avif::Avif;
use afferent_codec_conventional::open;
use afferent_media::{Bytes, Image, ImageView, PixelFormat, Result};
use std::path::Path;

/// A photograph of the bundled demo data.
fn photograph() -> Image {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/images/fig.jpg");
    open::image(&path, &Limits::default()).unwrap()
}

/// A corner of `image`.
fn corner(image: &Image, width: u32, height: u32) -> Image {
    let view = image.view();
    ImageView::new(width, height, view.stride(), view.format(), view.data()).unwrap().to_image()
}

/// The green channel of `image`.
fn green(image: &Image) -> Image {
    let data = image.data().chunks_exact(3).map(|pixel| pixel[1]).collect();
    Image::new(image.width(), image.height(), PixelFormat::Gray8, data).unwrap()
}

fn settings(preset: &str, quality: f32) -> Settings {
    let mut settings = Settings { preset: Some(preset.to_owned()), ..Settings::default() };
    settings.knob = Some(quality);
    settings
}

/// The AVIF file of `image`, and how much of it is codec header.
fn encoded(settings: &Settings, image: ImageView<'_>) -> (Vec<u8>, u64) {
    encoded_by(Avif::new().image_encoder(settings).unwrap().as_mut(), image)
}

fn encoded_by(encoder: &mut dyn ImageEncoder, image: ImageView<'_>) -> (Vec<u8>, u64) {
    let mut writer = ContainerWriter::new();
    encoder.encode(image, &mut writer).unwrap();
    let shape = ImageShape { width: image.width(), height: image.height(), format: image.format() };
    let header = Header {
        codec: "avif".into(),
        codec_version: 1,
        preset: String::new(),
        knob: None,
        geometry: Geometry::Image(shape),
        weights: None,
    };
    let mut file = Vec::new();
    writer.seal(&header, &mut file).unwrap();
    let container = Container::parse(&file).unwrap();
    assert_eq!(container.chunks.len(), 1);
    (container.chunks[0].bytes.to_vec(), container.chunks[0].header.0)
}

/// What an AVIF file holds.
fn decoded(file: &[u8], limits: &Limits) -> Result<Image> {
    let mut image = Image::default();
    let chunk = Chunk { index: 0, bytes: file, side: Bytes(0), header: Bytes(0) };
    let result = Avif::new().image_decoder(limits).unwrap().decode(&[chunk], &mut image);
    if result.as_ref().is_err_and(|e| e.code() == afferent_media::Code::Limit) {
        assert_eq!(image, Image::default(), "memory was taken before the limit was checked");
    }
    result.map(|()| image)
}
