//! Nonsense, and what was once sense, at every door of every node.

mod packets;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use jlb_bench::plan::Node;
use socket2::{SockAddr, Socket};

use crate::harness::{Capture, Lab, eventually, http, long, read_pcap, vips};
use packets::{Datagram, Random};

/// The underlay's port.
const GENEVE: u16 = 6081;

/// Datagrams of each kind to each port.
fn each() -> usize {
    if long() { 2_000 } else { 150 }
}

/// Sends so slowly that receive queues hold it.
fn pace(at: usize) {
    if at.is_multiple_of(16) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What all nodes dropped at one layer, by node and reason.
fn drops(lab: &Lab, layer: &str) -> Vec<(String, Vec<(String, u64)>)> {
    let of = |node: &Node| (node.name.clone(), lab.metrics(node).drops(layer));
    lab.nodes().iter().map(of).collect()
}

fn total(drops: &[(String, Vec<(String, u64)>)], reason: &str) -> u64 {
    drops
        .iter()
        .flat_map(|(_, all)| all)
        .filter(|(r, _)| r == reason)
        .map(|(_, count)| count)
        .sum()
}

fn assert_well(lab: &Lab) {
    lab.assert_all_alive();
    lab.assert_books_balance();
    for vip in vips() {
        for _ in 0..8 {
            let got = lab
                .client()
                .must("curl", &["-sS", "--fail", "-m", "20", &http(vip, "/")]);
            assert!(got.contains("here"), "{got}");
        }
    }
}

/// UDP ports that a node listens on, on its underlay address.
fn ports(lab: &Lab, node: &Node) -> Vec<u16> {
    let said = lab.inside(&node.name).must("ss", &["-Hlun"]);
    let own = format!("{}:", lab.underlay(node));
    let ports = said
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(&own)?.parse().ok());
    let ports: Vec<u16> = ports.collect();
    assert!(
        ports.len() >= 9 && ports.contains(&GENEVE),
        "of {}: {said}",
        node.name
    );
    ports
}

/// Real datagrams between nodes, of every kind that a little traffic brings.
fn real_ones(lab: &Lab) -> Vec<Datagram> {
    let capture = Capture::start(
        lab,
        &lab.inside("router"),
        "inside",
        "udp port 6081",
        65_535,
    );
    for vip in vips() {
        for _ in 0..5 {
            lab.client()
                .must("curl", &["-sS", "--fail", &http(vip, "/")]);
        }
    }
    // Long enough for a Hello of everybody.
    std::thread::sleep(Duration::from_millis(700));
    let frames = read_pcap(&capture.stop());
    let all: Vec<Datagram> = frames
        .iter()
        .map(|frame| Datagram::of_frame(&frame.bytes))
        .collect();
    assert!(all.len() > 200, "{} datagrams", all.len());
    all
}

#[test]
fn datagrams_of_strangers_do_no_harm_at_any_port() {
    let lab = Lab::start(Default::default());
    let real = real_ones(&lab);
    let mut random = Random(7);
    let before = drops(&lab, "link");
    let stranger: UdpSocket = lab
        .inside("router")
        .enter(|| UdpSocket::bind("0.0.0.0:0"))
        .unwrap();
    let mut sent = Vec::new();
    for node in lab.nodes() {
        let ports = ports(&lab, node);
        for &port in &ports {
            let to = SocketAddr::new(lab.underlay(node), port);
            for at in 0..each() {
                let mut bytes = random.pick(&real).payload.clone();
                match at % 3 {
                    0 => bytes = random.bytes(1_400),
                    1 => bytes.truncate(random.below(bytes.len() + 1)),
                    _ => random.flip_bits(&mut bytes),
                }
                // Refused where a process is gone, which is seen in the end.
                let _ = stranger.send_to(&bytes, to);
                pace(at);
            }
        }
        sent.push((ports.len() * each()) as u64);
    }
    assert_well(&lab);
    let after = drops(&lab, "link");
    for ((node, all), sent) in after.iter().zip(sent) {
        let count: u64 = all.iter().map(|(_, count)| count).sum();
        assert!(
            count > sent / 2,
            "{node} counted {count} of {sent}: {all:?}"
        );
    }
    for reason in ["bad_geneve", "bad_option", "wrong_address"] {
        assert!(
            total(&after, reason) > total(&before, reason),
            "no {reason}: {after:?}"
        );
    }
}

#[test]
fn replayed_and_damaged_datagrams_in_the_name_of_members_do_no_harm() {
    let lab = Lab::start(Default::default());
    let real = real_ones(&lab);
    let mut random = Random(11);
    let socket = lab.inside("router").raw(true);
    for at in 0..each() * 40 {
        let mut datagram = random.pick(&real).clone();
        match at % 4 {
            0 => {}
            1 => datagram
                .payload
                .truncate(random.below(datagram.payload.len() + 1)),
            2 => random.flip_bits(&mut datagram.payload),
            _ => datagram.from.set_port(random.below(65_536) as u16),
        }
        let bytes = datagram.ipv4_packet();
        let _ = socket.send_to(&bytes, &SockAddr::from(datagram.to));
        pace(at);
    }
    assert_well(&lab);
    let after = drops(&lab, "link");
    for reason in [
        "bad_geneve",
        "bad_option",
        "bad_tag",
        "replayed",
        "unknown_sender",
    ] {
        assert!(total(&after, reason) > 0, "no {reason}: {after:?}");
    }
}

#[test]
fn nonsense_at_the_vips_does_no_harm() {
    let lab = Lab::start(Default::default());
    let mut random = Random(13);
    let sockets: Vec<(IpAddr, Socket)> = vips()
        .into_iter()
        .map(|vip| (vip, lab.client().raw(vip.is_ipv4())))
        .collect();
    let before = drops(&lab, "role");
    for at in 0..each() * 40 {
        let (vip, socket) = &sockets[at % 2];
        let bytes = match vip {
            IpAddr::V4(vip) => random.ipv4_packet(*vip),
            IpAddr::V6(vip) => random.ipv6_packet(*vip),
        };
        // The kernel refuses some of it itself.
        let _ = socket.send_to(&bytes, &SockAddr::from(SocketAddr::new(*vip, 0)));
        pace(at);
    }
    assert_well(&lab);
    let after = drops(&lab, "role");
    for reason in [
        "no_service",
        "fragment",
        "bad_transport_header",
        "icmp_ignored",
    ] {
        assert!(
            total(&after, reason) > total(&before, reason),
            "no {reason}: {after:?}"
        );
    }
}

#[test]
fn nonsense_at_the_admin_ports_does_no_harm() {
    let lab = Lab::start(Default::default());
    let mut random = Random(17);
    for node in lab.nodes() {
        let connect = || lab.inside("router").connect(lab.admin(node)).unwrap();
        for at in 0..30 {
            let mut stream = connect();
            let sent = match at % 3 {
                0 => random.bytes(2_000),
                1 => b"GET /metrics HTTP/1.1\r\nx: "
                    .iter()
                    .copied()
                    .chain(random.bytes(99))
                    .collect(),
                _ => vec![b'a'; 300_000],
            };
            // It may close on us at any time.
            let _ = stream.write_all(&sent);
            if at % 2 == 0 {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read(&mut [0; 512]);
            }
        }
    }
    // More than a node serves at a time, all silent: it gives up on them.
    let silent: Vec<TcpStream> = lab
        .nodes()
        .iter()
        .flat_map(|node| std::iter::repeat_n(lab.admin(node), 80))
        .map(|admin| lab.inside("router").connect(admin).unwrap())
        .collect();
    for node in lab.nodes() {
        eventually(Duration::from_secs(15), "the admin port works", || {
            lab.is_ready(node)
        });
    }
    drop(silent);
    assert_well(&lab);
}
