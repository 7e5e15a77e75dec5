//! What nodes say that they have dropped.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::scrape::NodeSamples;

/// Messages and packets that a node dropped for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Dropped {
    pub(super) node: String,
    pub(super) layer: String,
    pub(super) reason: String,
    pub(super) count: u64,
}

/// The reason of answers that came again, or to what was asked again meanwhile.
const ANSWERED_AGAIN: &str = "stale_answer";

impl Dropped {
    /// Whether something may be missing now. Who waits long for an answer asks again, and may then get it twice.
    pub(super) fn is_loss(&self) -> bool {
        self.reason != ANSWERED_AGAIN
    }

    /// All since the nodes were started.
    pub(super) fn all(metrics: &[NodeSamples]) -> Vec<Self> {
        let of_node = |node: &NodeSamples| {
            let name = node.node.clone();
            let drops = node.drops().into_iter();
            drops.map(move |(layer, reason, count)| Self {
                node: name.clone(),
                layer,
                reason,
                count,
            })
        };
        metrics.iter().flat_map(of_node).collect()
    }

    /// What of `now` came after `before`.
    pub(super) fn since(before: &[Self], now: Vec<Self>) -> Vec<Self> {
        let earlier: HashMap<_, _> = before
            .iter()
            .map(|it| ((&it.node, &it.layer, &it.reason), it.count))
            .collect();
        now.into_iter()
            .filter_map(|it| {
                let before = earlier.get(&(&it.node, &it.layer, &it.reason));
                let count = it.count.saturating_sub(before.copied().unwrap_or(0));
                (count > 0).then_some(Self { count, ..it })
            })
            .collect()
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            layer,
            reason,
            count,
        } = self;
        write!(f, "{node}, {layer}, {reason}: {count}")
    }
}
