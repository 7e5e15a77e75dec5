//! The hosts of a service, for searches that the ingress runs itself (R13).

use crate::config::Service;
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::message::Tried;
use jlb_protocol::{MemberState, NodeNumber, Role, View, weighted};

/// A host of a pool, as the view has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolMember {
    pub(crate) node: NodeNumber,
    pub(crate) state: MemberState,
    weight: u16,
    overflow: bool,
}

/// The pool's hosts that are members of the view. The service's own list is sorted by number, as
/// [`crate::matching::Matching`] keeps it: a pool of any host may have a thousand of both.
pub(crate) fn members<'a>(
    service: &'a Service,
    view: &'a View,
) -> impl Iterator<Item = PoolMember> + 'a {
    let member = |node, weight, overflow| {
        let member = view.member(node)?;
        (member.role == Role::HostAgent).then_some(PoolMember {
            node,
            state: member.state,
            weight,
            overflow,
        })
    };
    let listed = service
        .hosts
        .iter()
        .filter_map(move |host| member(host.node, host.weight, host.overflow));
    let is_listed = |node| {
        let at = service.hosts.binary_search_by_key(&node, |host| host.node);
        at.is_ok()
    };
    let others = view
        .members()
        .iter()
        .filter(move |member| service.any_host && !is_listed(member.node))
        .filter_map(move |other| member(other.node, 1, false));
    listed.chain(others)
}

/// The host that is asked next: of the active ones that take new flows and were not tried (R6), the first in the flow's
/// weighted rendezvous order, overflow hosts after the others. It is the same at every ingress, so that a repeat that comes
/// through another one finds the same host.
pub(crate) fn choose(
    service: &Service,
    view: &View,
    key: &HashKey,
    flow: FlowHash,
    tried: &Tried,
) -> Option<NodeNumber> {
    members(service, view)
        .filter(|host| host.state == MemberState::Active && host.weight > 0)
        .filter(|host| !tried.contains(host.node))
        .min_by_key(|host| {
            let score = key.score(flow, host.node);
            let draw = weighted::draw(score, host.weight);
            (host.overflow, draw, host.node)
        })
        .map(|host| host.node)
}

#[cfg(test)]
mod tests;
