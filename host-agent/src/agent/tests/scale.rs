//! Many flows: what they cost, and how much is done in one call (R14).

use crate::testbed::*;
use crate::{Config, Socket, SocketState};
use core::net::{IpAddr, Ipv6Addr};
use jlb_protocol::Time;
use std::vec::Vec;

/// Clients of the IPv6 service, each with an open socket.
fn sockets(count: u32) -> Vec<Socket> {
    let client = |number: u32| {
        let [a, b, c, d] = number.to_be_bytes().map(u16::from);
        Client {
            address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, a, b, c, d)),
            ..client6(7)
        }
    };
    (0..count)
        .map(|number| client(number).socket(u64::from(number) + 1, SocketState::Open))
        .collect()
}

fn wide(max_flows: u32) -> Config {
    let mut config = config();
    config.limits.max_flows = max_flows;
    config.limits.max_statements = max_flows;
    config
}

#[test]
fn a_million_flows_take_at_most_160_bytes_each() {
    const FLOWS: u32 = 1_000_000;
    let mut bed = Bed::unready(wide(FLOWS));
    bed.dump(&sockets(FLOWS));
    assert_eq!(bed.flows(), [0, FLOWS, 0, 0]);
    assert_eq!(bed.agent.flows.unproven(), 0, "each has its cookie");
    let bytes = bed.stats().flow_table_bytes;
    let each = bytes.div_ceil(FLOWS as usize);
    assert!(each <= 160, "{each} bytes a flow");
}

#[test]
fn r14_a_call_does_a_bounded_part_of_what_is_due_and_says_that_there_is_more() {
    const FLOWS: u32 = 20_000;
    let mut bed = Bed::unready(wide(FLOWS));
    let all = sockets(FLOWS);
    bed.load(&all);
    // Each has to be told again, all of them late.
    bed.wait(60_000);
    let loaded = bed.stats().counters.statements;
    let mut calls = 0;
    while bed.agent.poll_timeout().is_some_and(|due| due <= bed.now) {
        let before = bed.stats().counters.statements;
        bed.agent.handle_timeout(bed.now);
        bed.drain();
        let told = bed.stats().counters.statements - before;
        assert!(told <= 2 * 4_096, "{told} statements by one call");
        calls += 1;
        assert!(calls <= 60, "calls that do nothing");
    }
    assert!(calls > 4, "{calls}");
    let told = bed.stats().counters.statements - loaded;
    assert_eq!(told, 2 * u64::from(FLOWS), "each flow, to two trackers");
    let next = bed.agent.poll_timeout();
    assert!(next.is_some_and(|next| next > bed.now));
}

#[test]
fn no_handshake_timer_is_lost_however_many_are_due_at_once() {
    const FLOWS: u32 = 20_000;
    let mut bed = Bed::unready(wide(FLOWS));
    let mut all = sockets(FLOWS);
    for socket in &mut all {
        socket.state = SocketState::HalfOpen;
    }
    bed.load(&all);
    assert_eq!(bed.flows(), [FLOWS, 0, 0, 0]);
    bed.now = Time::from_nanos(bed.now.as_nanos() + 75_010_000_000);
    let mut calls = 0;
    while bed.agent.poll_timeout().is_some_and(|due| due <= bed.now) {
        bed.agent.handle_timeout(bed.now);
        bed.drain();
        calls += 1;
        assert!(calls <= 60, "calls that do nothing");
    }
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_no_handshake, u64::from(FLOWS));
}
