//! What went wrong, and at what.

use std::fmt;
use std::io;

/// The kernel refused something.
#[derive(Debug)]
pub struct Error {
    doing: String,
    source: io::Error,
}

/// The result of asking the kernel for something.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error at doing something, worded to follow "cannot ".
    pub fn new(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            doing: doing.into(),
            source: source.into(),
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The number that the kernel gave, if it was the kernel.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    pub(crate) fn netlink(doing: impl Into<String>, error: rtnetlink::Error) -> Self {
        let source = match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other),
        };
        Self::new(doing, source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.source)?;
        if self.kind() == io::ErrorKind::PermissionDenied {
            f.write_str(" (root, or the capabilities CAP_NET_ADMIN and CAP_NET_RAW, are needed)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
