//! UDP sockets for the underlay, many datagrams a system call.

use crate::slot::Slot;
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Most datagrams that one call moves.
pub const MAX_BATCH: usize = 64;

/// Wanted size of the kernel's buffers, in bytes: some thousand datagrams, so that a pause of the
/// process of a few milliseconds loses none.
const BUFFER_SIZE: usize = 8 << 20;

/// Where a received datagram came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The sender.
    pub from: SocketAddr,
    /// The datagram was longer than its slot; its end is lost.
    pub truncated: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            from: SocketAddr::from(([0, 0, 0, 0], 0)),
            truncated: false,
        }
    }
}

/// How far a batch got.
#[derive(Debug)]
pub struct Sent {
    /// Datagrams that the kernel took, from the front of the batch.
    pub count: usize,
    /// What stopped the batch at datagram number `count`; `None` if all were taken.
    pub error: Option<SendError>,
}

/// Why the kernel did not take a datagram.
#[derive(Debug)]
pub enum SendError {
    /// The socket's buffer is full: try the same datagram again when the socket is writable.
    WouldBlock,
    /// The kernel or the device has no room (`ENOBUFS`, `ENOMEM`): nothing says when there is some
    /// again.
    NoBuffers,
    /// This datagram can't be sent, for example `EMSGSIZE`, `EPERM` (a firewall), `ENETUNREACH`
    /// or `ECONNREFUSED`. Others may be: go on with the next.
    Refused(io::Error),
}

/// A nonblocking UDP socket.
///
/// Datagrams larger than the path are fragmented, not refused: a wrong MTU costs speed, never
/// connections.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds a socket to the address, in the network namespace of the calling thread. Port 0 lets
    /// the kernel choose one.
    ///
    /// # Errors
    /// `AddrInUse` if another socket has the port, `AddrNotAvailable` if the machine does not have
    /// the address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM.nonblocking(),
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::DONT)?;
        } else {
            sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
        }
        enlarge_buffers(&socket)?;
        socket.bind(&address.into())?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a UDP socket without an IP address"))?;
        Ok(Self { socket, local })
    }

    /// The address and port that the socket is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives up to as many datagrams as there are slots and origins, [`MAX_BATCH`] at most, and
    /// returns their number, which is not 0 if there was room for one.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn recv_batch<S: Slot>(
        &self,
        slots: &mut [S],
        origins: &mut [Origin],
    ) -> io::Result<usize> {
        let wanted = slots.len().min(origins.len()).min(MAX_BATCH);
        if wanted == 0 {
            return Ok(0);
        }
        let mut names: [SockAddrStorage; MAX_BATCH] =
            std::array::from_fn(|_| SockAddrStorage::zeroed());
        let mut spaces: [IoSliceMut<'_>; MAX_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(&mut []));
        for (space, slot) in spaces.iter_mut().zip(slots[..wanted].iter_mut()) {
            *space = IoSliceMut::new(slot.space());
        }
        let mut headers = empty_headers();
        for ((header, name), space) in headers.iter_mut().zip(&mut names).zip(&mut spaces) {
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = name.size_of();
            // `IoSliceMut` has the layout of `iovec`.
            header.msg_hdr.msg_iov = (&raw mut *space).cast();
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the first `wanted` headers are filled in; each points at a name of the size given
        // and at one iovec over a slot's memory. All of these live until the call returns, are
        // borrowed mutably by this function alone, and the kernel keeps no pointer.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                wanted as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return Err(io::Error::last_os_error());
        };
        let lengths = headers.map(|header| header.msg_len as usize);
        let filled = headers.iter().zip(names).zip(origins.iter_mut());
        for ((header, name), origin) in filled.take(received) {
            // SAFETY: the kernel wrote a socket address of this length into the storage.
            let address = unsafe { SockAddr::new(name, header.msg_hdr.msg_namelen) };
            *origin = Origin {
                from: address.as_socket().unwrap_or(Origin::default().from),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
        }
        for (slot, len) in slots.iter_mut().zip(lengths).take(received) {
            slot.set_len(len);
        }
        Ok(received)
    }

    /// Sends datagrams in order, as far as the kernel takes them.
    ///
    /// ```text
    /// loop over the batch: on Refused count it, skip one and go on; on WouldBlock keep the rest
    /// or drop it; never send again what `count` covers
    /// ```
    pub fn send_batch<'a>(
        &self,
        datagrams: impl IntoIterator<Item = (&'a [u8], SocketAddr)>,
    ) -> Sent {
        let mut datagrams = datagrams.into_iter();
        let mut sent = 0;
        loop {
            let mut names: [SockAddr; MAX_BATCH] =
                std::array::from_fn(|_| SockAddr::from(Origin::default().from));
            let mut parts: [IoSlice<'_>; MAX_BATCH] = std::array::from_fn(|_| IoSlice::new(&[]));
            let mut filled = 0;
            for ((name, part), (bytes, to)) in
                names.iter_mut().zip(&mut parts).zip(datagrams.by_ref())
            {
                *name = SockAddr::from(to);
                *part = IoSlice::new(bytes);
                filled += 1;
            }
            let done = self.send_filled(&names[..filled], &parts[..filled]);
            sent += done.count;
            if done.error.is_some() || filled < MAX_BATCH {
                return Sent {
                    count: sent,
                    error: done.error,
                };
            }
        }
    }

    /// Sends one datagram for each name and part, [`MAX_BATCH`] at most.
    fn send_filled(&self, names: &[SockAddr], parts: &[IoSlice<'_>]) -> Sent {
        let mut headers = empty_headers();
        for ((header, name), part) in headers.iter_mut().zip(names).zip(parts) {
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            // `IoSlice` has the layout of `iovec`.
            header.msg_hdr.msg_iov = (&raw const *part).cast_mut().cast();
            header.msg_hdr.msg_iovlen = 1;
        }
        let total = names.len().min(parts.len()).min(MAX_BATCH);
        let mut count = 0;
        // The kernel tells the error of a datagram only when it is the first of a call.
        while count < total {
            let rest = &mut headers[count..total];
            // SAFETY: every header of `rest` is filled in and points at a name of the length given
            // and at one iovec, borrowed by this function until the call returns. sendmmsg only
            // reads through them, it writes nothing but `msg_len` in the headers.
            let taken = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(taken) {
                Ok(taken) if taken > 0 => count += taken,
                Ok(_) => break,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() == io::ErrorKind::Interrupted {
                        continue;
                    }
                    return Sent {
                        count,
                        error: Some(SendError::from(error)),
                    };
                }
            }
        }
        Sent { count, error: None }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Self::WouldBlock,
            Some(Errno::NOBUFS | Errno::NOMEM) => Self::NoBuffers,
            _ => Self::Refused(error),
        }
    }
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("the socket's buffer is full"),
            Self::NoBuffers => f.write_str("the kernel has no room for the datagram"),
            Self::Refused(error) => write!(f, "the kernel refused the datagram: {error}"),
        }
    }
}

impl std::error::Error for SendError {}

fn empty_headers() -> [libc::mmsghdr; MAX_BATCH] {
    // SAFETY: `mmsghdr` is plain old data of integers and raw pointers: all zeroes is valid.
    unsafe { std::mem::zeroed() }
}

/// Asks for large buffers: past the system's limit where privileges allow it, up to it otherwise.
fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_SIZE).is_err() {
        socket.set_recv_buffer_size(BUFFER_SIZE)?;
    }
    if sockopt::set_socket_send_buffer_size_force(socket, BUFFER_SIZE).is_err() {
        socket.set_send_buffer_size(BUFFER_SIZE)?;
    }
    Ok(())
}
