//! From an image to a network's input tensor: one piece of code for the whole
//! product, described by data, identified by a digest.
//!
//! Cropping, resizing and scaling decide accuracy as much as a codec does, so
//! every row records the [`Preprocess::digest`] of what was really done. The
//! steps, in order: grey is repeated to RGB; the crop is cut out (no pixel
//! outside it contributes to what follows); the crop is resized by
//! [`crate::resize`]; each value `x` in 0..=255 becomes `(x - mean) / std`;
//! channels and axes are put in order.

use crate::error::{Code, Error, Result};
use crate::image::{Image, ImageView, PixelFormat};
use crate::network::Tensor;
use crate::resize::{Filter, resize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Raised whenever [`Preprocess::apply`] may give other numbers for the same
/// description: another resizing library, another order of operations.
pub const IMPLEMENTATION: u32 = 1;

/// The longest side of a network's input, in pixels.
pub const MAX_SIDE: u32 = 8192;

/// Which part of the image a network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Region {
    /// All of it, whatever its aspect ratio.
    Whole,
    /// A centred square whose side is this fraction (numerator, denominator)
    /// of the short side of the image, rounded half to even; a margin that
    /// cannot be halved is one pixel wider on the right and at the bottom.
    Center(u32, u32),
}

/// In which order a pixel's channels enter the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// The order of the tensor's axes; the batch axis is always 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// How an image becomes a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The part of the image that is used.
    pub crop: Region,
    /// Width and height of the input in pixels.
    pub size: (u32, u32),
    /// The resizing filter.
    pub filter: Filter,
    /// Order of the channels.
    pub channels: ChannelOrder,
    /// Subtracted from each channel, in the order of `channels`, on the scale 0..=255.
    pub mean: [f32; 3],
    /// Divides each channel afterwards, in the order of `channels`.
    pub std: [f32; 3],
    /// Order of the axes.
    pub layout: Layout,
}

impl Preprocess {
    /// Checks the description itself.
    ///
    /// # Errors
    /// [`Code::Config`] naming the field that cannot be.
    pub fn validate(&self) -> Result<()> {
        let wrong = |what: String, remedy: &'static str| Err(Error::new(Code::Config, what, remedy));
        if let Region::Center(part, whole) = self.crop
            && (part == 0 || part > whole)
        {
            return wrong(format!("crop: {part}/{whole} of the short side"), "give a fraction above 0 and at most 1");
        }
        let (width, height) = self.size;
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return wrong(format!("size: {width}x{height}"), "give sides from 1 to 8192 pixels");
        }
        if !self.mean.iter().all(|m| m.is_finite()) {
            return wrong(format!("mean: {:?}", self.mean), "give finite numbers");
        }
        if !self.std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return wrong(format!("std: {:?}", self.std), "give finite numbers above 0");
        }
        Ok(())
    }

    /// The shape of the tensor that [`Self::apply`] returns.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        match self.layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        }
    }

    /// Turns `image` into the network's input.
    ///
    /// # Errors
    /// [`Code::Config`] if the description cannot be (see [`Self::validate`])
    /// or the crop of this image would be empty, [`Code::Unsupported`] for an image
    /// that is neither RGB nor 8-bit grey.
    pub fn apply(&self, image: ImageView<'_>) -> Result<Tensor> {
        self.validate()?;
        if !matches!(image.format(), PixelFormat::Rgb8 | PixelFormat::Gray8) {
            return Err(Error::new(
                Code::Unsupported,
                format!("networks do not take {:?}", image.format()),
                "convert the image with ImageView::interleave",
            ));
        }
        let (width, height) = self.size;
        let part = crop(image, self.crop)?;
        // At equal size every filter is the identity: Pillow, too, returns a copy.
        let resized = if (part.width(), part.height()) == self.size {
            part.to_image()
        } else {
            resize(part, None, width, height, self.filter)?
        };
        Tensor::new(self.shape(), self.normalise(&resized))
    }

    fn normalise(&self, image: &Image) -> Vec<f32> {
        let channels = image.format().channels();
        let pixels = image.data().len() / channels;
        let mut values = vec![0.0; pixels * 3];
        for (c, (mean, std)) in self.mean.into_iter().zip(self.std).enumerate() {
            // Grey holds one value per pixel, which stands for all three.
            let from = match (image.format(), self.channels) {
                (PixelFormat::Rgb8, ChannelOrder::Rgb) => c,
                (PixelFormat::Rgb8, ChannelOrder::Bgr) => 2 - c,
                (_, _) => 0,
            };
            let (start, step) = match self.layout {
                Layout::Nchw => (c * pixels, 1),
                Layout::Nhwc => (c, 3),
            };
            let source = image.data().iter().skip(from).step_by(channels);
            for (value, &x) in values.iter_mut().skip(start).step_by(step).zip(source) {
                *value = (f32::from(x) - mean) / std;
            }
        }
        values
    }

    /// A digest of the description and of [`IMPLEMENTATION`]: the first 16
    /// hexadecimal digits of a SHA-256. Equal digests mean equal tensors.
    #[must_use]
    pub fn digest(&self) -> String {
        // Numbers go in as their bits, names as `Debug` writes them, in the order of the fields.
        let bits = |values: [f32; 3]| values.map(f32::to_bits);
        let canonical = format!(
            "preprocess/{IMPLEMENTATION} {:?} {:?} {:?} {:?} {:08x?} {:08x?} {:?}",
            self.crop,
            self.size,
            self.filter,
            self.channels,
            bits(self.mean),
            bits(self.std),
            self.layout,
        );
        Sha256::digest(canonical.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A view of the part of `image` that `region` names.
fn crop(image: ImageView<'_>, region: Region) -> Result<ImageView<'_>> {
    let Region::Center(part, whole) = region else { return Ok(image) };
    let side = fraction(image.width().min(image.height()), part, whole);
    if side == 0 {
        return Err(Error::new(
            Code::Config,
            format!("{part}/{whole} of the short side of a {}x{} image is no pixel", image.width(), image.height()),
            "give a larger image",
        ));
    }
    let (left, top) = ((image.width() - side) / 2, (image.height() - side) / 2);
    let start = top as usize * image.stride() + left as usize * image.format().channels();
    ImageView::new(side, side, image.stride(), image.format(), image.data().get(start..).unwrap_or_default())
}

/// `side * part / whole`, rounded half to even as Python's `round` does. At most `side`.
fn fraction(side: u32, part: u32, whole: u32) -> u32 {
    let (product, whole) = (u64::from(side) * u64::from(part), u64::from(whole));
    let (quotient, twice) = (product / whole, 2 * (product % whole));
    let up = twice > whole || (twice == whole && quotient % 2 == 1);
    u32::try_from(quotient + u64::from(up)).map_or(side, |n| n.min(side))
}
