//! Units as types.
//!
//! A rate is made in one way only: `Bits / Pixels`, `Bits / Samples` or
//! `Bits` over seconds. Dividing bytes by pixels does not compile:
//!
//! ```compile_fail
//! use afferent_media::{Bytes, Pixels};
//! let wrong = Bytes(1000) / Pixels(8000); // bytes per pixel is not a rate here
//! ```
//!
//! ```
//! use afferent_media::{Bytes, Pixels};
//! let rate = Bytes(1000).bits() / Pixels(8000);
//! assert_eq!(rate.0, 1.0); // bits per pixel
//! ```

use core::fmt;
use core::iter::Sum;
use core::ops::{Add, AddAssign, Div, Sub};
use serde::{Deserialize, Serialize};

macro_rules! count {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }
        impl Sub for $name {
            type Output = Self;
            /// Saturates at zero: a count is never negative.
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self(0), Add::add)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

count!(
    /// A count of bytes.
    Bytes
);
count!(
    /// A count of bits.
    Bits
);
count!(
    /// A count of pixels of the *source* image, before padding or resizing.
    Pixels
);
count!(
    /// A count of audio samples of the *source*, all channels together.
    Samples
);

impl Bytes {
    /// The same amount of data in bits.
    #[must_use]
    pub const fn bits(self) -> Bits {
        Bits(self.0.saturating_mul(8))
    }
}

/// Bits per source pixel.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitsPerPixel(pub f64);

/// Bits per source audio sample.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitsPerSample(pub f64);

/// Kilobits (1,000 bits) per second of sound.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KilobitsPerSecond(pub f64);

#[allow(clippy::cast_precision_loss)]
impl Div<Pixels> for Bits {
    type Output = BitsPerPixel;
    fn div(self, pixels: Pixels) -> BitsPerPixel {
        BitsPerPixel(self.0 as f64 / pixels.0 as f64)
    }
}

#[allow(clippy::cast_precision_loss)]
impl Div<Samples> for Bits {
    type Output = BitsPerSample;
    fn div(self, samples: Samples) -> BitsPerSample {
        BitsPerSample(self.0 as f64 / samples.0 as f64)
    }
}

impl Bits {
    /// The rate of this many bits over `seconds` of sound.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn per_second(self, seconds: f64) -> KilobitsPerSecond {
        KilobitsPerSecond(self.0 as f64 / seconds / 1000.0)
    }
}
