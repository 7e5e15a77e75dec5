//! The bodies of messages that concern no single flow.
//!
//! A body begins with its version (1 byte), a zero byte and its own length (2 bytes).

use super::geneve::{ETHERTYPE_CONTROL, Geneve};
use super::option::{OptionWriter, read_birth, write_birth};
use super::{MAX_BODY, WIRE_VERSION};
use crate::buffer::PacketBuf;
use crate::drop_reason::DropReason;
use crate::flow::{Birth, FlowKey};
use crate::message::{
    BucketDigest, Control, ControlKind, Entry, FlowState, FlowStatement, List, Listed, MemberEntry,
    ServiceLoad,
};
use crate::number::{NodeNumber, Role, ServiceNumber};
use crate::view::{Member, MemberState};
use core::net::{Ipv4Addr, Ipv6Addr};

const BODY_VERSION: u8 = 1;
const BODY_HEADER: usize = 4;

/// Flags of a State.
const FILLED: u8 = 1;
const LISTED: u8 = 2;

/// In the place of a birth that is not there.
const NO_BIRTH: Birth = Birth {
    incarnation: 0,
    counter: 0,
};

/// Writes a control message: Geneve header, unsealed seal, body.
///
/// # Errors
/// [`DropReason::TooBig`] if its list makes the body longer than [`MAX_BODY`].
pub fn encode_control(control: &Control<'_>, buf: &mut PacketBuf) -> Result<(), DropReason> {
    buf.clear();
    let mut body = Body {
        bytes: [0; MAX_BODY],
        len: BODY_HEADER,
    };
    match *control {
        Control::Hello {
            view,
            config,
            nonce,
            state,
            role,
            wire,
        }
        | Control::HelloAck {
            view,
            config,
            nonce,
            state,
            role,
            wire,
        } => {
            body.put(&view.to_be_bytes())?;
            body.put(&config.to_be_bytes())?;
            body.put(&nonce.to_be_bytes())?;
            body.put(&[state as u8, role as u8, wire, 0])?;
        }
        Control::State {
            sequence,
            filled,
            listed,
            flows,
        } => {
            body.put(&sequence.to_be_bytes())?;
            let flags =
                (u8::from(filled.is_some()) * FILLED) | (u8::from(listed.is_some()) * LISTED);
            body.put(&[flags, 0])?;
            let bucket = listed.map_or(0, |listed| listed.bucket);
            body.put(&bucket.to_be_bytes())?;
            body.put(&filled.unwrap_or(0).to_be_bytes())?;
            write_birth(
                listed.map_or(NO_BIRTH, |listed| listed.high_water),
                body.room(8)?,
            );
            body.put_list(&flows)?;
        }
        Control::Ack { sequence } => body.put(&sequence.to_be_bytes())?,
        Control::Digest { sequence, buckets } => {
            body.put(&sequence.to_be_bytes())?;
            body.put_list(&buckets)?;
        }
        Control::SendFull { bucket } => body.put(&bucket.to_be_bytes())?,
        Control::Load { services } => body.put_list(&services)?,
        Control::Members { members } => body.put_list(&members)?,
    }
    let len = u16::try_from(body.len).map_err(|_| DropReason::TooBig)?;
    body.bytes[0] = BODY_VERSION;
    body.bytes[2..BODY_HEADER].copy_from_slice(&len.to_be_bytes());
    if !buf.fill(&body.bytes[..body.len]) {
        return Err(DropReason::TooBig);
    }
    OptionWriter::new(buf).finish(control.kind() as u8, ETHERTYPE_CONTROL, 0)
}

struct Body {
    bytes: [u8; MAX_BODY],
    len: usize,
}

impl Body {
    fn room(&mut self, len: usize) -> Result<&mut [u8], DropReason> {
        let start = self.len;
        let room = self
            .bytes
            .get_mut(start..start + len)
            .ok_or(DropReason::TooBig)?;
        self.len = start + len;
        Ok(room)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), DropReason> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn put_list<T: Entry>(&mut self, list: &List<'_, T>) -> Result<(), DropReason> {
        list.iter().try_for_each(|entry| {
            entry.write(self.room(T::LEN)?);
            Ok(())
        })
    }
}

pub(super) fn decode<'a>(kind: u8, geneve: Geneve<'a>) -> Result<Control<'a>, DropReason> {
    let kind = ControlKind::from_wire(kind).ok_or(DropReason::BadField)?;
    if !geneve.control {
        return Err(DropReason::BadGeneve);
    }
    let &[version, _, high, low, ..] = geneve.payload else {
        return Err(DropReason::BadBody);
    };
    if version != BODY_VERSION {
        return Err(DropReason::BadVersion);
    }
    if usize::from(u16::from_be_bytes([high, low])) != geneve.payload.len() {
        return Err(DropReason::BadBody);
    }
    let mut reader = Reader {
        bytes: &geneve.payload[BODY_HEADER..],
    };
    let control = match kind {
        ControlKind::Hello | ControlKind::HelloAck => reader.hello(kind)?,
        ControlKind::State => reader.state()?,
        ControlKind::Ack => Control::Ack {
            sequence: reader.u64()?,
        },
        ControlKind::Digest => Control::Digest {
            sequence: reader.u64()?,
            buckets: reader.list()?,
        },
        ControlKind::SendFull => Control::SendFull {
            bucket: reader.u16()?,
        },
        ControlKind::Load => Control::Load {
            services: reader.list()?,
        },
        ControlKind::Members => Control::Members {
            members: reader.list()?,
        },
    };
    if reader.bytes.is_empty() {
        Ok(control)
    } else {
        Err(DropReason::BadBody)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DropReason> {
        let (value, rest) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or(DropReason::BadBody)?;
        self.bytes = rest;
        Ok(*value)
    }

    fn u16(&mut self) -> Result<u16, DropReason> {
        self.take().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, DropReason> {
        self.take().map(u64::from_be_bytes)
    }

    fn hello(&mut self, kind: ControlKind) -> Result<Control<'a>, DropReason> {
        let (view, config, nonce) = (self.u64()?, self.u64()?, self.u64()?);
        let [state, role, wire, _] = self.take()?;
        let state = MemberState::from_wire(state).ok_or(DropReason::BadField)?;
        let role = Role::from_wire(role).ok_or(DropReason::BadField)?;
        Ok(match kind {
            ControlKind::HelloAck => Control::HelloAck {
                view,
                config,
                nonce,
                state,
                role,
                wire,
            },
            _ => Control::Hello {
                view,
                config,
                nonce,
                state,
                role,
                wire,
            },
        })
    }

    fn state(&mut self) -> Result<Control<'a>, DropReason> {
        let sequence = self.u64()?;
        let [flags, _] = self.take()?;
        let bucket = self.u16()?;
        let filled = self.u64()?;
        let high_water = read_birth(&self.take::<8>()?).ok_or(DropReason::BadField)?;
        Ok(Control::State {
            sequence,
            filled: (flags & FILLED != 0).then_some(filled),
            listed: (flags & LISTED != 0).then_some(Listed { bucket, high_water }),
            flows: self.list()?,
        })
    }

    /// The rest of the body as a list, every entry of which can be read.
    fn list<T: Entry>(&mut self) -> Result<List<'a, T>, DropReason> {
        let bytes = core::mem::take(&mut self.bytes);
        let entries = bytes.chunks_exact(T::LEN);
        if !entries.remainder().is_empty() {
            return Err(DropReason::BadBody);
        }
        for entry in entries {
            T::read(entry).ok_or(DropReason::BadField)?;
        }
        Ok(List::Wire(bytes))
    }
}

impl ControlKind {
    fn from_wire(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|&kind| kind as u8 == number && kind.since() <= WIRE_VERSION)
    }

    /// The wire version that introduced it.
    const fn since(self) -> u8 {
        match self {
            Self::Hello | Self::HelloAck | Self::State | Self::Ack | Self::Load | Self::Members => {
                1
            }
            Self::Digest | Self::SendFull => 2,
        }
    }
}

impl Entry for FlowStatement {
    const LEN: usize = FlowKey::WIRE_LEN + 16;

    fn write(&self, bytes: &mut [u8]) {
        let (key, rest) = bytes.split_at_mut(FlowKey::WIRE_LEN);
        key.copy_from_slice(&self.key.to_bytes());
        write_birth(self.birth, rest);
        rest[8..12].copy_from_slice(&self.isn.to_be_bytes());
        rest[12] = self.state as u8;
        rest[13] = if self.fresh { FRESH } else { 0 };
        rest[14..16].fill(0);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let isn = rest.get(8..12)?.try_into().ok()?;
        let state = *rest.get(12)?;
        let states = [
            FlowState::Accepted,
            FlowState::Established,
            FlowState::Closing,
            FlowState::Closed,
            FlowState::NotMine,
        ];
        Some(Self {
            key: FlowKey::from_bytes(key)?,
            birth: read_birth(rest)?,
            isn: u32::from_be_bytes(isn),
            state: states.into_iter().find(|&known| known as u8 == state)?,
            fresh: rest.get(13)? & FRESH != 0,
        })
    }
}

/// Of the byte behind a statement's state, which was 0 in wire version 1: a life that began just now.
const FRESH: u8 = 1;

impl Entry for BucketDigest {
    const LEN: usize = 24;

    fn write(&self, bytes: &mut [u8]) {
        bytes[..2].copy_from_slice(&self.bucket.to_be_bytes());
        bytes[2..4].fill(0);
        bytes[4..8].copy_from_slice(&self.count.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.hash.to_be_bytes());
        write_birth(self.high_water, &mut bytes[16..]);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            bucket: u16::from_be_bytes(*bytes.first_chunk()?),
            count: u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?),
            hash: u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?),
            high_water: read_birth(bytes.get(16..)?)?,
        })
    }
}

impl Entry for ServiceLoad {
    const LEN: usize = 16;

    fn write(&self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self.service.get().to_be_bytes());
        bytes[4..8].copy_from_slice(&self.connections.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.room.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.load.to_be_bytes());
        bytes[14] = u8::from(self.healthy);
        bytes[15] = 0;
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            service: ServiceNumber::new(u32::from_be_bytes(*bytes.first_chunk()?))?,
            connections: u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?),
            room: u32::from_be_bytes(*bytes.get(8..)?.first_chunk()?),
            load: u16::from_be_bytes(*bytes.get(12..)?.first_chunk()?),
            healthy: match *bytes.get(14)? {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

impl Entry for MemberEntry {
    const LEN: usize = 28;

    fn write(&self, bytes: &mut [u8]) {
        let Member {
            node,
            role,
            state,
            incarnation,
            domain: _,
        } = self.member;
        bytes[..2].copy_from_slice(&node.get().to_be_bytes());
        bytes[2] = role as u8;
        bytes[3] = state as u8;
        bytes[4..8].copy_from_slice(&incarnation.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.v4.map_or([0; 4], |address| address.octets()));
        bytes[12..28].copy_from_slice(&self.v6.map_or([0; 16], |address| address.octets()));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let v4 = Ipv4Addr::from(*bytes.get(8..)?.first_chunk::<4>()?);
        let v6 = Ipv6Addr::from(*bytes.get(12..)?.first_chunk::<16>()?);
        Some(Self {
            member: Member {
                node: NodeNumber::new(u16::from_be_bytes(*bytes.first_chunk()?))?,
                role: Role::from_wire(*bytes.get(2)?)?,
                state: MemberState::from_wire(*bytes.get(3)?)?,
                incarnation: u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?),
                domain: None,
            },
            v4: (!v4.is_unspecified()).then_some(v4),
            v6: (!v6.is_unspecified()).then_some(v6),
        })
    }
}
