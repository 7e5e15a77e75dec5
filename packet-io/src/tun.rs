//! TUN devices: whole IP packets to and from the kernel.

mod batch;
mod vnet;

pub use batch::Batch;

use crate::slot::Slot;
use jlb_protocol::packet::offload::{MAX_LARGE, Offload};
use rustix::fs::{Mode, OFlags};
use std::ffi::CStr;
use std::io::{self, IoSlice, IoSliceMut};
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
    /// The kernel may hand over packets of up to 64 KiB that it has not cut into segments, and
    /// unfinished checksums, and may be handed such.
    pub offload: bool,
}

/// An open TUN device: one read or write is one IP packet. Nonblocking.
#[derive(Debug)]
pub struct Tun {
    file: OwnedFd,
    name: String,
    offload: bool,
}

/// What was read from a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A packet is in the slot; its checksum may be unfinished.
    Packet(Offload),
    /// A packet of this length is in the large buffer. It is to be cut into segments, or was longer
    /// than the slot.
    Large(usize, Offload),
}

/// Room for one [`Received::Large`].
#[derive(Clone, Debug)]
pub struct LargeBuf(Box<[u8]>);

impl Default for LargeBuf {
    fn default() -> Self {
        Self(vec![0; MAX_LARGE].into())
    }
}

impl LargeBuf {
    /// The first `len` bytes, as far as there are so many.
    #[must_use]
    pub fn packet(&self, len: usize) -> &[u8] {
        &self.0[..len.min(MAX_LARGE)]
    }
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
        if options.offload {
            kind |= libc::IFF_VNET_HDR;
        }
        let name = attach(file.as_fd(), name, kind)?;
        // Asked for also where there is to be none: a persistent device keeps what was set before.
        set_offload(file.as_fd(), options.offload)?;
        set_persistent(file.as_fd(), options.persistent)?;
        Ok(Self {
            file,
            name,
            offload: options.offload,
        })
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

    /// Whether packets may be larger than the MTU and have unfinished checksums.
    #[must_use]
    pub const fn offloads(&self) -> bool {
        self.offload
    }

    /// Reads one packet: into the slot if that has room for it, and it is one packet, else into
    /// `large`. The slot's content is undefined in the second case.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; `InvalidData` for a kind of segments that was not asked for.
    pub fn receive(&self, slot: &mut impl Slot, large: &mut LargeBuf) -> io::Result<Received> {
        let space = slot.space();
        let room = space.len().min(MAX_LARGE);
        let mut header = [0; vnet::LEN];
        let (ahead, tail) = large.0.split_at_mut(room);
        let taken = if self.offload {
            let mut parts = [
                IoSliceMut::new(&mut header),
                IoSliceMut::new(&mut space[..room]),
                IoSliceMut::new(tail),
            ];
            let taken = rustix::io::readv(&self.file, &mut parts)?;
            taken
                .checked_sub(vnet::LEN)
                .ok_or(io::ErrorKind::InvalidData)?
        } else {
            let mut parts = [IoSliceMut::new(&mut space[..room]), IoSliceMut::new(tail)];
            rustix::io::readv(&self.file, &mut parts)?
        };
        let offload = vnet::read(header)?;
        if taken > room || offload.segments.is_some() {
            ahead.copy_from_slice(&space[..room]);
            return Ok(Received::Large(taken, offload));
        }
        slot.set_len(taken);
        Ok(Received::Packet(offload))
    }

    /// Hands one packet to the kernel's stack.
    ///
    /// # Errors
    /// `InvalidInput` for what is no IP packet; an I/O error while the device is down.
    pub fn write(&self, packet: &[u8]) -> io::Result<usize> {
        self.send(packet, &Offload::NONE)
    }

    /// Hands one packet to the kernel's stack that may be unfinished; on a device that does not offload
    /// nothing may be left to do.
    ///
    /// # Errors
    /// `InvalidInput` for what is no IP packet, or does not fit what `offload` says; an I/O error
    /// while the device is down.
    pub fn send(&self, packet: &[u8], offload: &Offload) -> io::Result<usize> {
        if !self.offload {
            if *offload != Offload::NONE {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            return Ok(rustix::io::write(&self.file, packet)?);
        }
        let header = vnet::write(offload);
        let parts = [IoSlice::new(&header), IoSlice::new(packet)];
        let written = rustix::io::writev(&self.file, &parts)?;
        Ok(written.saturating_sub(vnet::LEN))
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        // A persistent device keeps what it may leave to its reader, and the next one may know nothing of that.
        if self.offload {
            let _ = set_offload(self.file.as_fd(), false);
        }
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

/// Says what the kernel may leave to us: with segmentation of UDP where it knows that (Linux 6.2),
/// without where it does not.
fn set_offload(file: BorrowedFd<'_>, offload: bool) -> io::Result<()> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let wanted = if offload {
        [tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6, tcp]
    } else {
        [0, 0]
    };
    let mut result = Ok(());
    for features in wanted {
        let value = libc::c_ulong::from(features);
        // SAFETY: TUNSETOFFLOAD takes its argument by value and touches no memory of ours.
        let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, value) };
        if status == 0 {
            return Ok(());
        }
        result = Err(io::Error::last_os_error());
    }
    result
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
