//! One page with plots, in itself: no other file, no script.

use super::document::Document;

/// The page.
pub(super) fn page(_document: &Document) -> String {
    String::new()
}
