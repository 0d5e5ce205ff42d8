//! Quantised coefficients of one strip, and which layer each belongs to.

/// Bands along each axis of a luma block; a chroma block has half of it.
pub(crate) const LUMA_BANDS: usize = 16;

/// Bands along each axis of a chroma block, which covers the same 16 × 16 pixels.
pub(crate) const CHROMA_BANDS: usize = 8;

/// Pixels along each side of a block.
pub(crate) const BLOCK: usize = 16;

/// Progressive layers: the lowest 4 × 4 bands of each plane; the rest of luma's
/// 8 × 8 and of chroma; the rest of luma.
pub(crate) const LAYERS: usize = 3;

/// The bands along each axis that a plane holds after layer `layer`.
pub(crate) const fn extent(bands: usize, layer: usize) -> usize {
    let reach = 4 << layer;
    if reach < bands { reach } else { bands }
}

/// One plane: blocks in raster order, each of `bands` × `bands` coefficients, rows
/// of equal vertical frequency one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plane {
    pub(crate) bands: usize,
    pub(crate) values: Vec<i16>,
}

impl Plane {
    pub(crate) fn block(&self, at: usize) -> &[i16] {
        let size = self.bands * self.bands;
        &self.values[at * size..(at + 1) * size]
    }

    pub(crate) fn block_mut(&mut self, at: usize) -> &mut [i16] {
        let size = self.bands * self.bands;
        &mut self.values[at * size..(at + 1) * size]
    }
}

/// The coefficients of one strip: luma, then Cb and Cr where there is colour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Latents {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) planes: Vec<Plane>,
}

impl Latents {
    /// All zero, reusing the allocation.
    pub(crate) fn reset(&mut self, columns: usize, rows: usize, colour: bool) {
        self.columns = columns;
        self.rows = rows;
        self.planes.resize_with(if colour { 3 } else { 1 }, Plane::default);
        for (at, plane) in self.planes.iter_mut().enumerate() {
            plane.bands = if at == 0 { LUMA_BANDS } else { CHROMA_BANDS };
            plane.values.clear();
            plane.values.resize(columns * rows * plane.bands * plane.bands, 0);
        }
    }
}
