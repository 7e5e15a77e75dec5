//! The answers that an ingress gives a client whose flow is refused (R6).

use core::time::Duration;
use jlb_protocol::packet::{self, Transport};
use jlb_protocol::{DropReason, PacketBuf, Time};

mod digest;

/// ICMP errors sent in a second at most, and in one burst. RFC 4443 section 2.4 (f) demands a
/// limit: an error is larger than the datagram, which may be forged. TCP resets are smaller than
/// what they answer, and have none.
pub(crate) const ICMP_ERRORS_PER_SECOND: u32 = 1000;

/// A token bucket for ICMP errors.
#[derive(Clone, Debug)]
pub(crate) struct AnswerLimit {
    tokens: u32,
    refilled: Time,
}

/// What came of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// The buffer holds a TCP reset.
    Reset,
    /// The buffer holds an ICMP error.
    Unreachable,
    /// This packet is never answered.
    Unanswerable,
    /// Too many ICMP errors were sent just now.
    Limited,
}

impl AnswerLimit {
    pub(crate) const fn new(now: Time) -> Self {
        Self {
            tokens: ICMP_ERRORS_PER_SECOND,
            refilled: now,
        }
    }

    /// Writes the refusal of `original`, a client's packet: a reset for TCP, port unreachable for
    /// UDP, nothing for ICMP errors (RFC 1122 section 3.2.2) and resets.
    pub(crate) fn refuse(&mut self, original: &[u8], out: &mut PacketBuf, now: Time) -> Answer {
        let written = |result: Result<(), DropReason>, answer| match result {
            Ok(()) => answer,
            Err(_) => Answer::Unanswerable,
        };
        match packet::parse(original).map(|packet| packet.transport) {
            Ok(Transport::Tcp { .. }) => written(packet::write_reset(original, out), Answer::Reset),
            Ok(Transport::Udp { .. }) => {
                if !self.take(now) {
                    return Answer::Limited;
                }
                written(
                    packet::write_unreachable(original, out),
                    Answer::Unreachable,
                )
            }
            Ok(
                Transport::IcmpError { .. }
                | Transport::EchoRequest
                | Transport::OtherIcmp
                | Transport::Other(_),
            )
            | Err(_) => Answer::Unanswerable,
        }
    }

    fn take(&mut self, now: Time) -> bool {
        const TOKEN: Duration = Duration::from_nanos(1_000_000_000 / ICMP_ERRORS_PER_SECOND as u64);
        let earned = now.since(self.refilled).as_nanos() / TOKEN.as_nanos();
        let missing = ICMP_ERRORS_PER_SECOND - self.tokens;
        match u32::try_from(earned) {
            // What is left of a token's time counts for the next one.
            Ok(earned) if earned < missing => {
                self.tokens += earned;
                self.refilled = self.refilled + TOKEN * earned;
            }
            Ok(_) | Err(_) => {
                self.tokens = ICMP_ERRORS_PER_SECOND;
                self.refilled = now;
            }
        }
        let Some(left) = self.tokens.checked_sub(1) else {
            return false;
        };
        self.tokens = left;
        true
    }
}

#[cfg(test)]
mod tests;
