//! What a driver says of its interface (`SIOCETHTOOL`).

use std::io;
use std::os::fd::AsRawFd;

/// `struct ethtool_channels` (linux/ethtool.h).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Channels {
    command: u32,
    max_receive: u32,
    max_send: u32,
    max_other: u32,
    max_combined: u32,
    receive: u32,
    send: u32,
    other: u32,
    combined: u32,
}

/// `ETHTOOL_GCHANNELS`.
const GET_CHANNELS: u32 = 0x3c;
/// `SIOCETHTOOL`.
const REQUEST: libc::c_ulong = 0x8946;

/// Queues that packets come by at present, of the interface of this name in the calling thread's
/// network namespace.
///
/// # Errors
/// `Unsupported` if the driver does not say, `NoSuchDevice` without the interface, `InvalidInput` for a
/// name that is too long.
pub fn receive_queues(name: &str) -> io::Result<u32> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    let mut channels = Channels {
        command: GET_CHANNELS,
        ..Channels::default()
    };
    // SAFETY: `ifreq` is plain old data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    // SAFETY: the request has the interface's name, closed by a zero, and points at the structure of
    // the command that it begins with; both outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), REQUEST as _, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(channels.receive + channels.combined)
}
