//! The table of bugs in `docs/verification.md`.

use crate::hunt::Hunt;
use crate::occasions::Occasion;
use jlb_protocol::planted::Bug;

/// The line before the table.
pub const BEGIN: &str = "<!-- planted bugs: written by planted/tests/planted.rs -->";

/// The line after it.
pub const END: &str = "<!-- end of planted bugs -->";

/// A bug, and how it was found.
#[derive(Clone, Debug)]
pub struct Row {
    /// The bug.
    pub bug: Bug,
    /// How it was found, if it was.
    pub found: Option<(Occasion, Hunt)>,
}

impl Row {
    fn cells(&self) -> String {
        let bug = self.bug;
        let begin = format!(
            "| R{} | `{}` | {} |",
            bug.rule(),
            bug.name(),
            bug.sentence()
        );
        let Some((occasion, hunt)) = &self.found else {
            return format!("{begin} **not found** | | | |");
        };
        let by = hunt.found.as_ref().map_or("", |(by, _)| by.as_str());
        let (what, flows) = match occasion {
            Occasion::Worlds { .. } => ("seeds", hunt.flows.to_string()),
            Occasion::Case(_) => ("states", String::new()),
        };
        let (name, count) = (occasion.name(), hunt.looked_at);
        format!("{begin} {by} | {name} | {count} {what} | {flows} |")
    }
}

/// The table as text.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let mut text = String::from(
        "| rule | bug | what goes wrong | found by | in | within | simulated flows |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&row.cells());
        text.push('\n');
    }
    text
}

/// The page with another table, if it has a place for one.
#[must_use]
pub fn replace(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

/// The names of the bugs in the page's table, in their order.
#[must_use]
pub fn names(page: &str) -> Vec<&str> {
    let table = page
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END));
    let lines = table.map_or("", |(table, _)| table).lines();
    lines
        .filter_map(|line| Some(line.split_once('`')?.1.split_once('`')?.0))
        .collect()
}
