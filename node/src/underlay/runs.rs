//! Messages in runs: those of one socket to one peer leave with one call, and go through the kernel
//! as one packet for as long as nothing on the way has to cut them apart.

use super::{MAX_WAITING, Waiting};
use jlb_packet_io::udp::{MAX_RUN, MAX_RUN_BYTES, Run, SendError, UdpSocket};
use std::cmp::Reverse;
use std::io::IoSlice;
use std::net::SocketAddr;

/// After the kernel would not cut a run, so many calls go by in which each datagram is sent by itself: a
/// path that is too narrow, or a device without checksums, stays so for a while.
const CALLS_APART: u32 = 1_000;

/// How messages are put together to runs.
#[derive(Default)]
pub(super) struct Runs {
    list: Vec<Run>,
    /// Calls until runs are tried again.
    apart: u32,
}

impl Runs {
    /// Tries runs from the beginning.
    pub(super) const fn new() -> Self {
        Self {
            list: Vec::new(),
            apart: 0,
        }
    }

    /// Sends what the kernel takes, and marks it. What goes to one peer stays in order. The first failure
    /// is given back with where the message was to go.
    pub(super) fn send_all(
        &mut self,
        socket: &UdpSocket,
        waiting: &mut [Waiting],
    ) -> Option<(SocketAddr, SendError)> {
        let longest = if self.may_join() { MAX_RUN } else { 1 };
        if longest > 1 && waiting.len() > 2 {
            // Equal lengths together, where that may be. A stable sort would allocate.
            waiting.sort_unstable_by_key(|one| {
                let len = if one.keeps_order { 0 } else { one.buf.len() };
                (one.to, Reverse(len), one.order)
            });
        }
        let mut first = None;
        for part in waiting.chunks_mut(MAX_WAITING) {
            first = first.or(self.send_part(socket, part, longest));
        }
        first
    }

    /// [`MAX_WAITING`] messages at most.
    fn send_part(
        &mut self,
        socket: &UdpSocket,
        waiting: &mut [Waiting],
        longest: usize,
    ) -> Option<(SocketAddr, SendError)> {
        let mut first = None;
        let mut rest = waiting;
        let mut longest = longest;
        while !rest.is_empty() {
            self.join(rest, longest);
            let mut buffers = [IoSlice::new(&[]); MAX_WAITING];
            for (buffer, one) in buffers.iter_mut().zip(rest.iter()) {
                *buffer = IoSlice::new(one.buf.as_slice());
            }
            let count = rest.len().min(MAX_WAITING);
            let sent = socket.send_runs(&buffers[..count], &self.list);
            let taken = self.list[..sent.count].iter().map(|run| run.buffers).sum();
            let failed = self.list.get(sent.count).copied();
            let (gone, left) = std::mem::take(&mut rest).split_at_mut(taken);
            for one in gone {
                one.sent = true;
            }
            let Some(failed) = failed else { break };
            match sent.error {
                Some(SendError::Refused(error)) => {
                    first = first.or(Some((failed.to, SendError::Refused(error))));
                    rest = left.get_mut(failed.buffers..).unwrap_or_default();
                }
                Some(SendError::Uncut(_)) => {
                    self.apart = CALLS_APART;
                    longest = 1;
                    rest = left;
                }
                // Waiting would stall every other flow: the rest of this turn is lost, and counted,
                // and repeated by those who sent it.
                Some(error) => {
                    first = first.or(Some((failed.to, error)));
                    break;
                }
                None => break,
            }
        }
        first
    }

    /// Whether runs may be tried in this call.
    fn may_join(&mut self) -> bool {
        let may = self.apart == 0;
        self.apart = self.apart.saturating_sub(1);
        may
    }

    /// Lists the runs that the messages make up, one behind the other.
    fn join(&mut self, waiting: &[Waiting], longest: usize) {
        self.list.clear();
        let mut bytes = 0;
        let mut complete = true;
        let mut size = 0;
        for one in waiting {
            let len = one.buf.len();
            let joins = self.list.last_mut().filter(|run| {
                !complete
                    && run.to == one.to
                    && run.buffers < longest
                    && len <= size
                    && bytes + len <= MAX_RUN_BYTES
            });
            match (joins, u16::try_from(size)) {
                (Some(run), Ok(segment)) if len > 0 => {
                    run.buffers += 1;
                    run.segment = segment;
                    bytes += len;
                    complete = len < size;
                }
                _ => {
                    self.list.push(Run {
                        to: one.to,
                        buffers: 1,
                        segment: 0,
                    });
                    size = len;
                    bytes = len;
                    complete = false;
                }
            }
        }
    }

    /// Sends one run of datagrams of `size` bytes each, the last perhaps shorter, which is not more than the kernel takes
    /// at once. Says how many of them it took.
    pub(super) fn send_one(
        &mut self,
        socket: &UdpSocket,
        to: SocketAddr,
        datagrams: &[u8],
        size: usize,
    ) -> (usize, Option<SendError>) {
        let run = |segment| Run {
            to,
            buffers: 1,
            segment,
        };
        let size = size.max(1);
        let count = datagrams.len().div_ceil(size);
        let segment = u16::try_from(size).unwrap_or(0);
        if count > 1 && segment > 0 && self.may_join() {
            let whole = [IoSlice::new(datagrams)];
            match socket.send_runs(&whole, &[run(segment)]).error {
                None => return (count, None),
                Some(SendError::Uncut(_)) => self.apart = CALLS_APART,
                Some(error) => return (0, Some(error)),
            }
        }
        let mut taken = 0;
        let mut first = None;
        for datagram in datagrams.chunks(size) {
            match socket.send_runs(&[IoSlice::new(datagram)], &[run(0)]).error {
                None => taken += 1,
                Some(error) => first = first.or(Some(error)),
            }
        }
        (taken, first)
    }
}

#[cfg(test)]
mod tests;
