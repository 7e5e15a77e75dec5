//! The rate at which loss first appears.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::document::Found;
use super::dropped::Dropped;
use super::{SHARE, Soak};
use crate::error::{LabError, Result};
use crate::losses;

/// How long each rate is tried on the way up.
const STEP: Duration = Duration::from_secs(3);

/// How long a rate is borne before it counts as borne: as long as the kernel keeps an entry of TIME_WAIT, of which
/// there are as many as there will ever be then.
const HOLD: Duration = Duration::from_secs(60);

/// Between two rates.
const SETTLE: Duration = Duration::from_secs(1);

/// From one rate to the next.
const GROWTH: f64 = 1.15;

/// The most steps: from one connection a second to more than any machine makes.
const MAX_STEPS: usize = 120;

/// Connections that may miss their time, of all that were due: what a machine that others use as well does now and
/// then.
const LATE_SHARE: f64 = 0.01;

/// What came of one rate.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Step {
    /// Connections a second that were asked for.
    pub(super) rate: f64,
    /// For how long, in seconds.
    pub(super) seconds: f64,
    /// Those that came.
    pub(super) answered_rate: f64,
    /// Requests that went wrong.
    pub(super) failed: u64,
    /// Packets that queues of the kernel had no room for.
    pub(super) lost: u64,
    /// Messages and packets that nodes dropped, but for answers that came twice.
    pub(super) dropped: u64,
    pub(super) p99_ms: f64,
}

impl Step {
    /// Whether something was lost, or did not come in its time.
    pub(super) fn has_loss(&self) -> bool {
        let late = self.answered_rate < self.rate * (1.0 - LATE_SHARE);
        late || self.failed > 0 || self.lost > 0 || self.dropped > 0
    }
}

/// Tries higher and higher rates for a short time each, until one has loss twice, which once may be somebody else's
/// doing; then lower ones for a long time, until one has none in one of two tries. The loss that was found last is the first to appear.
pub(super) async fn first_loss(soak: &mut Soak, from: f64) -> Result<Found> {
    let mut steps = Vec::new();
    let mut lossy = climb(soak, from, &mut steps).await?;
    for _ in 0..MAX_STEPS {
        let lower = lossy / GROWTH;
        let mut step = try_rate(soak, lower, HOLD).await?;
        if step.has_loss() {
            step = try_rate(soak, lower, HOLD).await?;
        }
        let has_loss = step.has_loss();
        steps.push(step);
        if !has_loss {
            return Ok(Found {
                rate: lossy * SHARE,
                first_loss: Some(lossy),
                steps,
            });
        }
        lossy = lower;
    }
    Err(LabError::new(format!(
        "something was lost even at {lossy:.2} connections a second"
    )))
}

/// The first rate that has loss twice.
async fn climb(soak: &mut Soak, from: f64, steps: &mut Vec<Step>) -> Result<f64> {
    let mut rate = from;
    for _ in 0..MAX_STEPS {
        let mut step = try_rate(soak, rate, STEP).await?;
        if step.has_loss() {
            step = try_rate(soak, rate, STEP).await?;
        }
        let has_loss = step.has_loss();
        steps.push(step);
        if has_loss {
            return Ok(rate);
        }
        rate *= GROWTH;
    }
    Err(LabError::new(format!(
        "no loss was seen at {rate:.0} connections a second"
    )))
}

fn words(step: &Step) -> String {
    format!(
        "{:.0} connections a second for {:.0} s: {:.0} answered, {} failed, {} lost in queues, {} dropped, p99 {:.1} ms",
        step.rate,
        step.seconds,
        step.answered_rate,
        step.failed,
        step.lost,
        step.dropped,
        step.p99_ms
    )
}

async fn try_rate(soak: &mut Soak, rate: f64, length: Duration) -> Result<Step> {
    // What is under way of the rate before is not this one's.
    sleep(SETTLE).await;
    let lost_before = soak.lab.losses()?;
    let dropped_before = Dropped::all(&soak.lab.metrics().await?);
    let (outcome, _) = soak.load(rate, length).await?;
    let lost = losses::since(&lost_before, soak.lab.losses()?);
    let dropped = Dropped::since(&dropped_before, Dropped::all(&soak.lab.metrics().await?));
    let step = Step {
        rate,
        seconds: length.as_secs_f64(),
        answered_rate: outcome.answered as f64 / length.as_secs_f64(),
        failed: outcome.errors.values().sum(),
        lost: lost.iter().map(|loss| loss.count).sum(),
        dropped: dropped
            .iter()
            .filter(|it| it.is_loss())
            .map(|it| it.count)
            .sum(),
        p99_ms: outcome.latency.value_at_quantile(0.99) as f64 / 1e6,
    };
    eprintln!("jlb bench: {}", words(&step));
    for it in &dropped {
        eprintln!("jlb bench:   dropped: {it}");
    }
    for it in &lost {
        eprintln!("jlb bench:   lost: {it}");
    }
    Ok(step)
}
