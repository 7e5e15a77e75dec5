//! The network: what becomes of each packet and message.

use crate::plan::Plan;
use crate::rng::Rng;
use core::time::Duration;

/// How packets and messages fare in this run, and counts of how they fared.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    rng: Rng,
    loss: u64,
    duplication: u64,
    straggling: u64,
    straggle: Duration,
    usual: Duration,
    /// Messages between nodes that were handed in.
    pub(crate) offered: u64,
    /// Second copies made of them.
    pub(crate) doubled: u64,
    /// Messages lost on their way, or sent to a node that was down or has restarted since.
    pub(crate) lost: u64,
    /// Messages handed to their addressee.
    pub(crate) delivered: u64,
    /// Messages on their way.
    pub(crate) in_flight: u64,
}

impl Network {
    pub(crate) fn new(plan: &Plan, mut rng: Rng) -> Self {
        Self {
            loss: rng.within(plan.loss.low, plan.loss.high),
            duplication: rng.within(plan.duplication.low, plan.duplication.high),
            straggling: rng.within(plan.straggling.low, plan.straggling.high),
            straggle: plan.straggle,
            usual: rng.span(Duration::from_micros(50), Duration::from_millis(3)),
            rng,
            offered: 0,
            doubled: 0,
            lost: 0,
            delivered: 0,
            in_flight: 0,
        }
    }

    /// How long each copy of a packet takes; none for one that is lost.
    pub(crate) fn copies(&mut self) -> [Option<Duration>; 2] {
        if self.rng.chance(self.loss) {
            return [None, None];
        }
        let first = self.delay();
        let second = self.rng.chance(self.duplication).then(|| self.delay());
        [Some(first), second]
    }

    /// Like [`Self::copies`], counted as a message between nodes.
    pub(crate) fn message(&mut self) -> [Option<Duration>; 2] {
        let copies = self.copies();
        self.offered += 1;
        match copies {
            [None, _] => self.lost += 1,
            [Some(_), None] => self.in_flight += 1,
            [Some(_), Some(_)] => {
                self.doubled += 1;
                self.in_flight += 2;
            }
        }
        copies
    }

    pub(crate) fn arrived(&mut self, taken: bool) {
        self.in_flight -= 1;
        if taken {
            self.delivered += 1;
        } else {
            self.lost += 1;
        }
    }

    fn delay(&mut self) -> Duration {
        let most = if self.rng.chance(self.straggling) {
            self.straggle
        } else {
            self.usual
        };
        self.rng.span(Duration::from_micros(20), most)
    }
}
