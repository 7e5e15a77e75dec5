//! A host has the VIPs as its own, keeps quiet about them, and asks for smaller segments.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::host_setup::{DEVICE, HostSetup, TABLE};
use jlb_node::kernel::netlink::{LinkSettings, MAIN_TABLE, Netlink, Prefix, Route, Target};
use jlb_node::kernel::sysctl;
use jlb_packet_io::Tun;
use namespace::{Namespace, PATIENCE, cable, ip};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMetric};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

const VIP4: &str = "198.51.100.1";
const VIP6: &str = "2001:db8:100::1";
const MAX_INNER: u32 = 1380;

fn setup() -> HostSetup {
    HostSetup::new(vec![ip(VIP4), ip(VIP6)], MAX_INNER)
}

/// A client and a host next to each other. The client's packets reach the host without a load
/// balancer; the host's answers go the way they always do.
struct Net {
    client: Namespace,
    host: Namespace,
}

impl Net {
    fn new(label: &str) -> Self {
        let net = Self {
            client: Namespace::new(&format!("{label}-client")),
            host: Namespace::new(&format!("{label}-host")),
        };
        cable(
            (&net.client, &[("10.2.0.2", 24), ("fd00:2::2", 64)]),
            (&net.host, &[("10.2.0.1", 24), ("fd00:2::1", 64)]),
        );
        net.client.run(|| {
            let netlink = Netlink::open().unwrap();
            for (vip, gateway) in [(VIP4, "10.2.0.1"), (VIP6, "fd00:2::1")] {
                let route = Route::new(Prefix::host(ip(vip)), Target::Gateway(ip(gateway)));
                netlink.put_route(&route).unwrap();
            }
            // A second address, which the host reaches by its default route.
            for far in ["192.0.2.2", "2001:db8:2::2"] {
                let length = Prefix::host(ip(far)).length;
                netlink.put_address("lo", ip(far), length).unwrap();
            }
        });
        net
    }

    fn apply(&self) -> Tun {
        self.host.run(|| setup().apply().unwrap())
    }

    /// Connects to a server of the host that listens on all addresses, as nginx does; returns the
    /// segment size that its SYN-ACK offers.
    fn offered_segment(&self, from: &str, to: &str) -> u16 {
        let to = ip(to);
        let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
        let listener = self.host.run(|| TcpListener::bind((ip(any), 0)).unwrap());
        let server = SocketAddr::new(to, listener.local_addr().unwrap().port());
        self.client.run(|| {
            let mut raw = raw_tcp(to);
            let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::new(ip(from), 0).into()).unwrap();
            socket.connect_timeout(&server.into(), PATIENCE).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(accepted.local_addr().unwrap(), server);
            let own_port = socket.local_addr().unwrap().as_socket().unwrap().port();
            syn_ack_segment(&mut raw, to, own_port)
        })
    }
}

/// A socket that sees all TCP packets of the address's IP version that come in.
fn raw_tcp(address: IpAddr) -> Socket {
    let domain = match address {
        IpAddr::V4(_) => Domain::IPV4,
        IpAddr::V6(_) => Domain::IPV6,
    };
    let raw = Socket::new(domain, Type::RAW, Some(Protocol::TCP)).unwrap();
    raw.set_read_timeout(Some(PATIENCE)).unwrap();
    raw
}

/// The segment size in the next SYN-ACK to this port.
fn syn_ack_segment(raw: &mut Socket, server: IpAddr, port: u16) -> u16 {
    let mut packet = [0; 2048];
    loop {
        let len = raw.read(&mut packet).unwrap();
        // IPv6 gives the TCP header alone.
        let start = match server {
            IpAddr::V4(_) => usize::from(packet[0] & 0xf) * 4,
            IpAddr::V6(_) => 0,
        };
        let tcp = &packet[start..len];
        let is_syn_ack = tcp[13] & 0x12 == 0x12;
        if !is_syn_ack || tcp[2..4] != port.to_be_bytes() {
            continue;
        }
        // The kernel puts this option first.
        assert_eq!(tcp[20..22], [2, 4]);
        return u16::from_be_bytes([tcp[22], tcp[23]]);
    }
}

#[test]
fn a_syn_ack_of_a_vip_offers_the_smaller_segment_and_others_do_not() {
    let net = Net::new("mss");
    let _tun = net.apply();
    let segment = |from, to| net.offered_segment(from, to);
    assert_eq!(segment("10.2.0.2", VIP4), 1340);
    assert_eq!(segment("fd00:2::2", VIP6), 1320);
    assert_eq!(segment("10.2.0.2", "10.2.0.1"), 1460);
    assert_eq!(segment("fd00:2::2", "fd00:2::1"), 1440);
}

#[test]
fn the_answers_follow_the_main_table() {
    let net = Net::new("follow");
    let _tun = net.apply();
    let defaults = [
        ("0.0.0.0", "10.2.0.2", "192.0.2.2", VIP4, 1340),
        ("::", "fd00:2::2", "2001:db8:2::2", VIP6, 1320),
    ];
    for (all, gateway, client, vip, segment) in defaults {
        let default = Prefix {
            address: ip(all),
            length: 0,
        };
        let default = Route::new(default, Target::Gateway(ip(gateway)));
        net.host.run(|| {
            Netlink::open().unwrap().put_route(&default).unwrap();
            setup().repair().unwrap();
        });
        assert_eq!(net.offered_segment(client, vip), segment);
        // Gone from the main table, gone from the other: no answer takes a way that is no more.
        net.host.run(|| {
            let netlink = Netlink::open().unwrap();
            let before = netlink.routes(TABLE).unwrap().len();
            netlink.delete_route(&default).unwrap();
            setup().repair().unwrap();
            assert_eq!(netlink.routes(TABLE).unwrap().len(), before - 1);
        });
    }
}

#[test]
fn routes_of_all_kinds_are_repeated_with_their_own_metrics() {
    Namespace::new("kinds").run(|| {
        let netlink = Netlink::open().unwrap();
        let _dummy = Tun::open("eth0", true).unwrap();
        netlink.set_link("eth0", namespace::UP).unwrap();
        netlink.put_address("eth0", ip("10.3.0.1"), 24).unwrap();
        let prefix = |address: &str, length| Prefix {
            address: ip(address),
            length,
        };
        let via = |gateway: &str| Target::Gateway(ip(gateway));
        let routes = [
            Route {
                advmss: Some(500),
                ..Route::new(prefix("10.4.0.0", 16), via("10.3.0.2"))
            },
            Route {
                advmss: Some(9000),
                metric: 7,
                ..Route::new(prefix("10.4.0.0", 16), via("10.3.0.3"))
            },
            Route::new(prefix("10.5.0.0", 16), Target::Blackhole),
            Route::new(prefix("0.0.0.0", 0), via("10.3.0.4")),
        ];
        for route in &routes {
            netlink.put_route(route).unwrap();
        }
        let _tun = setup().apply().unwrap();
        let segment_of = |length: u8, metric: u32| {
            let routes = netlink.routes(TABLE).unwrap();
            let mut found = routes.iter().filter(|route| {
                let own_metric = route.attributes.iter().find_map(|a| match a {
                    RouteAttribute::Priority(metric) => Some(*metric),
                    _ => None,
                });
                route.header.destination_prefix_length == length
                    && own_metric.unwrap_or(0) == metric
                    && !format!("{route:?}").contains("10.5.0.0")
            });
            let route = found.next().unwrap();
            assert!(found.next().is_none());
            route.attributes.iter().find_map(|a| match a {
                RouteAttribute::Metrics(metrics) => metrics.iter().find_map(|m| match m {
                    RouteMetric::Advmss(segment) => Some(*segment),
                    _ => None,
                }),
                _ => None,
            })
        };
        assert_eq!(
            segment_of(16, 0),
            Some(500),
            "an operator's smaller one stays"
        );
        assert_eq!(segment_of(16, 7), Some(1340));
        assert_eq!(segment_of(24, 0), Some(1340));
        assert_eq!(segment_of(0, 0), Some(1340));
        let routes = netlink.routes(TABLE).unwrap();
        assert!(format!("{routes:?}").contains("10.5.0.0"), "{routes:?}");
    });
}

#[test]
fn two_ways_to_one_network_are_both_repeated() {
    Namespace::new("two-ways").run(|| {
        let netlink = Netlink::open().unwrap();
        let ways = [
            ("eth0", "10.3.0.1", "fd00:3::1"),
            ("eth1", "10.3.0.2", "fd00:3::2"),
        ];
        for (device, ipv4, ipv6) in ways {
            drop(Tun::open(device, true).unwrap());
            netlink.set_link(device, namespace::UP).unwrap();
            netlink.put_address(device, ip(ipv4), 24).unwrap();
            netlink.put_address(device, ip(ipv6), 64).unwrap();
        }
        let main = netlink.routes(MAIN_TABLE).unwrap().len();
        let tun = setup().apply().unwrap();
        let repeated = netlink.routes(TABLE).unwrap();
        assert_eq!(repeated.len(), main, "{repeated:#?}");
        // Another size replaces each.
        drop(tun);
        let larger = HostSetup::new(vec![ip(VIP4), ip(VIP6)], MAX_INNER + 20);
        drop(larger.apply().unwrap());
        let repeated = netlink.routes(TABLE).unwrap();
        assert_eq!(repeated.len(), main);
        for route in &repeated {
            let text = format!("{route:?}");
            assert!(
                text.contains("Advmss(1360)") || text.contains("Advmss(1340)"),
                "{text}"
            );
        }
        assert!(!format!("{repeated:?}").contains("Advmss(1320)"));
    });
}

/// Everything that a set-up makes, in words.
fn state(netlink: &Netlink) -> String {
    let link = netlink.link(DEVICE).unwrap();
    let addresses = link.is_some().then(|| netlink.addresses(DEVICE).unwrap());
    let mut main: Vec<String> = netlink
        .routes(MAIN_TABLE)
        .unwrap()
        .iter()
        .map(|route| format!("{:?} {:?}", route.header, route.attributes))
        .collect();
    let mut answers: Vec<String> = netlink
        .routes(TABLE)
        .unwrap()
        .iter()
        .map(|route| format!("{:?} {:?}", route.header, route.attributes))
        .collect();
    main.sort();
    answers.sort();
    let rules = netlink.rules().unwrap();
    // Lifetimes tick, all else stays.
    let text = format!("{addresses:?}\n{main:#?}\n{answers:#?}\n{rules:?}");
    text.lines()
        .filter(|line| !line.contains("CacheInfo"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn twice_is_as_good_as_once_and_teardown_leaves_nothing() {
    let net = Net::new("host-twice");
    net.host.run(|| {
        let netlink = Netlink::open().unwrap();
        let before = state(&netlink);
        // Before anything was set up there is nothing to remove.
        setup().teardown().unwrap();
        drop(setup().apply().unwrap());
        let once = state(&netlink);
        assert_ne!(once, before);
        let tun = setup().apply().unwrap();
        assert!(!setup().repair().unwrap());
        assert_eq!(state(&netlink), once);
        // Also while a process holds the device.
        setup().teardown().unwrap();
        setup().teardown().unwrap();
        drop(tun);
        assert_eq!(state(&netlink), before);
        assert!(netlink.rules().unwrap().is_empty());
        assert!(netlink.routes(TABLE).unwrap().is_empty());
    });
}

#[test]
fn what_others_remove_is_put_back() {
    let net = Net::new("host-repair");
    net.host.run(|| {
        let netlink = Netlink::open().unwrap();
        let _tun = setup().apply().unwrap();
        let whole = state(&netlink);
        let down = LinkSettings {
            up: Some(false),
            ..LinkSettings::default()
        };
        let rule = netlink.rules().unwrap()[0];
        let breaks: [&dyn Fn(); 3] = [
            &|| netlink.set_link(DEVICE, down).unwrap(),
            &|| netlink.delete_address(DEVICE, ip(VIP4), 32).unwrap(),
            &|| netlink.delete_rule(&rule).unwrap(),
        ];
        for (number, breaks) in breaks.into_iter().enumerate() {
            breaks();
            assert!(setup().repair().unwrap(), "break {number}");
            assert_eq!(state(&netlink), whole, "break {number}");
            assert!(!setup().repair().unwrap(), "break {number}");
        }
        netlink.delete_link(DEVICE).unwrap();
        assert_eq!(setup().repair().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_vip_that_is_not_wanted_any_more_is_removed() {
    let net = Net::new("host-fewer");
    net.host.run(|| {
        drop(setup().apply().unwrap());
        drop(HostSetup::new(vec![ip(VIP6)], MAX_INNER).apply().unwrap());
        let netlink = Netlink::open().unwrap();
        assert_eq!(netlink.addresses(DEVICE).unwrap(), [(ip(VIP6), 128)]);
        let rules = netlink.rules().unwrap();
        let from: Vec<Prefix> = rules.iter().map(|rule| rule.from).collect();
        assert_eq!(from, [Prefix::host(ip(VIP6))]);
    });
}

#[test]
fn connections_outlive_the_agent() {
    let net = Net::new("outlive");
    let tun = net.apply();
    for vip in [VIP4, VIP6] {
        let any = if ip(vip).is_ipv4() { "0.0.0.0" } else { "::" };
        let listener = net.host.run(|| TcpListener::bind((ip(any), 0)).unwrap());
        let server = SocketAddr::new(ip(vip), listener.local_addr().unwrap().port());
        let connect = || {
            net.client
                .run(|| TcpStream::connect_timeout(&server, PATIENCE))
        };
        let client = connect().unwrap();
        let (accepted, _) = listener.accept().unwrap();
        check_transfer(&accepted, &client);
        drop_and_check(&net, &accepted, &client);
    }
    // New ones too: all is left in place.
    drop(tun);
    assert_eq!(net.offered_segment("10.2.0.2", VIP4), 1340);
    assert_eq!(net.offered_segment("fd00:2::2", VIP6), 1320);
}

/// What a stop and a start of the agent do to the kernel, and then a transfer.
fn drop_and_check(net: &Net, accepted: &TcpStream, client: &TcpStream) {
    net.host.run(|| {
        // The device is held by the test: this is the rest of a start.
        setup().repair().unwrap();
    });
    check_transfer(accepted, client);
}

fn check_transfer(mut from: &TcpStream, mut to: &TcpStream) {
    use std::io::Write;
    from.write_all(b"still here").unwrap();
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut read = [0; 10];
    to.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"still here");
}

#[test]
fn packets_that_the_agent_delivers_are_taken_and_answered_from_the_vip() {
    let net = Net::new("deliver");
    let tun = net.apply();
    // The strictest choice elsewhere must not matter.
    net.host
        .run(|| sysctl::write("ipv4/conf/all/rp_filter", "1").unwrap());
    let client = net.client.run(|| UdpSocket::bind("10.2.0.2:0").unwrap());
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = net
        .host
        .run(|| UdpSocket::bind(SocketAddr::new(ip(VIP4), 53)).unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    tun.write(&ipv4_udp(
        client.local_addr().unwrap(),
        server.local_addr().unwrap(),
    ))
    .unwrap();
    let mut question = [0; 16];
    let (len, from) = server.recv_from(&mut question).unwrap();
    assert_eq!(
        (&question[..len], from),
        (&b"ask"[..], client.local_addr().unwrap())
    );
    server.send_to(b"told", from).unwrap();
    let mut answer = [0; 16];
    let (len, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!(
        (&answer[..len], from),
        (&b"told"[..], server.local_addr().unwrap())
    );
}

/// A UDP packet that says "ask", without UDP checksum.
fn ipv4_udp(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(target)) = (from.ip(), to.ip()) else {
        panic!("IPv4 only");
    };
    let mut packet = vec![0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0, 0];
    packet.extend(source.octets());
    packet.extend(target.octets());
    let words = packet
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let sum: u32 = words.sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    for number in [from.port(), to.port(), 11, 0] {
        packet.extend(number.to_be_bytes());
    }
    packet.extend(b"ask");
    packet
}

#[test]
fn nobody_is_told_whose_the_vip_is() {
    let net = Net::new("quiet");
    let _tun = net.apply();
    let error = net.client.run(|| {
        // The client looks for the VIP on the wire, as a router with a wrong route would.
        let netlink = Netlink::open().unwrap();
        let on_link = Route::new(Prefix::host(ip(VIP4)), Target::Device("eth".to_owned()));
        netlink.put_route(&on_link).unwrap();
        let server = SocketAddr::new(ip(VIP4), 1);
        TcpStream::connect_timeout(&server, PATIENCE).unwrap_err()
    });
    // An answer to its question would let the SYN through, to a port that refuses.
    assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{error}");
    net.host.run(|| {
        assert_eq!(sysctl::read("ipv4/conf/all/arp_announce").unwrap(), "2");
    });
}
