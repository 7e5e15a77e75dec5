//! What a link knows of one peer.

use super::tag::Key;
use super::window::Window;
use super::{FIRST_HELLO_RETRY, HELLO_SPACING, Route};
use crate::drop_reason::DropReason;
use crate::message::ControlKind;
use crate::number::{NodeNumber, Role};
use crate::planted::{self, Bug};
use crate::sip::Sip;
use crate::time::Time;
use crate::view::MemberState;
use crate::wire::{self, Covered, Imprint, Seal};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// The worker that owns a peer's link.
const FIRST_WORKER: u8 = 0;

/// The most workers that a peer may have.
const MAX_WORKERS: usize = 64;

/// Hellos whose answers still count as answers: at a burst of one each 20 ms those of the last third
/// of a second.
const MAX_ASKED: usize = 16;

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

/// What a peer says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) role: Role,
    pub(super) state: MemberState,
    pub(super) view: u64,
    pub(super) wire: u8,
}

/// What was received from one life of a peer.
#[derive(Clone, Debug)]
pub(super) struct Session {
    incarnation: u32,
    /// By the peer's worker, sorted; at most [`MAX_WORKERS`].
    workers: Vec<Worker>,
}

/// What was received from one worker of a life.
#[derive(Clone, Debug)]
struct Worker {
    number: u8,
    window: Window,
    opening: Option<Opening>,
}

/// Where the tags of a worker's messages begin, once one was verified.
#[derive(Clone, Copy, Debug)]
struct Opening {
    key_id: u8,
    local: IpAddr,
    begun: Sip,
}

/// What the seals of version 3 of our messages to a life of the peer have in common, and where their tags begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealing {
    pub(super) imprint: Imprint,
    pub(super) begun: Sip,
}

impl Sealing {
    /// Seals the message with this number, in place.
    #[inline(always)]
    pub(super) fn seal(
        &self,
        key: &Key,
        number: u64,
        ports: [u16; 2],
        bytes: &mut [u8],
    ) -> Result<(), DropReason> {
        let (seal, behind) = bytes.split_first_chunk_mut().ok_or(DropReason::Truncated)?;
        let head = self.imprint.write(number, seal);
        let rest = Covered::behind_tag(head[0], behind);
        let tag = key.tag(self.begun, number, ports, head, rest)?;
        wire::write_tag(tag, seal);
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) node: NodeNumber,
    pub(super) route: Route,
    interval: Duration,
    /// The peer's latest life of which anything was received in this life of ours.
    session: Option<Session>,
    /// Whether the peer has sealed something for this life of ours since it was added.
    met: bool,
    /// The number of what the latest saying was in: the peer's first worker seals all of them. `None` if nothing that was
    /// sealed since the session began tells which number that worker is at.
    told: Option<u64>,
    pub(super) said: Option<Said>,
    /// Once a message was sealed since the session began and the peer said last which version it opens.
    pub(super) sealing: Option<Sealing>,
    pub(super) config: Option<u64>,
    pub(super) last_heard: Option<Time>,
    pub(super) next_hello: Time,
    last_hello: Option<Time>,
    /// The nonces of the last Hellos, the latest last.
    asked: [Option<u64>; MAX_ASKED],
    /// Whether the last Hello was not answered yet.
    unanswered: bool,
    /// Whether the next Hello has something to say that the last one did not: it does not wait, whatever
    /// is answered meanwhile.
    announces: bool,
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
}

impl Peer {
    pub(super) fn new(address: &PeerAddress, port: u16, now: Time, interval: Duration) -> Self {
        Self {
            node: address.node,
            route: Route {
                local: address.local,
                remote: SocketAddr::new(address.remote, port),
            },
            interval,
            session: None,
            met: false,
            told: None,
            said: None,
            sealing: None,
            config: None,
            last_heard: None,
            next_hello: now,
            last_hello: None,
            asked: [None; MAX_ASKED],
            unanswered: false,
            announces: false,
            retry: FIRST_HELLO_RETRY,
            sent: 0,
            hello: None,
            answer: None,
            queued: false,
        }
    }

    /// Begins anew in another life of ours, at the same address.
    pub(super) fn renew(&mut self, now: Time) {
        let address = PeerAddress {
            node: self.node,
            local: self.route.local,
            remote: self.route.remote.ip(),
        };
        *self = Self::new(&address, self.route.remote.port(), now, self.interval);
    }

    /// Its incarnation; known once the peer has sealed something for this life of ours.
    #[inline]
    pub(super) fn incarnation(&self) -> Option<u32> {
        let session = self.session.as_ref().filter(|_| self.met)?;
        Some(session.incarnation)
    }

    /// The version of the seals that it opens. As long as it has not said so in this life of both, the first.
    #[inline]
    pub(super) fn seal_version(&self) -> u8 {
        match self.said {
            Some(said) if said.wire.min(wire::WIRE_VERSION) >= wire::NH_VERSION => wire::NH_VERSION,
            _ => wire::VERSION,
        }
    }

    /// Where the tag of such a message, to our address `local`, begins, and the place of its sender's worker, if one
    /// like it was verified already.
    #[inline(always)]
    pub(super) fn opening(&self, seal: &Seal, local: IpAddr) -> Option<(usize, &Sip)> {
        let session = self.session.as_ref().filter(|_| self.met)?;
        if session.incarnation != seal.incarnation {
            return None;
        }
        let at = session.worker(seal.worker).ok()?;
        let opening = session.workers[at].opening.as_ref()?;
        let is_like_it = opening.key_id == seal.key_id && opening.local == local;
        is_like_it.then_some((at, &opening.begun))
    }

    /// Takes note of the sequence number of a message that was verified, of which [`Self::opening`] gave this place.
    ///
    /// # Errors
    /// Those of the replay window.
    #[inline(always)]
    pub(super) fn take_next(&mut self, at: usize, seal: &Seal) -> Result<(), DropReason> {
        match &mut self.session {
            Some(session) => session.mark(at, seal.counter),
            None => Err(DropReason::StaleIncarnation),
        }
    }

    /// Notes that for the next messages like this one, which was verified and taken.
    pub(super) fn keep_opening(&mut self, seal: &Seal, local: IpAddr, begun: Sip) {
        let Some(session) = &mut self.session else {
            return;
        };
        if let Ok(at) = session.worker(seal.worker) {
            session.workers[at].opening = Some(Opening {
                key_id: seal.key_id,
                local,
                begun,
            });
        }
    }

    /// Other keys have the numbers of the former ones from now on.
    pub(super) fn forget_keys(&mut self) {
        self.sealing = None;
        if let Some(session) = &mut self.session {
            session.forget_openings();
        }
    }

    /// What was received is known from when the peer was one before.
    pub(super) fn resume(&mut self, session: Session) {
        self.session = Some(session);
    }

    /// What was received, for [`Self::resume`], perhaps of a peer with another address.
    pub(super) fn into_session(self) -> Option<Session> {
        let mut session = self.session?;
        session.forget_openings();
        Some(session)
    }

    pub(super) fn is_at(&self, address: &PeerAddress) -> bool {
        self.route.local == address.local && self.has_address(address.remote)
    }

    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.route.remote.ip() == address
    }

    /// Takes note of the sequence number of a message that was verified. `true` if with it a session
    /// began: with the peer's next life, or for the first time since it was added.
    ///
    /// # Errors
    /// [`DropReason::StaleIncarnation`] if an earlier life sent it, and those of the replay window.
    pub(super) fn take(&mut self, seal: &Seal) -> Result<bool, DropReason> {
        let session = match &mut self.session {
            Some(session) if seal.incarnation < session.incarnation => {
                return Err(DropReason::StaleIncarnation);
            }
            Some(session) if seal.incarnation == session.incarnation => session,
            other => {
                self.met = false;
                self.sealing = None;
                other.insert(Session {
                    incarnation: seal.incarnation,
                    workers: Vec::new(),
                })
            }
        };
        session.accept(seal)?;
        let began = !core::mem::replace(&mut self.met, true);
        if began {
            // A Hello from before may still be replayed; it has a lower number, of the first worker's.
            let is_first = seal.worker == FIRST_WORKER;
            self.told = is_first.then(|| seal.counter.saturating_sub(1));
            self.said = None;
            self.sealing = None;
        }
        Ok(began)
    }

    /// What the peer says of itself, this message taken into account; `None` if all that came was, or may have been,
    /// made before the session. Only an answer is certainly of the session.
    pub(super) fn latest(&mut self, seal: &Seal, said: Said) -> Option<Said> {
        let is_answer = seal.kind == ControlKind::HelloAck as u8;
        if self.told.map_or(is_answer, |number| seal.counter > number) {
            self.told = Some(seal.counter);
            self.said = Some(said);
            self.sealing = None;
        }
        self.said
    }

    /// Changes how often the peer is greeted.
    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        if let Some(last) = self.last_hello {
            self.next_hello = self.next_hello.min(last + interval);
        }
    }

    /// Brings the next Hello forward, not closer than the spacing to the last one.
    pub(super) fn hello_soon(&mut self, now: Time) {
        let earliest = self
            .last_hello
            .map_or(now, |last| last + HELLO_SPACING)
            .max(now);
        self.next_hello = self.next_hello.min(earliest);
    }

    /// The same, with something new to say.
    pub(super) fn announce_soon(&mut self, now: Time) {
        self.hello_soon(now);
        self.announces = true;
    }

    /// A Hello with this nonce is being sent.
    pub(super) fn asked(&mut self, now: Time, nonce: u64) {
        self.last_hello = Some(now);
        self.asked.rotate_left(1);
        self.asked[MAX_ASKED - 1] = Some(nonce);
        self.unanswered = true;
        self.announces = false;
        self.hello = Some(nonce);
        let wait = if self.met {
            spread(self.interval, nonce)
        } else {
            self.retry.min(self.interval)
        };
        self.retry = (self.retry * 2).min(self.interval);
        self.next_hello = now + wait;
    }

    /// Whether this is the nonce of one of the last Hellos.
    pub(super) fn has_asked(&self, nonce: u64) -> bool {
        self.asked.contains(&Some(nonce))
    }

    /// The peer answered a Hello; an answer to an older one proves no less that it lives.
    pub(super) fn answered(&mut self, now: Time, nonce: u64) {
        if self.unanswered && self.asked[MAX_ASKED - 1] == Some(nonce) {
            self.unanswered = false;
            self.retry = FIRST_HELLO_RETRY;
            if self.announces {
                return;
            }
            let wait = spread(self.interval, nonce);
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

impl Session {
    /// The place of a worker, or where it belongs.
    #[inline]
    fn worker(&self, number: u8) -> Result<usize, usize> {
        // Most nodes have one.
        if let [only] = &*self.workers
            && only.number == number
        {
            return Ok(0);
        }
        self.workers
            .binary_search_by_key(&number, |worker| worker.number)
    }

    fn accept(&mut self, seal: &Seal) -> Result<(), DropReason> {
        let at = match self.worker(seal.worker) {
            Ok(at) => at,
            Err(_) if self.workers.len() >= MAX_WORKERS => return Err(DropReason::BadField),
            Err(at) => {
                let new = Worker {
                    number: seal.worker,
                    window: Window::default(),
                    opening: None,
                };
                self.workers.insert(at, new);
                at
            }
        };
        self.mark(at, seal.counter)
    }

    /// Marks a number of the worker at a place as seen.
    #[inline(always)]
    fn mark(&mut self, at: usize, counter: u64) -> Result<(), DropReason> {
        match self.workers[at].window.accept(counter) {
            Err(_) if planted::is(Bug::AcceptsReplays) => Ok(()),
            verdict => verdict,
        }
    }

    fn forget_openings(&mut self) {
        for worker in &mut self.workers {
            worker.opening = None;
        }
    }
}

/// The interval less up to an eighth of it, so that the heartbeats of many peers do not come in
/// bursts for ever only because all began at once.
fn spread(interval: Duration, nonce: u64) -> Duration {
    // The upper bits of consecutive nonces are spread evenly.
    interval - interval / 8 * (nonce >> 56) as u32 / 256
}
