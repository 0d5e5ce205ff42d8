//! Resizing: the one implementation for the whole product.
//!
//! By `fast_image_resize`, whose 8-bit convolution follows Pillow's: filters
//! are stretched when shrinking (antialiasing), coefficients are fixed-point.

use crate::error::{Code, Error, Result};
use crate::image::{Image, ImageView, PixelFormat};
use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};

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
    /// Mean of the covered source pixels. A pixel whose centre lies exactly on the window's edge may
    /// fall on the other side than in Pillow.
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
/// The planes of a planar image are resized one by one.
///
/// # Errors
/// [`Code::Config`] if the target is empty or the crop leaves the source,
/// [`Code::Unsupported`] for 16-bit grey or a crop of planes.
pub fn resize(source: ImageView<'_>, crop: Option<Crop>, width: u32, height: u32, filter: Filter) -> Result<Image> {
    if source.format().chroma(1, 1).is_some() {
        return planes(source, crop, width, height, filter);
    }
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(filter.kernel()));
    let (first, rows) = match crop {
        Some(c) => {
            (options.crop(f64::from(c.left), f64::from(c.top), f64::from(c.width), f64::from(c.height)), c.height)
        }
        None => (options, source.height()),
    };
    // Along rows, rounded to 8 bits, then along columns, as Pillow does. Asked for both at once, the
    // library takes the columns first, and where a cubic overshoots, the two orders clip differently.
    let along_rows = pass(source, width, rows, &first)?;
    if rows == height { Ok(along_rows) } else { pass(along_rows.view(), width, height, &options) }
}

fn planes(source: ImageView<'_>, crop: Option<Crop>, width: u32, height: u32, filter: Filter) -> Result<Image> {
    if crop.is_some() {
        return Err(Error::new(Code::Unsupported, "planes cannot be cropped", "convert the image to RGB first"));
    }
    let format = source.format();
    let mut image = Image::default();
    let mut rest = image.reset(width, height, format)?;
    let chroma = format.chroma(width, height).unwrap_or_default();
    for (plane, (width, height)) in source.planes().zip([(width, height), chroma, chroma]) {
        let view = ImageView::new(plane.width, plane.height, plane.stride, PixelFormat::Gray8, plane.data)?;
        let resized = resize(view, None, width, height, filter)?;
        let (to, after) = rest.split_at_mut(resized.data().len());
        to.copy_from_slice(resized.data());
        rest = after;
    }
    Ok(image)
}

fn pass(source: ImageView<'_>, width: u32, height: u32, options: &fir::ResizeOptions) -> Result<Image> {
    let mut image = Image::default();
    image.reset(width, height, source.format())?;
    match source.format() {
        PixelFormat::Rgb8 => convolve::<U8x3>(source, &mut image, options)?,
        PixelFormat::Gray8 => convolve::<U8>(source, &mut image, options)?,
        other @ (PixelFormat::I420 | PixelFormat::I422 | PixelFormat::Gray16) => {
            return Err(Error::new(
                Code::Unsupported,
                format!("{other:?} cannot be resized"),
                "convert the image to RGB or 8-bit grey first",
            ));
        }
    }
    Ok(image)
}

/// The pixel's type is named, because the library's dynamic entry instantiates
/// its kernels for every type that it knows.
fn convolve<P: fir::PixelTrait>(source: ImageView<'_>, target: &mut Image, options: &fir::ResizeOptions) -> Result<()> {
    let failed = |what: String| {
        Error::new(Code::Config, what, "give a target and a crop inside the source, both with sides above zero")
    };
    let packed = source.packed();
    let from =
        TypedImageRef::<P>::from_buffer(source.width(), source.height(), &packed).map_err(|e| failed(e.to_string()))?;
    let (width, height, format) = (target.width(), target.height(), target.format());
    let out = target.reset(width, height, format)?;
    let mut to = TypedImage::<P>::from_buffer(width, height, out).map_err(|e| failed(e.to_string()))?;
    fir::Resizer::new().resize_typed(&from, &mut to, options).map_err(|e| failed(e.to_string()))
}
