//! Outcomes as a person reads them.

use std::fmt;

use super::Outcome;

/// The line above the outcomes.
pub(crate) fn heading() -> String {
    format!(
        "{:<26} {:>6} {:>5} {:>6} {:>6} {:>6} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "scenario",
        "conns",
        "hit %",
        "broken",
        "opens",
        "failed",
        "lost",
        "stalls",
        "p50",
        "p99",
        "max ms",
        "detect",
        "recov",
        "move %",
    )
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
        write!(
            f,
            "{:<26} {:>6} {:>5.0} {:>6} {:>6} {:>6} {:>5} {:>6} {:>6.0} {:>6.0} {:>6.0} {:>6} {:>6} {:>6}",
            self.name,
            self.connections,
            self.share_hit * 100.0,
            self.broken,
            self.new_opens,
            self.failed_opens,
            self.lost_with_host,
            self.stalled,
            self.stall_ms.p50,
            self.stall_ms.p99,
            self.stall_ms.max,
            whole(
                self.detection_ms
                    .and_then(|seen| seen.last.or(seen.last_with_host))
            ),
            whole(self.recovery_ms),
            whole(self.changed_ingress.map(|share| share * 100.0)),
        )?;
        for problem in &self.problems {
            write!(f, "\n    PROBLEM  {problem}")?;
        }
        for failure in &self.first_failures {
            write!(f, "\n             {failure}")?;
        }
        Ok(())
    }
}
