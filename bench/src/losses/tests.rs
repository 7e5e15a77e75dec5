use super::*;

#[test]
fn counts_are_found_by_name() {
    let snmp = "Tcp: A B\nTcp: 1 2\nUdp: InDatagrams NoPorts RcvbufErrors X\nUdp: 9 8 7 6\n";
    assert_eq!(udp_v4(snmp), 7);
    assert_eq!(udp_v4("Udp: A\n"), 0);
    assert_eq!(udp_v6("Udp6InErrors  \t3\nUdp6RcvbufErrors   \t5\n"), 5);
    assert_eq!(udp_v6(""), 0);
}

#[test]
fn what_a_device_could_not_send_is_in_the_twelfth_column() {
    let dev = "Inter-| Receive | Transmit\n face |bytes packets\n\
               \x20 jlb0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    assert_eq!(devices(dev), [("queue of device jlb0".to_owned(), 12)]);
}

#[test]
fn this_namespace_can_be_read() {
    here("x").unwrap();
}

#[test]
fn what_was_lost_before_is_not_lost_again() {
    let loss = |place: &str, count| Loss {
        node: "host-1".into(),
        place: place.into(),
        count,
    };
    let before = [loss("eth0", 1), loss("tun", 2)];
    let now = vec![loss("eth0", 1), loss("tun", 5), loss("lo", 7)];
    assert_eq!(since(&before, now), [loss("tun", 3), loss("lo", 7)]);
}
