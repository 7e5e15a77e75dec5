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
    if all.sent != network.offered {
        let offered = network.offered;
        return Some(format!("{} sent, but the network got {offered}", all.sent));
    }
    if network.offered + network.doubled != network.delivered + network.lost + network.in_flight {
        return Some(format!("the network does not add up: {network:?}"));
    }
    let handed_in = network.delivered + from_clients;
    (all.received != handed_in)
        .then(|| format!("{} received, but {handed_in} handed in", all.received))
}
