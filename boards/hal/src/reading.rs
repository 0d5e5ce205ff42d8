//! A value with its source, or the reason why there is none.

use afferent_media::{Code, Error};
use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;

/// A value and what it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured<T> {
    /// The value, in the unit that its reader says.
    pub value: T,
    /// The file, chip or rail that it comes from.
    pub source: String,
}

/// A value with its source, or the reason why there is none.
pub type Reading<T> = Result<Measured<T>, Missing>;

/// The class of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The board has none, or its configuration names none.
    None,
    /// A permission or a driver is missing.
    NoAccess,
    /// It is there, and failed or answered what it should not.
    Failed,
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its class.
    pub why: Why,
    /// What is missing or went wrong, and where.
    pub what: String,
    /// What to do about it.
    pub remedy: Cow<'static, str>,
}

impl Missing {
    /// Nothing is there.
    pub fn none(what: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::None, what: what.into(), remedy: remedy.into() }
    }

    /// A permission or a driver is missing.
    pub fn no_access(what: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::NoAccess, what: what.into(), remedy: remedy.into() }
    }

    /// It failed.
    pub fn failed(what: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { why: Why::Failed, what: what.into(), remedy: remedy.into() }
    }

    /// What the operating system said when `place` was opened, read or written.
    pub(crate) fn io(place: impl fmt::Display, error: &std::io::Error) -> Self {
        let what = format!("{place}: {error}");
        match error.kind() {
            ErrorKind::NotFound => {
                Self::none(what, "check the name in the configuration, and that its driver is loaded")
            }
            ErrorKind::PermissionDenied => Self::no_access(what, "give the user that runs this the permission"),
            // Only the kernel's files are written, and the service's hardening mounts them so.
            ErrorKind::ReadOnlyFilesystem => Self::no_access(
                what,
                "the service may not write /sys: docs/field.md, \"More rights\", says what to allow",
            ),
            _ => Self::failed(what, "see the kernel's log"),
        }
    }

    /// As [`io`](Self::io) for a device file that the members of `group` may open.
    pub(crate) fn device(place: impl fmt::Display, error: &std::io::Error, group: &str) -> Self {
        let missing = Self::io(place, error);
        match missing.why {
            Why::NoAccess => Self {
                remedy: format!(
                    "add the user that runs this to the group `{group}`, or give it the device by a udev rule"
                )
                .into(),
                ..missing
            },
            _ => missing,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (to do: {})", self.what, self.remedy)
    }
}

impl std::error::Error for Missing {}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        let code = match missing.why {
            Why::None => Code::NotFound,
            Why::NoAccess | Why::Failed => Code::Io,
        };
        Self::new(code, missing.what, missing.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_may_not_write_is_a_matter_of_rights() {
        let error = std::io::Error::from(ErrorKind::ReadOnlyFilesystem);
        let missing = Missing::io("/sys/class/leds/ACT/trigger", &error);
        assert_eq!(missing.why, Why::NoAccess);
        assert!(missing.what.starts_with("/sys/class/leds/ACT/trigger: "), "{missing}");
        assert!(missing.remedy.contains("docs/field.md, \"More rights\""), "{missing}");
    }
}
