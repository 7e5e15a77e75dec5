//! Packets from and to the machine's own IP stack, through the TUN device.
//!
//! The kernel hands over what it has not cut into segments yet, 64 KiB at once: the role looks at the
//! first segment, and the others go the same way with headers of their own. The other way round,
//! segments of a flow that come one behind the other are handed to the kernel as one.

use super::to_stack::ToStack;
use super::{Notice, ONE_CALL_EACH, Turn};
use crate::error::Error;
use crate::machine::Machine;
use crate::segments::{HUGE, Intake, LARGE_PER_TURN, Outgoing, fill, take};
use crate::underlay::BATCH;
use jlb_ingress::Verdict;
use jlb_packet_io::tun::{Batch, LargeBuf, Tun};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::packet::offload::{Joined, Segments, Split};
use jlb_protocol::{Destination, DropReason, NodeNumber, Time, Transmit};

/// What segmentation offload needs, and has done.
pub(super) struct Offloaded {
    /// `None` only while what is in it is being handled.
    large: Option<LargeBuf>,
    joined: Joined,
    to_stack: ToStack,
    outgoing: Outgoing,
    pub(super) counts: Counts,
}

/// What was moved in large packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// Large packets that the kernel handed over.
    pub(super) received: u64,
    /// Those of more than 32 KiB.
    pub(super) received_huge: u64,
    /// Segments that they were cut into.
    pub(super) segments_received: u64,
    /// Large packets that the kernel was handed.
    pub(super) written: u64,
    /// Segments that they were made of.
    pub(super) segments_written: u64,
}

impl Offloaded {
    pub(super) fn new(batch: Batch) -> Self {
        Self {
            large: Some(LargeBuf::default()),
            joined: Joined::default(),
            to_stack: ToStack::new(batch),
            outgoing: Outgoing::default(),
            counts: Counts::default(),
        }
    }
}

impl<M: Machine> Turn<M> {
    /// Client packets that the kernel routed to the TUN device.
    ///
    /// # Errors
    /// [`Error::System`] if the device is gone: nothing would ever come from it again.
    pub(super) fn read_stack(&mut self, now: Time) -> Result<(), Error> {
        for _ in 0..LARGE_PER_TURN {
            let Some((len, segments)) = self.read_batch(now)? else {
                return Ok(());
            };
            let Some(large) = self.offload.large.take() else {
                return Ok(());
            };
            self.handle_large(now, large.packet(len), segments);
            self.offload.large = Some(large);
            self.taken.all += 1;
        }
        self.has_more = true;
        Ok(())
    }

    /// Reads and handles packets up to a large one, whose length and segments it gives.
    fn read_batch(&mut self, now: Time) -> Result<Option<(usize, Segments)>, Error> {
        let mut count = 0;
        let mut large = None;
        while let Some(packet) = self.packets.get_mut(count) {
            let Some((tun, room)) = self.path.tun.as_ref().zip(self.offload.large.as_mut()) else {
                return Ok(None);
            };
            match take(tun, &mut packet.buf, room)
                .map_err(Error::system("read from the TUN device"))?
            {
                Intake::Packet => {}
                Intake::Large(len, segments) => {
                    large = Some((len, segments));
                    break;
                }
                Intake::Dropped(reason) => {
                    self.drop_unread(reason);
                    continue;
                }
                Intake::Unreadable(error) => {
                    self.drop_unread(DropReason::BadTransportHeader);
                    self.complain(now, "read from the TUN device", || error.to_string());
                    continue;
                }
                Intake::Nothing => break,
            }
            packet.verdict = Verdict::Pending;
            count += 1;
        }
        self.has_more |= count == self.packets.len();
        self.process(now, count);
        Ok(large)
    }

    fn drop_unread(&mut self, reason: DropReason) {
        self.stack.received += 1;
        self.stack.drop_for(reason);
    }

    /// Has the role look at the first `count` packets, and does what it says.
    pub(super) fn process(&mut self, now: Time, count: usize) {
        self.taken.all += count;
        self.stack.received += count as u64;
        if !self.path.machine.process(now, &mut self.packets[..count]) {
            for _ in 0..count {
                self.stack.drop_for(DropReason::WrongRole);
            }
            return;
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
    }

    /// One packet that stands for many: the role sees the first, and the others only if that is not
    /// forwarded.
    fn handle_large(&mut self, now: Time, packet: &[u8], segments: Segments) {
        let split = match Split::new(packet, segments) {
            Ok(split) => split,
            Err(reason) => {
                self.drop_unread(reason);
                return;
            }
        };
        let count = split.count();
        let counts = &mut self.offload.counts;
        counts.received += 1;
        counts.received_huge += u64::from(packet.len() > HUGE);
        counts.segments_received += count as u64;
        let mut packets = std::mem::take(&mut self.packets);
        let Some(first) = packets.first_mut() else {
            return;
        };
        first.verdict = Verdict::Pending;
        fill(&mut first.buf, &split, 0);
        let inner_len = first.buf.len();
        self.stack.received += 1;
        let taken = self.path.machine.process(now, std::slice::from_mut(first));
        if !taken {
            self.stack.drop_for(DropReason::WrongRole);
            self.packets = packets;
            return;
        }
        self.stack.consumed += 1;
        match first.verdict {
            Verdict::Forward { to, flow } => {
                // An end of the flow is the role's to see: it stands in the last segment alone.
                let alike = if split.ends_flow() { count - 1 } else { count }.max(1);
                let others = alike as u64 - 1;
                self.path.machine.count_forwarded(others);
                self.stack.received += others;
                self.stack.consumed += others;
                let headers = &first.buf.as_slice()[..first.buf.len() - inner_len];
                self.forward_large(now, &split, alike, headers, (to, flow));
                self.packets = packets;
                self.process_segments(now, &split, alike);
            }
            verdict => {
                if verdict == Verdict::Inject {
                    self.write_stack(now, first.buf.as_slice());
                }
                self.packets = packets;
                self.process_segments(now, &split, 1);
            }
        }
    }

    /// Has the role look at each segment from number `from` on.
    fn process_segments(&mut self, now: Time, split: &Split<'_>, from: usize) {
        let mut at = from;
        while at < split.count() {
            let count = (split.count() - at).min(BATCH);
            for packet in &mut self.packets[..count] {
                packet.verdict = Verdict::Pending;
                fill(&mut packet.buf, split, at);
                at += 1;
            }
            self.process(now, count);
        }
    }

    /// Sends the first `count` segments behind these headers, in runs.
    fn forward_large(
        &mut self,
        now: Time,
        split: &Split<'_>,
        count: usize,
        headers: &[u8],
        to: (NodeNumber, FlowHash),
    ) {
        // What was read before goes out before.
        self.flush(now);
        let (link, underlay) = (&mut self.path.link, &mut self.path.underlay);
        let outgoing = &mut self.offload.outgoing;
        if let Some((to, error)) = outgoing.send(link, underlay, split, count, headers, to) {
            self.complain(now, "send to a peer", || format!("{to}: {error}"));
        }
    }

    /// Hands a packet of an accepted flow to the stack, perhaps with others that follow it.
    pub(super) fn deliver(&mut self, now: Time, packet: &[u8]) {
        if !self.path.tun.as_ref().is_some_and(Tun::offloads) {
            self.write_stack(now, packet);
            return;
        }
        if self.offload.joined.push(packet) {
            return;
        }
        self.write_joined(now);
        if !self.offload.joined.push(packet) {
            self.write_stack(now, packet);
        }
    }

    /// Hands over what was joined so far.
    fn write_joined(&mut self, now: Time) {
        let Offloaded {
            joined,
            to_stack,
            counts,
            ..
        } = &mut self.offload;
        let count = joined.count();
        let Some(packet) = joined.take() else {
            return;
        };
        let result = to_stack.push_joined(self.path.tun.as_ref(), &mut self.stack, packet, count);
        joined.clear();
        if count > 1 {
            counts.written += 1;
            counts.segments_written += count;
        }
        self.complain_of_stack(now, result);
    }

    /// A new life begins (R11): what the one before took goes no further.
    pub(super) fn drop_waiting(&mut self) {
        let Offloaded {
            joined, to_stack, ..
        } = &mut self.offload;
        let count = joined.count() + to_stack.len() as u64;
        joined.clear();
        to_stack.clear();
        self.stack.created += count;
        for _ in 0..count {
            self.stack.drop_for(DropReason::StaleIncarnation);
        }
    }

    /// Has a packet go to the machine's own IP stack, at the latest with [`Self::settle_stack`].
    pub(super) fn write_stack(&mut self, now: Time, packet: &[u8]) {
        self.write_joined(now);
        let (tun, stack) = (self.path.tun.as_ref(), &mut self.stack);
        let result = self.offload.to_stack.push(tun, stack, packet);
        self.complain_of_stack(now, result);
    }

    /// The stack has all that was for it when this returns.
    pub(super) fn settle_stack(&mut self, now: Time) {
        self.write_joined(now);
        let (tun, stack) = (self.path.tun.as_ref(), &mut self.stack);
        let result = self.offload.to_stack.flush(tun, stack);
        self.complain_of_stack(now, result);
        if let Some(error) = self.offload.to_stack.take_failure() {
            self.notify(Notice::Failed(ONE_CALL_EACH, error.to_string()));
        }
    }

    fn complain_of_stack(&mut self, now: Time, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.complain(now, "write to the TUN device", || error.to_string());
        }
    }
}
