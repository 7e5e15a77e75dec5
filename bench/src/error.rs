//! What went wrong in the lab, and what mends it.

use std::fmt;

/// A failure of the lab: what failed, why, and what the person can do about it.
#[derive(Debug)]
pub struct LabError {
    what: String,
    mend: Option<String>,
}

/// The result of everything that the lab does.
pub type Result<T> = std::result::Result<T, LabError>;

impl LabError {
    /// A failure that no simple step mends.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mend: None,
        }
    }

    /// Says what would mend it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// What would mend it, where that is known.
    pub fn how_to_mend(&self) -> Option<&str> {
        self.mend.as_deref()
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for LabError {}

/// Adds to an error of a library what was being done.
pub(crate) trait Doing<T> {
    /// `doing` reads on from "cannot", for example "create the bridge".
    fn doing(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| LabError::new(format!("cannot {doing}: {error}")))
    }
}
