//! Exit codes, in the tradition of `sysexits.h`, and how an error gets one.
//!
//! Invariant: a code means the same for every command: 0 done, 1 failed, 2 usage, 65 bad data,
//! 69 a peer is unavailable, 74 I/O, 77 permission, 78 configuration.

use std::io;

use corelane_feeds::capture::CaptureError;

use crate::config::ConfigError;
use crate::journal::JournalError;
use crate::reactor::ReactorError;

/// The command ran and the answer is no, or something failed that no other code names.
pub const FAILED: u8 = 1;
/// The input is not what it should be.
pub const BAD_DATA: u8 = 65;
/// A peer cannot be reached.
pub const UNAVAILABLE: u8 = 69;
/// Reading or writing failed.
pub const IO: u8 = 74;
/// The system does not allow it.
pub const PERMISSION: u8 = 77;
/// The configuration cannot be used.
pub const CONFIG: u8 = 78;

/// An error that knows its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What to tell the user.
    pub message: String,
}

impl Failure {
    /// Input that is not what it should be.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self { code: BAD_DATA, message: message.into() }
    }

    /// A configuration that cannot be used.
    pub fn config(message: impl Into<String>) -> Self {
        Self { code: CONFIG, message: message.into() }
    }
}

/// The exit code of an error: the first of its causes that has one decides.
#[must_use]
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.code;
        }
        if cause.downcast_ref::<ConfigError>().is_some() {
            return CONFIG;
        }
        if let Some(error) = cause.downcast_ref::<JournalError>() {
            return error.exit_code();
        }
        match cause.downcast_ref::<ReactorError>() {
            Some(ReactorError::Bound { .. } | ReactorError::Interface { .. }) => return CONFIG,
            Some(ReactorError::Unavailable { .. }) => return UNAVAILABLE,
            _ => {}
        }
        if cause.downcast_ref::<CaptureError>().is_some() {
            return BAD_DATA;
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::PermissionDenied => PERMISSION,
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable => UNAVAILABLE,
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => BAD_DATA,
                _ => IO,
            };
        }
    }
    FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_decides() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(code(&anyhow::Error::new(denied).context("opening x")), PERMISSION);
        assert_eq!(code(&anyhow::Error::new(Failure::bad_data("x"))), BAD_DATA);
        let unknown = anyhow::Error::new(CaptureError::UnknownFormat).context("capture x");
        assert_eq!(code(&unknown), BAD_DATA);
        let journal = anyhow::Error::new(JournalError::Stopped).context("the journal failed");
        assert_eq!(code(&journal), IO);
        assert_eq!(code(&anyhow::Error::new(JournalError::NoJournal("x".into()))), BAD_DATA);
        assert_eq!(code(&anyhow::anyhow!("x")), FAILED);
    }
}
