//! PSNR and SSIM of images.
//!
//! Both are computed on 8-bit RGB values; a grey image counts as one whose
//! three channels are equal, so that grey and RGB images can be compared and
//! pooled.
//!
//! PSNR is infinite for equal images. Rows therefore keep the squared error and
//! its count, and of a set two figures are given: the PSNR of the pooled
//! squared error ([`psnr_db`] of the sums), and the mean of the finite PSNRs.

use super::ssim::{self, WINDOW};
use afferent_media::{Code, Error, ImageView, PixelFormat, Result};

/// How near an image is to its pristine: sufficient statistics and SSIM.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageQuality {
    /// Sum of squared errors over 8-bit RGB values. Exact.
    pub sse: u64,
    /// How many values that sum is over: pixels times three.
    pub values: u64,
    /// Structural similarity; `None` where a side is shorter than its window.
    pub ssim: Option<f64>,
}

impl ImageQuality {
    /// Peak signal-to-noise ratio in dB; infinite for equal images.
    #[must_use]
    pub fn psnr_db(&self) -> f64 {
        psnr_db(self.sse, self.values)
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
    alike(pristine, decoded, similarity)?.ok_or_else(|| {
        Error::new(
            Code::Unsupported,
            format!(
                "an image of {}x{} pixels is smaller than the {WINDOW}x{WINDOW} window of SSIM",
                pristine.width(),
                pristine.height()
            ),
            format!("measure images of at least {WINDOW}x{WINDOW} pixels, or use PSNR alone"),
        )
    })
}

/// [`squared_error`] and, where the window fits, [`ssim`].
///
/// # Errors
/// [`Code::Config`] if the images' sizes differ.
pub fn compare(pristine: ImageView<'_>, decoded: ImageView<'_>) -> Result<ImageQuality> {
    alike(pristine, decoded, |pristine, decoded| {
        let (sse, values) = sum_of_squares(pristine, decoded);
        ImageQuality { sse, values, ssim: similarity(pristine, decoded) }
    })
}

/// Gives `measure` two images of one size and format.
fn alike<T>(
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

/// Structural similarity; `None` where the window does not fit.
fn similarity(pristine: ImageView<'_>, decoded: ImageView<'_>) -> Option<f64> {
    let fits = pristine.width().min(pristine.height()) as usize >= WINDOW;
    fits.then(|| ssim::mean(pristine, decoded))
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
