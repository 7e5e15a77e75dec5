//! S1: per-connection consistency. The kernels say which host has a connection: while one has a live
//! socket for (flow, ISN), no other host's stack may get a packet of it.

use crate::kernel::{Kernel, Phase};
use crate::topology::UDP_IDLE;
use jlb_protocol::{FlowKey, NodeNumber, Time};

/// What is wrong with the delivery of a TCP packet of the life `isn` to the stack of `host`; gives
/// the host that has it and how, too. Only for the life that the client is in: what comes late of
/// one that it has left, or that answers what is left of it on some host, hurts nobody.
pub(crate) fn check_tcp<'a>(
    kernels: impl Iterator<Item = (NodeNumber, &'a Kernel)>,
    key: &FlowKey,
    isn: u32,
    is_left: bool,
    host: NodeNumber,
) -> Option<(NodeNumber, Phase, String)> {
    for (other, kernel) in kernels {
        let Some(sock) = kernel.socket(key).filter(|_| other != host && !is_left) else {
            continue;
        };
        if sock.isn == isn && sock.is_live() {
            let phase = sock.phase;
            let words = format!(
                "a packet of isn {isn:#010x} was delivered by host {host}, but host {other} has it, {phase:?}"
            );
            return Some((other, phase, words));
        }
    }
    None
}

/// What is wrong with the delivery of a packet of an open connection to the stack of `host`,
/// where the hosts that may own the connection are those that got a SYN of it and have not disowned it
/// since (R4).
pub(crate) fn check_mid_flow(got_syns: &[NodeNumber], host: NodeNumber) -> Option<String> {
    (!got_syns.contains(&host))
        .then(|| format!("host {host} delivers a packet of a connection that never began on it"))
}

/// What is wrong with the delivery of a datagram to the stack of `host`, where `before` is the host
/// of the flow's last delivery, and its time. A host that is idle for less than nine
/// tenths of the configured time still has the flow: its clock may be fast.
pub(crate) fn check_udp(
    now: Time,
    before: Option<(NodeNumber, Time)>,
    host: NodeNumber,
) -> Option<String> {
    let (other, last) = before?;
    (other != host && now.since(last) * 10 < UDP_IDLE * 9).then(|| {
        let millis = now.since(last).as_millis();
        format!("a datagram was delivered by host {host}, {millis} ms after one by host {other}")
    })
}
