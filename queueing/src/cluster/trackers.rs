//! What each tracker believes of the hosts, and whom it chooses: with the flow tracker's own pool.

use super::{Chooses, Cluster, Host, Mistake};
use jlb_flow_tracker::Pool;
use jlb_flow_tracker::config::{Overload, PoolHost, Service};
use jlb_flow_tracker::policy::PolicyKind;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{ServiceLoad, Tried};
use jlb_protocol::{NodeNumber, Protocol, ServiceNumber, Time};

/// The only service.
pub(super) const SERVICE: ServiceNumber = match ServiceNumber::new(1) {
    Some(service) => service,
    None => unreachable!(),
};

/// Pools ask for the time for slow starts alone, which there are none of.
const NOW: Time = Time::ZERO;

/// The node number of the host at this place.
pub(super) fn node(place: usize) -> Option<NodeNumber> {
    NodeNumber::new(u16::try_from(place + 1).ok()?)
}

fn place(node: NodeNumber) -> usize {
    usize::from(node.get()) - 1
}

/// How the trackers choose.
pub(super) enum Trackers {
    Pools(Vec<Pool>),
    /// The same with [`super::Mistake::ForgetsSent`]: each host's last report is taken again after each choice.
    Forgetful(Vec<Pool>, Vec<Option<ServiceLoad>>),
    /// For each tracker the jobs that each host has of it.
    Own(Vec<Vec<u32>>),
}

impl Trackers {
    pub(super) fn new(cluster: &Cluster, chooses: &Chooses<'_>, seed: u64) -> Self {
        let trackers = u64::from(cluster.trackers.max(1));
        match chooses {
            Chooses::Trackers(policy) => {
                let service = service(cluster, *policy);
                let one = |tracker| Pool::new(&service, seed.wrapping_add(tracker * 7_919));
                let pools = (0..trackers).map(one).collect();
                if cluster.planted == Some(Mistake::ForgetsSent) {
                    Self::Forgetful(pools, vec![None; cluster.hosts.len()])
                } else {
                    Self::Pools(pools)
                }
            }
            Chooses::OwnConnections | Chooses::Oracle(_) => Self::Own(
                (0..trackers)
                    .map(|_| vec![0; cluster.hosts.len()])
                    .collect(),
            ),
        }
    }

    /// Whom the tracker asks next.
    pub(super) fn choose(
        &mut self,
        tracker: u16,
        flow: FlowHash,
        tried: &Tried,
        hosts: &[Host],
    ) -> Option<usize> {
        match self {
            Self::Pools(pools) => {
                let pool = pools.get_mut(usize::from(tracker))?;
                let (host, _) = pool.next(NOW, |_| true, flow, tried, 0)?;
                pool.assigned(host);
                Some(place(host))
            }
            Self::Forgetful(pools, reports) => {
                let pool = pools.get_mut(usize::from(tracker))?;
                let (host, _) = pool.next(NOW, |_| true, flow, tried, 0)?;
                pool.assigned(host);
                if let Some(Some(load)) = reports.get(place(host)) {
                    pool.report(NOW, host, load);
                }
                Some(place(host))
            }
            Self::Own(own) => {
                let jobs = own.get_mut(usize::from(tracker))?;
                let count = jobs.len().max(1);
                // Equal ones by lot.
                let start = usize::try_from(flow.0 % u64::try_from(count).ok()?).ok()?;
                let weight = |at: usize| hosts.get(at).map_or(1, |host| host.weight.max(1));
                let share = |at: &usize| {
                    f64::from(jobs.get(*at).copied().unwrap_or(0)) / f64::from(weight(*at))
                };
                let places = (start..count).chain(0..start);
                let untried =
                    places.filter(|&at| node(at).is_some_and(|node| !tried.contains(node)));
                let best = untried.min_by(|a, b| share(a).total_cmp(&share(b)))?;
                *jobs.get_mut(best)? += 1;
                Some(best)
            }
        }
    }

    /// A job that the tracker sent to the host has ended, or was rejected.
    pub(super) fn ended(&mut self, tracker: u16, host: usize) {
        if let Self::Own(own) = self
            && let Some(jobs) = own.get_mut(usize::from(tracker))
            && let Some(jobs) = jobs.get_mut(host)
        {
            *jobs = jobs.saturating_sub(1);
        }
    }

    /// The tracker passes another one's Offer on to the host.
    pub(super) fn passed(&mut self, tracker: u16, host: usize) {
        if let (Self::Pools(pools), Some(host)) = (self, node(host))
            && let Some(pool) = pools.get_mut(usize::from(tracker))
        {
            pool.passed(host);
        }
    }

    /// One tracker learns a host's load.
    pub(super) fn told(&mut self, tracker: u16, host: usize, load: &ServiceLoad) {
        if let (Self::Pools(pools), Some(host)) = (self, node(host))
            && let Some(pool) = pools.get_mut(usize::from(tracker))
        {
            pool.report(NOW, host, load);
        }
    }

    /// A host's report reaches all.
    pub(super) fn report(&mut self, host: usize, load: &ServiceLoad) {
        if let Self::Forgetful(_, reports) = self
            && let Some(known) = reports.get_mut(host)
        {
            *known = Some(*load);
        }
        if let (Self::Pools(pools) | Self::Forgetful(pools, _), Some(host)) = (self, node(host)) {
            for pool in pools {
                pool.report(NOW, host, load);
            }
        }
    }
}

fn service(cluster: &Cluster, policy: PolicyKind) -> Service {
    let hosts = cluster.hosts.iter().enumerate();
    let hosts = hosts.filter_map(|(at, host)| {
        Some(PoolHost {
            node: node(at)?,
            weight: host.weight,
            max_connections: None,
            overflow: false,
        })
    });
    Service {
        number: SERVICE,
        protocol: Protocol::Tcp,
        hosts: hosts.collect(),
        any_host: false,
        max_unhealthy_percent: 50,
        min_life_percent: cluster.min_life_percent,
        slow_start: None,
        policy,
        shadow: None,
        search_ttl: cluster.search_ttl,
        overload: Overload::Refuse,
        overload_steps: 0,
        direct_hunt: false,
    }
}
