//! Takes flows up to a limit.

use super::{Admission, FULL, Signals};

/// Fewer connections than this at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MaxConnections {
    /// The limit; 0 takes none.
    pub(crate) max: u32,
}

impl Admission for MaxConnections {
    fn room(&self, signals: Signals) -> u32 {
        self.max.saturating_sub(signals.connections)
    }

    fn load(&self, signals: Signals) -> u16 {
        let part = u64::from(signals.connections) * u64::from(FULL);
        let load = part.checked_div(u64::from(self.max));
        load.and_then(|load| u16::try_from(load).ok())
            .unwrap_or(FULL)
    }
}
