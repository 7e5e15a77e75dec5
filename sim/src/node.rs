//! A node: a production state machine with its link and its membership, and a clock. What a shell
//! does between socket and state machine is done here, in the same order.

use crate::checks::sessions::Sealed;
use crate::clock::Clock;
use crate::machine::Machine;
use crate::topology::Topology;
use core::net::{IpAddr, SocketAddr};
use jlb_membership::Membership;
use jlb_protocol::link::{Link, Opened, Route};
use jlb_protocol::{DropReason, NodeNumber, PacketBuf, Time};
use std::collections::VecDeque;

/// Sums of the books of a node's lives.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sums {
    /// What the links got from the network and what they handed to it.
    pub(crate) link_received: u64,
    pub(crate) link_sent: u64,
    /// What the links passed on, and what they were given to seal.
    pub(crate) link_delivered: u64,
    pub(crate) sealed: u64,
    /// What the roles got and sent.
    pub(crate) role_received: u64,
    pub(crate) role_sent: u64,
    /// Messages of membership that came and went: no role sees them.
    pub(crate) own_got: u64,
    pub(crate) own_sent: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, other: Self) {
        self.link_received += other.link_received;
        self.link_sent += other.link_sent;
        self.link_delivered += other.link_delivered;
        self.sealed += other.sealed;
        self.role_received += other.role_received;
        self.role_sent += other.role_sent;
        self.own_got += other.own_got;
        self.own_sent += other.own_sent;
    }
}

/// What waits in the queues in front of a node that is paused.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    /// A datagram, in the socket's buffer.
    Datagram {
        from: NodeNumber,
        port: u16,
        bytes: Vec<u8>,
        sealed: Sealed,
    },
    /// A client's packet, in the device's queue.
    Packet {
        client: Option<usize>,
        packet: Vec<u8>,
    },
}

/// Packets and datagrams that wait for a paused node at most.
const MAX_WAITING: usize = 256;

/// A start of a node's process, until its end.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) machine: Machine,
    pub(crate) link: Link,
    pub(crate) membership: Membership,
    /// What waits while the process is paused.
    pub(crate) paused: Option<VecDeque<Waiting>>,
    /// A node that is up, of which this one is told that it is down.
    pub(crate) lie: Option<NodeNumber>,
    sealed: u64,
    /// Messages of membership, got and sent.
    pub(crate) own_got: u64,
    pub(crate) own_sent: u64,
}

/// A node; without a life while it is down.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) number: NodeNumber,
    pub(crate) life: Option<Life>,
    /// Of its present life, or of its last.
    pub(crate) incarnation: u32,
    pub(crate) clock: Clock,
    /// When the world will call [`Self::handle_timeout`].
    pub(crate) armed: Option<Time>,
    retired: Sums,
}

/// What a datagram turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// Of no further use.
    Done,
    /// Dropped by the link.
    Dropped(DropReason),
    /// A message for the role, from this node.
    Message(NodeNumber),
}

impl Life {
    pub(crate) fn new(machine: Machine, link: Link, membership: Membership) -> Self {
        Self {
            machine,
            link,
            membership,
            paused: None,
            lie: None,
            sealed: 0,
            own_got: 0,
            own_sent: 0,
        }
    }

    /// Lets something wait; false if there is no room.
    pub(crate) fn wait(&mut self, waiting: Waiting) -> bool {
        let Some(queue) = &mut self.paused else {
            return false;
        };
        let room = queue.len() < MAX_WAITING;
        if room {
            queue.push_back(waiting);
        }
        room
    }

    /// Opens a datagram.
    pub(crate) fn open(
        &mut self,
        clock: Time,
        own: NodeNumber,
        from: NodeNumber,
        port: u16,
        bytes: &[u8],
    ) -> Received {
        let remote = SocketAddr::new(IpAddr::V4(Topology::address(from)), port);
        let local = IpAddr::V4(Topology::address(own));
        match self.link.open(clock, remote, local, bytes) {
            Ok(Opened::Message(sender)) => {
                self.membership.handle_heard(clock, sender);
                Received::Message(sender)
            }
            Ok(Opened::Handled) => Received::Done,
            Err(reason) => Received::Dropped(reason),
        }
    }

    /// Seals a message of the role.
    pub(crate) fn seal(
        &mut self,
        to: NodeNumber,
        port: u16,
        buf: &mut PacketBuf,
    ) -> Result<Route, DropReason> {
        self.sealed += 1;
        self.link.seal(to, port, buf)
    }

    fn sums(&self) -> Sums {
        let (link, role) = (self.link.ledger(), self.machine.ledger());
        Sums {
            link_received: link.received,
            link_sent: link.sent,
            link_delivered: link.delivered,
            sealed: self.sealed,
            role_received: role.received,
            role_sent: role.sent,
            own_got: self.own_got,
            own_sent: self.own_sent,
        }
    }
}

impl Node {
    pub(crate) fn new(number: NodeNumber, clock: Clock) -> Self {
        Self {
            number,
            life: None,
            incarnation: 0,
            clock,
            armed: None,
            retired: Sums::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life.is_some()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.paused.is_some())
    }

    /// Its life, if it is up and not paused.
    pub(crate) fn running(&mut self) -> Option<&mut Life> {
        self.life.as_mut().filter(|life| life.paused.is_none())
    }

    /// Looks at the clock: a pause is noticed here, before anything that waited is read (R11).
    pub(crate) fn look_at_clock(&mut self, now: Time) {
        let clock = self.clock.shows(now);
        if let Some(life) = &mut self.life
            && life
                .membership
                .poll_timeout()
                .is_some_and(|due| due <= clock)
        {
            life.membership.handle_timeout(clock);
        }
    }

    /// Lets what is due happen; of the role only if `role` says so.
    pub(crate) fn handle_timeout(&mut self, now: Time, role: bool) {
        let clock = self.clock.shows(now);
        if let Some(life) = &mut self.life {
            life.link.handle_timeout(clock);
            if role {
                life.machine.handle_timeout(clock);
            }
        }
    }

    /// When it wants [`Self::handle_timeout`] called, in the world's time.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let life = self.life.as_ref()?;
        let due = [
            life.machine.poll_timeout(),
            life.link.poll_timeout(),
            life.membership.poll_timeout(),
        ];
        let clock = due.into_iter().flatten().min()?;
        Some(self.clock.when(clock))
    }

    /// When a host agent wants a dump, in the world's time.
    pub(crate) fn poll_dump(&self) -> Option<Time> {
        let clock = self.life.as_ref()?.machine.poll_dump()?;
        Some(self.clock.when(clock))
    }

    /// When a host agent wants to ask for single connections, in the world's time.
    pub(crate) fn poll_look_ups(&self) -> Option<Time> {
        let clock = self.life.as_ref()?.machine.poll_look_ups()?;
        Some(self.clock.when(clock))
    }

    /// What it has in its books, in all its lives.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = self.retired;
        if let Some(life) = &self.life {
            sums.add(life.sums());
        }
        sums
    }

    /// Its role is about to be replaced by another one, which begins books of its own.
    pub(crate) fn retire_role(&mut self) {
        if let Some(life) = &self.life {
            let ledger = life.machine.ledger();
            self.retired.role_received += ledger.received;
            self.retired.role_sent += ledger.sent;
        }
    }

    /// Ends its life without a word: kill -9. Gives what waited for it.
    pub(crate) fn kill(&mut self) -> Option<Life> {
        self.retired = self.sums();
        self.armed = None;
        self.life.take()
    }
}
