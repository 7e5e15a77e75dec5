//! Two ingresses without trackers and hosts that obey the rules, on a network that loses, doubles and
//! reorders: no SYN is taken by two hosts, no owned flow is reset, and what can be taken is.

use super::{HOSTS, alone, syn};
use crate::testbed::*;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::Birth;
use jlb_protocol::message::{FlowKind, Intent, Reason};
use proptest::prelude::*;

/// A host: what it owns of the one flow, and which numbers it has rejected.
#[derive(Clone, Default)]
struct Host {
    owns: Option<Birth>,
    rejected: BTreeSet<u8>,
    has_room: bool,
}

/// A message under way, to a host, and what it answers back to the ingress.
#[derive(Clone)]
enum Flight {
    To(usize, Sent),
    Says(usize, Sent, Option<Birth>),
    Accepts(usize, Sent, Birth),
    Rejects(usize, Sent, Reason),
}

struct World {
    ingresses: [Bed; 2],
    hosts: BTreeMap<u16, Host>,
    flights: Vec<Flight>,
    births: u32,
    resets: usize,
}

impl World {
    fn new(rooms: u8, owner: Option<u16>) -> Self {
        let bed = |number| {
            let mut config = config();
            config.node = node(number);
            Bed::with(config, alone())
        };
        let host = |(at, number): (usize, u16)| {
            let host = Host {
                owns: (owner == Some(number)).then(|| birth(1, 1)),
                has_room: rooms >> at & 1 == 1,
                ..Host::default()
            };
            (number, host)
        };
        Self {
            ingresses: [bed(1), bed(2)],
            hosts: HOSTS.into_iter().enumerate().map(host).collect(),
            flights: Vec::new(),
            births: 1,
            resets: 0,
        }
    }

    fn owners(&self) -> usize {
        self.hosts.values().filter(|it| it.owns.is_some()).count()
    }

    /// Takes what the ingress sends; a reset is a promise that nobody has the flow.
    fn sent(&mut self, at: usize, drained: Drained) {
        let flights = drained.messages.into_iter();
        let flights = flights.filter(|sent| sent.kind != FlowKind::Data);
        self.flights
            .extend(flights.map(|sent| Flight::To(at, sent)));
        if !drained.answers.is_empty() {
            assert_eq!(self.owners(), 0, "S4: no live flow is ever reset by us");
            self.resets += drained.answers.len();
        }
    }

    fn pass(&mut self, span: u64) {
        for at in 0..2 {
            let drained = self.ingresses[at].pass(Duration::from_millis(span));
            self.sent(at, drained);
        }
    }

    fn packet(&mut self, at: usize, packet: &[u8]) {
        self.ingresses[at].verdict(packet);
        let drained = self.ingresses[at].drain();
        self.sent(at, drained);
    }

    fn arrives(&mut self, flight: Flight) {
        let (at, message) = match flight {
            Flight::To(at, sent) => return self.asks(at, sent),
            Flight::Says(at, who_has, life) => {
                self.ingresses[at].says(&who_has, life);
                let drained = self.ingresses[at].drain();
                return self.sent(at, drained);
            }
            Flight::Accepts(at, ref offer, life) => (at, accept(offer, offer.to.get(), life)),
            Flight::Rejects(at, ref offer, reason) => (at, reject(offer, reason)),
        };
        let mut message = message;
        message.path.ingress = Some(self.ingresses[at].config.node);
        let from = message.path.host.unwrap().get();
        self.ingresses[at].receive(from, message);
        let drained = self.ingresses[at].drain();
        self.sent(at, drained);
    }

    /// What a host does, by R4 to R7.
    fn asks(&mut self, at: usize, sent: Sent) {
        let host = self.hosts.get_mut(&sent.to.get()).unwrap();
        let flight = match (sent.kind, host.owns) {
            (FlowKind::WhoHas, owns) => Flight::Says(at, sent, owns),
            (_, Some(life)) => Flight::Accepts(at, sent, life),
            (_, None) if sent.intent == Intent::MidFlow => {
                Flight::Rejects(at, sent, Reason::NotOwner)
            }
            (_, None) if host.has_room && !host.rejected.contains(&sent.offer.step) => {
                self.births += 1;
                let life = birth(1, self.births);
                host.owns = Some(life);
                Flight::Accepts(at, sent, life)
            }
            (_, None) => {
                host.rejected.insert(sent.offer.step);
                Flight::Rejects(at, sent, Reason::Load)
            }
        };
        self.flights.push(flight);
        assert!(self.owners() <= 1, "S1: one SYN, one host");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Packet(usize, bool),
    Arrives(usize),
    Lost(usize),
    Doubled(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<usize>;
    prop_oneof![
        2 => (0_usize..2, prop::bool::weighted(0.7)).prop_map(|(at, syn)| Step::Packet(at, syn)),
        20 => any().prop_map(Step::Arrives),
        2 => any().prop_map(Step::Lost),
        2 => any().prop_map(Step::Doubled),
        3 => (0_u64..60).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn s1_s2_s3_s4_of_searches_without_trackers(
        steps in prop::collection::vec(step(), 1..200),
        rooms in 0_u8..16,
        owner in prop::option::weighted(0.3, prop::sample::select(&HOSTS[..])),
    ) {
        let mut world = World::new(rooms, owner);
        let later = tcp(101, ACK, b"x");
        for step in steps {
            let pick = |which: usize| which.checked_rem(world.flights.len());
            match step {
                Step::Packet(at, true) => world.packet(at, &syn()),
                // A client goes on once it has heard of a host.
                Step::Packet(at, false) if world.owners() > 0 => world.packet(at, &later),
                Step::Packet(_, false) => {}
                Step::Pass(span) => world.pass(span),
                Step::Arrives(which) => if let Some(at) = pick(which) {
                    let flight = world.flights.remove(at);
                    world.arrives(flight);
                },
                Step::Lost(which) => if let Some(at) = pick(which) {
                    world.flights.remove(at);
                },
                Step::Doubled(which) => if let Some(at) = pick(which) {
                    let flight = world.flights[at].clone();
                    world.flights.push(flight);
                },
            }
        }
        // Nothing is lost any more: S2, and S3 for a client that repeats.
        world.pass(1_100);
        world.flights.clear();
        world.resets = 0;
        world.packet(0, &syn());
        let mut deliveries = 0;
        while let Some(flight) = world.flights.pop() {
            world.arrives(flight);
            deliveries += 1;
            prop_assert!(deliveries < 64, "S2");
        }
        let can = owner.is_some() || rooms != 0;
        // A host with room may have rejected this number before it was asked by the other ingress.
        prop_assert_eq!(world.owners() + world.resets, 1);
        prop_assert!(can || world.resets == 1);
        for bed in &mut world.ingresses {
            bed.pass(Duration::from_secs(70));
            prop_assert_eq!((bed.check().pending, bed.check().flows), (0, 0), "S5");
        }
    }
}
