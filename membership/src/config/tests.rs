use super::*;

#[test]
fn a_node_is_known_by_the_address_of_its_family() {
    let node = NodeNumber::new(7).expect("a number");
    for address in ["10.0.0.7", "fd00::7"] {
        let address: IpAddr = address.parse().expect("an address");
        let known = Known::at(node, Role::HostAgent, address);
        assert_eq!(known.v4.is_some(), address.is_ipv4());
        assert_eq!(known.v6.is_some(), address.is_ipv6());
        assert!(known.has_address(address));
        for other in ["10.0.0.8", "fd00::8"] {
            assert!(!known.has_address(other.parse().expect("an address")));
        }
    }
}
