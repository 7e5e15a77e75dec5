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
        let before = Moved::of(&lab);

        let name = format!("upload/{}", if vip.is_ipv4() { 4 } else { 6 });
        let url = http(vip, &format!("/{name}"));
        lab.client().must(
            "curl",
            &["-sS", "--fail", "-T", sent.to_str().unwrap(), &url],
        );
        assert_same(&sent, &lab.directory().join("www").join(name));
        Moved::of(&lab).since(&before).assert_large(vip);

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

/// What went through the devices of all nodes in packets larger than a segment.
#[derive(Debug)]
struct Moved {
    received: u64,
    received_huge: u64,
    received_segments: u64,
    written: u64,
    written_segments: u64,
}

impl Moved {
    fn of(lab: &Lab) -> Self {
        let sum = |role, name: &str| {
            lab.of(role)
                .iter()
                .map(|node| lab.metrics(node).sum(name, &[]))
                .sum()
        };
        Self {
            received: sum(Role::Ingress, "jlb_stack_large_received_total"),
            received_huge: sum(Role::Ingress, "jlb_stack_huge_received_total"),
            received_segments: sum(Role::Ingress, "jlb_stack_large_received_segments_total"),
            written: sum(Role::Host, "jlb_stack_large_written_total"),
            written_segments: sum(Role::Host, "jlb_stack_large_written_segments_total"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            received: self.received - before.received,
            received_huge: self.received_huge - before.received_huge,
            received_segments: self.received_segments - before.received_segments,
            written: self.written - before.written,
            written_segments: self.written_segments - before.written_segments,
        }
    }

    /// 100 MiB in full segments are 79,000; nearly all of them travel in large packets.
    fn assert_large(&self, vip: IpAddr) {
        println!("{vip}: {self:?}");
        let full = (100 << 20) / u64::from(MAX_INNER - headers(vip, 20));
        assert!(self.received_segments > full * 9 / 10, "{self:?}");
        assert!(self.received_segments < full * 11 / 10, "{self:?}");
        assert!(self.received_huge * 2 > self.received, "{self:?}");
        assert!(self.written_segments > full / 2, "{self:?}");
        assert!(self.written * 4 < self.written_segments, "{self:?}");
    }
}

/// The frames are large, as their sender made them, and come without a pause.
fn assert_full_and_steady(frames: &[Frame], vip: IpAddr) {
    // Headers with timestamps and acknowledged blocks take 40 bytes more at most.
    let bare = headers(vip, 20) + 40;
    let data: Vec<&Frame> = frames.iter().filter(|frame| frame.length > bare).collect();
    let bytes: u64 = data.iter().map(|frame| u64::from(frame.length)).sum();
    assert!(bytes >= 100 << 20, "{bytes} bytes with data");
    let gaps = data
        .windows(2)
        .map(|pair| pair[1].time.saturating_sub(pair[0].time));
    let longest = gaps.max().unwrap();
    println!(
        "{vip}: {} packets with data, longest pause {longest:?}",
        data.len()
    );
    assert!(
        longest < LONGEST_GAP,
        "a pause of {longest:?} in the upload to {vip}"
    );
}
