//! The messages between nodes, as values. `wire` reads and writes them.

use crate::flow::{Birth, FlowKey, OfferNumber};
use crate::number::{NodeNumber, Role, ServiceNumber};
use crate::view::{Member, MemberState};
use core::net::{Ipv4Addr, Ipv6Addr};

mod hunt;

pub use hunt::{Hunt, HuntHost, MAX_HUNT};

/// The most hosts that a message lists as tried; the largest `search_ttl`.
pub const MAX_TRIED: usize = 16;

/// What a message about one flow says. The discriminant is the type number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum FlowKind {
    /// Ingress to primary: find this flow's host.
    Open = 1,
    /// Primary to secondary to host: will you take it?
    Offer = 2,
    /// Host to secondary to primary to ingress: it is mine; forward to me directly.
    Accept = 3,
    /// Host to secondary to primary, or host to ingress: not me.
    Reject = 4,
    /// Tracker to ingress: nobody takes it.
    Refuse = 5,
    /// Tracker to ingress: it is queued, stop repeating.
    Wait = 6,
    /// Tracker to ingress: ask the next rank.
    NotActing = 7,
    /// Ingress to host: a packet of an accepted flow.
    Data = 8,
    /// Tracker to hosts of the pool: does one of you have this flow?
    WhoHas = 9,
    /// Tracker to host: another host owns it, disown it silently.
    Release = 10,
}

/// What the packet of an Open or Offer asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Intent {
    /// A TCP SYN: a new flow, or a repeat (R7).
    Syn = 0,
    /// A TCP packet of an existing flow: never a choice (R4).
    MidFlow = 1,
    /// A UDP packet: nobody can tell a first one from a later one.
    Datagram = 2,
}

/// Why a flow was not taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// No reason is given.
    None = 0,
    /// The host has no room for another flow.
    Load = 1,
    /// The flow is not this host's.
    NotOwner = 2,
    /// Every host that could be asked said no, or the search's steps are spent.
    Exhausted = 3,
    /// The service has no host.
    NoHost = 4,
    /// The tracker has no room for another untrusted record (R3).
    Quota = 5,
    /// The tracker is not filled yet, or was paused (R10, R11).
    NotFilled = 6,
    /// The flow is held in the surge queue (R6).
    Queued = 7,
    /// The flow is unknown to every host (R4).
    Unknown = 8,
    /// The host is draining.
    Draining = 9,
}

/// The nodes that a message's flow was handled by; it travels in the message, so that any node can
/// answer or pass it on without having stored anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Path {
    /// The ingress that asks.
    pub ingress: Option<NodeNumber>,
    /// Rank 0.
    pub primary: Option<NodeNumber>,
    /// Rank 1.
    pub secondary: Option<NodeNumber>,
    /// The host that is offered the flow, or that answers; in an Open, the host that just said
    /// that the flow is not its own.
    pub host: Option<NodeNumber>,
}

/// The hosts that were asked in this search, in order; at most [`MAX_TRIED`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tried {
    hosts: [Option<NodeNumber>; MAX_TRIED],
    len: u8,
}

impl Tried {
    /// No host.
    pub const NONE: Self = Self {
        hosts: [None; MAX_TRIED],
        len: 0,
    };

    /// Adds a host; false if it is listed already or the list is full.
    pub fn push(&mut self, host: NodeNumber) -> bool {
        if self.contains(host) {
            return false;
        }
        let Some(slot) = self.hosts.get_mut(usize::from(self.len)) else {
            return false;
        };
        *slot = Some(host);
        self.len += 1;
        true
    }

    /// Whether the host is listed.
    #[must_use]
    #[inline]
    pub fn contains(&self, host: NodeNumber) -> bool {
        self.iter().any(|tried| tried == host)
    }

    /// The hosts, in order.
    pub fn iter(&self) -> impl Iterator<Item = NodeNumber> + '_ {
        self.hosts
            .iter()
            .take(usize::from(self.len))
            .flatten()
            .copied()
    }

    /// Number of hosts.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no host is listed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A message about one flow. Which fields travel depends on the kind, see [`FlowKind::fields`];
/// the others have their neutral value after decoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowMessage<'a> {
    /// What it says.
    pub kind: FlowKind,
    /// The flow. In messages with a client packet it is read from that packet.
    pub key: FlowKey,
    /// Which attempt; `isn` 0 and `step` 0 in Data.
    pub offer: OfferNumber,
    /// What the packet asks for.
    pub intent: Intent,
    /// Who handled it.
    pub path: Path,
    /// Which life of the flow, where known.
    pub birth: Option<Birth>,
    /// The hosts asked so far.
    pub tried: Tried,
    /// The hosts among which this Offer is one of a direct hunt.
    pub hunt: Hunt,
    /// Why not.
    pub reason: Reason,
    /// The host's load, 0 (idle) to 65,535 (full); 0 where it does not apply.
    pub load: u16,
    /// The client's IP packet; empty in messages without one.
    pub packet: &'a [u8],
}

/// Which optional fields a kind carries on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fields {
    /// The client's packet; without it the flow key travels as an option.
    pub packet: bool,
    /// Offer number and intent.
    pub offer: bool,
    /// Path.
    pub path: bool,
    /// Birth: required, or allowed where [`Self::birth_optional`].
    pub birth: bool,
    /// The birth may be absent.
    pub birth_optional: bool,
    /// Hosts tried.
    pub tried: bool,
    /// The hosts of a direct hunt.
    pub hunt: bool,
    /// Reason and load.
    pub verdict: bool,
}

impl FlowKind {
    /// Every kind, in order of type number.
    pub const ALL: [Self; 10] = [
        Self::Open,
        Self::Offer,
        Self::Accept,
        Self::Reject,
        Self::Refuse,
        Self::Wait,
        Self::NotActing,
        Self::Data,
        Self::WhoHas,
        Self::Release,
    ];

    /// The fields that travel with a message of this kind.
    #[must_use]
    pub const fn fields(self) -> Fields {
        let none = Fields {
            packet: false,
            offer: true,
            path: true,
            birth: false,
            birth_optional: false,
            tried: false,
            hunt: false,
            verdict: false,
        };
        match self {
            Self::Open => Fields {
                packet: true,
                tried: true,
                birth: true,
                birth_optional: true,
                ..none
            },
            Self::Offer => Fields {
                packet: true,
                tried: true,
                hunt: true,
                ..none
            },
            Self::Accept => Fields {
                birth: true,
                ..none
            },
            Self::Reject => Fields {
                packet: true,
                tried: true,
                birth: true,
                birth_optional: true,
                verdict: true,
                ..none
            },
            Self::Refuse | Self::Wait | Self::NotActing => Fields {
                verdict: true,
                ..none
            },
            Self::Data => Fields {
                packet: true,
                offer: false,
                path: false,
                birth: true,
                birth_optional: true,
                ..none
            },
            Self::WhoHas => none,
            Self::Release => Fields {
                birth: true,
                birth_optional: true,
                ..none
            },
        }
    }
}

/// What a host says of one flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum FlowState {
    /// Accepted; the client's part of the handshake was not seen yet.
    Accepted = 1,
    /// Established (R3).
    Established = 2,
    /// The socket is given up, the flow is still delivered (R8).
    Closing = 3,
    /// Over; the record can go.
    Closed = 4,
    /// Not this host's (an answer to WhoHas).
    NotMine = 5,
}

/// One line of a State message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowStatement {
    /// The flow.
    pub key: FlowKey,
    /// Which life of it; all 0 with [`FlowState::NotMine`].
    pub birth: Birth,
    /// The id of the attempt that the host accepted, 0 if unknown.
    pub isn: u32,
    /// What is said of it.
    pub state: FlowState,
    /// Whether this life began in the last few seconds. Peers of wire version 1 neither say nor hear this.
    pub fresh: bool,
}

/// The hash and size of one bucket of a host's flows (R9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BucketDigest {
    /// The bucket's number.
    pub bucket: u16,
    /// Number of flows in it.
    pub count: u32,
    /// XOR of the flows' hashes.
    pub hash: u64,
    /// The highest birth given in it.
    pub high_water: Birth,
}

/// The state of one service on one host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceLoad {
    /// The service.
    pub service: ServiceNumber,
    /// Flows that the host has of it.
    pub connections: u32,
    /// Flows that it would still take now; `u32::MAX` if it has no limit.
    pub room: u32,
    /// Load, 0 (idle) to 65,535 (full).
    pub load: u16,
    /// Whether the service's server answers its health check.
    pub healthy: bool,
}

/// The end of a bucket's full list (R9): of the sender's flows in this bucket, those that were not
/// listed and whose birth is not higher are over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The bucket.
    pub bucket: u16,
    /// The highest birth given in it when the list was begun.
    pub high_water: Birth,
}

/// A node, as its neighbours tell each other of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberEntry {
    /// The node, with its role and state.
    pub member: Member,
    /// Its IPv4 underlay address, if it has one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 underlay address, if it has one.
    pub v6: Option<Ipv6Addr>,
}

/// A message that concerns no single flow. The discriminants of [`ControlKind`] are the type
/// numbers on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control<'a> {
    /// Heartbeat, and the question for the receiver's incarnation.
    Hello {
        /// Fingerprint of the trackers that the sender ranks, [`crate::View::ranked_fingerprint`].
        view: u64,
        /// Fingerprint of the cluster-wide configuration.
        config: u64,
        /// To be echoed.
        nonce: u64,
        /// What the sender says of itself.
        state: MemberState,
        /// The sender's role.
        role: Role,
        /// The highest wire version that the sender speaks, see [`crate::wire::WIRE_VERSION`].
        wire: u8,
    },
    /// The answer to Hello; its seal proves the sender's incarnation.
    HelloAck {
        /// Fingerprint of the trackers that the sender ranks, [`crate::View::ranked_fingerprint`].
        view: u64,
        /// Fingerprint of the cluster-wide configuration.
        config: u64,
        /// The nonce of the Hello.
        nonce: u64,
        /// What the sender says of itself.
        state: MemberState,
        /// The sender's role.
        role: Role,
        /// The highest wire version that the sender speaks, see [`crate::wire::WIRE_VERSION`].
        wire: u8,
    },
    /// What a host owns. Sequence numbers count up by one per receiver in an incarnation.
    State {
        /// This message's number, from 1; 0 for an answer to WhoHas, which is not numbered.
        sequence: u64,
        /// R10: with this message the receiver has been told every flow that it ranks for among the
        /// trackers with this fingerprint ([`crate::View::ranked_fingerprint`], the receiver
        /// included); `None` while something is still to come.
        filled: Option<u64>,
        /// R9: with this message the receiver has been told all of a bucket that it asked for.
        listed: Option<Listed>,
        /// The statements.
        flows: List<'a, FlowStatement>,
    },
    /// All State messages up to this number were applied.
    Ack {
        /// The last State applied in order; 0 if none.
        sequence: u64,
    },
    /// Digests of a host's buckets.
    Digest {
        /// This message's number, from 1.
        sequence: u64,
        /// The digests.
        buckets: List<'a, BucketDigest>,
    },
    /// The bucket differs: send all of it.
    SendFull {
        /// The bucket.
        bucket: u16,
    },
    /// What policies and queues act on.
    Load {
        /// One entry a service.
        services: List<'a, ServiceLoad>,
    },
    /// Nodes that the sender knows of: how a view spreads. The sender's own entry comes first.
    Members {
        /// One entry a node.
        members: List<'a, MemberEntry>,
    },
}

/// The kind of a control message; the discriminant is the type number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ControlKind {
    /// [`Control::Hello`].
    Hello = 32,
    /// [`Control::HelloAck`].
    HelloAck = 33,
    /// [`Control::State`].
    State = 34,
    /// [`Control::Ack`].
    Ack = 35,
    /// [`Control::Digest`].
    Digest = 36,
    /// [`Control::SendFull`].
    SendFull = 37,
    /// [`Control::Load`].
    Load = 38,
    /// [`Control::Members`].
    Members = 39,
}

impl ControlKind {
    /// Every kind, in order of type number.
    pub const ALL: [Self; 8] = [
        Self::Hello,
        Self::HelloAck,
        Self::State,
        Self::Ack,
        Self::Digest,
        Self::SendFull,
        Self::Load,
        Self::Members,
    ];
}

impl Control<'_> {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> ControlKind {
        match self {
            Self::Hello { .. } => ControlKind::Hello,
            Self::HelloAck { .. } => ControlKind::HelloAck,
            Self::State { .. } => ControlKind::State,
            Self::Ack { .. } => ControlKind::Ack,
            Self::Digest { .. } => ControlKind::Digest,
            Self::SendFull { .. } => ControlKind::SendFull,
            Self::Load { .. } => ControlKind::Load,
            Self::Members { .. } => ControlKind::Members,
        }
    }
}

/// A value of fixed size in the list of a control body.
pub trait Entry: Sized + Copy {
    /// Bytes on the wire.
    const LEN: usize;

    /// Writes the value into exactly [`Self::LEN`] bytes.
    fn write(&self, bytes: &mut [u8]);

    /// Reads a value from exactly [`Self::LEN`] bytes; `None` if a field has no such value.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A list in a control message: values to write, or checked bytes to read.
#[derive(Clone, Copy, Debug)]
pub enum List<'a, T> {
    /// To be written.
    Values(&'a [T]),
    /// As received; every entry was checked to be readable.
    Wire(&'a [u8]),
}

impl<'a, T: Entry> List<'a, T> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Wire(bytes) => bytes.len() / T::LEN,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + 'a {
        let (values, bytes): (&'a [T], &'a [u8]) = match *self {
            Self::Values(values) => (values, &[]),
            Self::Wire(bytes) => (&[], bytes),
        };
        values
            .iter()
            .copied()
            .chain(bytes.chunks_exact(T::LEN).filter_map(T::read))
    }
}

impl<T: Entry + PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Entry + Eq> Eq for List<'_, T> {}

/// Any message between nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// About one flow.
    Flow(FlowMessage<'a>),
    /// About no single flow.
    Control(Control<'a>),
}
