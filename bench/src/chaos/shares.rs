//! How many connections pass through which node, and whom a fault is to hit.

use std::collections::BTreeMap;

use jlb_config::ClusterConfig;
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::rank::{Ranking, Ranks};
use jlb_protocol::services::ServiceMap;
use jlb_protocol::view::{Member, MemberState, View};
use jlb_protocol::{FlowKey, NodeNumber, Protocol};

use super::clients::Live;
use super::paths::Seen;
use crate::cluster_file;
use crate::error::{Doing, LabError, Result};
use crate::plan::{Node, Plan, Role};

/// Ranks flows as the nodes do.
pub(crate) struct Ranker {
    key: HashKey,
    services: ServiceMap,
}

impl Ranker {
    /// Knows the secret and the services of a lab's cluster.
    pub(crate) fn of(plan: &Plan) -> Result<Self> {
        let path = plan.directory().join(cluster_file::FILE);
        let loaded = ClusterConfig::load(&path).doing(format_args!("read {}", path.display()))?;
        Ok(Self {
            key: loaded.config.keys.hash_key(),
            services: ServiceMap::new(&loaded.config.service_matches()),
        })
    }

    fn flow(&self, live: &Live) -> Result<FlowHash> {
        let (vip, port) = (live.target.ip(), live.target.port());
        let service = self.services.find(vip, Protocol::Tcp, port);
        let service =
            service.ok_or_else(|| LabError::new(format!("no service is at {}", live.target)))?;
        let key = FlowKey::new(live.local.ip(), live.local.port(), service, port);
        Ok(self.key.flow_hash(&key))
    }
}

/// The nodes that one connection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Through {
    /// `None` if no packet of it was seen.
    pub(crate) ingress: Option<String>,
    pub(crate) primary: Option<String>,
    pub(crate) secondary: Option<String>,
    pub(crate) host: String,
}

/// The nodes that each connection needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares(pub(crate) Vec<Through>);

impl Shares {
    /// Of these connections, whose packets were seen at these ingress nodes, while these trackers
    /// are active.
    pub(crate) fn of(
        plan: &Plan,
        live: &[Live],
        seen: &Seen,
        ranker: &Ranker,
        trackers: &[&Node],
    ) -> Result<Self> {
        let members = trackers.iter().filter_map(|node| {
            Some(Member {
                node: NodeNumber::new(node.number)?,
                role: jlb_protocol::Role::FlowTracker,
                state: MemberState::Active,
                incarnation: 0,
                domain: None,
            })
        });
        let ranking = Ranking::new(ranker.key, &View::new(members.collect()));
        let name = |number: u16| {
            let node = plan.all().find(|node| node.number == number);
            node.map(|node| node.name.clone())
        };
        let through = live.iter().map(|live| {
            let Ranks { primary, secondary } = ranking.ranks(ranker.flow(live)?);
            Ok(Through {
                ingress: seen.get(&live.local).and_then(|&number| name(number)),
                primary: primary.and_then(|node| name(node.get())),
                secondary: secondary.and_then(|node| name(node.get())),
                host: live.host.clone(),
            })
        });
        through.collect::<Result<_>>().map(Self)
    }

    /// The share of connections that need any of these nodes as ingress, host or primary tracker,
    /// from 0 to 1.
    pub(crate) fn through(&self, nodes: &[String]) -> f64 {
        let has = |node: &Option<String>| node.as_ref().is_some_and(|node| nodes.contains(node));
        self.share(|t| has(&t.ingress) || has(&t.primary) || nodes.contains(&t.host))
    }

    /// The share of connections whose both trackers are among these nodes.
    pub(crate) fn through_both(&self, nodes: &[String]) -> f64 {
        let has = |node: &Option<String>| node.as_ref().is_some_and(|node| nodes.contains(node));
        self.share(|t| has(&t.primary) && has(&t.secondary))
    }

    fn share(&self, what: impl Fn(&Through) -> bool) -> f64 {
        let count = self.0.iter().filter(|through| what(through)).count();
        count as f64 / self.0.len().max(1) as f64
    }

    /// The ingress through which most connections pass.
    pub(crate) fn busiest_ingress(&self) -> Option<String> {
        busiest(self.0.iter().filter_map(|t| t.ingress.clone()))
    }

    /// The tracker that is primary of most connections.
    pub(crate) fn busiest_tracker(&self) -> Option<String> {
        busiest(self.0.iter().filter_map(|t| t.primary.clone()))
    }

    /// The ingress through which most connections pass, and the tracker that is primary of most
    /// of those.
    pub(crate) fn busiest_ingress_and_tracker(&self) -> Option<[String; 2]> {
        let ingress = self.busiest_ingress()?;
        let of_it = self
            .0
            .iter()
            .filter(|t| t.ingress.as_ref() == Some(&ingress));
        let tracker = busiest(of_it.filter_map(|t| t.primary.clone()))?;
        Some([ingress, tracker])
    }

    /// The two trackers that are primary and secondary, in any order, of most connections.
    pub(crate) fn busiest_pair(&self) -> Option<[String; 2]> {
        busiest(self.0.iter().filter_map(|t| {
            let mut pair = [t.primary.clone()?, t.secondary.clone()?];
            pair.sort();
            Some(pair)
        }))
    }

    /// The host that serves most connections.
    pub(crate) fn busiest_host(&self) -> Option<String> {
        busiest(self.0.iter().map(|t| t.host.clone()))
    }
}

/// What comes most often; of several the first in order.
fn busiest<T: Ord>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counts = BTreeMap::<T, u32>::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    counts
        .into_iter()
        .find_map(|(one, count)| (count == most).then_some(one))
}

/// The share of the connections seen both times whose ingress is another one, from 0 to 1.
pub(crate) fn changed_ingress(before: &Seen, after: &Seen, live: &[Live]) -> f64 {
    let both = live
        .iter()
        .filter_map(|live| Some((before.get(&live.local)?, after.get(&live.local)?)));
    let (mut all, mut changed) = (0_u32, 0_u32);
    for (one, other) in both {
        all += 1;
        changed += u32::from(one != other);
    }
    f64::from(changed) / f64::from(all.max(1))
}

/// The trackers of these nodes.
pub(crate) fn trackers<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<&'a Node> {
    nodes.filter(|node| node.role == Role::Tracker).collect()
}

#[cfg(test)]
mod tests;
