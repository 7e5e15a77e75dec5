//! Balancers that no host tells anything, as clients of the lab play them: each counts the jobs that it sent itself and
//! that have not ended. One that sends all jobs knows everything.

use jlb_queueing::Cluster;

use crate::policies::combination::Who;

/// Who chooses hosts by counting.
#[derive(Clone, Debug)]
pub(crate) struct Balancers {
    /// By balancer and host.
    jobs: Vec<Vec<u32>>,
    /// What a host is measured by: its capacity or its weight.
    parts: Vec<f64>,
    /// What the new job counts when hosts are compared.
    new: f64,
    lots: u64,
}

impl Balancers {
    /// Those of a combination; `None` where the trackers choose, or somebody whom clients can't play.
    pub(crate) fn of(who: Who, cluster: &Cluster) -> Option<Self> {
        let hosts = cluster.hosts.iter();
        let (balancers, parts, new): (u16, Vec<f64>, f64) = match who {
            Who::JoinShortest => (1, hosts.map(|it| it.cores * it.speed).collect(), 1.0),
            Who::OwnConnections => {
                let weights = hosts.map(|it| f64::from(it.weight.max(1)));
                (cluster.trackers.max(1), weights.collect(), 0.0)
            }
            _ => return None,
        };
        Some(Self {
            jobs: vec![vec![0; parts.len()]; usize::from(balancers)],
            parts,
            new,
            lots: cluster.seed,
        })
    }

    /// A number without a pattern (Steele et al., `SplitMix64`).
    fn lot(&mut self) -> usize {
        self.lots = self.lots.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut lot = self.lots;
        lot = (lot ^ (lot >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        lot = (lot ^ (lot >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((lot ^ (lot >> 31)) >> 33).unwrap_or(0)
    }

    /// Sends a job: which balancer does, and to which host.
    pub(crate) fn send(&mut self) -> (usize, usize) {
        let count = self.parts.len().max(1);
        let (balancer, start) = (self.lot() % self.jobs.len().max(1), self.lot() % count);
        let share = |host: &usize| {
            let jobs = self.jobs.get(balancer).and_then(|jobs| jobs.get(*host));
            let part = self.parts.get(*host).copied().unwrap_or(1.0);
            (f64::from(jobs.copied().unwrap_or(0)) + self.new) / part
        };
        // Equal ones by lot.
        let hosts = (start..count).chain(0..start);
        let host = hosts.min_by(|a, b| share(a).total_cmp(&share(b)));
        let host = host.unwrap_or(0);
        if let Some(jobs) = self.at(balancer, host) {
            *jobs += 1;
        }
        (balancer, host)
    }

    /// A job has ended.
    pub(crate) fn ended(&mut self, (balancer, host): (usize, usize)) {
        if let Some(jobs) = self.at(balancer, host) {
            *jobs = jobs.saturating_sub(1);
        }
    }

    fn at(&mut self, balancer: usize, host: usize) -> Option<&mut u32> {
        self.jobs.get_mut(balancer)?.get_mut(host)
    }
}

#[cfg(test)]
mod tests;
