//! Planes as libwebp takes them: 4:2:0, BT.601 at limited range.

use afferent_media::{ImageView, PixelFormat, Result};
use std::sync::LazyLock;

/// Tables from full to limited range, for luma and for chroma.
static NARROW: LazyLock<[[u8; 256]; 2]> = LazyLock::new(|| {
    let table = |zero: i32, offset: i32, steps: i32| {
        std::array::from_fn(|value| {
            let scaled = (value as i32 - zero) * steps;
            let rounded = (2 * scaled + 255 * scaled.signum()) / (2 * 255);
            (rounded + offset).clamp(0, 255) as u8
        })
    };
    [table(0, 16, 219), table(128, 128, 224)]
});

/// The buffer of a picture's planes, kept from one to the next.
#[derive(Default)]
pub(super) struct Scratch(Vec<u8>);

impl Scratch {
    /// The planes of a planar image, as one of 4:2:0 at limited range.
    pub(super) fn fit(&mut self, image: &ImageView<'_>) -> Result<ImageView<'_>> {
        let (width, height) = (image.width(), image.height());
        let [luma, chroma] = &*NARROW;
        // A view's chroma has half of luma's stride, rounded up: with an even one, just its width.
        let stride = (width as usize).next_multiple_of(2);
        self.0.clear();
        for (number, plane) in image.planes().enumerate() {
            let row = |y: usize| {
                let start = y.min(plane.height as usize - 1) * plane.stride;
                &plane.data[start..start + plane.width as usize]
            };
            if number == 0 {
                for y in 0..height as usize {
                    self.0.extend(row(y).iter().map(|&value| luma[usize::from(value)]));
                    self.0.resize((y + 1) * stride, 0);
                }
                continue;
            }
            for y in 0..height.div_ceil(2) as usize {
                if image.format() == PixelFormat::I420 {
                    self.0.extend(row(y).iter().map(|&value| chroma[usize::from(value)]));
                } else {
                    let pairs = row(2 * y).iter().zip(row(2 * y + 1));
                    self.0.extend(pairs.map(|(&above, &below)| chroma[usize::from(above.midpoint(below))]));
                }
            }
        }
        ImageView::new(width, height, stride, PixelFormat::I420, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_range_becomes_limited_and_pairs_of_rows_their_mean() {
        let [luma, chroma] = &*NARROW;
        assert_eq!([0, 128, 255].map(|v: usize| luma[v]), [16, 126, 235]);
        assert_eq!([0, 128, 255].map(|v: usize| chroma[v]), [16, 128, 240]);
        // 3x3 of 4:2:2: the last row of chroma has no other to be averaged with.
        let y = [0, 128, 255, 0, 128, 255, 0, 128, 255];
        let u = [0, 128, 255, 128, 0, 255];
        let v = [128; 6];
        let data = [&y[..], &u, &v].concat();
        let image = ImageView::new(3, 3, 3, PixelFormat::I422, &data).unwrap();
        let mut scratch = Scratch::default();
        let fitted = scratch.fit(&image).unwrap();
        let planes: Vec<Vec<u8>> = fitted.planes().map(|p| p.data[..p.width as usize].to_vec()).collect();
        assert_eq!(planes, [vec![16, 126, 235], vec![127, 128], vec![128, 128]]);
        let second = fitted.planes().nth(1).unwrap();
        assert_eq!(second.data[second.stride..second.stride + 2], [16, 240]);
    }
}
