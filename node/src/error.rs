//! Why a node could not start or go on; each says what would mend it.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node could not start or go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The configuration was refused; the report is for a person.
    Config(String),
    /// The node's own state can't be stored.
    State {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An underlay or admin address can't be used.
    Bind {
        /// What for.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A device, address, route or rule can't be set up.
    Setup(crate::kernel::Error),
    /// Something of the operating system that always works did not.
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A node that was told something did not do it.
    Control(String),
    /// The data thread panicked, or did not stop when told to.
    DataThread(String),
}

impl Error {
    pub(crate) fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}

fn mend(kind: std::io::ErrorKind) -> &'static str {
    match kind {
        std::io::ErrorKind::PermissionDenied => " (run as root, or with CAP_NET_ADMIN)",
        std::io::ErrorKind::AddrNotAvailable => {
            " (this machine does not have that address: is it \
            the right node's, and is the interface up?)"
        }
        std::io::ErrorKind::AddrInUse => " (another process has it: is the node running already?)",
        std::io::ErrorKind::NotFound => " (is the tun module loaded?)",
        _ => "",
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(report) => f.write_str(report),
            Self::State { path, source } => write!(
                f,
                "can't keep this node's incarnation in {}: {source}{}",
                path.display(),
                match source.kind() {
                    std::io::ErrorKind::InvalidData => "",
                    _ => " (name a writable directory with --state-dir)",
                }
            ),
            Self::Bind {
                purpose,
                address,
                source,
            } => {
                write!(
                    f,
                    "can't listen on {address} for {purpose}: {source}{}",
                    mend(source.kind())
                )
            }
            Self::Setup(source) => {
                write!(
                    f,
                    "can't set up the network: {source}{}",
                    mend(source.kind())
                )
            }
            Self::System { action, source } => {
                write!(f, "can't {action}: {source}{}", mend(source.kind()))
            }
            Self::Control(what) => f.write_str(what),
            Self::DataThread(what) => write!(f, "the data thread failed: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State { source, .. }
            | Self::Bind { source, .. }
            | Self::System { source, .. } => Some(source),
            Self::Setup(source) => Some(source),
            Self::Config(_) | Self::Control(_) | Self::DataThread(_) => None,
        }
    }
}
