//! A forwarder's thread: its loop, its queues and sockets.

mod handing;

use super::{Answer, Boards, Counts, HANDED, Handed, Shared, Upward};
use crate::clock;
use crate::data_path::{LONGEST_WAIT, NICE, SOON};
use crate::error::Error;
use crate::segments::{HUGE, Intake, LARGE_PER_TURN, Outgoing, Seals, fill, take};
use crate::underlay::{BATCH, MAX_WAITING, Underlay};
use crate::xdp::{ClientFrames, Unsent};
use handing::Handing;
use jlb_ingress::{Forwarder, HandOn, Packet, Step};
use jlb_packet_io::process;
use jlb_packet_io::tun::{LargeBuf, Tun};
use jlb_packet_io::wait::{Interest, Poller, Waker};
use jlb_packet_io::xsk::Frame;
use jlb_protocol::buffer::Buffer;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::link::{Route, Sealer};
use jlb_protocol::packet::offload::{Segments, Split};
use jlb_protocol::{DropReason, FlowKey, NodeNumber, PacketBuf, Time};
use std::net::IpAddr;
use std::sync::Arc;

const TUN: u64 = 0;
const WAKER: u64 = 1;
const FIRST_QUEUE: u64 = 16;

/// Shortcuts of one forwarder at most. They are of the last second.
pub(crate) const MAX_SHORTCUTS: u32 = 1 << 18;

/// What a forwarder begins with.
pub(crate) struct Beginning {
    /// From 1.
    pub(crate) number: u8,
    pub(crate) tun: Tun,
    pub(crate) frames: Option<ClientFrames>,
    /// Our addresses towards peers.
    pub(crate) addresses: Vec<IpAddr>,
    /// The TUN device's MTU, in bytes.
    pub(crate) max_inner: usize,
    pub(crate) max_shortcuts: u32,
    pub(crate) seed: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rings: Upward,
    /// Wakes the first worker.
    pub(crate) first: Waker,
    /// Wakes this one.
    pub(crate) waker: Waker,
}

/// A forwarder, with all that it owns.
pub(crate) struct Forwarding {
    tun: Tun,
    frames: Option<ClientFrames>,
    underlay: Underlay,
    forwarder: Forwarder,
    seals: Sealed,
    handing: Handing,
    shared: Arc<Shared>,
    /// Of what was published, as far as it was read.
    revision: u32,
    boards: Arc<Boards>,
    /// When the kernel was asked last what it lost of frames.
    asked_losses: Time,
    waker: Waker,
    counts: Counts,
    /// `None` only while what is in it is being handled.
    large: Option<LargeBuf>,
    outgoing: Outgoing,
    packets: Vec<Packet>,
    /// Room for those in frames.
    frame_packets: Vec<Packet<Frame>>,
    steps: Vec<Step>,
    max_inner: usize,
}

/// A worker's own seals, counted.
struct Sealed {
    sealer: Sealer,
    sent: u64,
    failed: u64,
}

impl Sealed {
    fn seal_any(
        &mut self,
        to: NodeNumber,
        source_port: u16,
        buf: &mut impl Buffer,
    ) -> Result<Route, DropReason> {
        let sealed = self.sealer.seal(to, source_port, buf);
        match sealed {
            Ok(_) => self.sent += 1,
            Err(_) => self.failed += 1,
        }
        sealed
    }
}

impl Seals for Sealed {
    fn route(&self, to: NodeNumber) -> Option<Route> {
        self.sealer.route(to)
    }

    fn seal(
        &mut self,
        to: NodeNumber,
        source_port: u16,
        buf: &mut PacketBuf,
    ) -> Result<Route, DropReason> {
        self.seal_any(to, source_port, buf)
    }

    fn send_failed(&mut self) {
        self.sent -= 1;
        self.failed += 1;
    }
}

impl Forwarding {
    /// Binds the sockets that it sends from. To be called by the thread itself: what is made here it writes.
    ///
    /// # Errors
    /// [`Error::Bind`] if an address can't be used.
    pub(crate) fn new(beginning: Beginning) -> Result<Self, Error> {
        let published = beginning.shared.published();
        let mut sealer = Sealer::new(beginning.number);
        sealer.take(&published.sessions);
        let max_inner = beginning.max_inner;
        Ok(Self {
            // Peers send to the port that the first worker listens on.
            underlay: Underlay::bind_to_send(&beginning.addresses)?,
            forwarder: Forwarder::new(
                published.rules,
                published.generation,
                beginning.max_shortcuts.min(MAX_SHORTCUTS),
                beginning.seed,
            ),
            seals: Sealed {
                sealer,
                sent: 0,
                failed: 0,
            },
            handing: Handing {
                rings: beginning.rings,
                first: beginning.first,
                under_way: 0,
                wakes: false,
                spare: (0..HANDED + MAX_WAITING + BATCH)
                    .map(|_| PacketBuf::new(max_inner))
                    .collect(),
            },
            tun: beginning.tun,
            frames: beginning.frames,
            shared: beginning.shared,
            revision: published.revision,
            boards: Arc::new(Boards::new()),
            asked_losses: clock::now(),
            waker: beginning.waker,
            counts: Counts::default(),
            large: Some(LargeBuf::default()),
            outgoing: Outgoing::default(),
            packets: (0..BATCH)
                .map(|_| Packet::new(PacketBuf::new(max_inner)))
                .collect(),
            frame_packets: Vec::with_capacity(BATCH),
            steps: Vec::with_capacity(BATCH),
            max_inner,
        })
    }

    pub(crate) fn boards(&self) -> Arc<Boards> {
        Arc::clone(&self.boards)
    }

    /// Runs until the first worker says that it is over.
    ///
    /// # Errors
    /// [`Error::System`] if the poller or the TUN device fails.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let mut poller = Poller::new().map_err(Error::system("make a poller"))?;
        let watch = || -> std::io::Result<()> {
            poller.add(&self.waker, WAKER, Interest::Readable)?;
            poller.add(&self.tun, TUN, Interest::Readable)?;
            match &self.frames {
                Some(frames) => frames.watch(&poller, FIRST_QUEUE),
                None => Ok(()),
            }
        };
        watch().map_err(Error::system("watch the queues"))?;
        // The first worker says so if this may not be.
        let _ = process::set_thread_nice(NICE);
        let mut ready = Vec::new();
        loop {
            let waits = self.frames.as_ref().is_some_and(ClientFrames::waits);
            let wait = if waits { SOON } else { LONGEST_WAIT };
            ready.clear();
            let found = poller
                .wait(Some(wait))
                .map_err(Error::system("wait for packets"))?;
            ready.extend(found.map(|file| file.token));
            if self.shared.stops() {
                return Ok(());
            }
            for &token in &ready {
                match token {
                    TUN => self.read_stack()?,
                    WAKER => self.woken(),
                    queue => self.read_frames((queue - FIRST_QUEUE) as usize),
                }
            }
            self.end_turn();
        }
    }

    fn woken(&mut self) {
        self.waker.clear();
        if let Some(frames) = &mut self.frames {
            frames.take_news();
        }
    }

    /// Tells what was counted, after all of it is done.
    fn end_turn(&mut self) {
        self.flush();
        self.settle_frames();
        self.handing.wake();
        let now = clock::now();
        self.underlay.adapt(now);
        self.forwarder.expire(now);
        let stats = self.forwarder.stats();
        self.counts = Counts {
            forwarded: stats.forwarded,
            renewals: stats.renewals,
            no_room: stats.no_room,
            shortcuts: stats.shortcuts,
            sent: self.seals.sent,
            failed: self.seals.failed,
            ..self.counts
        };
        self.boards.counts.write(&self.counts.words());
        if let Some(frames) = &mut self.frames {
            if now.since(self.asked_losses) >= LONGEST_WAIT {
                self.asked_losses = now;
                frames.ask_losses();
            }
            self.boards.frames.write(&frames.counts().words());
        }
    }

    /// Before packets that were read are looked at: what the first worker has said is heard first.
    fn listen(&mut self) -> Time {
        let now = clock::now();
        if self.shared.revision() != self.revision {
            let published = self.shared.published();
            self.revision = published.revision;
            self.seals.sealer.take(&published.sessions);
            if published.generation != self.forwarder.generation() {
                self.forwarder.begin(published.generation, published.rules);
            }
        }
        while let Some(answer) = self.handing.next_answer() {
            if let Some(shortcut) = answer.shortcut {
                let Answer {
                    number, generation, ..
                } = answer;
                self.forwarder.install(now, number, generation, &shortcut);
            }
        }
        now
    }

    /// What is to be done with each of these packets, in the room of `steps`, which is to be given back.
    fn look<B: Buffer>(&mut self, packets: &mut [Packet<B>]) -> Vec<Step> {
        let now = self.listen();
        let mut steps = std::mem::take(&mut self.steps);
        steps.clear();
        let sealer = &self.seals.sealer;
        let reaches = |node| sealer.route(node).is_some();
        self.forwarder.process(now, reaches, packets, &mut steps);
        steps
    }

    fn read_stack(&mut self) -> Result<(), Error> {
        for _ in 0..LARGE_PER_TURN {
            let Some((len, segments)) = self.read_batch()? else {
                break;
            };
            let Some(large) = self.large.take() else {
                break;
            };
            self.handle_large(large.packet(len), segments);
            self.large = Some(large);
        }
        Ok(())
    }

    /// Reads and handles packets up to a large one, whose length and segments it gives.
    fn read_batch(&mut self) -> Result<Option<(usize, Segments)>, Error> {
        let mut count = 0;
        let mut large = None;
        while let Some(packet) = self.packets.get_mut(count) {
            let Some(room) = &mut self.large else {
                return Ok(None);
            };
            let taken = take(&self.tun, &mut packet.buf, room);
            match taken.map_err(Error::system("read from a queue of the TUN device"))? {
                Intake::Packet => count += 1,
                Intake::Large(len, segments) => {
                    large = Some((len, segments));
                    break;
                }
                Intake::Dropped(reason) => self.counts.drop_for(reason),
                Intake::Unreadable(_) => self.counts.drop_for(DropReason::BadTransportHeader),
                Intake::Nothing => break,
            }
        }
        self.process(count);
        Ok(large)
    }

    /// Forwards or hands on the first `count` packets.
    fn process(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let mut packets = std::mem::take(&mut self.packets);
        let steps = self.look(&mut packets[..count]);
        for (packet, step) in packets.iter_mut().zip(&steps) {
            match *step {
                Step::Forward { to, flow, renew } => {
                    let mut fresh = self.handing.spare.pop().unwrap_or_default();
                    fresh.reserve(self.max_inner);
                    let buf = std::mem::replace(&mut packet.buf, fresh);
                    self.send(to, flow, buf);
                    self.renew(renew);
                }
                Step::HandOn(step) => self.hand_on(&step, &mut packet.buf),
            }
        }
        self.packets = packets;
        self.steps = steps;
    }

    fn hand_on(&mut self, step: &HandOn, buf: &mut PacketBuf) {
        if self
            .handing
            .hand_packet(step.number, step.key, step.opens, buf)
        {
            self.forwarder.handed_on(step);
            self.counts.handed_on += 1;
        } else {
            self.counts.drop_for(DropReason::WorkerFull);
        }
    }

    fn renew(&mut self, renew: Option<(FlowKey, u64)>) {
        if let Some((key, number)) = renew
            && !self.handing.hand(Handed::Renew { number, key })
        {
            self.forwarder.not_asked(&key);
        }
    }

    fn send(&mut self, to: NodeNumber, flow: FlowHash, mut buf: PacketBuf) {
        let source = self
            .seals
            .route(to)
            .and_then(|route| self.underlay.source(route.local, flow));
        let port = source.map_or(0, |(_, port)| port);
        match (self.seals.seal(to, port, &mut buf), source) {
            (Ok(route), Some((socket, _))) => self.push(socket, buf, route),
            (Ok(_), None) => {
                self.seals.send_failed();
                self.handing.spare.push(buf);
            }
            (Err(_), _) => self.handing.spare.push(buf),
        }
    }

    fn push(&mut self, socket: usize, buf: PacketBuf, route: Route) {
        if !self.underlay.has_room() {
            self.flush();
        }
        self.underlay.push(socket, buf, route.remote);
    }

    fn flush(&mut self) {
        let (seals, spare) = (&mut self.seals, &mut self.handing.spare);
        // How often is counted; the first worker sends by the same ways, and says why.
        let _ = self.underlay.flush(|buf, sent| {
            if !sent {
                seals.send_failed();
            }
            spare.push(buf);
        });
    }

    /// One packet that stands for many: by one shortcut, or each of them is the first worker's.
    fn handle_large(&mut self, packet: &[u8], segments: Segments) {
        let split = match Split::new(packet, segments) {
            Ok(split) => split,
            Err(reason) => {
                self.counts.drop_for(reason);
                return;
            }
        };
        let count = split.count();
        self.counts.large += 1;
        self.counts.huge += u64::from(packet.len() > HUGE);
        self.counts.segments += count as u64;
        let mut packets = std::mem::take(&mut self.packets);
        let Some(first) = packets.first_mut() else {
            return;
        };
        fill(&mut first.buf, &split, 0);
        let inner_len = first.buf.len();
        let steps = self.look(std::slice::from_mut(first));
        let mut next = 1;
        match steps.first() {
            Some(&Step::Forward { to, flow, renew }) => {
                // An end of the flow is the first worker's to see: it stands in the last segment alone.
                let alike = if split.ends_flow() { count - 1 } else { count }.max(1);
                self.forwarder.count_forwarded(alike as u64 - 1);
                let headers = &first.buf.as_slice()[..first.buf.len() - inner_len];
                // What was read before goes out before.
                self.flush();
                let (seals, underlay) = (&mut self.seals, &mut self.underlay);
                let _ = self
                    .outgoing
                    .send(seals, underlay, &split, alike, headers, (to, flow));
                self.renew(renew);
                next = alike;
            }
            Some(Step::HandOn(step)) => self.hand_on(step, &mut first.buf),
            None => {}
        }
        self.packets = packets;
        self.steps = steps;
        while next < count {
            let part = (count - next).min(BATCH);
            for packet in &mut self.packets[..part] {
                fill(&mut packet.buf, &split, next);
                next += 1;
            }
            self.process(part);
        }
    }

    fn read_frames(&mut self, at: usize) {
        let Some(frames) = &mut self.frames else {
            return;
        };
        let mut packets = std::mem::take(&mut self.frame_packets);
        if frames.receive(at, &mut packets) == 0 {
            self.frame_packets = packets;
            return;
        }
        let steps = self.look(&mut packets);
        for (packet, step) in packets.drain(..).zip(&steps) {
            match *step {
                Step::Forward { to, flow, renew } => {
                    self.send_frame(to, flow, packet.buf);
                    self.renew(renew);
                }
                Step::HandOn(step) => {
                    // The memory of the frame is this worker's own.
                    if let Some(mut buf) = self.handing.spare.pop() {
                        buf.fill(packet.buf.as_slice());
                        self.hand_on(&step, &mut buf);
                        self.handing.spare.push(buf);
                    } else {
                        self.counts.drop_for(DropReason::WorkerFull);
                    }
                    self.put(packet.buf);
                }
            }
        }
        self.frame_packets = packets;
        self.steps = steps;
        // Messages that do not go by a frame are not overtaken by more than a batch of them.
        self.flush();
        self.settle_frames();
    }

    fn settle_frames(&mut self) {
        if let Some(frames) = &mut self.frames {
            // The first worker sends by the same interfaces, and says why.
            let _ = frames.settle();
        }
    }

    fn put(&mut self, frame: Frame) {
        if let Some(frames) = &mut self.frames {
            frames.put(frame);
        }
    }

    fn send_frame(&mut self, to: NodeNumber, flow: FlowHash, mut frame: Frame) {
        let underlay = &mut self.underlay;
        let source = self
            .seals
            .route(to)
            .and_then(|route| underlay.source(route.local, flow));
        let port = source.map_or(0, |(_, port)| port);
        let Ok(route) = self.seals.seal_any(to, port, &mut frame) else {
            self.put(frame);
            return;
        };
        let (Some((socket, port)), Some(frames)) = (source, &mut self.frames) else {
            self.seals.send_failed();
            self.put(frame);
            return;
        };
        match frames.send(to, frame, &route, port) {
            Ok(()) => {}
            Err(Unsent::Otherwise(frame)) => {
                let mut buf = self.handing.spare.pop().unwrap_or_default();
                buf.fill(frame.as_slice());
                self.put(frame);
                self.push(socket, buf, route);
            }
            Err(Unsent::Lost(frame)) => {
                self.seals.send_failed();
                self.put(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests;
