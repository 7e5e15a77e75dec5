//! Messages of any content from any node: nothing panics, the books balance, the bounds hold.

use crate::testbed::{
    Bed, HASH_KEY, TTL, dns, host, ingress, node, other_ingress, packet, tracker, web,
};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use jlb_protocol::message::{
    BucketDigest, Control, FlowKind, FlowMessage, FlowState, FlowStatement, Hunt, Intent, List,
    Listed, Path, Reason, ServiceLoad, Tried,
};
use jlb_protocol::view::Member;
use jlb_protocol::{
    Birth, FlowKey, MemberState, Message, NodeNumber, OfferNumber, ServiceNumber, View,
};
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
    State(NodeNumber, u64, Vec<FlowStatement>, Mark, Option<Listed>),
    Digest(NodeNumber, u64, BucketDigest),
    PeerView(NodeNumber, Mark),
    Life(NodeNumber),
    Load(NodeNumber, ServiceLoad),
    View(NodeNumber, MemberState),
    Pass(u16),
}

/// What a host says of whom it ranks.
#[derive(Clone, Copy, Debug)]
enum Mark {
    None,
    /// As this tracker does.
    Own,
    /// As one does that does not rank this tracker.
    Without,
    Other(u64),
}

impl Mark {
    fn of(self, bed: &Bed) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Own => Some(bed.fingerprint(1)),
            Self::Without => Some(bed.view_of(1).ranked_fingerprint(None)),
            Self::Other(fingerprint) => Some(fingerprint),
        }
    }
}

fn any_mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        2 => Just(Mark::None),
        4 => Just(Mark::Own),
        1 => Just(Mark::Without),
        1 => any::<u64>().prop_map(Mark::Other),
    ]
}

fn any_listed() -> impl Strategy<Value = Option<Listed>> {
    let listed = (any_bucket(), any_birth());
    prop::option::of(listed.prop_map(|(bucket, high_water)| Listed { bucket, high_water }))
}

/// Those of the flows of [`any_key`], or any.
fn any_bucket() -> impl Strategy<Value = u16> {
    let of_a_flow =
        any_key().prop_map(|key| jlb_protocol::bucket::bucket(HASH_KEY.flow_hash(&key)));
    prop_oneof![8 => of_a_flow, 1 => any::<u16>()]
}

fn any_digest() -> impl Strategy<Value = BucketDigest> {
    let one = (any_key(), any_birth()).prop_map(|(key, birth)| {
        let bucket = jlb_protocol::bucket::bucket(HASH_KEY.flow_hash(&key));
        let hash = jlb_protocol::bucket::flow_digest(&key, birth);
        (bucket, 1, hash)
    });
    let any = (any_bucket(), 0..3_u32, prop_oneof![Just(0), any::<u64>()]);
    (prop_oneof![one, any], any_birth()).prop_map(|((bucket, count, hash), high_water)| {
        BucketDigest {
            bucket,
            count,
            hash,
            high_water,
        }
    })
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
    let statement = (any_key(), any_birth(), 0..3_u32, state, any::<bool>()).prop_map(
        |(key, birth, isn, state, fresh)| FlowStatement {
            key,
            birth,
            isn,
            state,
            fresh,
        },
    );
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
        5 => (any_node(), sequence.clone(), any_state(), any_mark(), any_listed()).prop_map(
            |(from, sequence, flows, mark, listed)| {
                Happening::State(from, sequence, flows, mark, listed)
            }
        ),
        3 => (any_node(), sequence, any_digest())
            .prop_map(|(from, sequence, digest)| Happening::Digest(from, sequence, digest)),
        1 => (any_node(), any_mark()).prop_map(|(from, mark)| Happening::PeerView(from, mark)),
        1 => any_node().prop_map(Happening::Life),
        1 => (any_node(), any_load()).prop_map(|(from, load)| Happening::Load(from, load)),
        1 => (any_node(), state).prop_map(|(node, state)| Happening::View(node, state)),
        1 => any::<u16>().prop_map(Happening::Pass),
    ]
}

/// The view with a member in its next life.
fn with_next_life(view: &View, node: NodeNumber) -> View {
    let members = view.members().iter().map(|member| Member {
        incarnation: member.incarnation + u32::from(member.node == node),
        ..*member
    });
    View::new(members.collect())
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
                        hunt: Hunt::NONE,
                        reason: parts.reason,
                        load: 0,
                        packet: if parts.kind.fields().packet { &packet } else { &[] },
                    };
                    bed.hand(me, parts.from, &Message::Flow(message));
                }
                Happening::State(from, sequence, flows, mark, listed) => {
                    let control = Control::State {
                        sequence,
                        filled: mark.of(&bed),
                        listed,
                        flows: List::Values(&flows),
                    };
                    bed.hand(me, from, &Message::Control(control));
                }
                Happening::Digest(from, sequence, digest) => {
                    let buckets = List::Values(core::slice::from_ref(&digest));
                    let control = Control::Digest { sequence, buckets };
                    bed.hand(me, from, &Message::Control(control));
                }
                Happening::PeerView(from, mark) => {
                    if let Some(ranked) = mark.of(&bed) {
                        let now = bed.now;
                        let it = bed.trackers.get_mut(&me).unwrap();
                        it.handle_peer_view(now, from, ranked);
                    }
                }
                Happening::Life(node) => {
                    let view = with_next_life(bed.view_of(1), node);
                    bed.set_view(1, view);
                }
                Happening::Load(from, load) => bed.load_from(me, from, load),
                Happening::View(node, state) => bed.set_state(1, node, state),
                Happening::Pass(millis) => bed.pass(Duration::from_millis(millis.into())),
            }
            bed.wire.clear();
            let stats = bed.stats(1);
            prop_assert!(stats.flows <= u64::from(MAX_FLOWS));
            // The next life of a flow that has a record needs no room of its own.
            prop_assert!(stats.untrusted <= stats.flows);
            prop_assert!(stats.searches <= u64::from(MAX_SEARCHES));
            prop_assert!(stats.who_has <= u64::from(MAX_WHO_HAS));
            prop_assert!(stats.hosts_marked + stats.hosts_unmarked <= u64::from(HOSTS));
            // What is counted is what a walk over all records finds.
            prop_assert!(bed.trackers[&me].records.buckets_are_right());
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
