//! SHA-256, the identity of everything that is fetched or assembled.

use afferent_media::{Code, Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256 as Hasher};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Hasher::digest(bytes).into())
    }

    /// The digest of the file at `path`, read in pieces.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if it cannot be read.
    pub fn of_file(path: &Path) -> Result<Self> {
        let failed = |e| Error::io(path.display().to_string(), e);
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => return Ok(Self(hasher.finalize().into())),
                read => hasher.update(&buffer[..read]),
            }
        }
    }

    /// Compares with what was pinned for the thing called `what`.
    ///
    /// # Errors
    /// [`Code::Digest`] if they differ.
    pub fn expect(self, pinned: Self, what: impl fmt::Display) -> Result<()> {
        if self == pinned {
            return Ok(());
        }
        Err(Error::new(
            Code::Digest,
            format!("{what} has SHA-256 {self}, pinned is {pinned}"),
            "replace it by the pinned version, or pin what you trust in your own zoo file",
        ))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        let digit = |c: u8| char::from(c).to_digit(16);
        let valid = pairs.len() == 32 && rest.is_empty();
        let parsed = valid.then(|| {
            pairs.iter().zip(&mut bytes).try_for_each(|(&[high, low], byte)| {
                *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
                Some(())
            })
        });
        match parsed.flatten() {
            Some(()) => Ok(Self(bytes)),
            None => Err(Error::new(Code::Config, format!("`{text}` is no SHA-256"), "give 64 hexadecimal digits")),
        }
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|e: Error| serde::de::Error::custom(format!("{} ({})", e.what(), e.remedy())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_known() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Sha256::of(b"");
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Sha256>().unwrap(), digest);
        assert_eq!(text.to_uppercase().parse::<Sha256>().unwrap(), digest);
        for wrong in ["", "e3", &text[1..], &text.replace('e', "g"), &format!("{text}00"), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Sha256>().unwrap_err().code(), Code::Config, "{wrong}");
        }
        assert_eq!(digest.expect(Sha256::of(b"x"), "it").unwrap_err().code(), Code::Digest);
    }
}
