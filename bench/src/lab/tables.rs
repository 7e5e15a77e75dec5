//! Waits for the nodes to forget what is over (S5).

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Lab;
use crate::error::Result;
use crate::scrape::NodeSamples;

/// The longest that flows may take to be forgotten after the load: linger plus 5 s (S5).
pub(crate) const FORGET_DEADLINE: Duration = Duration::from_secs(7);
/// The same where kernels have so many entries of TIME_WAIT left that it takes long to list them: two complete lists,
/// between which hosts rest for up to 10 s, besides the linger.
pub(crate) const LONG_FORGET_DEADLINE: Duration = Duration::from_secs(30);
/// How often tables are looked at meanwhile.
const FORGET_INTERVAL: Duration = Duration::from_millis(200);
/// The gauges of flows that go to zero after the last close, whatever the role.
const FLOW_GAUGES: [&str; 6] = [
    "jlb_tracker_flows",
    "jlb_tracker_searches",
    "jlb_host_flows",
    "jlb_ingress_flows",
    "jlb_ingress_pending_flows",
    "jlb_host_statements_pending",
];

/// What is left in tables after the load.
#[derive(Clone, Debug)]
pub(crate) struct Forgotten {
    /// How long it took until nothing was left, or until it was no longer waited for.
    pub(crate) after: Duration,
    /// What was left then.
    pub(crate) left: Vec<Left>,
}

/// Flows that a table still has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Left {
    /// The node.
    pub(crate) node: String,
    /// The gauge that says so.
    pub(crate) gauge: &'static str,
    /// How many.
    pub(crate) count: u64,
}

impl Lab {
    /// Waits until no table holds a flow any more, but not for ever; returns what was left, and
    /// the metrics that say so.
    pub(crate) async fn forget(&self, deadline: Duration) -> Result<(Forgotten, Vec<NodeSamples>)> {
        let begin = Instant::now();
        loop {
            let metrics = self.metrics().await?;
            let left = flows_left(&metrics);
            let after = begin.elapsed();
            if left.is_empty() || after >= deadline {
                return Ok((Forgotten { after, left }, metrics));
            }
            sleep(FORGET_INTERVAL).await;
        }
    }
}

/// The tables that still have flows.
fn flows_left(metrics: &[NodeSamples]) -> Vec<Left> {
    let of = |node: &NodeSamples, gauge: &'static str| {
        let count = node.samples.sum(gauge, &[]).filter(|&count| count > 0)?;
        Some(Left {
            node: node.node.clone(),
            gauge,
            count,
        })
    };
    metrics
        .iter()
        .flat_map(|node| FLOW_GAUGES.iter().filter_map(move |gauge| of(node, gauge)))
        .collect()
}
