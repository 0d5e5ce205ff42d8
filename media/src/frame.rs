//! Raw frames as cameras deliver them, taken apart into the planes that codecs take.
//!
//! | raw | from | becomes |
//! |---|---|---|
//! | YUYV | most USB cameras: Y U Y V | [`PixelFormat::I422`] |
//! | NV12 | many CSI bridges: Y, then U V interleaved, 4:2:0 | [`PixelFormat::I420`] |
//! | YUV420 | `rpicam-vid`, GStreamer: Y, U, V, 4:2:0 | [`PixelFormat::I420`] |
//! | GREY | 8-bit monochrome | [`PixelFormat::Gray8`] |
//! | Y16 | 16-bit monochrome, little-endian | [`PixelFormat::Gray16`] |
//!
//! What arrives at limited range (Y from 16 to 235, chroma from 16 to 240) leaves
//! at full range, by a table of 256 entries that is applied on the way.

use crate::error::{Code, Error, Result};
use crate::image::{Image, PixelFormat};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// How a raw frame's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawFormat {
    /// Interleaved 4:2:2: Y, U, Y, V for each two pixels.
    Yuyv,
    /// Luma, then a plane of interleaved U and V of half the height at the same stride.
    Nv12,
    /// Luma, then U, then V of half the width and height at half the stride.
    Yuv420,
    /// 8-bit grey.
    Grey,
    /// 16-bit grey, little-endian.
    Y16,
}

impl RawFormat {
    /// What a frame of this layout becomes.
    #[must_use]
    pub const fn target(self) -> PixelFormat {
        match self {
            Self::Yuyv => PixelFormat::I422,
            Self::Nv12 | Self::Yuv420 => PixelFormat::I420,
            Self::Grey => PixelFormat::Gray8,
            Self::Y16 => PixelFormat::Gray16,
        }
    }

    /// Bytes of a row of the first plane, without padding.
    #[must_use]
    pub const fn row(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Yuyv => width.div_ceil(2) * 4,
            Self::Nv12 | Self::Yuv420 | Self::Grey => width,
            Self::Y16 => width * 2,
        }
    }
}

/// Which values stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    /// 0 to 255.
    Full,
    /// 16 to 235, and 16 to 240 for chroma: what cameras deliver unless they say otherwise.
    #[default]
    Limited,
}

/// Tables from limited to full range, for luma and for chroma.
static EXPAND: LazyLock<[[u8; 256]; 2]> = LazyLock::new(|| {
    let table = |zero: i32, offset: i32, steps: i32| {
        std::array::from_fn(|value| {
            let scaled = (value as i32 - zero) * 255;
            let rounded = (2 * scaled + steps * scaled.signum()) / (2 * steps);
            (rounded + offset).clamp(0, 255) as u8
        })
    };
    [table(16, 0, 219), table(128, 128, 224)]
});

/// The geometry of a device's raw frames, by which they are taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawLayout {
    format: RawFormat,
    width: u32,
    height: u32,
    stride: usize,
    range: Range,
    /// Significant bits of a Y16 value.
    bits: u8,
    /// Bytes of a whole frame.
    length: usize,
}

impl RawLayout {
    /// Frames of `width` x `height` pixels whose rows (of the first plane) are `stride`
    /// bytes apart; a stride of 0 means without padding.
    ///
    /// # Errors
    /// [`Code::Config`] if a side is zero, rows overlap or the size overflows.
    pub fn new(format: RawFormat, width: u32, height: u32, stride: usize, range: Range) -> Result<Self> {
        let row = format.row(width);
        // Chroma rows of an odd width are a byte longer than luma's.
        let least = if format == RawFormat::Nv12 { row.next_multiple_of(2) } else { row };
        let stride = if stride == 0 { least } else { stride };
        let chroma_rows = (height as usize).div_ceil(2);
        let chroma = match format {
            RawFormat::Nv12 => stride.checked_mul(chroma_rows),
            RawFormat::Yuv420 => stride.div_ceil(2).checked_mul(2 * chroma_rows),
            RawFormat::Yuyv | RawFormat::Grey | RawFormat::Y16 => Some(0),
        };
        let length = stride.checked_mul(height as usize).zip(chroma).and_then(|(a, b)| a.checked_add(b));
        match length.filter(|_| width > 0 && height > 0 && stride >= least) {
            Some(length) => Ok(Self { format, width, height, stride, range, bits: 16, length }),
            None => Err(Error::new(
                Code::Config,
                format!("{format:?} frames of {width}x{height} at a stride of {stride} bytes cannot be"),
                format!("give sides above zero and a stride of at least {least} bytes"),
            )),
        }
    }

    /// Y16 values have `bits` significant bits, in the lower end of their 16: many
    /// sensors have 10 or 12. They are shifted up, so that white is white. Other formats
    /// have none but 16.
    ///
    /// # Errors
    /// [`Code::Config`] for other than 8 to 16 bits, and for fewer than 16 of another
    /// format.
    pub fn with_bits(self, bits: u8) -> Result<Self> {
        if bits == 16 || (self.format == RawFormat::Y16 && (8..16).contains(&bits)) {
            return Ok(Self { bits, ..self });
        }
        Err(Error::new(
            Code::Config,
            format!("{:?} frames of {bits} significant bits cannot be", self.format),
            "give 8 to 16 bits for Y16, and leave them out for other formats",
        ))
    }

    /// Bytes of a whole frame, padding included.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Takes `raw` apart into the planes of `out`, whose allocation is used again.
    /// Bytes after the frame are ignored, as drivers round buffers up.
    ///
    /// # Errors
    /// [`Code::Corrupt`] for fewer bytes than a frame has.
    pub fn split(&self, raw: &[u8], out: &mut Image) -> Result<()> {
        let Some(raw) = raw.get(..self.length) else {
            return Err(Error::new(
                Code::Corrupt,
                format!(
                    "a {:?} frame of {}x{} ends after {} of {} bytes",
                    self.format,
                    self.width,
                    self.height,
                    raw.len(),
                    self.length
                ),
                "check the cable and the device's format",
            ));
        };
        let pixels = out.reset(self.width, self.height, self.format.target())?;
        match self.range {
            Range::Full => self.fill(raw, pixels, |y| y, |c| c),
            Range::Limited => {
                let [luma, chroma] = &*EXPAND;
                self.fill(raw, pixels, |y| luma[usize::from(y)], |c| chroma[usize::from(c)]);
            }
        }
        Ok(())
    }

    /// `raw` has the length of a frame, `pixels` that of the target.
    fn fill(&self, raw: &[u8], pixels: &mut [u8], luma: impl Fn(u8) -> u8, chroma: impl Fn(u8) -> u8) {
        let (width, height) = (self.width as usize, self.height as usize);
        let half = width.div_ceil(2);
        let (first, second) = raw.split_at(self.stride * height);
        if self.format == RawFormat::Y16 {
            let up = 16 - self.bits;
            for (to, from) in pixels.chunks_exact_mut(width * 2).zip(first.chunks_exact(self.stride)) {
                for (to, from) in to.as_chunks_mut::<2>().0.iter_mut().zip(from.as_chunks::<2>().0) {
                    // What lies above the significant bits is white, not black.
                    let value = u16::from_le_bytes(*from).min(u16::MAX >> up);
                    *to = (value << up).to_ne_bytes();
                }
            }
            return;
        }
        let (y, uv) = pixels.split_at_mut(width * height);
        let (u, v) = uv.split_at_mut(uv.len() / 2);
        if self.format == RawFormat::Yuyv {
            let targets = y.chunks_exact_mut(width).zip(u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half)));
            for ((y, (u, v)), from) in targets.zip(first.chunks_exact(self.stride)) {
                // A plane at a time, from whole words: so compilers make vector code of it.
                for (y, &from) in y.iter_mut().zip(from.as_chunks::<2>().0) {
                    *y = luma(u16::from_le_bytes(from) as u8);
                }
                let pairs = from.as_chunks::<4>().0;
                for (u, &from) in u.iter_mut().zip(pairs) {
                    *u = chroma((u32::from_le_bytes(from) >> 8) as u8);
                }
                for (v, &from) in v.iter_mut().zip(pairs) {
                    *v = chroma((u32::from_le_bytes(from) >> 24) as u8);
                }
            }
            return;
        }
        for (to, from) in y.chunks_exact_mut(width).zip(first.chunks_exact(self.stride)) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = luma(from));
        }
        match self.format {
            RawFormat::Nv12 => {
                let targets = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
                for ((u, v), from) in targets.zip(second.chunks_exact(self.stride)) {
                    for ((u, v), &[cb, cr]) in u.iter_mut().zip(v).zip(from.as_chunks::<2>().0) {
                        *u = chroma(cb);
                        *v = chroma(cr);
                    }
                }
            }
            RawFormat::Yuv420 => {
                let planes = second.chunks_exact(second.len() / 2);
                for (to, from) in [u, v].into_iter().zip(planes) {
                    for (to, from) in to.chunks_exact_mut(half).zip(from.chunks_exact(self.stride.div_ceil(2))) {
                        to.iter_mut().zip(from).for_each(|(to, &from)| *to = chroma(from));
                    }
                }
            }
            RawFormat::Yuyv | RawFormat::Grey | RawFormat::Y16 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [RawFormat; 5] =
        [RawFormat::Yuyv, RawFormat::Nv12, RawFormat::Yuv420, RawFormat::Grey, RawFormat::Y16];

    fn split(format: RawFormat, width: u32, height: u32, raw: &[u8]) -> Image {
        let mut out = Image::default();
        RawLayout::new(format, width, height, 0, Range::Full).unwrap().split(raw, &mut out).unwrap();
        out
    }

    #[test]
    fn frames_come_apart_as_their_layouts_say() {
        // 3x2 pixels; the fourth luma value of a YUYV row is beyond the picture.
        let yuyv = [1, 10, 2, 20, 3, 11, 99, 21, 4, 12, 5, 22, 6, 13, 99, 23];
        let image = split(RawFormat::Yuyv, 3, 2, &yuyv);
        assert_eq!(image.format(), PixelFormat::I422);
        assert_eq!(image.data(), [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 20, 21, 22, 23]);
        let nv12 = [1, 2, 3, 99, 4, 5, 6, 99, 10, 20, 11, 21];
        let image = split(RawFormat::Nv12, 3, 2, &nv12);
        assert_eq!(image.format(), PixelFormat::I420);
        assert_eq!(image.data(), [1, 2, 3, 4, 5, 6, 10, 11, 20, 21]);
        let yuv420 = [1, 2, 3, 4, 5, 6, 10, 11, 20, 21];
        assert_eq!(split(RawFormat::Yuv420, 3, 2, &yuv420).data(), yuv420);
        assert_eq!(split(RawFormat::Grey, 2, 1, &[7, 8]).data(), [7, 8]);
        let grey16 = split(RawFormat::Y16, 1, 2, &[0x34, 0x12, 0xff, 0x00]);
        assert_eq!(grey16.data(), [0x1234u16.to_ne_bytes(), 0xffu16.to_ne_bytes()].concat());
    }

    #[test]
    fn fewer_bits_are_shifted_up() {
        let layout = RawLayout::new(RawFormat::Y16, 3, 1, 0, Range::Full).unwrap();
        let mut out = Image::default();
        layout.with_bits(10).unwrap().split(&[0x01, 0x00, 0xff, 0x03, 0x00, 0x04], &mut out).unwrap();
        assert_eq!(out.data(), [0x0040u16, 0xffc0, 0xffc0].map(u16::to_ne_bytes).concat());
        for (format, bits) in [(RawFormat::Y16, 7), (RawFormat::Y16, 17), (RawFormat::Grey, 10)] {
            let layout = RawLayout::new(format, 3, 1, 0, Range::Full).unwrap();
            assert_eq!(layout.with_bits(bits).unwrap_err().code(), Code::Config);
        }
    }

    #[test]
    fn limited_range_is_expanded_to_its_ends() {
        let [luma, chroma] = &*EXPAND;
        assert_eq!([0, 16, 126, 235, 255].map(|v: usize| luma[v]), [0, 0, 128, 255, 255]);
        assert_eq!([0, 16, 128, 240, 255].map(|v: usize| chroma[v]), [0, 0, 128, 255, 255]);
        assert!(luma.is_sorted() && chroma.is_sorted());
        let mut out = Image::default();
        let layout = RawLayout::new(RawFormat::Yuyv, 2, 1, 0, Range::Limited).unwrap();
        layout.split(&[16, 128, 235, 240], &mut out).unwrap();
        assert_eq!(out.data(), [0, 255, 128, 255]);
    }

    #[test]
    fn layouts_that_cannot_be_are_refused() {
        for (width, height, stride) in [(0, 1, 0), (1, 0, 0), (8, 8, 3), (u32::MAX, u32::MAX, usize::MAX)] {
            for format in FORMATS {
                let error = RawLayout::new(format, width, height, stride, Range::Full).unwrap_err();
                assert_eq!(error.code(), Code::Config);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_split_or_err(
            format in 0usize..5, width in 0u32..40, height in 0u32..40, stride in 0usize..200,
            limited: bool, raw in proptest::collection::vec(any::<u8>(), 0..8000),
        ) {
            let range = if limited { Range::Limited } else { Range::Full };
            if let Ok(layout) = RawLayout::new(FORMATS[format], width, height, stride, range) {
                let mut out = Image::default();
                let split = layout.split(&raw, &mut out);
                prop_assert_eq!(split.is_ok(), raw.len() >= layout.length());
            }
        }

        #[test]
        fn every_value_reaches_its_place(width in 1u32..20, height in 1u32..20, pad in 0usize..9, seed: u8) {
            // Each layout written from the same planes, read back to them.
            let value = |plane: u8, x: usize, y: usize| seed.wrapping_mul(plane).wrapping_add((x * 7 + y * 31) as u8);
            let (w, h) = (width as usize, height as usize);
            let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
            for format in [RawFormat::Yuyv, RawFormat::Nv12, RawFormat::Yuv420, RawFormat::Grey] {
                let stride = format.row(width).next_multiple_of(2) + 2 * pad;
                let layout = RawLayout::new(format, width, height, stride, Range::Full).unwrap();
                let mut raw = vec![0xee; layout.length()];
                let mut set = |at: usize, v: u8| raw[at] = v;
                for y in 0..h {
                    for x in 0..w {
                        let at = if format == RawFormat::Yuyv { 2 * x } else { x };
                        set(y * stride + at, value(1, x, y));
                    }
                }
                let rows = if format == RawFormat::Yuyv { h } else { ch };
                for y in 0..rows {
                    for x in 0..cw {
                        let places = match format {
                            RawFormat::Yuyv => [y * stride + 4 * x + 1, y * stride + 4 * x + 3],
                            RawFormat::Nv12 => [h * stride + y * stride + 2 * x, h * stride + y * stride + 2 * x + 1],
                            _ => [h * stride + y * stride / 2 + x, h * stride + (ch + y) * (stride / 2) + x],
                        };
                        if format != RawFormat::Grey {
                            set(places[0], value(2, x, y));
                            set(places[1], value(3, x, y));
                        }
                    }
                }
                let mut out = Image::default();
                layout.split(&raw, &mut out).unwrap();
                for (number, plane) in (1u8..).zip(out.view().planes()) {
                    for y in 0..plane.height as usize {
                        for x in 0..plane.width as usize {
                            prop_assert_eq!(plane.data[y * plane.stride + x], value(number, x, y), "{:?}", format);
                        }
                    }
                }
            }
        }
    }
}
