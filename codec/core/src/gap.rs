//! A packet without a sample: it takes the place of one or more samples in the
//! stream and says how many, and why there are none, so that nothing is skipped in
//! silence.

/// First bytes of a gap; the last one is the format's version.
pub const MAGIC: [u8; 4] = *b"AFG\x02";

/// First bytes of a gap by earlier builds: one sample, and no count.
const MAGIC_OF_ONE: [u8; 4] = *b"AFG\x01";

/// The longest reason kept, in bytes.
pub const MAX_REASON: usize = 1024;

/// Samples that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// How many: images, or samples of sound per channel; 1 where that is not known.
    pub missing: u64,
    /// Why.
    pub reason: String,
}

impl Gap {
    /// One sample that is missing for `reason`.
    #[must_use]
    pub fn one(reason: impl Into<String>) -> Self {
        Self { missing: 1, reason: reason.into() }
    }
}

/// The packet body that says `gap` in place of samples.
#[must_use]
pub fn write(gap: &Gap) -> Vec<u8> {
    let reason = &gap.reason[..gap.reason.floor_char_boundary(MAX_REASON)];
    [&MAGIC[..], &gap.missing.to_le_bytes(), reason.as_bytes()].concat()
}

/// The gap that a packet body says, if it says one.
#[must_use]
pub fn read(body: &[u8]) -> Option<Gap> {
    let (missing, reason) = match body.strip_prefix(&MAGIC) {
        Some(rest) => rest.split_first_chunk().map(|(count, reason)| (u64::from_le_bytes(*count), reason))?,
        None => (1, body.strip_prefix(&MAGIC_OF_ONE)?),
    };
    Some(Gap { missing, reason: String::from_utf8_lossy(&reason[..reason.len().min(MAX_REASON)]).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_read_as_it_was_written() {
        let gap = Gap { missing: 70_000, reason: "the cable was pulled".into() };
        assert_eq!(read(&write(&gap)), Some(gap));
        assert_eq!(read(b"AFG\x01broken file"), Some(Gap::one("broken file")));
        for foreign in [&b"AFR\x01"[..], b"AFG\x02\x01\0\0", b"AFG", b""] {
            assert_eq!(read(foreign), None);
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let body = write(&Gap::one("ä".repeat(MAX_REASON)));
        assert_eq!(read(&body), Some(Gap::one("ä".repeat(MAX_REASON / 2))));
    }
}
