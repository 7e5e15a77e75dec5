//! What clients of the lab saw, in the simulator's figures.

use jlb_queueing::{Cluster, Measured, variation};

/// What became of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It was done.
    Done,
    /// A failing host had it.
    Failed,
    /// Nobody took it.
    Refused,
    /// Anything else.
    Broken,
}

/// One job, as its client saw it. Times are in seconds after the first moment of the run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Seen {
    /// When it was to be sent.
    pub(crate) due: f64,
    /// When it was.
    pub(crate) sent: f64,
    /// When its answer was there.
    pub(crate) ended: f64,
    /// The place of the host that it names.
    pub(crate) host: Option<usize>,
    pub(crate) end: End,
}

/// All of one run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Take {
    /// In order of arrival, those that fill the hosts first.
    pub(crate) seen: Vec<Seen>,
    /// Rejects of all of it.
    pub(crate) rejects: u64,
}

impl Take {
    fn timed(&self, cluster: &Cluster) -> &[Seen] {
        let filling = usize::try_from(cluster.warm_up).unwrap_or(usize::MAX);
        self.seen.get(filling..).unwrap_or_default()
    }

    /// The figures; `unit` is the mean work in seconds.
    pub(crate) fn measured(&self, cluster: &Cluster, unit: f64) -> Measured {
        let timed = self.timed(cluster);
        let of = |end: End| timed.iter().filter(move |seen| seen.end == end);
        let responses = of(End::Done).map(|seen| (seen.ended - seen.due) / unit);
        let mut measured = Measured::of(responses.collect());
        measured.arrived = count(timed.len());
        measured.refused = count(of(End::Refused).count());
        measured.failed = count(of(End::Failed).count());
        // The filling has rejects, too: here are as many as the others had on average.
        let all = count(self.seen.len()).max(1);
        measured.rejects = self.rejects * measured.arrived / all;
        let taken = |host| timed.iter().filter(move |seen| seen.host == Some(host));
        let hosts = cluster.hosts.iter().enumerate();
        measured.given = hosts.map(|(host, _)| count(taken(host).count())).collect();
        let capacities = cluster.hosts.iter().map(|host| host.cores * host.speed);
        let given = measured.given.iter().zip(capacities.clone());
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let shares = variation(given.map(|(&given, capacity)| given as f64 / capacity));
        measured.shares = shares;
        // As often as each host gets a job on average, how many each has at that moment.
        let mut looks = 0.0;
        for seen in timed.iter().step_by(cluster.hosts.len().max(1)) {
            let spread = self.spread_at(seen.due, capacities.clone());
            measured.spread += spread;
            measured.fairness += 1.0 / (1.0 + spread * spread);
            looks += 1.0;
        }
        measured.spread /= f64::max(looks, 1.0);
        measured.fairness /= f64::max(looks, 1.0);
        measured
    }

    /// The coefficient of variation of the hosts' jobs for their capacity.
    fn spread_at(&self, moment: f64, capacities: impl Iterator<Item = f64> + Clone) -> f64 {
        let mut jobs = vec![0.0; capacities.clone().count()];
        let there = |seen: &&Seen| seen.due < moment && seen.ended > moment;
        for seen in self.seen.iter().filter(there) {
            if let Some(jobs) = seen.host.and_then(|host| jobs.get_mut(host)) {
                *jobs += 1.0;
            }
        }
        variation(
            jobs.iter()
                .zip(capacities)
                .map(|(jobs, capacity)| jobs / capacity),
        )
    }

    /// Jobs that were neither done, nor refused, nor taken by a host that fails.
    pub(crate) fn broken(&self) -> u64 {
        let broken = self.seen.iter().filter(|seen| seen.end == End::Broken);
        count(broken.count())
    }

    /// How late the client was, in seconds: 99 of a hundred jobs were sent sooner. Late clients are what a busy machine
    /// has; a response counts from when the job was due.
    pub(crate) fn late(&self) -> f64 {
        let late = self.seen.iter().map(|seen| seen.sent - seen.due);
        Measured::of(late.collect()).quantile(990)
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
