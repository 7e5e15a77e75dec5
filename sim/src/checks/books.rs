//! S6: conservation, on every node and in the cluster.

use crate::network::Network;
use crate::node::Sums;
use jlb_protocol::Ledger;

/// What is wrong with a node's books.
pub(crate) fn check_node(ledger: &Ledger) -> Option<String> {
    let imbalance = ledger.imbalance();
    (imbalance != 0).then(|| format!("{imbalance} not accounted for: {ledger:?}"))
}

/// What is wrong with the sums of all nodes, of which clients sent `from_clients` packets to the
/// ingress nodes.
pub(crate) fn check_cluster(all: Sums, network: &Network, from_clients: u64) -> Option<String> {
    let handed_in = all.link_delivered + from_clients - all.own_got;
    let sums = [
        ("links sent", all.link_sent, "network got", network.offered),
        (
            "links got",
            all.link_received,
            "network handed out",
            network.delivered,
        ),
        (
            "roles and membership sent",
            all.role_sent + all.own_sent,
            "links sealed",
            all.sealed,
        ),
        (
            "roles got",
            all.role_received,
            "links and clients handed in",
            handed_in,
        ),
        (
            "network got and doubled",
            network.offered + network.doubled,
            "it accounts for",
            network.delivered + network.lost + network.in_flight,
        ),
    ];
    let (what, one, than, other) = sums.into_iter().find(|(_, one, _, other)| one != other)?;
    Some(format!("{what}: {one}, {than}: {other}"))
}
