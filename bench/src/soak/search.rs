//! The rate at which loss first appears.

use std::time::Duration;

use serde::Serialize;

use super::document::Found;
use super::{SHARE, Soak};
use crate::error::{LabError, Result};
use crate::losses;

/// How long each rate is tried.
const STEP: Duration = Duration::from_secs(3);

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
    /// Those that came.
    pub(super) answered_rate: f64,
    /// Requests that went wrong.
    pub(super) failed: u64,
    /// Packets that queues of the kernel had no room for.
    pub(super) lost: u64,
    /// Messages and packets that nodes dropped.
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

/// Tries higher and higher rates, until one has loss twice.
pub(super) async fn first_loss(soak: &mut Soak, from: f64) -> Result<Found> {
    let mut rate = from;
    let mut steps = Vec::new();
    for _ in 0..MAX_STEPS {
        let mut step = try_rate(soak, rate).await?;
        if step.has_loss() {
            // Once may be somebody else's doing.
            eprintln!("jlb bench: {}", words(&step));
            step = try_rate(soak, rate).await?;
        }
        eprintln!("jlb bench: {}", words(&step));
        let has_loss = step.has_loss();
        steps.push(step);
        if has_loss {
            return Ok(Found {
                rate: rate * SHARE,
                first_loss: Some(rate),
                steps,
            });
        }
        rate *= GROWTH;
    }
    Err(LabError::new(format!(
        "no loss was seen at {rate:.0} connections a second"
    )))
}

fn words(step: &Step) -> String {
    format!(
        "{:.0} connections a second: {:.0} answered, {} failed, {} lost in queues, {} dropped, p99 {:.1} ms",
        step.rate, step.answered_rate, step.failed, step.lost, step.dropped, step.p99_ms
    )
}

async fn try_rate(soak: &mut Soak, rate: f64) -> Result<Step> {
    let lost_before = soak.lab.losses()?;
    let dropped_before = Soak::drops(&soak.lab.metrics().await?);
    let (outcome, _) = soak.load(rate, STEP).await?;
    let lost = losses::since(&lost_before, soak.lab.losses()?);
    let dropped = Soak::drops(&soak.lab.metrics().await?);
    Ok(Step {
        rate,
        answered_rate: outcome.answered as f64 / STEP.as_secs_f64(),
        failed: outcome.errors.values().sum(),
        lost: lost.iter().map(|loss| loss.count).sum(),
        dropped: dropped - dropped_before,
        p99_ms: outcome.latency.value_at_quantile(0.99) as f64 / 1e6,
    })
}
