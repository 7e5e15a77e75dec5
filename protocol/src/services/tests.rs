use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER_VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn number(service: u32) -> ServiceNumber {
    ServiceNumber::new(service).unwrap()
}

fn tcp(service: u32, ports: Ports) -> ServiceMatch {
    ServiceMatch {
        service: number(service),
        vip: VIP,
        protocol: Protocol::Tcp,
        ports,
    }
}

fn find(map: &ServiceMap, port: u16) -> Option<u32> {
    map.find(VIP, Protocol::Tcp, port).map(ServiceNumber::get)
}

#[test]
fn a_range_has_its_first_and_last_port_and_none_outside() {
    let map = ServiceMap::new(&[tcp(1, Ports::Range(1000, 1999))]);
    for (port, expected) in [
        (0, None),
        (999, None),
        (1000, Some(1)),
        (1500, Some(1)),
        (1999, Some(1)),
        (2000, None),
        (u16::MAX, None),
    ] {
        assert_eq!(find(&map, port), expected, "port {port}");
    }
}

#[test]
fn ranges_may_touch_each_other_and_the_ends_of_all_ports() {
    let map = ServiceMap::new(&[
        tcp(3, Ports::Range(444, u16::MAX)),
        tcp(1, Ports::Range(1, 442)),
        tcp(2, Ports::Range(443, 443)),
    ]);
    for (port, expected) in [
        (0, None),
        (1, Some(1)),
        (442, Some(1)),
        (443, Some(2)),
        (444, Some(3)),
        (u16::MAX, Some(3)),
    ] {
        assert_eq!(find(&map, port), expected, "port {port}");
    }
}

#[test]
fn any_takes_what_no_range_names() {
    let map = ServiceMap::new(&[
        tcp(9, Ports::Any),
        tcp(1, Ports::Range(80, 80)),
        tcp(2, Ports::Range(100, 200)),
    ]);
    for (port, expected) in [(79, 9), (80, 1), (81, 9), (99, 9), (100, 2), (201, 9)] {
        assert_eq!(find(&map, port), Some(expected), "port {port}");
    }
}

#[test]
fn address_and_protocol_are_told_apart() {
    let map = ServiceMap::new(&[
        tcp(1, Ports::Range(80, 80)),
        ServiceMatch {
            protocol: Protocol::Udp,
            ..tcp(2, Ports::Any)
        },
        ServiceMatch {
            vip: OTHER_VIP,
            ..tcp(3, Ports::Range(80, 80))
        },
    ]);
    assert_eq!(map.find(VIP, Protocol::Tcp, 80), Some(number(1)));
    assert_eq!(map.find(VIP, Protocol::Tcp, 81), None);
    assert_eq!(map.find(VIP, Protocol::Udp, 81), Some(number(2)));
    assert_eq!(map.find(OTHER_VIP, Protocol::Tcp, 80), Some(number(3)));
    assert_eq!(map.find(OTHER_VIP, Protocol::Udp, 80), None);
    assert_eq!(map.vips(), [VIP, OTHER_VIP]);
    assert!(map.is_vip(VIP));
    assert!(!map.is_vip(Ipv4Addr::new(192, 0, 2, 3).into()));
}

fn services() -> impl Strategy<Value = Vec<ServiceMatch>> {
    let ports = prop_oneof![
        Just(Ports::Any),
        (1..9_u16).prop_map(|port| Ports::Range(port, port)),
        (1..9_u16, 0..9_u16).prop_map(|(first, more)| Ports::Range(first, first + more)),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let one = (0..3_u8, protocol, ports).prop_map(|(vip, protocol, ports)| {
        let vip = match vip {
            0 => VIP,
            1 => OTHER_VIP,
            _ => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        };
        (vip, protocol, ports)
    });
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let mut services: Vec<ServiceMatch> = Vec::new();
        for (number, (vip, protocol, ports)) in (1..).zip(all) {
            let overlaps = |other: &ServiceMatch| {
                let same = (other.vip, other.protocol) == (vip, protocol);
                same && match (other.ports, ports) {
                    (Ports::Any, Ports::Any) => true,
                    (Ports::Range(a, b), Ports::Range(c, d)) => a <= d && c <= b,
                    _ => false,
                }
            };
            if !services.iter().any(overlaps) {
                services.push(ServiceMatch {
                    service: ServiceNumber::new(number).unwrap(),
                    vip,
                    protocol,
                    ports,
                });
            }
        }
        services
    })
}

proptest! {
    #[test]
    fn the_map_finds_what_a_look_at_each_service_finds(services in services()) {
        let map = ServiceMap::new(&services);
        for vip in [VIP, OTHER_VIP, IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))] {
            for (protocol, port) in [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(|it| (0..20).map(move |port| (it, port))) {
                let of = |wanted: &dyn Fn(Ports) -> bool| {
                    services
                        .iter()
                        .find(|one| (one.vip, one.protocol) == (vip, protocol) && wanted(one.ports))
                        .map(|one| one.service)
                };
                let named = of(&|ports| matches!(ports, Ports::Range(a, b) if (a..=b).contains(&port)));
                let expected = named.or_else(|| of(&|ports| ports == Ports::Any));
                prop_assert_eq!(map.find(vip, protocol, port), expected);
            }
        }
    }
}
