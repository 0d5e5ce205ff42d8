//! What every bit bought: the row, tasks, metrics, statistics.
//!
//! - [`row`]: one [`Row`] per sample, operating point and model: everything
//!   known of it, and *sufficient statistics*, so that every set-level figure
//!   is a query over rows;
//! - [`store`]: rows to Parquet files and back, streaming;
//! - [`metrics`]: PSNR, SSIM and MS-SSIM of images, SNR and SI-SDR of sound, each equal
//!   to its reference implementation to the digits that the tests state, and
//!   distances learnt by networks;
//! - [`task`]: from a network's tensors to a prediction, and from a prediction
//!   and its reference to a score;
//! - [`stats`]: proportions with intervals, quantiles, means and rates of sets.
//!
//! ```
//! use afferent_measure::metrics::image;
//! use afferent_measure::{Row, store};
//! use afferent_media::{Bytes, ImageView, PixelFormat, RateParts};
//! # fn main() -> afferent_media::Result<()> {
//! # let folder = std::env::temp_dir().join(format!("afferent-measure-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).map_err(|e| afferent_media::Error::io("making a folder", e))?;
//! let (before, after) = (vec![10u8; 16 * 16 * 3], vec![12u8; 16 * 16 * 3]);
//! let before = ImageView::new(16, 16, 48, PixelFormat::Rgb8, &before)?;
//! let after = ImageView::new(16, 16, 48, PixelFormat::Rgb8, &after)?;
//!
//! let mut row = Row { codec: "jpeg".into(), knob: Some(75.0), ..Row::new() };
//! row.set_image_source(before.width(), before.height());
//! row.set_parts(&RateParts { payload: Bytes(32), ..RateParts::default() });
//! row.set_image_quality(&image::compare(before, after)?);
//! assert_eq!(row.codec_bpp().map(|rate| rate.0), Some(1.0));
//! assert_eq!(row.sse, Some(4 * 16 * 16 * 3));
//!
//! let file = folder.join("rows-0.parquet");
//! store::write_rows(&file, [row.clone()])?;
//! let back = store::read_rows(&file)?.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(back, [row]);
//! # std::fs::remove_dir_all(&folder).map_err(|e| afferent_media::Error::io("removing a folder", e))
//! # }
//! ```

mod column;
pub mod metrics;
pub mod row;
pub mod stats;
pub mod store;
pub mod task;

pub use metrics::audio::AudioQuality;
pub use metrics::deep::DeepSimilarity;
pub use metrics::image::ImageQuality;
pub use row::{Row, RowKey};
pub use store::{RowWriter, Rows, read_rows, write_rows};
pub use task::{Classification, Prediction, ReferenceKind, Score, Task};
