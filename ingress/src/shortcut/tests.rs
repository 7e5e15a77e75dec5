use crate::Verdict;
use crate::testbed::*;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{FlowKey, MemberState};

fn key() -> FlowKey {
    FlowKey::new(ip(CLIENT4), 40_000, service(WEB4), 80)
}

fn established() -> Bed {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    bed.forwarded(&tcp(101, ACK, b""));
    bed.drain();
    bed
}

#[test]
fn an_established_flow_has_a_shortcut() {
    let mut bed = established();
    let shortcut = bed.ingress.shortcut(bed.now, &key()).unwrap();
    assert_eq!((shortcut.host, shortcut.birth), (node(21), birth(9, 1)));
    assert_eq!(shortcut.key, key());
    let other = FlowKey::new(ip(CLIENT4), 40_001, service(WEB4), 80);
    assert_eq!(bed.ingress.shortcut(bed.now, &other), None);
}

#[test]
fn a_contested_flow_has_none_until_that_is_decided() {
    let mut bed = established();
    assert_eq!(bed.verdict(&tcp(500, SYN, b"")), Verdict::Held);
    assert_eq!(bed.ingress.shortcut(bed.now, &key()), None);
    // The SYN was forged, and nobody answers: the old life goes on.
    bed.pass(core::time::Duration::from_secs(2));
    bed.forwarded(&tcp(102, ACK, b""));
    assert!(bed.ingress.shortcut(bed.now, &key()).is_some());
}

#[test]
fn a_flow_that_ends_has_none() {
    let mut bed = established();
    bed.forwarded(&tcp(102, TcpFlags::FIN | ACK, b""));
    assert_eq!(bed.ingress.shortcut(bed.now, &key()), None);
    bed.forwarded(&tcp(103, ACK, b""));
    assert_eq!(bed.ingress.shortcut(bed.now, &key()), None);
}

#[test]
fn a_flow_of_a_host_that_is_down_has_none() {
    let mut bed = established();
    let trackers = [(11, MemberState::Active)];
    bed.sees(view_with(&trackers, &[(21, MemberState::Down)]));
    assert_eq!(bed.ingress.shortcut(bed.now, &key()), None);
    bed.sees(view_with(&trackers, &[(21, MemberState::Draining)]));
    assert!(bed.ingress.shortcut(bed.now, &key()).is_some());
}
