//! `RTM_NEWNEXTHOP` messages (linux/nexthop.h), which netlink-packet-route does not have.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NetlinkSerializable};

const RTM_NEWNEXTHOP: u16 = 104;
const RTPROT_STATIC: u8 = 4;
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// struct nhmsg: family, scope, protocol, one reserved byte, flags.
const HEADER_LENGTH: usize = 8;

// enum nexthop_attribute_type
const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GROUP_TYPE: u16 = 3;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_RES_GROUP: u16 = 12;

/// NEXTHOP_GRP_TYPE_RES
const TYPE_RESILIENT: u16 = 1;
/// NEXTHOP_GRP_TYPE_MPATH
const TYPE_PLAIN: u16 = 0;

// Attributes inside NHA_RES_GROUP; times in hundredths of a second.
const NHA_RES_GROUP_BUCKETS: u16 = 1;
const NHA_RES_GROUP_IDLE_TIMER: u16 = 2;
const NHA_RES_GROUP_UNBALANCED_TIMER: u16 = 3;

/// How a resilient group moves flows when its members change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resilience {
    /// Buckets that flows are hashed into: many times the number of members.
    pub(super) buckets: u16,
    /// A bucket may move to another member after so long without a packet, in seconds.
    pub(super) idle_seconds: u32,
    /// After so long out of balance, busy buckets move too, in seconds; zero: never.
    pub(super) unbalanced_seconds: u32,
}

/// A next hop, or a group of them, to be made.
#[derive(Clone, Debug)]
pub(super) struct NextHopMessage {
    id: u32,
    family: u8,
    attributes: Vec<DefaultNla>,
}

impl NextHopMessage {
    /// A gateway behind an interface.
    pub(super) fn gateway(id: u32, gateway: IpAddr, interface: u32) -> Self {
        let (family, address) = match gateway {
            IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
            IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
        };
        let attributes = vec![
            number(NHA_ID, id),
            number(NHA_OIF, interface),
            DefaultNla::new(NHA_GATEWAY, address),
        ];
        Self {
            id,
            family,
            attributes,
        }
    }

    /// A resilient group whose members all weigh the same.
    pub(super) fn resilient_group(id: u32, members: &[u32], how: Resilience) -> Self {
        let settings = [
            DefaultNla::new(NHA_RES_GROUP_BUCKETS, how.buckets.to_ne_bytes().to_vec()),
            number(NHA_RES_GROUP_IDLE_TIMER, how.idle_seconds * 100),
            number(NHA_RES_GROUP_UNBALANCED_TIMER, how.unbalanced_seconds * 100),
        ];
        let attributes = vec![
            number(NHA_ID, id),
            DefaultNla::new(NHA_GROUP, entries(members)),
            DefaultNla::new(NHA_GROUP_TYPE, TYPE_RESILIENT.to_ne_bytes().to_vec()),
            nested(NHA_RES_GROUP, &settings),
        ];
        Self {
            id,
            family: AF_UNSPEC,
            attributes,
        }
    }

    /// A group whose members all weigh the same and whose flows move as they come when it changes.
    pub(super) fn plain_group(id: u32, members: &[u32]) -> Self {
        let attributes = vec![
            number(NHA_ID, id),
            DefaultNla::new(NHA_GROUP, entries(members)),
            DefaultNla::new(NHA_GROUP_TYPE, TYPE_PLAIN.to_ne_bytes().to_vec()),
        ];
        Self {
            id,
            family: AF_UNSPEC,
            attributes,
        }
    }

    /// The number it will have.
    pub(super) fn id(&self) -> u32 {
        self.id
    }
}

impl NetlinkSerializable for NextHopMessage {
    fn message_type(&self) -> u16 {
        RTM_NEWNEXTHOP
    }

    fn buffer_len(&self) -> usize {
        HEADER_LENGTH + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (header, rest) = buffer.split_at_mut(HEADER_LENGTH);
        header.copy_from_slice(&[self.family, 0, RTPROT_STATIC, 0, 0, 0, 0, 0]);
        self.attributes.as_slice().emit(rest);
    }
}

/// Each member as struct nexthop_grp: id, weight less one, two reserved fields.
fn entries(members: &[u32]) -> Vec<u8> {
    members
        .iter()
        .flat_map(|member| member.to_ne_bytes().into_iter().chain([0; 4]))
        .collect()
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_ne_bytes().to_vec())
}

fn nested(kind: u16, inner: &[DefaultNla]) -> DefaultNla {
    let mut value = vec![0; inner.buffer_len()];
    inner.emit(&mut value);
    DefaultNla::new(kind | NLA_F_NESTED, value)
}

#[cfg(test)]
mod tests;
