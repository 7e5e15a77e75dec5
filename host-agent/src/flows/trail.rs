//! How far the client of a TCP flow has got, which a reset must name so that the kernel heeds it; or the
//! doubt whether it is in its next life.

use super::{Flow, Flows, Mark};
use jlb_flow_table::Handle;
use jlb_protocol::packet::{Packet, TcpFlags, Transport};

/// What the two numbers are that a flow has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    Nothing,
    /// The client's trail: the sequence number that it sends next, and what it has acknowledged.
    Trail,
    /// The [`Doubt`]'s attempt.
    Doubt,
    /// The same, and the client has sent an ACK since.
    AnsweredDoubt,
    /// The birth that the driver was told of, while the flow is stripped.
    Birth,
}

/// A SYN of another attempt than the flow's was delivered though it was established, and it is not known
/// yet whether the kernel has begun a new life for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    pub(super) isn: u32,
    /// The client sent an ACK since.
    pub(super) answered: bool,
}

/// The sequence and acknowledgment number of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
}

impl Point {
    /// Where a segment with an acknowledgment begins; `None` for any other packet, and for resets and
    /// SYNs.
    pub(crate) const fn before(packet: &Packet) -> Option<Self> {
        match packet.transport {
            Transport::Tcp {
                seq, ack, flags, ..
            } if is_mid_flow(flags) => Some(Self { seq, ack }),
            _ => None,
        }
    }

    /// Where the client is if the segment is a keepalive of an idle connection: a repeat of the octet before
    /// it, sent or not (RFC 9293, 3.8.4).
    pub(crate) fn of_keepalive(packet: &Packet) -> Option<Self> {
        match packet.transport {
            Transport::Tcp {
                payload_len: 0 | 1,
                flags,
                ..
            } if !flags.contains(TcpFlags::FIN) => {
                let Self { seq, ack } = Self::before(packet)?;
                let seq = seq.wrapping_add(1);
                Some(Self { seq, ack })
            }
            _ => None,
        }
    }

    /// Where the one after that begins.
    fn after(packet: &Packet) -> Option<Self> {
        let Transport::Tcp {
            seq,
            ack,
            flags,
            payload_len,
            ..
        } = packet.transport
        else {
            return None;
        };
        let payload = u32::try_from(payload_len).ok()?;
        let fin = u32::from(flags.contains(TcpFlags::FIN));
        is_mid_flow(flags).then_some(Self {
            seq: seq.wrapping_add(payload).wrapping_add(fin),
            ack,
        })
    }
}

const fn is_mid_flow(flags: TcpFlags) -> bool {
    flags.contains(TcpFlags::ACK)
        && !flags.contains(TcpFlags::SYN)
        && !flags.contains(TcpFlags::RST)
}

/// The later of two numbers, modulo 2^32 (RFC 9293 section 3.4).
const fn later(number: u32, other: u32) -> u32 {
    if number.wrapping_sub(other) < 1 << 31 {
        number
    } else {
        other
    }
}

impl Flow {
    pub(super) const fn doubt(&self) -> Option<Doubt> {
        let answered = match self.holds {
            Holds::Nothing | Holds::Trail | Holds::Birth => return None,
            Holds::Doubt => false,
            Holds::AnsweredDoubt => true,
        };
        let [isn, _] = self.numbers;
        Some(Doubt { isn, answered })
    }

    /// The trail goes: which life it is of is what is in doubt.
    pub(super) const fn set_doubt(&mut self, doubt: Option<Doubt>) {
        (self.holds, self.numbers) = match doubt {
            None => (Holds::Nothing, [0; 2]),
            Some(Doubt {
                isn,
                answered: false,
            }) => (Holds::Doubt, [isn, 0]),
            Some(Doubt {
                isn,
                answered: true,
            }) => (Holds::AnsweredDoubt, [isn, 0]),
        };
    }

    /// What was seen is of an earlier life.
    pub(super) const fn forget_trail(&mut self) {
        if matches!(self.mark, Mark::CUT) {
            self.mark = Mark::NONE;
        }
        if matches!(self.holds, Holds::Trail) {
            self.holds = Holds::Nothing;
        }
    }
}

impl Flows {
    /// A segment of the client is delivered. One that was sent before another takes nothing back. Of a flow
    /// that is stripped others come unseen, so that what this one says is soon out of date.
    pub(crate) fn follow(&mut self, handle: Handle, packet: &Packet) {
        let Some(Point { seq, ack }) = Point::after(packet) else {
            return;
        };
        if self.is_stripped(handle) {
            return;
        }
        let Some(flow) = self.table.get_mut(handle) else {
            return;
        };
        flow.numbers = match (flow.holds, flow.numbers) {
            (Holds::Doubt | Holds::AnsweredDoubt, _) => return,
            (Holds::Nothing | Holds::Birth, _) => [seq, ack],
            (Holds::Trail, [next, acked]) => [later(seq, next), later(ack, acked)],
        };
        flow.holds = Holds::Trail;
    }

    /// Where the client is, as far as it was seen.
    pub(crate) fn trail(&self, handle: Handle) -> Option<Point> {
        let flow = self.table.get(handle)?;
        let [seq, ack] = flow.numbers;
        matches!(flow.holds, Holds::Trail).then_some(Point { seq, ack })
    }

    /// The flow is reset; false if it was before.
    pub(crate) fn cut(&mut self, handle: Handle) -> bool {
        let flow = self.table.get_mut(handle);
        flow.is_some_and(|flow| core::mem::replace(&mut flow.mark, Mark::CUT) != Mark::CUT)
    }
}

#[cfg(test)]
mod tests;
