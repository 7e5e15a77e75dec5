//! What a client packet is, and which service it belongs to.

use crate::cache::Hint;
use crate::config::Service;
use crate::pending::Question;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use jlb_protocol::packet::{self, Packet, TcpFlags, Transport};
use jlb_protocol::services::{ServiceMap, ServiceMatch};
use jlb_protocol::{DropReason, FlowKey, Protocol, ServiceNumber};

/// What is to be done with a client packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Answer the ping.
    Echo,
    /// Send it to its flow's host.
    Flow {
        /// The flow.
        key: FlowKey,
        /// What an Open with it asks.
        question: Question,
        /// What it says of its client.
        hint: Hint,
    },
}

/// What a packet of a flow says of its client.
fn hint_of(transport: &Transport) -> Hint {
    match transport {
        Transport::Tcp { flags, .. } => hint_of_flags(*flags),
        Transport::Udp { .. } => Hint::Alive,
        Transport::IcmpError { .. }
        | Transport::EchoRequest
        | Transport::OtherIcmp
        | Transport::Other(_) => Hint::Nothing,
    }
}

/// What a packet says of its client; nothing if it can't be read.
pub(crate) fn hint_of_bytes(bytes: &[u8]) -> Hint {
    match packet::read_plain(bytes) {
        Some(plain) => hint_of_flags(plain.flags),
        None => packet::parse(bytes).map_or(Hint::Nothing, |packet| hint_of(&packet.transport)),
    }
}

/// What a segment with these flags, or a datagram, which has none, says of its client.
#[inline]
fn hint_of_flags(flags: TcpFlags) -> Hint {
    if flags.contains(TcpFlags::FIN) || flags.contains(TcpFlags::RST) {
        Hint::Done
    } else {
        Hint::Alive
    }
}

/// The services, by packet and by number; each with its hosts in order of their numbers.
#[derive(Clone)]
pub(crate) struct Matching {
    map: ServiceMap,
    services: BTreeMap<ServiceNumber, Service>,
}

impl Matching {
    pub(crate) fn new(services: &[Service]) -> Self {
        let matches: Vec<ServiceMatch> = services.iter().map(|service| service.matching).collect();
        Self {
            map: ServiceMap::new(&matches),
            services: services
                .iter()
                .map(|service| {
                    let mut service = service.clone();
                    service.hosts.sort_by_key(|host| host.node);
                    (service.number, service)
                })
                .collect(),
        }
    }

    /// The service with this number.
    pub(crate) fn service(&self, number: ServiceNumber) -> Option<&Service> {
        self.services.get(&number)
    }

    /// All of their numbers, sorted.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = ServiceNumber> + '_ {
        self.services.keys().copied()
    }

    /// Whether flows of `number` in `self` are still the same flows under `newer`.
    pub(crate) fn same_service(&self, newer: &Self, number: ServiceNumber) -> bool {
        match (self.service(number), newer.service(number)) {
            (Some(old), Some(new)) => {
                old.matching.vip == new.matching.vip
                    && old.matching.protocol == new.matching.protocol
            }
            _ => false,
        }
    }

    /// Reads a packet that a connection under way is made of: a plain TCP segment that neither opens nor ends it,
    /// or a datagram. Gives its flow.
    #[inline]
    pub(crate) fn read_under_way(&self, bytes: &[u8]) -> Option<FlowKey> {
        let plain = packet::read_plain(bytes)?;
        let flags = plain.flags;
        let is_under_way = match plain.protocol {
            Protocol::Tcp => {
                flags.contains(TcpFlags::ACK)
                    && !flags.contains(TcpFlags::SYN)
                    && !flags.contains(TcpFlags::FIN)
                    && !flags.contains(TcpFlags::RST)
            }
            Protocol::Udp => true,
        };
        if !is_under_way {
            return None;
        }
        let service = self
            .map
            .find_mapped(plain.vip, plain.protocol, plain.vip_port)?;
        Some(plain.flow_key(service))
    }

    /// Reads a client packet.
    #[inline]
    pub(crate) fn classify(&self, bytes: &[u8]) -> Result<Target, DropReason> {
        let plain = packet::read_plain(bytes).and_then(|plain| {
            let service = self
                .map
                .find_mapped(plain.vip, plain.protocol, plain.vip_port)?;
            Some((plain, service))
        });
        let Some((plain, service)) = plain else {
            return self.classify_any(bytes);
        };
        Ok(Target::Flow {
            key: plain.flow_key(service),
            question: Question {
                intent: plain.intent(),
                isn: plain.seq,
            },
            hint: hint_of_flags(plain.flags),
        })
    }

    /// The same, of packets that are not plain, or for no service.
    fn classify_any(&self, bytes: &[u8]) -> Result<Target, DropReason> {
        let packet = packet::parse(bytes)?;
        let hint = match packet.transport {
            Transport::EchoRequest if !self.map.is_vip(packet.dst) => {
                return Err(DropReason::NotVip);
            }
            Transport::EchoRequest if self.is_forged(packet.src) => {
                return Err(DropReason::BadIpHeader);
            }
            Transport::EchoRequest => return Ok(Target::Echo),
            Transport::OtherIcmp => return Err(self.if_vip(&packet, DropReason::IcmpIgnored)),
            Transport::Other(_) => return Err(self.if_vip(&packet, DropReason::NoService)),
            Transport::IcmpError { .. } | Transport::Udp { .. } | Transport::Tcp { .. } => {
                hint_of(&packet.transport)
            }
        };
        // An error about a flow has the VIP as its addressee too: the parser compares.
        let (vip, protocol, port) = packet.vip_endpoint().ok_or(DropReason::NoService)?;
        let Some(service) = self.map.find(vip, protocol, port) else {
            return Err(self.if_vip(&packet, DropReason::NoService));
        };
        let key = packet.flow_key(service).ok_or(DropReason::NoService)?;
        let intent = packet.intent().ok_or(DropReason::NoService)?;
        let isn = match packet.transport {
            Transport::Tcp { seq, .. } => seq,
            Transport::IcmpError { quoted } => quoted.seq,
            Transport::Udp { .. }
            | Transport::EchoRequest
            | Transport::OtherIcmp
            | Transport::Other(_) => 0,
        };
        Ok(Target::Flow {
            key,
            question: Question { intent, isn },
            hint,
        })
    }

    /// `reason` if the packet is for a VIP at all.
    fn if_vip(&self, packet: &Packet, reason: DropReason) -> DropReason {
        if self.map.is_vip(packet.dst) {
            reason
        } else {
            DropReason::NotVip
        }
    }

    /// Whether no client can have sent the packet.
    pub(crate) fn is_forged_packet(&self, bytes: &[u8]) -> bool {
        packet::source(bytes).is_none_or(|source| self.is_forged(source))
    }

    /// Whether no client can have this address. An answer to a VIP's own address would come back to
    /// an ingress.
    fn is_forged(&self, source: IpAddr) -> bool {
        source.is_unspecified()
            || source.is_loopback()
            || source.is_multicast()
            || self.map.is_vip(source)
    }
}
