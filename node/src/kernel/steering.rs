//! The XDP program of an ingress: packets for the VIPs go to `AF_XDP` sockets, before the kernel's
//! stack sees them.
//!
//! What the program does not understand, or the kernel has to answer, it passes on to the stack, which
//! routes it to the TUN device: frames for another hardware address (a bridge floods what it does
//! not know), with a VLAN tag in them, IPv4 options or a wrong header checksum, fragments, IPv6 extension
//! headers, neighbour discovery, packets larger than fit the encapsulation ("too big") or a frame, and those
//! whose time to live ends here ("time exceeded").

use super::frame_code::{self, IP, QUEUE, check_end, half, load_packet, look_up, mapped};
use jlb_packet_io::ebpf::{
    Action, Alu, Assembler, Condition, Function, Kind, Label, Link, LoadError, Map, Mode, Program,
    Register::*, Size,
};
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

/// VIPs that a map has room for.
pub const MAX_VIPS: u32 = 65_536;

/// Queues of an interface that packets may come by.
pub const MAX_QUEUES: u32 = 256;

/// Numbers of IPv6's next-header field.
const TCP: i32 = 6;
const UDP: i32 = 17;
const ICMPV6: i32 = 58;

/// Types of ICMPv6 messages that the kernel answers (RFC 4861).
const FIRST_DISCOVERY: i32 = 133;
const LAST_DISCOVERY: i32 = 137;

/// Where things are in a frame (IEEE 802.3, RFC 791, RFC 8200).
mod at {
    use super::IP;

    pub(super) const V4_LENGTH: i16 = IP + 2;
    pub(super) const V4_FRAGMENT: i16 = IP + 6;
    pub(super) const V4_TTL: i16 = IP + 8;
    pub(super) const V4_DESTINATION: i16 = IP + 16;
    pub(super) const V4_END: i16 = IP + 20;
    pub(super) const V6_LENGTH: i16 = IP + 4;
    pub(super) const V6_NEXT_HEADER: i16 = IP + 6;
    pub(super) const V6_HOP_LIMIT: i16 = IP + 7;
    pub(super) const V6_DESTINATION: i16 = IP + 24;
    pub(super) const V6_END: i16 = IP + 40;
}

/// The key of a VIP on the program's stack.
const KEY: i16 = -16;

/// The VIPs, as the programs of all interfaces see them.
#[derive(Debug)]
pub struct Vips {
    /// By address, IPv4 mapped; the value is the family, 4 or 6.
    map: Map<[u8; 16], u32>,
}

impl Vips {
    /// No VIPs yet.
    ///
    /// # Errors
    /// As [`Map::new`].
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            map: Map::new(Kind::Hash, "jlb_vips", MAX_VIPS)?,
        })
    }

    /// These are the VIPs from now on, each from the moment that it is written.
    ///
    /// # Errors
    /// `ArgumentListTooLong` (E2BIG) for more than [`MAX_VIPS`].
    pub fn set(&self, vips: &[IpAddr]) -> io::Result<()> {
        let wanted: BTreeSet<[u8; 16]> = vips.iter().map(|vip| mapped(*vip)).collect();
        for old in self.map.keys(MAX_VIPS as usize)? {
            if !wanted.contains(&old) {
                self.map.delete(&old)?;
            }
        }
        for &vip in vips {
            self.map
                .set(&mapped(vip), if vip.is_ipv4() { &4 } else { &6 })?;
        }
        Ok(())
    }
}

/// The program of one interface.
#[derive(Debug)]
pub struct Steering {
    /// The sockets by queue: [`jlb_packet_io::xsk::Socket::register`] them. Packets of a queue
    /// without one go to the kernel's stack.
    pub sockets: Map<u32, u32>,
    /// The program.
    pub program: Program,
}

impl Steering {
    /// Loads the program for an interface with this hardware address. Packets of more than
    /// `max_inner` bytes go to the stack.
    ///
    /// # Errors
    /// Why the kernel refuses it.
    pub fn load(vips: &Vips, hardware: [u8; 6], max_inner: u16) -> Result<Self, LoadError> {
        let sockets = Map::new(Kind::Sockets, "jlb_sockets", MAX_QUEUES).map_err(|source| {
            LoadError::Kernel {
                source,
                log: String::new(),
            }
        })?;
        let code = assemble(vips, &sockets, hardware, max_inner).finish()?;
        let program = Program::load("jlb_ingress", &code)?;
        Ok(Self { sockets, program })
    }

    /// Puts the program in front of the interface's packets, until the result goes.
    ///
    /// # Errors
    /// As [`Program::attach`].
    pub fn attach(&self, interface: u32, mode: Mode) -> io::Result<Link> {
        self.program.attach(interface, mode)
    }
}

fn assemble<'maps>(
    vips: &'maps Vips,
    sockets: &'maps Map<u32, u32>,
    hardware: [u8; 6],
    max_inner: u16,
) -> Assembler<'maps> {
    let mut code = Assembler::new();
    let [pass, v4, v6, v6_upper, lookup, redirect] = std::array::from_fn(|_| code.label());
    // R6: context. R2, R3: packet and its end. R7: length of the IP packet. R8: its family.
    frame_code::begin(&mut code, hardware, pass);
    code.jump_if(Condition::Equal, R5, half(0x0800), v4);
    code.jump_if(Condition::Equal, R5, half(0x86dd), v6);
    code.jump(pass);

    code.place(v4);
    check_end(&mut code, at::V4_END, pass);
    code.load(Size::Byte, R5, R2, IP);
    code.jump_if(Condition::NotEqual, R5, 0x45, pass);
    // More fragments, or an offset.
    code.load(Size::Half, R5, R2, at::V4_FRAGMENT);
    code.big_endian(R5, 16);
    code.alu_immediate(Alu::And, R5, 0x3fff);
    code.jump_if(Condition::NotEqual, R5, 0, pass);
    code.load(Size::Byte, R5, R2, at::V4_TTL);
    code.jump_if(Condition::LessOrEqual, R5, 1, pass);
    code.load(Size::Half, R7, R2, at::V4_LENGTH);
    code.big_endian(R7, 16);
    code.jump_if(Condition::Less, R7, 20, pass);
    code.move_immediate(R8, 4);
    code.store_immediate(Size::Double, R10, KEY, 0);
    code.store_immediate(Size::Half, R10, KEY + 8, 0);
    code.store_immediate(Size::Half, R10, KEY + 10, 0xffff);
    code.load(Size::Word, R5, R2, at::V4_DESTINATION);
    code.store(Size::Word, R10, KEY + 12, R5);
    code.jump(lookup);

    code.place(v6);
    check_end(&mut code, at::V6_END, pass);
    code.load(Size::Byte, R5, R2, IP);
    code.alu_immediate(Alu::And, R5, 0xf0);
    code.jump_if(Condition::NotEqual, R5, 0x60, pass);
    code.load(Size::Byte, R5, R2, at::V6_HOP_LIMIT);
    code.jump_if(Condition::LessOrEqual, R5, 1, pass);
    code.load(Size::Half, R7, R2, at::V6_LENGTH);
    code.big_endian(R7, 16);
    code.alu_immediate(Alu::Add, R7, 40);
    code.move_immediate(R8, 6);
    code.load(Size::Byte, R5, R2, at::V6_NEXT_HEADER);
    code.jump_if(Condition::Equal, R5, TCP, v6_upper);
    code.jump_if(Condition::Equal, R5, UDP, v6_upper);
    code.jump_if(Condition::NotEqual, R5, ICMPV6, pass);
    // Router and neighbour discovery, and redirects.
    check_end(&mut code, at::V6_END + 1, pass);
    code.load(Size::Byte, R5, R2, at::V6_END);
    code.jump_if(Condition::Less, R5, FIRST_DISCOVERY, v6_upper);
    code.jump_if(Condition::LessOrEqual, R5, LAST_DISCOVERY, pass);
    code.place(v6_upper);
    for part in [0, 4, 8, 12] {
        code.load(Size::Word, R5, R2, at::V6_DESTINATION + part);
        code.store(Size::Word, R10, KEY + part, R5);
    }

    code.place(lookup);
    code.jump_if(Condition::Greater, R7, i32::from(max_inner), pass);
    // The whole packet is there.
    code.copy(R4, R2);
    code.alu_immediate(Alu::Add, R4, i32::from(IP));
    code.alu(Alu::Add, R4, R7);
    code.jump_if_registers(Condition::Greater, R4, R3, pass);
    look_up(&mut code, &vips.map, KEY);
    code.jump_if(Condition::Equal, R0, 0, pass);
    code.load(Size::Word, R5, R0, 0);
    code.jump_if_registers(Condition::NotEqual, R5, R8, pass);
    code.jump_if(Condition::Equal, R8, 6, redirect);
    check_sum(&mut code, pass);

    code.place(redirect);
    code.load_map(R1, sockets);
    code.load(Size::Word, R2, R6, QUEUE);
    code.move_immediate(R3, Action::Pass as i32);
    code.call(Function::RedirectMap);
    code.exit();

    code.place(pass);
    code.move_immediate(R0, Action::Pass as i32);
    code.exit();
    code
}

/// The sum of an IPv4 header without options is right; the stack counts those whose isn't.
fn check_sum(code: &mut Assembler<'_>, otherwise: Label) {
    load_packet(code, at::V4_END, otherwise);
    code.move_immediate(R1, 0);
    code.copy(R3, R2);
    code.alu_immediate(Alu::Add, R3, i32::from(IP));
    code.move_immediate(R2, 0);
    code.move_immediate(R4, 20);
    code.move_immediate(R5, 0);
    code.call(Function::ChecksumDifference);
    // 32 bits that may have their sign extended.
    code.alu_immediate(Alu::ShiftLeft, R0, 32);
    code.alu_immediate(Alu::ShiftRight, R0, 32);
    for _ in 0..2 {
        code.copy(R1, R0);
        code.alu_immediate(Alu::ShiftRight, R1, 16);
        code.alu_immediate(Alu::And, R0, 0xffff);
        code.alu(Alu::Add, R0, R1);
    }
    code.jump_if(Condition::NotEqual, R0, 0xffff, otherwise);
}
