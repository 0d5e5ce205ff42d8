//! A packet without a sample: it takes the sample's place in the stream and
//! says why there is none, so that nothing is skipped in silence.

/// First bytes of a gap; the last one is the format's version.
pub const MAGIC: [u8; 4] = *b"AFG\x01";

/// The longest reason kept, in bytes.
pub const MAX_REASON: usize = 1024;

/// The packet body that says `reason` in place of a sample.
#[must_use]
pub fn write(reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    [&MAGIC, &reason.as_bytes()[..end]].concat()
}

/// The reason that a packet body says, if it is a gap.
#[must_use]
pub fn read(body: &[u8]) -> Option<String> {
    let reason = body.strip_prefix(&MAGIC)?;
    Some(String::from_utf8_lossy(&reason[..reason.len().min(MAX_REASON)]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let body = write(&"ä".repeat(MAX_REASON));
        assert_eq!(read(&body), Some("ä".repeat(MAX_REASON / 2)));
        assert_eq!(read(b"AFR\x01"), None);
    }
}
