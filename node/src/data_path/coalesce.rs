//! How long the loop holds still between two turns so that more comes at once, as network cards do it
//! (interrupt coalescing).
//!
//! A wake-up costs the same whether one message waits or ten, and where processors are short it takes the time from
//! somebody. So the thread holds still where it has to wait for a processor anyway, and for a time of that kind;
//! where processors are free it does not, and nothing waits. Waits alone do not tell: a thread may wait for the processor
//! that it had last while another is free.
//!
//! A packet of an established connection is waited for by somebody who asks again once it is there; a connection is set up
//! and ended once, in many small messages that each wake somebody. Where many of what comes are those, it holds still for
//! longer.

use jlb_config::timers::LONGEST_COALESCE;
use jlb_packet_io::process::{IdleTime, RunDelay, Waited};
use jlb_protocol::Time;
use std::time::Duration;

/// How often is looked how long the thread waits.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits that say something.
const LEAST_WAITS: u32 = 10;

/// Where there are fewer in this time, none is worth saving.
const SELDOM: Duration = Duration::from_millis(50);

/// So much waiting is as usual where others use a processor now and then.
const USUAL: Duration = Duration::from_micros(25);

/// The time to hold still for each microsecond of waiting that is more than usual.
const FACTOR: u32 = 12;

/// Packets and messages that must be expected meanwhile.
const LEAST_GAIN: u128 = 2;

/// So many times as long it may hold still where what comes is about setting up and ending flows, ...
const SETUP_TIMES: u128 = 6;

/// ... which it is where one in so many is. Where fewer are, a part of the time is added.
const SETUP_SHARE: u128 = 8;

/// What is shorter is not worth a sleep.
const SHORTEST: Duration = Duration::from_micros(50);

/// Over this time is looked how much of the processors' time nobody wanted.
const IDLE_INTERVAL: Duration = Duration::from_millis(200);

/// So much of the time, in thousandths, is idle at most where processors are short, ...
const SHORT: u128 = 150;

/// ... and so much at least where they are not. Between the two a part of the time is held still.
const FREE: u128 = 300;

/// The same for what is added for setting up and ending flows: where a message passes many threads, one after the other,
/// no processor is to be idle because all of them hold still.
const SETUP_SHORT: u128 = 30;

/// See [`SETUP_SHORT`].
const SETUP_FREE: u128 = 100;

/// How much of the processors' time nobody wants.
#[derive(Debug)]
struct Idle {
    meter: IdleTime,
    last: Duration,
    looked: Time,
    /// In thousandths.
    share: u128,
}

impl Idle {
    /// Before it has looked for long enough, all counts as idle.
    fn new(meter: IdleTime, now: Time) -> Self {
        Self {
            last: meter.read().unwrap_or_default(),
            meter,
            looked: now,
            share: 1_000,
        }
    }

    fn share(&mut self, now: Time) -> u128 {
        let elapsed = now.since(self.looked);
        if elapsed >= IDLE_INTERVAL
            && let Ok(idle) = self.meter.read()
        {
            let idle_since = idle.saturating_sub(self.last);
            let share = idle_since.as_nanos() * 1_000 / elapsed.as_nanos().max(1);
            self.share = (self.share + share) / 2;
            (self.last, self.looked) = (idle, now);
        }
        self.share
    }
}

/// What remains of a time to hold still where so many thousandths of the processors' time are idle.
fn where_idle(hold: Duration, share: u128, short: u128, free: u128) -> Duration {
    let part = free.saturating_sub(share).min(free - short);
    of_nanos(hold.as_nanos() * part / (free - short))
}

fn of_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What remains of a time to hold still where this is what comes, `max` is the longest for packets of established flows,
/// and so many thousandths of the processors' time are idle.
fn bounded(hold: Duration, max: Duration, taken: Work, idle: Option<u128>) -> Duration {
    let added = hold.saturating_sub(max).min(taken.added(max));
    let hold = hold.min(max);
    match idle {
        Some(share) => {
            where_idle(hold, share, SHORT, FREE) + where_idle(added, share, SETUP_SHORT, SETUP_FREE)
        }
        None => hold,
    }
}

/// Packets and messages that were taken in.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Work {
    /// All of them.
    pub(super) all: usize,
    /// Messages of other nodes among them that carry no packet of an established flow.
    pub(super) setup: usize,
}

impl Work {
    fn add(&mut self, more: Self) {
        self.all += more.all;
        self.setup += more.setup;
    }

    /// How much longer than `max` it may hold still if this is what comes: never longer than the configuration may say.
    fn added(self, max: Duration) -> Duration {
        let (all, setup) = (self.all.max(1) as u128, self.setup as u128);
        let share = (SETUP_SHARE * setup).min(all);
        let added = of_nanos(max.as_nanos() * (SETUP_TIMES - 1) * share / all);
        added.min(LONGEST_COALESCE.saturating_sub(max))
    }
}

/// How long to hold still.
#[derive(Debug)]
pub(super) struct Coalescing {
    /// Of packets of established flows; `None`: never.
    max: Option<Duration>,
    meter: Option<RunDelay>,
    /// `None`: nobody knows, and waits alone count.
    idle: Option<Idle>,
    last: Waited,
    /// What was taken in since then.
    taken: Work,
    looked: Time,
    mean: Duration,
    hold: Duration,
    /// How often the thread held still.
    pub(super) holds: u64,
}

impl Coalescing {
    /// Of the thread that `meter` is of.
    pub(super) fn new(
        max: Option<Duration>,
        meter: Option<RunDelay>,
        idle: Option<IdleTime>,
        now: Time,
    ) -> Self {
        Self {
            max,
            meter,
            idle: idle.map(|meter| Idle::new(meter, now)),
            last: Waited::default(),
            taken: Work::default(),
            looked: now,
            mean: Duration::ZERO,
            hold: Duration::ZERO,
            holds: 0,
        }
    }

    /// The longest from now on.
    pub(super) fn set_max(&mut self, max: Option<Duration>) {
        self.max = max;
        self.hold = self.hold.min(max.unwrap_or_default());
    }

    /// After a turn that took in so much, all that there was: how long to hold still, zero for not at all.
    pub(super) fn hold(&mut self, now: Time, taken: Work) -> Duration {
        self.taken.add(taken);
        if now.since(self.looked) >= INTERVAL {
            self.look(now);
        }
        self.hold
    }

    /// How long it holds still at present.
    pub(super) const fn present(&self) -> Duration {
        self.hold
    }

    fn look(&mut self, now: Time) {
        // A thread that can't be seen waiting does not wait.
        let waited = self.meter.as_ref().and_then(|meter| meter.read().ok());
        if let (Some(max), Some(waited)) = (self.max, waited) {
            self.learn(now, max, waited);
        } else {
            (self.looked, self.taken) = (now, Work::default());
            (self.mean, self.hold) = (Duration::ZERO, Duration::ZERO);
        }
    }

    fn learn(&mut self, now: Time, max: Duration, waited: Waited) {
        let times = waited.times.saturating_sub(self.last.times);
        let span = waited.span.saturating_sub(self.last.span);
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let elapsed = now.since(self.looked);
        if times < LEAST_WAITS && elapsed < SELDOM {
            return;
        }
        let taken = std::mem::take(&mut self.taken);
        (self.looked, self.last) = (now, waited);
        if times < LEAST_WAITS {
            (self.mean, self.hold) = (Duration::ZERO, Duration::ZERO);
            return;
        }
        self.mean = (3 * self.mean + span / times) / 4;
        let hold = self.mean.saturating_sub(USUAL).saturating_mul(FACTOR);
        let share = match &mut self.idle {
            Some(idle) if !hold.is_zero() => Some(idle.share(now)),
            _ => None,
        };
        let hold = bounded(hold, max, taken, share);
        let expected = taken.all as u128 * hold.as_nanos() / elapsed.as_nanos().max(1);
        self.hold = if hold < SHORTEST || expected < LEAST_GAIN {
            Duration::ZERO
        } else {
            hold
        };
    }
}

#[cfg(test)]
mod tests;
