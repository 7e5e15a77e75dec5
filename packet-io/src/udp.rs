//! UDP sockets for the underlay, many datagrams a system call.

use crate::slot::Slot;
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Most runs that one call moves.
pub const MAX_BATCH: usize = 64;

/// Most datagrams that a run may have: as many as every kernel with segmentation offload takes.
pub const MAX_RUN: usize = 64;

/// Most bytes that a run may have: one packet's worth, with room for the headers.
pub const MAX_RUN_BYTES: usize = 65_000;

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
    /// The slot holds several datagrams one behind the other, of so many bytes each but the last,
    /// which may be shorter; 0 if it holds one.
    pub segment: u16,
}

impl Origin {
    /// The datagrams in a slot's bytes.
    pub fn datagrams<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let whole = match self.segment {
            0 => bytes.len(),
            size => usize::from(size),
        };
        // An empty datagram is one too.
        let empty = bytes.is_empty().then_some(bytes);
        empty.into_iter().chain(bytes.chunks(whole.max(1)))
    }
}

/// Datagrams that go to the same receiver: all of the same size but the last, which may be shorter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The receiver.
    pub to: SocketAddr,
    /// How many buffers its bytes are in.
    pub buffers: usize,
    /// Bytes of each datagram; 0 if there is one only.
    pub segment: u16,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            from: SocketAddr::from(([0, 0, 0, 0], 0)),
            truncated: false,
            segment: 0,
        }
    }
}

/// How far a batch got.
#[derive(Debug)]
pub struct Sent {
    /// Runs that the kernel took, from the front of the batch.
    pub count: usize,
    /// What stopped the batch at run number `count`; `None` if all were taken.
    pub error: Option<SendError>,
}

/// Why the kernel did not take a run.
#[derive(Debug)]
pub enum SendError {
    /// The socket's buffer is full: try the same datagram again when the socket is writable.
    WouldBlock,
    /// The kernel or the device has no room (`ENOBUFS`, `ENOMEM`): nothing says when there is some
    /// again.
    NoBuffers,
    /// This run can't be sent, for example `EMSGSIZE`, `EPERM` (a firewall), `ENETUNREACH`
    /// or `ECONNREFUSED`. Others may be: go on with the next.
    Refused(io::Error),
    /// The kernel does not cut this run into datagrams: they are larger than the path takes, or the
    /// device lacks what it needs for that. One by one they can be sent.
    Uncut(io::Error),
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
        let socket = Self::unbound(address)?;
        // A kernel that does not know it gives each datagram by itself.
        let _ = set_option(&socket, libc::UDP_GRO, 1);
        enlarge_receive_buffer(&socket)?;
        Self::bound(socket, address)
    }

    /// Binds a socket that is only sent from: what comes to it is dropped at once, and takes no memory.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_to_send(address: SocketAddr) -> io::Result<Self> {
        let socket = Self::unbound(address)?;
        drop_all(&socket)?;
        Self::bound(socket, address)
    }

    fn unbound(address: SocketAddr) -> io::Result<Socket> {
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
        enlarge_send_buffer(&socket)?;
        Ok(socket)
    }

    fn bound(socket: Socket, address: SocketAddr) -> io::Result<Self> {
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
    /// returns their number, which is not 0 if there was room for one. A slot may get several
    /// datagrams of one sender, see [`Origin::segment`]: those need room for 64 KiB.
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
        // What is not wanted is not even set to zero: few datagrams cost little.
        let mut names = [const { MaybeUninit::<SockAddrStorage>::uninit() }; MAX_BATCH];
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; MAX_BATCH];
        let mut spaces = [const { MaybeUninit::<IoSliceMut<'_>>::uninit() }; MAX_BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_BATCH];
        let parts = headers.iter_mut().zip(&mut names).zip(&mut controls);
        let slots_and_spaces = slots[..wanted].iter_mut().zip(&mut spaces);
        for (((header, name), control), (slot, space)) in parts.zip(slots_and_spaces) {
            let header = header.write(empty_header());
            let name = name.write(SockAddrStorage::zeroed());
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = name.size_of();
            // `IoSliceMut` has the layout of `iovec`.
            let space = space.write(IoSliceMut::new(slot.space()));
            header.msg_hdr.msg_iov = (&raw mut *space).cast();
            header.msg_hdr.msg_iovlen = 1;
            let control = control.write(Control::EMPTY);
            header.msg_hdr.msg_control = (&raw mut *control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>();
        }
        // SAFETY: the first `wanted` headers are filled in; each points at a name of the size given,
        // at one iovec over a slot's memory and at a control buffer of the size given. All of these
        // live until the call returns, are borrowed mutably by this function alone, and the kernel
        // keeps no pointer.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                wanted as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return Err(io::Error::last_os_error());
        };
        let mut lengths = [0; MAX_BATCH];
        let filled = headers.iter().zip(names).zip(origins.iter_mut());
        for (((header, name), origin), length) in
            filled.zip(&mut lengths).take(received.min(wanted))
        {
            // SAFETY: the first `wanted` headers and names were written above, and the kernel wrote a
            // socket address of the length that it gives into the name.
            let (header, address) = unsafe {
                let header = header.assume_init_ref();
                let name = name.assume_init();
                (header, SockAddr::new(name, header.msg_hdr.msg_namelen))
            };
            *length = header.msg_len as usize;
            *origin = Origin {
                from: address.as_socket().unwrap_or(Origin::default().from),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                segment: segment_of(&header.msg_hdr),
            };
        }
        for (slot, len) in slots.iter_mut().zip(lengths).take(received) {
            slot.set_len(len);
        }
        Ok(received)
    }

    /// Sends runs in order, as far as the kernel takes them. Each takes the next of the buffers, as
    /// many as it says; its datagrams are cut out of them one behind the other, wherever one buffer
    /// ends.
    ///
    /// ```text
    /// loop over the batch: on Refused count it, skip one and go on; on Uncut send its datagrams one by
    /// one; on WouldBlock keep the rest or drop it; never send again what `count` covers
    /// ```
    pub fn send_runs(&self, buffers: &[IoSlice<'_>], runs: &[Run]) -> Sent {
        let mut buffers = buffers;
        let mut count = 0;
        for batch in runs.chunks(MAX_BATCH) {
            let needed: usize = batch.iter().map(|run| run.buffers).sum();
            let (now, later) = buffers.split_at(needed.min(buffers.len()));
            let sent = self.send_batch(now, batch);
            count += sent.count;
            if sent.error.is_some() || sent.count < batch.len() {
                let error = sent.error;
                return Sent { count, error };
            }
            buffers = later;
        }
        Sent { count, error: None }
    }

    /// [`MAX_BATCH`] runs at most.
    fn send_batch(&self, mut buffers: &[IoSlice<'_>], runs: &[Run]) -> Sent {
        let mut names = [const { MaybeUninit::<SockAddr>::uninit() }; MAX_BATCH];
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; MAX_BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_BATCH];
        let total = runs.len().min(MAX_BATCH);
        let parts = headers.iter_mut().zip(&mut names).zip(&mut controls);
        for (((header, name), control), run) in parts.zip(runs) {
            let header = header.write(empty_header());
            let name = name.write(SockAddr::from(run.to));
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            let (parts, rest) = buffers.split_at(run.buffers.min(buffers.len()));
            buffers = rest;
            // `IoSlice` has the layout of `iovec`.
            header.msg_hdr.msg_iov = parts.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_iovlen = parts.len();
            if run.segment > 0 {
                let control = control.write(Control::segment(run.segment));
                header.msg_hdr.msg_control = (&raw mut *control).cast();
                header.msg_hdr.msg_controllen = Control::SEGMENT_LEN;
            }
        }
        let mut count = 0;
        // The kernel tells the error of a datagram only when it is the first of a call.
        while count < total {
            let rest = &mut headers[count..total];
            // SAFETY: every header of `rest` was written above and points at a name of the length
            // given, at as many iovecs as it says and perhaps at a control message, all borrowed by
            // this function until the call returns. sendmmsg only reads through them, it writes
            // nothing but `msg_len` in the headers.
            let taken = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    rest.as_mut_ptr().cast(),
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
                        error: Some(SendError::of(error, runs[count].segment > 0)),
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

impl SendError {
    fn of(error: io::Error, is_run: bool) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Self::WouldBlock,
            Some(Errno::NOBUFS | Errno::NOMEM) => Self::NoBuffers,
            // udp(7) and the kernel's udp_send_skb: too large for the path, or no checksums by the
            // device; an old kernel takes the whole for one datagram that is too large.
            Some(Errno::INVAL | Errno::IO | Errno::MSGSIZE | Errno::OPNOTSUPP) if is_run => {
                Self::Uncut(error)
            }
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
            Self::Uncut(error) => write!(f, "the kernel does not cut the run: {error}"),
        }
    }
}

impl std::error::Error for SendError {}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is plain old data of integers and raw pointers: all zeroes is valid.
    unsafe { std::mem::zeroed() }
}

/// Room for one control message with a number, aligned as the kernel wants it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    number: [u8; 8],
}

impl Control {
    const EMPTY: Self = Self {
        header: libc::cmsghdr {
            cmsg_len: 0,
            cmsg_level: 0,
            cmsg_type: 0,
        },
        number: [0; 8],
    };

    /// Bytes of a message that holds 16 bits, with its padding.
    const SEGMENT_LEN: usize = size_of::<libc::cmsghdr>() + 8;

    /// The datagrams are to be cut at this size.
    const fn segment(size: u16) -> Self {
        let mut number = [0; 8];
        let [low, high] = size.to_ne_bytes();
        number[0] = low;
        number[1] = high;
        Self {
            header: libc::cmsghdr {
                cmsg_len: size_of::<libc::cmsghdr>() + size_of::<u16>(),
                cmsg_level: libc::SOL_UDP,
                cmsg_type: libc::UDP_SEGMENT,
            },
            number,
        }
    }
}

/// At which size the kernel has joined datagrams; 0 if it has not.
fn segment_of(header: &libc::msghdr) -> u16 {
    // SAFETY: the header's control buffer is there, aligned, and of the length that the kernel wrote.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    if first.is_null() {
        return 0;
    }
    // SAFETY: `CMSG_FIRSTHDR` gave a whole header inside of the buffer, whose data of 4 bytes lies
    // inside as well where the length says so.
    let (message, number) = unsafe {
        let message = &*first;
        let needed = libc::CMSG_LEN(size_of::<libc::c_int>() as libc::c_uint) as usize;
        if message.cmsg_len < needed {
            return 0;
        }
        let data = libc::CMSG_DATA(first).cast::<libc::c_int>();
        (message, data.read_unaligned())
    };
    if message.cmsg_level != libc::SOL_UDP || message.cmsg_type != libc::UDP_GRO {
        return 0;
    }
    u16::try_from(number).unwrap_or(0)
}

/// Sets an option of UDP.
fn set_option(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option's value is one `int`, which the pointer is valid for.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has the kernel drop all that comes.
fn drop_all(socket: &Socket) -> io::Result<()> {
    let mut nothing = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let filter = libc::sock_fprog {
        len: 1,
        filter: &raw mut nothing,
    };
    // SAFETY: the option's value is one `sock_fprog`, which the pointer is valid for; it tells of one instruction, which
    // the kernel copies.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Asks for a large buffer: past the system's limit where privileges allow it, up to it otherwise.
fn enlarge_receive_buffer(socket: &Socket) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_SIZE).is_err() {
        socket.set_recv_buffer_size(BUFFER_SIZE)?;
    }
    Ok(())
}

/// The same for what is sent.
fn enlarge_send_buffer(socket: &Socket) -> io::Result<()> {
    if sockopt::set_socket_send_buffer_size_force(socket, BUFFER_SIZE).is_err() {
        socket.set_send_buffer_size(BUFFER_SIZE)?;
    }
    Ok(())
}
