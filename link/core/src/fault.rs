//! Everything that can go wrong in this crate, small enough for `no_std`.

use crate::message::Versions;
use core::fmt;

/// What went wrong on the link. With the `std` feature it becomes an
/// `afferent_media::Error` by `From`, with its code and remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes end before the frame does.
    Truncated,
    /// Bytes follow the end of the frame.
    Trailing,
    /// A frame is longer than the stated limit.
    TooLong {
        /// Bytes of the frame, as its header says.
        length: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The checksum of a frame differs.
    Checksum,
    /// A frame or message has wrong syntax; the text says where.
    Syntax(&'static str),
    /// A message came that this state of the session does not allow.
    OutOfTurn(&'static str),
    /// The two ends have no protocol version in common.
    Version {
        /// What the peer speaks.
        theirs: Versions,
        /// What this build speaks.
        ours: Versions,
    },
    /// A stated bound of a session or set is reached; the text names it.
    Full(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("a frame ends early"),
            Self::Trailing => f.write_str("bytes follow the end of a frame"),
            Self::TooLong { length, limit } => {
                write!(f, "a frame of {length} bytes exceeds the limit of {limit}")
            }
            Self::Checksum => f.write_str("the checksum of a frame differs"),
            Self::Syntax(place) => write!(f, "{place} has wrong syntax"),
            Self::OutOfTurn(what) => write!(f, "{what} came out of turn"),
            Self::Version { theirs, ours } => {
                write!(f, "the peer speaks protocol {theirs}, this build {ours}")
            }
            Self::Full(what) => write!(f, "{what}: the bound is reached"),
        }
    }
}

impl core::error::Error for Fault {}

impl Fault {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Truncated | Self::Trailing | Self::Checksum | Self::Syntax(_) => {
                "reconnect; if it happens again, check that both ends run builds of this project"
            }
            Self::TooLong { .. } => "send smaller samples, or raise the limit at both ends",
            Self::OutOfTurn(_) => "reconnect; if it happens again, update the older end",
            Self::Version { theirs, ours } => {
                if theirs.max < ours.min {
                    "update the peer"
                } else {
                    "update this end"
                }
            }
            Self::Full(_) => "raise the bound, or send with fewer gaps and fewer streams",
        }
    }
}

#[cfg(feature = "std")]
impl From<Fault> for afferent_media::Error {
    fn from(fault: Fault) -> Self {
        use afferent_media::Code;
        let code = match fault {
            Fault::Truncated | Fault::Trailing | Fault::Checksum | Fault::Syntax(_) => Code::Corrupt,
            Fault::TooLong { .. } | Fault::Full(_) => Code::Limit,
            Fault::OutOfTurn(_) => Code::Link,
            Fault::Version { .. } => Code::Unsupported,
        };
        Self::new(code, fault.to_string(), fault.remedy())
    }
}
