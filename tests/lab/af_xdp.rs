//! Ingress nodes that take packets by AF_XDP: the same transfers, by another way.

use std::time::Duration;

use jlb_bench::plan::{Node, Role};

use crate::harness::{Lab, Wanted, eventually, http, vips};
use crate::transfers::{datagrams, download, pings};

fn lab(ipv6_underlay: bool) -> Lab {
    Lab::start(Wanted {
        nginx: true,
        ipv6_underlay,
        packet_io: "af_xdp",
        ..Wanted::default()
    })
}

/// The sum of a metric over all ingress nodes.
fn sum(lab: &Lab, name: &str, labels: &[(&str, &str)]) -> u64 {
    let of = |node: &Node| lab.metrics(node).sum(name, labels);
    lab.of(Role::Ingress).iter().map(of).sum()
}

/// Few packets of clients took another way than the sockets, in or out.
pub(crate) fn assert_by_af_xdp(lab: &Lab) {
    let received = sum(lab, "jlb_xdp_received_total", &[]);
    let sent = sum(lab, "jlb_xdp_sent_total", &[]);
    let all = sum(lab, "jlb_ingress_packets_total", &[]);
    let by_socket = sum(lab, "jlb_xdp_by_socket_total", &[]);
    let lost = sum(lab, "jlb_xdp_lost_total", &[]);
    let told = format!(
        "{all} packets, {received} by AF_XDP; {sent} messages, {by_socket} by sockets; {lost} lost"
    );
    println!("{told}");
    assert!(received > 0 && received <= all, "{told}");
    // Those that were too big for the program, and what came while neighbours were looked up.
    assert!(all - received < 100, "{told}");
    assert!(by_socket < 1_000 && by_socket * 20 < sent, "{told}");
}

#[test]
fn everything_arrives_over_ipv4() {
    everything_arrives(false);
}

#[test]
fn everything_arrives_over_ipv6() {
    everything_arrives(true);
}

fn everything_arrives(ipv6_underlay: bool) {
    let lab = lab(ipv6_underlay);
    for _ in 0..20 {
        for vip in vips() {
            let said = lab
                .client()
                .must("curl", &["-sS", "--fail", &http(vip, "/")]);
            assert_eq!(said, "here\n");
        }
    }
    download(&lab);
    pings(&lab);
    if !ipv6_underlay {
        datagrams(&lab);
    }
    assert_by_af_xdp(&lab);
    lab.assert_calm();
}

#[test]
fn a_dead_ingress_leaves_no_program_behind() {
    let lab = lab(false);
    let node = &lab.of(Role::Ingress)[0];
    let inside = lab.inside(&node.name);
    let program = || inside.must("ip", &["link", "show", "eth0"]).contains("xdp");
    assert!(program(), "there is a program while the node runs");
    lab.kill(&node.name);
    eventually(Duration::from_secs(2), "the program goes", || {
        if program() {
            Err("it is there".to_owned())
        } else {
            Ok(())
        }
    });
}
