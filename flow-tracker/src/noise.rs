//! Messages of any content from any node: nothing panics, the books balance, the bounds hold.

use crate::testbed::{Bed, TTL, dns, host, ingress, node, other_ingress, packet, tracker, web};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use jlb_protocol::message::{
    Control, FlowKind, FlowMessage, FlowState, FlowStatement, Intent, List, Path, Reason,
    ServiceLoad, Tried,
};
use jlb_protocol::{Birth, FlowKey, MemberState, Message, NodeNumber, OfferNumber, ServiceNumber};
use proptest::prelude::*;

const HOSTS: u16 = 4;
const MAX_FLOWS: u32 = 12;
const MAX_UNTRUSTED: u32 = 6;
const MAX_SEARCHES: u32 = 4;
const MAX_WHO_HAS: u32 = 3;
const MAX_OUTBOX: usize = 8;

#[derive(Clone, Debug)]
enum Happening {
    Flow(FlowParts),
    State(NodeNumber, u64, Vec<FlowStatement>),
    Load(NodeNumber, ServiceLoad),
    View(NodeNumber, MemberState),
    Pass(u16),
}

#[derive(Clone, Debug)]
struct FlowParts {
    from: NodeNumber,
    kind: FlowKind,
    key: FlowKey,
    offer: OfferNumber,
    intent: Intent,
    path: Path,
    birth: Option<Birth>,
    tried: Vec<NodeNumber>,
    reason: Reason,
}

fn any_node() -> impl Strategy<Value = NodeNumber> {
    prop_oneof![
        3 => Just(ingress()),
        1 => Just(other_ingress()),
        6 => (1..4_u16).prop_map(tracker),
        6 => (1..=HOSTS).prop_map(host),
        1 => (500..503_u16).prop_map(node),
    ]
}

fn any_path() -> impl Strategy<Value = Path> {
    let right = (
        1..3_u16,
        prop::option::of(1..4_u16),
        prop::option::of(1..=HOSTS),
    )
        .prop_map(|(primary, secondary, chosen)| Path {
            ingress: Some(ingress()),
            primary: Some(tracker(primary)),
            secondary: secondary.map(tracker),
            host: chosen.map(host),
        });
    let any = || prop::option::of(any_node());
    let wild = (any(), any(), any(), any()).prop_map(|(ingress, primary, secondary, host)| Path {
        ingress,
        primary,
        secondary,
        host,
    });
    prop_oneof![3 => right, 1 => wild]
}

fn any_key() -> impl Strategy<Value = FlowKey> {
    let unknown = ServiceNumber::new(77).unwrap();
    let service = prop_oneof![6 => Just(web()), 2 => Just(dns()), 1 => Just(unknown)];
    (1..20_u16, service)
        .prop_map(|(port, service)| FlowKey::new(Ipv4Addr::LOCALHOST.into(), port, service, 80))
}

fn any_birth() -> impl Strategy<Value = Birth> {
    (1..3_u32, 0..4_u32).prop_map(|(incarnation, counter)| Birth {
        incarnation,
        counter,
    })
}

fn any_intent() -> impl Strategy<Value = Intent> {
    prop_oneof![
        4 => Just(Intent::Syn),
        2 => Just(Intent::MidFlow),
        1 => Just(Intent::Datagram),
    ]
}

fn any_flow() -> impl Strategy<Value = FlowParts> {
    let kind = prop::sample::select(FlowKind::ALL.to_vec());
    let reason = prop_oneof![
        Just(Reason::Load),
        Just(Reason::NotOwner),
        Just(Reason::Quota),
        Just(Reason::Unknown),
    ];
    (
        (any_node(), kind, any_key(), (0..3_u32, 0..=TTL)),
        (any_intent(), any_path(), prop::option::of(any_birth())),
        (prop::collection::vec(any_node(), 0..4), reason),
    )
        .prop_map(
            |((from, kind, key, (isn, step)), (intent, path, birth), (tried, reason))| FlowParts {
                from,
                kind,
                key,
                offer: OfferNumber { isn, step },
                intent,
                path,
                birth,
                tried,
                reason,
            },
        )
}

fn any_state() -> impl Strategy<Value = Vec<FlowStatement>> {
    let state = prop_oneof![
        Just(FlowState::Accepted),
        Just(FlowState::Established),
        Just(FlowState::Closing),
        Just(FlowState::Closed),
        Just(FlowState::NotMine),
    ];
    let statement =
        (any_key(), any_birth(), 0..3_u32, state).prop_map(|(key, birth, isn, state)| {
            FlowStatement {
                key,
                birth,
                isn,
                state,
            }
        });
    prop::collection::vec(statement, 0..5)
}

fn any_load() -> impl Strategy<Value = ServiceLoad> {
    (any_key(), any::<(u32, u32, u16)>()).prop_map(|(key, (connections, room, load))| ServiceLoad {
        service: key.service(),
        connections,
        room,
        load,
        healthy: true,
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let state = prop_oneof![
        Just(MemberState::Joining),
        Just(MemberState::Active),
        Just(MemberState::Draining),
        Just(MemberState::Down),
    ];
    let sequence = prop_oneof![3 => 0..4_u64, 1 => any::<u64>()];
    prop_oneof![
        20 => any_flow().prop_map(Happening::Flow),
        5 => (any_node(), sequence, any_state())
            .prop_map(|(from, sequence, flows)| Happening::State(from, sequence, flows)),
        1 => (any_node(), any_load()).prop_map(|(from, load)| Happening::Load(from, load)),
        1 => (any_node(), state).prop_map(|(node, state)| Happening::View(node, state)),
        1 => any::<u16>().prop_map(Happening::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_said_the_books_balance_and_the_bounds_hold(
        happenings in prop::collection::vec(happening(), 1..200),
        trackers in 1..4_u16,
    ) {
        let mut bed = Bed::with(trackers, HOSTS, |config| {
            config.limits.max_flows = MAX_FLOWS;
            config.limits.max_untrusted = MAX_UNTRUSTED;
            config.limits.max_searches = MAX_SEARCHES;
            config.limits.max_who_has = MAX_WHO_HAS;
            config.limits.max_outbox = MAX_OUTBOX;
        });
        let me = tracker(1);
        for happening in happenings {
            match happening {
                Happening::Flow(parts) => {
                    let packet = packet(&parts.key, parts.intent, parts.offer.isn);
                    let mut tried = Tried::NONE;
                    for node in &parts.tried {
                        tried.push(*node);
                    }
                    let message = FlowMessage {
                        kind: parts.kind,
                        key: parts.key,
                        offer: parts.offer,
                        intent: parts.intent,
                        path: parts.path,
                        birth: parts.birth,
                        tried,
                        reason: parts.reason,
                        load: 0,
                        packet: if parts.kind.fields().packet { &packet } else { &[] },
                    };
                    bed.hand(me, parts.from, &Message::Flow(message));
                }
                Happening::State(from, sequence, flows) => {
                    let flows = List::Values(&flows);
                    let control = Control::State {
 sequence,
 filled: None,
 listed: None,
 flows };
                    bed.hand(me, from, &Message::Control(control));
                }
                Happening::Load(from, load) => bed.load_from(me, from, load),
                Happening::View(node, state) => {
                    bed.view = crate::testbed::view_with(&bed.view, node, state);
                    let (now, view) = (bed.now, bed.view.clone());
                    bed.trackers.get_mut(&me).unwrap().handle_view(now, view);
                }
                Happening::Pass(millis) => bed.pass(Duration::from_millis(millis.into())),
            }
            bed.wire.clear();
            let stats = bed.stats(1);
            prop_assert!(stats.flows <= u64::from(MAX_FLOWS));
            // The next life of a flow that has a record needs no room of its own.
            prop_assert!(stats.untrusted <= stats.flows);
            prop_assert!(stats.searches <= u64::from(MAX_SEARCHES));
            prop_assert!(stats.who_has <= u64::from(MAX_WHO_HAS));
        }
        // S5: left alone, everything ends.
        for _ in 0..3 {
            bed.pass(Duration::from_secs(61));
        }
        let stats = bed.stats(1);
        prop_assert_eq!((stats.flows, stats.untrusted), (0, 0));
        prop_assert_eq!((stats.searches, stats.who_has), (0, 0));
        prop_assert_eq!(bed.trackers[&me].poll_timeout(), None);
    }
}
