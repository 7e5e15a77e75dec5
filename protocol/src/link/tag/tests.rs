use super::*;

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
