//! Programs are assembled, verified by the kernel and tried on packets there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_packet_io::ebpf::{
    Action, Alu, Assembler, AssemblyError, Condition, Function, Kind, LoadError, Map, Program,
    Register::*, Size,
};
use jlb_packet_io::xsk::{self, Queue};
use namespace::{Namespace, require_root};

const PACKET: [u8; 64] = [0x11; 64];

fn load(code: Assembler<'_>) -> Program {
    require_root();
    Program::load("test", &code.finish().unwrap()).unwrap()
}

/// A program that gives this verdict for each packet.
fn constant(verdict: i32) -> Program {
    let mut code = Assembler::new();
    code.move_immediate(R0, verdict);
    code.exit();
    load(code)
}

#[test]
fn each_verdict_is_told() {
    let verdicts = [
        (0, Action::Aborted),
        (1, Action::Drop),
        (2, Action::Pass),
        (3, Action::Transmit),
        (4, Action::Redirect),
        (77, Action::Aborted),
    ];
    for (number, action) in verdicts {
        let run = constant(number).try_on(&PACKET, 1).unwrap();
        assert_eq!(run.action, action, "{number}");
        assert_eq!(run.packet, PACKET);
    }
}

#[test]
fn a_packet_is_read_and_changed_within_its_bounds() {
    let mut code = Assembler::new();
    let short = code.label();
    code.load(Size::Word, R2, R1, 0);
    code.load(Size::Word, R3, R1, 4);
    code.copy(R4, R2);
    code.alu_immediate(Alu::Add, R4, 20);
    code.move_immediate(R0, Action::Drop as i32);
    code.jump_if_registers(Condition::Greater, R4, R3, short);
    // The 16 bits at 12, as a number, plus 1, in the network's order.
    code.load(Size::Half, R5, R2, 12);
    code.big_endian(R5, 16);
    code.alu_immediate(Alu::Add, R5, 1);
    code.big_endian(R5, 16);
    code.store(Size::Half, R2, 12, R5);
    code.store_immediate(Size::Byte, R2, 19, 0x7f);
    code.move_immediate(R0, Action::Pass as i32);
    code.place(short);
    code.exit();
    let program = load(code);

    let mut packet = PACKET;
    packet[12..14].copy_from_slice(&0x00ff_u16.to_be_bytes());
    let run = program.try_on(&packet, 1).unwrap();
    packet[12..14].copy_from_slice(&0x0100_u16.to_be_bytes());
    packet[19] = 0x7f;
    assert_eq!((run.action, run.packet), (Action::Pass, packet.to_vec()));

    let run = program.try_on(&packet[..19], 1).unwrap();
    assert_eq!(
        (run.action, run.packet),
        (Action::Drop, packet[..19].to_vec())
    );
}

#[test]
fn the_front_of_a_packet_is_taken_off_and_put_back() {
    for delta in [14, -30] {
        let mut code = Assembler::new();
        code.move_immediate(R2, delta);
        code.call(Function::AdjustHead);
        code.copy(R1, R0);
        code.move_immediate(R0, Action::Pass as i32);
        let failed = code.label();
        code.jump_if(Condition::Equal, R1, 0, failed);
        code.move_immediate(R0, Action::Drop as i32);
        code.place(failed);
        code.exit();
        let run = load(code).try_on(&PACKET, 1).unwrap();
        assert_eq!(run.action, Action::Pass);
        assert_eq!(run.packet.len() as i32, 64 - delta);
    }
}

#[test]
fn what_the_verifier_refuses_comes_with_its_reason() {
    require_root();
    let mut code = Assembler::new();
    // Without a look at where the packet ends.
    code.load(Size::Word, R2, R1, 0);
    code.load(Size::Byte, R0, R2, 0);
    code.exit();
    let error = Program::load("test", &code.finish().unwrap()).unwrap_err();
    let LoadError::Kernel { log, .. } = &error else {
        panic!("{error}");
    };
    assert!(log.contains("invalid access to packet"), "{log}");
    assert!(error.to_string().contains("the verifier says"), "{error}");
}

#[test]
fn labels_must_stand_somewhere_near() {
    let mut code = Assembler::new();
    let nowhere = code.label();
    code.jump(nowhere);
    assert_eq!(code.finish().unwrap_err(), AssemblyError::Unplaced(nowhere));

    let mut code = Assembler::new();
    let far = code.label();
    code.jump(far);
    for _ in 0..40_000 {
        code.move_immediate(R0, 0);
    }
    code.place(far);
    code.exit();
    assert_eq!(code.finish().unwrap_err(), AssemblyError::TooFar(far));
}

#[test]
fn maps_hold_what_they_are_given() {
    require_root();
    for kind in [Kind::Hash, Kind::LruHash] {
        let map: Map<[u8; 16], u64> = Map::new(kind, "test", 8).unwrap();
        let (a, b) = ([1; 16], [2; 16]);
        assert_eq!(map.get(&a).unwrap(), None);
        map.set(&a, &7).unwrap();
        map.set(&b, &8).unwrap();
        map.set(&a, &9).unwrap();
        assert_eq!(
            (map.get(&a).unwrap(), map.get(&b).unwrap()),
            (Some(9), Some(8))
        );
        let mut keys = map.keys(8).unwrap();
        keys.sort();
        assert_eq!(keys, [a, b]);
        assert!(map.delete(&a).unwrap());
        assert!(!map.delete(&a).unwrap());
        assert_eq!(map.keys(8).unwrap(), [b]);
    }
    let full: Map<u32, u32> = Map::new(Kind::Hash, "test", 1).unwrap();
    full.set(&1, &1).unwrap();
    let error = full.set(&2, &2).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ArgumentListTooLong);
    let array: Map<u32, [u64; 3]> = Map::new(Kind::Array, "test", 2).unwrap();
    assert_eq!(array.get(&1).unwrap(), Some([0; 3]));
    assert_eq!(array.get(&2).unwrap(), None);
    array.set(&1, &[1, 2, 3]).unwrap();
    assert_eq!(array.get(&1).unwrap(), Some([1, 2, 3]));
}

#[test]
fn a_program_counts_in_a_map() {
    require_root();
    let counts: Map<u32, u64> = Map::new(Kind::Array, "counts", 4).unwrap();
    let mut code = Assembler::new();
    let none = code.label();
    code.store_immediate(Size::Word, R10, -4, 3);
    code.load_map(R1, &counts);
    code.copy(R2, R10);
    code.alu_immediate(Alu::Add, R2, -4);
    code.call(Function::MapLookup);
    code.jump_if(Condition::Equal, R0, 0, none);
    code.load_number(R1, 1 << 40);
    code.atomic_add(R0, 0, R1);
    code.place(none);
    code.move_immediate(R0, Action::Pass as i32);
    code.exit();
    load(code).try_on(&PACKET, 5).unwrap();
    assert_eq!(counts.get(&3).unwrap(), Some(5 << 40));
    assert_eq!(counts.get(&0).unwrap(), Some(0));
}

#[test]
fn a_packet_goes_to_a_socket_where_there_is_one() {
    Namespace::new("ebpf-xsk").run(|| {
        let sockets: Map<u32, u32> = Map::new(Kind::Sockets, "sockets", 1).unwrap();
        let mut code = Assembler::new();
        code.load_map(R1, &sockets);
        code.move_immediate(R2, 0);
        code.move_immediate(R3, Action::Pass as i32);
        code.call(Function::RedirectMap);
        code.exit();
        let program = load(code);
        assert_eq!(program.try_on(&PACKET, 1).unwrap().action, Action::Pass);
        // Loopback is an interface with a queue, too, in copy mode.
        let loopback = Queue {
            interface: 1,
            queue: 0,
        };
        let opened = xsk::open(&[loopback], &xsk::Options::default()).unwrap();
        opened.sockets[0].register(&sockets).unwrap();
        assert_eq!(program.try_on(&PACKET, 1).unwrap().action, Action::Redirect);
        drop(opened);
        assert_eq!(program.try_on(&PACKET, 1).unwrap().action, Action::Pass);
    });
}

#[test]
fn what_is_shorter_than_an_ethernet_header_is_refused() {
    let error = constant(2).try_on(&PACKET[..13], 1).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
