//! Random packets of a few flows, with everything between the two workers on its way for a while: what is forwarded
//! is never later than a lease, of a former generation, of a life that may have ended, or to a host or for a life that the
//! first worker did not have within the last lease.

use super::*;
use alloc::collections::VecDeque;
use jlb_protocol::message::FlowKind;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Packet {
        port: u16,
        what: u8,
    },
    /// The first worker handles what was handed on first.
    Handle,
    /// Its first answer arrives.
    Answer,
    /// What was asked last is accepted, by a host and for a life that the flow did not have.
    Accept {
        host: u16,
    },
    Pass(u64),
    View(bool),
    Expire,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..3_u16, 0..12_u8).prop_map(|(port, what)| Act::Packet { port, what }),
        6 => Just(Act::Handle),
        6 => Just(Act::Answer),
        3 => (21..25_u16).prop_map(|host| Act::Accept { host }),
        2 => (1..400_u64).prop_map(Act::Pass),
        1 => any::<bool>().prop_map(Act::View),
        1 => Just(Act::Expire),
    ]
}

enum Handed {
    Packet(Vec<u8>, Option<FlowKey>),
    Renew(FlowKey),
}

/// The longest that a shortcut holds.
const LEASE: Duration = Duration::from_secs(1);

/// What the test knows of a flow.
#[derive(Clone, Default)]
struct Known {
    /// What the first worker had for it, and when it had that last.
    had: Vec<(NodeNumber, Birth, Time)>,
    /// The number of the last packet that may begin or end a life.
    turned: u64,
    /// The shortcuts that arrived: number, when they were made, generation.
    arrived: Vec<(u64, Time, u32)>,
}

fn key_of(port: u16) -> FlowKey {
    FlowKey::new(ip(CLIENT4), 40_000 + port, service(WEB4), 80)
}

impl Known {
    fn note(&mut self, pair: &Pair, key: &FlowKey) {
        let Some(entry) = pair.bed.ingress.cache.get(key) else {
            return;
        };
        let (host, birth, now) = (entry.host, entry.birth, pair.bed.now);
        match self.had.last_mut() {
            Some(last) if (last.0, last.1) == (host, birth) => last.2 = now,
            _ => self.had.push((host, birth, now)),
        }
    }
}

fn place_of(key: &FlowKey) -> usize {
    (0..3).position(|port| *key == key_of(port)).unwrap()
}

/// A packet, and whether it may begin or end a life.
fn packet(port: u16, what: u8) -> (Vec<u8>, bool) {
    let (flags, turns) = match what {
        0 => (SYN, true),
        1 => (TcpFlags::FIN | ACK, true),
        2 => (TcpFlags::RST, true),
        _ => (ACK, false),
    };
    let seq = if flags == SYN { 5_000 } else { 101 };
    let from = (CLIENT4, 40_000 + port);
    (tcp_between(from, (VIP4, 80), seq, flags, b""), turns)
}

proptest! {
    #[test]
    fn a_forwarder_is_never_further_behind_than_it_may(
        acts in prop::collection::vec(act(), 1..200),
    ) {
        let mut pair = Pair::new();
        for port in 0..3 {
            let syn = tcp_between((CLIENT4, 40_000 + port), (VIP4, 80), 100, SYN, b"");
            pair.bed.accepted(&syn, 21, birth(9, 1));
        }
        pair.bed.drain();
        let mut known = vec![Known::default(); 3];
        let mut handed: VecDeque<(u64, Handed)> = VecDeque::new();
        let mut answers = VecDeque::new();
        let mut opens = vec![];
        let mut lives = 1;
        for act in acts {
            for (port, flow) in (0..).zip(&mut known) {
                flow.note(&pair, &key_of(port));
            }
            match act {
                Act::Packet { port, what } => {
                    let (bytes, turns) = packet(port, what);
                    let flow = &mut known[usize::from(port)];
                    let (step, buf) = pair.step(&bytes);
                    match step {
                        Step::Forward { to, renew, .. } => {
                            prop_assert!(!turns, "{:?}", what);
                            let now = pair.bed.now;
                            let sent = taken_apart(to, buf.as_slice());
                            let had = flow.had.iter().any(|&(host, birth, last)| {
                                (host, Some(birth)) == (to, sent.birth) && now.since(last) < LEASE
                            });
                            prop_assert!(had, "{:?} of {:?}", sent, flow.had);
                            let holds = flow.arrived.iter().any(|&(number, made, generation)| {
                                number > flow.turned
                                    && generation == pair.generation
                                    && now.since(made) < LEASE
                            });
                            prop_assert!(holds);
                            handed.extend(renew.map(|(key, number)| (number, Handed::Renew(key))));
                        }
                        Step::HandOn(HandOn { key, number, .. }) => {
                            if turns {
                                flow.turned = number;
                            }
                            handed.push_back((number, Handed::Packet(bytes, key)));
                        }
                    }
                }
                Act::Handle => match handed.pop_front() {
                    Some((number, Handed::Packet(bytes, key))) => {
                        let shortcut = pair.answer(&bytes, key);
                        let asked = pair.bed.drain().messages.into_iter();
                        opens.extend(asked.filter(|sent| sent.kind == FlowKind::Open));
                        answers.push_back((number, pair.bed.now, pair.generation, shortcut));
                    }
                    Some((number, Handed::Renew(key))) => {
                        let shortcut = pair.bed.ingress.shortcut(pair.bed.now, &key);
                        answers.push_back((number, pair.bed.now, pair.generation, shortcut));
                    }
                    None => {}
                },
                Act::Answer => {
                    if let Some((number, made, generation, Some(shortcut))) = answers.pop_front() {
                        pair.forwarder.install(pair.bed.now, number, generation, &shortcut);
                        let flow = &mut known[place_of(&shortcut.key)];
                        flow.arrived.push((number, made, generation));
                    }
                }
                Act::Accept { host } => {
                    if let Some(open) = opens.pop() {
                        lives += 1;
                        pair.bed.receive(open.to.get(), accept(&open, host, birth(9, lives)));
                        pair.bed.drain();
                    }
                }
                Act::Pass(millis) => pair.pass_millis(millis),
                Act::View(up) => {
                    let state = if up { MemberState::Active } else { MemberState::Down };
                    let trackers = [(11, MemberState::Active)];
                    pair.bed.sees(view_with(&trackers, &[(21, state)]));
                    pair.bed.drain();
                    pair.begin();
                }
                Act::Expire => pair.forwarder.expire(pair.bed.now),
            }
            prop_assert!(pair.forwarder.stats().shortcuts <= 3);
        }
    }
}
