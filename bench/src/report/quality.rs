//! Figures of how like a decoded sample is to its source.

use afferent_measure::Row;

/// A figure of one sample's similarity.
pub(crate) struct Metric {
    /// Short id, for file names.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// With a leading comma; empty for a bare figure.
    pub(crate) unit: &'static str,
    pub(crate) digits: usize,
    /// Whether more is better.
    pub(crate) rises: bool,
    pub(crate) of: fn(&Row) -> Option<f64>,
    /// What it is, and the implementation that it is held to.
    pub(crate) definition: &'static str,
}

/// Place of PSNR in [`METRICS`].
pub(crate) const PSNR: usize = 0;
/// Place of MS-SSIM in [`METRICS`].
pub(crate) const MS_SSIM: usize = 3;
/// Place of SI-SDR in [`METRICS`].
pub(crate) const SI_SDR: usize = 6;

/// All figures of similarity that rows have.
pub(crate) const METRICS: [Metric; 7] = [
    Metric {
        id: "psnr",
        name: "PSNR",
        unit: ", dB",
        digits: 2,
        rises: true,
        of: |row| row.psnr_db,
        definition: "10 log₁₀(255² N / Σ e²) over N 8-bit RGB values of one image; shown is the mean over images \
                     that are not decoded exactly, whose PSNR is infinite. The pooled figure has the sums of the set. \
                     Reference: scikit-image, peak_signal_noise_ratio.",
    },
    Metric {
        id: "psnr-y",
        name: "PSNR-Y",
        unit: ", dB",
        digits: 2,
        rises: true,
        of: |row| row.psnr_y_db,
        definition: "The same over luma, on the scale 0 to 255.",
    },
    Metric {
        id: "ssim",
        name: "SSIM",
        unit: "",
        digits: 4,
        rises: true,
        of: |row| row.ssim,
        definition: "Structural similarity (Wang et al. 2004), Gaussian window, mean over R, G and B. \
                     Reference: scikit-image, structural_similarity.",
    },
    Metric {
        id: "ms-ssim",
        name: "MS-SSIM",
        unit: "",
        digits: 4,
        rises: true,
        of: |row| row.ms_ssim,
        definition: "Multi-scale structural similarity (Wang et al. 2003).",
    },
    Metric {
        id: "st-lpips",
        name: "ST-LPIPS",
        unit: "",
        digits: 4,
        rises: false,
        of: |row| row.st_lpips,
        definition: "Shift-tolerant learned perceptual distance (Ghildyal and Liu 2022); 0 for equal images, less is better.",
    },
    Metric {
        id: "lpips",
        name: "LPIPS",
        unit: "",
        digits: 4,
        rises: false,
        of: |row| row.lpips,
        definition: "Learned perceptual distance (Zhang et al. 2018); 0 for equal images, less is better.",
    },
    Metric {
        id: "si-sdr",
        name: "SI-SDR",
        unit: ", dB",
        digits: 1,
        rises: true,
        of: |row| row.si_sdr_db,
        definition: "Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), means removed, mean over channels; \
                     shown is the mean over recordings for which it is finite.",
    },
];

impl Metric {
    /// With its unit, and which way is better if that is not up.
    pub(crate) fn label(&self) -> String {
        format!("{}{}{}", self.name, self.unit, if self.rises { "" } else { " (less is better)" })
    }

    /// A value such that more is better, on the scale on which curves are compared:
    /// MS-SSIM in decibels, −10 log₁₀(1 − x), distances with their sign turned.
    pub(crate) fn quality(&self, value: f64) -> f64 {
        match self.id {
            "ms-ssim" => -10.0 * (1.0 - value).log10(),
            _ if self.rises => value,
            _ => -value,
        }
    }
}
