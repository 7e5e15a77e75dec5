//! The numbers that the configuration gives to nodes and services, and their roles.

use core::fmt;
use core::num::NonZeroU16;

/// The number of a node, 1 to 65,535; explicit in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeNumber(NonZeroU16);

impl NodeNumber {
    /// The node with this number; `None` for 0, which stands for "no node" on the wire.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The form on the wire: 0 stands for no node.
    #[must_use]
    pub fn to_wire(node: Option<Self>) -> u16 {
        node.map_or(0, Self::get)
    }
}

impl fmt::Display for NodeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a service, 1 to 16,777,215 (24 bits: it is the VNI of RFC 8926 section 3.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceNumber(u32);

impl ServiceNumber {
    /// The largest service number.
    pub const MAX: u32 = 0x00ff_ffff;

    /// The service with this number; `None` if it is 0 or needs more than 24 bits.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 || number > Self::MAX {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ServiceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The transport protocol of a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Protocol {
    /// The number in the IP header.
    #[must_use]
    pub const fn ip_number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// What a node does. The discriminant is the number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Role {
    /// Receives client packets and encapsulates them.
    Ingress = 0,
    /// Holds the record of flows.
    FlowTracker = 1,
    /// Decapsulates on a server of the web fleet, and accepts or rejects.
    HostAgent = 2,
}

impl Role {
    /// The role with this number on the wire.
    #[must_use]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Ingress),
            1 => Some(Self::FlowTracker),
            2 => Some(Self::HostAgent),
            _ => None,
        }
    }

    /// The role's name, as in the configuration and in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::FlowTracker => "flow-tracker",
            Self::HostAgent => "host-agent",
        }
    }
}
