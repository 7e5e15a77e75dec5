//! Clients: each has one flow, and with TCP one life of it after the other.

use crate::conversation::{Answer, Ending, Reply};
use crate::rng::Rng;
use crate::segment::Ends;
use core::time::Duration;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{FlowKey, Protocol, Time};

/// SYNs that a client sends before it gives up: 1, 2, 4, 4, 4 and 4 seconds apart.
const MAX_SYNS: u32 = 6;

/// Times that a client sends a byte or its FIN before it gives up.
const MAX_SENDS: u32 = 13;

/// Who sent a client a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Ingress,
    Stack,
}

/// What a client tells the checkers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// It sends the first SYN of a life.
    Begins,
    Connected,
    /// A reset answered its SYN.
    Refused,
    /// Nothing answered its SYNs.
    TimedOut,
    /// A reset ended its open connection.
    Reset(Origin),
    /// Its open connection does not answer any more.
    Stalled,
}

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send(Vec<u8>),
    News(News),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Before the next life.
    Waiting,
    SynSent,
    Open,
    /// The FIN is sent.
    Closing,
    /// Both FINs are acknowledged; a repeated FIN is acknowledged again.
    Draining,
    /// No more lives.
    Over,
}

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Habits {
    /// Lives of its flow.
    pub(crate) lives: u32,
    /// A measure of how long it does nothing.
    pub(crate) think: Duration,
    /// Chance, in thousandths, of a life with any initial sequence number.
    pub(crate) random_isns: u64,
    /// How long it holds a connection, if it does.
    pub(crate) hold: Duration,
}

/// A client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) key: FlowKey,
    pub(crate) protocol: Protocol,
    ends: Ends,
    rng: Rng,
    phase: Phase,
    /// The present life; the last one, when it is over.
    isn: u32,
    lives: u32,
    think: Duration,
    random_isns: u64,
    hold: Duration,
    /// Bytes, or datagrams, that are still to be sent after the one on its way.
    bytes: u32,
    sent: u32,
    acked: u32,
    sends: u32,
    saw_fin: bool,
    fin_acked: bool,
    /// When [`Self::timer`] is to be called.
    pub(crate) wake: Time,
}

impl Client {
    pub(crate) fn new(
        key: FlowKey,
        protocol: Protocol,
        ends: Ends,
        begins: Time,
        habits: Habits,
        rng: Rng,
    ) -> Self {
        let lives = match protocol {
            Protocol::Tcp => habits.lives,
            Protocol::Udp => 1,
        };
        Self {
            think: habits.think,
            random_isns: habits.random_isns,
            hold: habits.hold,
            key,
            protocol,
            ends,
            phase: Phase::Waiting,
            isn: 0,
            lives,
            bytes: 0,
            sent: 0,
            acked: 0,
            sends: 0,
            saw_fin: false,
            fin_acked: false,
            wake: begins,
            rng,
        }
    }

    pub(crate) const fn ends(&self) -> Ends {
        self.ends
    }

    /// The life of its flow that the client is in.
    pub(crate) fn life(&self) -> Option<u32> {
        (self.protocol == Protocol::Tcp && self.phase != Phase::Waiting).then_some(self.isn)
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.phase == Phase::SynSent
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The life that the client is in, if it would mind a reset.
    pub(crate) fn living(&self) -> Option<u32> {
        match self.phase {
            Phase::SynSent | Phase::Open | Phase::Closing => Some(self.isn),
            Phase::Waiting | Phase::Draining | Phase::Over => None,
        }
    }

    /// Its time has come.
    pub(crate) fn timer(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.protocol == Protocol::Udp {
            self.next_datagram(now, acts);
            return;
        }
        match self.phase {
            Phase::Waiting => self.begin(now, acts),
            Phase::SynSent if self.sends >= MAX_SYNS => {
                acts.push(Act::News(News::TimedOut));
                self.end_life(now);
            }
            Phase::SynSent => self.send_syn(now, acts),
            Phase::Open if self.sent > self.acked => self.send_byte(now, acts),
            Phase::Open => self.go_on(now, acts),
            Phase::Closing => self.send_fin(now, acts),
            Phase::Draining => self.end_life(now),
            Phase::Over => {}
        }
    }

    /// A kernel, or an ingress with a reset, has answered.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        answer: Answer,
        origin: Origin,
        acts: &mut Vec<Act>,
    ) {
        if self.protocol == Protocol::Udp {
            return;
        }
        let own = answer.isn == self.isn;
        match (self.phase, answer.reply) {
            (Phase::SynSent, Reply::SynAck) if own => {
                self.phase = Phase::Open;
                acts.push(Act::News(News::Connected));
                self.send(TcpFlags::ACK, &[], 1, acts);
                self.sends = 0;
                if self.rng.chance(700) && self.bytes > 0 {
                    self.first_send(now, acts);
                } else {
                    self.wake = now + self.think();
                }
            }
            // An answer of another life: a reset makes the server forget that one.
            (Phase::SynSent, Reply::SynAck | Reply::Ack | Reply::Fin | Reply::Challenge)
                if !own =>
            {
                let reset = self.ends.tcp(answer.isn, 1, TcpFlags::RST, false, &[]);
                acts.push(Act::Send(reset));
            }
            (Phase::SynSent, Reply::Reset) if own => {
                acts.push(Act::News(News::Refused));
                self.end_life(now);
            }
            (Phase::Open | Phase::Closing, Reply::Reset) if own => {
                acts.push(Act::News(News::Reset(origin)));
                self.end_life(now);
            }
            (Phase::Open | Phase::Closing, Reply::SynAck) if own => {
                self.send(TcpFlags::ACK, &[], 1 + self.acked, acts);
            }
            (Phase::Open | Phase::Closing | Phase::Draining, Reply::Ack | Reply::Fin) if own => {
                self.acknowledged(now, answer, acts);
            }
            (
                Phase::Waiting
                | Phase::SynSent
                | Phase::Open
                | Phase::Closing
                | Phase::Draining
                | Phase::Over,
                _,
            ) => {}
        }
    }

    fn acknowledged(&mut self, now: Time, answer: Answer, acts: &mut Vec<Act>) {
        if self.phase == Phase::Open && answer.received > self.acked {
            self.acked = answer.received;
            self.sends = 0;
            self.wake = now + self.think();
        }
        if self.phase == Phase::Closing && answer.received > self.acked {
            self.fin_acked = true;
        }
        if answer.reply == Reply::Fin {
            if !self.saw_fin && self.phase == Phase::Open && self.sent == self.acked {
                // The other side is done; this one closes too, perhaps a while later.
                self.bytes = 0;
                self.wake = now + self.rng.span(Duration::ZERO, Duration::from_millis(1500));
            }
            self.saw_fin = true;
            let offset = 1 + self.acked + u32::from(self.phase != Phase::Open);
            self.send(TcpFlags::ACK, &[], offset, acts);
        }
        if self.phase == Phase::Closing && self.fin_acked && self.saw_fin {
            self.phase = Phase::Draining;
            self.wake = now + self.rng.span(Duration::ZERO, Duration::from_millis(1500));
        }
    }

    fn begin(&mut self, now: Time, acts: &mut Vec<Act>) {
        let isn = self.rng.next().to_be_bytes();
        let isn = u32::from_be_bytes([isn[0], isn[1], isn[2], isn[3]]);
        // A usual client's numbers grow (RFC 6528), some clients' are random.
        self.isn = if !self.rng.chance(self.random_isns) {
            self.isn.wrapping_add(isn >> 2).wrapping_add(1 << 24)
        } else {
            isn
        };
        self.phase = Phase::SynSent;
        self.bytes = u32::try_from(self.rng.within(0, 6)).unwrap_or(0);
        if !self.hold.is_zero() {
            // A life that the client closes.
            self.isn &= !7;
            let each = (self.think * 3 / 4).as_millis().max(1);
            self.bytes = u32::try_from(self.hold.as_millis() / each).unwrap_or(u32::MAX);
        }
        self.sent = 0;
        self.acked = 0;
        self.sends = 0;
        self.saw_fin = false;
        self.fin_acked = false;
        acts.push(Act::News(News::Begins));
        self.send_syn(now, acts);
    }

    fn send_syn(&mut self, now: Time, acts: &mut Vec<Act>) {
        let wait = 1 << self.sends.min(2);
        self.sends += 1;
        self.wake = now + Duration::from_secs(wait);
        acts.push(Act::Send(self.ends.tcp(
            self.isn,
            0,
            TcpFlags::SYN,
            false,
            &[],
        )));
    }

    /// Nothing is on its way: the next byte, or the end.
    fn go_on(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.bytes > 0 {
            self.first_send(now, acts);
            return;
        }
        let ending = Ending::of(self.isn);
        match ending {
            _ if self.saw_fin => self.close(now, acts),
            Ending::ClientCloses => self.close(now, acts),
            // The server's FIN may be lost with its repeats: the client closes by itself then.
            Ending::ServerCloses if self.sends == 0 => {
                self.sends = 1;
                self.wake = now + Duration::from_secs(8);
            }
            Ending::ServerCloses => self.close(now, acts),
            Ending::ClientAborts => {
                let offset = 1 + self.acked;
                let reset = self.ends.tcp(self.isn, offset, TcpFlags::RST, false, &[]);
                acts.push(Act::Send(reset));
                self.end_life(now);
            }
            Ending::ClientVanishes => self.end_life(now),
        }
    }

    fn first_send(&mut self, now: Time, acts: &mut Vec<Act>) {
        self.bytes -= 1;
        self.sent += 1;
        self.sends = 0;
        self.send_byte(now, acts);
    }

    fn send_byte(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.sends >= MAX_SENDS {
            acts.push(Act::News(News::Stalled));
            self.end_life(now);
            return;
        }
        self.back_off(now);
        self.send(TcpFlags::ACK, b"x", self.sent, acts);
    }

    fn close(&mut self, now: Time, acts: &mut Vec<Act>) {
        self.phase = Phase::Closing;
        self.sends = 0;
        self.send_fin(now, acts);
    }

    fn send_fin(&mut self, now: Time, acts: &mut Vec<Act>) {
        if self.sends >= MAX_SENDS {
            self.end_life(now);
            return;
        }
        self.back_off(now);
        let flags = TcpFlags::FIN | TcpFlags::ACK;
        self.send(flags, &[], 1 + self.acked, acts);
    }

    fn back_off(&mut self, now: Time) {
        let wait = Duration::from_millis(300 << self.sends.min(3));
        self.sends += 1;
        self.wake = now + wait;
    }

    /// Between two things that an open connection's client does: mostly short, sometimes longer
    /// than caches remember.
    fn think(&mut self) -> Duration {
        if !self.hold.is_zero() {
            return self.rng.span(self.think / 2, self.think);
        }
        let most = match self.rng.within(0, 9) {
            0..=5 => self.think / 6,
            6..=8 => self.think * 5,
            _ => self.think * 30,
        };
        self.rng.span(Duration::ZERO, most)
    }

    fn end_life(&mut self, now: Time) {
        self.lives = self.lives.saturating_sub(1);
        if self.lives == 0 {
            self.phase = Phase::Over;
            return;
        }
        self.phase = Phase::Waiting;
        let most = if self.rng.chance(500) { 20 } else { 4000 };
        self.wake = now + self.rng.span(Duration::ZERO, Duration::from_millis(most));
    }

    fn next_datagram(&mut self, now: Time, acts: &mut Vec<Act>) {
        match self.phase {
            Phase::Waiting => {
                self.phase = Phase::Open;
                self.bytes = u32::try_from(self.rng.within(1, 20)).unwrap_or(1);
            }
            Phase::Open if self.bytes == 0 => {
                self.phase = Phase::Over;
                return;
            }
            Phase::Open => {}
            Phase::SynSent | Phase::Closing | Phase::Draining | Phase::Over => return,
        }
        self.bytes -= 1;
        acts.push(Act::Send(self.ends.udp(b"question")));
        let most = if self.rng.chance(800) { 200 } else { 4500 };
        self.wake = now + self.rng.span(Duration::ZERO, Duration::from_millis(most));
    }

    fn send(&self, flags: TcpFlags, payload: &[u8], offset: u32, acts: &mut Vec<Act>) {
        let packet = self
            .ends
            .tcp(self.isn, offset, flags, self.saw_fin, payload);
        acts.push(Act::Send(packet));
    }
}
