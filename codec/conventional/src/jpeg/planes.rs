//! Planes in the sizes that libjpeg-turbo takes.
//!
//! It wants luma of whole chroma blocks: at 4:2:0 of an odd width, a column more
//! than the picture has. Where the image has the sizes that are asked for, its own
//! planes are borrowed.

use afferent_media::{ImageView, Plane};
use turbojpeg::{Subsamp, YuvPlanesImage};

/// Buffers for planes that had to be made, kept from one image to the next.
#[derive(Default)]
pub(super) struct Scratch([Vec<u8>; 3]);

impl Scratch {
    /// The planes of a planar image at 4:2:0, or at 4:4:4 for [`Subsamp::None`].
    pub(super) fn fit<'a>(&'a mut self, image: &ImageView<'a>, subsamp: Subsamp) -> YuvPlanesImage<&'a [u8]> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let whole = match subsamp {
            Subsamp::Sub2x2 => (width.next_multiple_of(2), height.next_multiple_of(2)),
            _ => (width, height),
        };
        let chroma = match subsamp {
            Subsamp::Sub2x2 => (whole.0 / 2, whole.1 / 2),
            _ => whole,
        };
        let wanted = [(true, whole), (false, chroma), (false, chroma)];
        let mut fitted =
            self.0.iter_mut().zip(image.planes()).zip(wanted).map(|((scratch, plane), (luma, (width, height)))| {
                if (plane.width as usize, plane.height as usize) == (width, height) {
                    return (plane.data, plane.stride);
                }
                scale(&plane, luma, width, height, scratch);
                (&scratch[..], width)
            });
        let mut next = || fitted.next().unwrap_or_default();
        let (y, u, v) = (next(), next(), next());
        YuvPlanesImage {
            y_plane: y.0,
            u_plane: u.0,
            v_plane: v.0,
            width,
            height,
            y_stride: y.1,
            u_stride: u.1,
            v_stride: v.1,
            subsamp,
        }
    }
}

/// Writes `plane` at `width` x `height` into `out`. Luma is continued by its last
/// column and row; chroma is repeated along a side that is longer, and averaged in
/// pairs of rows where there are fewer.
fn scale(plane: &Plane<'_>, luma: bool, width: usize, height: usize, out: &mut Vec<u8>) {
    out.clear();
    let (from_width, from_height) = (plane.width as usize, plane.height as usize);
    let row = |y: usize| {
        let start = y.min(from_height - 1) * plane.stride;
        &plane.data[start..start + from_width]
    };
    for y in 0..height {
        let start = out.len();
        let (above, below) = if luma || height == from_height {
            (y, y)
        } else if height > from_height {
            (y / 2, y / 2)
        } else {
            (2 * y, 2 * y + 1)
        };
        let mean = row(above).iter().zip(row(below)).map(|(&a, &b)| a.midpoint(b));
        if luma || width == from_width {
            out.extend(mean);
        } else {
            out.extend(mean.flat_map(|value| [value, value]).take(width));
        }
        let last = out.last().copied().unwrap_or_default();
        out.resize(start + width, last);
    }
}
