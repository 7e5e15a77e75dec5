//! Datagrams as they come in from the network, with and without a valid seal.

use super::script::Script;
use jlb_protocol::link::{Config, Link, MessageKey, MessageKeys, Opened, PeerAddress};
use jlb_protocol::{MemberState, NodeNumber, PacketBuf, Role, Time, wire};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 6081;

/// Plays a script of datagrams from one node to another.
///
/// A step is a byte that says what it is, and what it needs: 0 a raw datagram, 1 anything under a
/// valid seal, 2 the same again (a replay), 3 a restart of the receiver, 4 of the sender, 5 the Hello
/// of a stranger, 6 that a stranger becomes a peer, 7 that a peer is one no more, 8 a new life of the
/// receiver, and anything else a time that passes.
pub fn run(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut now = Time::from_millis(1);
    let mut sender = Node::new(1, 2, 1, now);
    let mut receiver = Node::new(2, 1, 1, now);
    greet(now, &mut sender, &mut receiver);
    let mut last = PacketBuf::default();
    while !script.is_over() {
        match script.byte() {
            0 => last.fill(script.chunk()),
            1 => {
                last.fill(script.chunk());
                sender.link.seal(receiver.node, PORT, &mut last).is_ok()
            }
            2 => true,
            3 => {
                receiver = Node::new(2, 1, receiver.incarnation + 1, now);
                false
            }
            4 => {
                sender = Node::new(1, 2, sender.incarnation + 1, now);
                false
            }
            5 => {
                let (number, incarnation) = (stranger(&mut script), script.byte().into());
                let mut stranger = Node::new(number, 2, incarnation, now);
                stranger.link.handle_timeout(now);
                if let Some((_, hello)) = stranger.link.poll_hello() {
                    receiver.take(now, stranger.address, &hello);
                    last = hello;
                }
                false
            }
            6 => {
                let number = stranger(&mut script);
                receiver.link.add_peer(now, peer(2, number));
                false
            }
            7 => {
                let number = script.byte() % STRANGERS;
                receiver.link.remove_peer(node(1 + u16::from(number)));
                false
            }
            8 => {
                receiver.incarnation += 1;
                receiver.link.renew(now, receiver.incarnation);
                false
            }
            exponent => {
                now = now + Duration::from_nanos(1 << (exponent % 40));
                greet(now, &mut sender, &mut receiver);
                false
            }
        };
        receiver.take(now, sender.address, &last);
    }
}

struct Node {
    node: NodeNumber,
    address: IpAddr,
    incarnation: u32,
    link: Link,
}

/// Numbers from 3 on that strangers have.
const STRANGERS: u8 = 32;

fn stranger(script: &mut Script<'_>) -> u16 {
    3 + u16::from(script.byte() % STRANGERS)
}

fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

fn peer(own: u16, number: u16) -> PeerAddress {
    PeerAddress {
        node: node(number),
        local: address(own),
        remote: address(number),
    }
}

fn address(number: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, number as u8))
}

impl Node {
    fn new(number: u16, other: u16, incarnation: u32, now: Time) -> Self {
        let key = MessageKey {
            id: 1,
            secret: [7; 16],
        };
        let config = Config {
            node: node(number),
            role: Role::FlowTracker,
            state: MemberState::Active,
            incarnation,
            worker: 0,
            keys: MessageKeys::new(key, Vec::new()),
            peers: vec![peer(number, other)],
            port: PORT,
            hello_interval: Duration::from_secs(1),
            view: 1,
            config: 1,
        };
        Self {
            node: node(number),
            address: address(number),
            incarnation,
            link: Link::new(config, u64::from(number), now),
        }
    }

    fn take(&mut self, now: Time, from: IpAddr, datagram: &PacketBuf) {
        let from = SocketAddr::new(from, PORT);
        let opened = self.link.open(now, from, self.address, datagram.as_slice());
        if let Ok(Opened::Message(_)) = opened
            && let Err(reason) = wire::decode(datagram.as_slice())
        {
            self.link.undecodable(reason);
        }
        while self.link.poll_event().is_some() {}
        assert_eq!(self.link.ledger().imbalance(), 0);
    }
}

/// Carries Hellos and their answers until there are no more.
fn greet(now: Time, one: &mut Node, other: &mut Node) {
    one.link.handle_timeout(now);
    other.link.handle_timeout(now);
    for _ in 0..4 {
        while let Some((_, hello)) = one.link.poll_hello() {
            other.take(now, one.address, &hello);
        }
        while let Some((_, hello)) = other.link.poll_hello() {
            one.take(now, other.address, &hello);
        }
    }
}
