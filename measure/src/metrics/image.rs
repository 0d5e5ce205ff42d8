//! PSNR, SSIM and MS-SSIM of images.
//!
//! All are computed on 8-bit RGB values; a grey image counts as one whose
//! three channels are equal, so that grey and RGB images can be compared and
//! pooled.
//!
//! PSNR is infinite for equal images. Rows therefore keep the squared error and
//! its count, and of a set two figures are given: the PSNR of the pooled
//! squared error ([`psnr_db`] of the sums), and the mean of the finite PSNRs.
//!
//! Luma is BT.601's at full range, as JPEG (JFIF) defines Y: the real number
//! 0.299 R + 0.587 G + 0.114 B of gamma-encoded 8-bit values, 0 to 255, not
//! rounded and not BT.601's studio range of 16 to 235.

use super::ssim::{self, SCALES, WINDOW};
use afferent_media::{Code, Error, ImageView, PixelFormat, Result};

/// Both sides of an image must be longer than this, in pixels, for MS-SSIM: the
/// reference implementation's condition, so that the window fits into every scale.
pub const MS_SSIM_SIDE: u32 = ((WINDOW - 1) << (SCALES - 1)) as u32;

/// How near an image is to its pristine: sufficient statistics, SSIM and MS-SSIM.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ImageQuality {
    /// Sum of squared errors over 8-bit RGB values. Exact.
    pub sse: u64,
    /// How many values that sum is over: pixels times three.
    pub values: u64,
    /// Sum over pixels of the squared error of luma, in squares of an 8-bit
    /// step. Summed in integers and rounded once.
    pub sse_y: f64,
    /// Structural similarity; `None` where a side is shorter than its window.
    pub ssim: Option<f64>,
    /// Multi-scale structural similarity; `None` where a side is not longer
    /// than [`MS_SSIM_SIDE`].
    pub ms_ssim: Option<f64>,
}

impl ImageQuality {
    /// Peak signal-to-noise ratio over R, G and B in dB; infinite for equal images.
    #[must_use]
    pub fn psnr_db(&self) -> f64 {
        psnr_db(self.sse, self.values)
    }

    /// Peak signal-to-noise ratio of luma in dB; infinite for equal luma.
    #[must_use]
    pub fn psnr_y_db(&self) -> f64 {
        psnr_y_db(self.sse_y, self.values / 3)
    }
}

/// Peak signal-to-noise ratio in dB of 8-bit values with the sum of squared
/// errors `sse` over `values` values: `10 log10(255² values / sse)`. Infinite if
/// `sse` is 0, not a number if `values` is.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn psnr_db(sse: u64, values: u64) -> f64 {
    10.0 * (255.0 * 255.0 * values as f64 / sse as f64).log10()
}

/// Peak signal-to-noise ratio in dB of luma with the sum of squared errors
/// `sse_y` over `pixels` pixels: `10 log10(255² pixels / sse_y)`. Infinite if
/// `sse_y` is 0, not a number if `pixels` is too. Equals scikit-image's
/// `peak_signal_noise_ratio` with `data_range=255` of the two luma planes as
/// 64-bit floats within 1e-9.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn psnr_y_db(sse_y: f64, pixels: u64) -> f64 {
    10.0 * (255.0 * 255.0 * pixels as f64 / sse_y).log10()
}

/// The sum of squared errors between the RGB values of two images, and over how
/// many values it is.
///
/// # Errors
/// [`Code::Config`] if their sizes differ.
pub fn squared_error(pristine: ImageView<'_>, decoded: ImageView<'_>) -> Result<(u64, u64)> {
    alike(pristine, decoded, sum_of_squares)
}

/// Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004), 1 for equal
/// images: Gaussian window of 11×11 with σ = 1.5, K1 = 0.01, K2 = 0.03, L = 255,
/// where the window lies fully inside the image, mean over positions and over
/// R, G and B. Equals scikit-image's `structural_similarity` with
/// `gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
/// data_range=255, channel_axis=2` within 1e-9.
///
/// # Errors
/// [`Code::Config`] if the images' sizes differ, [`Code::Unsupported`] if a side
/// is shorter than the window's 11 pixels.
pub fn ssim(pristine: ImageView<'_>, decoded: ImageView<'_>) -> Result<f64> {
    if shorter_side(pristine) < WINDOW as u32 {
        return Err(too_small(pristine, WINDOW as u32, "SSIM"));
    }
    alike(pristine, decoded, |pristine, decoded| ssim::mean(pristine, decoded, 1).0)
}

/// Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003), 0 to 1
/// and 1 for equal images: over five scales with the window and constants of
/// [`ssim`], the product of the mean contrast and structure terms of the first
/// four and of the mean SSIM of the fifth, each not below 0 and to the power
/// 0.0448, 0.2856, 0.3001, 0.2363 and 0.1333; of each channel, then the mean
/// over R, G and B. From scale to scale values are averaged over 2×2 pixels; a
/// side of odd length is first padded by one line of zeros before the first.
///
/// Equals `ms_ssim(x, y, data_range=255)` of pytorch-msssim 1.0.0 on 64-bit
/// floats of 0 to 255 within 1e-10 when that is given an unrounded window. Its
/// own is rounded to 32 bits: within 1e-5 then, and within 1e-4 on 32-bit floats.
///
/// # Errors
/// [`Code::Config`] if the images' sizes differ, [`Code::Unsupported`] if a side
/// is not longer than [`MS_SSIM_SIDE`].
pub fn ms_ssim(pristine: ImageView<'_>, decoded: ImageView<'_>) -> Result<f64> {
    let (_, ms_ssim) = alike(pristine, decoded, similarities)?;
    ms_ssim.ok_or_else(|| too_small(pristine, MS_SSIM_SIDE + 1, "MS-SSIM"))
}

/// Everything known of the two images: [`squared_error`], that of luma and,
/// where they fit, [`ssim`] and [`ms_ssim`]. The first scale of MS-SSIM is
/// SSIM's, so that all together take about half as long again as SSIM alone.
///
/// # Errors
/// [`Code::Config`] if the images' sizes differ.
pub fn compare(pristine: ImageView<'_>, decoded: ImageView<'_>) -> Result<ImageQuality> {
    alike(pristine, decoded, |pristine, decoded| {
        let (sse, values) = sum_of_squares(pristine, decoded);
        let (ssim, ms_ssim) = similarities(pristine, decoded);
        ImageQuality { sse, values, sse_y: sum_of_luma_squares(pristine, decoded), ssim, ms_ssim }
    })
}

/// Gives `measure` two images of one size and format.
pub(super) fn alike<T>(
    pristine: ImageView<'_>,
    decoded: ImageView<'_>,
    measure: impl FnOnce(ImageView<'_>, ImageView<'_>) -> T,
) -> Result<T> {
    let size = |image: ImageView<'_>| (image.width(), image.height());
    if size(pristine) != size(decoded) {
        return Err(Error::new(
            Code::Config,
            format!(
                "an image of {}x{} pixels cannot be compared with one of {}x{}",
                decoded.width(),
                decoded.height(),
                pristine.width(),
                pristine.height()
            ),
            "crop the padding away or resize the decoded image to the pristine's size",
        ));
    }
    if pristine.format() == decoded.format() {
        return Ok(measure(pristine, decoded));
    }
    let (pristine, decoded) = (pristine.to_image().into_rgb(), decoded.to_image().into_rgb());
    Ok(measure(pristine.view(), decoded.view()))
}

/// Sum of squared errors over RGB values, and their count. Grey counts thrice.
fn sum_of_squares(pristine: ImageView<'_>, decoded: ImageView<'_>) -> (u64, u64) {
    // So many squares of 8-bit differences fit in 32 bits.
    const RUN: usize = 1 << 16;
    let row = |(a, b): (&[u8], &[u8])| -> u64 {
        let run = |(a, b): (&[u8], &[u8])| -> u32 {
            a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b))).map(|difference| difference * difference).sum()
        };
        a.chunks(RUN).zip(b.chunks(RUN)).map(run).map(u64::from).sum()
    };
    let sse: u64 = pristine.rows().zip(decoded.rows()).map(row).sum();
    let grey = pristine.format() == PixelFormat::Gray8;
    (if grey { 3 * sse } else { sse }, 3 * pristine.pixels().0)
}

/// Sum of squared errors of luma.
#[allow(clippy::cast_precision_loss)]
fn sum_of_luma_squares(pristine: ImageView<'_>, decoded: ImageView<'_>) -> f64 {
    // In thousandths of a step luma is an integer. So many of its squares, of
    // at most 255000², fit in 64 bits.
    const RUN: usize = 1 << 24;
    let grey = pristine.format() == PixelFormat::Gray8;
    let difference = |(a, b): (&u8, &u8)| i64::from(*a) - i64::from(*b);
    let row = |(a, b): (&[u8], &[u8])| -> u64 {
        let square = |difference: i64| (difference * difference).cast_unsigned();
        if grey {
            return a.iter().zip(b).map(difference).map(|d| square(1000 * d)).sum();
        }
        let (a, _) = a.as_chunks::<3>();
        let (b, _) = b.as_chunks::<3>();
        let luma = |(a, b): (&[u8; 3], &[u8; 3])| -> i64 {
            a.iter().zip(b).map(difference).zip([299, 587, 114]).map(|(d, weight)| weight * d).sum()
        };
        a.iter().zip(b).map(luma).map(square).sum()
    };
    let run = 3 * RUN;
    let runs = |(a, b): (&[u8], &[u8])| -> u128 { a.chunks(run).zip(b.chunks(run)).map(row).map(u128::from).sum() };
    let sum: u128 = pristine.rows().zip(decoded.rows()).map(runs).sum();
    sum as f64 / 1e6
}

/// SSIM and MS-SSIM, where they fit.
fn similarities(pristine: ImageView<'_>, decoded: ImageView<'_>) -> (Option<f64>, Option<f64>) {
    let side = shorter_side(pristine);
    if (side as usize) < WINDOW {
        return (None, None);
    }
    let scales = if side > MS_SSIM_SIDE { SCALES } else { 1 };
    let (ssim, ms_ssim) = ssim::mean(pristine, decoded, scales);
    (Some(ssim), ms_ssim)
}

pub(super) fn shorter_side(image: ImageView<'_>) -> u32 {
    image.width().min(image.height())
}

pub(super) fn too_small(image: ImageView<'_>, side: u32, metric: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("an image of {}x{} pixels is too small for {metric}", image.width(), image.height()),
        format!("measure images of at least {side}x{side} pixels, or use PSNR alone"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rgb(width: u32, height: u32, value: impl FnMut(usize) -> u8) -> Vec<u8> {
        (0..width as usize * height as usize * 3).map(value).collect()
    }

    fn view(width: u32, height: u32, data: &[u8]) -> ImageView<'_> {
        ImageView::new(width, height, data.len() / height as usize, PixelFormat::Rgb8, data).unwrap()
    }

    #[test]
    fn sizes_that_differ_are_refused_with_a_remedy() {
        let (a, b) = (rgb(16, 12, |_| 0), rgb(12, 16, |_| 0));
        let error = compare(view(16, 12, &a), view(12, 16, &b)).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(error.what().contains("12x16") && error.remedy().contains("crop"), "{error}");
    }

    #[test]
    fn an_image_below_the_window_has_a_psnr_but_no_ssim() {
        let (a, b) = (rgb(10, 40, |_| 100), rgb(10, 40, |_| 101));
        let quality = compare(view(10, 40, &a), view(10, 40, &b)).unwrap();
        assert_eq!((quality.sse, quality.values, quality.ssim), (1200, 1200, None));
        assert!((quality.psnr_db() - 48.130_803_608_679_1).abs() < 1e-9);
        let error = ssim(view(10, 40, &a), view(10, 40, &b)).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.remedy().contains("11x11"), "{error}");
    }

    #[test]
    fn equal_and_constant_images_have_their_limits() {
        let flat = rgb(20, 20, |_| 77);
        let quality = compare(view(20, 20, &flat), view(20, 20, &flat)).unwrap();
        assert_eq!((quality.sse, quality.psnr_db()), (0, f64::INFINITY));
        assert!((quality.ssim.unwrap() - 1.0).abs() < 1e-12);
        let (black, white) = (rgb(20, 20, |_| 0), rgb(20, 20, |_| 255));
        let quality = compare(view(20, 20, &black), view(20, 20, &white)).unwrap();
        assert_eq!((quality.sse, quality.psnr_db()), (1200 * 65025, 0.0));
        // Only the luminance term differs: C1 / (255² + C1).
        assert!((quality.ssim.unwrap() - 6.5025 / (65025.0 + 6.5025)).abs() < 1e-12);
    }

    #[test]
    fn ms_ssim_begins_above_its_least_side() {
        let (a, b) = (rgb(161, 400, |i| (i * 7 % 251) as u8), rgb(161, 400, |i| (i * 7 % 251) as u8 / 9 * 9));
        let value = ms_ssim(view(161, 400, &a), view(161, 400, &b)).unwrap();
        assert!((0.5..1.0).contains(&value), "{value}");
        let quality = compare(view(161, 400, &a), view(161, 400, &b)).unwrap();
        assert_eq!(quality.ms_ssim, Some(value));
        let part = &a[..160 * 3 * 400];
        let quality = compare(view(160, 400, part), view(160, 400, part)).unwrap();
        assert_eq!((quality.ssim.is_some(), quality.ms_ssim), (true, None));
        let error = ms_ssim(view(160, 400, part), view(160, 400, part)).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.remedy().contains("161x161"), "{error}");
    }

    #[test]
    fn ms_ssim_is_one_for_equal_images_and_never_negative() {
        let a = rgb(170, 161, |i| (i * i % 255) as u8);
        assert!((ms_ssim(view(170, 161, &a), view(170, 161, &a)).unwrap() - 1.0).abs() < 1e-12);
        let negative: Vec<u8> = a.iter().map(|value| 255 - value).collect();
        assert_eq!(ms_ssim(view(170, 161, &a), view(170, 161, &negative)).unwrap(), 0.0);
    }

    #[test]
    fn luma_weighs_each_channel() {
        let black = rgb(12, 12, |_| 0);
        for (channel, weight) in [0.299, 0.587, 0.114].into_iter().enumerate() {
            let one = rgb(12, 12, |i| if i % 3 == channel { 10 } else { 0 });
            let quality = compare(view(12, 12, &black), view(12, 12, &one)).unwrap();
            assert!((quality.sse_y / (144.0 * 100.0 * weight * weight) - 1.0).abs() < 1e-12);
        }
        let white = rgb(12, 12, |_| 255);
        let quality = compare(view(12, 12, &black), view(12, 12, &white)).unwrap();
        assert_eq!((quality.sse_y, quality.psnr_y_db()), (144.0 * 65025.0, 0.0));
        assert_eq!(psnr_y_db(0.0, 9), f64::INFINITY);
    }

    #[test]
    fn padding_between_rows_is_not_seen() {
        let packed = rgb(16, 13, |i| (i * 7 % 251) as u8);
        let padded: Vec<u8> = packed.chunks(48).flat_map(|row| row.iter().copied().chain([255; 5])).collect();
        let padded = ImageView::new(16, 13, 53, PixelFormat::Rgb8, &padded).unwrap();
        let quality = compare(view(16, 13, &packed), padded).unwrap();
        assert_eq!(quality.sse, 0);
        assert!((quality.ssim.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_wide_row_does_not_overflow() {
        let (black, white) = (rgb(70_000, 2, |_| 0), rgb(70_000, 2, |_| 255));
        let (sse, values) = squared_error(view(70_000, 2, &black), view(70_000, 2, &white)).unwrap();
        assert_eq!((sse, values), (420_000 * 65025, 420_000));
    }

    proptest! {
        #[test]
        fn ssim_is_symmetric_and_at_most_one(
            width in 11u32..24, height in 11u32..24, seed: u64, damage in 0u8..80,
        ) {
            let noise = |i: usize| (seed.wrapping_mul(i as u64 | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
            let a = rgb(width, height, noise);
            let b: Vec<u8> = a.iter().enumerate().map(|(i, v)| v.saturating_add(noise(i + 1) % (damage + 1))).collect();
            let (a, b) = (view(width, height, &a), view(width, height, &b));
            let (forth, back) = (compare(a, b).unwrap(), compare(b, a).unwrap());
            prop_assert_eq!(forth.sse, back.sse);
            let (forth, back) = (forth.ssim.unwrap(), back.ssim.unwrap());
            prop_assert!((forth - back).abs() < 1e-12 && (-1.0..=1.0 + 1e-12).contains(&forth));
        }
    }
}
