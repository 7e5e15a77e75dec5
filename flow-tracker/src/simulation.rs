//! Random runs of trackers, hosts and ingresses over a network that loses, doubles, delays and
//! reorders. Hosts and ingresses are models, much simpler than the real ones.

use crate::config::{Config, Overload};
use crate::testbed::{
    Bed, FlowSent, Sent, TTL, host, ingress, not_mine, open, packet, statement, tracker, web,
};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowState, FlowStatement, Intent, Reason, ServiceLoad};
use jlb_protocol::{Birth, FlowKey, NodeNumber, OfferNumber, Role};
use proptest::prelude::*;

mod host;

use host::Host;

const HOSTS: u16 = 5;
const TRACKERS: u16 = 3;
const FLOWS: usize = 3;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Accepted(NodeNumber, Birth),
    Refused(Reason),
}

/// What the ingress asks for a flow.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    isn: u32,
    intent: Intent,
    outcome: Option<Outcome>,
}

#[derive(Clone, Debug)]
enum Mail {
    Flow(FlowSent),
    State {
        from: NodeNumber,
        to: NodeNumber,
        sequence: u64,
        flows: Vec<FlowStatement>,
    },
    Ack {
        from: NodeNumber,
        to: NodeNumber,
        sequence: u64,
    },
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(it) => {
                let OfferNumber { isn, step } = it.offer;
                let host = it.path.host.map_or(0, NodeNumber::get);
                let port = it.key.client_port();
                write!(f, "{} -> {} {:?} {:?} ", it.from, it.to, it.kind, it.intent)?;
                write!(f, "port {port} isn {isn} step {step} host {host}")
            }
            Self::State {
                from,
                to,
                sequence,
                flows,
            } => {
                write!(f, "{from} -> {to} State {sequence}")?;
                flows.iter().try_for_each(|it| {
                    let (port, birth) = (it.key.client_port(), it.birth.counter);
                    write!(f, ", port {port} isn {} {:?} {birth}", it.isn, it.state)
                })
            }
            Self::Ack { from, to, sequence } => write!(f, "{from} -> {to} Ack {sequence}"),
        }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Attempt(usize),
    MidFlow(usize),
    Repeat(usize),
    Deliver(usize),
    Double(usize),
    Lose(usize),
    Full(u16, bool),
    Sockets(u16, bool),
    Establish(u16, usize),
    Close(u16, usize),
    State(u16),
    Load(u16),
    Restart(u16),
    Pass(u16),
}

/// What a run may do.
#[derive(Clone, Copy, Debug)]
struct Freedom {
    /// One attempt a flow, no mid-flow packets, no closes.
    single: bool,
    restart: bool,
}

struct World {
    bed: Bed,
    hosts: BTreeMap<NodeNumber, Host>,
    attempts: BTreeMap<FlowKey, Attempt>,
    keys: Vec<FlowKey>,
    mail: VecDeque<Mail>,
    isns: u32,
    restarts: u32,
    overload: Overload,
    hunts: bool,
    /// What was delivered, to be shown when a run fails.
    log: Vec<String>,
}

impl World {
    fn new(overload: Overload, hunts: bool) -> Self {
        let bed = Bed::with(TRACKERS, HOSTS, |config| {
            configure(config, overload, hunts);
        });
        let keys = (0..FLOWS).map(|nth| bed.flow(nth)).collect();
        let hosts = (1..=HOSTS).map(|number| (host(number), Host::default()));
        Self {
            hosts: hosts.collect(),
            attempts: BTreeMap::new(),
            keys,
            mail: VecDeque::new(),
            isns: 0,
            restarts: 0,
            log: Vec::new(),
            bed,
            overload,
            hunts,
        }
    }

    fn collect(&mut self, from: NodeNumber) {
        while let Some(sent) = self.bed.wire.pop_front() {
            self.mail.push_back(match sent {
                Sent::Flow(sent) => Mail::Flow(sent),
                Sent::Ack { to, sequence } => Mail::Ack { from, to, sequence },
                Sent::SendFull { .. } => continue,
            });
        }
    }

    fn ask(&mut self, key: FlowKey) {
        let Some(attempt) = self.attempts.get(&key).copied() else {
            return;
        };
        if attempt.outcome.is_some() {
            return;
        }
        let packet = packet(&key, attempt.intent, attempt.isn);
        let (to, from) = (tracker(1), ingress());
        let message = open(to, from, &key, attempt.intent, attempt.isn, &packet);
        self.mail.push_back(Mail::Flow(FlowSent {
            from,
            to,
            kind: message.kind,
            key,
            offer: message.offer,
            intent: message.intent,
            path: message.path,
            birth: None,
            tried: message.tried,
            hunt: message.hunt,
            reason: message.reason,
            packet,
        }));
    }

    fn attempt(&mut self, key: FlowKey, intent: Intent) {
        self.isns += 1;
        let attempt = Attempt {
            isn: self.isns,
            intent,
            outcome: None,
        };
        self.attempts.insert(key, attempt);
        self.ask(key);
    }

    fn step(&mut self, step: Step, freedom: Freedom) {
        let at = |place: usize, len: usize| place % len.max(1);
        match step {
            Step::Attempt(flow) => {
                let key = self.keys[at(flow, FLOWS)];
                if !freedom.single || !self.attempts.contains_key(&key) {
                    self.attempt(key, Intent::Syn);
                }
            }
            Step::MidFlow(flow) => {
                let key = self.keys[at(flow, FLOWS)];
                let opened = self
                    .attempts
                    .get(&key)
                    .is_some_and(|it| it.outcome.is_some());
                if !freedom.single && opened {
                    self.attempt(key, Intent::MidFlow);
                }
            }
            Step::Repeat(flow) => self.ask(self.keys[at(flow, FLOWS)]),
            Step::Deliver(place) => {
                if let Some(mail) = self.mail.remove(at(place, self.mail.len())) {
                    self.deliver(mail);
                }
            }
            Step::Double(place) => {
                if let Some(mail) = self.mail.get(at(place, self.mail.len())).cloned() {
                    self.deliver(mail);
                }
            }
            Step::Lose(place) => {
                self.mail.remove(at(place, self.mail.len()));
            }
            Step::Full(number, full) => self.host(number).full = full,
            Step::Sockets(number, sockets) => self.host(number).sockets = sockets,
            Step::Establish(number, flow) => {
                let key = self.keys[at(flow, FLOWS)];
                if let Some(owned) = self.host(number).owned.get_mut(&key) {
                    owned.state = FlowState::Established;
                }
            }
            Step::Close(number, flow) => {
                let key = self.keys[at(flow, FLOWS)];
                if !freedom.single {
                    self.host(number).end(key);
                }
            }
            Step::State(number) => self.state(number),
            Step::Load(number) => self.load(number),
            Step::Restart(number) => {
                if freedom.restart && self.restarts == 0 {
                    self.log
                        .push(format!("restart of {}", tracker(1 + number % 2)));
                    self.restarts += 1;
                    let tracker = tracker(1 + number % 2);
                    self.bed.restart(tracker, HOSTS);
                    let mut config = crate::testbed::config(tracker, HOSTS);
                    configure(&mut config, self.overload, self.hunts);
                    let (now, it) = (self.bed.now, self.bed.trackers.get_mut(&tracker));
                    it.unwrap().handle_config(now, config);
                }
            }
            Step::Pass(millis) => self.pass(u64::from(millis % 10)),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.bed.pass(Duration::from_millis(millis));
        self.collect(tracker(1));
    }

    fn host(&mut self, number: u16) -> &mut Host {
        self.hosts.get_mut(&host(1 + number % HOSTS)).unwrap()
    }

    /// The host reports its room to all trackers.
    fn load(&mut self, number: u16) {
        let full = self.host(number).full;
        let load = ServiceLoad {
            service: web(),
            connections: 1,
            room: if full { 0 } else { 2 },
            load: number,
            healthy: true,
        };
        for to in (1..=TRACKERS).map(tracker) {
            self.bed.load_from(to, host(1 + number % HOSTS), load);
            self.collect(to);
        }
    }

    /// The host states all of its flows, and what has closed, to the top two.
    fn state(&mut self, number: u16) {
        let from = host(1 + number % HOSTS);
        for to in [tracker(1), tracker(2)] {
            let it = self.hosts.get_mut(&from).unwrap();
            let open: Vec<_> = it
                .owned
                .iter()
                .map(|(key, owned)| statement(key, owned.birth, owned.isn, owned.state))
                .collect();
            let channel = it.channels.entry(to).or_default();
            if channel.in_flight.is_none() {
                let mut flows = core::mem::take(&mut channel.closed);
                flows.extend(open);
                if flows.is_empty() {
                    continue;
                }
                channel.sequence += 1;
                channel.in_flight = Some(flows);
            }
            let sequence = channel.sequence;
            let flows = channel.in_flight.clone().unwrap();
            self.mail.push_back(Mail::State {
                from,
                to,
                sequence,
                flows,
            });
        }
    }

    fn deliver(&mut self, mail: Mail) {
        self.log.push(mail.to_string());
        match mail {
            Mail::State {
                from,
                to,
                sequence,
                flows,
            } => {
                self.bed.state_from(to, from, sequence, &flows);
                self.collect(to);
            }
            Mail::Ack { from, to, sequence } => {
                let it = self.hosts.get_mut(&to).unwrap();
                let channel = it.channels.entry(from).or_default();
                if sequence == channel.sequence {
                    channel.in_flight = None;
                } else if sequence > channel.sequence {
                    channel.sequence = sequence + 1;
                }
            }
            Mail::Flow(sent) => match self.bed.view.member(sent.to).unwrap().role {
                Role::FlowTracker => {
                    self.bed.hand_flow(sent.to, sent.from, &sent.message());
                    self.collect(sent.to);
                }
                Role::HostAgent => self.at_host(&sent),
                Role::Ingress => self.at_ingress(&sent),
            },
        }
    }

    fn at_ingress(&mut self, sent: &FlowSent) {
        let Some(attempt) = self.attempts.get_mut(&sent.key) else {
            return;
        };
        let is_answer = attempt.isn == sent.offer.isn && sent.kind != FlowKind::Wait;
        if !is_answer || attempt.outcome.is_some() {
            return;
        }
        attempt.outcome = Some(match sent.kind {
            FlowKind::Accept => Outcome::Accepted(sent.host(), sent.birth.unwrap()),
            FlowKind::Refuse => Outcome::Refused(sent.reason),
            other => panic!("{other:?} at an ingress"),
        });
    }

    fn at_host(&mut self, sent: &FlowSent) {
        let must = self.overload == Overload::MustAccept && sent.offer.step == 0;
        let it = self.hosts.get_mut(&sent.to).unwrap();
        match sent.kind {
            FlowKind::Offer => {
                let mut answer = sent.clone();
                answer.from = sent.to;
                answer.to = sent.up();
                match it.answer(sent, must) {
                    Ok(birth) => {
                        answer.kind = FlowKind::Accept;
                        answer.birth = Some(birth);
                        answer.tried = jlb_protocol::message::Tried::NONE;
                        answer.packet = Vec::new();
                    }
                    Err(reason) => {
                        if let Some(passed) = sent.passed_on() {
                            self.mail.push_back(Mail::Flow(passed));
                            return;
                        }
                        answer.kind = FlowKind::Reject;
                        answer.reason = reason;
                    }
                }
                self.mail.push_back(Mail::Flow(answer));
            }
            FlowKind::WhoHas => {
                let flow = it
                    .owned
                    .get(&sent.key)
                    .map_or(not_mine(&sent.key), |owned| {
                        statement(&sent.key, owned.birth, owned.isn, owned.state)
                    });
                self.mail.push_back(Mail::State {
                    from: sent.to,
                    to: sent.from,
                    sequence: 0,
                    flows: [flow].to_vec(),
                });
            }
            FlowKind::Release => {
                let meant = it.owned.get(&sent.key).is_some_and(|owned| {
                    sent.birth
                        .map_or(owned.isn == sent.offer.isn, |birth| birth == owned.birth)
                });
                if meant {
                    it.end(sent.key);
                }
            }
            other => panic!("{other:?} at a host"),
        }
    }

    /// S1: nobody but one host has an attempt's flow.
    fn check_one_owner(&self) {
        for key in &self.keys {
            let mut owners = BTreeMap::new();
            for (host, it) in &self.hosts {
                if let Some(owned) = it.owned.get(key) {
                    let before = owners.insert(owned.isn, *host);
                    assert_eq!(before, None, "{host} {owned:?}\n{}", self.log.join("\n"));
                }
            }
        }
    }

    /// R6: a host is asked once in a search, and no more hosts than the search has steps. Where flows
    /// wait it may be asked again, but there is one Offer a step all the same.
    fn check_searches(&self) {
        for key in &self.keys {
            let mut offers = 0;
            for (host, it) in &self.hosts {
                let asked: Vec<_> = it.asked.iter().filter(|(asked, _)| asked == key).collect();
                let waits = matches!(self.overload, Overload::Queue(_));
                assert!(asked.len() <= 1 || waits, "{host} was asked by {asked:?}");
                offers += asked.len();
            }
            assert!(offers <= usize::from(TTL), "{offers} offers of {key:?}");
        }
    }

    /// The network heals, and everybody repeats what was not answered.
    fn heal(&mut self) {
        for _ in 0..30 {
            for key in self.keys.clone() {
                self.ask(key);
            }
            for number in 0..HOSTS {
                self.state(number);
                self.load(number);
            }
            let mut delivered = 0;
            while let Some(mail) = self.mail.pop_front() {
                self.deliver(mail);
                delivered += 1;
                assert!(delivered < 10_000, "messages go round in circles");
            }
            self.pass(300);
        }
    }

    /// Every search ends, and who asked knows how.
    fn check_ended(&self) {
        for (key, attempt) in &self.attempts {
            assert!(
                attempt.outcome.is_some(),
                "{key:?} {attempt:?}\n{}",
                self.log.join("\n")
            );
        }
        assert!(self.mail.is_empty());
        for number in 1..=TRACKERS {
            let stats = self.bed.stats(number);
            assert_eq!((stats.ledger.held, stats.waiting), (0, 0));
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let flow = 0..FLOWS;
    prop_oneof![
        2 => flow.clone().prop_map(Step::Attempt),
        1 => flow.clone().prop_map(Step::MidFlow),
        3 => flow.clone().prop_map(Step::Repeat),
        20 => (0..64_usize).prop_map(Step::Deliver),
        10 => Just(Step::Deliver(0)),
        4 => (0..64_usize).prop_map(Step::Double),
        3 => (0..64_usize).prop_map(Step::Lose),
        3 => (0..HOSTS, any::<bool>()).prop_map(|(host, full)| Step::Full(host, full)),
        1 => (0..HOSTS, any::<bool>()).prop_map(|(host, it)| Step::Sockets(host, it)),
        2 => (0..HOSTS, flow.clone()).prop_map(|(host, flow)| Step::Establish(host, flow)),
        1 => (0..HOSTS, flow).prop_map(|(host, flow)| Step::Close(host, flow)),
        2 => (0..HOSTS).prop_map(Step::State),
        3 => (0..HOSTS).prop_map(Step::Load),
        1 => (0..2_u16).prop_map(Step::Restart),
        2 => any::<u16>().prop_map(Step::Pass),
    ]
}

/// Each overload policy, with one step of its own where it has any.
fn overload() -> impl Strategy<Value = Overload> {
    prop_oneof![
        Just(Overload::Refuse),
        Just(Overload::MustAccept),
        Just(Overload::Pool),
        Just(Overload::Queue(Duration::from_millis(500))),
    ]
}

fn configure(config: &mut Config, overload: Overload, hunts: bool) {
    for service in &mut config.services {
        service.direct_hunt = hunts;
        service.overload = overload;
        service.overload_steps = match overload {
            Overload::Refuse | Overload::MustAccept => 0,
            Overload::Pool | Overload::Queue(_) => 2,
        };
        for pool_host in &mut service.hosts {
            pool_host.overflow = overload == Overload::Pool && pool_host.node > host(3);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 5_000, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn a_search_asks_no_host_twice_and_ends(
        steps in steps(),
        restart: bool,
        overload in overload(),
        hunts: bool,
    ) {
        let freedom = Freedom { single: true, restart };
        let mut world = World::new(overload, hunts);
        for step in steps {
            world.step(step, freedom);
            world.check_one_owner();
            if world.restarts == 0 {
                world.check_searches();
            }
        }
        let restarted = world.restarts > 0;
        world.heal();
        world.check_ended();
        world.check_one_owner();
        if !restarted {
            world.check_searches();
            for (key, attempt) in &world.attempts {
                if let Some(Outcome::Accepted(host, birth)) = attempt.outcome {
                    let owned = world.hosts[&host].owned.get(key);
                    prop_assert_eq!(owned.map(|it| it.birth), Some(birth));
                }
            }
        }
    }

    #[test]
    fn an_attempt_has_one_host_whatever_happens(
        steps in steps(),
        restart: bool,
        overload in overload(),
        hunts: bool,
    ) {
        let freedom = Freedom { single: false, restart };
        let mut world = World::new(overload, hunts);
        for step in steps {
            world.step(step, freedom);
            world.check_one_owner();
        }
        world.heal();
        world.check_ended();
        world.check_one_owner();
    }
}
