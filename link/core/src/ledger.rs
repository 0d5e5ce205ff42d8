//! What a session has carried.

use afferent_media::RateParts;

/// The sum over the packets that one session object saw accepted: acked, at the
/// agent; stored for the first time, at the server.
///
/// The five exact parts of one and the same packet are equal at both ends, so
/// the ledgers are too wherever they cover the same packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Packets.
    pub packets: u64,
    /// Where their bytes went, each packet counted once.
    pub parts: RateParts,
}

impl Ledger {
    pub(crate) fn count(&mut self, parts: RateParts) {
        self.packets = self.packets.saturating_add(1);
        self.parts += parts;
    }
}
