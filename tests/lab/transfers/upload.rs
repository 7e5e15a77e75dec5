//! A large upload, seen on its way: full segments, no pauses.

use std::net::IpAddr;
use std::time::Duration;

use jlb_bench::plan::Role;

use super::{MAX_INNER, assert_same, headers};
use crate::harness::{Capture, Frame, Lab, http, read_pcap, tshark, vips};

/// The longest pause between two packets with data of one transfer.
const LONGEST_GAP: Duration = Duration::from_millis(200);

/// The ingress nodes' device, see `node/src/kernel/ingress_setup.rs`.
const TUN: &str = "jlb0";

#[test]
fn an_upload_of_100_mib_arrives_in_full_segments_without_pauses() {
    let lab = Lab::with_nginx();
    let sent = lab.directory().join("www/100MiB");
    for vip in vips() {
        let to_vip = format!("tcp and dst host {vip}");
        // A sender's segments are split where they leave a veth for a TUN device, so they are
        // looked at there.
        let at_ingress: Vec<Capture> = lab
            .of(Role::Ingress)
            .iter()
            .map(|node| Capture::start(&lab, &lab.inside(&node.name), TUN, &to_vip, 64))
            .collect();
        let syns = if vip.is_ipv4() {
            "tcp[13] & 2 != 0"
        } else {
            "ip6[53] & 2 != 0"
        };
        let syns = format!("{syns} and src host {vip}");
        let at_client = Capture::start(&lab, &lab.client(), "eth0", &syns, 128);

        let name = format!("upload/{}", if vip.is_ipv4() { 4 } else { 6 });
        let url = http(vip, &format!("/{name}"));
        lab.client().must(
            "curl",
            &["-sS", "--fail", "-T", sent.to_str().unwrap(), &url],
        );
        assert_same(&sent, &lab.directory().join("www").join(name));

        let asked = tshark(
            &at_client.stop(),
            &["-T", "fields", "-e", "tcp.options.mss_val"],
        );
        let asked: Vec<u32> = asked.lines().map(|mss| mss.parse().unwrap()).collect();
        assert!(!asked.is_empty(), "no SYN of {vip} seen");
        assert!(
            asked.iter().all(|&mss| mss == MAX_INNER - headers(vip, 20)),
            "MSS {asked:?}"
        );
        let frames = at_ingress
            .into_iter()
            .map(|capture| read_pcap(&capture.stop()));
        let frames = frames.max_by_key(Vec::len).unwrap();
        assert_full_and_steady(&frames, vip);
    }
    lab.assert_calm();
}

fn assert_full_and_steady(frames: &[Frame], vip: IpAddr) {
    // Headers with timestamps and acknowledged blocks take 40 bytes more at most.
    let bare = headers(vip, 20) + 40;
    let data: Vec<&Frame> = frames.iter().filter(|frame| frame.length > bare).collect();
    let full = data
        .iter()
        .filter(|frame| frame.length == MAX_INNER)
        .count();
    assert!(data.len() > 70_000, "{} packets with data", data.len());
    assert!(
        full * 10 > data.len() * 9,
        "{full} of {} packets are full",
        data.len()
    );
    assert!(frames.iter().all(|frame| frame.length <= MAX_INNER));
    let gaps = data
        .windows(2)
        .map(|pair| pair[1].time.saturating_sub(pair[0].time));
    let longest = gaps.max().unwrap();
    println!(
        "{vip}: {full} of {} packets are full, longest pause {longest:?}",
        data.len()
    );
    assert!(
        longest < LONGEST_GAP,
        "a pause of {longest:?} in the upload to {vip}"
    );
}
