//! Packets on their way to the machine's own IP stack, and the books of them.

use jlb_packet_io::tun::{Batch, Tun};
use jlb_protocol::packet::offload::Offload;
use jlb_protocol::{DropReason, Ledger};
use std::io;

/// Packets that go to the stack together, see [`Batch`]. They are in nobody's books before they go.
#[derive(Debug)]
pub(super) struct ToStack(Batch);

impl ToStack {
    pub(super) fn new(batch: Batch) -> Self {
        Self(batch)
    }

    /// Packets that wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all that wait.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes a packet, which goes at the latest with [`Self::flush`].
    ///
    /// # Errors
    /// The first failure, if others had to go to make room.
    pub(super) fn push(
        &mut self,
        tun: Option<&Tun>,
        stack: &mut Ledger,
        packet: &[u8],
    ) -> io::Result<()> {
        let Some(tun) = tun else {
            return hand_over(None, stack, packet, &Offload::NONE, 1);
        };
        if self.0.push(tun, packet) {
            return Ok(());
        }
        let before = self.flush(Some(tun), stack);
        if self.0.push(tun, packet) {
            return before;
        }
        let this = hand_over(Some(tun), stack, packet, &Offload::NONE, 1);
        before.and(this)
    }

    /// Why packets go a call each from now on, if that is so since the last time.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.0.take_failure()
    }

    /// Hands over a packet that `count` packets were joined to, after all that wait.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn push_joined(
        &mut self,
        tun: Option<&Tun>,
        stack: &mut Ledger,
        (packet, offload): (&[u8], Offload),
        count: u64,
    ) -> io::Result<()> {
        if count == 1 && offload == Offload::NONE {
            return self.push(tun, stack, packet);
        }
        let before = self.flush(tun, stack);
        let this = hand_over(tun, stack, packet, &offload, count);
        before.and(this)
    }

    /// Hands over all that wait.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn flush(&mut self, tun: Option<&Tun>, stack: &mut Ledger) -> io::Result<()> {
        let Some(tun) = tun else {
            return Ok(());
        };
        let mut result = Ok(());
        for written in self.0.flush(tun) {
            stack.created += 1;
            match written {
                Ok(_) => stack.delivered += 1,
                Err(error) => {
                    stack.drop_for(DropReason::SendFailed);
                    result = result.and(Err(error));
                }
            }
        }
        result
    }
}

/// Hands `count` packets to the stack, in one, and keeps the books.
fn hand_over(
    tun: Option<&Tun>,
    stack: &mut Ledger,
    packet: &[u8],
    offload: &Offload,
    count: u64,
) -> io::Result<()> {
    stack.created += count;
    let written = match tun {
        Some(tun) => tun.send(packet, offload),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    match written {
        Ok(_) => {
            stack.delivered += count;
            Ok(())
        }
        Err(error) => {
            for _ in 0..count {
                stack.drop_for(DropReason::SendFailed);
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;
