//! Hosts whose kernels take the encapsulation off packets of established connections: the same transfers,
//! past the agents.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use jlb_bench::plan::{Node, Role};

use crate::harness::{Lab, Wanted, eventually, http, vips};
use crate::transfers::{datagrams, download, pings};

fn lab(ipv6_underlay: bool, packet_io: &'static str) -> Lab {
    Lab::start(Wanted {
        nginx: true,
        ipv6_underlay,
        packet_io,
        xdp_strip: true,
        ..Wanted::default()
    })
}

/// The sum of a metric over all hosts.
fn sum(lab: &Lab, name: &str, labels: &[(&str, &str)]) -> u64 {
    let of = |node: &Node| lab.metrics(node).sum(name, labels);
    lab.of(Role::Host).iter().map(of).sum()
}

/// Packets that came past the agents, and through them.
fn ways(lab: &Lab) -> [u64; 2] {
    [
        sum(lab, "jlb_xdp_stripped_total", &[]),
        sum(lab, "jlb_delivered_total", &[("layer", "role")]),
    ]
}

/// Has 100 MiB come in over both families, as they were.
fn upload(lab: &Lab) {
    let sent = lab.directory().join("www/100MiB");
    for vip in vips() {
        let name = format!("upload/{}", if vip.is_ipv4() { 4 } else { 6 });
        let url = http(vip, &format!("/{name}"));
        lab.client().must(
            "curl",
            &["-sS", "--fail", "-T", sent.to_str().unwrap(), &url],
        );
        let got = std::fs::read(lab.directory().join("www").join(name)).unwrap();
        assert!(got == std::fs::read(&sent).unwrap(), "{vip}");
    }
}

/// A request and its whole answer.
fn ask_once(stream: &mut TcpStream) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"here\n") {
        let mut some = [0; 4_096];
        let len = stream.read(&mut some).unwrap();
        assert!(len > 0, "closed after {answer:?}");
        answer.extend_from_slice(&some[..len]);
    }
}

/// Asks often by one connection.
fn keep_alive(lab: &Lab) {
    for vip in vips() {
        let mut stream = lab.client().connect(SocketAddr::new(vip, 80)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        for _ in 0..1_000 {
            ask_once(&mut stream);
        }
    }
}

#[test]
fn established_connections_go_past_the_agents_over_ipv4() {
    let lab = lab(false, "tun");
    established_connections_go_past_the_agents(&lab);
    datagrams(&lab);
}

#[test]
fn established_connections_go_past_the_agents_over_ipv6() {
    established_connections_go_past_the_agents(&lab(true, "tun"));
}

#[test]
fn established_connections_go_past_the_agents_from_an_ingress_by_af_xdp() {
    established_connections_go_past_the_agents(&lab(false, "af_xdp"));
}

fn established_connections_go_past_the_agents(lab: &Lab) {
    type Work = fn(&Lab);
    let works: [(&str, Work); 3] = [
        ("uploads", upload),
        ("downloads", download),
        ("keep-alive", keep_alive),
    ];
    for (what, work) in works {
        let before = ways(lab);
        work(lab);
        let after = ways(lab);
        let [stripped, delivered] = [after[0] - before[0], after[1] - before[1]];
        println!("{what}: {stripped} packets past the agents, {delivered} through them");
        // How many acknowledgements a download has is the client's to choose.
        assert!(stripped > 200, "{what}: {stripped}");
        assert!(delivered * 10 < stripped, "{what}: {delivered}, {stripped}");
    }
    pings(lab);
    lab.wait_until_empty(Duration::from_secs(90));
    assert_eq!(sum(lab, "jlb_xdp_flows", &[]), 0);
    assert_eq!(sum(lab, "jlb_xdp_flows_without_room_total", &[]), 0);
    lab.assert_calm();
}

#[test]
fn a_dead_agent_leaves_no_program_and_its_connections_go_on_with_the_next() {
    let lab = lab(false, "tun");
    let vip = vips()[0];
    let mut stream = lab.client().connect(SocketAddr::new(vip, 80)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut ask = || ask_once(&mut stream);
    for _ in 0..10 {
        ask();
    }
    let hosts = lab.of(Role::Host);
    let owner = hosts
        .iter()
        .find(|node| lab.metrics(node).sum("jlb_xdp_flows", &[]) == 1)
        .unwrap();
    let inside = lab.inside(&owner.name);
    let program = || inside.must("ip", &["link", "show", "eth0"]).contains("xdp");
    assert!(program(), "there is a program while the agent runs");
    let words = lab.kill(&owner.name);
    assert!(Path::new(&words[0]).exists());
    eventually(Duration::from_secs(2), "the program goes", || {
        if program() {
            Err("it is there".to_owned())
        } else {
            Ok(())
        }
    });
    let _again = lab.start_again(&owner.name, &words);
    for _ in 0..10 {
        ask();
    }
    assert!(program());
    eventually(Duration::from_secs(5), "the next agent lets it go", || {
        ask();
        let flows = lab.metrics(owner).sum("jlb_xdp_flows", &[]);
        if flows == 1 {
            Ok(())
        } else {
            Err(format!("{flows} flows"))
        }
    });
}
