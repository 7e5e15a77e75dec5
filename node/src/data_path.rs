//! The data thread: one loop that owns the role, the link and all packet I/O.

use crate::clock;
use crate::error::Error;
use crate::kernel::sock_diag;
use crate::machine::{Machine, Taken};
use crate::report::Report;
use crate::socket_watch::{Answer, SocketWatch};
use crate::underlay::{BATCH, Underlay, is_temporary};
use jlb_ingress::{Packet, Verdict};
use jlb_packet_io::tun::Tun;
use jlb_packet_io::udp::Origin;
use jlb_packet_io::wait::{Interest, Poller, Waker};
use jlb_protocol::link::{self, Link, Opened, Route};
use jlb_protocol::{Destination, DropReason, Ledger, NodeNumber, PacketBuf, Time, Transmit, wire};
use std::collections::BTreeMap;
use std::net::IpAddr;
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
    /// What was tried, and why it failed. How often is counted elsewhere; this tells the reason, at
    /// most once a [`COMPLAINT_INTERVAL`].
    Failed(&'static str, String),
}

/// Why the node can't do its work yet, by whom it has a session with.
pub(crate) type Readiness = Box<dyn Fn(&Link) -> Option<&'static str> + Send>;

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
    pub(crate) readiness: Readiness,
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
    /// [`Error::System`] if the poller or the TUN device fails, [`Error::DataThread`] if the thread
    /// that lists sockets ended.
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
            complaints: BTreeMap::new(),
            notices_lost: 0,
            started: clock::now(),
            running: true,
        };
        turn.run(poller)
    }
}

/// Buffers kept for reading from the TUN device.
const MAX_SPARE: usize = 2 * BATCH;

/// The least time between two notices that the same thing failed.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

/// The loop's state.
struct Turn<M> {
    path: DataPath<M>,
    packets: Vec<Packet>,
    /// Buffers to read into, at most [`MAX_SPARE`].
    spare: Vec<PacketBuf>,
    stack: Ledger,
    /// Room for what the kernel tells of closes.
    closes: Vec<sock_diag::Event>,
    /// When the last [`Notice::Failed`] went out, by what was tried: a handful.
    complaints: BTreeMap<&'static str, Time>,
    /// Notices for which the control plane had no room.
    notices_lost: u64,
    started: Time,
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
                    TUN => self.read_stack(now)?,
                    WAKER => self.path.channels.waker.clear(),
                    CLOSES => self.read_closes(now),
                    socket => self.read_underlay(now, (socket - FIRST_SOCKET) as usize),
                }
            }
            self.handle_timers(now)?;
            self.drain(now);
            self.handle_commands();
        }
        Ok(())
    }

    fn until_next_timer(&self, now: Time) -> Duration {
        [
            self.path.machine.poll_timeout(),
            self.path.link.poll_timeout(),
            self.dump_due(),
        ]
        .into_iter()
        .flatten()
        .map(|due| due.since(now))
        .min()
        .unwrap_or(LONGEST_WAIT)
        .min(LONGEST_WAIT)
    }

    /// When the next list of sockets is to be asked for.
    fn dump_due(&self) -> Option<Time> {
        let sockets = self.path.sockets.as_ref()?;
        sockets.lists.due(self.path.machine.poll_dump())
    }

    fn handle_timers(&mut self, now: Time) -> Result<(), Error> {
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
        let ask = self.dump_due().is_some_and(|due| due <= now);
        let Some(SocketWatch { lists, .. }) = &mut self.path.sockets else {
            return Ok(());
        };
        match lists.poll(now) {
            Some(Answer::Complete(dump)) => {
                self.path
                    .machine
                    .handle_sockets(now, dump.started, &dump.sockets);
            }
            Some(Answer::Failed(error)) => self.notify(Notice::DumpFailed(error)),
            Some(Answer::ThreadEnded) => {
                let what = "the thread that lists sockets panicked; its last words are above";
                return Err(Error::DataThread(what.into()));
            }
            None if ask => lists.ask(),
            None => {}
        }
        Ok(())
    }

    /// Client packets that the kernel routed to the TUN device.
    ///
    /// # Errors
    /// [`Error::System`] if the device is gone: nothing would ever come from it again.
    fn read_stack(&mut self, now: Time) -> Result<(), Error> {
        let Some(tun) = &self.path.tun else {
            return Ok(());
        };
        let mut count = 0;
        while let Some(packet) = self.packets.get_mut(count) {
            match tun.read_into(&mut packet.buf) {
                Ok(_) => {}
                Err(error) if is_temporary(&error) => break,
                Err(error) => return Err(Error::system("read from the TUN device")(error)),
            }
            packet.verdict = Verdict::Pending;
            count += 1;
        }
        self.stack.received += count as u64;
        if !self.path.machine.process(now, &mut self.packets[..count]) {
            for _ in 0..count {
                self.stack.drop_for(DropReason::WrongRole);
            }
            return Ok(());
        }
        self.stack.consumed += count as u64;
        let mut packets = std::mem::take(&mut self.packets);
        for packet in packets.iter_mut().take(count) {
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
                    self.send(now, transmit);
                }
                Verdict::Inject => {
                    self.write_stack(now, packet.buf.as_slice());
                }
                Verdict::Pending | Verdict::Held | Verdict::Dropped(_) => {}
            }
        }
        self.packets = packets;
        Ok(())
    }

    /// Hands a packet to the machine's own IP stack.
    fn write_stack(&mut self, now: Time, packet: &[u8]) {
        self.stack.created += 1;
        let written = match &self.path.tun {
            Some(tun) => tun.write(packet),
            None => Err(std::io::ErrorKind::NotFound.into()),
        };
        match written {
            Ok(_) => self.stack.delivered += 1,
            Err(error) => {
                self.stack.drop_for(DropReason::SendFailed);
                self.complain(now, "write to the TUN device", || error.to_string());
            }
        }
    }

    fn read_underlay(&mut self, now: Time, socket: usize) {
        let mut underlay = std::mem::replace(&mut self.path.underlay, Underlay::none());
        let received = underlay.receive(socket, |buf, origin, local| {
            self.handle_datagram(now, buf, origin, local)
        });
        self.path.underlay = underlay;
        if let Err(error) = received {
            self.complain(now, "read from the underlay", || error.to_string());
        }
    }

    fn handle_datagram(&mut self, now: Time, buf: &PacketBuf, origin: &Origin, local: IpAddr) {
        if origin.truncated {
            self.path.link.truncated();
            return;
        }
        let bytes = buf.as_slice();
        let opened = self.path.link.open(now, origin.from, local, bytes);
        self.handle_link_events(now);
        let Ok(Opened::Message(node)) = opened else {
            return;
        };
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
            self.write_stack(now, flow.packet);
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
        let failure = sockets.events.read(&mut self.closes).err();
        let mut lost = failure.is_some();
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
            self.complain(now, "follow all sockets that close", || {
                failure.map_or("the kernel had no room for more".into(), |e| e.to_string())
            });
        }
    }

    /// Tells the control plane; if that has no room, the loss is counted.
    fn notify(&mut self, notice: Notice) {
        if self.path.channels.notices.try_send(notice).is_err() {
            self.notices_lost += 1;
        }
    }

    /// Tells why packets are dropped, now and then.
    fn complain(&mut self, now: Time, action: &'static str, why: impl FnOnce() -> String) {
        let last = self.complaints.get(action);
        if last.is_none_or(|&last| now.since(last) >= COMPLAINT_INTERVAL) {
            self.complaints.insert(action, now);
            self.notify(Notice::Failed(action, why()));
        }
    }

    /// Sends all that the role and the link want sent.
    fn drain(&mut self, now: Time) {
        while let Some(transmit) = self.path.machine.poll_transmit() {
            self.send(now, transmit);
        }
        while let Some((route, buf)) = self.path.link.poll_hello() {
            match self
                .path
                .underlay
                .source(route.local, jlb_protocol::keyed_hash::FlowHash::NONE)
            {
                Some((socket, _)) => self.push(now, socket, buf, route),
                None => self.path.link.send_failed(),
            }
        }
        self.flush(now);
    }

    /// Queues a sealed message; the queue is bounded by sending it off when it is full.
    fn push(&mut self, now: Time, socket: usize, buf: PacketBuf, route: Route) {
        if !self.path.underlay.has_room() {
            self.flush(now);
        }
        self.path.underlay.push(socket, buf, route.remote);
    }

    fn flush(&mut self, now: Time) {
        let (link, machine) = (&mut self.path.link, &mut self.path.machine);
        let spare = &mut self.spare;
        let failure = self.path.underlay.flush(|buf, sent| {
            if !sent {
                link.send_failed();
            }
            if spare.len() < MAX_SPARE {
                spare.push(buf)
            } else {
                machine.recycle(buf)
            }
        });
        if let Some((to, error)) = failure {
            self.complain(now, "send to a peer", || format!("{to}: {error}"));
        }
    }

    fn send(&mut self, now: Time, transmit: Transmit) {
        let Transmit { to, flow, mut buf } = transmit;
        let Destination::Node(node) = to else {
            self.write_stack(now, buf.as_slice());
            self.path.machine.recycle(buf);
            return;
        };
        let source = self
            .path
            .link
            .route(node)
            .and_then(|route| self.path.underlay.source(route.local, flow));
        let port = source.map_or(0, |(_, port)| port);
        let sealed = self.path.link.seal(node, port, &mut buf);
        match (sealed, source) {
            (Ok(route), Some((socket, _))) => self.push(now, socket, buf, route),
            (Ok(_), None) => {
                self.path.link.send_failed();
                self.path.machine.recycle(buf);
            }
            // The link counted why.
            (Err(_), _) => self.path.machine.recycle(buf),
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
        report.counter(
            "jlb_notices_lost_total",
            "Events that were not logged and do not show in the peers' state, since too many waited.",
            &[],
            self.notices_lost,
        );
        let now = clock::now();
        for (node, _) in self.path.link.sessions() {
            let heard = self.path.link.last_heard(node).unwrap_or(self.started);
            report.gauge(
                "jlb_peer_silence_seconds",
                "Time since the peer was last heard of, or since this node started.",
                &[("peer", &name(node))],
                now.since(heard).as_secs_f64(),
            );
        }
        let not_ready = self.path.machine.not_ready();
        report.not_ready = not_ready
            .or_else(|| (self.path.readiness)(&self.path.link))
            .map(str::to_owned);
        report
    }
}

#[cfg(test)]
mod tests;
