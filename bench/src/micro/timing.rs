//! How long a case takes. Machines are shared and noisy: what others do can only add time, so many short samples are
//! taken, and the least and the middle one are told.

use std::time::{Duration, Instant};

use super::cases::{Case, Run};
use crate::error::Result;

/// How long a sample takes at least; long beside a look at the clock.
const SAMPLE: Duration = Duration::from_millis(5);

/// Samples of a case, at least.
const LEAST: usize = 9;

/// Nanoseconds that each packet or flow took, of all samples.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Times {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
    pub(crate) samples: usize,
}

impl Times {
    /// Of samples; `None` without any.
    fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        Some(Self {
            least: *samples.first()?,
            median: *samples.get(samples.len() / 2)?,
            most: *samples.last()?,
            samples: samples.len(),
        })
    }
}

/// Runs a case for about so long; gives the times, and what the case has become.
///
/// # Errors
/// If the case does not do what it is to measure.
pub(crate) fn time(case: &Case, span: Duration) -> Result<(Option<Times>, Run)> {
    let mut run = case.prepare()?;
    let mut times = 32;
    // The first ones warm the caches, and tell how many make a sample.
    loop {
        let (took, done) = sample(&mut run, times)?;
        if took >= SAMPLE {
            break;
        }
        let aim = done.saturating_mul(2);
        times = aim;
    }
    let mut samples = Vec::new();
    let mut spent = Duration::ZERO;
    while samples.len() < LEAST || spent < span {
        let (took, done) = sample(&mut run, times)?;
        spent += took;
        samples.push(took.as_nanos() as f64 / done as f64);
    }
    Ok((Times::of(samples), run))
}

fn sample(run: &mut Run, times: u64) -> Result<(Duration, u64)> {
    #[allow(
        clippy::disallowed_methods,
        reason = "a benchmark measures how long something really takes"
    )]
    let begin = Instant::now();
    let done = run.run(times)?;
    Ok((begin.elapsed(), done))
}

#[cfg(test)]
mod tests;
