//! A model of a host's TCP: the sockets of the services, as simple as they can be and still do what
//! the host agent has to cope with. It is also the checkers' reference: which host has a
//! connection is what its kernel says.

use crate::conversation::{Answer, Ending, KEEPALIVE, Reply, TIME_WAIT, server_takes};
use crate::segment::{belongs, covers_fin};
use core::time::Duration;
use jlb_host_agent::SocketState;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{FlowKey, Time};
use std::collections::BTreeMap;

/// Times that a SYN-ACK or FIN is repeated before the kernel gives up.
const MAX_REPEATS: u32 = 3;

/// The first wait before a repeat; doubles.
const REPEAT: Duration = Duration::from_millis(800);

/// Where a socket is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// SYN_RECV.
    HalfOpen,
    /// ESTABLISHED.
    Open,
    /// The client has sent its FIN, the server has not.
    CloseWait,
    /// The server has sent its FIN, the client has not acknowledged it.
    FinWait,
    /// Both have; the client has not acknowledged the server's.
    LastAck,
    /// What is left: TIME_WAIT, or FIN_WAIT2 without a full socket.
    TimeWait,
}

/// A socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sock {
    pub(crate) isn: u32,
    pub(crate) cookie: u64,
    pub(crate) phase: Phase,
    received: u32,
    repeats: u32,
    /// When the kernel does something of itself.
    due: Time,
}

impl Sock {
    /// Whether the connection lives: it is what S1 protects.
    pub(crate) const fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::TimeWait)
    }

    /// What the kernel says of it.
    pub(crate) const fn state(&self) -> SocketState {
        match self.phase {
            Phase::HalfOpen => SocketState::HalfOpen,
            Phase::Open | Phase::CloseWait | Phase::FinWait | Phase::LastAck => SocketState::Open,
            Phase::TimeWait => SocketState::TimeWait,
        }
    }

    /// How long it stays as it is, if nothing comes.
    pub(crate) const fn rest(&self, now: Time) -> Duration {
        self.due.since(now)
    }

    /// Whether the connection is open, and neither side has begun to close it.
    pub(crate) const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }
}

/// A segment of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: TcpFlags,
    pub(crate) payload: usize,
    /// The life that the client was in when it sent this.
    pub(crate) isn: u32,
}

/// What the kernel does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    /// Says something to the client.
    Say(Answer),
    /// Gives a full socket up, which sock_diag tells.
    Destroyed { cookie: u64, aborted: bool },
    /// Wants [`Kernel::timer`] called.
    Wake { cookie: u64, at: Time },
}

/// The sockets of one machine.
#[derive(Clone, Default, Debug)]
pub(crate) struct Kernel {
    sockets: BTreeMap<FlowKey, Sock>,
    cookies: u64,
}

impl Kernel {
    pub(crate) fn socket(&self, key: &FlowKey) -> Option<&Sock> {
        self.sockets.get(key)
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = (&FlowKey, &Sock)> {
        self.sockets.iter()
    }

    /// A segment arrives.
    pub(crate) fn segment(
        &mut self,
        now: Time,
        key: FlowKey,
        segment: Segment,
        effects: &mut Vec<Effect>,
    ) {
        let syn = segment.flags.contains(TcpFlags::SYN);
        let reset = segment.flags.contains(TcpFlags::RST);
        let Some(sock) = self.sockets.get_mut(&key) else {
            if syn {
                self.half_open(now, key, segment.isn, effects);
            } else if !reset {
                effects.push(say(segment.isn, Reply::Reset, 0));
            }
            return;
        };
        if syn {
            match sock.phase {
                Phase::HalfOpen if sock.isn == segment.isn => {
                    effects.push(say(sock.isn, Reply::SynAck, 0));
                }
                Phase::TimeWait if sock.isn != segment.isn => {
                    self.half_open(now, key, segment.isn, effects);
                }
                Phase::HalfOpen
                | Phase::Open
                | Phase::CloseWait
                | Phase::FinWait
                | Phase::LastAck
                | Phase::TimeWait => {
                    effects.push(say(sock.isn, Reply::Challenge, sock.received));
                }
            }
            return;
        }
        if !belongs(segment.seq, sock.isn) {
            return;
        }
        if reset {
            let (cookie, phase) = (sock.cookie, sock.phase);
            self.sockets.remove(&key);
            // Neither a half-open connection nor what is left of one is a full socket.
            if !matches!(phase, Phase::HalfOpen | Phase::TimeWait) {
                effects.push(Effect::Destroyed {
                    cookie,
                    aborted: true,
                });
            }
            return;
        }
        self.stream(now, key, segment, effects);
    }

    /// A segment with an acknowledgment, of the socket's own life.
    fn stream(&mut self, now: Time, key: FlowKey, segment: Segment, effects: &mut Vec<Effect>) {
        let Some(sock) = self.sockets.get_mut(&key) else {
            return;
        };
        let isn = sock.isn;
        if sock.phase == Phase::HalfOpen {
            sock.phase = Phase::Open;
            sock.due = match Ending::of(isn) {
                Ending::ServerCloses => now + server_takes(isn),
                Ending::ClientCloses | Ending::ClientAborts | Ending::ClientVanishes => {
                    now + KEEPALIVE
                }
            };
            effects.push(wake(sock));
        } else if sock.phase == Phase::Open && Ending::of(isn) != Ending::ServerCloses {
            sock.due = now + KEEPALIVE;
            effects.push(wake(sock));
        }
        let fin = segment.flags.contains(TcpFlags::FIN);
        let expected = isn.wrapping_add(1).wrapping_add(sock.received);
        let in_order = segment.seq == expected;
        if segment.payload > 0 && in_order {
            sock.received = sock.received.saturating_add(1);
        }
        let acked = covers_fin(segment.ack, isn);
        if fin && in_order {
            sock.received = sock.received.saturating_add(1);
        }
        match sock.phase {
            Phase::Open if fin && in_order => {
                sock.phase = Phase::CloseWait;
                sock.due = now + server_takes(isn);
                effects.push(wake(sock));
            }
            Phase::FinWait if acked => {
                // Orphaned: the full socket goes, though the client may still have to send its FIN.
                sock.phase = Phase::TimeWait;
                sock.due = now + TIME_WAIT;
                effects.push(wake(sock));
                effects.push(destroyed(sock));
            }
            Phase::LastAck if acked => {
                effects.push(destroyed(sock));
                self.sockets.remove(&key);
                return;
            }
            Phase::FinWait if fin && in_order => {
                sock.phase = Phase::LastAck;
            }
            Phase::HalfOpen
            | Phase::Open
            | Phase::CloseWait
            | Phase::FinWait
            | Phase::LastAck
            | Phase::TimeWait => {}
        }
        if segment.payload > 0 || fin {
            effects.push(say(isn, Reply::Ack, sock.received));
        }
    }

    /// The time of a socket has come.
    pub(crate) fn timer(
        &mut self,
        now: Time,
        key: FlowKey,
        cookie: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(sock) = self.sockets.get_mut(&key) else {
            return;
        };
        if sock.cookie != cookie || sock.due > now {
            return;
        }
        let isn = sock.isn;
        match sock.phase {
            Phase::HalfOpen if sock.repeats >= MAX_REPEATS => {
                self.sockets.remove(&key);
            }
            Phase::HalfOpen => {
                again(now, sock);
                effects.push(say(isn, Reply::SynAck, 0));
                effects.push(wake(sock));
            }
            Phase::Open if Ending::of(isn) != Ending::ServerCloses => {
                effects.push(say(isn, Reply::Reset, sock.received));
                effects.push(Effect::Destroyed {
                    cookie,
                    aborted: true,
                });
                self.sockets.remove(&key);
            }
            Phase::Open | Phase::CloseWait => {
                sock.phase = if sock.phase == Phase::Open {
                    Phase::FinWait
                } else {
                    Phase::LastAck
                };
                sock.repeats = 0;
                again(now, sock);
                effects.push(say(isn, Reply::Fin, sock.received));
                effects.push(wake(sock));
            }
            // A FIN is repeated more often than a SYN-ACK.
            Phase::FinWait | Phase::LastAck if sock.repeats >= 2 * MAX_REPEATS => {
                effects.push(Effect::Destroyed {
                    cookie,
                    aborted: true,
                });
                self.sockets.remove(&key);
            }
            Phase::FinWait | Phase::LastAck => {
                again(now, sock);
                effects.push(say(isn, Reply::Fin, sock.received));
                effects.push(wake(sock));
            }
            Phase::TimeWait => {
                self.sockets.remove(&key);
            }
        }
    }

    fn half_open(&mut self, now: Time, key: FlowKey, isn: u32, effects: &mut Vec<Effect>) {
        self.cookies += 1;
        let sock = Sock {
            isn,
            cookie: self.cookies,
            phase: Phase::HalfOpen,
            received: 0,
            repeats: 0,
            due: now + REPEAT,
        };
        effects.push(say(isn, Reply::SynAck, 0));
        effects.push(wake(&sock));
        self.sockets.insert(key, sock);
    }
}

const fn say(isn: u32, reply: Reply, received: u32) -> Effect {
    Effect::Say(Answer {
        isn,
        reply,
        received,
    })
}

const fn wake(sock: &Sock) -> Effect {
    Effect::Wake {
        cookie: sock.cookie,
        at: sock.due,
    }
}

const fn destroyed(sock: &Sock) -> Effect {
    Effect::Destroyed {
        cookie: sock.cookie,
        aborted: false,
    }
}

fn again(now: Time, sock: &mut Sock) {
    sock.repeats += 1;
    sock.due = now + REPEAT * sock.repeats;
}
