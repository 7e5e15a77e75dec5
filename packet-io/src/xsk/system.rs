//! System calls and mappings (linux/if_xdp.h).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

/// Memory that is mapped as long as this lives.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is this value's own, and not bound to a thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives an address only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Memory of zeros, there from the beginning.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        Self::map(len, flags, -1, 0)
    }

    /// A part of a file.
    pub(super) fn of_file(file: BorrowedFd<'_>, len: usize, offset: u64) -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        Self::map(len, flags, file.as_raw_fd(), offset)
    }

    fn map(len: usize, flags: i32, file: i32, offset: libc::off_t) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without an address to map at, no memory that is in use is touched.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, file, offset) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; whoever has pointers into it keeps this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

pub(super) fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no addresses are involved.
    let fd = unsafe { libc::socket(libc::AF_XDP, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option of `SOL_XDP`.
pub(super) fn set_option<T: Copy>(file: BorrowedFd<'_>, name: i32, value: T) -> io::Result<()> {
    // SAFETY: the value is readable for its size and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            file.as_raw_fd(),
            libc::SOL_XDP,
            name,
            (&raw const value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    checked(result)
}

/// What the kernel tells in plain integers.
///
/// # Safety
/// All zeroes and whatever the kernel writes are values of the type.
pub(super) unsafe trait Told: Copy {}
// SAFETY: integers.
unsafe impl Told for libc::xdp_mmap_offsets {}
// SAFETY: integers.
unsafe impl Told for libc::xdp_statistics {}
// SAFETY: an integer.
unsafe impl Told for libc::xdp_options {}

/// Reads an option of `SOL_XDP`; what an older kernel does not tell is zero.
pub(super) fn option<T: Told>(file: BorrowedFd<'_>, name: i32) -> io::Result<T> {
    // SAFETY: promised by the trait.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is writable for the length given, and outlives the call.
    let result = unsafe {
        libc::getsockopt(
            file.as_raw_fd(),
            libc::SOL_XDP,
            name,
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    checked(result).map(|()| value)
}

pub(super) fn bind(file: BorrowedFd<'_>, address: &libc::sockaddr_xdp) -> io::Result<()> {
    // SAFETY: the address is readable for its size and outlives the call.
    let result = unsafe {
        libc::bind(
            file.as_raw_fd(),
            std::ptr::from_ref(address).cast(),
            size_of::<libc::sockaddr_xdp>() as libc::socklen_t,
        )
    };
    checked(result)
}

/// Has the kernel look at the ring of frames to send.
pub(super) fn wake_sender(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: nothing is sent but what the ring names.
    let result = unsafe {
        libc::sendto(
            file.as_raw_fd(),
            std::ptr::null(),
            0,
            libc::MSG_DONTWAIT,
            std::ptr::null(),
            0,
        )
    };
    checked(result as i32)
}

/// Has the driver look at the ring of free frames.
pub(super) fn wake_receiver(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: nothing is received this way: there is no buffer.
    let result = unsafe {
        libc::recvfrom(
            file.as_raw_fd(),
            std::ptr::null_mut(),
            0,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    checked(result as i32)
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
