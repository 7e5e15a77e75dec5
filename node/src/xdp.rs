//! Client packets by `AF_XDP`: from the interface into the role and out again in one piece of memory,
//! past the kernel's stack.
//!
//! Everything that this can't do is left to the ways that are there anyhow: what the XDP program
//! passes on comes by the TUN device, and a message without a known next hop leaves by the
//! underlay's sockets.

pub(crate) mod counts;
mod next_hops;
mod outer;
mod unfinished;

pub(crate) use counts::{FrameCounts, PortCounts};

use crate::error::Error;
use crate::kernel;
use crate::kernel::netlink::{Interface, Netlink};
use crate::kernel::steering::{MAX_QUEUES, Steering, Vips};
use crate::report::Report;
use crate::underlay::BATCH;
use jlb_ingress::Packet;
use jlb_packet_io::ebpf::{Link, Mode, Program};
use jlb_packet_io::interface;
use jlb_packet_io::wait::{Interest, Poller, Waker};
use jlb_packet_io::xsk::{self, Frame, Kick, Opened, Options, Pool, Queue, Socket};
use jlb_protocol::NodeNumber;
use jlb_protocol::link::Route;
use next_hops::{Ends, NextHops};
use outer::ETHERNET_LEN;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Frames that wait in rings of all sockets together, about: a ring of each has 256 to 2,048.
const RINGS: u32 = 8_192;

/// Messages that wait to be sent by one socket. Half of a receiver's window (R12): those that leave by
/// ordinary sockets meanwhile don't make them too old.
const SENDING: u32 = 512;

/// Larger packets need larger frames.
const SMALL_FRAME_MTU: u32 = 1_700;

/// What to take packets from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// The interfaces.
    pub(crate) interfaces: Vec<String>,
    /// Whether a driver without XDP will do.
    pub(crate) generic: bool,
    /// The VIPs.
    pub(crate) vips: Vec<IpAddr>,
    /// Largest inner packet in bytes.
    pub(crate) max_inner: u16,
}

/// An interface that packets are taken from: for each worker apart, as the sockets.
#[derive(Debug)]
#[repr(align(128))]
struct Port {
    name: String,
    interface: Interface,
    mode: Mode,
    /// The first of this worker's sockets that is one of its queues, among all; it may have none there.
    first: Option<usize>,
    received: u64,
    sent: u64,
    _program: Arc<InFront>,
}

/// A program in front of an interface, which leaves with this.
#[derive(Debug)]
struct InFront {
    _link: Link,
    _steering: Steering,
}

impl Port {
    /// Whether a sender's kernel may have left checksums to a device, and nothing has finished them on the way: the
    /// other end of a veth is on this machine, and in generic mode packets come as the stack has them, from
    /// another device of this machine perhaps.
    fn may_be_unfinished(&self) -> bool {
        self.interface.is_veth || self.mode == Mode::Generic
    }
}

/// What was counted over all interfaces.
#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    no_next_hop: u64,
    no_socket: u64,
    too_big: u64,
    ring_full: u64,
    finished: u64,
}

/// A message that can't leave by a frame.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// An ordinary socket can take it.
    Otherwise(Frame),
    /// It is lost, since its interface takes no more for now.
    Lost(Frame),
}

/// The sockets of one worker at all interfaces, and their frames.
#[derive(Debug)]
pub(crate) struct ClientFrames {
    ports: Vec<Port>,
    sockets: Vec<Socket>,
    /// By socket, its interface.
    port_of: Vec<usize>,
    pool: Pool,
    vips: Arc<Vips>,
    hops: NextHops,
    /// Room for what is received.
    raw: Vec<Frame>,
    /// Whether frames wait to be sent, or sockets for frames.
    waits: bool,
    identification: u16,
    counts: Counts,
    lost: Vec<xsk::Statistics>,
}

/// A queue of an interface, and which of the interfaces that is.
type OfPort = (Queue, usize);

/// The sockets that one worker has opened.
type OpenedOf = (Pool, Vec<Socket>, Vec<usize>);

impl ClientFrames {
    /// Opens the sockets and puts the programs in place, in the calling thread's namespace. There is a waker for each
    /// worker, which wakes it when [`Self::take_news`] is to be called; they have the queues by turns, and one
    /// for which there is none has nothing. The first has always some.
    ///
    /// # Errors
    /// [`Error::Setup`], which names the interface and what can't be done with it.
    pub(crate) fn open(wanted: &Wanted, wakers: &[Waker]) -> Result<Vec<Option<Self>>, Error> {
        let netlink = Netlink::open().map_err(Error::Setup)?;
        let mut interfaces = Vec::new();
        let mut queues: Vec<OfPort> = Vec::new();
        for (at, name) in wanted.interfaces.iter().enumerate() {
            let interface = netlink.interface(name).map_err(Error::Setup)?;
            // A driver that does not tell has the queues that the kernel has made for it.
            let count = interface::receive_queues(name).unwrap_or(interface.queues);
            queues.extend((0..count.clamp(1, MAX_QUEUES)).map(|queue| {
                let interface = interface.index;
                (Queue { interface, queue }, at)
            }));
            interfaces.push((name, interface));
        }
        let options = options(&interfaces, queues.len() as u32);
        let names = wanted.interfaces.join(", ");
        let failed = |doing: String| move |error| Error::Setup(kernel::Error::new(doing, error));
        let shares = shares(&queues, wakers.len()).into_iter().map(|share| {
            let (queues, port_of): (Vec<Queue>, Vec<usize>) = share.into_iter().unzip();
            if queues.is_empty() {
                return Ok(None);
            }
            let Opened { pool, sockets, .. } = xsk::open(&queues, &options)
                .map_err(failed(format!("open AF_XDP sockets on {names}")))?;
            Ok(Some((pool, sockets, port_of)))
        });
        let shares = shares.collect::<Result<Vec<Option<OpenedOf>>, Error>>()?;
        let vips = Vips::new().map_err(failed("make an eBPF map".into()))?;
        vips.set(&wanted.vips)
            .map_err(failed("write the VIPs to an eBPF map".into()))?;
        // What a frame has no room for comes by the TUN device.
        let pools = shares.iter().flatten().map(|(pool, ..)| pool);
        let largest = pools.map(Pool::largest_packet).min().unwrap_or(0);
        let room = largest.saturating_sub(ETHERNET_LEN);
        let largest = wanted
            .max_inner
            .min(u16::try_from(room).unwrap_or(u16::MAX));
        let mut programs = Vec::new();
        for (at, (name, interface)) in interfaces.iter().enumerate() {
            let steering = Steering::load(&vips, interface.hardware, largest)
                .map_err(io::Error::other)
                .map_err(failed(format!("load the program of {name}")))?;
            for (_, sockets, port_of) in shares.iter().flatten() {
                let its = sockets.iter().zip(port_of).filter(|(_, port)| **port == at);
                for (socket, _) in its {
                    socket
                        .register(&steering.sockets)
                        .map_err(failed(format!("send packets of {name} to a socket")))?;
                }
            }
            let (link, mode) = attach(
                &steering.program,
                interface.index,
                wanted.generic,
                "packet_io = \"tun\" works on any interface",
            )
            .map_err(failed(format!("put an XDP program in front of {name}")))?;
            let program = InFront {
                _link: link,
                _steering: steering,
            };
            programs.push((Arc::new(program), mode));
        }
        let vips = Arc::new(vips);
        let of_worker = |(share, waker): (Option<OpenedOf>, &Waker)| {
            let Some((pool, sockets, port_of)) = share else {
                return Ok(None);
            };
            let mut ports = Vec::new();
            for (at, (known, program)) in interfaces.iter().zip(&programs).enumerate() {
                ports.push(Port {
                    name: known.0.clone(),
                    interface: known.1.clone(),
                    mode: program.1,
                    first: port_of.iter().position(|&port| port == at),
                    received: 0,
                    sent: 0,
                    _program: Arc::clone(&program.0),
                });
            }
            let names = ports
                .iter()
                .map(|port| (port.name.clone(), port.interface.index));
            Ok(Some(Self {
                hops: NextHops::start(names.collect(), waker.clone())?,
                lost: vec![xsk::Statistics::default(); ports.len()],
                ports,
                sockets,
                port_of,
                pool,
                vips: Arc::clone(&vips),
                raw: Vec::with_capacity(BATCH),
                waits: false,
                identification: 0,
                counts: Counts::default(),
            }))
        };
        shares.into_iter().zip(wakers).map(of_worker).collect()
    }

    /// Adds every socket to the poller, under `first_token` and the numbers after it.
    pub(crate) fn watch(&self, poller: &Poller, first_token: u64) -> io::Result<()> {
        (first_token..)
            .zip(&self.sockets)
            .try_for_each(|(token, socket)| poller.add(socket, token, Interest::Readable))
    }

    /// What a person should know of how packets are taken, a line for each interface.
    pub(crate) fn describe(&self) -> Vec<String> {
        let line = |port: &Port| {
            let how = match port.mode {
                Mode::Native => "in the driver",
                Mode::Generic => "behind the driver (generic), which is slow",
            };
            let sockets = self.sockets.iter().zip(&self.port_of);
            let copies = sockets
                .filter(|(_, of)| self.ports.get(**of).is_some_and(|it| it.name == port.name))
                .any(|(socket, _)| !socket.is_zero_copy().unwrap_or(false));
            let memory = if copies { "copied" } else { "without copies" };
            format!("{}: XDP {how}, packets {memory}", port.name)
        };
        let ports = self.ports.iter().filter(|port| port.first.is_some());
        ports.map(line).collect()
    }

    /// These are the VIPs from now on.
    pub(crate) fn set_vips(&self, vips: &[IpAddr]) -> io::Result<()> {
        self.vips.set(vips)
    }

    /// Takes what was learnt of next hops; call it after the waker was called.
    pub(crate) fn take_news(&mut self) {
        self.hops.take_news();
    }

    /// Whether [`Self::settle`] is to be called soon, though nothing arrives.
    pub(crate) const fn waits(&self) -> bool {
        self.waits
    }

    /// Appends the IP packets that socket `at` has, a batch at most, and gives their number.
    pub(crate) fn receive(&mut self, at: usize, packets: &mut Vec<Packet<Frame>>) -> usize {
        let Some((socket, &port)) = self.sockets.get_mut(at).zip(self.port_of.get(at)) else {
            return 0;
        };
        let count = socket.receive(&mut self.raw, BATCH);
        let port = &mut self.ports[port];
        port.received += count as u64;
        let before = packets.len();
        // The first look at each packet is one at memory that another processor wrote: so little is done here that
        // the looks overlap.
        packets.extend(self.raw.drain(..).map(|mut frame| {
            frame.strip(ETHERNET_LEN);
            // A short packet comes with padding.
            let len = ip_len(frame.as_slice());
            frame.truncate(len);
            Packet::new(frame)
        }));
        if port.may_be_unfinished() {
            for packet in &mut packets[before..] {
                let finished = unfinished::finish(packet.buf.as_mut_slice());
                self.counts.finished += u64::from(finished);
            }
        }
        count
    }

    /// Queues a sealed message to a node, which [`Self::settle`] sends.
    pub(crate) fn send(
        &mut self,
        to: NodeNumber,
        mut frame: Frame,
        route: &Route,
        source_port: u16,
    ) -> Result<(), Unsent> {
        let ends = Ends {
            local: route.local,
            remote: route.remote.ip(),
        };
        let Some(hop) = self.hops.get(to, ends) else {
            self.counts.no_next_hop += 1;
            return Err(Unsent::Otherwise(frame));
        };
        let port = &mut self.ports[hop.interface];
        let Some(socket) = port.first.and_then(|at| self.sockets.get_mut(at)) else {
            self.counts.no_socket += 1;
            return Err(Unsent::Otherwise(frame));
        };
        if outer::packet_len(ends.remote, frame.len()) > hop.mtu {
            // The kernel takes it to pieces.
            self.counts.too_big += 1;
            return Err(Unsent::Otherwise(frame));
        }
        self.identification = self.identification.wrapping_add(1);
        let id = self.identification;
        if !outer::put(&mut frame, &hop.ethernet, route, source_port, id) {
            self.counts.too_big += 1;
            return Err(Unsent::Otherwise(frame));
        }
        match socket.send(frame) {
            Ok(()) => {
                port.sent += 1;
                Ok(())
            }
            Err(frame) => {
                self.counts.ring_full += 1;
                Err(Unsent::Lost(frame))
            }
        }
    }

    /// Takes back a frame that is not sent.
    pub(crate) fn put(&mut self, frame: Frame) {
        // All frames that anybody here has are of this pool.
        let _ = self.pool.put(frame);
    }

    /// Has the kernel send what is queued, takes back what was sent and gives the sockets free frames.
    ///
    /// # Errors
    /// The first interface that can't send, with the reason.
    pub(crate) fn settle(&mut self) -> Result<(), (String, io::Error)> {
        let mut result = Ok(());
        self.waits = false;
        for (socket, &port) in self.sockets.iter_mut().zip(&self.port_of) {
            match socket.kick() {
                Ok(Kick::Done) => {}
                Ok(Kick::Waiting(_)) => self.waits = true,
                Err(error) => {
                    self.waits = true;
                    let name = || self.ports[port].name.clone();
                    result = result.and_then(|()| Err((name(), error)));
                }
            }
            socket.reclaim(&mut self.pool);
        }
        for socket in &mut self.sockets {
            self.waits |= !socket.refill(&mut self.pool);
        }
        result
    }

    /// Has the kernel tell what it lost: each now and then.
    pub(crate) fn ask_losses(&mut self) {
        self.lost.fill(xsk::Statistics::default());
        for (socket, &port) in self.sockets.iter().zip(&self.port_of) {
            // A socket that can't tell has nothing to add.
            if let Ok(one) = socket.statistics() {
                let sum = &mut self.lost[port];
                sum.dropped += one.dropped;
                sum.ring_full += one.ring_full;
                sum.invalid_sent += one.invalid_sent;
            }
        }
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> FrameCounts {
        let mut counts = FrameCounts {
            no_next_hop: self.counts.no_next_hop,
            no_socket: self.counts.no_socket,
            too_big: self.counts.too_big,
            ring_full: self.counts.ring_full,
            finished: self.counts.finished,
            free: self.pool.len() as u64,
            next_hops: self.hops.len() as u64,
            ..FrameCounts::default()
        };
        let ports = self.ports.iter().zip(&self.lost);
        for (place, (port, lost)) in counts.ports.iter_mut().zip(ports) {
            *place = PortCounts {
                received: port.received,
                sent: port.sent,
                no_frame: lost.dropped,
                receive_ring_full: lost.ring_full,
                refused: lost.invalid_sent,
            };
        }
        counts
    }

    /// Adds what all workers have counted.
    pub(crate) fn report(&self, all: &FrameCounts, report: &mut Report) {
        let names: Vec<&str> = self.ports.iter().map(|port| port.name.as_str()).collect();
        all.report(&names, report);
    }
}

/// The queues of each of so many workers.
fn shares(queues: &[OfPort], workers: usize) -> Vec<Vec<OfPort>> {
    let share = |worker| queues.iter().skip(worker).step_by(workers.max(1)).copied();
    (0..workers).map(|worker| share(worker).collect()).collect()
}

/// How much memory the sockets have.
fn options(interfaces: &[(&String, Interface)], queues: u32) -> Options {
    let ring = (RINGS / queues.max(1)).clamp(256, 2_048);
    // The next power of two below.
    let ring = 1 << ring.ilog2();
    let largest = interfaces.iter().map(|(_, interface)| interface.mtu).max();
    Options {
        ring,
        send_ring: SENDING,
        // One ring of them waits for packets; another is on its way out.
        frames: 2 * ring as usize,
        frame_size: if largest.unwrap_or(0) <= SMALL_FRAME_MTU {
            2_048
        } else {
            4_096
        },
        copy: false,
    }
}

/// Puts a program in front of an interface's packets, the best way that there is. An error says what can be
/// done `otherwise`.
pub(crate) fn attach(
    program: &Program,
    interface: u32,
    generic: bool,
    otherwise: &str,
) -> io::Result<(Link, Mode)> {
    match program.attach(interface, Mode::Native) {
        Ok(link) => Ok((link, Mode::Native)),
        Err(_) if generic => {
            let link = program.attach(interface, Mode::Generic)?;
            Ok((link, Mode::Generic))
        }
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!(
                "{error} (is there another program? Does the driver know XDP, with this MTU and these \
                 offloads? {otherwise}, xdp_generic = true on most)"
            ),
        )),
    }
}

/// Bytes of the IP packet that these begin with, by its header; all of them if it has none.
fn ip_len(bytes: &[u8]) -> usize {
    match bytes {
        [0x40..=0x4f, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        [0x60..=0x6f, _, _, _, high, low, ..] => {
            40 + usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => bytes.len(),
    }
}
