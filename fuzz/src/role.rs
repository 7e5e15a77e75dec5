//! A role that is driven by a script.

use super::script::Script;
use super::wire::encode;
use jlb_protocol::message::{FlowKind, Reason};
use jlb_protocol::view::{Member, MemberState};
use jlb_protocol::{
    Birth, Destination, Message, NodeNumber, PacketBuf, Role, Time, Transmit, View, packet, wire,
};
use std::time::Duration;

/// The nodes of the cluster: one ingress, three trackers, two hosts.
pub const NODES: [(u16, Role); 6] = [
    (1, Role::Ingress),
    (11, Role::FlowTracker),
    (12, Role::FlowTracker),
    (13, Role::FlowTracker),
    (21, Role::HostAgent),
    (22, Role::HostAgent),
];

/// The contract of a role, as far as a script needs it.
pub trait Driven {
    /// A message from another node.
    fn message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>);
    /// What comes from this machine: a client's packet, or news from the kernel.
    fn local(&mut self, now: Time, bytes: &[u8]);
    /// A change of the view.
    fn view(&mut self, now: Time, view: View);
    /// A timeout.
    fn timeout(&mut self, now: Time);
    /// When the next timeout is due.
    fn poll_timeout(&self) -> Option<Time>;
    /// The next thing to send.
    fn transmit(&mut self) -> Option<Transmit>;
    /// A buffer comes back.
    fn recycle(&mut self, buf: PacketBuf);
    /// What the books miss.
    fn imbalance(&self) -> i128;
}

/// The node with this number.
pub fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

/// The view in which the states of [`NODES`] are the two-bit digits of `states`.
pub fn view(states: u16) -> View {
    let members = NODES
        .iter()
        .zip(0..)
        .map(|(&(number, role), place)| Member {
            node: node(number),
            role,
            state: match states >> (2 * place) & 3 {
                0 => MemberState::Active,
                1 => MemberState::Draining,
                2 => MemberState::Joining,
                _ => MemberState::Down,
            },
            incarnation: 0,
            domain: None,
        });
    View::new(members.collect())
}

/// Plays a script.
///
/// A step is a byte that says what it is, and what it needs: 0 a message from a node, 1 something
/// from this machine, 2 an answer to the message sent last, 3 another view, 4 the next timeout, and
/// anything else a time that passes.
pub fn play(role: &mut impl Driven, bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut now = Time::from_millis(1);
    let mut last = None;
    drain(role, &mut last);
    while !script.is_over() {
        match script.byte() {
            0 => {
                let (from, _) = script.one_of(&NODES);
                if let Ok(message) = wire::decode(script.chunk()) {
                    role.message(now, node(from), &message);
                }
            }
            1 => role.local(now, script.chunk()),
            2 => answer(role, now, last.as_ref(), &mut script),
            3 => role.view(now, view(script.number())),
            4 => {
                now = role.poll_timeout().map_or(now, |due| due.max(now));
                role.timeout(now);
            }
            exponent => {
                now = now + Duration::from_nanos(1 << (exponent % 40));
                role.timeout(now);
            }
        }
        assert_eq!(role.imbalance(), 0);
        drain(role, &mut last);
        assert_eq!(role.imbalance(), 0);
    }
}

/// What was sent is a message or a packet; the last message is kept, to be answered.
fn drain(role: &mut impl Driven, last: &mut Option<Transmit>) {
    while let Some(transmit) = role.transmit() {
        let bytes = transmit.buf.as_slice();
        match transmit.to {
            Destination::Node(_) => {
                assert!(wire::decode(bytes).is_ok(), "{:?}", wire::decode(bytes));
                if let Some(Transmit { buf, .. }) = last.replace(transmit) {
                    role.recycle(buf);
                }
            }
            Destination::Stack => {
                assert!(packet::parse(bytes).is_ok());
                role.recycle(transmit.buf);
            }
        }
    }
}

/// The message sent last comes back from whom it was sent to, with changes: a byte for the kind, one
/// for the host in its path, one for the birth and one for the reason.
fn answer(role: &mut impl Driven, now: Time, last: Option<&Transmit>, script: &mut Script<'_>) {
    let Some(Transmit {
        to: Destination::Node(from),
        buf,
        ..
    }) = last
    else {
        return;
    };
    let Ok(mut message) = wire::decode(buf.as_slice()) else {
        return;
    };
    if let Message::Flow(flow) = &mut message {
        flow.kind = script.one_of(&FlowKind::ALL);
        if !flow.kind.fields().packet {
            flow.packet = &[];
        }
        let (host, _) = script.one_of(&NODES);
        flow.path.host = NodeNumber::new(host);
        flow.birth = Some(Birth {
            incarnation: 1,
            counter: script.byte().into(),
        });
        flow.reason = script.one_of(&[Reason::None, Reason::Load, Reason::NotOwner, Reason::Quota]);
    }
    // Through the wire, which leaves out what does not travel with its kind.
    let mut buf = PacketBuf::default();
    if encode(&message, &mut buf).is_ok()
        && let Ok(message) = wire::decode(buf.as_slice())
    {
        role.message(now, *from, &message);
    }
}
