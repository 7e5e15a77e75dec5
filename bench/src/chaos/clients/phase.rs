//! What part of a scenario it is; all clients know it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::load::{ErrorKind, Failure};

/// A part of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Nothing has happened yet.
    Before,
    /// The fault has begun.
    During,
    /// Nothing happens any more.
    After,
    /// Every connection shows a last time that it works, and ends.
    End,
}

/// A phase and when it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) phase: Phase,
    pub(crate) since: Instant,
}

impl Stage {
    /// The phase, from now on.
    pub(crate) fn now(phase: Phase) -> Self {
        Self {
            phase,
            since: Instant::now(),
        }
    }
}

/// What a client knows of the scenario.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    stage: watch::Receiver<Stage>,
    /// For how long the last exchange may take, once the end has begun.
    patience: Duration,
    /// How much later than for others the end begins.
    late: Duration,
}

impl Course {
    pub(crate) fn new(stage: watch::Receiver<Stage>, patience: Duration) -> Self {
        Self {
            stage,
            patience,
            late: Duration::ZERO,
        }
    }

    /// The same course for a client whose end begins so much later: thousands that speak a last time
    /// and close in one instant would wait for each other.
    pub(crate) fn ending_late(self, late: Duration) -> Self {
        Self { late, ..self }
    }

    /// The phase; the end if nobody is left who would tell.
    pub(crate) fn phase(&self) -> Phase {
        if self.stage.has_changed().is_err() {
            return Phase::End;
        }
        let stage = *self.stage.borrow();
        match stage.phase {
            Phase::End if stage.since.elapsed() < self.late => Phase::After,
            phase => phase,
        }
    }

    /// Waits for a phase; returns when it began, or when it begins for this client.
    pub(crate) async fn reaches(&mut self, phase: Phase) -> Instant {
        match self.stage.wait_for(|stage| stage.phase >= phase).await {
            Ok(stage) if phase == Phase::End => stage.since + self.late,
            Ok(stage) => stage.since,
            // Whoever tells is gone: it is over.
            Err(_) => Instant::now(),
        }
    }

    /// Waits until `due`, or until the end begins.
    pub(crate) async fn pause_until(&mut self, due: Instant) {
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.ends() => {}
        }
    }

    /// Waits until the end has begun for this client.
    async fn ends(&mut self) {
        let end = self.reaches(Phase::End).await;
        sleep_until(end).await;
    }

    /// Waits for `work` for as long as the scenario lasts and the patience after its end.
    pub(crate) async fn within<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let patience = self.patience;
        let over = async {
            let end = self.reaches(Phase::End).await;
            sleep_until(end + patience).await;
        };
        tokio::select! {
            biased;
            done = work => done,
            () = over => {
                let words = format!("stands still {patience:?} after everything is well again");
                Err(Failure::new(ErrorKind::Timeout, words))
            }
        }
    }
}
