//! S5: no leak. After the last flow has closed and every linger and lease has run out, tables are
//! empty.

use jlb_protocol::NodeNumber;

/// What a node still holds.
pub(crate) fn check(node: NodeNumber, holdings: &[(&'static str, u64)]) -> Option<String> {
    let left: Vec<_> = holdings
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    (!left.is_empty()).then(|| format!("node {node} still holds {}", left.join(", ")))
}
