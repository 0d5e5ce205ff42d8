//! Frames whose memory is used again.

use afferent_media::{Image, Result, Sample};
use std::sync::Arc;

/// Most frames that are kept. More than this are on their way at once only where a queue
/// is configured to be long; the others are made anew.
const KEPT: usize = 8;

/// Images that were handed on, to be filled again once nobody else holds them: fresh
/// memory for each would be cleared by the kernel, and again by us.
#[derive(Default)]
pub(super) struct Pool(Vec<Arc<Sample>>);

impl Pool {
    /// An image that `fill` has filled; its content before that is unspecified.
    ///
    /// # Errors
    /// Those of `fill`.
    pub(super) fn image(&mut self, fill: impl FnOnce(&mut Image) -> Result<()>) -> Result<Arc<Sample>> {
        let free = self.0.iter().position(|sample| Arc::strong_count(sample) == 1);
        let mut image = match free.and_then(|at| Arc::into_inner(self.0.swap_remove(at))) {
            Some(Sample::Image(image)) => image,
            _ => Image::default(),
        };
        fill(&mut image)?;
        let sample = Arc::new(Sample::Image(image));
        if self.0.len() < KEPT {
            self.0.push(Arc::clone(&sample));
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_media::PixelFormat;

    #[test]
    fn memory_is_used_again_once_nobody_holds_it() {
        let mut pool = Pool::default();
        let mut fill = |value: u8| {
            pool.image(|image| image.reset(4, 4, PixelFormat::Gray8).map(|bytes| bytes.fill(value))).unwrap()
        };
        let data = |sample: &Arc<Sample>| match &**sample {
            Sample::Image(image) => (image.data().as_ptr(), image.data()[0]),
            Sample::Audio(_) => panic!(),
        };
        let first = fill(1);
        let second = fill(2);
        assert_eq!((data(&first).1, data(&second).1), (1, 2));
        let place = data(&first).0;
        drop(first);
        let third = fill(3);
        assert_eq!((data(&third), data(&second).1), ((place, 3), 2));
        let many: Vec<_> = (0..20).map(&mut fill).collect();
        assert!(many.iter().enumerate().all(|(value, sample)| data(sample).1 == value as u8));
        drop(many);
        assert_eq!(pool.0.len(), KEPT);
    }
}
