//! What travels between nodes, captured between them and read by tshark.

mod sequence;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use jlb_bench::plan::Role;

use crate::harness::{Capture, Lab, Wanted, http, tshark, vips};
use sequence::{Hop, Kind, Place, check};

/// The router's bridge, which every datagram between nodes crosses.
const BRIDGE: &str = "inside";

/// Options, see docs/protocol.md.
const SEAL: &str = "0x81";
const KEY: &str = "0x87";

/// One connection: number of the service and port of the client.
type Flow = (u32, u16);

#[test]
fn every_datagram_decodes_and_takes_its_way_over_ipv4() {
    captured(Wanted::default());
}

#[test]
fn every_datagram_decodes_and_takes_its_way_over_ipv6() {
    captured(Wanted {
        ipv6_underlay: true,
        ..Wanted::default()
    });
}

fn captured(wanted: Wanted) {
    let lab = Lab::start(wanted);
    // Messages that leave together are one packet for as long as nothing cuts them apart: here each of them is to be
    // seen by itself.
    for node in lab.nodes() {
        lab.inside(&node.name)
            .must("ethtool", &["-K", "eth0", "tx-udp-segmentation", "off"]);
    }
    let capture = Capture::start(&lab, &lab.inside("router"), BRIDGE, "udp port 6081", 65_535);
    let flows = traffic(&lab);
    let file = capture.stop();
    assert_decodes(&file);
    let hops = hops(&lab, &file, wanted.ipv6_underlay);
    for flow in flows {
        let hops = hops
            .get(&flow)
            .unwrap_or_else(|| panic!("nothing of {flow:?} was seen"));
        if let Err(wrong) = check(hops) {
            panic!("{flow:?}: {wrong}\n{hops:#?}");
        }
    }
    lab.assert_calm();
}

/// Some of everything; returns the TCP connections whose way is to be checked.
fn traffic(lab: &Lab) -> Vec<Flow> {
    let client = lab.client();
    let mut flows = Vec::new();
    for (vip, service) in vips().into_iter().zip([1, 11]) {
        for at in 0..10 {
            let mut stream = client.connect(SocketAddr::new(vip, 80)).unwrap();
            flows.push((service, stream.local_addr().unwrap().port()));
            let path = if at % 2 == 0 { "/" } else { "/bytes/300000" };
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        let file = lab.directory().join("up");
        std::fs::write(&file, vec![7; 3 << 20]).unwrap();
        client.must(
            "curl",
            &["-sS", "-T", file.to_str().unwrap(), &http(vip, "/upload")],
        );
        let socket = client.udp(SocketAddr::new(vip, 7));
        for _ in 0..3 {
            socket.send(&[3; 1000]).unwrap();
            socket.recv(&mut [0; 2048]).unwrap();
        }
        client.must("ping", &["-n", "-c", "1", &vip.to_string()]);
    }
    flows
}

/// Every datagram to the port is Geneve, whole and without a complaint.
fn assert_decodes(file: &Path) {
    let count = |filter: &str| tshark(file, &["-Y", filter]).lines().count();
    let all = count("udp.dstport == 6081");
    assert!(all > 1_000, "only {all} datagrams");
    assert_eq!(
        count("udp.dstport == 6081 && geneve"),
        all,
        "some are not Geneve"
    );
    let bad = "_ws.malformed || geneve.version != 0 || geneve.version.unknown \
               || geneve.option.length.invalid || geneve.flags.reserved != 0 || geneve.reserved != 0 \
               || geneve.option.flags.reserved != 0";
    let found = tshark(file, &["-Y", bad]);
    assert!(found.is_empty(), "tshark is not content:\n{found}");
    let experts = tshark(file, &["-q", "-z", "expert"]);
    let of_ours = |line: &&str| line.contains("Geneve") || line.contains("GENEVE");
    let complaints: Vec<&str> = experts.lines().filter(of_ours).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(!experts.contains("Errors ("), "{experts}");
}

/// The messages of each TCP connection, in order.
fn hops(lab: &Lab, file: &Path, ipv6_underlay: bool) -> BTreeMap<Flow, Vec<Hop>> {
    let (src, dst) = if ipv6_underlay {
        ("ipv6.src", "ipv6.dst")
    } else {
        ("ip.src", "ip.dst")
    };
    let fields = [
        src,
        dst,
        "geneve.vni",
        "geneve.option.type",
        "geneve.option.unknown.data",
        "tcp.srcport",
        "tcp.dstport",
    ];
    let mut arguments = vec![
        "-Y",
        "udp.dstport == 6081",
        "-T",
        "fields",
        "-E",
        "occurrence=a",
    ];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    let places = places(lab);
    let mut hops = BTreeMap::<Flow, Vec<Hop>>::new();
    for line in tshark(file, &arguments).lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [src, dst, vni, types, bodies, port, vip_port] = columns[..] else {
            panic!("tshark printed {line}")
        };
        // Of several addresses the outermost comes first.
        let place = |addresses: &str| -> Place {
            let address: IpAddr = addresses.split(',').next().unwrap().parse().unwrap();
            *places
                .get(&address)
                .unwrap_or_else(|| panic!("{address} is no node"))
        };
        let options: Vec<(&str, &str)> = types.split(',').zip(bodies.split(',')).collect();
        let (first, seal) = options[0];
        assert_eq!(first, SEAL, "the seal comes first: {line}");
        let kind = Kind::of(u8::from_str_radix(&seal[2..4], 16).unwrap());
        let key = options
            .iter()
            .find(|(kind, _)| *kind == KEY)
            .map(|(_, key)| *key);
        let port = match key {
            // The client's address (16) and the service (4) come before its port.
            Some(key) => u16::from_str_radix(&key[40..44], 16).ok(),
            None if vip_port == "80" => port.parse().ok(),
            None => None,
        };
        let vni = u32::from_str_radix(vni.trim_start_matches("0x"), 16).unwrap();
        if let Some(port) = port {
            let hop = Hop {
                from: place(src),
                to: place(dst),
                kind,
            };
            hops.entry((vni, port)).or_default().push(hop);
        }
    }
    hops
}

/// Who has which address.
fn places(lab: &Lab) -> BTreeMap<IpAddr, Place> {
    lab.nodes()
        .iter()
        .map(|node| {
            let place = match node.role {
                Role::Ingress => Place::Ingress(node.number),
                Role::Tracker => Place::Tracker(node.number),
                Role::Host => Place::Host(node.number),
            };
            (lab.underlay(node), place)
        })
        .collect()
}
