//! What a run of a cluster showed.

/// What came out of one run. Times are in units of the mean work of a job.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Measured {
    /// Response times, sorted: from a job's arrival at its tracker to its end, the search included. Jobs of failing
    /// hosts and refused ones have none.
    pub(crate) responses: Vec<f64>,
    /// Jobs that arrived while it was measured.
    pub arrived: u64,
    /// Rejects.
    pub rejects: u64,
    /// Jobs that nobody took.
    pub refused: u64,
    /// Jobs that a failing host took.
    pub failed: u64,
    /// Jobs that each host took.
    pub given: Vec<u64>,
    /// Load reports that a host sent to each tracker in a unit of time, on average.
    pub reports: f64,
    /// Coefficient of variation of the connections for the capacity over the hosts, on average over moments.
    pub spread: f64,
    /// Jain's fairness index of the same: 1 if all are equal, one over the number of hosts if one has all.
    pub fairness: f64,
    /// Coefficient of variation over the hosts of the jobs taken for the capacity.
    pub shares: f64,
}

impl Measured {
    /// Of these responses; all else is zero.
    #[must_use]
    pub fn of(responses: Vec<f64>) -> Self {
        let mut measured = Self::default();
        measured.set_responses(responses);
        measured
    }

    pub(crate) fn set_responses(&mut self, mut responses: Vec<f64>) {
        responses.sort_unstable_by(f64::total_cmp);
        self.responses = responses;
    }

    /// How many responses were timed.
    #[must_use]
    pub fn timed(&self) -> usize {
        self.responses.len()
    }

    /// The mean response time.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let count = u32::try_from(self.responses.len()).unwrap_or(u32::MAX);
        self.responses.iter().sum::<f64>() / f64::from(count.max(1))
    }

    /// The response time that so many of a thousand jobs do not exceed.
    #[must_use]
    pub fn quantile(&self, per_mille: u16) -> f64 {
        let count = self.responses.len();
        let place = (count * usize::from(per_mille)).div_ceil(1_000).max(1) - 1;
        self.responses.get(place).copied().unwrap_or(0.0)
    }

    /// Rejects for each job.
    #[must_use]
    pub fn rejects_each(&self) -> f64 {
        ratio(self.rejects, self.arrived)
    }

    /// The part of the jobs that nobody took.
    #[must_use]
    pub fn refused_part(&self) -> f64 {
        ratio(self.refused, self.arrived)
    }

    /// The part of the jobs that failing hosts took.
    #[must_use]
    pub fn failed_part(&self) -> f64 {
        ratio(self.failed, self.arrived)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn ratio(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

/// The coefficient of variation: the standard deviation over the mean; 0 where all is 0.
#[must_use]
pub fn variation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count: f64 = values.clone().map(|_| 1.0).sum();
    let mean = values.clone().sum::<f64>() / count;
    if mean.is_nan() || mean == 0.0 {
        return 0.0;
    }
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (squares / count).sqrt() / mean
}

#[cfg(test)]
mod tests;
