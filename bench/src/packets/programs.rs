//! The XDP programs of the measurement: one that makes packets, one that counts and drops them.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use jlb_packet_io::ebpf::{
    Action, Alu, AnyMap, Assembler, Condition, Function, Kind, Map, Program, Register::*, Size,
};
use jlb_protocol::packet::checksum;

use crate::error::{Doing, Result};

/// Looks at the clock before a packet is sent at the latest: some 50 microseconds.
const LOOKS: i32 = 2_000;

/// Where the generator's state has what, in bytes: the next flow, when its packet is due, nanoseconds from packet
/// to packet, when the first one was sent and when the last one was; the first flow, and the one behind the last.
mod state {
    pub(super) const NEXT: i16 = 0;
    pub(super) const DUE: i16 = 8;
    pub(super) const INTERVAL: i16 = 16;
    pub(super) const FIRST: i16 = 24;
    pub(super) const LAST: i16 = 32;
    pub(super) const FROM: i16 = 40;
    pub(super) const TO: i16 = 48;
}

/// The clients' addresses: of 16,384 flows each.
const CLIENTS: [u8; 2] = [10, 200];
const FLOWS_OF_A_CLIENT: i32 = 1 << 14;
const FIRST_PORT: i32 = 1_024;

const TIME_TO_LIVE: i32 = 64;

/// Bytes of a frame: the shortest that Ethernet has, without its own checksum.
const FRAME_LEN: usize = 60;

/// Where a program's variables are on its stack.
const KEY: i16 = -4;

/// What kind of packets are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// TCP SYNs to port 80.
    Syn,
    /// UDP datagrams to port 7.
    Datagram,
}

/// Makes packets of many flows, which leave by an interface.
pub(super) struct Generator {
    program: Program,
    state: Map<u32, [u64; 7]>,
    frame: Vec<u8>,
}

impl Generator {
    /// Packets for this address, out of the interface with this index.
    pub(super) fn new(
        interface: u32,
        hardware: [[u8; 6]; 2],
        to: Ipv4Addr,
        what: What,
    ) -> Result<Self> {
        let state: Map<u32, [u64; 7]> =
            Map::new(Kind::Array, "jlb_generator", 1).doing("make an eBPF map")?;
        let frame = frame(hardware, to, what);
        // All of the header's sum but the client's number and the sum itself.
        let fixed = !checksum::plain(&frame[14..34]);
        let mut code = Assembler::new();
        let [fail, begun, look, go, keep] = std::array::from_fn(|_| code.label());
        // R6: context. R9: state. R7: the time, then the flow.
        code.copy(R6, R1);
        look_up(&mut code, &state, 0, fail);
        code.copy(R9, R0);
        code.call(Function::KtimeGetNs);
        code.copy(R7, R0);
        code.load(Size::Double, R1, R9, state::DUE);
        code.jump_if(Condition::NotEqual, R1, 0, begun);
        code.store(Size::Double, R9, state::DUE, R7);
        code.store(Size::Double, R9, state::FIRST, R7);
        code.place(begun);
        code.move_immediate(R8, LOOKS);
        code.place(look);
        code.load(Size::Double, R1, R9, state::DUE);
        code.jump_if_registers(Condition::GreaterOrEqual, R7, R1, go);
        code.alu_immediate(Alu::Subtract, R8, 1);
        code.jump_if(Condition::Equal, R8, 0, go);
        code.call(Function::KtimeGetNs);
        code.copy(R7, R0);
        code.jump(look);
        code.place(go);
        code.store(Size::Double, R9, state::LAST, R7);
        code.load(Size::Double, R1, R9, state::DUE);
        code.load(Size::Double, R2, R9, state::INTERVAL);
        code.alu(Alu::Add, R1, R2);
        code.store(Size::Double, R9, state::DUE, R1);
        code.load(Size::Double, R7, R9, state::NEXT);
        code.copy(R8, R7);
        code.alu_immediate(Alu::Add, R8, 1);
        code.load(Size::Double, R1, R9, state::TO);
        code.jump_if_registers(Condition::Less, R8, R1, keep);
        code.load(Size::Double, R8, R9, state::FROM);
        code.place(keep);
        code.store(Size::Double, R9, state::NEXT, R8);
        code.load(Size::Word, R2, R6, 0);
        code.load(Size::Word, R3, R6, 4);
        code.copy(R4, R2);
        code.alu_immediate(Alu::Add, R4, FRAME_LEN as i32);
        code.jump_if_registers(Condition::Greater, R4, R3, fail);
        // Whoever forwarded the copy before has put other addresses there, and taken one off.
        for (at, word) in (0_i16..).step_by(4).zip(frame[..12].chunks_exact(4)) {
            let word = word.try_into().map_or(0, i32::from_ne_bytes);
            code.store_immediate(Size::Word, R2, at, word);
        }
        code.store_immediate(Size::Byte, R2, 22, TIME_TO_LIVE);
        code.copy(R3, R7);
        code.alu_immediate(Alu::And, R3, FLOWS_OF_A_CLIENT - 1);
        code.alu_immediate(Alu::Add, R3, FIRST_PORT);
        code.big_endian(R3, 16);
        code.store(Size::Half, R2, 34, R3);
        code.copy(R3, R7);
        code.alu_immediate(Alu::ShiftRight, R3, FLOWS_OF_A_CLIENT.ilog2().cast_signed());
        code.alu_immediate(Alu::Add, R3, 1);
        code.alu_immediate(Alu::And, R3, 0xffff);
        code.copy(R4, R3);
        code.big_endian(R4, 16);
        code.store(Size::Half, R2, 28, R4);
        code.alu_immediate(Alu::Add, R3, i32::from(fixed));
        for _ in 0..2 {
            code.copy(R4, R3);
            code.alu_immediate(Alu::ShiftRight, R4, 16);
            code.alu_immediate(Alu::And, R3, 0xffff);
            code.alu(Alu::Add, R3, R4);
        }
        code.alu_immediate(Alu::Xor, R3, 0xffff);
        code.big_endian(R3, 16);
        code.store(Size::Half, R2, 24, R3);
        code.move_immediate(R1, interface.cast_signed());
        code.move_immediate(R2, 0);
        code.call(Function::Redirect);
        code.exit();
        code.place(fail);
        code.move_immediate(R0, Action::Drop as i32);
        code.exit();
        let code = code.finish().doing("assemble the generator")?;
        Ok(Self {
            program: Program::load("jlb_generator", &code).doing("make packets")?,
            state,
            frame,
        })
    }

    /// Sends packets at this rate for about so long, of one of these flows after the other; it goes on with the flow
    /// at which it was. Gives the seconds that it really took.
    pub(super) fn send(&self, rate: u32, span: Duration, flows: Range<u32>) -> Result<f64> {
        let interval = 1_000_000_000 / u64::from(rate);
        let [from, to] = [flows.start, flows.end].map(u64::from);
        let [next, ..] = self.state()?;
        let next = if (from..to).contains(&next) {
            next
        } else {
            from
        };
        self.state
            .set(&0, &[next, 0, interval, 0, 0, from, to])
            .doing("write an eBPF map")?;
        let count = (f64::from(rate) * span.as_secs_f64()) as u32;
        self.program
            .send_copies(&self.frame, count.max(2))
            .doing("send packets by XDP (Linux 5.18 or later)")?;
        let [_, _, _, first, last, ..] = self.state()?;
        Ok(last.saturating_sub(first) as f64 / 1e9)
    }

    fn state(&self) -> Result<[u64; 7]> {
        let state = self.state.get(&0).doing("read an eBPF map")?;
        Ok(state.unwrap_or_default())
    }
}

/// The frame that is changed from packet to packet.
fn frame([from, towards]: [[u8; 6]; 2], to: Ipv4Addr, what: What) -> Vec<u8> {
    let mut frame = [&towards[..], &from, &[8, 0, 0x45, 0]].concat();
    let len = (FRAME_LEN - 14) as u16;
    frame.extend(len.to_be_bytes());
    let protocol = match what {
        What::Syn => 6,
        What::Datagram => 17,
    };
    frame.extend([0, 0, 0x40, 0, TIME_TO_LIVE as u8, protocol, 0, 0]);
    frame.extend(CLIENTS);
    frame.extend([0, 0]);
    frame.extend(to.octets());
    match what {
        What::Syn => {
            frame.extend([0, 0, 0, 80]);
            frame.extend(0x1234_5678_u32.to_be_bytes());
            frame.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
        }
        What::Datagram => {
            frame.extend([0, 0, 0, 7]);
            frame.extend((len - 20).to_be_bytes());
            // No checksum.
            frame.extend([0, 0]);
        }
    }
    frame.resize(FRAME_LEN, 0);
    frame
}

/// Which packets are counted and dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    /// All.
    All,
    /// Messages with a client's packet that need no answer of a node, or should get none: Data and Open.
    Messages,
}

/// Counts packets, and drops them.
pub(super) struct Counter {
    pub(super) program: Program,
    counts: Map<u32, u64>,
}

/// Message types, see docs/protocol.md.
const OPEN: i32 = 1;
const DATA: i32 = 8;

impl Counter {
    pub(super) fn new(counted: Counted) -> Result<Self> {
        let counts: Map<u32, u64> =
            Map::new(Kind::Array, "jlb_counts", 2).doing("make an eBPF map")?;
        let mut code = Assembler::new();
        let [pass, drop, data, fail] = std::array::from_fn(|_| code.label());
        code.copy(R6, R1);
        if counted == Counted::Messages {
            code.load(Size::Word, R2, R6, 0);
            code.load(Size::Word, R3, R6, 4);
            code.copy(R4, R2);
            code.alu_immediate(Alu::Add, R4, 56);
            code.jump_if_registers(Condition::Greater, R4, R3, pass);
            // IPv4 without options, UDP, Geneve's port, the seal first.
            for (at, wanted) in [
                (12, 8),
                (13, 0),
                (14, 0x45),
                (23, 17),
                (36, 0x17),
                (37, 0xc1),
            ] {
                code.load(Size::Byte, R5, R2, at);
                code.jump_if(Condition::NotEqual, R5, wanted, pass);
            }
            code.load(Size::Byte, R5, R2, 55);
            code.jump_if(Condition::Equal, R5, DATA, data);
            code.jump_if(Condition::NotEqual, R5, OPEN, pass);
            look_up(&mut code, &counts, 1, fail);
            code.move_immediate(R1, 1);
            code.atomic_add(R0, 0, R1);
            code.jump(drop);
        }
        code.place(data);
        look_up(&mut code, &counts, 0, fail);
        code.move_immediate(R1, 1);
        code.atomic_add(R0, 0, R1);
        code.place(drop);
        code.place(fail);
        code.move_immediate(R0, Action::Drop as i32);
        code.exit();
        if counted == Counted::Messages {
            code.place(pass);
            code.move_immediate(R0, Action::Pass as i32);
            code.exit();
        }
        let code = code.finish().doing("assemble the counter")?;
        Ok(Self {
            program: Program::load("jlb_counter", &code).doing("count packets")?,
            counts,
        })
    }

    /// Packets, or Data messages, so far.
    pub(super) fn count(&self) -> Result<u64> {
        let count = self.counts.get(&0).doing("read an eBPF map")?;
        Ok(count.unwrap_or_default())
    }
}

/// A program that passes everything on. With it a virtual cable takes packets from other programs.
pub(super) fn pass() -> Result<Program> {
    let mut code = Assembler::new();
    code.move_immediate(R0, Action::Pass as i32);
    code.exit();
    let code = code.finish().doing("assemble a program")?;
    Program::load("jlb_pass", &code).doing("pass packets on")
}

/// R0 is the element of the map, or the program goes to `fail`. R1 to R5 are lost.
fn look_up<'maps>(
    code: &mut Assembler<'maps>,
    map: &'maps impl AnyMap,
    key: i32,
    fail: jlb_packet_io::ebpf::Label,
) {
    code.store_immediate(Size::Word, R10, KEY, key);
    code.load_map(R1, map);
    code.copy(R2, R10);
    code.alu_immediate(Alu::Add, R2, i32::from(KEY));
    code.call(Function::MapLookup);
    code.jump_if(Condition::Equal, R0, 0, fail);
}

#[cfg(test)]
mod tests;
