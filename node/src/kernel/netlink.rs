//! Devices, addresses, routes, rules and neighbours of one network namespace.
//!
//! Setting something that is set already, and deleting something that is not there, are no errors.

mod links;
mod neighbours;
mod routes;
mod rules;

pub use links::{Interface, LinkSettings};
pub use neighbours::Neighbour;
pub use routes::{MAIN_TABLE, Prefix, Route, Target};
pub use rules::Rule;

use crate::kernel::{Error, Result};
use rtnetlink::packet_route::route::RouteProtocol;
use std::io;

/// Marks the routes and rules that a JLB node has set, so that it removes no others. Unassigned
/// in `/etc/iproute2/rt_protos`.
pub const PROTOCOL: RouteProtocol = RouteProtocol::Other(76);

/// A connection to the kernel's routing subsystem, in the namespace that the thread was in when it
/// was opened.
#[derive(Debug)]
pub struct Netlink {
    runtime: tokio::runtime::Runtime,
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// Connects.
    ///
    /// # Errors
    /// That the thread runs an async runtime, which must not be blocked; those of opening a socket.
    pub fn open() -> Result<Self> {
        const DOING: &str = "open a netlink socket";
        if tokio::runtime::Handle::try_current().is_ok() {
            let reason = io::Error::other("this thread runs an async runtime; use another one");
            return Err(Error::new(DOING, reason));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|e| Error::new(DOING, e))?;
        let (connection, handle, _unused) = {
            let _entered = runtime.enter();
            rtnetlink::new_connection().map_err(|e| Error::new(DOING, e))?
        };
        runtime.spawn(connection);
        Ok(Self { runtime, handle })
    }

    /// The handle, for requests that this type does not know; run them with [`Netlink::wait`].
    #[must_use]
    pub const fn handle(&self) -> &rtnetlink::Handle {
        &self.handle
    }

    /// Waits for a request. `doing` is worded to follow "cannot ".
    ///
    /// # Errors
    /// The request's.
    pub fn wait<T>(
        &self,
        doing: impl Into<String>,
        request: impl Future<Output = std::result::Result<T, rtnetlink::Error>>,
    ) -> Result<T> {
        self.runtime
            .block_on(request)
            .map_err(|error| Error::netlink(doing, error))
    }
}

/// Takes an error of this kind for success.
fn allow(result: Result<()>, kinds: &[rustix::io::Errno]) -> Result<()> {
    match result {
        Err(error)
            if kinds
                .iter()
                .any(|k| error.raw_os_error() == Some(k.raw_os_error())) =>
        {
            Ok(())
        }
        other => other,
    }
}
