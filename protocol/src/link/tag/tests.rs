use super::*;

mod vectors;
mod versions;

fn fixed_part(receiver: u32, ends: Endpoints) -> [u8; FIXED_LEN] {
    let mut bytes = [0; FIXED_LEN];
    write_fixed_part(receiver, ends, &mut bytes);
    bytes
}
use core::net::{Ipv4Addr, Ipv6Addr};

#[test]
fn each_outer_address_and_port_counts_and_families_are_told_apart() {
    let v6 = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let ends = |from, from_port, to, to_port| Endpoints {
        from: SocketAddr::new(from, from_port),
        to: SocketAddr::new(to, to_port),
    };
    let all = [
        ends(v6(1), 1, v6(2), 2),
        ends(v6(2), 1, v6(1), 2),
        ends(v6(1), 2, v6(2), 1),
        ends(v6(1), 1, v6(3), 2),
        ends(v4, 1, v6(2), 2),
        ends(v6(1), 1, v4, 2),
    ];
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert_ne!(
                fixed_part(7, *one),
                fixed_part(7, *other),
                "{one:?} {other:?}"
            );
        }
        assert_ne!(fixed_part(7, *one), fixed_part(8, *one));
    }
}

const SENDER: Sender = Sender {
    node: NodeNumber::new(1).unwrap(),
    worker: 2,
    incarnation: 100,
};

fn derived() -> Key {
    Key::new(MessageKey {
        id: 1,
        secret: core::array::from_fn(|at| at as u8),
    })
}

#[test]
fn tags_are_those_of_an_independent_implementation() {
    let key = derived();
    let before = core::array::from_fn(|at| (7 * at + 1) as u8);
    let [from, to] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
    for &(len, counter, tag) in vectors::VECTORS {
        let rest: Vec<u8> = (0..len).map(|at| (13 * at + len) as u8).collect();
        let covered = Covered {
            before: &before,
            rest: &rest,
        };
        let begun = key.begin(SENDER, 200, from, to);
        let got = key.tag(
            begun,
            counter,
            [50_001, 6_081],
            covered.head(),
            covered.rest,
        );
        assert_eq!(got, Ok(tag), "{len} bytes, number {counter}");
    }
}

#[test]
fn each_part_of_a_session_counts_in_where_its_tags_begin() {
    let key = derived();
    let v6 = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    let of = |sender, receiver, from, to| key.begin(sender, receiver, v6(from), v6(to));
    let node = NodeNumber::new(9).unwrap();
    let others = [
        Sender {
            worker: 3,
            ..SENDER
        },
        Sender {
            incarnation: 101,
            ..SENDER
        },
        Sender { node, ..SENDER },
    ];
    let mut all = alloc::vec![
        of(SENDER, 1, 1, 2),
        of(SENDER, 2, 1, 2),
        of(SENDER, 1, 2, 1),
        of(SENDER, 1, 3, 2),
        of(SENDER, 1, 1, 3),
    ];
    all.extend(others.map(|other| of(other, 1, 1, 2)));
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one), "{at}");
    }
}

#[test]
fn a_counter_that_would_come_again_is_refused() {
    let key = derived();
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let begun = key.begin(SENDER, 1, any, any);
    let tag = |counter| key.tag(begun, counter, [1, 2], [0; 2], &[]);
    assert!(tag(MAX_COUNTER).is_ok());
    assert_eq!(tag(MAX_COUNTER + 1), Err(DropReason::BadField));
}
