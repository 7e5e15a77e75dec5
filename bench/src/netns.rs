//! Named network namespaces, and threads that work in them.

use std::io;
use std::path::PathBuf;
use std::thread;

use jlb_packet_io::netns;
use tokio::sync::oneshot;

use crate::error::{Doing, LabError, Result};

/// Places in a namespace's table of TCP connections: as a machine with 32 GiB has, and twice the entries of TIME_WAIT
/// that it keeps.
const CONNECTIONS: u32 = 1 << 18;

/// A network namespace with a name, the way `ip netns` names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a new, empty one, with a table of TCP connections of its own.
    ///
    /// # Errors
    /// When the name is taken, or the process may not.
    pub fn create(name: &str) -> Result<Self> {
        netns::create_apart(name, CONNECTIONS).map_err(|error| {
            let mend = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "run as root (in a container: in a privileged one)"
                }
                io::ErrorKind::AlreadyExists => "`jlb lab down` takes an old lab away",
                _ => "the kernel needs CONFIG_NET_NS, and /run/netns must be writable",
            };
            LabError::new(format!("cannot make network namespace {name}: {error}")).mend(mend)
        })?;
        Ok(Self::existing(name))
    }

    /// One that exists already.
    pub fn existing(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// All that begin with `prefix`, in the order of their names.
    ///
    /// # Errors
    /// When the directory of names cannot be read.
    pub fn list(prefix: &str) -> Result<Vec<Self>> {
        let names = netns::list(prefix).doing("list network namespaces")?;
        Ok(names.into_iter().map(|name| Self { name }).collect())
    }

    /// Takes the name away; the namespace ends with the last process in it.
    ///
    /// # Errors
    /// When it cannot be unmounted or removed.
    pub fn delete(&self) -> Result<()> {
        netns::delete(&self.name).doing(format_args!("delete network namespace {}", self.name))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        netns::path(&self.name)
    }

    /// Moves the calling thread, and it alone, into the namespace for good.
    ///
    /// # Errors
    /// When there is no such namespace or the process may not.
    pub fn enter(&self) -> Result<()> {
        netns::enter(&self.path()).doing(format_args!("enter network namespace {}", self.name))
    }

    /// Runs `work` on a thread in the namespace and waits for it.
    ///
    /// # Errors
    /// When the namespace cannot be entered, and what `work` returns.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        netns::run_in(&self.path(), work)
            .doing(format_args!("enter network namespace {}", self.name))?
    }

    /// Starts `work` on a thread in the namespace; whoever waits for it does not block. The
    /// thread goes on when nobody waits any more.
    pub async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let namespace = self.clone();
        thread::Builder::new()
            .name(self.name.chars().take(15).collect())
            .spawn(move || {
                // An error: nobody waits for the result.
                let _ = tell.send(namespace.enter().and_then(|()| work()));
            })
            .doing("start a thread")?;
        told.await
            .map_err(|_| LabError::new(format!("the work in {} panicked", self.name)))?
    }
}
