//! Takes flows while something that there is only so much of is not used up.

use super::{Admission, Cause, part};
use crate::signals::Signals;

/// What the share is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shared {
    /// The processors' time.
    Cpu,
    /// The memory.
    Memory,
    /// The server, by its own word.
    Load,
}

/// Less than this share of it; where the share is not known, any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share {
    pub(crate) of: Shared,
    /// The limit, of 65,535.
    pub(crate) most: u16,
}

impl Share {
    const fn used(&self, signals: &Signals) -> Option<u16> {
        match self.of {
            Shared::Cpu => signals.machine.cpu,
            Shared::Memory => signals.machine.memory,
            Shared::Load => signals.readings.server.load,
        }
    }
}

impl Admission for Share {
    fn cause(&self) -> Cause {
        match self.of {
            Shared::Cpu => Cause::Cpu,
            Shared::Memory => Cause::Memory,
            Shared::Load => Cause::Load,
        }
    }

    fn room(&self, signals: &Signals) -> u32 {
        match self.used(signals) {
            Some(used) if used >= self.most => 0,
            // How much one flow uses is not known.
            Some(_) | None => u32::MAX,
        }
    }

    fn load(&self, signals: &Signals) -> u16 {
        let used = self.used(signals);
        used.map_or(0, |used| part(used.into(), self.most.into()))
    }
}
