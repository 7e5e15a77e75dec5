//! Trackers much simpler than the real ones listen to an agent, over a network that loses, doubles
//! and delays: whatever happens, a mark is true when it is said (R10), and in the end every tracker
//! has what it is owed, and nothing else (R9, S5).

use super::*;
use crate::testbed::{HASH_KEY, ingress, me, message, trackers};
use jlb_protocol::bucket::{bucket, flow_digest};
use jlb_protocol::message::{BucketDigest, Control, FlowKind, Listed};
use jlb_protocol::{Birth, FlowKey, MemberState, Message, View};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const FIRST: u16 = 10;
const TRACKERS: u16 = 4;
const CLIENTS: u16 = 12;
/// `None`: it is no member.
const STATES: [Option<MemberState>; 6] = [
    Some(MemberState::Active),
    Some(MemberState::Active),
    Some(MemberState::Active),
    Some(MemberState::Joining),
    Some(MemberState::Down),
    None,
];

/// What a tracker remembers of the host.
#[derive(Clone, Default, Debug)]
struct Listener {
    last: u64,
    records: BTreeMap<FlowKey, Birth>,
    mark: Option<u64>,
    /// Records that were stated since this bucket's list was asked for.
    restated: BTreeMap<u16, BTreeSet<FlowKey>>,
}

impl Listener {
    fn apply(&mut self, flows: &[FlowStatement], filled: Option<u64>, listed: Option<Listed>) {
        for line in flows {
            let known = self.records.get(&line.key).copied();
            if known.is_some_and(|birth| birth > line.birth) {
                continue;
            }
            let bucket = bucket(HASH_KEY.flow_hash(&line.key));
            if let Some(restated) = self.restated.get_mut(&bucket) {
                restated.insert(line.key);
            }
            if line.state == FlowState::Closed {
                self.records.remove(&line.key);
            } else {
                self.records.insert(line.key, line.birth);
            }
        }
        self.mark = filled;
        if let Some(listed) = listed
            && let Some(restated) = self.restated.remove(&listed.bucket)
        {
            self.records.retain(|key, birth| {
                bucket(HASH_KEY.flow_hash(key)) != listed.bucket
                    || restated.contains(key)
                    || *birth > listed.high_water
            });
        }
    }

    fn differs(&self, digest: &BucketDigest) -> bool {
        let mut sum = (0, 0);
        for (key, birth) in &self.records {
            if bucket(HASH_KEY.flow_hash(key)) == digest.bucket {
                sum = (sum.0 + 1, sum.1 ^ flow_digest(key, *birth));
            }
        }
        sum != (digest.count, digest.hash)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Offer(u16, u32),
    Data(u16),
    Release(u16),
    /// The kernel has sockets of these clients only.
    Dumps(BTreeSet<u16>),
    View(Vec<(usize, u32)>),
    Wait(u64),
    /// What lies in the network arrives: which of it, and whether it stays there as well.
    Arrive(Vec<(usize, bool)>),
    Lose(usize),
    Wire(u16, u8),
    Full(u16, u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    let who = 1..=CLIENTS;
    let tracker = FIRST..FIRST + TRACKERS;
    prop_oneof![
        6 => (who.clone(), 0..3_u32).prop_map(|(who, isn)| Step::Offer(who, isn)),
        3 => who.clone().prop_map(Step::Data),
        1 => who.clone().prop_map(Step::Release),
        1 => prop::collection::btree_set(who, 0..usize::from(CLIENTS)).prop_map(Step::Dumps),
        2 => prop::collection::vec((0..STATES.len(), 1..3_u32), usize::from(TRACKERS)).prop_map(Step::View),
        5 => prop_oneof![0..30_u64, 0..400_u64, 0..5_000_u64].prop_map(Step::Wait),
        8 => prop::collection::vec((0..8_usize, prop::bool::weighted(0.2)), 1..6).prop_map(Step::Arrive),
        2 => (0..8_usize).prop_map(Step::Lose),
        1 => (tracker.clone(), 1..3_u8).prop_map(|(tracker, wire)| Step::Wire(tracker, wire)),
        1 => (tracker, 0..256_u16).prop_map(|(tracker, bucket)| Step::Full(tracker, bucket)),
    ]
}

/// A message under way, with its sender if it goes to the host.
#[derive(Clone, Debug)]
enum Mail {
    ToTracker(Sent),
    Ack(u16, u64),
    Full(u16, u16),
}

/// What a mark says when it is first sent.
#[derive(Clone, Debug)]
struct Promise {
    owed: BTreeMap<FlowKey, Birth>,
    /// Whether the tracker was waiting to be ranked then.
    joining: bool,
}

struct World {
    bed: Bed,
    listeners: BTreeMap<u16, Listener>,
    lives: BTreeMap<u16, u32>,
    mail: VecDeque<Mail>,
    /// By tracker and number of a State with a mark.
    promised: BTreeMap<(u16, u64), Promise>,
}

impl World {
    fn new() -> Self {
        let mut config = config();
        config.limits.max_statements = 5;
        config.limits.max_flows = 20;
        let mut bed = Bed::unready(config);
        // So that some wait while others are on their way.
        bed.agent.statements.pace.batch = 2;
        bed.see(view_of(&[(0, 1); TRACKERS as usize]));
        bed.load(&[]);
        let listeners = (FIRST..FIRST + TRACKERS).map(|one| (one, Listener::default()));
        Self {
            bed,
            listeners: listeners.collect(),
            lives: (FIRST..FIRST + TRACKERS).map(|one| (one, 1)).collect(),
            mail: VecDeque::new(),
            promised: BTreeMap::new(),
        }
    }

    fn post(&mut self) {
        for sent in self.bed.drain() {
            if matches!(sent, Sent::State { .. } | Sent::Digest { .. }) {
                self.check_mark(&sent);
                self.mail.push_back(Mail::ToTracker(sent));
            }
        }
    }

    /// R10: a mark is of the present ranking. What it promises is every flow that is owed now.
    fn check_mark(&mut self, sent: &Sent) {
        let Sent::State {
            to,
            sequence,
            filled: Some(filled),
            ..
        } = sent
        else {
            return;
        };
        assert_eq!(*filled, self.bed.fingerprint(to.get()));
        let number = (to.get(), *sequence);
        if !self.promised.contains_key(&number) {
            let member = self.bed.view.member(*to);
            let promise = Promise {
                owed: self.owed(to.get()),
                joining: member.is_some_and(|member| member.state == MemberState::Joining),
            };
            self.promised.insert(number, promise);
        }
    }

    /// R10: a tracker that takes a mark knows every flow that was owed to it when the mark was first
    /// sent. One that is ranked, and has the mark already, was told of what is new by the way that
    /// it came.
    fn check_filled(&self, tracker: u16, sequence: u64, is_new: bool) {
        let promise = &self.promised[&(tracker, sequence)];
        if !is_new && !promise.joining {
            return;
        }
        let records = &self.listeners[&tracker].records;
        for (key, birth) in &promise.owed {
            let known = records.get(key).copied();
            assert!(
                known.is_some_and(|known| known >= *birth),
                "{tracker} is marked by {sequence} without {key:?} {birth:?}: {known:?}"
            );
        }
    }

    /// The flows that are owed to a tracker, with their births.
    fn owed(&self, tracker: u16) -> BTreeMap<FlowKey, Birth> {
        let statements = &self.bed.agent.statements;
        let flows = &self.bed.agent.flows;
        let keys = (1..=CLIENTS).map(|port| client(port).key());
        let owned = keys.filter_map(|key| Some((key, flows.owned(&key)?.1.birth)));
        let is_owed = |key: &FlowKey| {
            let hash = HASH_KEY.flow_hash(key);
            statements.owed.is_owed(hash, node(tracker))
        };
        owned.filter(|(key, _)| is_owed(key)).collect()
    }

    fn see(&mut self, states: &[(usize, u32)]) {
        let view = view_of(states);
        for member in view.members() {
            let number = member.node.get();
            if let Some(life) = self.lives.get_mut(&number)
                && member.state != MemberState::Down
                && member.incarnation > *life
            {
                // What its former life was sent does not verify any more, nor what it said.
                *life = member.incarnation;
                self.listeners.insert(number, Listener::default());
                self.mail.retain(|mail| match mail {
                    Mail::ToTracker(Sent::State { to, .. } | Sent::Digest { to, .. }) => {
                        to.get() != number
                    }
                    Mail::ToTracker(Sent::Flow { .. } | Sent::Load { .. }) => true,
                    Mail::Ack(from, _) | Mail::Full(from, _) => *from != number,
                });
            }
        }
        let lives = &self.lives;
        let members = view.members().iter().map(|&member| {
            let mut member = member;
            if let Some(life) = lives.get(&member.node.get()) {
                member.incarnation = *life;
            }
            member
        });
        self.bed.see(View::new(members.collect()));
    }

    fn arrive(&mut self, at: usize, stays: bool) {
        if self.mail.is_empty() {
            return;
        }
        let at = at % self.mail.len();
        let mail = self.mail[at].clone();
        if !stays {
            self.mail.remove(at);
        }
        match mail {
            Mail::ToTracker(sent) => self.hear(sent),
            Mail::Ack(from, sequence) => {
                let ack = Message::Control(Control::Ack { sequence });
                self.bed.handle(node(from), &ack);
            }
            Mail::Full(from, bucket) => {
                let full = Message::Control(Control::SendFull { bucket });
                self.bed.handle(node(from), &full);
            }
        }
        self.post();
    }

    /// A tracker takes a message.
    fn hear(&mut self, sent: Sent) {
        match sent {
            Sent::State {
                to,
                sequence,
                filled,
                listed,
                flows,
            } => {
                let Some(listener) = self.listeners.get_mut(&to.get()) else {
                    // An ingress answers each by its own number.
                    let sequence = self.bed.settled(to) + sequence;
                    return self.mail.push_back(Mail::Ack(to.get(), sequence));
                };
                let before = listener.mark;
                let is_new = sequence > listener.last;
                if is_new {
                    listener.last = sequence;
                    listener.apply(&flows, filled, listed);
                }
                // The numbers of the bed count from the base.
                let last = self.bed.settled(to) + listener.last;
                if is_new && filled.is_some() {
                    self.check_filled(to.get(), sequence, filled != before);
                }
                self.mail.push_back(Mail::Ack(to.get(), last));
            }
            Sent::Digest { to, buckets, .. } => {
                let fingerprint = self.bed.fingerprint(to.get());
                let listener = self.listeners.get_mut(&to.get()).unwrap();
                for digest in buckets {
                    if listener.mark == Some(fingerprint) && listener.differs(&digest) {
                        listener.restated.insert(digest.bucket, BTreeSet::new());
                        self.mail.push_back(Mail::Full(to.get(), digest.bucket));
                    }
                }
            }
            Sent::Flow { .. } | Sent::Load { .. } => {}
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            &Step::Offer(who, isn) => {
                let packet = client(who).syn(isn);
                let mut offer = self.bed.offer_message(client(who), &packet);
                if offer.path.primary.is_none() {
                    offer.path.primary = Some(node(FIRST));
                }
                offer.path.host = Some(me());
                self.bed.handle(node(FIRST), &Message::Flow(offer));
            }
            &Step::Data(who) => {
                let packet = client(who).ack();
                let data = message(FlowKind::Data, 1, &packet);
                self.bed.handle(ingress(), &Message::Flow(data));
            }
            &Step::Release(who) => {
                let owned = self.bed.agent.flows.owned(&client(who).key());
                let birth = owned.map(|(_, flow)| flow.birth);
                let packet = client(who).ack();
                let mut release = message(FlowKind::Release, 1, &packet);
                release.packet = &[];
                release.birth = birth;
                self.bed.handle(node(FIRST), &Message::Flow(release));
            }
            Step::Dumps(open) => {
                let sockets: Vec<_> = open
                    .iter()
                    .map(|&port| client(port).socket(port.into(), SocketState::Open))
                    .collect();
                self.bed.dump_twice(&sockets);
            }
            Step::View(states) => self.see(states),
            &Step::Wait(millis) => {
                self.bed.wait(millis);
                self.bed.agent.handle_timeout(self.bed.now);
            }
            Step::Arrive(which) => {
                for &(at, stays) in which {
                    self.arrive(at, stays);
                }
            }
            &Step::Lose(at) => {
                if !self.mail.is_empty() {
                    self.mail.remove(at % self.mail.len());
                }
            }
            &Step::Wire(tracker, wire) => {
                self.bed
                    .agent
                    .handle_peer_wire(self.bed.now, node(tracker), wire);
            }
            &Step::Full(tracker, bucket) => self.mail.push_back(Mail::Full(tracker, bucket)),
        }
        self.post();
    }

    /// The network is well, and time passes.
    fn heal(&mut self, millis: u64) {
        let end = self.bed.now + Duration::from_millis(millis);
        loop {
            while !self.mail.is_empty() {
                self.arrive(0, false);
            }
            let next = self.bed.agent.poll_timeout();
            let Some(next) = next.filter(|&next| next <= end) else {
                break;
            };
            self.bed.now = self.bed.now.max(next);
            self.bed.agent.handle_timeout(self.bed.now);
            self.post();
        }
        self.bed.now = end;
    }
}

fn view_of(states: &[(usize, u32)]) -> View {
    let all = (FIRST..).zip(states);
    let all: Vec<_> = all
        .filter_map(|(tracker, &(state, life))| Some((tracker, STATES[state]?, life)))
        .collect();
    trackers(&all)
}

proptest! {
    #[test]
    fn marks_are_true_and_after_healing_trackers_know_what_they_are_owed(
        steps in prop::collection::vec(any_step(), 1..150)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        for tracker in FIRST..FIRST + TRACKERS {
            world.bed.agent.handle_peer_wire(world.bed.now, node(tracker), 2);
        }
        world.heal(2_000);
        let view = world.bed.view.clone();
        let alive = |member: &&jlb_protocol::view::Member| {
            member.role == jlb_protocol::Role::FlowTracker && member.state != MemberState::Down
        };
        for member in view.members().iter().filter(alive) {
            let tracker = member.node.get();
            let listener = &world.listeners[&tracker];
            prop_assert_eq!(listener.mark, Some(world.bed.fingerprint(tracker)));
            for (key, birth) in world.owed(tracker) {
                prop_assert_eq!(listener.records.get(&key), Some(&birth), "{}", tracker);
            }
        }
        // Two refreshes: differences are found, and asked for.
        world.heal(45_000);
        // A flow may have ended at the last moment.
        for _ in 0..10 {
            if world.bed.stats().statements_pending > 0 {
                world.heal(100);
            }
        }
        for member in view.members().iter().filter(alive) {
            let tracker = member.node.get();
            let records = &world.listeners[&tracker].records;
            prop_assert_eq!(records, &world.owed(tracker), "{}", tracker);
        }
        prop_assert_eq!(world.bed.stats().statements_pending, 0);
    }
}
