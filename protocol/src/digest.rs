//! A canonical digest of a state machine's state, so that exhaustive exploration can tell whether
//! it was in a state before: two states that behave alike from now on have the same digest,
//! whenever they were reached.
//!
//! What decides the future goes in, and nothing else: no counters, no ledgers, no order of places in
//! a table. Moments count relative to the clock, since only distances decide anything. Types list
//! their fields one by one, so that the compiler asks about each new one.

use crate::time::Time;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;

/// How exactly distances in time are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizon {
    /// Moments that lie further back than this are alike.
    pub past: Duration,
    /// Moments that lie further ahead than this are alike.
    pub future: Duration,
}

impl Horizon {
    /// Every distance is told apart.
    pub const NONE: Self = Self {
        past: Duration::MAX,
        future: Duration::MAX,
    };
}

/// Takes the parts of a state.
pub struct Digester<'h> {
    now: Time,
    horizon: Horizon,
    sink: Sink<'h>,
}

enum Sink<'h> {
    Hasher(&'h mut dyn Hasher),
    Words(&'h mut dyn fmt::Write),
}

impl fmt::Debug for Digester<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Digester");
        debug.field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'h> Digester<'h> {
    /// A digester for a machine whose clock shows `now`.
    pub fn new(now: Time, horizon: Horizon, hasher: &'h mut dyn Hasher) -> Self {
        Self {
            now,
            horizon,
            sink: Sink::Hasher(hasher),
        }
    }

    /// One that writes the parts down for a person to read, a line each.
    pub fn in_words(now: Time, words: &'h mut dyn fmt::Write) -> Self {
        Self {
            now,
            horizon: Horizon::NONE,
            sink: Sink::Words(words),
        }
    }

    /// The clock.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Takes a value without moments in it.
    pub fn value<T: Hash + fmt::Debug + ?Sized>(&mut self, value: &T) {
        match &mut self.sink {
            Sink::Hasher(hasher) => value.hash(hasher),
            Sink::Words(words) => {
                // What can't be written is not read; nothing else is lost.
                let _ = writeln!(words, "{value:?}");
            }
        }
    }

    /// Takes a moment as its distance from now.
    pub fn time(&mut self, time: Time) {
        let (is_ahead, distance) = if time > self.now {
            (true, time.since(self.now).min(self.horizon.future))
        } else {
            (false, self.now.since(time).min(self.horizon.past))
        };
        match &mut self.sink {
            Sink::Hasher(hasher) => (is_ahead, distance).hash(hasher),
            Sink::Words(words) => {
                let sign = if is_ahead { "in" } else { "ago" };
                let _ = writeln!(words, "{sign} {distance:?}");
            }
        }
    }

    /// Takes a deadline in nanoseconds of the machine's clock, if there is one.
    pub fn deadline(&mut self, nanos: Option<u64>) {
        self.value(&nanos.is_some());
        if let Some(nanos) = nanos {
            self.time(Time::from_nanos(nanos));
        }
    }

    /// Takes the parts of what is there.
    pub fn option<T: Digest>(&mut self, value: Option<&T>) {
        self.value(&value.is_some());
        if let Some(value) = value {
            value.digest(self);
        }
    }

    /// Takes how many there are, and the parts of each, in the order given.
    pub fn all<'t, T: Digest + 't>(&mut self, values: impl ExactSizeIterator<Item = &'t T>) {
        self.value(&values.len());
        for value in values {
            value.digest(self);
        }
    }
}

/// A part of a state machine.
pub trait Digest {
    /// Hands over everything that decides the future.
    fn digest(&self, into: &mut Digester<'_>);
}
