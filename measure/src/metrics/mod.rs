//! How near a decoded sample is to its pristine: image and sound.

pub mod audio;
pub mod deep;
pub mod image;
mod ssim;
