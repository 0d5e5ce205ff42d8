//! What a failed connection means, and what to do about it.

use afferent_media::{Code, Error};
use quinn::{ConnectionError, TransportErrorCode};

/// Codes of the application's close.
pub(crate) mod close {
    pub(crate) const DONE: u32 = 0;
    pub(crate) const REFUSED: u32 = 1;
    pub(crate) const PROTOCOL: u32 = 2;
    pub(crate) const LIMIT: u32 = 3;
}

/// Stands between what happened and the remedy in the reason of a close.
pub(crate) const REMEDY: char = '\n';

const CHECK_NETWORK: &str = "check the network, the address and port, that UDP passes, and that the server runs";

/// What `error` of the connection to `peer` means.
pub(crate) fn lost(peer: &str, error: &ConnectionError) -> Error {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason);
            let (what, remedy) = reason.split_once(REMEDY).unwrap_or((&reason, ""));
            let (code, usual) = match u32::try_from(close.error_code.into_inner()) {
                Ok(close::REFUSED) => (Code::Refused, "enroll the device (`afferent enroll`)"),
                Ok(close::LIMIT) => (Code::Limit, "send smaller samples, or raise the limit at both ends"),
                _ => (Code::Link, "reconnect; if it happens again, update the older end"),
            };
            let remedy = if remedy.is_empty() { usual.to_owned() } else { remedy.to_owned() };
            Error::new(code, format!("{peer} closed the connection: {what}"), remedy)
        }
        // The peer's TLS sent an alert: it does not accept us.
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(alert) => alerted(peer, alert, "does not accept this end's certificate"),
            None if close.error_code == TransportErrorCode::CONNECTION_REFUSED => {
                Error::new(Code::Limit, format!("{peer} serves as many connections as it may"), "try again later")
            }
            None => Error::new(Code::Link, format!("{peer} aborted the connection: {close}"), "reconnect"),
        },
        // Our TLS does not accept the peer.
        ConnectionError::TransportError(transport) => match alert(transport.code) {
            Some(alert) => {
                let what = format!("has a certificate that this end does not accept ({})", transport.reason);
                alerted(peer, alert, &what)
            }
            None => Error::new(
                Code::Link,
                format!("{peer} broke the transport protocol: {transport}"),
                "reconnect; if it happens again, check that the address is an Afferent server's",
            ),
        },
        ConnectionError::TimedOut => Error::new(Code::Link, format!("{peer} does not answer"), CHECK_NETWORK),
        ConnectionError::Reset => {
            Error::new(Code::Link, format!("{peer} has forgotten the connection; it may have restarted"), "reconnect")
        }
        ConnectionError::VersionMismatch => Error::new(
            Code::Unsupported,
            format!("{peer} speaks no version of QUIC that this build does"),
            "check that the address is an Afferent server's",
        ),
        ConnectionError::LocallyClosed => {
            Error::new(Code::Link, format!("the connection to {peer} was closed by this end"), "reconnect")
        }
        ConnectionError::CidsExhausted => {
            Error::new(Code::Limit, format!("no room for a connection to {peer}"), "close other connections first")
        }
    }
}

/// No answer within the time that a handshake may take.
pub(crate) fn no_handshake(peer: &str) -> Error {
    Error::new(Code::Link, format!("{peer} does not complete the handshake"), CHECK_NETWORK)
}

/// The TLS alert in a transport error code (RFC 9001, section 4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    let code = u64::from(code);
    (0x100..0x200).contains(&code).then_some(code as u8)
}

/// A TLS alert (RFC 8446, section 6) as an error.
fn alerted(peer: &str, alert: u8, what: &str) -> Error {
    let (code, why, remedy) = match alert {
        45 => {
            (Code::Refused, "it has expired or is not valid yet", "set the clock of the device, or renew the identity")
        }
        44 => (Code::Refused, "it was revoked", "issue a new identity"),
        48 | 51 => (
            Code::Refused,
            "another authority issued it",
            "use identities that one authority issued for both ends (`afferent enroll`)",
        ),
        43 => (
            Code::Refused,
            "it was issued for the other role",
            "use a device's bundle at the agent and the server's identity at the server",
        ),
        42 | 46 => (
            Code::Refused,
            "it is not for this name or is malformed",
            "connect by a name that the server's identity was issued for, or issue it again",
        ),
        116 => (Code::Refused, "there is none", "enroll the device (`afferent enroll`)"),
        120 => {
            return Error::new(
                Code::Unsupported,
                format!("{peer} does not speak afferent/1"),
                "check that the address is an Afferent server's, and update the older end",
            );
        }
        _ => {
            return Error::new(
                Code::Link,
                format!("the handshake with {peer} failed: TLS alert {alert}"),
                "check that the address is an Afferent server's",
            );
        }
    };
    Error::new(code, format!("{peer} {what}: {why}"), remedy)
}
