//! A state of the whole cluster, what may happen in it, and what that leads to.

use crate::atlas::{NodeId, Outcome, Route, Sent};
use crate::case::Case;
use crate::checks::{self, Asked};
use crate::client::Client;
use crate::cluster::{Belief, HOSTS, INGRESSES, NODES, Place, TRACKERS};
use crate::guide::Guide;
use crate::kernel::{Kernel, Reply};
use crate::machine::Input;
use crate::packet::Packet;
use core::hash::{Hash, Hasher};
use jlb_protocol::{MemberState, Role};
use siphasher::sip128::SipHasher13;

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// A client's packet arrives at an ingress.
    Send(Packet, Place),
    /// A message arrives.
    Arrive(Route),
    /// A message arrives, and will arrive once more.
    Double(Route),
    /// A message is lost.
    Lose(Route),
    /// A node's next deadline passes.
    Timer(Place),
    /// A host agent lists its kernel's sockets.
    Dump(Place),
    /// A host agent hears of a destroyed socket.
    Hear(Place, u8),
    /// The subjects crash.
    Crash,
    /// The subjects start again, without memory.
    Start,
    /// These nodes believe this of the subjects from now on.
    Believe(Believers, Belief),
    /// The subjects are filled, and announce that they are active (R10).
    Activate,
    /// A host that was full has room.
    Room(Place),
}

/// Who changes a belief.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Believers {
    Node(Place),
    /// All nodes of a role that are no subjects.
    Tier(Role),
}

impl Believers {
    fn includes(self, case: &Case, place: Place) -> bool {
        let is_meant = match self {
            Self::Node(node) => node == place,
            Self::Tier(role) => place.role() == role,
        };
        is_meant && !case.subjects.contains(&place)
    }
}

/// Rounds of messages and deadlines after which a cluster without clients is at rest, at most.
const SETTLING: usize = 8;

/// Each host with each tracker.
fn pairs() -> impl Iterator<Item = (Place, Place)> {
    HOSTS
        .into_iter()
        .flat_map(|host| TRACKERS.map(|tracker| (host, tracker)))
}

/// How much of the case's bounds is used up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Spent {
    duplicates: u8,
    losses: u8,
    timers: [u8; 3],
    dumps: u8,
    crashes: u8,
    beliefs: u8,
    frees: u8,
}

/// A state of the cluster.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    pub(crate) nodes: [NodeId; NODES],
    /// The messages under way, sorted, each once: that one arrives twice is an action of its own, so that its
    /// number bounds also what is repeated while it is still under way.
    letters: Vec<Route>,
    /// What each node believes of the case's subject; the subject's own entry is what it is.
    beliefs: [Belief; NODES],
    /// Whether the subjects have crashed and not started again.
    are_dead: bool,
    /// Which nodes are subjects that may be ranked.
    is_filled: [bool; NODES],
    pub(crate) kernels: [Kernel; 2],
    pub(crate) client: Client,
    spent: Spent,
    pub(crate) asked: Asked,
}

/// A state, and what is wrong with how it was reached.
pub(crate) struct Step {
    pub(crate) world: World,
    pub(crate) wrong: Option<String>,
}

/// All bytes of a value, to be hashed at once: the many small ones one by one cost more.
#[derive(Default)]
struct Gathered(Vec<u8>);

impl Hasher for Gathered {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl World {
    /// The cluster at rest, before the client's first packet.
    pub(crate) fn begin(guide: &Guide<'_>) -> Self {
        let mut places = Place::all();
        let mut world = Self {
            nodes: core::array::from_fn(|_| guide.atlas.begin(places.next().unwrap_or(Place(0)))),
            letters: Vec::new(),
            beliefs: [Belief::FIRST; NODES],
            are_dead: false,
            is_filled: [false; NODES],
            kernels: [Kernel::default(); 2],
            client: Client::default(),
            spent: Spent::default(),
            asked: Asked::default(),
        };
        for (host, tracker) in pairs() {
            world.hello(guide, host, tracker);
        }
        // Hosts mark their trackers, which acknowledge.
        for _ in 0..SETTLING {
            while let Some(route) = world.letters.pop() {
                world.step(guide, route.to, Input::Message(route.id));
            }
            for place in Place::all() {
                world.pass_deadline(guide, place);
            }
            if world.letters.is_empty() {
                break;
            }
        }
        world
    }

    pub(crate) fn fingerprint(&self) -> u128 {
        let mut gathered = Gathered::default();
        self.hash(&mut gathered);
        SipHasher13::new().hash(&gathered.0).as_u128()
    }

    /// The messages under way.
    pub(crate) fn letters(&self) -> &[Route] {
        &self.letters
    }

    /// What may happen.
    pub(crate) fn actions(&self, case: &Case, actions: &mut Vec<Action>) {
        actions.clear();
        for packet in self.client.packets(case) {
            actions.extend(INGRESSES.map(|ingress| Action::Send(packet, ingress)));
        }
        for &route in &self.letters {
            actions.push(Action::Arrive(route));
            if self.spent.duplicates < case.duplicates {
                actions.push(Action::Double(route));
            }
            if self.spent.losses < case.losses {
                actions.push(Action::Lose(route));
            }
        }
        let may_pass = !case.is_patient || self.letters.is_empty();
        let is_alive = |place: &Place| !(self.are_dead && case.subjects.contains(place));
        for place in Place::all().filter(is_alive).filter(|_| may_pass) {
            let role = place.role() as usize;
            if self.spent.timers[role] < case.timers[role] {
                actions.push(Action::Timer(place));
            }
        }
        let hosts = HOSTS.into_iter().zip(self.kernels);
        for (host, kernel) in hosts.filter(|(host, _)| is_alive(host)) {
            if self.spent.dumps < case.dumps {
                actions.push(Action::Dump(host));
            }
            let cookies = (0..8).filter(|cookie| kernel.destroyed & 1 << cookie != 0);
            actions.extend(cookies.map(|cookie| Action::Hear(host, cookie)));
        }
        if self.spent.frees < case.frees {
            let full = case.full_hosts.iter().filter(|&host| is_alive(host));
            actions.extend(full.map(|&host| Action::Room(host)));
        }
        self.subject_actions(case, actions);
    }

    /// How many nodes take living subjects for dead.
    fn wrong(&self, case: &Case) -> usize {
        let others = Place::all().filter(|place| !case.subjects.contains(place));
        let beliefs = others.map(|place| self.beliefs[place.index()]);
        let life = case
            .subjects
            .first()
            .map(|first| self.beliefs[first.index()].life);
        let is_wrong = |belief: &Belief| {
            belief.state == MemberState::Down && Some(belief.life) == life && !self.are_dead
        };
        beliefs.filter(is_wrong).count()
    }

    fn subject_actions(&self, case: &Case, actions: &mut Vec<Action>) {
        let Some(first) = case.subjects.first() else {
            return;
        };
        if self.are_dead {
            actions.extend(case.starts.then_some(Action::Start));
        } else if self.spent.crashes < case.crashes {
            actions.push(Action::Crash);
        }
        let is = self.beliefs[first.index()];
        let mut subjects = case.subjects.iter();
        if !self.are_dead
            && is.state == MemberState::Joining
            && subjects.all(|it| self.is_filled[it.index()])
        {
            actions.push(Action::Activate);
        }
        if self.spent.beliefs >= case.beliefs {
            return;
        }
        let mut add = |believers: Believers| {
            let mut places = Place::all();
            let Some(place) = places.find(|&place| believers.includes(case, place)) else {
                return;
            };
            // Of a life that it has not heard of nobody can believe that it is over.
            let known = self.beliefs[place.index()];
            let down = Belief {
                state: MemberState::Down,
                ..known
            };
            let is_living = !self.are_dead;
            if is_living && known != is {
                actions.push(Action::Believe(believers, is));
            }
            let may_be_wrong = self.wrong(case) < usize::from(case.wrong_at_once);
            if known != down && (!is_living || known.life < is.life || may_be_wrong) {
                actions.push(Action::Believe(believers, down));
            }
        };
        if case.by_tier {
            let tiers = [Role::Ingress, Role::FlowTracker, Role::HostAgent];
            tiers.into_iter().map(Believers::Tier).for_each(&mut add);
        } else {
            Place::all().map(Believers::Node).for_each(&mut add);
        }
    }

    /// What an action leads to; `None` if it changes nothing.
    pub(crate) fn next(&self, guide: &Guide<'_>, action: Action) -> Option<Step> {
        let mut world = self.clone();
        let wrong = match action {
            Action::Send(packet, ingress) => {
                world.client.send(packet);
                let wrong = world.step(guide, ingress, Input::Packet(packet));
                return Some(Step { world, wrong });
            }
            Action::Arrive(route) => {
                world.letters.retain(|&other| other != route);
                let wrong = world.arrive(guide, route);
                return Some(Step { world, wrong });
            }
            Action::Double(route) => {
                world.spent.duplicates += 1;
                let before = world.clone();
                let wrong = world.arrive(guide, route);
                // A message that changes nothing can as well arrive later.
                return (world != before).then_some(Step { world, wrong });
            }
            Action::Lose(route) => {
                world.spent.losses += 1;
                world.letters.retain(|&other| other != route);
                return Some(Step { world, wrong: None });
            }
            Action::Timer(place) => {
                let wrong = world.pass_deadline(guide, place);
                if world != *self {
                    world.spent.timers[place.role() as usize] += 1;
                }
                wrong
            }
            Action::Dump(host) => {
                let sock = world.kernels[host.host_index()].sock;
                let wrong = world.step(guide, host, Input::Dump(sock));
                if world != *self {
                    world.spent.dumps += 1;
                }
                wrong
            }
            Action::Hear(host, cookie) => {
                world.kernels[host.host_index()].destroyed &= !(1 << cookie);
                world.step(guide, host, Input::Destroyed(cookie))
            }
            Action::Crash => {
                world.crash(guide.atlas.cluster.case.subjects);
                None
            }
            Action::Start => world.start(guide),
            Action::Believe(believers, belief) => {
                world.spent.beliefs += 1;
                world.believe_all(guide, believers, belief)
            }
            Action::Activate => world.activate(guide),
            Action::Room(host) => {
                world.spent.frees += 1;
                world.step(guide, host, Input::Room)
            }
        };
        (world != *self).then_some(Step { world, wrong })
    }

    pub(crate) fn node(&self, place: Place) -> NodeId {
        self.nodes[place.index()]
    }

    /// Whether a short deadline is pending that the case's bounds do not let pass.
    pub(crate) fn is_cut_off(&self, guide: &Guide<'_>, case: &Case) -> bool {
        Place::all().any(|place| {
            let role = place.role() as usize;
            self.spent.timers[role] >= case.timers[role]
                && guide
                    .step(self.node(place), Input::Timer)
                    .is_some_and(|outcome| !outcome.was_long && outcome.node != self.node(place))
        })
    }

    /// A message arrives, if the lives of both ends let it (R12).
    fn arrive(&mut self, guide: &Guide<'_>, route: Route) -> Option<String> {
        let Route { id, from, to, life } = route;
        let mut wrong = None;
        if guide.is_subject(from) {
            let known = self.beliefs[to.index()].life;
            if life < known {
                return None;
            }
            if life > known {
                // What is sealed in a new life proves it.
                let belief = Belief::of_new_life(from, life);
                wrong = self.believe(guide, to, belief);
            }
        }
        let step = self.step(guide, to, Input::Message(id));
        wrong.or(step)
    }

    fn pass_deadline(&mut self, guide: &Guide<'_>, place: Place) -> Option<String> {
        let outcome = guide.step(self.node(place), Input::Timer)?;
        if outcome.was_long {
            return None;
        }
        self.take(guide, place, &outcome)
    }

    fn believe(&mut self, guide: &Guide<'_>, place: Place, belief: Belief) -> Option<String> {
        self.beliefs[place.index()] = belief;
        self.step(guide, place, Input::Belief(belief))
    }

    fn hello(&mut self, guide: &Guide<'_>, host: Place, tracker: Place) -> Option<String> {
        let ranked = guide.atlas.ranked(self.beliefs[host.index()]);
        self.step(guide, tracker, Input::Hello(host, ranked))
    }

    /// All that includes believe it, unless they know it, or know more.
    fn believe_all(
        &mut self,
        guide: &Guide<'_>,
        believers: Believers,
        belief: Belief,
    ) -> Option<String> {
        let case = &guide.atlas.cluster.case;
        let mut wrong = None;
        if self.are_dead && belief.state == MemberState::Down {
            // The failure timeout is longer than a message takes.
            self.letters
                .retain(|route| !case.subjects.contains(&route.from));
        }
        for place in Place::all().filter(|&place| believers.includes(case, place)) {
            let known = self.beliefs[place.index()];
            if known != belief && known.life <= belief.life {
                let new = self.believe(guide, place, belief);
                wrong = wrong.or(new);
            }
        }
        wrong
    }

    fn activate(&mut self, guide: &Guide<'_>) -> Option<String> {
        let mut wrong = None;
        for &subject in guide.atlas.cluster.case.subjects {
            let is = Belief {
                state: MemberState::Active,
                ..self.beliefs[subject.index()]
            };
            let new = self.believe(guide, subject, is);
            wrong = wrong.or(new);
        }
        wrong
    }

    fn crash(&mut self, subjects: &[Place]) {
        self.spent.crashes += 1;
        self.are_dead = true;
        self.letters.retain(|route| !subjects.contains(&route.to));
        for subject in subjects.iter().filter(|it| it.role() == Role::HostAgent) {
            self.kernels[subject.host_index()].destroyed = 0;
        }
    }

    fn start(&mut self, guide: &Guide<'_>) -> Option<String> {
        let mut wrong = None;
        self.are_dead = false;
        let subjects = guide.atlas.cluster.case.subjects;
        if subjects.len() == TRACKERS.len() {
            // R13 rests on this: where no tracker is left that remembers, a message is faster than a
            // start.
            self.letters.retain(|route| !subjects.contains(&route.from));
        }
        for &subject in subjects {
            let life = self.beliefs[subject.index()].life + 1;
            self.beliefs[subject.index()] = Belief::of_new_life(subject, life);
        }
        for &subject in subjects {
            let life = self.beliefs[subject.index()].life;
            let new = self.step(guide, subject, Input::Restart(life));
            wrong = wrong.or(new);
        }
        wrong
    }

    /// Whether what a node sends now reaches the life that the addressee is in: a sender seals for the
    /// one that it knows (R12).
    fn reaches(&self, guide: &Guide<'_>, route: &Route) -> bool {
        let lives = [route.from, route.to].map(|place| self.beliefs[place.index()].life);
        !guide.is_subject(route.to) || (!self.are_dead && lives[0] == lives[1])
    }

    fn step(&mut self, guide: &Guide<'_>, place: Place, input: Input) -> Option<String> {
        let outcome = guide.step(self.node(place), input)?;
        self.take(guide, place, &outcome)
    }

    /// Takes over what became of a step.
    fn take(&mut self, guide: &Guide<'_>, place: Place, outcome: &Outcome) -> Option<String> {
        self.nodes[place.index()] = outcome.node;
        if guide.is_subject(place) {
            self.is_filled[place.index()] = outcome.is_filled;
        }
        let mut wrong = outcome.wrong.clone();
        for Sent {
            route,
            offer,
            is_ack,
        } in &outcome.letters
        {
            if !self.reaches(guide, route) {
                continue;
            }
            if *is_ack && guide.atlas.cluster.case.acks_are_prompt {
                let acknowledged = self.arrive(guide, *route);
                wrong = wrong.or(acknowledged);
                continue;
            }
            if let Err(at) = self.letters.binary_search(route) {
                self.letters.insert(at, *route);
            }
            if let Some(offer) = *offer {
                let case = &guide.atlas.cluster.case;
                wrong = wrong.or_else(|| checks::check_search(case, self, offer));
            }
        }
        if let Some(packet) = outcome.delivered {
            wrong = wrong.or_else(|| checks::check_delivery(self, place, packet));
            self.deliver(place, packet);
        }
        for &life in &outcome.resets {
            let case = &guide.atlas.cluster.case;
            wrong = wrong.or_else(|| checks::check_reset(case, self, life));
            if !self.client.answered[life.index()] {
                self.client.refused[life.index()] = true;
            }
        }
        wrong
    }

    fn deliver(&mut self, host: Place, packet: Packet) {
        match self.kernels[host.host_index()].receive(packet) {
            Reply::Nothing | Reply::Reset => {}
            Reply::SynAck => self.client.answered[packet.life.index()] = true,
        }
    }
}

#[cfg(test)]
mod tests;
