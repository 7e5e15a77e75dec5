//! The data thread: one loop that owns the role, the link and all packet I/O.

use crate::clock;
use crate::error::Error;
use crate::kernel::sock_diag;
use crate::machine::{Machine, Taken};
use crate::report::Report;
use crate::socket_watch::SocketWatch;
use crate::underlay::{BATCH, Underlay};
use jlb_ingress::{Packet, Verdict};
use jlb_packet_io::tun::Tun;
use jlb_packet_io::wait::{Interest, Poller, Waker};
use jlb_protocol::link::{self, Link, Opened};
use jlb_protocol::{Destination, DropReason, Ledger, NodeNumber, PacketBuf, Time, Transmit, wire};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What the control plane asks of the data thread.
pub(crate) enum Command {
    /// A consistent moment of all books and gauges.
    Report(oneshot::Sender<Report>),
    /// End the loop.
    Stop,
}

/// What the data thread tells the control plane, as it happens.
pub(crate) enum Notice {
    /// The link learnt something of a peer.
    Peer(link::Event),
    /// The list of the machine's sockets can't be read.
    DumpFailed(crate::kernel::Error),
    /// Destroy events were lost; a list was asked for.
    EventsLost,
}

/// The channels between the data thread and the control plane.
pub(crate) struct Channels {
    pub(crate) commands: Receiver<Command>,
    pub(crate) waker: Waker,
    pub(crate) notices: mpsc::Sender<Notice>,
}

/// All that the data thread owns.
pub(crate) struct DataPath<M> {
    pub(crate) machine: M,
    pub(crate) link: Link,
    pub(crate) underlay: Underlay,
    pub(crate) tun: Option<Tun>,
    pub(crate) sockets: Option<SocketWatch>,
    pub(crate) channels: Channels,
    pub(crate) names: BTreeMap<NodeNumber, String>,
    pub(crate) readiness: fn(&Link, &Report) -> Option<String>,
    /// The TUN device's MTU, in bytes.
    pub(crate) max_inner: usize,
}

const TUN: u64 = 0;
const WAKER: u64 = 1;
const CLOSES: u64 = 2;
const FIRST_SOCKET: u64 = 16;

/// The longest sleep, even if no timer is due.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl<M: Machine> DataPath<M> {
    /// Runs until [`Command::Stop`], or the control plane is gone.
    ///
    /// # Errors
    /// [`Error::System`] if the poller fails.
    pub(crate) fn run(self) -> Result<(), Error> {
        let poller = Poller::new().map_err(Error::system("make a poller"))?;
        let watch = || -> std::io::Result<()> {
            poller.add(&self.channels.waker, WAKER, Interest::Readable)?;
            self.underlay.watch(&poller, FIRST_SOCKET)?;
            if let Some(tun) = &self.tun {
                poller.add(tun, TUN, Interest::Readable)?;
            }
            if let Some(sockets) = &self.sockets {
                poller.add(&sockets.events, CLOSES, Interest::Readable)?;
            }
            Ok(())
        };
        watch().map_err(Error::system("watch the sockets"))?;
        let packets = (0..BATCH)
            .map(|_| Packet {
                buf: PacketBuf::new(self.max_inner),
                verdict: Verdict::Pending,
            })
            .collect();
        let turn = Turn {
            path: self,
            packets,
            spare: Vec::new(),
            stack: Ledger::default(),
            closes: Vec::new(),
            running: true,
        };
        turn.run(poller)
    }
}

/// Buffers kept for reading from the TUN device.
const MAX_SPARE: usize = 2 * BATCH;

/// Hands a packet to the machine's own IP stack.
fn write_stack(stack: &mut Ledger, tun: Option<&Tun>, packet: &[u8]) {
    stack.created += 1;
    match tun {
        Some(tun) if tun.write(packet).is_ok() => stack.delivered += 1,
        _ => stack.drop_for(DropReason::SendFailed),
    }
}

/// The loop's state.
struct Turn<M> {
    path: DataPath<M>,
    packets: Vec<Packet>,
    /// Buffers to read into, at most [`MAX_SPARE`].
    spare: Vec<PacketBuf>,
    stack: Ledger,
    /// Room for what the kernel tells of closes.
    closes: Vec<sock_diag::Event>,
    running: bool,
}

impl<M: Machine> Turn<M> {
    fn run(mut self, mut poller: Poller) -> Result<(), Error> {
        let mut ready = Vec::new();
        while self.running {
            let wait = self.until_next_timer(clock::now());
            ready.clear();
            let found = poller
                .wait(Some(wait))
                .map_err(Error::system("wait for packets"))?;
            ready.extend(found.map(|file| file.token));
            let now = clock::now();
            for &token in &ready {
                match token {
                    TUN => self.read_stack(now),
                    WAKER => self.path.channels.waker.clear(),
                    CLOSES => self.read_closes(now),
                    socket => self.read_underlay(now, (socket - FIRST_SOCKET) as usize),
                }
            }
            self.handle_timers(now);
            self.drain();
            self.handle_commands();
        }
        Ok(())
    }

    fn until_next_timer(&self, now: Time) -> Duration {
        let asked = self
            .path
            .sockets
            .as_ref()
            .is_some_and(SocketWatch::is_waiting);
        let dump = if asked {
            None
        } else {
            self.path.machine.poll_dump()
        };
        [
            self.path.machine.poll_timeout(),
            self.path.link.poll_timeout(),
            dump,
        ]
        .into_iter()
        .flatten()
        .map(|due| due.since(now))
        .min()
        .unwrap_or(LONGEST_WAIT)
        .min(LONGEST_WAIT)
    }

    fn handle_timers(&mut self, now: Time) {
        if self.path.link.poll_timeout().is_some_and(|due| due <= now) {
            self.path.link.handle_timeout(now);
        }
        if self
            .path
            .machine
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            self.path.machine.handle_timeout(now);
        }
        let Some(sockets) = &mut self.path.sockets else {
            return;
        };
        if let Some(dump) = sockets.poll() {
            match dump {
                Ok(dump) => self
                    .path
                    .machine
                    .handle_sockets(now, dump.started, &dump.sockets),
                Err(error) => self.notify(Notice::DumpFailed(error)),
            }
        } else if self.path.machine.poll_dump().is_some_and(|due| due <= now) {
            sockets.ask();
        }
    }

    /// Client packets that the kernel routed to the TUN device.
    fn read_stack(&mut self, now: Time) {
        let Some(tun) = &self.path.tun else { return };
        let mut count = 0;
        while let Some(packet) = self.packets.get_mut(count) {
            if tun.read_into(&mut packet.buf).is_err() {
                break;
            }
            packet.verdict = Verdict::Pending;
            count += 1;
        }
        self.stack.received += count as u64;
        if !self.path.machine.process(now, &mut self.packets[..count]) {
            for _ in 0..count {
                self.stack.drop_for(DropReason::WrongRole);
            }
            return;
        }
        self.stack.consumed += count as u64;
        for at in 0..count {
            let packet = &mut self.packets[at];
            match packet.verdict {
                Verdict::Forward { to, flow } => {
                    let mut fresh = self.spare.pop().unwrap_or_default();
                    fresh.reserve(self.path.max_inner);
                    let buf = std::mem::replace(&mut packet.buf, fresh);
                    let transmit = Transmit {
                        to: Destination::Node(to),
                        flow,
                        buf,
                    };
                    self.send(transmit);
                }
                Verdict::Inject => {
                    let stack = &mut self.stack;
                    write_stack(stack, self.path.tun.as_ref(), packet.buf.as_slice());
                }
                Verdict::Pending | Verdict::Held | Verdict::Dropped(_) => {}
            }
        }
    }

    fn read_underlay(&mut self, now: Time, socket: usize) {
        let mut underlay = std::mem::replace(&mut self.path.underlay, Underlay::none());
        underlay.receive(socket, |buf, from, local| {
            self.handle_datagram(now, buf, from, local)
        });
        self.path.underlay = underlay;
    }

    fn handle_datagram(&mut self, now: Time, buf: &PacketBuf, from: SocketAddr, local: IpAddr) {
        let bytes = buf.as_slice();
        let Ok(Opened::Message(node)) = self.path.link.open(now, from, local, bytes) else {
            self.handle_link_events(now);
            return;
        };
        self.handle_link_events(now);
        let message = match wire::decode(bytes) {
            Ok(message) => message,
            Err(reason) => {
                self.path.link.undecodable(reason);
                return;
            }
        };
        if self.path.machine.handle_message(now, node, &message) == Taken::Deliver
            && let jlb_protocol::Message::Flow(flow) = message
        {
            write_stack(&mut self.stack, self.path.tun.as_ref(), flow.packet);
        }
    }

    fn handle_link_events(&mut self, now: Time) {
        while let Some(event) = self.path.link.poll_event() {
            if let link::Event::PeerStarted { node, .. } = event {
                self.path.machine.handle_peer_started(now, node);
            }
            self.notify(Notice::Peer(event));
        }
    }

    fn read_closes(&mut self, now: Time) {
        let Some(sockets) = &mut self.path.sockets else {
            return;
        };
        self.closes.clear();
        // What can't be read is as good as lost: the list tells.
        let mut lost = sockets.events.read(&mut self.closes).is_err();
        for close in &self.closes {
            match close {
                sock_diag::Event::Closed(socket) => self.path.machine.handle_socket_closed(
                    now,
                    socket.local,
                    socket.remote,
                    socket.cookie,
                ),
                sock_diag::Event::Lost => lost = true,
            }
        }
        if lost {
            self.path.machine.handle_events_lost(now);
            self.notify(Notice::EventsLost);
        }
    }

    /// Tells the control plane; if that has stopped reading, there is nobody to tell.
    fn notify(&self, notice: Notice) {
        let _ = self.path.channels.notices.try_send(notice);
    }

    /// Sends all that the role and the link want sent.
    fn drain(&mut self) {
        while let Some(transmit) = self.path.machine.poll_transmit() {
            self.send(transmit);
        }
        while let Some((route, buf)) = self.path.link.poll_hello() {
            match self
                .path
                .underlay
                .source(route.local, jlb_protocol::keyed_hash::FlowHash::NONE)
            {
                Some((socket, _)) => self.path.underlay.push(socket, buf, route.remote),
                None => self.path.link.send_failed(),
            }
        }
        let (link, machine) = (&mut self.path.link, &mut self.path.machine);
        let spare = &mut self.spare;
        self.path.underlay.flush(|buf, sent| {
            if !sent {
                link.send_failed();
            }
            if spare.len() < MAX_SPARE {
                spare.push(buf)
            } else {
                machine.recycle(buf)
            }
        });
    }

    fn send(&mut self, transmit: Transmit) {
        let Transmit { to, flow, mut buf } = transmit;
        let Destination::Node(node) = to else {
            write_stack(&mut self.stack, self.path.tun.as_ref(), buf.as_slice());
            self.path.machine.recycle(buf);
            return;
        };
        let source = self
            .path
            .link
            .route(node)
            .and_then(|route| self.path.underlay.source(route.local, flow));
        // Without a route or a socket the seal fails as well, and counts why.
        let (socket, port) = source.unwrap_or((0, 0));
        match self.path.link.seal(node, port, &mut buf) {
            Ok(route) => self.path.underlay.push(socket, buf, route.remote),
            Err(_) => self.path.machine.recycle(buf),
        }
    }

    fn handle_commands(&mut self) {
        loop {
            match self.path.channels.commands.try_recv() {
                Ok(Command::Report(reply)) => {
                    let _ = reply.send(self.report());
                }
                Ok(Command::Stop) | Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.running = false;
                    return;
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return,
            }
        }
    }

    fn report(&self) -> Report {
        let mut report = Report {
            stack: self.stack.clone(),
            link: self.path.link.ledger().clone(),
            role: self.path.machine.ledger(),
            ..Report::default()
        };
        let name = |node| {
            self.path
                .names
                .get(&node)
                .cloned()
                .unwrap_or_else(|| NodeNumber::to_string(&node))
        };
        self.path.machine.report(&name, &mut report);
        report.not_ready = (self.path.readiness)(&self.path.link, &report);
        report
    }
}
