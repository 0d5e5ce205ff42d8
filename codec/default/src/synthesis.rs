//! From latents to pictures by a network, on top of the linear inverse.
//!
//! A synthesis is an ONNX graph of this contract; any backend may run it, at any
//! precision, because nothing that was coded depends on it:
//!
//! | input | shape | holds |
//! |---|---|---|
//! | `luma` | 1, 1, H, W | linear inverse of luma around 0 (H, W: whole blocks of 16) |
//! | `chroma` | 1, 2, H/2, W/2 | that of Cb and Cr |
//! | `levels` | 1, 384, H/16, W/16 | latents: 256 bands of luma, 64 of Cb, 64 of Cr |
//! | `step` | 1, 1, H/16, W/16 | log₂ of luma's step over 64 (in grey levels) |
//!
//! and one output, `rgb`: 1, 3, H, W in 0 to 255. A grey picture gives zeros for chroma,
//! and takes the output's luma.

use crate::latents::{BLOCK, CHROMA_BANDS, LUMA_BANDS};
use crate::optic::{Parsed, parse};
use crate::transform::{COEFFICIENT_BITS, SAMPLE_BITS};
use afferent_codec::{Chunk, ImageDecoder, Limits};
use afferent_media::{Code, Error, Image, Network, Result, Tensor};
use std::fmt;
use std::sync::Arc;

type Load = dyn Fn() -> Result<Box<dyn Network>> + Send + Sync;

/// A synthesis by name, and how a decoder gets its own copy of the network.
#[derive(Clone)]
pub struct Synthesis {
    name: String,
    load: Arc<Load>,
}

impl Synthesis {
    /// A synthesis whose network `load` makes.
    pub fn new(name: impl Into<String>, load: impl Fn() -> Result<Box<dyn Network>> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), load: Arc::new(load) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn decoder(&self, limits: Limits) -> Result<NetworkDecoder> {
        let limits = Limits { max_pixels: limits.max_pixels.min(MAX_NETWORK_PIXELS), ..limits };
        Ok(NetworkDecoder { limits, network: (self.load)()? })
    }
}

impl fmt::Debug for Synthesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Synthesis").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Decodes pictures by the linear inverse and a network.
pub(crate) struct NetworkDecoder {
    limits: Limits,
    network: Box<dyn Network>,
}

/// A network takes about 150 bytes per pixel while it runs: larger pictures are
/// refused, whatever a few bytes of theirs claim.
const MAX_NETWORK_PIXELS: u64 = 8 << 20;

impl ImageDecoder for NetworkDecoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        let parsed = parse(chunks, &self.limits).map_err(|error| match error.code() {
            Code::Limit if self.limits.max_pixels == MAX_NETWORK_PIXELS => Error::new(
                Code::Limit,
                error.what().to_owned(),
                "decode it by synthesis `linear`, which takes larger pictures, or make them smaller before coding",
            ),
            _ => error,
        })?;
        let [luma, chroma, levels, step] = inputs(&parsed)?;
        let inputs = [("luma", &luma), ("chroma", &chroma), ("levels", &levels), ("step", &step)];
        let outputs = self.network.run(&inputs)?;
        let (columns, rows) = parsed.head.blocks();
        let shape = [1, 3, rows * BLOCK, columns * BLOCK];
        let Some((_, rgb)) = outputs.iter().find(|(name, rgb)| name == "rgb" && rgb.shape() == shape) else {
            return Err(Error::new(
                Code::Model,
                format!("the synthesis gives no output `rgb` of shape {shape:?}"),
                "use a network made for this codec (`afferent models` lists them)",
            ));
        };
        let format = parsed.format();
        let (width, height) = (parsed.head.width as usize, parsed.head.height as usize);
        let pixels = out.reset(parsed.head.width, parsed.head.height, format)?;
        let (across, area) = (columns * BLOCK, columns * BLOCK * rows * BLOCK);
        let channel = |c: usize, y: usize| &rgb.data()[c * area + y * across..][..width];
        for (y, row) in pixels.chunks_exact_mut(width * format.channels()).enumerate().take(height) {
            let (red, green, blue) = (channel(0, y), channel(1, y), channel(2, y));
            for (x, pixel) in row.chunks_exact_mut(format.channels()).enumerate() {
                match pixel {
                    [grey] => *grey = byte(0.299 * red[x] + 0.587 * green[x] + 0.114 * blue[x]),
                    _ => pixel.copy_from_slice(&[byte(red[x]), byte(green[x]), byte(blue[x])]),
                }
            }
        }
        Ok(())
    }
}

fn byte(value: f32) -> u8 {
    // Saturates; what is no number becomes 0.
    (value + 0.5) as u8
}

/// The network's inputs in the order of the contract.
fn inputs(parsed: &Parsed) -> Result<[Tensor; 4]> {
    let (columns, rows) = parsed.head.blocks();
    let blocks = columns * rows;
    let unit = f32::from(1_u16 << SAMPLE_BITS);
    let planes = parsed.planes();
    let plane = |at: usize| planes.get(at).into_iter().flat_map(|p| p.data.iter().map(|&v| f32::from(v) / unit));
    let luma = plane(0).collect();
    let mut chroma: Vec<f32> = plane(1).chain(plane(2)).collect();
    chroma.resize(2 * blocks * CHROMA_BANDS * CHROMA_BANDS, 0.0);

    let bands = [LUMA_BANDS * LUMA_BANDS, CHROMA_BANDS * CHROMA_BANDS, CHROMA_BANDS * CHROMA_BANDS];
    let mut levels = vec![0.0; bands.iter().sum::<usize>() * blocks];
    for (strip, latents) in parsed.head.strips().iter().zip(&parsed.strips) {
        let mut first = 0;
        for (plane, bands) in latents.planes.iter().zip(bands) {
            for block in 0..latents.columns * latents.rows {
                let at = strip.start * columns + block;
                for (band, &level) in plane.block(block).iter().enumerate() {
                    levels[(first + band) * blocks + at] = f32::from(level);
                }
            }
            first += bands;
        }
    }
    let one = (64 << COEFFICIENT_BITS) as f32;
    let step = (0..blocks).map(|at| (parsed.step(at / columns, at % columns) as f32 / one).log2()).collect();
    Ok([
        Tensor::new([1, 1, rows * BLOCK, columns * BLOCK], luma)?,
        Tensor::new([1, 2, rows * CHROMA_BANDS, columns * CHROMA_BANDS], chroma)?,
        Tensor::new([1, levels.len() / blocks, rows, columns], levels)?,
        Tensor::new([1, 1, rows, columns], step)?,
    ])
}
