//! The key file.

use jlb_config::Keys;

/// Parses a key file.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = Keys::parse(text) {
        assert!(!error.to_string().is_empty());
    }
}
