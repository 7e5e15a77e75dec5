//! Random messages, dumps, events and time: whatever happens, the books balance, bounds hold, and
//! in the end nothing is left (S5, S6).

use crate::testbed::*;
use crate::{Config, DumpScope, Found, LookedUp, Socket, SocketState, Verdict};
use core::time::Duration;
use jlb_protocol::message::{Control, FlowKind, Intent};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::view::Member;
use jlb_protocol::{MemberState, Message, Time, View};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const MAX_FLOWS: u32 = 6;

const STATES: [MemberState; 4] = [
    MemberState::Joining,
    MemberState::Active,
    MemberState::Draining,
    MemberState::Down,
];

#[derive(Clone, Debug)]
enum Step {
    Offer {
        who: usize,
        isn: u32,
        step: u8,
        mid_flow: bool,
    },
    Data {
        who: usize,
        from: u16,
        flags: u8,
    },
    Icmp {
        who: usize,
    },
    WhoHas {
        who: usize,
    },
    Release {
        who: usize,
        counter: Option<u32>,
        isn: u32,
    },
    Ack {
        from: u16,
        sequence: u64,
    },
    Closed {
        who: usize,
        aborted: bool,
        cookie: u64,
    },
    Dump {
        began_ago: u64,
        scope: DumpScope,
        sockets: Vec<(usize, u64, u8)>,
    },
    /// The same in parts, between which anything happens.
    DumpBegins(u64, DumpScope),
    DumpPart(Vec<(usize, u64, u8)>),
    DumpEnds(u64),
    EventsLost,
    /// What waits for a look-up is asked for, and answered in some way, as of so long ago.
    LookUps(u64, Vec<(u64, u8)>),
    LookUpsFailed,
    /// Trackers, and ingress nodes with numbers below 10.
    View(Vec<u16>),
    /// Trackers in states and lives, and whether this host drains.
    Trackers(Vec<(u16, usize, u32)>, bool),
    Limit(Option<u32>),
    Full {
        from: u16,
        bucket: u16,
    },
    Wire(u16, u8),
    Health(u32, bool),
    Alone {
        who: usize,
        isn: u32,
    },
    Wait(u64),
    Garbage {
        kind: usize,
        packet: Vec<u8>,
    },
}

fn clients() -> Vec<Client> {
    let mut all: Vec<_> = (1..=6).map(client).collect();
    all.extend((1..=3).map(client6));
    all.extend((1..=3).map(udp_client));
    all
}

fn any_step() -> impl Strategy<Value = Step> {
    let who = 0..clients().len();
    prop_oneof![
        6 => (who.clone(), 0..3_u32, 1..4_u8, any::<bool>()).prop_map(
            |(who, isn, step, mid_flow)| Step::Offer { who, isn, step, mid_flow }
        ),
        6 => (who.clone(), 1..4_u16, any::<u8>()).prop_map(
            |(who, from, flags)| Step::Data { who, from, flags }
        ),
        1 => who.clone().prop_map(|who| Step::Icmp { who }),
        1 => who.clone().prop_map(|who| Step::WhoHas { who }),
        2 => (who.clone(), prop::option::of(0..8_u32), 0..3_u32).prop_map(
            |(who, counter, isn)| Step::Release { who, counter, isn }
        ),
        3 => (prop_oneof![1..3_u16, 10..14_u16], 0..6_u64).prop_map(
            |(from, sequence)| Step::Ack { from, sequence }
        ),
        4 => (who.clone(), any::<bool>(), 0..8_u64).prop_map(
            |(who, aborted, cookie)| Step::Closed { who, aborted, cookie }
        ),
        4 => (0..3_000_u64, scope(), prop::collection::vec((who.clone(), 0..8_u64, 0..3_u8), 0..12)).prop_map(
            |(began_ago, scope, sockets)| Step::Dump { began_ago, scope, sockets }
        ),
        2 => (0..3_000_u64, scope()).prop_map(|(ago, scope)| Step::DumpBegins(ago, scope)),
        3 => prop::collection::vec((who, 0..8_u64, 0..3_u8), 0..6).prop_map(Step::DumpPart),
        2 => (0..1_000_u64).prop_map(Step::DumpEnds),
        1 => Just(Step::EventsLost),
        6 => (prop_oneof![Just(0), 0..3_000_u64], prop::collection::vec((0..8_u64, 0..5_u8), 1..12)).prop_map(
            |(ago, found)| Step::LookUps(ago, found)
        ),
        1 => Just(Step::LookUpsFailed),
        1 => prop::collection::vec(prop_oneof![1..3_u16, 10..14_u16], 0..6).prop_map(Step::View),
        2 => (prop::collection::vec((10..14_u16, 0..4_usize, 0..3_u32), 0..5), any::<bool>())
            .prop_map(|(all, draining)| Step::Trackers(all, draining)),
        1 => prop::option::of(0..5_u32).prop_map(Step::Limit),
        1 => (9..14_u16, 0..260_u16).prop_map(|(from, bucket)| Step::Full { from, bucket }),
        1 => (10..14_u16, 0..4_u8).prop_map(|(node, wire)| Step::Wire(node, wire)),
        1 => (0..5_u32, any::<bool>()).prop_map(|(service, good)| Step::Health(service, good)),
        2 => (0..clients().len(), 0..3_u32).prop_map(|(who, isn)| Step::Alone { who, isn }),
        6 => prop_oneof![0..50_u64, 0..3_000_u64, 0..100_000_u64].prop_map(Step::Wait),
        1 => (0..FlowKind::ALL.len(), prop::collection::vec(any::<u8>(), 0..80)).prop_map(
            |(kind, packet)| Step::Garbage { kind, packet }
        ),
    ]
}

fn scope() -> impl Strategy<Value = DumpScope> {
    prop_oneof![Just(DumpScope::All), Just(DumpScope::Sockets)]
}

fn tight() -> Config {
    let mut config = config();
    config.limits.max_flows = MAX_FLOWS;
    config.limits.max_statements = 5;
    config.limits.max_rejects = 4;
    config.limits.max_outbox = 9;
    config
}

fn socket((who, cookie, state): (usize, u64, u8)) -> Socket {
    let state = match state {
        0 => SocketState::HalfOpen,
        1 => SocketState::Open,
        _ => SocketState::TimeWait,
    };
    clients()[who].socket(cookie, state)
}

/// Answers what is asked for, in turn as `found` says: a cookie and what there is.
fn look_up(bed: &mut Bed, began: Time, found: &[(u64, u8)]) {
    let asked = bed.agent.take_look_ups();
    assert!(asked.len() <= 64);
    let answers = asked.into_iter().zip(found.iter().cycle());
    let answers = answers.map(|(asked, &(cookie, state))| LookedUp {
        asked,
        found: match state {
            0 => Found::Unknown,
            1 => Found::Nothing,
            _ => {
                let socket = Socket {
                    local: asked.local,
                    remote: asked.remote,
                    cookie,
                    state: socket((0, 0, state - 2)).state,
                };
                let rest = (cookie > 0).then_some(Duration::from_secs(cookie * 20));
                Found::Socket { socket, rest }
            }
        },
    });
    let answers: Vec<_> = answers.collect();
    let cost = Duration::from_millis(1);
    bed.agent.handle_looked_up(bed.now, began, cost, &answers);
}

fn take(bed: &mut Bed, step: &Step) {
    match step {
        &Step::Offer {
            who,
            isn,
            step,
            mid_flow,
        } => {
            let client = clients()[who];
            let packet = match (client.service, mid_flow) {
                (2, _) => client.udp(b"?"),
                (_, true) => client.tcp(isn, TcpFlags::ACK),
                (_, false) => client.syn(isn),
            };
            let mut offer = bed.offer_message(client, &packet);
            offer.offer.step = step;
            if offer.path.primary.is_none() {
                offer.path.primary = Some(node(10));
            }
            let verdict = bed.handle(node(10), &Message::Flow(offer));
            check_delivery(bed, client, verdict);
        }
        &Step::Data { who, from, flags } => {
            let client = clients()[who];
            let packet = match client.service {
                2 => client.udp(b"?"),
                _ => client.tcp(7, TcpFlags::from_bits(flags)),
            };
            let mut data = message(FlowKind::Data, client.service, &packet);
            data.intent = Intent::MidFlow;
            let verdict = bed.handle(node(from), &Message::Flow(data));
            check_delivery(bed, client, verdict);
        }
        &Step::Icmp { who } => {
            let client = clients()[who % 6];
            let packet = client.icmp_error();
            let data = message(FlowKind::Data, client.service, &packet);
            let verdict = bed.handle(ingress(), &Message::Flow(data));
            check_delivery(bed, client, verdict);
        }
        &Step::WhoHas { who } => {
            let client = clients()[who];
            let packet = client.udp(b"?");
            let mut question = message(FlowKind::WhoHas, client.service, &packet);
            question.packet = &[];
            bed.handle(node(11), &Message::Flow(question));
        }
        &Step::Release { who, counter, isn } => {
            let client = clients()[who];
            let packet = client.udp(b"?");
            let mut release = message(FlowKind::Release, client.service, &packet);
            release.packet = &[];
            release.birth = counter.map(birth);
            release.offer.isn = isn;
            bed.handle(node(11), &Message::Flow(release));
        }
        &Step::Ack { from, sequence } => {
            bed.ack(node(from), sequence);
        }
        &Step::Closed {
            who,
            aborted,
            cookie,
        } => {
            let client = clients()[who];
            if aborted {
                bed.aborted(client, cookie);
            } else {
                bed.destroyed(client, cookie);
            }
        }
        Step::Dump {
            began_ago,
            scope,
            sockets,
        } => {
            let nanos = bed.now.as_nanos() - began_ago * 1_000_000;
            let sockets: Vec<_> = sockets.iter().copied().map(socket).collect();
            bed.dump_of(*scope, Time::from_nanos(nanos), &sockets);
        }
        &Step::DumpBegins(ago, scope) => {
            let began = Time::from_nanos(bed.now.as_nanos() - ago * 1_000_000);
            bed.agent.begin_sockets(bed.now, began, scope);
        }
        Step::DumpPart(sockets) => {
            let sockets: Vec<_> = sockets.iter().copied().map(socket).collect();
            bed.agent.handle_part(bed.now, &sockets);
        }
        &Step::DumpEnds(cost) => {
            bed.agent.end_sockets(bed.now, Duration::from_millis(cost));
        }
        Step::EventsLost => bed.agent.handle_events_lost(bed.now),
        Step::LookUps(ago, found) => {
            let began = Time::from_nanos(bed.now.as_nanos() - ago * 1_000_000);
            look_up(bed, began, found);
        }
        Step::LookUpsFailed => bed.agent.handle_look_ups_failed(),
        Step::View(trackers) => {
            bed.view = view(trackers);
            bed.agent.handle_view(bed.now, bed.view.clone());
        }
        Step::Trackers(all, draining) => {
            let all: Vec<_> = all
                .iter()
                .map(|&(number, state, life)| (number, STATES[state], life))
                .collect();
            let state = STATES[if *draining { 2 } else { 1 }];
            let members = trackers(&all);
            let members = members.members().iter().map(|&member| Member {
                state: if member.node == me() {
                    state
                } else {
                    member.state
                },
                ..member
            });
            bed.see(View::new(members.collect()));
        }
        &Step::Full { from, bucket } => {
            let full = Control::SendFull { bucket };
            bed.handle(node(from), &Message::Control(full));
        }
        &Step::Wire(number, wire) => bed.agent.handle_peer_wire(bed.now, node(number), wire),
        &Step::Health(number, good) => {
            if number > 0 {
                bed.agent.set_health(bed.now, service(number), good);
            }
        }
        &Step::Alone { who, isn } => {
            let client = clients()[who];
            let packet = match client.service {
                2 => client.udp(b"?"),
                _ => client.syn(isn),
            };
            let mut offer = bed.offer_message(client, &packet);
            offer.path.primary = None;
            offer.path.secondary = None;
            let verdict = bed.handle(ingress(), &Message::Flow(offer));
            check_delivery(bed, client, verdict);
        }
        Step::Limit(limit) => {
            let mut config = tight();
            if let Some(limit) = *limit {
                limit_connections(&mut config, limit);
            }
            bed.agent.handle_config(bed.now, config);
        }
        &Step::Wait(millis) => {
            bed.now = bed.now + Duration::from_millis(millis);
            bed.agent.handle_timeout(bed.now);
        }
        Step::Garbage { kind, packet } => {
            let syn = client(1).syn(1);
            let mut garbage = message(FlowKind::ALL[*kind], 1, &syn);
            garbage.packet = packet;
            garbage.path = bed.path(client(1));
            bed.handle(node(12), &Message::Flow(garbage));
        }
    }
}

/// What is delivered is owned: it would be delivered again.
fn check_delivery(bed: &Bed, client: Client, verdict: Verdict) {
    let owned = bed.agent.flows.owned(&client.key()).is_some();
    assert!(verdict != Verdict::Deliver || owned);
}

fn check_bounds(bed: &Bed) {
    bed.check();
    let flows: u32 = bed.flows().iter().sum();
    assert!(flows <= MAX_FLOWS);
    let told = bed.view.members().len() - 1;
    assert!(bed.stats().statements_pending <= told * 2 * 5);
    if let Some(next) = bed.agent.poll_timeout()
        && next <= bed.now
    {
        // A walk may need more calls: what is sent makes room for more.
        let mut again = bed.clone();
        let is_done = |later: Option<Time>| later.is_none_or(|later| later > bed.now);
        let calls = (0..20).find(|_| {
            again.agent.handle_timeout(again.now);
            is_done(again.agent.poll_timeout())
        });
        assert!(calls.is_some(), "busy loop");
    }
}

proptest! {
    #[test]
    fn books_balance_bounds_hold_and_in_the_end_nothing_is_left(
        looks in any::<bool>(),
        steps in prop::collection::vec(any_step(), 1..120)
    ) {
        let mut bed = Bed::unready(tight());
        if looks {
            bed.agent.expect_look_ups();
        }
        for step in &steps {
            take(&mut bed, step);
            check_bounds(&bed);
            bed.drain();
        }
        // Everything closes: no sockets, no packets, trackers and ingress nodes that answer; lists tell it, or
        // look-ups, with few of them.
        bed.view = view(&[1, 2, 10, 11, 12]);
        bed.agent.handle_view(bed.now, bed.view.clone());
        for round in 0..180 {
            bed.run_acked(1_001);
            if looks && bed.agent.is_ready() && round % 30 > 0 {
                let now = bed.now;
                look_up(&mut bed, now, &[(0, 1)]);
            } else {
                bed.dump(&[]);
            }
        }
        bed.run_acked(2_000);
        prop_assert_eq!(bed.flows(), [0; 4]);
        let stats = bed.stats();
        prop_assert_eq!(stats.statements_pending, 0);
        prop_assert!(stats.services.iter().all(|one| one.connections == 0));
        prop_assert_eq!(bed.agent.flows.unproven(), 0);
        if looks {
            prop_assert_eq!(bed.agent.poll_look_ups(), None);
            return Ok(());
        }
        prop_assert_eq!(bed.agent.poll_dump(), Some(Time::from_nanos(bed.now.as_nanos() - 2_000_000_000) + Duration::from_secs(10)));
    }
}
