//! Random packets, messages, views and times: nothing panics, books balance, bounds hold, and an
//! ingress that is left alone comes to rest.

use super::millis;
use crate::testbed::*;
use crate::{Packet, Verdict};
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use jlb_protocol::message::{
    FlowKind, FlowMessage, FlowState, FlowStatement, Hunt, Intent, Path, Reason, Tried,
};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{Birth, FlowKey, MemberState, NodeNumber, OfferNumber, PacketBuf};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Packet(Vec<u8>),
    /// The client of a flow that was accepted goes on.
    GoesOn(usize),
    Message {
        from: u16,
        message: Forged,
    },
    /// Answers one of the Opens sent so far.
    Answer {
        which: usize,
        kind: FlowKind,
        host: u16,
        life: u32,
    },
    /// A host gives a packet back that it was sent.
    GiveBack {
        which: usize,
        birth: bool,
    },
    /// A host states that flows from these ports are over, or in another state.
    State {
        from: u16,
        sequence: u64,
        ports: Vec<u16>,
        life: u32,
        state: FlowState,
    },
    /// A host answers one of the questions who has a flow.
    Says {
        which: usize,
        life: Option<u32>,
    },
    /// Every host that was asked has none of those flows.
    NobodyHasThem,
    /// A host answers one of the Offers that came straight from the ingress.
    Offered {
        which: usize,
        kind: FlowKind,
        life: u32,
    },
    View {
        trackers: Vec<(u16, MemberState)>,
        hosts: Vec<(u16, MemberState)>,
    },
    Settled(bool),
    Services(usize),
    Pass(u64),
    Drain,
}

#[derive(Clone, Debug)]
struct Forged {
    kind: FlowKind,
    key: FlowKey,
    offer: OfferNumber,
    intent: Intent,
    path: [u16; 4],
    birth: Option<u32>,
    reason: Reason,
    packet: Vec<u8>,
}

fn kind() -> impl Strategy<Value = FlowKind> {
    prop::sample::select(&FlowKind::ALL[..])
}

fn client_packet() -> impl Strategy<Value = Vec<u8>> {
    let tcp4 =
        (1_u16..12, 0_u32..4, any::<u8>(), 0_usize..1500).prop_map(|(port, seq, flags, len)| {
            let flags = TcpFlags::from_bits(flags);
            tcp_between((CLIENT4, port), (VIP4, 80), seq, flags, &vec![0; len])
        });
    let syn6 = (1_u16..12, 0_u32..3)
        .prop_map(|(port, seq)| tcp_between((CLIENT6, port), (VIP6, 80), seq, SYN, b""));
    let udp = (1_u16..12, 0_usize..600)
        .prop_map(|(port, len)| udp_between((CLIENT4, port), (VIP4, 53), &vec![0; len]));
    let error = (1_u16..12, any::<bool>()).prop_map(|(port, udp)| {
        let quoted = if udp {
            udp_between((VIP4, 53), (CLIENT4, port), b"x")
        } else {
            tcp_between((VIP4, 80), (CLIENT4, port), 5, ACK, b"x")
        };
        too_big(ROUTER4, VIP4, &quoted)
    });
    let whole =
        prop_oneof![4 => tcp4, 2 => syn6, 2 => udp, 1 => error, 1 => Just(ping(CLIENT4, VIP4))];
    let damaged = (
        whole.boxed(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        0_usize..8,
    )
        .prop_map(|(mut packet, at, byte, damage)| {
            let at = at.index(packet.len());
            match damage {
                0 => packet[at] = byte,
                1 => packet.truncate(at),
                _ => {}
            }
            packet
        });
    prop_oneof![9 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..80)]
}

fn forged() -> impl Strategy<Value = Forged> {
    let key = (1_u16..12, 1_u32..6)
        .prop_map(|(port, number)| FlowKey::new(ip(CLIENT4), port, service(number), 80));
    let offer = (0_u32..4, 0_u8..6).prop_map(|(isn, step)| OfferNumber { isn, step });
    let intent = prop::sample::select(&[Intent::Syn, Intent::MidFlow, Intent::Datagram][..]);
    let reason = prop::sample::select(&[Reason::NotOwner, Reason::Unknown, Reason::Load][..]);
    let path = [0_u16..3, 10..14, 10..14, 20..26];
    let birth = prop::option::of(0_u32..4);
    (
        kind(),
        key,
        offer,
        intent,
        path,
        birth,
        reason,
        client_packet(),
    )
        .prop_map(
            |(kind, key, offer, intent, path, birth, reason, packet)| Forged {
                kind,
                key,
                offer,
                intent,
                path,
                birth,
                reason,
                packet,
            },
        )
}

fn stated() -> impl Strategy<Value = Step> {
    (
        20_u16..26,
        0_u64..4,
        prop::collection::vec(1_u16..12, 0..6),
        0_u32..4,
        prop::sample::select(&[FlowState::Closed, FlowState::Established][..]),
    )
        .prop_map(|(from, sequence, ports, life, state)| Step::State {
            from,
            sequence,
            ports,
            life,
            state,
        })
}

fn member_state() -> impl Strategy<Value = MemberState> {
    use MemberState::{Active, Down, Draining, Joining};
    prop::sample::select(&[Active, Active, Active, Down, Draining, Joining][..])
}

/// Half of the views have no active tracker.
fn seen() -> impl Strategy<Value = Step> {
    let trackers = prop_oneof![
        prop::collection::vec((11_u16..15, member_state()), 0..4),
        prop::collection::vec((11_u16..15, Just(MemberState::Down)), 0..2),
    ];
    let hosts = prop::collection::vec((21_u16..25, member_state()), 0..4);
    (trackers, hosts).prop_map(|(trackers, hosts)| Step::View { trackers, hosts })
}

fn hosts_answer() -> impl Strategy<Value = Step> {
    let says = (any::<usize>(), prop::option::weighted(0.3, 0_u32..4))
        .prop_map(|(which, life)| Step::Says { which, life });
    let kinds = prop::sample::select(&[FlowKind::Accept, FlowKind::Reject][..]);
    let offered = (any::<usize>(), kinds, 0_u32..4).prop_map(|(which, kind, life)| Step::Offered {
        which,
        kind,
        life,
    });
    prop_oneof![2 => says, 1 => Just(Step::NobodyHasThem), 3 => offered]
}

fn step() -> impl Strategy<Value = Step> {
    let answer = |kind: BoxedStrategy<FlowKind>| {
        (any::<usize>(), kind, 21_u16..25, 0_u32..4).prop_map(|(which, kind, host, life)| {
            Step::Answer {
                which,
                kind,
                host,
                life,
            }
        })
    };
    prop_oneof![
        8 => client_packet().prop_map(Step::Packet),
        6 => any::<usize>().prop_map(Step::GoesOn),
        2 => (1_u16..30, forged()).prop_map(|(from, message)| Step::Message { from, message }),
        4 => answer(kind().boxed()),
        4 => answer(Just(FlowKind::Accept).boxed()),
        2 => (any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(which, birth)| Step::GiveBack { which, birth }),
        3 => stated(),
        6 => hosts_answer(),
        2 => seen(),
        1 => prop::bool::weighted(0.8).prop_map(Step::Settled),
        1 => (0_usize..5).prop_map(Step::Services),
        2 => (0_u64..5_000).prop_map(Step::Pass),
        3 => Just(Step::Drain),
    ]
}

/// The last messages that the ingress sent, and every Accept that it was given.
#[derive(Default)]
struct Seen {
    sent: Vec<Sent>,
    accepted: BTreeSet<(FlowKey, NodeNumber, Birth)>,
}

impl Seen {
    fn note(&mut self, messages: Vec<Sent>) {
        for message in &messages {
            if matches!(message.kind, FlowKind::Offer | FlowKind::WhoHas) {
                // R13: what goes straight to a host names it, and no tracker.
                let path = message.path;
                assert_eq!(
                    (path.host, path.primary, path.secondary),
                    (Some(message.to), None, None)
                );
                assert!(!message.tried.contains(&message.to), "{message:?}");
            }
            if message.kind == FlowKind::Data {
                // S1: a host gets only packets of lives that it has accepted.
                let life = (message.key, message.to, message.birth.unwrap());
                assert!(self.accepted.contains(&life), "{message:?}");
            }
        }
        self.sent.extend(messages);
        let excess = self.sent.len().saturating_sub(64);
        self.sent.drain(..excess);
    }

    fn told(&mut self, message: &FlowMessage<'_>) {
        if let (FlowKind::Accept, Some(host), Some(birth)) =
            (message.kind, message.path.host, message.birth)
        {
            self.accepted.insert((message.key, host, birth));
        }
    }

    fn of_kind(&self, kind: FlowKind, which: usize) -> Option<Sent> {
        let all: Vec<_> = self.sent.iter().filter(|sent| sent.kind == kind).collect();
        all.get(which.checked_rem(all.len())?)
            .map(|&sent| sent.clone())
    }
}

fn vip_of(key: &FlowKey) -> &'static str {
    if key.client().is_ipv4() { VIP4 } else { VIP6 }
}

/// A client's packet comes in.
fn comes(bed: &mut Bed, seen: &mut Seen, packet: &[u8]) {
    let mut batch = [Packet::new(PacketBuf::from_packet(packet))];
    bed.ingress.process(bed.now, &mut batch);
    let [done] = batch;
    assert_ne!(done.verdict, Verdict::Pending);
    if let Verdict::Forward { to, .. } = done.verdict {
        seen.note(vec![taken_apart(to, done.buf.as_slice())]);
    }
}

fn take(bed: &mut Bed, seen: &mut Seen, step: &Step) {
    match step {
        Step::Packet(packet) => comes(bed, seen, packet),
        Step::GoesOn(which) => {
            let lives: Vec<_> = seen.accepted.iter().collect();
            let Some(at) = which.checked_rem(lives.len()) else {
                return;
            };
            let (key, ..) = lives[at];
            let (client, vip) = (alloc::format!("{}", key.client()), vip_of(key));
            let (from, to) = ((&client[..], key.client_port()), (vip, key.vip_port()));
            let packet = if key.service() == service(WEB4) || key.service() == service(WEB6) {
                tcp_between(from, to, 1_000, ACK, b"more")
            } else {
                udp_between(from, to, b"more")
            };
            comes(bed, seen, &packet);
        }
        Step::Message { from, message } => {
            let [ingress, primary, secondary, host] = message.path.map(NodeNumber::new);
            let path = Path {
                ingress,
                primary,
                secondary,
                host,
            };
            let message = FlowMessage {
                kind: message.kind,
                key: message.key,
                offer: message.offer,
                intent: message.intent,
                path,
                birth: message.birth.map(|counter| birth(1, counter)),
                tried: Tried::NONE,
                hunt: Hunt::NONE,
                reason: message.reason,
                load: 0,
                packet: &message.packet,
            };
            seen.told(&message);
            bed.receive(*from, message);
        }
        Step::Answer {
            which,
            kind,
            host,
            life,
        } => {
            let Some(open) = seen.of_kind(FlowKind::Open, *which) else {
                return;
            };
            let message = accept(&open, *host, birth(1, *life));
            let message = FlowMessage {
                kind: *kind,
                ..message
            };
            seen.told(&message);
            bed.receive(open.to.get(), message);
        }
        Step::GiveBack { which, birth } => {
            let Some(data) = seen.of_kind(FlowKind::Data, *which) else {
                return;
            };
            let message = not_owner(&data);
            let birth = message.birth.filter(|_| *birth);
            bed.receive(data.to.get(), FlowMessage { birth, ..message });
        }
        Step::State {
            from,
            sequence,
            ports,
            life,
            state,
        } => {
            let flows: Vec<_> = ports
                .iter()
                .map(|&port| FlowStatement {
                    key: FlowKey::new(ip(CLIENT4), port, service(WEB4), 80),
                    birth: birth(1, *life),
                    isn: 0,
                    state: *state,
                    fresh: false,
                })
                .collect();
            let before = bed.check();
            bed.told(*from, *sequence, &flows);
            let after = bed.check();
            if *sequence != 0 {
                assert_eq!(after.pending, before.pending, "attempts go on");
            }
            assert_eq!(after.flows + after.closed, before.flows + before.closed);
        }
        Step::Says { which, life } => {
            if let Some(who_has) = seen.of_kind(FlowKind::WhoHas, *which) {
                bed.says(&who_has, life.map(|life| birth(1, life)));
            }
        }
        Step::NobodyHasThem => {
            let asked = seen.sent.iter();
            let asked = asked.filter(|sent| sent.kind == FlowKind::WhoHas);
            for who_has in asked.cloned().collect::<Vec<_>>() {
                bed.says(&who_has, None);
            }
        }
        Step::Offered { which, kind, life } => {
            let Some(offer) = seen.of_kind(FlowKind::Offer, *which) else {
                return;
            };
            let host = offer.to.get();
            let message = match kind {
                FlowKind::Accept => accept(&offer, host, birth(1, *life)),
                _ => reject(&offer, Reason::Load),
            };
            seen.told(&message);
            bed.receive(host, message);
        }
        Step::View { trackers, hosts } => bed.sees(view_with(trackers, hosts)),
        Step::Settled(settled) => bed.ingress.handle_settled(bed.now, *settled),
        Step::Services(left_out) => {
            let mut config = bed.config.clone();
            if *left_out < config.services.len() {
                config.services.remove(*left_out);
            }
            bed.ingress.handle_config(bed.now, config);
        }
        Step::Pass(span) => {
            let drained = bed.pass(millis(*span));
            seen.note(drained.messages);
        }
        Step::Drain => {
            let drained = bed.drain();
            seen.note(drained.messages);
        }
    }
    bed.check();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_panics_books_balance_bounds_hold_and_rest_comes(
        steps in prop::collection::vec(step(), 1..120),
        max_outbox in 0_usize..20,
        max_flows in 0_u32..12,
        max_who_has in 0_u32..40,
    ) {
        let mut config = config();
        config.limits.max_outbox = max_outbox;
        config.limits.max_flows = max_flows;
        config.limits.max_who_has = max_who_has;
        config.dead_host = Some(millis(500));
        config.limits.max_pending_bytes = 6_000;
        let mut bed = Bed::with(config, view());
        let mut seen = Seen::default();
        for step in &steps {
            take(&mut bed, &mut seen, step);
        }
        // S5 and S7: left alone, everything ends.
        seen.note(bed.drain().messages);
        seen.note(bed.pass(millis(130_000)).messages);
        let stats = bed.check();
        prop_assert_eq!((stats.flows, stats.pending, stats.pending_bytes), (0, 0, 0));
        prop_assert_eq!((stats.flows_unproven, stats.ledger.held), (0, 0));
        prop_assert_eq!(bed.ingress.poll_timeout(), None);
    }
}
