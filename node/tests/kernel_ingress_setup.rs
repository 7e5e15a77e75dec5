//! An ingress gets the packets for its VIPs, and loses them silently when it is dead.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::ingress_setup::IngressSetup;
use jlb_node::kernel::netlink::{
    LinkSettings, MAIN_TABLE, Netlink, PROTOCOL, Prefix, Route, Target,
};
use jlb_packet_io::Tun;
use jlb_packet_io::tun::{LargeBuf, Received};
use jlb_packet_io::wait::{Interest, Poller};
use jlb_protocol::PacketBuf;
use jlb_protocol::packet::offload::complete_checksum;
use namespace::{Namespace, PATIENCE, cable, ip};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

const VIP4: &str = "198.51.100.1";
const VIP6: &str = "2001:db8:100::1";
const MTU: u32 = 1400;

/// A client and an ingress next to each other; the client reaches the VIPs through the ingress.
struct Net {
    client: Namespace,
    ingress: Namespace,
}

impl Net {
    fn new(label: &str) -> Self {
        let net = Self {
            client: Namespace::new(&format!("{label}-client")),
            ingress: Namespace::new(&format!("{label}-ingress")),
        };
        cable(
            (&net.client, &[("10.1.0.2", 24), ("fd00:1::2", 64)]),
            (&net.ingress, &[("10.1.0.1", 24), ("fd00:1::1", 64)]),
        );
        net.client.run(|| {
            let netlink = Netlink::open().unwrap();
            for (vip, gateway) in [(VIP4, "10.1.0.1"), (VIP6, "fd00:1::1")] {
                let route = Route::new(Prefix::host(ip(vip)), Target::Gateway(ip(gateway)));
                netlink.put_route(&route).unwrap();
            }
        });
        net
    }

    fn apply(&self) -> Tun {
        self.ingress.run(|| setup().apply().unwrap())
    }
}

fn setup() -> IngressSetup {
    IngressSetup::new(vec![ip(VIP4), ip(VIP6)], MTU)
}

/// A client's UDP socket, connected to port 53 of the VIP so that it is told of ICMP errors.
fn client_socket(vip: &str) -> UdpSocket {
    let any = if ip(vip).is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(SocketAddr::new(ip(vip), 53)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next packet out of the device that is for `vip`.
fn next_packet(tun: &Tun, vip: &str) -> PacketBuf {
    let mut poller = Poller::new().unwrap();
    poller.add(tun, 0, Interest::Readable).unwrap();
    let mut packet = PacketBuf::default();
    loop {
        assert_eq!(poller.wait(Some(PATIENCE)).unwrap().count(), 1, "no packet");
        let received = tun.receive(&mut packet, &mut LargeBuf::default()).unwrap();
        let Received::Packet(unfinished) = received else {
            panic!("{received:?}");
        };
        if let Some(partial) = unfinished.checksum {
            complete_checksum(packet.as_mut_slice(), partial).unwrap();
        }
        let bytes = packet.as_slice();
        let for_vip = match ip(vip) {
            IpAddr::V4(vip) => bytes.get(16..20) == Some(&vip.octets()),
            IpAddr::V6(vip) => bytes.get(24..40) == Some(&vip.octets()),
        };
        // The kernel may say a thing by itself.
        if for_vip {
            return packet;
        }
    }
}

#[test]
fn packets_for_a_vip_come_out_and_answers_go_back() {
    let net = Net::new("through");
    let tun = net.apply();
    // Twice is as good as once.
    drop(tun);
    let tun = net.apply();
    for (vip, addresses, ports) in [(VIP4, 12..20, 20), (VIP6, 8..40, 40)] {
        let socket = net.client.run(|| client_socket(vip));
        socket.send(b"question").unwrap();
        let mut packet = next_packet(&tun, vip);
        assert!(packet.as_slice().ends_with(b"question"));
        let half = addresses.len() / 2;
        packet.as_mut_slice()[addresses].rotate_left(half);
        packet.as_mut_slice()[ports..ports + 4].rotate_left(2);
        tun.write(packet.as_slice()).unwrap();
        let mut answer = [0; 16];
        let len = socket.recv(&mut answer).unwrap();
        assert_eq!(&answer[..len], b"question", "{vip}");
    }
}

#[test]
fn a_packet_that_is_too_big_is_answered_so_by_the_kernel() {
    let net = Net::new("too-big");
    let _tun = net.apply();
    for (vip, headers) in [(VIP4, 28), (VIP6, 48)] {
        let socket = net.client.run(|| client_socket(vip));
        if ip(vip).is_ipv4() {
            sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DO).unwrap();
        } else {
            sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::DO).unwrap();
        }
        let fits = vec![0; MTU as usize - headers];
        let too_big = vec![0; MTU as usize - headers + 1];
        socket.send(&too_big).unwrap();
        let told = socket.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(told.raw_os_error(), Some(90), "EMSGSIZE for {vip}: {told}");
        let mtu = if ip(vip).is_ipv4() {
            sockopt::ip_mtu(&socket)
        } else {
            sockopt::ipv6_mtu(&socket)
        };
        assert_eq!(mtu.unwrap(), MTU, "{vip}");
        assert!(socket.send(&too_big).is_err());
        socket.send(&fits).unwrap();
    }
}

/// Sends a packet to the VIP; whether an ICMP "unreachable" comes back within `patience`.
fn is_unreachable(vip: &str, patience: Duration) -> bool {
    let (domain, protocol) = match ip(vip) {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let mut icmp = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
    icmp.set_read_timeout(Some(patience)).unwrap();
    client_socket(vip).send(b"question").unwrap();
    let mut packet = [0; 1500];
    loop {
        match icmp.read(&mut packet) {
            Ok(_) if ip(vip).is_ipv4() && packet[20] == 3 => return true,
            Ok(_) if ip(vip).is_ipv6() && packet[0] == 1 => return true,
            // A neighbour is looked for, or the like.
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return false;
            }
        }
    }
}

#[test]
fn a_dead_ingress_means_loss_and_never_unreachable() {
    let net = Net::new("dead");
    let a_while = Duration::from_millis(500);
    drop(net.apply());
    net.client.run(|| {
        for vip in [VIP4, VIP6] {
            assert!(!is_unreachable(vip, a_while), "{vip}, nobody reads");
        }
    });
    net.ingress
        .run(|| Netlink::open().unwrap().delete_link("jlb-in").unwrap());
    net.client.run(|| {
        for vip in [VIP4, VIP6] {
            assert!(!is_unreachable(vip, a_while), "{vip}, without device");
        }
    });
    net.ingress.run(|| setup().teardown().unwrap());
    net.client.run(|| {
        for vip in [VIP4, VIP6] {
            assert!(is_unreachable(vip, PATIENCE), "{vip}, what this avoids");
        }
    });
}

/// The prefixes of the routes that a set-up made, with their metrics.
fn own_routes() -> Vec<String> {
    let netlink = Netlink::open().unwrap();
    let routes = netlink.routes(MAIN_TABLE).unwrap();
    routes
        .iter()
        .filter(|route| route.header.protocol == PROTOCOL)
        .map(|route| format!("{:?}", route.attributes))
        .collect()
}

#[test]
fn a_vip_that_is_not_wanted_any_more_loses_its_routes() {
    Namespace::new("fewer").run(|| {
        drop(setup().apply().unwrap());
        let both = own_routes();
        assert_eq!(both.len(), 4, "a route and a blackhole for each: {both:?}");
        drop(setup().apply().unwrap());
        assert_eq!(own_routes(), both, "twice is as good as once");
        drop(IngressSetup::new(vec![ip(VIP6)], MTU).apply().unwrap());
        let one = own_routes();
        assert_eq!(one.len(), 2, "{one:?}");
        assert!(one.iter().all(|route| both.contains(route)));
    });
}

#[test]
fn a_device_of_one_queue_and_one_of_several_take_each_others_place() {
    let net = Net::new("queues");
    drop(net.apply());
    for others in [2, 0, 1] {
        let (first, queues) = net.ingress.run(|| {
            setup()
                .apply_with(others)
                .expect("whatever there was before")
        });
        assert_eq!(queues.len(), others);
        net.ingress.run(|| assert_eq!(own_routes().len(), 4));
        // Each of many connections comes out of one queue, and each queue gets some.
        let mut seen = vec![0; 1 + others];
        let sockets: Vec<UdpSocket> = (0..32)
            .map(|_| net.client.run(|| client_socket(VIP4)))
            .collect();
        for _ in 0..4 {
            for socket in &sockets {
                socket.send(b"question").unwrap();
            }
        }
        let mut poller = Poller::new().unwrap();
        let all: Vec<&Tun> = std::iter::once(&first).chain(&queues).collect();
        for (at, tun) in (0..).zip(&all) {
            poller.add(*tun, at, Interest::Readable).unwrap();
        }
        let mut came_by = std::collections::BTreeMap::new();
        let mut packet = PacketBuf::default();
        while seen.iter().sum::<u32>() < 4 * 32 {
            let ready = poller.wait(Some(PATIENCE)).unwrap();
            let at = ready.map(|file| file.token as usize).next().unwrap();
            let received = all[at].receive(&mut packet, &mut LargeBuf::default());
            assert!(matches!(received, Ok(Received::Packet(_))));
            let bytes = packet.as_slice();
            if bytes.get(16..20) == Some(&[198, 51, 100, 1][..]) {
                seen[at] += 1;
                let port = bytes[20..22].to_vec();
                assert_eq!(*came_by.entry(port).or_insert(at), at);
            }
        }
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    }
}

#[test]
fn what_others_change_is_put_back() {
    let net = Net::new("repair");
    let tun = net.apply();
    net.ingress.run(|| {
        let netlink = Netlink::open().unwrap();
        let whole = own_routes();
        assert!(!setup().repair().unwrap(), "nothing was changed");
        let down = LinkSettings {
            up: Some(false),
            ..LinkSettings::default()
        };
        netlink.set_link("jlb-in", down).unwrap();
        assert_eq!(
            own_routes().len(),
            2,
            "the kernel keeps the blackholes alone"
        );
        assert!(setup().repair().unwrap());
        for message in netlink.routes(MAIN_TABLE).unwrap() {
            if message.header.protocol == PROTOCOL {
                netlink.delete_route_message(message).unwrap();
            }
        }
        assert!(setup().repair().unwrap());
        assert!(!setup().repair().unwrap());
        let mut now = own_routes();
        let mut whole = whole;
        now.sort();
        whole.sort();
        assert_eq!(now, whole);
    });
    let socket = net.client.run(|| client_socket(VIP4));
    socket.send(b"question").unwrap();
    assert!(next_packet(&tun, VIP4).as_slice().ends_with(b"question"));
    net.ingress.run(|| {
        let netlink = Netlink::open().unwrap();
        let other = Route::new(Prefix::host(ip(VIP4)), Target::Blackhole);
        netlink.put_route(&other).unwrap();
        let error = setup().repair().unwrap_err().to_string();
        assert!(
            error.contains(VIP4) && error.contains("in the way"),
            "{error}"
        );
        netlink.delete_link("jlb-in").unwrap();
        assert_eq!(setup().repair().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn teardown_leaves_nothing() {
    Namespace::new("teardown").run(|| {
        // Before anything was set up there is nothing to remove.
        setup().teardown().unwrap();
        let tun = setup().apply().unwrap();
        // Also while a process holds the device.
        setup().teardown().unwrap();
        setup().teardown().unwrap();
        drop(tun);
        let netlink = Netlink::open().unwrap();
        assert_eq!(own_routes(), Vec::<String>::new());
        assert_eq!(netlink.link("jlb-in").unwrap(), None);
    });
}

#[test]
fn another_ingress_on_the_same_machine_is_told_apart() {
    Namespace::new("second").run(|| {
        let _first = setup().apply().unwrap();
        let error = setup().apply().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert!(error.to_string().contains("jlb-in"));
    });
}
