//! Where each byte of a packet went: the parts of the rate ledger.

use crate::units::Bytes;
use core::iter::Sum;
use core::ops::{Add, AddAssign};
use serde::{Deserialize, Serialize};

/// The exact parts of the rate of one or more packets.
///
/// All five are counted where the bytes pass, once per accepted packet, and
/// are equal at both ends of a link. What the transport adds (resends, acks,
/// handshakes, lost packets, IP and UDP headers) is measured at the socket and
/// kept apart, because it is not equal at both ends.
///
/// ```
/// use afferent_media::{Bytes, RateParts};
/// let parts = RateParts { payload: Bytes(900), side: Bytes(60), header: Bytes(40),
///                         container: Bytes(21), framing: Bytes(35) };
/// assert_eq!(parts.codec(), Bytes(1000));
/// assert_eq!(parts.storage(), Bytes(1021));
/// assert_eq!(parts.framed(), Bytes(1056));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RateParts {
    /// Entropy-coded content: latents, coefficients, samples.
    pub payload: Bytes,
    /// Side information a decoder needs for the payload (hyper-latents, scales).
    pub side: Bytes,
    /// The codec's own headers and tables (JPEG markers, RIFF, Opus TOC bytes).
    pub header: Bytes,
    /// Afferent's container: magic, geometry, chunk lengths, checksums.
    pub container: Bytes,
    /// The link's framing of the packet: message header, identity, checksum.
    pub framing: Bytes,
}

impl RateParts {
    /// The codec's own bytes: payload + side information + codec header.
    #[must_use]
    pub fn codec(&self) -> Bytes {
        self.payload + self.side + self.header
    }

    /// What a disk stores: [`codec`](Self::codec) + container.
    #[must_use]
    pub fn storage(&self) -> Bytes {
        self.codec() + self.container
    }

    /// What the link's frames hold: [`storage`](Self::storage) + framing. The
    /// transport's own bytes come on top to make the `transmit` view.
    #[must_use]
    pub fn framed(&self) -> Bytes {
        self.storage() + self.framing
    }
}

impl Add for RateParts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            payload: self.payload + other.payload,
            side: self.side + other.side,
            header: self.header + other.header,
            container: self.container + other.container,
            framing: self.framing + other.framing,
        }
    }
}

impl AddAssign for RateParts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for RateParts {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::default(), Add::add)
    }
}
