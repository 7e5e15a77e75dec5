//! Whether the lab puts policies in the order that the simulator does.

use super::document::{LabRow, LabTable};
use crate::policies::aims::Aim;
use crate::policies::measure::Row;

/// Loads from which the order is looked at: below there is hardly a difference.
const FROM: f64 = 0.75;
/// How far apart two means of the simulator must be, as a part of the smaller, for their order to count.
const APART: f64 = 0.1;

/// What should be so of the table of a few policies by load.
pub(crate) fn judge(table: &LabTable) -> Vec<Aim> {
    let mut aims = ladder(table);
    aims.push(pairs(table));
    aims
}

fn loads(table: &LabTable) -> Vec<f64> {
    let mut loads: Vec<f64> = table.rows.iter().map(|row| row.measured.load).collect();
    loads.dedup();
    loads.retain(|&load| load >= FROM);
    loads
}

/// Which rows a step of the order has.
type Is = fn(&Row) -> bool;

/// The recommended combination, and what it has to beat, the better ones first.
const LADDER: [(&str, Is); 4] = [
    ("least-connections by reports", |row| {
        row.policy == "least-connections" && row.admission == "always"
    }),
    ("least connections of each balancer's own", |row| {
        row.policy.ends_with("of its own")
    }),
    ("round-robin", |row| row.policy == "round-robin"),
    ("random", |row| row.policy == "random"),
];

fn ladder(table: &LabTable) -> Vec<Aim> {
    let steps = LADDER.windows(2).filter_map(|pair| {
        let [(better, is_better), (worse, is_worse)] = pair else {
            return None;
        };
        let mut found = Vec::new();
        let mut met = true;
        for load in loads(table) {
            let mean = |is: Is| {
                let at = table.rows.iter().filter(|row| row.measured.load == load);
                at.map(|row| &row.measured)
                    .find(|row| is(row))
                    .map(|row| row.mean.mean)
            };
            if let (Some(better), Some(worse)) = (mean(*is_better), mean(*is_worse)) {
                met &= better < worse;
                found.push(format!("{load}: {better:.2} < {worse:.2}"));
            }
        }
        (!found.is_empty()).then(|| Aim {
            what: format!(
                "in the lab the mean of {better} below that of {worse} at every load from {FROM}"
            ),
            found: found.join("; "),
            met,
        })
    });
    steps.collect()
}

/// All pairs that the simulator puts in an order.
fn pairs(table: &LabTable) -> Aim {
    let (mut all, mut other) = (0, Vec::new());
    for load in loads(table) {
        let at = table.rows.iter().filter(|row| row.measured.load == load);
        let at: Vec<&LabRow> = at.collect();
        for (nth, one) in at.iter().enumerate() {
            for two in at.iter().skip(nth + 1) {
                let (a, b) = (one.simulated.mean.mean, two.simulated.mean.mean);
                if (a - b).abs() <= APART * a.min(b) {
                    continue;
                }
                all += 1;
                if (a < b) != (one.measured.mean.mean < two.measured.mean.mean) {
                    let name = |row: &LabRow| {
                        let Row {
                            policy, admission, ..
                        } = &row.measured;
                        format!("{policy} {admission}").trim_end().to_owned()
                    };
                    other.push(format!("{load}: {} and {}", name(one), name(two)));
                }
            }
        }
    }
    let met = other.is_empty();
    let found = if met {
        format!("{all} of {all}")
    } else {
        format!("{} of {all}; not {}", all - other.len(), other.join(", "))
    };
    Aim {
        what: "pairs whose means are 10 % or more apart in the simulator are in the same order in the lab".to_owned(),
        found,
        met,
    }
}

#[cfg(test)]
mod tests;
