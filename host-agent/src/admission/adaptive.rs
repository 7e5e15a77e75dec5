//! A limit of connections that moves so that about half of the offers are taken: SRLB's `SRdyn`. It
//! tells hosts with few connections from those with many, whatever the load is.

use super::{Admission, Cause, Policy, part};
use crate::signals::Signals;
use jlb_protocol::digest::{Digest, Digester};

/// Offers after which the limit is looked at.
const WINDOW: u32 = 50;

/// With fewer taken than this part of a window, in percent, the limit rises.
const FEW: u32 = 40;

/// With more taken than this part of a window, in percent, the limit falls.
const MANY: u32 = 60;

/// A limit moves by one, and by this part of it where it is large.
const PART: u32 = 8;

/// The limit, and the window that decides on the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Adaptive {
    limit: u32,
    offers: u32,
    taken: u32,
}

impl Adaptive {
    pub(crate) const fn new() -> Self {
        Self {
            limit: 1,
            offers: 0,
            taken: 0,
        }
    }
}

impl Admission for Adaptive {
    fn cause(&self) -> Cause {
        Cause::Adaptive
    }

    fn room(&self, signals: &Signals) -> u32 {
        self.limit.saturating_sub(signals.connections)
    }

    fn load(&self, signals: &Signals) -> u16 {
        part(signals.connections.into(), self.limit.into())
    }

    fn decided(&mut self, taken: bool) {
        self.offers += 1;
        self.taken += u32::from(taken);
        if self.offers < WINDOW {
            return;
        }
        let step = (self.limit / PART).max(1);
        let percent = self.taken * 100 / self.offers;
        if percent < FEW {
            self.limit = self.limit.saturating_add(step);
        } else if percent > MANY {
            self.limit = (self.limit - step).max(1);
        }
        self.offers = 0;
        self.taken = 0;
    }

    fn learn(&mut self, from: &Policy) {
        if let Policy::Adaptive(from) = from {
            *self = *from;
        }
    }
}

impl Digest for Adaptive {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            limit,
            offers,
            taken,
        } = self;
        into.value(&(limit, offers, taken));
    }
}
