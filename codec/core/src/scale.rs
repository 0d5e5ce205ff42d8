//! Resizing before coding: part of an operating point, because the picture of
//! half the size is often the better use of the same bits.
//!
//! One filter both ways, Catmull-Rom cubic, stretched when shrinking so that it
//! does not alias ([`afferent_media::resize`]): the ratio is all that the two
//! ends must agree on, and it travels in the container's header.

use afferent_media::resize::{Filter, resize};
use afferent_media::{Code, Error, Image, ImageView, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// By what ratio an image is made smaller before it is coded; its decoder makes
/// it as large as the source again.
///
/// ```
/// use afferent_codec::Resize;
/// let half: Resize = "1/2".parse()?;
/// assert_eq!(half.apply(375, 500), (188, 250));
/// assert_eq!(half.to_string(), "1/2");
/// assert_eq!("none".parse::<Resize>()?, Resize::NONE);
/// # Ok::<(), afferent_media::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resize {
    part: u16,
    whole: u16,
}

impl Resize {
    /// The image is coded as it is.
    pub const NONE: Self = Self { part: 1, whole: 1 };

    /// Smaller by `part / whole` along each side.
    ///
    /// # Errors
    /// [`Code::Config`] unless `part` is above 0 and at most `whole`.
    pub fn new(part: u16, whole: u16) -> Result<Self> {
        if part == 0 || part > whole {
            return Err(Error::new(
                Code::Config,
                format!("images cannot be resized by {part}/{whole} before coding"),
                "give a ratio above 0 and at most 1, for example 1/2",
            ));
        }
        let divisor = gcd(part, whole);
        Ok(Self { part: part / divisor, whole: whole / divisor })
    }

    /// Whether nothing is done.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The two numbers of the ratio, without common divisor.
    #[must_use]
    pub fn ratio(self) -> (u16, u16) {
        (self.part, self.whole)
    }

    /// The size in pixels at which a source of `width` × `height` is coded:
    /// each side times the ratio, rounded half up, and at least 1.
    #[must_use]
    pub fn apply(self, width: u32, height: u32) -> (u32, u32) {
        let (part, whole) = (u64::from(self.part), u64::from(self.whole));
        // At most `side`, hence within 32 bits.
        let side = |side: u32| u32::try_from((2 * u64::from(side) * part + whole) / (2 * whole)).unwrap_or(side).max(1);
        (side(width), side(height))
    }

    /// The image as it is coded.
    ///
    /// # Errors
    /// Those of [`afferent_media::resize`].
    pub(crate) fn shrink(self, image: ImageView<'_>) -> Result<Image> {
        let (width, height) = self.apply(image.width(), image.height());
        resize(image, None, width, height, Filter::Bicubic)
    }
}

impl Default for Resize {
    fn default() -> Self {
        Self::NONE
    }
}

/// The decoded image at the source's size.
///
/// # Errors
/// Those of [`afferent_media::resize`].
pub(crate) fn restore(image: ImageView<'_>, width: u32, height: u32) -> Result<Image> {
    resize(image, None, width, height, Filter::Bicubic)
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("none") } else { write!(f, "{}/{}", self.part, self.whole) }
    }
}

impl FromStr for Resize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        let ratio = text.split_once('/').unwrap_or((text, "1"));
        match (ratio.0.parse(), ratio.1.parse()) {
            (Ok(part), Ok(whole)) => Self::new(part, whole),
            _ => Err(Error::new(Code::Config, format!("`{text}` is no ratio"), "write `none`, or for example `1/2`")),
        }
    }
}

impl TryFrom<String> for Resize {
    /// What is wrong: the format that is being read says where.
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse().map_err(|error: Error| format!("{}: {}", error.what(), error.remedy()))
    }
}

impl From<Resize> for String {
    fn from(resize: Resize) -> Self {
        resize.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_reduced_and_never_enlarge() {
        assert_eq!("4/8".parse::<Resize>().unwrap(), Resize::new(1, 2).unwrap());
        assert_eq!("3/3".parse::<Resize>().unwrap(), Resize::NONE);
        for wrong in ["0/2", "3/2", "2", "1/0", "half", "", "-1/2"] {
            assert_eq!(wrong.parse::<Resize>().unwrap_err().code(), Code::Config, "{wrong}");
        }
        let third = Resize::new(1, 3).unwrap();
        assert_eq!((third.apply(1, 2), third.apply(5, 4)), ((1, 1), (2, 1)));
        assert_eq!(Resize::NONE.apply(u32::MAX, 7), (u32::MAX, 7));
    }
}
