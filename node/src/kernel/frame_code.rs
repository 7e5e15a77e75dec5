//! What the XDP programs of ingress nodes and hosts have in common: how they read a frame and their maps.
//!
//! R6 is the program's context, R2 and R3 are the packet and its end.

use jlb_packet_io::ebpf::{Alu, Assembler, Condition, Function, Label, Map, Register::*, Size};
use std::net::IpAddr;

/// Where the destination's hardware address is in a frame (IEEE 802.3).
const DESTINATION: i16 = 0;
/// Where the ethertype is.
pub(super) const ETHERTYPE: i16 = 12;
/// Where the IP packet begins.
pub(super) const IP: i16 = 14;

/// Where things are in the program's context (`struct xdp_md`).
const PACKET: i16 = 0;
const PACKET_END: i16 = 4;
/// The number of the queue that the frame came by.
pub(super) const QUEUE: i16 = 16;

/// Begins a program: goes on with frames for this hardware address. R5 is their ethertype, as [`half`] has it.
pub(super) fn begin(code: &mut Assembler<'_>, hardware: [u8; 6], otherwise: Label) {
    let [a, b, c, d, e, f] = hardware;
    code.copy(R6, R1);
    load_packet(code, IP, otherwise);
    code.load_number(R0, u64::from(u32::from_ne_bytes([a, b, c, d])));
    code.load(Size::Word, R5, R2, DESTINATION);
    code.jump_if_registers(Condition::NotEqual, R5, R0, otherwise);
    code.load(Size::Half, R5, R2, DESTINATION + 4);
    let address = i32::from(u16::from_ne_bytes([e, f]));
    code.jump_if(Condition::NotEqual, R5, address, otherwise);
    code.load(Size::Half, R5, R2, ETHERTYPE);
}

/// R2 and R3 are the packet and its end, which is `least` bytes away or more.
pub(super) fn load_packet(code: &mut Assembler<'_>, least: i16, otherwise: Label) {
    code.load(Size::Word, R2, R6, PACKET);
    code.load(Size::Word, R3, R6, PACKET_END);
    check_end(code, least, otherwise);
}

/// The packet's end is `least` bytes away or more.
pub(super) fn check_end(code: &mut Assembler<'_>, least: i16, otherwise: Label) {
    code.copy(R4, R2);
    code.alu_immediate(Alu::Add, R4, i32::from(least));
    code.jump_if_registers(Condition::Greater, R4, R3, otherwise);
}

/// R0 is the address of the value of the key on the stack, or 0.
pub(super) fn look_up<'maps, K, V>(code: &mut Assembler<'maps>, map: &'maps Map<K, V>, key: i16) {
    code.load_map(R1, map);
    code.copy(R2, R10);
    code.alu_immediate(Alu::Add, R2, i32::from(key));
    code.call(Function::MapLookup);
}

/// A number of two bytes on the wire, as the program reads it.
pub(super) fn half(number: u16) -> i32 {
    i32::from(u16::from_ne_bytes(number.to_be_bytes()))
}

/// An address in a map: IPv4 mapped.
pub(super) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
