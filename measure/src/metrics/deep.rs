//! Distances between images that a network learnt from people's judgements.
//!
//! Only the way in and out is here: which network, how pixels become its
//! inputs, and what its output must be. What runs the network is any
//! [`Network`]; its file comes from the zoo or from `models/import/lpips.py`.

use super::image::{alike, shorter_side, too_small};
use afferent_media::{Code, Error, ImageView, Network, Result, Tensor};

/// A learnt distance between two images: 0 for equal ones, greater for less
/// alike, of no unit and without an upper bound.
///
/// The network has two inputs of shape `[1, 3, height, width]` that hold R, G
/// and B (in this order) as `value / 127.5 - 1`, -1 to 1, and one output of one
/// number. Anything else that the metric does to its inputs, the network does
/// itself. Grey images count as RGB ones of equal channels.
///
/// Both directions give nearly the same: of ST-LPIPS and LPIPS the order of the
/// two images changes the rounding only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeepSimilarity {
    /// Name and version, to be recorded with every figure.
    pub id: &'static str,
    /// The input that takes the pristine image.
    pub pristine: &'static str,
    /// The input that takes the decoded image.
    pub decoded: &'static str,
    /// The least side of an image, in pixels, that every layer has an output for.
    pub least_side: u32,
}

impl DeepSimilarity {
    /// ST-LPIPS (Ghildyal and Liu, "Shift-tolerant Perceptual Similarity
    /// Metric", 2022) on AlexNet. The zoo's `st-lpips-alex`; equals the package
    /// stlpips-pytorch 0.0.2 (`net="alex", variant="shift_tolerant"`) within
    /// 1e-4, relative.
    pub const ST_LPIPS_ALEX: Self = Self::of("st_lpips_alex_0.0.2", 21);

    /// LPIPS v0.1 (Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable
    /// Effectiveness of Deep Features as a Perceptual Metric", 2018) on AlexNet.
    /// Equals the package lpips 0.1.4 (`net="alex"`) of the same trunk within
    /// 1e-4, relative. `models/import/lpips.py` makes the file from a user's trunk.
    pub const LPIPS_ALEX: Self = Self::of("lpips_alex_0.1", 31);

    /// LPIPS v0.1 on VGG-16; else as [`Self::LPIPS_ALEX`].
    pub const LPIPS_VGG: Self = Self::of("lpips_vgg_0.1", 16);

    const fn of(id: &'static str, least_side: u32) -> Self {
        Self { id, pristine: "ref", decoded: "dist", least_side }
    }

    /// The distance of `decoded` from `pristine`, as `network` tells it. Time and
    /// memory grow with the pixels: `network` holds 64 or more numbers for each.
    ///
    /// # Errors
    /// [`Code::Config`] if the images' sizes differ, [`Code::Unsupported`] if a
    /// side is shorter than `least_side`, [`Code::Model`] if the network is
    /// another, or fails, or gives anything but one finite number.
    pub fn distance(&self, network: &mut dyn Network, pristine: ImageView<'_>, decoded: ImageView<'_>) -> Result<f64> {
        if shorter_side(pristine) < self.least_side {
            return Err(too_small(pristine, self.least_side, self.id));
        }
        let [pristine, decoded] = alike(pristine, decoded, |a, b| [planes(a), planes(b)])?;
        let (pristine, decoded) = (pristine?, decoded?);
        let outputs = network.run(&[(self.pristine, &pristine), (self.decoded, &decoded)])?;
        match outputs.as_slice() {
            [(_, output)] => match output.data() {
                &[distance] if distance.is_finite() => Ok(f64::from(distance)),
                other => Err(self.wrong(format!("{} numbers, beginning with {:?}", other.len(), other.first()))),
            },
            other => Err(self.wrong(format!("{} outputs", other.len()))),
        }
    }

    fn wrong(&self, found: String) -> Error {
        Error::new(
            Code::Model,
            format!("the network gave {found} for {}, not one finite number", self.id),
            "use the network that the metric is named after",
        )
    }
}

/// R, G and B of -1 to 1, one plane after the other.
fn planes(image: ImageView<'_>) -> Result<Tensor> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let channels = image.format().channels();
    let plane = |c: usize| image.rows().flat_map(move |row| row.iter().skip(c % channels).step_by(channels));
    let data = (0..3).flat_map(plane).map(|&value| f32::from(value) / 127.5 - 1.0).collect();
    Tensor::new([1, 3, height, width], data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_media::PixelFormat;

    /// Answers with what it is told, after checking what it is given.
    struct Fake(Vec<(String, Tensor)>, [Vec<f32>; 2]);

    impl Network for Fake {
        fn provider(&self) -> &str {
            "fake"
        }

        fn inputs(&self) -> &[(String, Vec<Option<usize>>)] {
            &[]
        }

        fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
            assert_eq!(inputs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["ref", "dist"]);
            for ((_, tensor), expected) in inputs.iter().zip(&self.1) {
                assert_eq!((tensor.shape(), tensor.data()), (&[1, 3, 1, 2][..], &expected[..]));
            }
            Ok(self.0.clone())
        }
    }

    const ANY: DeepSimilarity = DeepSimilarity { least_side: 1, ..DeepSimilarity::ST_LPIPS_ALEX };

    fn answer(values: &[f32]) -> Vec<(String, Tensor)> {
        vec![("distance".to_owned(), Tensor::new([values.len()], values.to_vec()).unwrap())]
    }

    #[test]
    fn pixels_become_planes_of_minus_one_to_one() {
        let rgb = ImageView::new(2, 1, 6, PixelFormat::Rgb8, &[0, 255, 51, 204, 0, 255]).unwrap();
        let grey = ImageView::new(2, 1, 2, PixelFormat::Gray8, &[255, 0]).unwrap();
        let colours = vec![-1.0, 204.0 / 127.5 - 1.0, 1.0, -1.0, 51.0 / 127.5 - 1.0, 1.0];
        let greys = [1.0, -1.0].repeat(3);
        let mut fake = Fake(answer(&[0.25]), [colours.clone(), greys.clone()]);
        assert_eq!(ANY.distance(&mut fake, rgb, grey).unwrap(), 0.25);
        let mut fake = Fake(answer(&[0.25]), [greys.clone(), greys]);
        assert_eq!(ANY.distance(&mut fake, grey, grey).unwrap(), 0.25);
    }

    #[test]
    fn what_is_no_distance_is_refused() {
        let grey = ImageView::new(2, 1, 2, PixelFormat::Gray8, &[255, 0]).unwrap();
        let twice = [answer(&[0.5]), answer(&[0.5])].concat();
        for outputs in [vec![], twice, answer(&[]), answer(&[0.5, 0.5]), answer(&[f32::NAN]), answer(&[f32::INFINITY])]
        {
            let mut fake = Fake(outputs, [[1.0, -1.0].repeat(3), [1.0, -1.0].repeat(3)]);
            assert_eq!(ANY.distance(&mut fake, grey, grey).unwrap_err().code(), Code::Model);
        }
    }

    #[test]
    fn images_that_do_not_fit_are_refused_before_the_network_runs() {
        let mut fake = Fake(vec![], [vec![], vec![]]);
        let pixels = [0; 30 * 31 * 3];
        let view =
            |width, height| ImageView::new(width, height, width as usize * 3, PixelFormat::Rgb8, &pixels).unwrap();
        let error = DeepSimilarity::LPIPS_ALEX.distance(&mut fake, view(30, 31), view(30, 31)).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.what().contains("lpips_alex_0.1") && error.remedy().contains("31x31"), "{error}");
        let error = DeepSimilarity::LPIPS_VGG.distance(&mut fake, view(30, 31), view(31, 30)).unwrap_err();
        assert_eq!(error.code(), Code::Config);
    }
}
