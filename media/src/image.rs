//! Images: borrowed views and owned buffers.

use crate::error::{Code, Error, Result};
use crate::units::Pixels;

/// How the bytes of an image are laid out.
///
/// Planar YUV is always BT.601 at full range, as JPEG files hold it: whatever takes
/// frames from a device that delivers limited range expands them first
/// ([`crate::frame`]). Its planes follow each other without a gap: Y, U (Cb), V (Cr);
/// those of chroma have `ceil(stride / 2)` bytes from one row to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Interleaved 8-bit R, G, B (sRGB).
    Rgb8,
    /// 8-bit grey.
    Gray8,
    /// Planar 8-bit YUV 4:2:0: chroma has half the width and half the height, rounded up.
    I420,
    /// Planar 8-bit YUV 4:2:2: chroma has half the width, rounded up.
    I422,
    /// 16-bit grey, two bytes a pixel in the order of this machine, white at 65,535.
    Gray16,
}

impl PixelFormat {
    /// Bytes from one pixel to the next in a row of the first plane, which for planar
    /// formats is luma.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb8 => 3,
            Self::Gray16 => 2,
            Self::Gray8 | Self::I420 | Self::I422 => 1,
        }
    }

    /// Width and height of the two chroma planes of a planar image; `None` for a
    /// format of one plane.
    #[must_use]
    pub const fn chroma(self, width: u32, height: u32) -> Option<(u32, u32)> {
        match self {
            Self::I420 => Some((width.div_ceil(2), height.div_ceil(2))),
            Self::I422 => Some((width.div_ceil(2), height)),
            Self::Rgb8 | Self::Gray8 | Self::Gray16 => None,
        }
    }

    /// Bytes of an image without padding; `None` if that is more than memory addresses.
    #[must_use]
    pub fn bytes(self, width: u32, height: u32) -> Option<usize> {
        let first = (width as usize).checked_mul(height as usize)?.checked_mul(self.channels())?;
        let (width, height) = self.chroma(width, height).unwrap_or_default();
        (width as usize).checked_mul(height as usize)?.checked_mul(2)?.checked_add(first)
    }
}

/// One plane of an image, with one value or pixel after the other.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes from the first to the last row, with any padding between them.
    pub data: &'a [u8],
    /// Width in values (pixels, for a format of one plane).
    pub width: u32,
    /// Height in rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
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
        let span = |stride: usize, rows: u32, row: usize| {
            (rows as usize).checked_sub(1)?.checked_mul(stride)?.checked_add(row)
        };
        let needed = match format.chroma(width, height) {
            None => span(stride, height, row),
            Some((chroma_width, rows)) => {
                let chroma = stride.div_ceil(2);
                let before = stride.checked_mul(height as usize).zip(chroma.checked_mul(rows as usize));
                before
                    .zip(span(chroma, rows, chroma_width as usize))
                    .and_then(|((y, u), v)| y.checked_add(u)?.checked_add(v))
            }
        };
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

    /// The bytes of row `y` of the first plane, without padding. Empty past the last row.
    #[must_use]
    pub fn row(&self, y: u32) -> &'a [u8] {
        if y >= self.height {
            return &[];
        }
        let row = self.width as usize * self.format.channels();
        let start = y as usize * self.stride;
        self.data.get(start..start + row).unwrap_or_default()
    }

    /// Rows of the first plane from top to bottom, without padding.
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        (0..self.height).map(|y| self.row(y))
    }

    /// The planes in order, without a copy: one, or Y, U and V.
    pub fn planes(&self) -> impl Iterator<Item = Plane<'a>> {
        let first = Plane { data: self.data, width: self.width, height: self.height, stride: self.stride };
        let chroma = self.format.chroma(self.width, self.height).map(|(width, height)| {
            let stride = self.stride.div_ceil(2);
            let start = self.stride * self.height as usize;
            [start, start + stride * height as usize].map(|start| Plane {
                data: self.data.get(start..).unwrap_or_default(),
                width,
                height,
                stride,
            })
        });
        std::iter::once(first).chain(chroma.into_iter().flatten())
    }

    /// The same pixels without padding between rows; borrows when there is none.
    #[must_use]
    pub fn packed(&self) -> std::borrow::Cow<'a, [u8]> {
        let row = self.width as usize * self.format.channels();
        // The view was checked to hold this many.
        let size = self.format.bytes(self.width, self.height).unwrap_or_default();
        if self.stride == row {
            return std::borrow::Cow::Borrowed(&self.data[..size]);
        }
        let mut data = Vec::with_capacity(size);
        for (number, plane) in self.planes().enumerate() {
            let row = if number == 0 { row } else { plane.width as usize };
            plane.data.chunks(plane.stride).take(plane.height as usize).for_each(|r| data.extend_from_slice(&r[..row]));
        }
        std::borrow::Cow::Owned(data)
    }

    /// Writes the image into `out` as every codec, network and metric can take it:
    /// RGB or 8-bit grey. YUV becomes RGB by JFIF's equations in integers, each
    /// chroma value standing for the two or four pixels that it covers; of 16-bit
    /// grey the upper 8 bits are kept. RGB and 8-bit grey are copied.
    ///
    /// # Errors
    /// [`Code::Config`] if the size overflows.
    pub fn interleave(&self, out: &mut Image) -> Result<()> {
        match self.format {
            PixelFormat::Rgb8 | PixelFormat::Gray8 => {
                out.reset(self.width, self.height, self.format)?.copy_from_slice(&self.packed());
            }
            PixelFormat::Gray16 => {
                let pixels = out.reset(self.width, self.height, PixelFormat::Gray8)?;
                for (to, from) in pixels.chunks_exact_mut(self.width as usize).zip(self.rows()) {
                    for (to, from) in to.iter_mut().zip(from.as_chunks::<2>().0) {
                        *to = (u16::from_ne_bytes(*from) >> 8) as u8;
                    }
                }
            }
            PixelFormat::I420 | PixelFormat::I422 => {
                let rows_per_chroma = if self.format == PixelFormat::I420 { 2 } else { 1 };
                let mut chroma = self.planes().skip(1);
                let (Some(u), Some(v)) = (chroma.next(), chroma.next()) else { return Ok(()) };
                let pixels = out.reset(self.width, self.height, PixelFormat::Rgb8)?;
                let row = |plane: Plane<'a>, y: usize| {
                    let start = y / rows_per_chroma * plane.stride;
                    &plane.data[start..start + plane.width as usize]
                };
                for (y, (to, luma)) in pixels.chunks_exact_mut(self.width as usize * 3).zip(self.rows()).enumerate() {
                    let pairs = luma.chunks(2).zip(row(u, y)).zip(row(v, y));
                    for (to, ((luma, &u), &v)) in to.chunks_mut(6).zip(pairs) {
                        for (to, &y) in to.chunks_exact_mut(3).zip(luma) {
                            to.copy_from_slice(&rgb(y, u, v));
                        }
                    }
                }
            }
        }
        Ok(())
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
    /// An image from packed rows, plane after plane.
    ///
    /// # Errors
    /// [`Code::Config`] if `data` does not hold exactly the packed rows.
    pub fn new(width: u32, height: u32, format: PixelFormat, data: Vec<u8>) -> Result<Self> {
        if width == 0 || height == 0 || format.bytes(width, height) != Some(data.len()) {
            return Err(Error::new(
                Code::Config,
                format!("{} bytes are no {width}x{height} {format:?} image", data.len()),
                "give a non-empty image with as many bytes as its format has",
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
        let Some(size) = format.bytes(width, height).filter(|&size| size > 0) else {
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

    /// The packed rows, plane after plane.
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

    /// The image as RGB; grey is repeated over the three channels, and what is neither
    /// is converted as by [`ImageView::interleave`].
    #[must_use]
    pub fn into_rgb(self) -> Self {
        match self.format {
            PixelFormat::Rgb8 => self,
            PixelFormat::Gray8 => {
                Self { format: PixelFormat::Rgb8, data: self.data.iter().flat_map(|&v| [v, v, v]).collect(), ..self }
            }
            PixelFormat::I420 | PixelFormat::I422 | PixelFormat::Gray16 => {
                let mut out = Self::default();
                // An image that exists has a size that does not overflow as RGB or grey.
                match self.view().interleave(&mut out) {
                    Ok(()) => out.into_rgb(),
                    Err(_) => Self::default(),
                }
            }
        }
    }
}

/// One pixel by JFIF's equations, in 16 fractional bits, rounded.
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = ((i32::from(y) << 16) + (1 << 15), i32::from(u) - 128, i32::from(v) - 128);
    [y + 91_881 * v, y - 22_554 * u - 46_802 * v, y + 116_130 * u].map(|value| (value >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_where_they_are_said_to_be() {
        // 3x3 at a stride of 5: chroma is 2 wide at a stride of 3.
        let data: Vec<u8> = (0..50).collect();
        let needed = |format| (0..50).find(|&n| ImageView::new(3, 3, 5, format, &data[..n]).is_ok()).unwrap();
        assert_eq!((needed(PixelFormat::I420), needed(PixelFormat::I422)), (15 + 6 + 5, 15 + 9 + 8));
        let view = ImageView::new(3, 3, 5, PixelFormat::I420, &data).unwrap();
        let starts: Vec<_> = view.planes().map(|p| (p.data[0], p.width, p.height, p.stride)).collect();
        assert_eq!(starts, [(0, 3, 3, 5), (15, 2, 2, 3), (21, 2, 2, 3)]);
        assert_eq!(*view.packed(), [0, 1, 2, 5, 6, 7, 10, 11, 12, 15, 16, 18, 19, 21, 22, 24, 25]);
        let packed = view.to_image();
        assert_eq!(packed.view().packed(), view.packed());
        assert!(view.row(3).is_empty());
    }

    #[test]
    fn yuv_is_converted_as_jfif_says() {
        for (yuv, expected) in [
            ([128, 128, 128], [128, 128, 128]),
            ([76, 85, 255], [254, 0, 0]),
            ([150, 44, 21], [0, 255, 1]),
            ([29, 255, 107], [0, 0, 254]),
            ([255, 255, 255], [255, 121, 255]),
        ] {
            assert_eq!(rgb(yuv[0], yuv[1], yuv[2]), expected, "{yuv:?}");
        }
        let image = Image::new(3, 1, PixelFormat::I422, vec![0, 100, 200, 128, 128, 128, 255]).unwrap();
        assert_eq!(image.into_rgb().data(), [0, 0, 0, 100, 100, 100, 255, 109, 200]);
    }

    #[test]
    fn sixteen_bits_keep_their_upper_half() {
        let data = [0x1234u16, 0xffff, 0x00ff].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let image = Image::new(3, 1, PixelFormat::Gray16, data).unwrap();
        assert_eq!(image.into_rgb().data(), [0x12, 0x12, 0x12, 0xff, 0xff, 0xff, 0, 0, 0]);
    }
}
