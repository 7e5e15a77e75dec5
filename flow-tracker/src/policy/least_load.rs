//! Least load: what the host says of itself, and what was offered to it since.

use super::turn::Turn;
use super::{Candidate, Policy};
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// The load that one more flow is assumed to be, for a weight of 1, where a host has none to tell by:
/// 256 of them are full.
const UNKNOWN: u64 = 256;

/// The host with the lowest load; equal ones in turn. Each flow that was offered since the report
/// counts as much as one of those reported, or as a host's limit says, so that a low report does not
/// draw all flows until the next one comes. Weights count only where neither tells anything.
#[derive(Clone, Debug)]
pub struct LeastLoad {
    turn: Turn,
}

impl LeastLoad {
    /// A policy whose first tie falls to a host that the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            turn: Turn::new(seed),
        }
    }
}

/// The load that the host is assumed to have now, in parts of 2^-16 of what it reports in.
fn assumed(candidate: &Candidate) -> u128 {
    let load = u64::from(candidate.load);
    let by_flow = load.checked_div(u64::from(candidate.connections));
    let full = u64::from(u16::MAX);
    let by_limit = candidate
        .limit
        .and_then(|limit| full.checked_div(u64::from(limit)));
    let step = by_flow
        .max(by_limit)
        .unwrap_or(UNKNOWN / u64::from(candidate.weight.max(1)));
    let since = u128::from(candidate.sent) * (u128::from(step.max(1)) << 16);
    (u128::from(load) << 16) + since
}

impl Policy for LeastLoad {
    fn choose(&self, _flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        self.turn.least(candidates, |a, b| {
            let left = assumed(a) * u128::from(b.warmth);
            let right = assumed(b) * u128::from(a.warmth);
            left.cmp(&right)
        })
    }

    fn assigned(&mut self, _host: NodeNumber, _candidates: &[Candidate]) {
        self.turn.pass();
    }
}

impl Digest for LeastLoad {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { turn } = self;
        turn.digest(into);
    }
}
