//! The data thread: one loop that owns the role, the link and all packet I/O.

mod coalesce;
mod control;
mod draining;
mod frames;
mod life;
mod members;
mod report;
mod stack;
mod strip;
mod to_stack;
mod workers;

use coalesce::{Coalescing, Work};
pub(crate) use control::{Channels, Command, DataThread, Notice, Reconfiguration};
pub(crate) use draining::{Allowance, Draining, FileDrain};
pub(crate) use life::{Fresh, Life};
pub(crate) use members::{Members, word};
use stack::Offloaded;
use workers::Handing;

use crate::clock;
use crate::error::Error;
use crate::kernel::sock_diag;
use crate::machine::{Machine, RoleConfig, Taken};
use crate::socket_watch::{Answer, MAX_ANSWERS, SocketWatch};
use crate::strip::Stripper;
use crate::underlay::{BATCH, Underlay};
use crate::workers::Forwarders;
use crate::xdp::ClientFrames;
use jlb_host_agent::Strip;
use jlb_ingress::{Packet, Verdict};
use jlb_packet_io::process::{self, IdleTime, RunDelay};
use jlb_packet_io::tun::{Batch, Tun};
use jlb_packet_io::udp::Origin;
use jlb_packet_io::wait::{Interest, Poller, hold_still};
use jlb_packet_io::xsk::Frame;
use jlb_protocol::link::{Link, Opened, Route};
use jlb_protocol::message::Control;
use jlb_protocol::{Destination, Ledger, Message, NodeNumber, PacketBuf, Time, Transmit, wire};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// All that the data thread owns.
pub(crate) struct DataPath<M> {
    pub(crate) machine: M,
    pub(crate) link: Link,
    pub(crate) underlay: Underlay,
    pub(crate) tun: Option<Tun>,
    /// Where clients' packets come by `AF_XDP`, too.
    pub(crate) frames: Option<ClientFrames>,
    /// The other workers, where there are any.
    pub(crate) forwarders: Option<Forwarders>,
    /// Where the kernel decapsulates, too.
    pub(crate) stripper: Option<Stripper>,
    pub(crate) sockets: Option<SocketWatch>,
    pub(crate) channels: Channels,
    pub(crate) names: BTreeMap<NodeNumber, String>,
    pub(crate) members: Members,
    pub(crate) life: Life<M>,
    /// Who wants that this node drains.
    pub(crate) draining: Draining,
    /// The TUN device's MTU, in bytes.
    pub(crate) max_inner: usize,
    /// The longest that the thread may hold still, see [`coalesce`].
    pub(crate) coalesce: Option<Duration>,
}

const TUN: u64 = 0;
const WAKER: u64 = 1;
const CLOSES: u64 = 2;
const FIRST_SOCKET: u64 = 16;
/// After the underlay's sockets, of which there are fewer.
const FIRST_QUEUE: u64 = 1 << 16;

/// How much the kernel prefers the data thread to ordinary ones: heartbeats must not be late when
/// web servers take all processors, and yet these must not starve under a flood of packets.
pub(crate) const NICE: i32 = -10;

/// While datagrams of one batch are handled, time stands still for so long at most. Shorter than any
/// pause that counts.
const RECENT: Duration = Duration::from_millis(1);

/// How soon a turn follows while something waits that no file tells of: frames for the kernel or it for them, memory
/// to be swept.
pub(crate) const SOON: Duration = Duration::from_millis(1);

/// The longest sleep, even if no timer is due.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(1);

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
            if let Some(frames) = &self.frames {
                frames.watch(&poller, FIRST_QUEUE)?;
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
        let meter = RunDelay::open();
        let unseen = meter.as_ref().err().map(ToString::to_string);
        let together = self.tun.as_ref().map(|_| Batch::together());
        let (batch, apart) = match together {
            Some(Ok(batch)) => (batch, None),
            Some(Err(error)) => (Batch::one_by_one(), Some(error.to_string())),
            None => (Batch::one_by_one(), None),
        };
        let mut turn = Turn {
            coalescing: Coalescing::new(
                self.coalesce,
                meter.ok(),
                IdleTime::open().ok(),
                clock::now(),
            ),
            taken: Work::default(),
            has_more: false,
            path: self,
            packets,
            frame_packets: Vec::with_capacity(BATCH),
            spare: Vec::new(),
            stack: Ledger::default(),
            offload: Offloaded::new(batch),
            handing: Handing::default(),
            letters: Vec::new(),
            let_go: Vec::new(),
            closes: Vec::new(),
            complaints: BTreeMap::new(),
            notices_lost: 0,
            started: clock::now(),
            config: None,
            ends: None,
        };
        if let Err(error) = process::set_thread_nice(NICE) {
            turn.notify(Notice::Failed(
                "have the packet thread preferred to others",
                error.to_string(),
            ));
        }
        if let Some(why) = unseen {
            turn.notify(Notice::Failed(
                "see how long the packet thread waits for processors: it never holds still",
                why,
            ));
        }
        if let Some(why) = apart {
            turn.notify(Notice::Failed(ONE_CALL_EACH, why));
        }
        turn.run(poller)
    }
}

/// What is tried in vain where there is no `io_uring`.
const ONE_CALL_EACH: &str = "use io_uring: the stack gets its packets one call each";

/// Buffers kept for reading from the TUN device.
const MAX_SPARE: usize = 2 * BATCH;

/// The least time between two notices that the same thing failed.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

/// The loop's state.
struct Turn<M> {
    path: DataPath<M>,
    coalescing: Coalescing,
    /// What this turn has taken in.
    taken: Work,
    /// Whether more is there than it took in.
    has_more: bool,
    packets: Vec<Packet>,
    /// Room for those in frames.
    frame_packets: Vec<Packet<Frame>>,
    /// Buffers to read into, at most [`MAX_SPARE`].
    spare: Vec<PacketBuf>,
    stack: Ledger,
    offload: Offloaded,
    handing: Handing,
    /// What the membership wants sent at the end of the turn; it is bounded there.
    letters: Vec<Transmit>,
    /// Connections that the kernel may decapsulate as soon as it has their packets: at most one for each message of
    /// this turn.
    let_go: Vec<Strip>,
    /// Room for what the kernel tells of closes.
    closes: Vec<sock_diag::Event>,
    /// When the last [`Notice::Failed`] went out, by what was tried: a handful.
    complaints: BTreeMap<&'static str, Time>,
    /// Notices for which the control plane had no room.
    notices_lost: u64,
    started: Time,
    /// The configuration that the role took over last, if it is not that of its start.
    config: Option<RoleConfig>,
    /// When the loop ends.
    ends: Option<Time>,
}

impl<M: Machine> Turn<M> {
    fn run(mut self, mut poller: Poller) -> Result<(), Error> {
        let mut ready = Vec::new();
        let now = self.act_on_draining(clock::now());
        self.handle_members(now);
        loop {
            let before = clock::now();
            if self.ends.is_some_and(|end| end <= before) {
                return Ok(());
            }
            let wait = self.until_next_timer(before);
            ready.clear();
            let found = poller
                .wait(Some(wait))
                .map_err(Error::system("wait for packets"))?;
            ready.extend(found.map(|file| file.token));
            (self.taken, self.has_more) = (Work::default(), false);
            for &token in &ready {
                let now = self.look();
                match token {
                    TUN => self.read_stack(now)?,
                    WAKER => self.woken(now)?,
                    CLOSES => self.read_closes(now),
                    queue if queue >= FIRST_QUEUE => {
                        self.read_frames(now, (queue - FIRST_QUEUE) as usize);
                    }
                    socket => self.read_underlay((socket - FIRST_SOCKET) as usize),
                }
            }
            let now = self.look();
            self.handle_timers(now)?;
            let now = self.handle_members(now);
            self.drain(now);
            if let Some(now) = self.handle_commands(now) {
                let now = self.handle_members(now);
                self.drain(now);
            }
            self.hold_still();
        }
    }

    /// Where processors are short, waits for more to come, unless it is there.
    fn hold_still(&mut self) {
        if self.taken.all == 0 || self.has_more {
            return;
        }
        let now = clock::now();
        let hold = self.coalescing.hold(now, self.taken);
        if hold.is_zero() {
            return;
        }
        let hold = hold.min(self.until_next_timer(now));
        if !hold.is_zero() {
            self.coalescing.holds += 1;
            hold_still(hold);
        }
    }

    /// The time. If the process was paused until now, its new life has begun when this returns.
    fn look(&mut self) -> Time {
        let now = clock::now();
        let due = self.path.members.poll_timeout();
        if due.is_some_and(|due| due <= now) {
            self.handle_members(now)
        } else {
            now
        }
    }

    fn until_next_timer(&self, now: Time) -> Duration {
        [
            self.path.machine.poll_timeout(),
            self.path.link.poll_timeout(),
            self.path.members.poll_timeout(),
            self.dump_due(),
            self.look_ups_due(),
            self.frames_due(now),
            self.sweep_due(),
            self.ends,
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

    /// When the kernel is to be asked for single connections.
    fn look_ups_due(&self) -> Option<Time> {
        let sockets = self.path.sockets.as_ref()?;
        let wanted = self.path.machine.poll_look_ups();
        sockets.lists.look_ups_due(wanted)
    }

    fn woken(&mut self, now: Time) -> Result<(), Error> {
        self.path.channels.waker.clear();
        if let Some(frames) = &mut self.path.frames {
            frames.take_news();
        }
        self.read_handed(now)
    }

    fn handle_timers(&mut self, now: Time) -> Result<(), Error> {
        if self.path.frames.as_ref().is_some_and(ClientFrames::waits) {
            self.settle_frames(now);
        }
        self.sweep(now);
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
        self.handle_lists(now)
    }

    /// Hands on what there is of a list of sockets, which comes in parts so that packets do not wait for all of it, or of
    /// look-ups, and asks for the next.
    fn handle_lists(&mut self, now: Time) -> Result<(), Error> {
        let ask = self.dump_due().is_some_and(|due| due <= now);
        let look_up = self.look_ups_due().is_some_and(|due| due <= now);
        let Some(SocketWatch { lists, .. }) = &mut self.path.sockets else {
            return Ok(());
        };
        let machine = &mut self.path.machine;
        // As many as wait at most: each that comes later wakes this thread.
        for _ in 0..=MAX_ANSWERS {
            match lists.poll(now) {
                Some(Answer::Begun { started, scope }) => {
                    machine.begin_sockets(now, started, scope)
                }
                Some(Answer::Part(sockets)) => machine.handle_part(now, &sockets),
                Some(Answer::Complete { cost }) => machine.end_sockets(now, cost),
                Some(Answer::Failed(error)) => {
                    self.notify(Notice::DumpFailed(error));
                    return Ok(());
                }
                Some(Answer::LookedUp {
                    started,
                    cost,
                    answers,
                }) => machine.handle_looked_up(now, started, cost, &answers),
                Some(Answer::LookUpsFailed(error)) => {
                    machine.handle_look_ups_failed();
                    self.notify(Notice::LookUpsFailed(error));
                    return Ok(());
                }
                Some(Answer::ThreadEnded) => {
                    let what = "the thread that lists sockets panicked; its last words are above";
                    return Err(Error::DataThread(what.into()));
                }
                None => break,
            }
        }
        if ask {
            lists.ask(machine.dump_scope(now));
        } else if look_up {
            lists.look_up(machine.take_look_ups());
        }
        Ok(())
    }

    fn read_underlay(&mut self, socket: usize) {
        let mut underlay = std::mem::replace(&mut self.path.underlay, Underlay::none());
        let mut looked: Option<Time> = None;
        let received = underlay.receive(socket, |buf, origin, local| {
            // The process may have been paused while these were received, or since: what came before
            // that is not to be acted on afterwards (R11).
            let present = clock::now();
            let recent = looked.filter(|&looked| present.since(looked) < RECENT);
            let now = recent.unwrap_or_else(|| self.look());
            looked = Some(now);
            self.handle_datagram(now, buf, origin, local);
        });
        self.path.underlay = underlay;
        self.has_more |= received.as_ref().is_ok_and(|&more| more);
        // Again before the stack gets what was joined or waits.
        let now = self.look();
        self.settle_stack(now);
        if let Err(error) = received {
            let now = looked.unwrap_or_else(clock::now);
            self.complain(now, "read from the underlay", || error.to_string());
        }
    }

    fn handle_datagram(&mut self, now: Time, bytes: &[u8], origin: &Origin, local: IpAddr) {
        self.taken.all += 1;
        if origin.truncated {
            self.path.link.truncated();
            return;
        }
        let opened = self.path.link.open(now, origin.from, local, bytes);
        self.handle_link_events(now);
        let Ok(Opened::Message(node)) = opened else {
            return;
        };
        // Only of a node's own messages: nobody else decides how long packets wait.
        self.taken.setup += usize::from(!wire::is_data(bytes));
        let message = match wire::decode(bytes) {
            Ok(message) => message,
            Err(reason) => {
                self.path.link.undecodable(reason);
                return;
            }
        };
        self.path.members.handle_heard(now, node);
        if let Message::Control(Control::Members { members }) = message {
            self.path.members.handle_members(now, node, &members);
            return;
        }
        let taken = self.path.machine.handle_message(now, node, &message);
        // Before the stack gets a SYN of a flow, the program passes none by the agent that it sees from now on.
        self.apply_strips(now);
        if taken == Taken::Deliver
            && let Message::Flow(flow) = message
        {
            self.deliver(now, flow.packet);
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
        self.path.underlay.adapt(now);
        self.tell_forwarders();
        self.apply_strips(now);
        self.settle_stack(now);
        self.let_go(now);
        while let Some(transmit) = self.path.machine.poll_transmit() {
            self.send(now, transmit);
        }
        for letter in std::mem::take(&mut self.letters) {
            self.send(now, letter);
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
        self.settle_stack(now);
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
}

#[cfg(test)]
mod tests;
