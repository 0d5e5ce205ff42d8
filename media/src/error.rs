//! One error type: a stable code, what happened, what to do.

use std::borrow::Cow;
use std::fmt;

/// The result of everything in Afferent that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A stable class of error, printed as `AFF-…`; scripts may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// An argument, configuration key or plan is wrong.
    Config,
    /// Input bytes are damaged: checksum, syntax or truncation.
    Corrupt,
    /// Input is well formed but of a kind or version this build cannot handle.
    Unsupported,
    /// A stated limit of size, time or memory would be exceeded.
    Limit,
    /// Something named does not exist: file, codec, model, device.
    NotFound,
    /// The operating system failed a file or disk operation.
    Io,
    /// The link failed or the peer broke the protocol.
    Link,
    /// The peer's identity is unknown, expired or revoked.
    Refused,
    /// Weights or data do not have the digest that was pinned.
    Digest,
    /// A network failed to load or run, or has another shape than its contract.
    Model,
    /// A library under us failed in a way it should not.
    Internal,
}

impl Code {
    /// The printed form, for example `AFF-CORRUPT`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "AFF-CONFIG",
            Self::Corrupt => "AFF-CORRUPT",
            Self::Unsupported => "AFF-UNSUPPORTED",
            Self::Limit => "AFF-LIMIT",
            Self::NotFound => "AFF-NOT-FOUND",
            Self::Io => "AFF-IO",
            Self::Link => "AFF-LINK",
            Self::Refused => "AFF-REFUSED",
            Self::Digest => "AFF-DIGEST",
            Self::Model => "AFF-MODEL",
            Self::Internal => "AFF-INTERNAL",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with its code, what happened, what to do about it, and its cause.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    what: String,
    remedy: Cow<'static, str>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of class `code`: `what` happened (and where), and the `remedy`.
    pub fn new(code: Code, what: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { code, what: what.into(), remedy: remedy.into(), cause: None }))
    }

    /// An operating-system error while doing `what`.
    pub fn io(what: impl Into<String>, cause: std::io::Error) -> Self {
        let remedy = match cause.kind() {
            std::io::ErrorKind::NotFound => "check that the path exists",
            std::io::ErrorKind::PermissionDenied => "check the permissions of the path",
            std::io::ErrorKind::StorageFull => "free space on the disk",
            std::io::ErrorKind::AddrInUse => "another process has this address: stop it, or choose another port",
            std::io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
            std::io::ErrorKind::AlreadyExists => "choose another name, or move what is there away",
            std::io::ErrorKind::IsADirectory => "name a file, not a folder",
            std::io::ErrorKind::NotADirectory => "name a folder, not a file",
            _ => "check the disk and its permissions",
        };
        let code = if cause.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Io };
        Self::new(code, what, remedy).caused_by(cause)
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The same error with `place` (a file, a device, a key) named before what happened.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.what = format!("{place}: {}", self.0.what);
        self
    }

    /// The stable class of this error.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened, and where.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.0.remedy
    }
}

impl fmt::Display for Error {
    /// `AFF-CODE: what: cause (remedy)`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.what)?;
        if let Some(cause) = &self.0.cause {
            write!(f, ": {cause}")?;
        }
        write!(f, " (to do: {})", self.0.remedy)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let error = Error::new(Code::Corrupt, "checksum differs", "send it again").at("chunk 3");
        assert_eq!(error.to_string(), "AFF-CORRUPT: chunk 3: checksum differs (to do: send it again)");
        assert!(size_of::<Error>() <= size_of::<usize>());
    }
}
