//! R14 and R3: no table holds more than its configuration allows.

use jlb_protocol::NodeNumber;

/// What is wrong with what a node holds, of which each thing has a limit or none.
pub(crate) fn check(
    node: NodeNumber,
    holdings: &[(&'static str, u64)],
    limit: impl Fn(&'static str) -> Option<u64>,
) -> Option<String> {
    holdings.iter().find_map(|&(name, count)| {
        let most = limit(name)?;
        (count > most).then(|| format!("node {node} holds {count} {name}, {most} are allowed"))
    })
}
