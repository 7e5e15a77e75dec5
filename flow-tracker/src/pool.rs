//! The hosts of each service: what they reported, what was offered to them since, and the policy.

use crate::config::{Overload, PoolHost, Service};
use crate::nodes::Nodes;
use crate::policy::{Candidate, Chooser, Policy, PolicyKind};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{ServiceLoad, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{NodeNumber, Role, ServiceNumber, Time};
use lives::{Lives, Sums};
use warmth::Warmth;

mod all;
mod digest;
mod hunt;
mod lives;
mod warmth;

pub(crate) use all::Pools;

/// What a tracker knows of one host of one service, for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostLoad {
    /// The service.
    pub service: ServiceNumber,
    /// The host.
    pub host: NodeNumber,
    /// Flows of the service that it reported last.
    pub connections: u32,
    /// Load that it reported last, 0 (idle) to 65,535 (full).
    pub load: u16,
    /// New flows that this tracker chose it for, ever.
    pub chosen: u64,
    /// New flows that the shadow policy would have asked it for first, ever.
    pub shadow_chosen: u64,
    /// How long its flows last beside those of the others, in thousandths; `None` if that is not known, or not
    /// looked at.
    pub life: Option<u32>,
    /// Choices for which it counted as more than it had reported, since its flows end too soon.
    pub held_back: u64,
    /// The part of its weight that counts, of [`Candidate::WARM`].
    pub warmth: u16,
}

/// What a shadow policy would have done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shadow {
    /// The service.
    pub service: ServiceNumber,
    /// The policy.
    pub policy: PolicyKind,
    /// New flows that it was asked for, since it began.
    pub choices: u64,
    /// Those of them for which it named the same host as the policy that counts.
    pub same: u64,
}

/// A policy that is asked beside the one that counts.
#[derive(Clone, Debug)]
struct Beside {
    chooser: Chooser,
    choices: u64,
    same: u64,
}

impl Beside {
    fn new(kind: PolicyKind, seed: u64) -> Self {
        Self {
            chooser: Chooser::new(kind, seed),
            choices: 0,
            same: 0,
        }
    }
}

#[derive(Clone, Debug)]
struct Host {
    config: PoolHost,
    connections: u32,
    room: u32,
    load: u16,
    /// Whether its server answers its health check, as far as it has said.
    healthy: bool,
    /// Flows offered since the last report.
    sent: u32,
    /// Flows that have waited and may be offered to it before the next report.
    grant: u32,
    chosen: u64,
    shadow_chosen: u64,
    lives: Lives,
    held_back: u64,
    warmth: Warmth,
}

impl Host {
    fn new(config: PoolHost) -> Self {
        Self {
            config,
            connections: 0,
            // Before its first report a host is asked, and answers for itself.
            room: u32::MAX,
            load: 0,
            healthy: true,
            sent: 0,
            grant: u32::MAX,
            chosen: 0,
            shadow_chosen: 0,
            lives: Lives::default(),
            held_back: 0,
            warmth: Warmth::Warm,
        }
    }

    /// Whether it may get new flows: one of weight 0 only keeps those that it has.
    fn is_in_service(&self, is_active: impl Fn(NodeNumber) -> bool) -> bool {
        self.config.weight > 0 && is_active(self.config.node)
    }

    /// The host as policies see it, in a service with this slow start.
    fn candidate(&self, now: Time, slow_start: Option<Duration>) -> Candidate {
        Candidate {
            host: self.config.node,
            weight: self.config.weight.max(1),
            connections: self.connections,
            sent: self.sent,
            limit: self.limit(),
            load: self.load,
            warmth: self.warmth.part(now, slow_start),
        }
    }

    /// The connections that it is assumed to have.
    const fn assumed(&self) -> u32 {
        self.connections.saturating_add(self.sent)
    }

    /// The connections that it has room for: configured, or else as it reported.
    fn limit(&self) -> Option<u32> {
        let reported = self.room != u32::MAX;
        let reported = reported.then(|| self.connections.saturating_add(self.room));
        self.config.max_connections.or(reported)
    }

    /// Whether one more flow can be expected to be taken.
    fn has_room(&self) -> bool {
        let limit = self.config.max_connections.unwrap_or(u32::MAX);
        self.sent < self.room && self.assumed() < limit
    }
}

/// The hosts of one service, and which of them is asked next. Public so that policies can be compared
/// on what a tracker really knows, without the rest of it.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) service: Service,
    hosts: Vec<Host>,
    chooser: Chooser,
    shadow: Option<Beside>,
    /// Kept between choices so that none allocates.
    candidates: Vec<Candidate>,
    /// Whether the lives of its hosts' flows are compared.
    compares: bool,
    /// The flows that are looked back upon for that, see [`lives::window`].
    window: u32,
}

impl Pool {
    /// The pool as it is before any report. The seed decides where the policy begins.
    #[must_use]
    pub fn new(service: &Service, seed: u64) -> Self {
        let mut pool = Self {
            hosts: service.hosts.iter().copied().map(Host::new).collect(),
            chooser: Chooser::new(service.policy, seed),
            shadow: service.shadow.map(|kind| Beside::new(kind, seed)),
            candidates: Vec::with_capacity(service.hosts.len()),
            compares: false,
            window: 0,
            service: service.clone(),
        };
        let minds = |shadow: &Beside| shadow.chooser.minds_load();
        pool.compares = service.min_life_percent > 0
            && (pool.chooser.minds_load()
                || pool.shadow.as_ref().is_some_and(minds)
                || pool.must_accept());
        pool.tell_policy();
        pool
    }

    /// Tells the policy which hosts there are.
    fn tell_policy(&mut self) {
        let hosts = self.hosts.iter().map(|host| {
            let PoolHost { node, weight, .. } = host.config;
            (node, weight.max(1))
        });
        let hosts: Vec<_> = hosts.collect();
        self.chooser.pool_is(&hosts);
        if let Some(shadow) = &mut self.shadow {
            shadow.chooser.pool_is(&hosts);
        }
        self.set_window();
    }

    /// Notes how far to look back, after hosts or their connections have changed.
    fn set_window(&mut self) {
        let connections = self.hosts.iter().map(|host| u64::from(host.connections));
        self.window = lives::window(self.hosts.len(), connections.sum());
    }

    /// The host to ask next, and the step to ask it with, where `left` is the next one: active, not
    /// tried (R6), healthy and with room if any such host is. The overload policy has its say in who
    /// is asked last.
    pub fn next(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        flow: FlowHash,
        tried: &Tried,
        left: u8,
    ) -> Option<(NodeNumber, u8)> {
        let is_usual = left >= self.service.overload_steps;
        let host = match self.service.overload {
            Overload::Refuse => self.choose(now, &is_active, flow, tried, false)?,
            Overload::MustAccept => {
                if self.ends_with(&is_active, tried, left) {
                    // The step 0 tells the host that it is the last.
                    return self.least_loaded(now, &is_active, tried).map(|it| (it, 0));
                }
                self.choose(now, &is_active, flow, tried, false)?
            }
            Overload::Pool => {
                let usual = is_usual
                    .then(|| self.choose(now, &is_active, flow, tried, false))
                    .flatten();
                usual.or_else(|| self.choose(now, &is_active, flow, tried, true))?
            }
            // Where nobody reports room, the flow waits for the next report.
            Overload::Queue(_) => is_usual
                .then(|| self.with_room(now, &is_active, flow, tried))
                .flatten()?,
        };
        Some((host, left))
    }

    /// The host with the lowest load of those that are active and not tried, healthy if any is.
    fn least_loaded(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        tried: &Tried,
    ) -> Option<NodeNumber> {
        let minds_health = self.minds_health(&is_active);
        let is_well = |host: &Host| host.healthy || !minds_health;
        let is_asked =
            |host: &Host| host.is_in_service(&is_active) && !tried.contains(host.config.node);
        let any_well = self.hosts.iter().any(|it| is_asked(it) && is_well(it));
        self.find_candidates(now, |host| is_asked(host) && is_well(host) == any_well);
        let least = *self.candidates.iter().min_by_key(|candidate| {
            // Of two that say nothing of their load, the one with fewer connections for its share.
            let connections = u64::from(candidate.assumed()) << 24;
            (candidate.load, connections / u64::from(candidate.share()))
        })?;
        self.candidates.clear();
        self.candidates.push(least);
        Some(least.host)
    }

    /// Whether the search asks its last host with this step: it has no other left, or no host.
    fn ends_with(&self, is_active: impl Fn(NodeNumber) -> bool, tried: &Tried, left: u8) -> bool {
        let mut untried = self
            .hosts
            .iter()
            .filter(|host| host.is_in_service(&is_active) && !tried.contains(host.config.node));
        left == 0 || untried.nth(1).is_none()
    }

    /// Whether the last host that is asked must take a flow.
    pub(crate) fn must_accept(&self) -> bool {
        self.service.overload == Overload::MustAccept
    }

    /// Whether the host is asked only after the others.
    pub(crate) fn is_overflow(&self, node: NodeNumber) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|host| host.config.node == node && host.config.overflow)
    }

    /// Whether flows that nobody takes wait.
    pub(crate) const fn queues(&self) -> bool {
        matches!(self.service.overload, Overload::Queue(_))
    }

    /// Of `count` trackers that share the room that the host has just reported, this is the one at
    /// `place`. Each gets its part by the report alone, without a word; gives how many come before this one
    /// for what is over. What one alone could take, all would offer to.
    pub(crate) fn share(&mut self, node: NodeNumber, (place, count): (u32, u32)) -> u32 {
        let count = count.max(1);
        let Some(host) = self.host_mut(node) else {
            return 0;
        };
        // Another tracker comes first for another host, and after each change.
        let first = host.connections.wrapping_add(u32::from(node.get())) % count;
        let distance = (place % count + count - first) % count;
        host.grant = host.room / count + u32::from(distance < host.room % count);
        distance
    }

    /// The others had their time to take what they wanted: all that is left may be taken.
    pub(crate) fn take_shares(&mut self) {
        for host in &mut self.hosts {
            host.grant = host.room.saturating_sub(host.sent);
        }
    }

    /// The host to ask next of a flow that can't wait, however full hosts are believed to be.
    pub(crate) fn next_at_once(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        flow: FlowHash,
        tried: &Tried,
    ) -> Option<NodeNumber> {
        self.choose(now, is_active, flow, tried, false)
    }

    /// A host whose room a flow that has waited may take, whatever it said before.
    pub(crate) fn for_waiting(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        flow: FlowHash,
    ) -> Option<NodeNumber> {
        // The shadow was asked when the flow came.
        self.find_with_room(now, is_active, |host| host.grant > 0);
        self.pick(flow, false)
    }

    /// A host that reports room and was not tried, if there is one.
    fn with_room(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        flow: FlowHash,
        tried: &Tried,
    ) -> Option<NodeNumber> {
        self.find_with_room(now, is_active, |host| !tried.contains(host.config.node));
        self.pick(flow, tried.is_empty())
    }

    /// The hosts that are active, healthy if any is, have room, and are wanted.
    fn find_with_room(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        wanted: impl Fn(&Host) -> bool,
    ) {
        let minds_health = self.minds_health(&is_active);
        self.find_candidates(now, |host| {
            let is_fit = host.healthy || !minds_health;
            is_fit && host.has_room() && host.is_in_service(&is_active) && wanted(host)
        });
    }

    /// The hosts that are wanted, as policies see them.
    fn find_candidates(&mut self, now: Time, wanted: impl Fn(&Host) -> bool) {
        let slow_start = self.service.slow_start;
        self.candidates.clear();
        let wanted = self.hosts.iter().filter(|host| wanted(host));
        if !self.compares {
            let candidates = wanted.map(|host| host.candidate(now, slow_start));
            self.candidates.extend(candidates);
            return;
        }
        let mut sums = Sums::default();
        for host in wanted {
            let candidate = host.candidate(now, slow_start);
            sums.add(host.lives, &candidate);
            self.candidates.push(candidate);
        }
        // They come in the hosts' order.
        let mut hosts = self.hosts.iter_mut();
        for candidate in &mut self.candidates {
            if let Some(host) = hosts.find(|host| host.config.node == candidate.host) {
                let percent = self.service.min_life_percent;
                host.held_back += u64::from(sums.weigh(host.lives, candidate, percent));
            }
        }
    }

    /// Of the candidates the one that the policy wants. The shadow is asked too, if the flow is new.
    fn pick(&mut self, flow: FlowHash, is_new: bool) -> Option<NodeNumber> {
        let chosen = self.chooser.choose(flow, &self.candidates);
        let Some(shadow) = self.shadow.as_mut().filter(|_| is_new) else {
            return chosen;
        };
        if let Some(would) = shadow.chooser.choose(flow, &self.candidates) {
            shadow.chooser.assigned(would, &self.candidates);
            shadow.choices += 1;
            shadow.same += u64::from(chosen == Some(would));
            let mut hosts = self.hosts.iter_mut();
            if let Some(host) = hosts.find(|host| host.config.node == would) {
                host.shadow_chosen += 1;
            }
        }
        chosen
    }

    /// One of the pool's usual hosts, or of its overflow hosts.
    fn choose(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        flow: FlowHash,
        tried: &Tried,
        overflow: bool,
    ) -> Option<NodeNumber> {
        let minds_health = self.minds_health(&is_active);
        // R4: what is believed of a host's room and health is as old as its last report. A host
        // believed full is asked after those with room, one believed ill after all others, but each
        // is asked: only its own word refuses a client (S3).
        for (healthy, with_room) in [(true, true), (true, false), (false, true), (false, false)] {
            self.find_candidates(now, |host| {
                let node = host.config.node;
                host.config.overflow == overflow
                    && (host.healthy || !minds_health) == healthy
                    && host.has_room() == with_room
                    && host.is_in_service(&is_active)
                    && (!tried.contains(node) || planted::is(Bug::AsksRejectedHostAgain))
            });
            if !self.candidates.is_empty() {
                return self.pick(flow, tried.is_empty());
            }
        }
        None
    }

    /// Whether health is looked at: not where more than the service allows of the weight in service
    /// is unhealthy. Then rather the checks are wrong, or else the rest would be overrun.
    fn minds_health(&self, is_active: impl Fn(NodeNumber) -> bool) -> bool {
        if self.hosts.iter().all(|host| host.healthy) {
            return true;
        }
        let (mut all, mut ill) = (0_u64, 0_u64);
        for host in &self.hosts {
            if host.is_in_service(&is_active) {
                let weight = u64::from(host.config.weight);
                all += weight;
                ill += if host.healthy { 0 } else { weight };
            }
        }
        ill * 100 <= all * u64::from(self.service.max_unhealthy_percent)
    }

    /// The host of the last [`Self::next`] is offered the flow.
    pub fn assigned(&mut self, node: NodeNumber) {
        self.chooser.assigned(node, &self.candidates);
        if let Some(host) = self.host_mut(node) {
            host.sent = host.sent.saturating_add(1);
            host.grant = host.grant.saturating_sub(1);
            host.chosen += 1;
        }
        self.compare(node);
    }

    /// The host is offered a flow that another tracker chose it for: it counts as sent, like one of
    /// this tracker's own.
    pub fn passed(&mut self, node: NodeNumber) {
        if let Some(host) = self.host_mut(node) {
            host.sent = host.sent.saturating_add(1);
        }
        self.compare(node);
    }

    /// The lives of the hosts' flows go on: this one is offered another.
    fn compare(&mut self, node: NodeNumber) {
        if self.compares {
            for host in &mut self.hosts {
                let to_it = host.config.node == node;
                host.lives.pass(self.window, to_it, host.connections);
            }
        }
    }

    /// Takes a host's report; false if the host is not of this pool.
    pub fn report(&mut self, now: Time, node: NodeNumber, report: &ServiceLoad) -> bool {
        if self.service.any_host && !self.has(node) {
            let mut host = Host::new(joined(node));
            host.warmth = Warmth::Unheard;
            self.hosts.push(host);
            self.tell_policy();
        }
        let Some(host) = self.host_mut(node) else {
            return false;
        };
        if host.warmth == Warmth::Unheard || (report.healthy && !host.healthy) {
            host.warmth = Warmth::Since(now);
        }
        host.healthy = report.healthy;
        host.connections = report.connections;
        host.room = report.room;
        host.load = report.load;
        host.sent = 0;
        self.set_window();
        true
    }

    /// The host is in service now, and was not before.
    fn returned(&mut self, now: Time, node: NodeNumber) {
        if let Some(host) = self.host_mut(node)
            && host.warmth != Warmth::Unheard
        {
            host.warmth = Warmth::Since(now);
        }
    }

    /// What is known of every host, in order.
    fn loads(&self, now: Time) -> impl Iterator<Item = HostLoad> {
        let seen = move |host: &Host| host.candidate(now, self.service.slow_start);
        let mut sums = Sums::default();
        for host in &self.hosts {
            sums.add(host.lives, &seen(host));
        }
        self.hosts.iter().map(move |host| HostLoad {
            service: self.service.number,
            host: host.config.node,
            connections: host.connections,
            load: host.load,
            chosen: host.chosen,
            shadow_chosen: host.shadow_chosen,
            life: sums.life_per_mille(host.lives, &seen(host)),
            held_back: host.held_back,
            warmth: seen(host).warmth,
        })
    }

    fn host_mut(&mut self, node: NodeNumber) -> Option<&mut Host> {
        self.hosts.iter_mut().find(|host| host.config.node == node)
    }

    fn has(&self, node: NodeNumber) -> bool {
        self.hosts.iter().any(|host| host.config.node == node)
    }

    /// Whether the view has any host of the pool in service.
    pub(crate) fn has_active_host(&self, nodes: &Nodes) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|host| host.is_in_service(|node| nodes.is_active_host(node)))
    }

    /// The hosts that may have flows of the service: where any host may join the pool, all of the
    /// view, for those that have reported no load yet may be full of them.
    pub(crate) fn members<'a>(&'a self, nodes: &'a Nodes) -> impl Iterator<Item = NodeNumber> + 'a {
        let any = nodes.hosts().filter(|_| self.service.any_host);
        let any = any.map(|member| member.node);
        let listed = self.service.hosts.iter().map(|host| host.node);
        let listed = listed.filter(|_| !self.service.any_host);
        any.chain(listed)
    }

    /// Those of [`Self::members`] that are believed alive.
    pub(crate) fn live_hosts<'a>(
        &'a self,
        nodes: &'a Nodes,
    ) -> impl Iterator<Item = NodeNumber> + 'a {
        let members = self.members(nodes);
        members.filter(|&node| nodes.is_live_host(node))
    }

    /// Forgets hosts that have joined by their reports and are no members of the view any more.
    fn retain(&mut self, nodes: &Nodes) {
        let listed = &self.service.hosts;
        if self.hosts.len() == listed.len() {
            return;
        }
        let before = self.hosts.len();
        self.hosts.retain(|host| {
            let node = host.config.node;
            nodes.role(node) == Some(Role::HostAgent)
                || listed.iter().any(|listed| listed.node == node)
        });
        if self.hosts.len() != before {
            self.tell_policy();
        }
    }
}

/// How a host is in a pool that it has joined by its report.
const fn joined(node: NodeNumber) -> PoolHost {
    PoolHost {
        node,
        weight: 1,
        max_connections: None,
        overflow: false,
    }
}

#[cfg(test)]
mod tests;
