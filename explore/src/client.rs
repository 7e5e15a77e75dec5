//! The one client.
//!
//! It hears a SYN-ACK when it likes, and its packets arrive when they like, also after later ones:
//! so neither its answers nor its packets need a place on the wire.

use crate::case::Case;
use crate::packet::{Life, Packet, Segment};

/// The client, and what was said to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Client {
    /// SYNs that have arrived, of each life.
    syns: [u8; 2],
    data: [u8; 2],
    fins: u8,
    /// A kernel has answered the life's SYN.
    pub(crate) answered: [bool; 2],
    /// The client has gone on after the answer.
    pub(crate) connected: [bool; 2],
    /// A reset was sent for the life before it was connected.
    pub(crate) refused: [bool; 2],
    /// The client has sent its FIN.
    closed: bool,
}

impl Client {
    /// Whether the client has begun the life.
    pub(crate) const fn began(&self, life: Life) -> bool {
        self.syns[life.index()] > 0
    }

    /// Whether the client has begun a later life.
    pub(crate) const fn has_left(&self, life: Life) -> bool {
        match life {
            Life::First => self.began(Life::Second),
            Life::Second => false,
        }
    }

    /// The packets that may arrive now.
    pub(crate) fn packets(&self, case: &Case) -> impl Iterator<Item = Packet> {
        let client = *self;
        let (syns, data, fins) = (case.syns, case.data, case.fins);
        Life::ALL.into_iter().flat_map(move |life| {
            let i = life.index();
            let began = client.began(life);
            // The second life is one of a client that has begun the first.
            let may_begin = life == Life::First || client.began(Life::First);
            let syn = client.syns[i] < syns[i] && (began || may_begin);
            // What a client that has left a life had sent in it may still arrive.
            let goes_on = client.answered[i] && (client.connected[i] || !client.has_left(life));
            let data = goes_on && client.data[i] < data[i];
            let fin = life == Life::First && client.connected[i] && client.fins < fins;
            [
                (syn, Segment::Syn),
                (data, Segment::Data),
                (fin, Segment::Fin),
            ]
            .into_iter()
            .filter(|&(may, _)| may)
            .map(move |(_, segment)| Packet { segment, life })
        })
    }

    /// The packet arrives at an ingress.
    pub(crate) fn send(&mut self, packet: Packet) {
        let i = packet.life.index();
        match packet.segment {
            Segment::Syn => self.syns[i] += 1,
            Segment::Data => {
                self.data[i] += 1;
                self.connected[i] = true;
            }
            Segment::Fin => {
                self.fins += 1;
                self.closed = true;
            }
        }
    }

    /// Whether the life is one that a reset would break: the client is connected in it, or can be at
    /// any moment, and has not ended it.
    pub(crate) const fn lives(&self, life: Life) -> bool {
        let closed = match life {
            Life::First => self.closed,
            Life::Second => false,
        };
        self.answered[life.index()] && !self.has_left(life) && !closed
    }
}
