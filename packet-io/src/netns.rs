//! Network namespaces, named the way `ip netns` names them.
//!
//! A named namespace is a file in [`DIRECTORY`] that the namespace is mounted on.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::io;
use std::path::{Path, PathBuf};

/// Where named namespaces are.
pub const DIRECTORY: &str = "/run/netns";

/// The file of the namespace `name`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Moves the calling thread into the namespace, for good: threads that it starts later begin
/// there, others stay where they are. Never call it on a thread that runs other people's work,
/// such as a worker of an async runtime.
///
/// # Errors
/// `NotFound` if there is no such file, `InvalidInput` if it is no network namespace,
/// `PermissionDenied` without privileges.
pub fn enter(path: &Path) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        Some(LinkNameSpaceType::Network),
    )?;
    Ok(())
}

/// Runs `work` on a thread of its own inside the namespace and waits for it. A panic in `work`
/// goes on in the caller.
///
/// # Errors
/// Those of [`enter`], and of starting a thread.
pub fn run_in<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_own_thread(|| enter(path).map(|()| work()))?
}

/// Creates a namespace, its loopback down as the kernel makes it.
///
/// # Errors
/// `AlreadyExists` if there is one of that name, `InvalidInput` for a name that is none,
/// `PermissionDenied` without privileges.
pub fn create(name: &str) -> io::Result<()> {
    create_with(name, || Ok(()))
}

/// The same with a table of TCP connections of its own, as a machine has one: by default all namespaces share the
/// machine's, and whoever looks for connections or lists them in one walks by those of all others. The table has
/// as many places as asked for, a power of two up to 2^24, and there are at most half as many entries of TIME_WAIT
/// (`net.ipv4.tcp_child_ehash_entries`). Kernels before 6.1 can't, and share theirs.
///
/// # Errors
/// As [`create`].
pub fn create_apart(name: &str, connections: u32) -> io::Result<()> {
    create_with(name, || {
        // What this namespace says counts for those that its threads make.
        let written = std::fs::write(CHILD_CONNECTIONS, connections.to_string());
        match written {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // SAFETY: as below.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
        Ok(())
    })
}

/// Of the namespace that the calling thread is in.
const CHILD_CONNECTIONS: &str = "/proc/sys/net/ipv4/tcp_child_ehash_entries";

/// Makes a namespace, and lets `prepare` change it or put another in its place, in a thread that is in it.
fn create_with(name: &str, prepare: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
    check_name(name)?;
    prepare_directory()?;
    let target = path(name);
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    drop(rustix::fs::open(&target, flags, Mode::empty())?);
    let mounted = on_own_thread(|| -> io::Result<()> {
        // SAFETY: only NEWNET is unshared, which leaves the file descriptor table alone; the thread
        // ends with this closure.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
        prepare()?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", &target)?;
        Ok(())
    })
    .flatten();
    if mounted.is_err() {
        // Best effort: the error that is worth telling is the first one.
        let _ = rustix::fs::unlink(&target);
    }
    mounted
}

/// Deletes a namespace's name; the namespace itself goes when no process and no file holds it. One
/// that does not exist is deleted already.
///
/// # Errors
/// `InvalidInput` for a name that is none, `PermissionDenied` without privileges.
pub fn delete(name: &str) -> io::Result<()> {
    check_name(name)?;
    let target = path(name);
    match rustix::mount::unmount(&target, UnmountFlags::DETACH) {
        // INVAL: nothing is mounted there, a creation was cut short.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlink(&target) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The names that begin with `prefix`, sorted.
///
/// # Errors
/// Those of reading the directory; that it does not exist is none.
pub fn list(prefix: &str) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(DIRECTORY) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && name.starts_with(prefix)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)?;
        thread
            .join()
            .or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn check_name(name: &str) -> io::Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{name}` is not a namespace name: letters, digits, dashes, underscores, dots"),
        ));
    }
    Ok(())
}

/// Makes the directory a shared mount, as `ip netns add` does, so that names deleted here are
/// gone in every mount namespace.
fn prepare_directory() -> io::Result<()> {
    std::fs::create_dir_all(DIRECTORY)?;
    // Two at once would each mount the directory on itself; released when the file is closed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let lock = rustix::fs::open(DIRECTORY, flags, Mode::empty())?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match rustix::mount::mount_change(DIRECTORY, shared) {
        Ok(()) => return Ok(()),
        // It is not a mount point yet.
        Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::mount::mount_bind_recursive(DIRECTORY, DIRECTORY)?;
    Ok(rustix::mount::mount_change(DIRECTORY, shared)?)
}
