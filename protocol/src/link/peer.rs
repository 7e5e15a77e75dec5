//! What a link knows of one peer.

use super::window::Window;
use super::{FIRST_HELLO_RETRY, HELLO_SPACING, Route};
use crate::drop_reason::DropReason;
use crate::number::NodeNumber;
use crate::time::Time;
use crate::wire::Seal;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// The most workers that a peer may have.
const MAX_WORKERS: usize = 64;

/// A peer's addresses, and ours towards it: of the same family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerAddress {
    /// The peer.
    pub node: NodeNumber,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
}

/// A message of the link's own that a peer is to get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Letter {
    /// A question with this nonce.
    Hello { nonce: u64 },
    /// The answer to the question with this nonce, which came from this life of the peer.
    Answer { incarnation: u32, nonce: u64 },
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) node: NodeNumber,
    local: IpAddr,
    remote: IpAddr,
    /// Known once the peer has sealed something for this life of ours.
    pub(super) incarnation: Option<u32>,
    pub(super) config: Option<u64>,
    pub(super) last_heard: Option<Time>,
    pub(super) next_hello: Time,
    last_hello: Option<Time>,
    nonce: Option<u64>,
    retry: Duration,
    /// Messages sealed for the peer in our life. A count for each receiver leaves no gaps in the
    /// receiver's window, however many peers there are.
    pub(super) sent: u64,
    /// A Hello is to be sent.
    hello: Option<u64>,
    /// An answer is to be sent: incarnation and nonce.
    answer: Option<(u32, u64)>,
    /// The link has listed the peer as one with something to get.
    pub(super) queued: bool,
    /// By the peer's worker, sorted; at most [`MAX_WORKERS`].
    windows: Vec<(u8, Window)>,
}

impl Peer {
    pub(super) fn new(address: &PeerAddress, now: Time) -> Self {
        Self {
            node: address.node,
            local: address.local,
            remote: address.remote,
            incarnation: None,
            config: None,
            last_heard: None,
            next_hello: now,
            last_hello: None,
            nonce: None,
            retry: FIRST_HELLO_RETRY,
            sent: 0,
            hello: None,
            answer: None,
            queued: false,
            windows: Vec::new(),
        }
    }

    pub(super) const fn route(&self, port: u16) -> Route {
        Route {
            local: self.local,
            remote: SocketAddr::new(self.remote, port),
        }
    }

    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.remote == address
    }

    /// Forgets what belonged to the peer's last life.
    pub(super) fn restarted(&mut self, incarnation: u32) {
        self.incarnation = Some(incarnation);
        self.windows.clear();
    }

    /// Takes note of a verified message's sequence number.
    pub(super) fn accept(&mut self, seal: &Seal) -> Result<(), DropReason> {
        let at = match self
            .windows
            .binary_search_by_key(&seal.worker, |(worker, _)| *worker)
        {
            Ok(at) => at,
            Err(_) if self.windows.len() >= MAX_WORKERS => return Err(DropReason::BadField),
            Err(at) => {
                self.windows.insert(at, (seal.worker, Window::default()));
                at
            }
        };
        self.windows[at].1.accept(seal.counter)
    }

    /// Brings the next Hello forward, not closer than the spacing to the last one.
    pub(super) fn hello_soon(&mut self, now: Time) {
        let earliest = self
            .last_hello
            .map_or(now, |last| last + HELLO_SPACING)
            .max(now);
        self.next_hello = self.next_hello.min(earliest);
    }

    /// A Hello with this nonce is being sent.
    pub(super) fn asked(&mut self, now: Time, nonce: u64, interval: Duration) {
        self.last_hello = Some(now);
        self.nonce = Some(nonce);
        self.hello = Some(nonce);
        let wait = if self.incarnation.is_some() {
            spread(interval, nonce)
        } else {
            self.retry.min(interval)
        };
        self.retry = (self.retry * 2).min(interval);
        self.next_hello = now + wait;
    }

    /// The peer answered a Hello; an answer to an older one proves no less that it lives.
    pub(super) fn answered(&mut self, now: Time, nonce: u64, interval: Duration) {
        if self.nonce == Some(nonce) {
            self.nonce = None;
            self.retry = FIRST_HELLO_RETRY;
            let wait = spread(interval, nonce);
            self.next_hello = self.last_hello.map_or(now, |last| last + wait);
        }
    }

    /// A Hello is to be answered. Of several that wait the latest life's counts, and of that the
    /// latest nonce: a replayed Hello never takes a newer one's place.
    pub(super) fn answer(&mut self, incarnation: u32, nonce: u64) {
        if self
            .answer
            .is_none_or(|(waiting, _)| waiting <= incarnation)
        {
            self.answer = Some((incarnation, nonce));
        }
    }

    /// What is to be sent next; once there is nothing the peer is no longer queued.
    pub(super) fn next_letter(&mut self) -> Option<Letter> {
        if let Some(nonce) = self.hello.take() {
            return Some(Letter::Hello { nonce });
        }
        let answer = self.answer.take();
        self.queued = answer.is_some();
        answer.map(|(incarnation, nonce)| Letter::Answer { incarnation, nonce })
    }
}

/// The interval less up to an eighth of it, so that the heartbeats of many peers do not come in
/// bursts for ever only because all began at once.
fn spread(interval: Duration, nonce: u64) -> Duration {
    // The upper bits of consecutive nonces are spread evenly.
    interval - interval / 8 * (nonce >> 56) as u32 / 256
}
