//! Images: borrowed views and owned buffers.

use crate::error::{Code, Error, Result};
use crate::units::Pixels;

/// How the bytes of an image are laid out.
///
/// Planar YUV and 16-bit grey join here when cameras do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Interleaved 8-bit R, G, B (sRGB).
    Rgb8,
    /// 8-bit grey.
    Gray8,
}

impl PixelFormat {
    /// Bytes per pixel of the interleaved layout.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb8 => 3,
            Self::Gray8 => 1,
        }
    }
}

/// A borrowed image.
#[derive(Debug, Clone, Copy)]
pub struct ImageView<'a> {
    width: u32,
    height: u32,
    stride: usize,
    format: PixelFormat,
    data: &'a [u8],
}

impl<'a> ImageView<'a> {
    /// A view of `data`, rows `stride` bytes apart.
    ///
    /// # Errors
    /// [`Code::Config`] if a side is zero, rows overlap or `data` is too short.
    pub fn new(width: u32, height: u32, stride: usize, format: PixelFormat, data: &'a [u8]) -> Result<Self> {
        let row = width as usize * format.channels();
        let needed = (height as usize)
            .checked_sub(1)
            .and_then(|rows| rows.checked_mul(stride))
            .and_then(|bytes| bytes.checked_add(row));
        match needed {
            Some(needed) if width > 0 && stride >= row && data.len() >= needed => {
                Ok(Self { width, height, stride, format, data })
            }
            _ => Err(Error::new(
                Code::Config,
                format!("{} bytes at stride {stride} are no {width}x{height} {format:?} image", data.len()),
                "give a non-empty image whose buffer holds every row",
            )),
        }
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one row to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Layout of the bytes.
    #[must_use]
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The bytes, including any padding between rows.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Width times height.
    #[must_use]
    pub fn pixels(&self) -> Pixels {
        Pixels(u64::from(self.width) * u64::from(self.height))
    }

    /// The bytes of row `y`, without padding. Empty past the last row.
    #[must_use]
    pub fn row(&self, y: u32) -> &'a [u8] {
        let row = self.width as usize * self.format.channels();
        let start = y as usize * self.stride;
        self.data.get(start..start + row).unwrap_or_default()
    }

    /// Rows from top to bottom, without padding.
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        (0..self.height).map(|y| self.row(y))
    }

    /// The same pixels without padding between rows; borrows when there is none.
    #[must_use]
    pub fn packed(&self) -> std::borrow::Cow<'a, [u8]> {
        let row = self.width as usize * self.format.channels();
        if self.stride == row {
            std::borrow::Cow::Borrowed(&self.data[..row * self.height as usize])
        } else {
            std::borrow::Cow::Owned(self.rows().flatten().copied().collect())
        }
    }

    /// An owned copy.
    #[must_use]
    pub fn to_image(&self) -> Image {
        Image { width: self.width, height: self.height, format: self.format, data: self.packed().into_owned() }
    }
}

/// An owned image without padding between rows. The default is empty, to be
/// filled by a decoder and used again for the next sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    format: PixelFormat,
    data: Vec<u8>,
}

impl Default for Image {
    fn default() -> Self {
        Self { width: 0, height: 0, format: PixelFormat::Rgb8, data: Vec::new() }
    }
}

impl Image {
    /// An image from packed rows.
    ///
    /// # Errors
    /// [`Code::Config`] if `data` does not hold exactly `height` packed rows.
    pub fn new(width: u32, height: u32, format: PixelFormat, data: Vec<u8>) -> Result<Self> {
        let expected = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(format.channels()));
        if width == 0 || height == 0 || expected != Some(data.len()) {
            return Err(Error::new(
                Code::Config,
                format!("{} bytes are no {width}x{height} {format:?} image", data.len()),
                "give a non-empty image with one value per channel and pixel",
            ));
        }
        Ok(Self { width, height, format, data })
    }

    /// Gives the image new geometry, keeping its allocation, and returns the
    /// bytes to be filled (their content is unspecified).
    ///
    /// # Errors
    /// [`Code::Config`] if a side is zero or the size overflows.
    pub fn reset(&mut self, width: u32, height: u32, format: PixelFormat) -> Result<&mut [u8]> {
        let size = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(format.channels()));
        let Some(size) = size.filter(|&size| size > 0) else {
            return Err(Error::new(
                Code::Config,
                format!("an image of {width}x{height} cannot be"),
                "give sides above zero",
            ));
        };
        self.width = width;
        self.height = height;
        self.format = format;
        self.data.resize(size, 0);
        Ok(&mut self.data)
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Layout of the bytes.
    #[must_use]
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The packed rows.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// A view of the whole image.
    #[must_use]
    pub fn view(&self) -> ImageView<'_> {
        ImageView {
            width: self.width,
            height: self.height,
            stride: self.width as usize * self.format.channels(),
            format: self.format,
            data: &self.data,
        }
    }

    /// The image as RGB; grey is repeated over the three channels.
    #[must_use]
    pub fn into_rgb(self) -> Self {
        match self.format {
            PixelFormat::Rgb8 => self,
            PixelFormat::Gray8 => {
                Self { format: PixelFormat::Rgb8, data: self.data.iter().flat_map(|&v| [v, v, v]).collect(), ..self }
            }
        }
    }
}
