//! Maglev hashing (Eisenbud et al., NSDI 2016, 3.4), with weights.

use super::{Candidate, Policy};
use alloc::vec;
use alloc::vec::Vec;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::{NodeNumber, weighted};

/// The table's size, a prime (Maglev's own small one): with up to 655 hosts of one weight no host's share is more than
/// 1 % off.
const SMALL: usize = 65_537;

/// The size for more hosts (Maglev's own large one).
const LARGE: usize = 655_373;

/// Hosts above which the large table is taken.
const MANY: usize = 655;

/// Every tracker makes the same table, so nothing about it is secret; a client cannot aim all the same, since
/// flow hashes are keyed.
const KEY: HashKey = HashKey::new([0; 16]);

/// Always the same host for a flow (a client's address and port), whichever tracker chooses. A host that comes or goes moves
/// few flows of others. A flow whose host is out of service, tried or believed full goes to
/// another one by weighted rendezvous hashing, the same for all that see the same.
#[derive(Clone, Debug)]
pub struct ConsistentHash {
    hosts: Vec<(NodeNumber, u16)>,
    /// Places in `hosts`; empty without hosts.
    table: Vec<u16>,
}

impl ConsistentHash {
    /// A policy that knows no hosts yet. It is the same for every seed.
    #[must_use]
    pub const fn new(_seed: u64) -> Self {
        Self {
            hosts: Vec::new(),
            table: Vec::new(),
        }
    }

    fn preferred(&self, flow: FlowHash) -> Option<NodeNumber> {
        let size = u64::try_from(self.table.len()).ok()?;
        let slot = usize::try_from(flow.0.checked_rem(size)?).ok()?;
        let host = usize::from(*self.table.get(slot)?);
        self.hosts.get(host).map(|(node, _)| *node)
    }
}

/// A host's order of preference over the table's slots: it visits each once, since the size is prime.
struct Preferences {
    next: usize,
    skip: usize,
    /// What it has of a turn: it takes a slot for each `whole`.
    credit: u32,
    weight: u32,
}

/// The table of these hosts: they take slots in turns, a host of half the weight in every other, each the first
/// free one in its own order.
fn table(hosts: &[(NodeNumber, u16)]) -> Vec<u16> {
    let size = if hosts.len() > MANY { LARGE } else { SMALL };
    let place = |hash: u64, below: usize| {
        let below = u64::try_from(below).unwrap_or(u64::MAX);
        usize::try_from(hash.checked_rem(below).unwrap_or(0)).unwrap_or(0)
    };
    let whole = hosts.iter().map(|(_, weight)| u32::from(*weight)).max();
    let whole = whole.unwrap_or(1).max(1);
    let mut preferences: Vec<_> = hosts
        .iter()
        .map(|&(node, weight)| Preferences {
            next: place(KEY.score(FlowHash(0), node), size),
            skip: place(KEY.score(FlowHash(1), node), size - 1) + 1,
            credit: 0,
            weight: u32::from(weight.max(1)),
        })
        .collect();
    const FREE: u16 = u16::MAX;
    let mut table = vec![FREE; if hosts.is_empty() { 0 } else { size }];
    let mut left = table.len();
    while left > 0 {
        for (host, order) in (0..FREE).zip(&mut preferences) {
            order.credit += order.weight;
            if order.credit < whole {
                continue;
            }
            order.credit -= whole;
            while let Some(slot) = table.get_mut(order.next) {
                order.next = (order.next + order.skip) % size;
                if *slot == FREE {
                    *slot = host;
                    left -= 1;
                    break;
                }
            }
            if left == 0 {
                break;
            }
        }
    }
    table
}

impl Policy for ConsistentHash {
    fn pool_is(&mut self, hosts: &[(NodeNumber, u16)]) {
        let mut hosts = hosts.to_vec();
        // In the order of their numbers, so that the order in which they came makes no difference.
        hosts.sort_unstable();
        hosts.truncate(usize::from(u16::MAX));
        if hosts != self.hosts {
            self.table = table(&hosts);
            self.hosts = hosts;
        }
    }

    fn choose(&self, flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        let preferred = self.preferred(flow);
        let preferred = preferred.filter(|host| candidates.iter().any(|it| it.host == *host));
        preferred.or_else(|| {
            let first = candidates.iter().min_by_key(|candidate| {
                let score = KEY.score(flow, candidate.host);
                (weighted::draw(score, candidate.weight), candidate.host)
            });
            first.map(|candidate| candidate.host)
        })
    }

    fn assigned(&mut self, _host: NodeNumber, _candidates: &[Candidate]) {}

    fn minds_load(&self) -> bool {
        false
    }
}

impl Digest for ConsistentHash {
    fn digest(&self, into: &mut Digester<'_>) {
        // The table follows from the hosts.
        let Self { hosts, table: _ } = self;
        into.value(hosts);
    }
}
