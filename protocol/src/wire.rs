//! Geneve (RFC 8926) on the wire: every message starts at its Geneve header, inside UDP.
//!
//! The first option of every message is the seal (version, type, sender, sequence, tag); the
//! fields of one flow stand in further options, lists stand in the body.

mod control;
mod geneve;
mod option;
mod seal;

pub use control::encode_control;
pub use geneve::{ETHERTYPE_CONTROL, ETHERTYPE_IPV4, ETHERTYPE_IPV6, UDP_PORT};
pub(crate) use seal::{Covered, Imprint, write_tag};
pub use seal::{NH_VERSION, SEALED_LEN, Seal, VERSION, is_data};

use crate::buffer::{Buffer, PacketBuf};
use crate::drop_reason::DropReason;
use crate::flow::{Birth, FlowKey};
use crate::message::{FlowKind, FlowMessage, Message};
use crate::number::ServiceNumber;
use crate::packet;
use geneve::Geneve;
use option::OptionWriter;

/// Bytes of options that a data packet may grow to; today's are 44. Packets of a search carry up
/// to 76 with seven hosts tried; longer ones are fragmented by the underlay at worst.
const DATA_OPTIONS: usize = 76;

const UDP_HEADER: usize = 8;

/// Bytes between an outer packet and the client's packet inside it, for the configuration's check:
/// outer IP header without options, UDP, Geneve and options with room to grow. 112 over IPv4, 132
/// over IPv6.
#[must_use]
pub const fn data_overhead(ipv6_underlay: bool) -> usize {
    let ip = if ipv6_underlay { 40 } else { 20 };
    ip + UDP_HEADER + geneve::HEADER_LEN + DATA_OPTIONS
}

/// The wire version that this build speaks; it understands all from 1. 2 added digests (R9), 3 seals of
/// version 3 (R12). The feature `wire-1` makes a build of the first version, to test that both work together.
pub const WIRE_VERSION: u8 = if cfg!(feature = "wire-1") { 1 } else { 3 };

/// The most statements, digests or loads that one control message may carry, in bytes, so that it
/// fits the smallest underlay MTU (1,412 bytes with IPv6).
pub const MAX_BODY: usize = 1_280;

/// Writes a message about one flow: Geneve header, unsealed seal, options, and the packet.
///
/// # Errors
/// [`DropReason::TooBig`] if it does not fit a buffer, [`DropReason::NotIp`] if the packet has no
/// IP version.
pub fn encode_flow(message: &FlowMessage<'_>, buf: &mut PacketBuf) -> Result<(), DropReason> {
    buf.clear();
    if !buf.fill(message.packet) {
        return Err(DropReason::TooBig);
    }
    let fields = message.kind.fields();
    let ethertype = if fields.packet {
        packet_ethertype(message.packet)?
    } else {
        ETHERTYPE_CONTROL
    };
    // Each is put in front of what is there, so that the last one comes first.
    let mut options = OptionWriter::new(buf);
    if fields.verdict {
        options.verdict(message.reason, message.load)?;
    }
    if fields.hunt && !message.hunt.is_empty() {
        options.hunt(&message.hunt)?;
    }
    if fields.tried && !message.tried.is_empty() {
        options.tried(&message.tried)?;
    }
    if let Some(birth) = message.birth.filter(|_| fields.birth) {
        options.birth(birth)?;
    }
    // All but Data have both.
    if fields.path && fields.offer {
        return options.finish_search(message, ethertype);
    }
    let service = message.key.service();
    options.finish(message.kind as u8, ethertype, service.get())
}

/// Puts the headers of a Data message in front of the client's packet in `buf`, in place.
///
/// # Errors
/// [`DropReason::NotIp`] if the packet has no IP version, [`DropReason::TooBig`] if there is no
/// headroom.
#[inline(always)]
pub fn encapsulate_data(
    buf: &mut impl Buffer,
    service: ServiceNumber,
    birth: Option<Birth>,
) -> Result<(), DropReason> {
    let ethertype = packet_ethertype(buf.as_slice())?;
    let Some(birth) = birth else {
        let options = OptionWriter::new(buf);
        return options.finish(FlowKind::Data as u8, ethertype, service.get());
    };
    let headers = buf.prepend(DATA_HEADERS);
    let (header, options) = headers
        .and_then(|headers| headers.first_chunk_mut::<DATA_HEADERS>())
        .and_then(|headers| headers.split_first_chunk_mut())
        .ok_or(DropReason::TooBig)?;
    *header = geneve::header(option::DATA_LEN, false, ethertype, service.get());
    let options = options.first_chunk_mut().ok_or(DropReason::TooBig)?;
    option::write_data(options, FlowKind::Data as u8, birth);
    Ok(())
}

/// Bytes of the headers of a Data message with a birth.
const DATA_HEADERS: usize = geneve::HEADER_LEN + option::DATA_LEN;

#[inline]
fn packet_ethertype(packet: &[u8]) -> Result<u16, DropReason> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => Ok(ETHERTYPE_IPV4),
        Some(6) => Ok(ETHERTYPE_IPV6),
        _ => Err(DropReason::NotIp),
    }
}

/// Reads a message from its Geneve header on. The link has verified its tag before.
///
/// # Errors
/// The reason for which the message is dropped.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DropReason> {
    let geneve = Geneve::parse(bytes)?;
    let mut options = option::Options::NONE;
    option::parse(geneve.options, &mut options)?;
    let kind = options.kind().ok_or(DropReason::BadOption)?;
    let Some(kind) = FlowKind::from_wire(kind) else {
        options.hunt()?;
        return control::decode(kind, geneve).map(Message::Control);
    };
    let Expected {
        packet: has_packet,
        allowed,
        required,
    } = EXPECTED[kind as usize - 1];
    if has_packet == geneve.control {
        return Err(DropReason::BadGeneve);
    }
    let service = ServiceNumber::new(geneve.vni).ok_or(DropReason::BadField)?;
    let (key, packet) = if has_packet {
        check_ethertype(&geneve)?;
        let (key, len) = packet_key(geneve.payload, service)?;
        let packet = geneve.payload.get(..len).ok_or(DropReason::Truncated)?;
        (key, packet)
    } else {
        if !geneve.payload.is_empty() {
            return Err(DropReason::BadBody);
        }
        let key = options.key.ok_or(DropReason::BadOption)?;
        if key.service() != service {
            return Err(DropReason::FlowMismatch);
        }
        (key, &geneve.payload[..0])
    };
    let there = options.present();
    if there & !allowed != 0 || required & !there != 0 {
        return Err(DropReason::BadOption);
    }
    Ok(Message::Flow(FlowMessage {
        kind,
        key,
        offer: options.offer,
        intent: options.intent,
        path: options.path,
        birth: options.birth,
        tried: options.tried(),
        hunt: options.hunt()?,
        reason: options.reason,
        load: options.load,
        packet,
    }))
}

/// What belongs to a message of one kind.
#[derive(Clone, Copy)]
struct Expected {
    packet: bool,
    /// The options that it may have, as [`option::Options::present`].
    allowed: u8,
    /// Those that it must have.
    required: u8,
}

/// By the number of the kind, from 1 on.
const EXPECTED: [Expected; FlowKind::ALL.len()] = {
    let mut all = [expected(FlowKind::Open); FlowKind::ALL.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = expected(FlowKind::ALL[at]);
        at += 1;
    }
    all
};

const fn expected(kind: FlowKind) -> Expected {
    let fields = kind.fields();
    let allowed = option::bits([
        fields.offer,
        fields.path,
        fields.birth,
        fields.tried,
        fields.hunt,
        fields.verdict,
        !fields.packet,
    ]);
    let optional = option::bits([
        false,
        false,
        fields.birth_optional,
        true,
        true,
        false,
        false,
    ]);
    Expected {
        packet: fields.packet,
        allowed,
        required: allowed & !optional,
    }
}

/// The flow of a client's packet, and the packet's length.
#[inline]
fn packet_key(packet: &[u8], service: ServiceNumber) -> Result<(FlowKey, usize), DropReason> {
    if let Some(plain) = packet::read_plain(packet) {
        return Ok((plain.flow_key(service), plain.total_len));
    }
    let parsed = packet::parse(packet)?;
    let key = parsed.flow_key(service).ok_or(DropReason::FlowMismatch)?;
    Ok((key, parsed.total_len))
}

fn check_ethertype(geneve: &Geneve<'_>) -> Result<(), DropReason> {
    if packet_ethertype(geneve.payload)? == geneve.ethertype {
        Ok(())
    } else {
        Err(DropReason::BadGeneve)
    }
}

impl FlowKind {
    /// The kind with this type number.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Self> {
        // They are numbered in this order, from 1 on.
        let at = number.checked_sub(1)?;
        Self::ALL.get(usize::from(at)).copied()
    }
}

#[cfg(test)]
mod tests;
