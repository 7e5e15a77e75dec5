use super::super::tests::{PORT, SOURCE, address, link, node, open, sealed, settle};
use super::*;
use crate::drop_reason::DropReason;
use crate::link::{EVENTS_PER_PEER, Event, MAX_STRANGERS, Opened};
use crate::view::MemberState;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use proptest::prelude::*;

fn at(own: u16, node_number: u16) -> PeerAddress {
    PeerAddress {
        node: node(node_number),
        local: address(own),
        remote: address(node_number),
    }
}

#[test]
fn a_peer_that_is_added_is_greeted_and_spoken_with() {
    let (mut a, mut d) = (link(1, 100), link(4, 400));
    let now = Time::from_millis(700);
    a.add_peer(now, at(1, 4));
    a.add_peer(now, at(1, 1));
    settle(now, &mut a, &mut d);
    assert_eq!(a.sessions().count(), 3);
    assert!(a.sessions().any(|peer| peer == (node(4), Some(400))));
    let message = sealed(&mut a, &d);
    let opened = open(now, &mut d, 1, message.as_slice());
    assert_eq!(opened, Ok(Opened::Message(node(1))));
}

#[test]
fn adding_a_peer_again_keeps_its_session_unless_it_moved() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    a.add_peer(Time::ZERO, at(1, 2));
    assert_eq!(a.sessions().next(), Some((node(2), Some(200))));
    let moved = PeerAddress {
        remote: address(9),
        ..at(1, 2)
    };
    a.add_peer(Time::ZERO, moved);
    assert_eq!(a.sessions().next(), Some((node(2), None)));
    assert_eq!(a.route(node(2)).unwrap().remote.ip(), address(9));
}

#[test]
fn a_peer_that_is_removed_is_neither_heard_nor_written_to() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let message = sealed(&mut b, &a);
    a.announce(Time::from_millis(10));
    a.handle_timeout(Time::from_millis(10));
    a.remove_peer(node(2));
    a.remove_peer(node(2));
    assert_eq!(
        open(Time::from_millis(10), &mut a, 2, message.as_slice()),
        Err(DropReason::UnknownSender)
    );
    let mut buf = crate::PacketBuf::default();
    let refused = a.seal(node(2), SOURCE, &mut buf);
    assert_eq!(refused, Err(DropReason::WrongNode));
    let greeted: Vec<_> = core::iter::from_fn(|| a.poll_hello())
        .map(|(route, _)| route.remote.ip())
        .collect();
    assert_eq!(greeted, [address(3)]);
}

#[test]
fn a_peer_that_comes_back_takes_nothing_twice_and_is_understood() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let old = sealed(&mut b, &a);
    let unread = sealed(&mut b, &a);
    assert!(open(Time::ZERO, &mut a, 2, old.as_slice()).is_ok());
    for _ in 0..5_000 {
        let _ = sealed(&mut a, &b);
    }
    let last = sealed(&mut a, &b);
    assert!(open(Time::ZERO, &mut b, 1, last.as_slice()).is_ok());
    a.remove_peer(node(2));
    let now = Time::from_millis(100);
    a.add_peer(now, at(1, 2));
    while a.poll_event().is_some() {}
    assert_eq!(
        open(now, &mut a, 2, old.as_slice()),
        Err(DropReason::Replayed)
    );
    assert_eq!(a.sessions().next(), Some((node(2), None)));
    assert_eq!(a.poll_event(), None);
    // What was never read is as good as new, and proves that the peer knows this life.
    assert!(open(now, &mut a, 2, unread.as_slice()).is_ok());
    settle(now, &mut a, &mut b);
    let started = |event| matches!(event, Event::PeerStarted { node: peer, incarnation: 200 } if peer == node(2));
    assert!(core::iter::from_fn(|| a.poll_event()).any(started));
    let new = sealed(&mut a, &b);
    assert!(open(now, &mut b, 1, new.as_slice()).is_ok());
}

#[test]
fn sessions_of_peers_that_are_gone_are_bounded() {
    let mut a = link(1, 100);
    for number in 10..1_500 {
        let mut other = link(number, 200);
        a.add_peer(Time::ZERO, at(1, number));
        settle(Time::ZERO, &mut a, &mut other);
        assert!(a.sessions().any(|peer| peer == (node(number), Some(200))));
        a.remove_peer(node(number));
        assert!(a.parked.len() <= MAX_PARKED);
    }
    assert_eq!(a.parked.len(), MAX_PARKED);
}

#[test]
fn nothing_sealed_for_the_last_life_is_read_in_the_next() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let (to_old, from_old) = (sealed(&mut b, &a), sealed(&mut a, &b));
    let later = Time::from_millis(120_000);
    a.renew(later, 150);
    assert_eq!(a.incarnation(), 150);
    assert_eq!(a.sessions().next(), Some((node(2), None)));
    assert_eq!(a.poll_event(), None);
    assert_eq!(
        open(later, &mut a, 2, to_old.as_slice()),
        Err(DropReason::StaleIncarnation)
    );
    let mut buf = crate::PacketBuf::default();
    assert_eq!(
        a.seal(node(2), SOURCE, &mut buf),
        Err(DropReason::NoSession)
    );
    settle(later, &mut a, &mut b);
    settle(later + Duration::from_millis(60), &mut a, &mut b);
    assert_eq!(a.sessions().next(), Some((node(2), Some(200))));
    assert_eq!(b.sessions().next(), Some((node(1), Some(150))));
    assert_eq!(
        open(later, &mut b, 1, from_old.as_slice()),
        Err(DropReason::StaleIncarnation)
    );
    let new = sealed(&mut a, &b);
    assert!(open(later, &mut b, 1, new.as_slice()).is_ok());
}

#[test]
fn a_life_never_has_an_earlier_number_than_the_one_before() {
    let mut a = link(1, 100);
    a.renew(Time::ZERO, 100);
    assert_eq!(a.incarnation(), 101);
    a.renew(Time::ZERO, 7);
    assert_eq!(a.incarnation(), 102);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Add(usize, u16),
    Remove(usize, u16),
    Move(usize, u16),
    Renew(usize),
    Announce(usize),
    Probe(usize, u16),
    Interval(usize, u16, u64),
    State(usize, MemberState),
    Seal(usize, u16),
    Deliver(usize),
    Replay(usize),
    Lose(usize),
    Poll(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (link, peer) = (0..3_usize, 1..6_u16);
    prop_oneof![
        1 => (0..300_u64).prop_map(Step::Wait),
        1 => (link.clone(), peer.clone()).prop_map(|(l, p)| Step::Add(l, p)),
        1 => (link.clone(), peer.clone()).prop_map(|(l, p)| Step::Remove(l, p)),
        1 => (link.clone(), peer.clone()).prop_map(|(l, p)| Step::Move(l, p)),
        1 => link.clone().prop_map(Step::Renew),
        1 => link.clone().prop_map(Step::Announce),
        1 => (link.clone(), peer.clone()).prop_map(|(l, p)| Step::Probe(l, p)),
        1 => (link.clone(), peer.clone(), 1..500_u64).prop_map(|(l, p, i)| Step::Interval(l, p, i)),
        1 => (link.clone(), 0..4_u8)
            .prop_map(|(l, s)| Step::State(l, MemberState::from_wire(s).unwrap())),
        1 => (link.clone(), peer).prop_map(|(l, p)| Step::Seal(l, p)),
        8 => (0..64_usize).prop_map(Step::Deliver),
        2 => (0..64_usize).prop_map(Step::Replay),
        1 => (0..64_usize).prop_map(Step::Lose),
        4 => link.prop_map(Step::Poll),
    ]
}

/// Links 1 to 3, and what is under way between them.
struct Net {
    now: Time,
    links: Vec<Link>,
    flying: Vec<(u16, SocketAddr, Vec<u8>)>,
    accepted: Vec<Vec<u8>>,
}

impl Net {
    fn deliver(&mut self, index: usize, keep: bool) {
        if self.flying.is_empty() {
            return;
        }
        let index = index % self.flying.len();
        let (from, to, bytes) = self.flying[index].clone();
        if !keep {
            self.flying.remove(index);
        }
        let Some(link) = self
            .links
            .iter_mut()
            .find(|link| address(link.config.node.get()) == to.ip())
        else {
            return;
        };
        let source = SocketAddr::new(address(from), to.port());
        if let Ok(Opened::Message(_)) = link.open(self.now, source, to.ip(), &bytes) {
            assert!(!self.accepted.contains(&bytes), "taken twice");
            self.accepted.push(bytes);
        }
    }

    fn take(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Wait(millis) => self.now = now + Duration::from_millis(millis),
            Step::Add(link, peer) => {
                let own = self.links[link].config.node.get();
                self.links[link].add_peer(now, at(own, peer));
            }
            Step::Remove(link, peer) => self.links[link].remove_peer(node(peer)),
            Step::Move(link, peer) => {
                let own = self.links[link].config.node.get();
                let moved = PeerAddress {
                    remote: address(peer % 3 + 1),
                    ..at(own, peer)
                };
                self.links[link].add_peer(now, moved);
            }
            Step::Renew(link) => self.links[link].renew(now, 0),
            Step::Announce(link) => self.links[link].announce(now),
            Step::Probe(link, peer) => self.links[link].probe(now, node(peer)),
            Step::Interval(link, peer, millis) => {
                self.links[link].set_interval(node(peer), Duration::from_millis(millis));
            }
            Step::State(link, state) => self.links[link].set_state(state),
            Step::Seal(link, peer) => {
                let mut buf = crate::PacketBuf::default();
                let ack = crate::message::Control::Ack { sequence: 1 };
                crate::wire::encode_control(&ack, &mut buf).unwrap();
                let from = self.links[link].config.node.get();
                if let Ok(route) = self.links[link].seal(node(peer), PORT, &mut buf) {
                    self.flying
                        .push((from, route.remote, buf.as_slice().to_vec()));
                }
            }
            Step::Deliver(index) => self.deliver(index, false),
            Step::Replay(index) => self.deliver(index, true),
            Step::Lose(index) => {
                if !self.flying.is_empty() {
                    let index = index % self.flying.len();
                    self.flying.remove(index);
                }
            }
            Step::Poll(link) => {
                let from = self.links[link].config.node.get();
                self.links[link].handle_timeout(now);
                while let Some((route, buf)) = self.links[link].poll_hello() {
                    self.flying
                        .push((from, route.remote, buf.as_slice().to_vec()));
                }
                while self.links[link].poll_event().is_some() {}
            }
        }
    }

    fn check(&self) {
        for link in &self.links {
            assert_eq!(link.ledger().imbalance(), 0);
            assert!(link.peers.is_sorted_by(|a, b| a.node < b.node));
            let due: Vec<_> = link
                .peers
                .iter()
                .map(|peer| (peer.next_hello, peer.node))
                .collect();
            assert!(due.iter().all(|entry| link.due.contains(entry)));
            assert_eq!(link.due.len(), due.len());
            let queued: Vec<_> = link
                .peers
                .iter()
                .filter(|peer| peer.queued)
                .map(|peer| peer.node)
                .collect();
            let mut outgoing: Vec<_> = link.outgoing.iter().copied().collect();
            outgoing.sort_unstable();
            assert_eq!(outgoing, queued);
            assert!(link.events.len() <= EVENTS_PER_PEER * 5 + MAX_STRANGERS);
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_books_balance_and_nothing_is_taken_twice(
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let links = vec![link(1, 100), link(2, 200), link(3, 300)];
        let mut net = Net { now: Time::ZERO, links, flying: Vec::new(), accepted: Vec::new() };
        for step in &steps {
            net.take(step);
            net.check();
        }
    }
}
