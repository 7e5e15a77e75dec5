use super::*;

fn hosts() -> Vec<Host> {
    (1..=2)
        .map(|number| Host {
            address: Ipv4Addr::new(10, 0, 0, number),
            hardware: [2, 0, 0, 0, 0, number],
        })
        .collect()
}

#[test]
fn stateless_rules_name_hosts_by_their_hardware() {
    let vip = Ipv4Addr::new(203, 0, 113, 1);
    let text = text(Rules::Dsr, vip, [2, 0, 0, 0, 0, 0xfe], &hosts());
    assert!(text.contains("ip daddr 203.0.113.1 tcp dport 80"), "{text}");
    assert!(text.contains("ether saddr set 02:00:00:00:00:fe"), "{text}");
    let map = "mod 2 seed 0x1 map { 0 : 02:00:00:00:00:01, 1 : 02:00:00:00:00:02 }";
    assert!(text.contains(map), "{text}");
    assert!(!text.contains("dnat"), "{text}");
}

#[test]
fn rewriting_rules_name_hosts_by_their_addresses() {
    let vip = Ipv4Addr::new(203, 0, 113, 1);
    let text = text(Rules::Dnat, vip, [0; 6], &hosts());
    let map = "mod 2 seed 0x1 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }";
    assert!(text.contains(map), "{text}");
    assert!(text.contains("type nat hook prerouting"), "{text}");
}
