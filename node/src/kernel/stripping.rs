//! The XDP program of a host: it takes the encapsulation off packets of connections that it was told
//! of, before the kernel's stack sees them.
//!
//! The agent gets whatever else comes, unchanged, and so everything that it has to know: packets that
//! begin a connection or break it off, that are of another birth or by another ingress than the one that was
//! named, and all that is not a data message to the letter. Tags are not verified (`docs/protocol.md`, "The seal").

use super::frame_code::{self, ETHERTYPE, IP, check_end, half, load_packet, look_up, mapped};
use jlb_host_agent::Ends;
use jlb_packet_io::ebpf::{
    Action, Alu, Assembler, Condition, Function, Kind, Label, LoadError, Map, Program, Register::*,
    Size,
};
use jlb_protocol::message::FlowKind;
use jlb_protocol::wire::{NH_VERSION, VERSION, encapsulate_data};
use jlb_protocol::{Birth, NodeNumber, PacketBuf, ServiceNumber};
use std::io;
use std::net::IpAddr;

/// Where things are in an IP packet (RFC 791, RFC 8200).
mod at {
    pub(super) const V4_LENGTH: i16 = 2;
    pub(super) const V4_FRAGMENT: i16 = 6;
    pub(super) const V4_PROTOCOL: i16 = 9;
    pub(super) const V4_SOURCE: i16 = 12;
    pub(super) const V4_DESTINATION: i16 = 16;
    pub(super) const V4_END: i16 = 20;

    pub(super) const V6_LENGTH: i16 = 4;
    pub(super) const V6_PROTOCOL: i16 = 6;
    pub(super) const V6_SOURCE: i16 = 8;
    pub(super) const V6_DESTINATION: i16 = 24;
    pub(super) const V6_END: i16 = 40;

    /// Both of UDP's and TCP's header.
    pub(super) const DESTINATION_PORT: i16 = 2;
    pub(super) const UDP_LENGTH: i16 = 4;
    pub(super) const UDP_END: i16 = 8;
    pub(super) const TCP_FLAGS: i16 = 13;
    /// The shortest that there is.
    pub(super) const TCP_END: i16 = 20;
}

/// Where things are in a data message with a birth, from its Geneve header on.
mod message {
    pub(super) const SERVICE: i16 = 4;
    pub(super) const SEAL_VERSION: i16 = 12;
    pub(super) const SENDER: i16 = 16;
    pub(super) const BIRTH_OPTION: i16 = 40;
    pub(super) const BIRTH: i16 = 44;
    pub(super) const END: i16 = 52;
}

/// A flow in the map: client and VIP, IPv4 mapped, and their ports, all as on the wire.
mod key {
    pub(super) const LEN: usize = 36;
    pub(super) const CLIENT: usize = 0;
    pub(super) const VIP: usize = 16;
    pub(super) const PORTS: usize = 32;
}

/// What messages of a flow must say; numbers and addresses as on the wire.
mod value {
    pub(super) const LEN: usize = 56;
    pub(super) const BIRTH: usize = 0;
    pub(super) const SOURCE: usize = 8;
    pub(super) const DESTINATION: usize = 24;
    pub(super) const SERVICE: usize = 40;
    /// 4 or 6, of the outer addresses, in the machine's byte order, as the generation.
    pub(super) const FAMILY: usize = 44;
    pub(super) const GENERATION: usize = 48;
    pub(super) const SENDER: usize = 52;
}

type Key = [u8; key::LEN];
type Value = [u8; value::LEN];

/// Where the key is on the program's stack, and a number behind it.
const KEY: i16 = -40;
const NUMBER: i16 = -4;

/// Counts are kept apart for processors, as far as they have different numbers modulo this.
const COUNTERS: u32 = 64;

/// A line of the cache for each processor: packets and bytes are the first two.
type Counter = [u64; 8];

/// Flows that are looked at in one call of [`Flows::sweep`].
const SWEEP: usize = 128;

/// What messages of a flow must have besides its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The service that they name.
    pub service: ServiceNumber,
    /// The birth in them.
    pub birth: Birth,
    /// Their sender.
    pub ingress: NodeNumber,
    /// Its address.
    pub source: IpAddr,
    /// Ours, of the same family.
    pub destination: IpAddr,
}

/// The flows, as the programs of all interfaces see them.
#[derive(Debug)]
pub struct Flows {
    map: Map<Key, Value>,
    /// One number: values of another generation count for nothing.
    generation: Map<u32, u64>,
    counters: Map<u32, Counter>,
    present: u32,
    /// While values of other generations may be there, the key to go on from.
    sweeping: Option<Option<Key>>,
}

impl Flows {
    /// Room for as many flows, and none yet.
    ///
    /// # Errors
    /// As [`Map::new`].
    pub fn new(max: u32) -> io::Result<Self> {
        let mut flows = Self {
            map: Map::growing("jlb_flows", max.max(1))?,
            generation: Map::new(Kind::Array, "jlb_generation", 1)?,
            counters: Map::new(Kind::Array, "jlb_stripped", COUNTERS)?,
            present: 0,
            sweeping: None,
        };
        flows.clear()?;
        Ok(flows)
    }

    /// Messages of this flow are stripped from now on.
    ///
    /// # Errors
    /// `ArgumentListTooLong` (E2BIG) without room; `OutOfMemory`.
    pub fn add(&self, ends: &Ends, expected: &Expected) -> io::Result<()> {
        self.map
            .set(&key_of(ends), &value_of(expected, self.present))
    }

    /// Those of this flow are not from now on; false if they were not.
    ///
    /// # Errors
    /// None that happens in practice.
    pub fn remove(&self, ends: &Ends) -> io::Result<bool> {
        self.map.delete(&key_of(ends))
    }

    /// None are from now on, however many flows there were: [`Self::sweep`] frees their memory.
    ///
    /// # Errors
    /// None that happens in practice.
    pub fn clear(&mut self) -> io::Result<()> {
        self.present = self.present.wrapping_add(1);
        self.generation.set(&0, &u64::from(self.present))?;
        self.sweeping = Some(None);
        Ok(())
    }

    /// Whether [`Self::sweep`] has nothing to do.
    #[must_use]
    pub const fn is_swept(&self) -> bool {
        self.sweeping.is_none()
    }

    /// Frees some of what [`Self::clear`] has left.
    ///
    /// # Errors
    /// None that happens in practice.
    pub fn sweep(&mut self) -> io::Result<()> {
        let Some(mut after) = self.sweeping else {
            return Ok(());
        };
        for _ in 0..SWEEP {
            let next = self.map.next_key(after.as_ref())?;
            // The order begins anew after a key that is gone: it goes once its successor is known.
            if let Some(key) = after
                && self.is_outdated(&key)?
            {
                self.map.delete(&key)?;
            }
            if next.is_none() {
                self.sweeping = None;
                return Ok(());
            }
            after = next;
        }
        self.sweeping = Some(after);
        Ok(())
    }

    fn is_outdated(&self, key: &Key) -> io::Result<bool> {
        let at = value::GENERATION..value::GENERATION + 4;
        let value = self.map.get(key)?;
        Ok(value.is_some_and(|it| it[at] != self.present.to_ne_bytes()))
    }

    /// Flows that are there, outdated ones included, `most` at most.
    ///
    /// # Errors
    /// None that happens in practice.
    pub fn len(&self, most: usize) -> io::Result<usize> {
        Ok(self.map.keys(most)?.len())
    }

    /// Packets that were stripped, and their bytes without the encapsulation.
    ///
    /// # Errors
    /// None that happens in practice.
    pub fn counts(&self) -> io::Result<(u64, u64)> {
        let mut sums = (0, 0);
        for at in 0..COUNTERS {
            let [packets, bytes, ..] = self.counters.get(&at)?.unwrap_or_default();
            sums.0 += packets;
            sums.1 += bytes;
        }
        Ok(sums)
    }
}

fn key_of(ends: &Ends) -> Key {
    let mut key = [0; key::LEN];
    key[key::CLIENT..key::VIP].copy_from_slice(&mapped(ends.client.ip()));
    key[key::VIP..key::PORTS].copy_from_slice(&mapped(ends.vip.ip()));
    key[key::PORTS..key::PORTS + 2].copy_from_slice(&ends.client.port().to_be_bytes());
    key[key::PORTS + 2..].copy_from_slice(&ends.vip.port().to_be_bytes());
    key
}

fn value_of(expected: &Expected, generation: u32) -> Value {
    let mut value = [0; value::LEN];
    let mut put = |at: usize, bytes: &[u8]| value[at..at + bytes.len()].copy_from_slice(bytes);
    put(value::BIRTH, &expected.birth.incarnation.to_be_bytes());
    put(value::BIRTH + 4, &expected.birth.counter.to_be_bytes());
    put(value::SOURCE, &mapped(expected.source));
    put(value::DESTINATION, &mapped(expected.destination));
    // A number of 24 bits and a byte of zero.
    put(value::SERVICE, &(expected.service.get() << 8).to_be_bytes());
    let family: u32 = if expected.source.is_ipv4() { 4 } else { 6 };
    put(value::FAMILY, &family.to_ne_bytes());
    put(value::GENERATION, &generation.to_ne_bytes());
    put(value::SENDER, &expected.ingress.get().to_be_bytes());
    value
}

/// The program of one interface.
#[derive(Debug)]
pub struct Stripping {
    /// The program.
    pub program: Program,
}

impl Stripping {
    /// Loads the program for an interface with this hardware address, and messages to this port.
    ///
    /// # Errors
    /// The kernel's reason, with the end of its verifier's log.
    pub fn load(flows: &Flows, hardware: [u8; 6], port: u16) -> Result<Self, LoadError> {
        let code = assemble(flows, hardware, port).finish()?;
        Ok(Self {
            program: Program::load("jlb_host", &code)?,
        })
    }
}

/// The protocol inside or outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn header(self) -> i16 {
        match self {
            Self::V4 => at::V4_END,
            Self::V6 => at::V6_END,
        }
    }

    const fn ethertype(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }

    const fn number(self) -> i32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// Offsets of source and destination in the header, and bytes of each.
    const fn addresses(self) -> (i16, i16, i16) {
        match self {
            Self::V4 => (at::V4_SOURCE, at::V4_DESTINATION, 4),
            Self::V6 => (at::V6_SOURCE, at::V6_DESTINATION, 16),
        }
    }
}

/// The headers of a data message around an empty packet, as this build writes them.
fn sample(inner: Family) -> [u8; message::END as usize] {
    let first = match inner {
        Family::V4 => 0x45,
        Family::V6 => 0x60,
    };
    let mut buf = PacketBuf::new(1);
    let birth = Birth {
        incarnation: 0,
        counter: 0,
    };
    let mut sample = [0; message::END as usize];
    let one = ServiceNumber::new(1);
    if let Some(service) = one.filter(|_| buf.fill(&[first]))
        && encapsulate_data(&mut buf, service, Some(birth)).is_ok()
    {
        sample.copy_from_slice(&buf.as_slice()[..message::END as usize]);
    }
    sample
}

/// R6: context. R2, R3: packet and its end. R7: length of what is looked at. R8: the flow's value.
fn assemble<'maps>(flows: &'maps Flows, hardware: [u8; 6], port: u16) -> Assembler<'maps> {
    let mut code = Assembler::new();
    let [pass, v6] = std::array::from_fn(|_| code.label());
    frame_code::begin(&mut code, hardware, pass);
    code.jump_if(Condition::Equal, R5, half(Family::V6.ethertype()), v6);
    code.jump_if(Condition::NotEqual, R5, half(Family::V4.ethertype()), pass);
    outer(&mut code, flows, Family::V4, port, pass);
    code.place(v6);
    outer(&mut code, flows, Family::V6, port, pass);
    code.place(pass);
    code.move_immediate(R0, Action::Pass as i32);
    code.exit();
    code
}

/// A frame of this ethertype, to its end.
fn outer<'maps>(
    code: &mut Assembler<'maps>,
    flows: &'maps Flows,
    outer: Family,
    port: u16,
    pass: Label,
) {
    let udp = IP + outer.header();
    let geneve = udp + at::UDP_END;
    // The shortest that can be meant.
    check_end(code, geneve + message::END + at::V4_END + at::TCP_END, pass);
    match outer {
        Family::V4 => plain_v4(code, IP, 17, pass),
        Family::V6 => plain_v6(code, IP, 17, pass),
    }
    code.load(Size::Half, R5, R2, udp + at::DESTINATION_PORT);
    code.jump_if(Condition::NotEqual, R5, half(port), pass);
    // R7 is what IP says of its payload.
    code.load(Size::Half, R5, R2, udp + at::UDP_LENGTH);
    code.big_endian(R5, 16);
    code.jump_if_registers(Condition::NotEqual, R5, R7, pass);
    let headers = i32::from(at::UDP_END + message::END);
    code.jump_if(Condition::LessOrEqual, R7, headers, pass);
    code.alu_immediate(Alu::Subtract, R7, headers);
    // All of the inner packet is there.
    code.copy(R4, R2);
    code.alu_immediate(Alu::Add, R4, i32::from(geneve + message::END));
    code.alu(Alu::Add, R4, R7);
    code.jump_if_registers(Condition::Greater, R4, R3, pass);
    let v6 = code.label();
    let sample_v4 = sample(Family::V4);
    let sample_v6 = sample(Family::V6);
    // The first word is the header's but for the service, with the packet's ethertype.
    code.load(Size::Word, R5, R2, geneve);
    code.load_number(R0, u64::from(word(&sample_v6, 0)));
    code.jump_if_registers(Condition::Equal, R5, R0, v6);
    code.load_number(R0, u64::from(word(&sample_v4, 0)));
    code.jump_if_registers(Condition::NotEqual, R5, R0, pass);
    inner(code, flows, outer, Family::V4, &sample_v4, pass);
    code.place(v6);
    inner(code, flows, outer, Family::V6, &sample_v6, pass);
}

/// A message with a packet of this family inside, to its end.
fn inner<'maps>(
    code: &mut Assembler<'maps>,
    flows: &'maps Flows,
    outer: Family,
    inner: Family,
    sample: &[u8],
    pass: Label,
) {
    let geneve = IP + outer.header() + at::UDP_END;
    let ip = geneve + message::END;
    let tcp = ip + inner.header();
    let least = tcp + at::TCP_END;
    check_end(code, least, pass);
    // The seal's own header, and its version and kind.
    code.load(Size::Word, R5, R2, geneve + 8);
    code.load_number(R0, u64::from(word(sample, 8)));
    code.jump_if_registers(Condition::NotEqual, R5, R0, pass);
    let known = code.label();
    code.load(Size::Half, R5, R2, geneve + message::SEAL_VERSION);
    for version in [VERSION, NH_VERSION] {
        let both = i32::from(u16::from_ne_bytes([version, FlowKind::Data as u8]));
        code.jump_if(Condition::Equal, R5, both, known);
    }
    code.jump(pass);
    code.place(known);
    code.load(Size::Word, R5, R2, geneve + message::BIRTH_OPTION);
    code.load_number(R0, u64::from(word(sample, message::BIRTH_OPTION as usize)));
    code.jump_if_registers(Condition::NotEqual, R5, R0, pass);

    // R9 keeps the inner packet's length meanwhile: it must be what its header says.
    code.copy(R9, R7);
    match inner {
        Family::V4 => plain_v4(code, ip, 6, pass),
        Family::V6 => plain_v6(code, ip, 6, pass),
    }
    code.alu_immediate(Alu::Add, R7, i32::from(inner.header()));
    code.jump_if_registers(Condition::NotEqual, R7, R9, pass);
    // ACK, and neither SYN nor RST.
    code.load(Size::Byte, R5, R2, tcp + at::TCP_FLAGS);
    code.alu_immediate(Alu::And, R5, 0x16);
    code.jump_if(Condition::NotEqual, R5, 0x10, pass);

    // Is it a flow's?
    let (source, destination, size) = inner.addresses();
    for (to, from) in [(key::CLIENT, source), (key::VIP, destination)] {
        let to = KEY + to as i16;
        if inner == Family::V4 {
            code.store_immediate(Size::Word, R10, to, 0);
            code.store_immediate(Size::Word, R10, to + 4, 0);
            let mapped = i32::from_ne_bytes([0, 0, 0xff, 0xff]);
            code.store_immediate(Size::Word, R10, to + 8, mapped);
        }
        for part in (0..size).step_by(4) {
            code.load(Size::Word, R5, R2, ip + from + part);
            code.store(Size::Word, R10, to + 16 - size + part, R5);
        }
    }
    code.load(Size::Word, R5, R2, tcp);
    code.store(Size::Word, R10, KEY + key::PORTS as i16, R5);
    look_up(code, &flows.map, KEY);
    code.jump_if(Condition::Equal, R0, 0, pass);
    code.copy(R8, R0);
    code.store_immediate(Size::Word, R10, NUMBER, 0);
    look_up(code, &flows.generation, NUMBER);
    code.jump_if(Condition::Equal, R0, 0, pass);
    code.load(Size::Double, R0, R0, 0);
    code.load(Size::Word, R5, R8, value::GENERATION as i16);
    code.jump_if_registers(Condition::NotEqual, R5, R0, pass);

    // Is it what the flow's messages are like?
    load_packet(code, least, pass);
    code.load(Size::Word, R5, R8, value::FAMILY as i16);
    code.jump_if(Condition::NotEqual, R5, outer.number(), pass);
    let mut same = |size: Size, packet: i16, value: usize| {
        code.load(size, R4, R2, packet);
        code.load(size, R5, R8, value as i16);
        code.jump_if_registers(Condition::NotEqual, R4, R5, pass);
    };
    same(Size::Word, geneve + message::SERVICE, value::SERVICE);
    same(Size::Half, geneve + message::SENDER, value::SENDER);
    same(Size::Double, geneve + message::BIRTH, value::BIRTH);
    let (source, destination, size) = outer.addresses();
    for (packet, value) in [(source, value::SOURCE), (destination, value::DESTINATION)] {
        for part in (0..size).step_by(4) {
            let value = value + 16 - size as usize + part as usize;
            same(Size::Word, IP + packet + part, value);
        }
    }
    strip(code, flows, ip, inner, pass);
}

/// Counts the packet that begins there, and puts the frame's header right in front of it.
fn strip<'maps>(
    code: &mut Assembler<'maps>,
    flows: &'maps Flows,
    ip: i16,
    inner: Family,
    pass: Label,
) {
    code.call(Function::ProcessorId);
    code.alu_immediate(Alu::And, R0, (COUNTERS - 1).cast_signed());
    code.store(Size::Word, R10, NUMBER, R0);
    look_up(code, &flows.counters, NUMBER);
    code.jump_if(Condition::Equal, R0, 0, pass);
    code.move_immediate(R5, 1);
    code.atomic_add(R0, 0, R5);
    code.atomic_add(R0, 8, R9);
    let ethernet = ip - IP;
    load_packet(code, ip, pass);
    for part in [0, 4, 8] {
        code.load(Size::Word, R5, R2, part);
        code.store(Size::Word, R2, ethernet + part, R5);
    }
    let ethertype = half(inner.ethertype());
    code.store_immediate(Size::Half, R2, ethernet + ETHERTYPE, ethertype);
    code.copy(R1, R6);
    code.move_immediate(R2, i32::from(ethernet));
    code.call(Function::AdjustHead);
    let failed = code.label();
    code.jump_if(Condition::NotEqual, R0, 0, failed);
    code.move_immediate(R0, Action::Pass as i32);
    code.exit();
    // It has been written to, and is no message any more. No kernel refuses this.
    code.place(failed);
    code.move_immediate(R0, Action::Aborted as i32);
    code.exit();
}

/// An IPv4 packet without options, not a fragment, of this protocol; R7 is the length of what it carries.
fn plain_v4(code: &mut Assembler<'_>, ip: i16, protocol: i32, pass: Label) {
    code.load(Size::Byte, R5, R2, ip);
    code.jump_if(Condition::NotEqual, R5, 0x45, pass);
    code.load(Size::Half, R5, R2, ip + at::V4_FRAGMENT);
    code.jump_if(Condition::AnyBit, R5, half(0x3fff), pass);
    code.load(Size::Byte, R5, R2, ip + at::V4_PROTOCOL);
    code.jump_if(Condition::NotEqual, R5, protocol, pass);
    code.load(Size::Half, R7, R2, ip + at::V4_LENGTH);
    code.big_endian(R7, 16);
    code.jump_if(Condition::Less, R7, i32::from(at::V4_END), pass);
    code.alu_immediate(Alu::Subtract, R7, i32::from(at::V4_END));
}

/// An IPv6 packet without extension headers, of this protocol; R7 is the length of what it carries.
fn plain_v6(code: &mut Assembler<'_>, ip: i16, protocol: i32, pass: Label) {
    code.load(Size::Byte, R5, R2, ip);
    code.alu_immediate(Alu::And, R5, 0xf0);
    code.jump_if(Condition::NotEqual, R5, 0x60, pass);
    code.load(Size::Byte, R5, R2, ip + at::V6_PROTOCOL);
    code.jump_if(Condition::NotEqual, R5, protocol, pass);
    code.load(Size::Half, R7, R2, ip + at::V6_LENGTH);
    code.big_endian(R7, 16);
}

/// Four bytes as the program reads them.
fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}
