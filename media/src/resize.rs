//! Resizing: the one implementation for the whole product.
//!
//! By `fast_image_resize`, whose 8-bit convolution follows Pillow's: filters
//! are stretched when shrinking (antialiasing), coefficients are fixed-point.

use crate::error::{Code, Error, Result};
use crate::image::{Image, ImageView, PixelFormat};
use fast_image_resize as fir;

/// A named resizing filter. Names and kernels are Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Triangle, support 1.
    Bilinear,
    /// Catmull-Rom cubic (a = -0.5), support 2.
    Bicubic,
    /// Lanczos, support 3.
    Lanczos,
    /// Mean of the covered source pixels.
    Box,
}

impl Filter {
    fn kernel(self) -> fir::FilterType {
        match self {
            Self::Bilinear => fir::FilterType::Bilinear,
            Self::Bicubic => fir::FilterType::CatmullRom,
            Self::Lanczos => fir::FilterType::Lanczos3,
            Self::Box => fir::FilterType::Box,
        }
    }
}

/// A rectangle of source pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Left edge in pixels.
    pub left: u32,
    /// Top edge in pixels.
    pub top: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Resizes `source` (or the `crop` of it) to `width` x `height`.
///
/// # Errors
/// [`Code::Config`] if the target is empty or the crop leaves the source.
pub fn resize(source: ImageView<'_>, crop: Option<Crop>, width: u32, height: u32, filter: Filter) -> Result<Image> {
    let pixel = match source.format() {
        PixelFormat::Rgb8 => fir::PixelType::U8x3,
        PixelFormat::Gray8 => fir::PixelType::U8,
    };
    let failed = |what: String| {
        Error::new(Code::Config, what, "give a target and a crop inside the source, both with sides above zero")
    };
    let packed = source.packed();
    let from = fir::images::ImageRef::new(source.width(), source.height(), &packed, pixel)
        .map_err(|e| failed(e.to_string()))?;
    let mut image = Image::default();
    {
        let out = image.reset(width, height, source.format())?;
        let mut to = fir::images::Image::from_slice_u8(width, height, out, pixel).map_err(|e| failed(e.to_string()))?;
        let mut options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(filter.kernel()));
        if let Some(c) = crop {
            options = options.crop(f64::from(c.left), f64::from(c.top), f64::from(c.width), f64::from(c.height));
        }
        fir::Resizer::new().resize(&from, &mut to, &options).map_err(|e| failed(e.to_string()))?;
    }
    Ok(image)
}
