//! Takes flows up to a limit: what SRLB calls `SRc`, where a busy worker is a connection (Desmouceaux
//! et al., "SRLB: The Power of Choices in Load Balancing with Segment Routing", 2017).

use super::{Admission, Cause, part};
use crate::signals::Signals;

/// Fewer connections than this at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MaxConnections {
    /// The limit; 0 takes none.
    pub(crate) max: u32,
}

impl Admission for MaxConnections {
    fn cause(&self) -> Cause {
        Cause::MaxConnections
    }

    fn room(&self, signals: &Signals) -> u32 {
        self.max.saturating_sub(signals.connections)
    }

    fn load(&self, signals: &Signals) -> u16 {
        part(signals.connections.into(), self.max.into())
    }
}
