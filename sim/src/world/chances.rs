//! What the cluster could have done for an attempt, and what faults excuse.

use super::World;
use crate::checks::opens::{Attempt, Chances};
use crate::disturbances::Disturbances;
use core::time::Duration;
use jlb_protocol::{NodeNumber, ServiceNumber, Time};

/// A connection is known to its trackers this long after its client's first SYN, if that and what
/// follows is not lost more than once or twice.
const PUBLISHES: Duration = Duration::from_millis(500);

/// What a fault has done to nodes' views is healed this long after it: a heartbeat with a host.
const VIEWS_HEAL: Duration = Duration::from_millis(200);

impl World {
    /// What the cluster can do for an attempt at a service.
    pub(super) fn chances(&self, service: ServiceNumber, attempt: &Attempt) -> Chances {
        let Some(service) = self.topology.service(service) else {
            return Chances {
                all_asked: false,
                open_since: None,
                at_most_one_tracker_failed: false,
            };
        };
        let open_since = |host: &NodeNumber| {
            let side = self.hosts.get(host)?;
            let up = self.nodes.get(host).is_some_and(|node| node.is_up());
            if !up || self.draining.contains(host) || self.gone.contains(host) {
                return None;
            }
            let closed = side.closed_at.get(&service.number).copied();
            let disturbed = self.disturbances.last(self.now, *host);
            Some(closed.max(disturbed).unwrap_or(Time::ZERO))
        };
        // Where all are known to be full, the steps of the overload policy alone are left, and the record of an
        // attempt before may bind the last of them to a host of which nobody knows yet that it is gone (R1).
        let is_up = |host: &NodeNumber| self.nodes.get(host).is_some_and(|node| node.is_up());
        let may_be_bound = service.overload_steps > 0 && !service.hosts.iter().all(is_up);
        Chances {
            all_asked: !self.topology.tight
                && !may_be_bound
                && usize::from(service.least_ttl - service.overload_steps) >= service.hosts.len(),
            open_since: service.hosts.iter().filter_map(open_since).min(),
            // A tracker that has just come back may not know a flow yet.
            at_most_one_tracker_failed: self.disturbances.trackers_since(attempt.began) <= 1,
        }
    }

    /// Whether faults excuse that a handshake of the attempt that began then went to two hosts, or
    /// that a host's half-open connection was overlooked: more than one tracker (or rack of them), or the only one, failed
    /// or left meanwhile, or one of these hosts was cut off, paused or restarted.
    pub(super) fn is_excused(&self, began: Time, hosts: &[NodeNumber]) -> bool {
        self.excuses(&self.disturbances, began, hosts)
    }

    /// Whether all of the connection of a client's attempt is excused: the same happened while it was
    /// opened, or within one publishing interval after that, so that none of the trackers may have
    /// heard of the host that took it; or just before, so that views were still wrong.
    pub(super) fn is_never_published(&self, client: usize, hosts: &[NodeNumber]) -> bool {
        let Attempt {
            began, connected, ..
        } = self.dossiers[client].attempt;
        let unseen = Time::ZERO + began.since(Time::ZERO + VIEWS_HEAL);
        let opened = connected.unwrap_or(began);
        let opening = self.disturbances.between(unseen, opened + PUBLISHES);
        self.excuses(&opening, began, hosts)
    }

    /// Whether the client's present life has an initial sequence number that does not lie ahead of
    /// those of all its former ones.
    pub(super) fn is_out_of_order(&self, client: usize) -> bool {
        let lives = &self.dossiers[client].lives;
        let Some((last, before)) = lives.split_last() else {
            return false;
        };
        before.iter().any(|&isn| last.wrapping_sub(isn) >= 1 << 31)
    }

    fn excuses(&self, disturbances: &Disturbances, began: Time, hosts: &[NodeNumber]) -> bool {
        let failed = disturbances.trackers_lost_since(began);
        // The only tracker is all of them.
        failed > 1
            || failed >= self.topology.trackers_apart()
            || hosts
                .iter()
                .any(|&host| disturbances.concerned_since(host, began))
    }
}
