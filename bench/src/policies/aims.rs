//! Which combination is best, and whether it is as good as it should be.

use serde::{Deserialize, Serialize};

use super::measure::{Row, Table};

/// The loads at which the best has to beat what others do.
const LOADS: std::ops::RangeInclusive<f64> = 0.5..=0.98;
/// How far from the oracle it may be.
const FROM_ORACLE: f64 = 1.1;
/// How far a fact may be from what is known.
const FROM_FACT: f64 = 0.05;

/// What a combination is called in tables.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) policy: String,
    pub(crate) admission: String,
    pub(crate) knowledge: String,
}

/// One thing that should be so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Aim {
    pub(crate) what: String,
    /// The figures.
    pub(crate) found: String,
    pub(crate) met: bool,
}

/// What the tables say.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The best combination of all that know no more than trackers do.
    pub(crate) best: Option<Name>,
    /// The best of those for which no host must take what it would reject.
    pub(crate) best_of_own_will: Option<Name>,
    pub(crate) aims: Vec<Aim>,
}

impl Name {
    fn of(row: &Row) -> Self {
        Self {
            policy: row.policy.clone(),
            admission: row.admission.clone(),
            knowledge: row.knowledge.clone(),
        }
    }

    pub(crate) fn is_of(&self, row: &Row) -> bool {
        *self == Self::of(row)
    }
}

/// The facts that the model does not find, in words.
pub(crate) fn missed_facts(table: &Table) -> Vec<String> {
    let missed = table.rows.iter().filter_map(|row| {
        let expected = row.expected?;
        let far =
            (row.mean.mean / expected - 1.0).abs() > FROM_FACT + row.mean.plus_minus / expected;
        far.then(|| {
            let Row { policy, mean, .. } = row;
            format!(
                "{policy}: a mean of {:.3}, expected {expected:.3}",
                mean.mean
            )
        })
    });
    missed.collect()
}

/// Judges the large table; `at` is the load at which the oracle is the measure.
pub(crate) fn judge(grid: &Table, at: f64) -> Verdict {
    let ours = |must_accept: bool| {
        let first = grid.rows.iter().filter(|row| is_at(row, at) && row.ours);
        let able = first.filter(|row| {
            row.rejects.mean <= 1.0 && row.refused == 0.0 && (must_accept || !row.must_accept)
        });
        let scored = able.map(|row| (score(grid, &Name::of(row)), Name::of(row)));
        let best = scored.min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, name)| name)
    };
    let best = ours(true);
    let aims = best.as_ref().map(|best| aims(grid, best, at));
    Verdict {
        best_of_own_will: ours(false),
        aims: aims.unwrap_or_default(),
        best,
    }
}

fn is_at(row: &Row, load: f64) -> bool {
    (row.load - load).abs() < 1e-9
}

fn loads(grid: &Table) -> Vec<f64> {
    let mut loads: Vec<f64> = grid.rows.iter().map(|row| row.load).collect();
    loads.dedup();
    loads.retain(|load| LOADS.contains(load));
    loads
}

fn find(grid: &Table, load: f64, is: impl Fn(&Row) -> bool) -> Option<&Row> {
    grid.rows.iter().find(|row| is_at(row, load) && is(row))
}

fn oracle(row: &Row) -> bool {
    row.policy.starts_with("join the shortest queue")
}

/// How many times as long as with the oracle responses take, mean and p99, on (geometric) average over the loads.
fn score(grid: &Table, name: &Name) -> f64 {
    let mut sum = 0.0;
    for load in loads(grid) {
        if let (Some(row), Some(oracle)) = (
            find(grid, load, |row| name.is_of(row)),
            find(grid, load, oracle),
        ) {
            sum += (row.mean.mean / oracle.mean.mean).ln();
            sum += (row.p99.mean / oracle.p99.mean).ln();
        }
    }
    sum
}

fn aims(grid: &Table, best: &Name, at: f64) -> Vec<Aim> {
    let mut aims = Vec::new();
    for (what, is) in [
        (
            "round robin",
            (|row| row.policy == "round-robin" && row.admission == "always") as fn(&Row) -> bool,
        ),
        ("least connections without the hosts' reports", |row| {
            row.policy.contains("of its own")
        }),
        ("SRc of the SRLB paper", |row| row.policy.starts_with("SR")),
    ] {
        let mut ahead = Vec::new();
        let mut met = true;
        for load in loads(grid) {
            let ours = find(grid, load, |row| best.is_of(row));
            if let (Some(ours), Some(other)) = (ours, find(grid, load, is)) {
                met &= ours.mean.mean < other.mean.mean && ours.p99.mean < other.p99.mean;
                ahead.push(format!(
                    "{load}: {:.2} < {:.2}, {:.1} < {:.1}",
                    ours.mean.mean, other.mean.mean, ours.p99.mean, other.p99.mean
                ));
            }
        }
        aims.push(Aim {
            what: format!("mean and p99 below {what} at every load from 0.5 to 0.98"),
            found: ahead.join("; "),
            met,
        });
    }
    let ours = find(grid, at, |row| best.is_of(row));
    let two = find(grid, at, |row| row.policy.starts_with("two choices, all"));
    let (Some(ours), Some(oracle), Some(two)) = (ours, find(grid, at, oracle), two) else {
        return aims;
    };
    let mean = ours.mean.mean / oracle.mean.mean;
    let p99 = ours.p99.mean / oracle.p99.mean;
    aims.push(Aim {
        what: format!("mean and p99 within 10 % of the oracle at load {at}"),
        found: format!(
            "{:+.1} % and {:+.1} %",
            (mean - 1.0) * 100.0,
            (p99 - 1.0) * 100.0
        ),
        met: mean <= FROM_ORACLE && p99 <= FROM_ORACLE,
    });
    aims.push(Aim {
        what: format!("one reject a connection at most at load {at}"),
        found: format!("{:.3}", ours.rejects.mean),
        met: ours.rejects.mean <= 1.0,
    });
    aims.push(Aim {
        what: format!("p99 below two choices that know everything at load {at}"),
        found: format!("{:.2} < {:.2}", ours.p99.mean, two.p99.mean),
        met: ours.p99.mean < two.p99.mean,
    });
    aims
}

#[cfg(test)]
mod tests;
