//! The hosts of a service, for searches that the ingress runs itself (R13).

use crate::config::Service;
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::message::Tried;
use jlb_protocol::{MemberState, NodeNumber, Role, View};

/// A host of a pool, as the view has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolMember {
    pub(crate) node: NodeNumber,
    pub(crate) state: MemberState,
    weight: u16,
}

/// The pool's hosts that are members of the view. The service's own list is sorted by number, as
/// [`crate::matching::Matching`] keeps it: a pool of any host may have a thousand of both.
pub(crate) fn members<'a>(
    service: &'a Service,
    view: &'a View,
) -> impl Iterator<Item = PoolMember> + 'a {
    let member = |node, weight| {
        let member = view.member(node)?;
        (member.role == Role::HostAgent).then_some(PoolMember {
            node,
            state: member.state,
            weight,
        })
    };
    let listed = service
        .hosts
        .iter()
        .filter_map(move |host| member(host.node, host.weight));
    let is_listed = |node| {
        let at = service.hosts.binary_search_by_key(&node, |host| host.node);
        at.is_ok()
    };
    let others = view
        .members()
        .iter()
        .filter(move |member| service.any_host && !is_listed(member.node))
        .filter_map(move |other| member(other.node, 1));
    listed.chain(others)
}

/// The host that is asked next: of the active ones that were not tried (R6), the first in the flow's
/// weighted rendezvous order. It is the same at every ingress, so that a repeat that comes
/// through another one finds the same host.
pub(crate) fn choose(
    service: &Service,
    view: &View,
    key: &HashKey,
    flow: FlowHash,
    tried: &Tried,
) -> Option<NodeNumber> {
    members(service, view)
        .filter(|host| host.state == MemberState::Active && !tried.contains(host.node))
        .min_by_key(|host| {
            let score = key.score(flow, host.node);
            (draw(score, host.weight), host.node)
        })
        .map(|host| host.node)
}

/// When a clock that rings `weight` times as often as others rings first: exponentially distributed,
/// so that the first of all clocks is each in proportion to its weight.
fn draw(score: u64, weight: u16) -> u128 {
    (u128::from(minus_log2(score)) << 32) / u128::from(weight.max(1))
}

/// -log2(score / 2^64) in units of 2^-32, above 0: in whole numbers, so that every build on every
/// node computes it alike.
fn minus_log2(score: u64) -> u64 {
    let score = score.max(1);
    let whole = score.ilog2();
    // The mantissa, from 1 to below 2 in units of 2^-63; squaring it brings out one bit of its
    // logarithm after the other.
    let mut mantissa = u128::from(score << score.leading_zeros());
    let mut fraction = 0_u64;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        fraction = (fraction << 1) | u64::from(bit == 1);
    }
    (64 << 32) - ((u64::from(whole) << 32) | fraction)
}

#[cfg(test)]
mod tests;
