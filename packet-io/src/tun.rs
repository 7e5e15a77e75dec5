//! TUN devices: whole IP packets to and from the kernel.

use crate::slot::Slot;
use rustix::fs::{Mode, OFlags};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Longest name of a network device, in bytes.
pub const MAX_NAME: usize = libc::IFNAMSIZ - 1;

/// How a device is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The device outlives its file: routes and addresses on it survive a restart. What the
    /// kernel sends to it while nobody reads is lost silently.
    pub persistent: bool,
    /// Several files may be attached, one per worker; the kernel spreads flows over them.
    pub multi_queue: bool,
}

/// An open TUN device without packet information and offload headers: one read or write is one
/// IP packet. Nonblocking.
#[derive(Debug)]
pub struct Tun {
    file: OwnedFd,
    name: String,
}

impl Tun {
    /// Opens the device `name`, making it if it does not exist, in the network namespace of the
    /// calling thread. The device is down when it is new.
    ///
    /// # Errors
    /// `ResourceBusy` if another process holds it, `PermissionDenied` without `CAP_NET_ADMIN`,
    /// `InvalidInput` for a bad name or a device of another kind, `NotFound` without
    /// `/dev/net/tun`.
    pub fn open(name: &str, persistent: bool) -> io::Result<Self> {
        Self::open_with(
            name,
            Options {
                persistent,
                ..Options::default()
            },
        )
    }

    /// Like [`Tun::open`], with all the choices.
    ///
    /// # Errors
    /// As [`Tun::open`].
    pub fn open_with(name: &str, options: Options) -> io::Result<Self> {
        check_name(name)?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        let mut kind = libc::IFF_TUN | libc::IFF_NO_PI;
        if options.multi_queue {
            kind |= libc::IFF_MULTI_QUEUE;
        }
        let name = attach(file.as_fd(), name, kind)?;
        set_persistent(file.as_fd(), options.persistent)?;
        Ok(Self { file, name })
    }

    /// Removes a persistent device of the calling thread's network namespace. One that does not
    /// exist is removed already.
    ///
    /// # Errors
    /// `ResourceBusy` while a process holds it, otherwise as [`Tun::open`].
    pub fn delete(name: &str) -> io::Result<()> {
        // Without persistence the device goes away with this file.
        Self::open(name, false).map(drop)
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one packet; what is longer than `buf` is cut. The kernel hands over no packet that
    /// is longer than the device's MTU.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.file, buf)?)
    }

    /// Reads one packet into a slot.
    ///
    /// # Errors
    /// As [`Tun::read`].
    pub fn read_into(&self, slot: &mut impl Slot) -> io::Result<usize> {
        let len = self.read(slot.space())?;
        slot.set_len(len);
        Ok(len)
    }

    /// Hands one packet to the kernel's stack.
    ///
    /// # Errors
    /// `InvalidInput` for what is no IP packet; an I/O error while the device is down.
    pub fn write(&self, packet: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.file, packet)?)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn check_name(name: &str) -> io::Result<()> {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b'%' && b != b':';
    // '%' would be a template that the kernel completes with a number.
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{name}` is not a device name: 1 to {MAX_NAME} letters, digits and dashes"),
        ));
    }
    Ok(())
}

/// Attaches the file to the device; returns the name that the kernel gave it.
fn attach(file: BorrowedFd<'_>, name: &str, kind: libc::c_int) -> io::Result<String> {
    // SAFETY: `ifreq` is plain old data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name[..MAX_NAME].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = kind as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which the pointer is valid for.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = request.ifr_name.map(|c| c as u8);
    let name = CStr::from_bytes_until_nul(&bytes).map_err(io::Error::other)?;
    Ok(name.to_string_lossy().into_owned())
}

fn set_persistent(file: BorrowedFd<'_>, persistent: bool) -> io::Result<()> {
    let value = libc::c_ulong::from(persistent);
    // SAFETY: TUNSETPERSIST takes its argument by value and touches no memory of ours.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETPERSIST, value) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
