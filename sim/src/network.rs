//! The network: what becomes of each packet and message.

use crate::plan::Plan;
use crate::rng::Rng;
use core::time::Duration;
use jlb_protocol::NodeNumber;

/// The longest that a message takes once all faults have healed.
const HEALED_DELAY: Duration = Duration::from_millis(1);

/// Messages do not get from one of these nodes to one of those.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Cut {
    number: u32,
    from: Vec<NodeNumber>,
    to: Vec<NodeNumber>,
}

/// How packets and messages fare in this run, and counts of how they fared.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    rng: Rng,
    loss: u64,
    duplication: u64,
    straggling: u64,
    straggle: Duration,
    usual: Duration,
    cuts: Vec<Cut>,
    /// Messages between nodes that were handed in.
    pub(crate) offered: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Second copies made of them.
    pub(crate) doubled: u64,
    /// Messages lost on their way, or sent to a node that was down.
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
            straggle: Duration::from_millis(plan.straggle_ms),
            usual: rng.span(Duration::from_micros(50), Duration::from_millis(3)),
            rng,
            cuts: Vec::new(),
            offered: 0,
            bytes: 0,
            doubled: 0,
            lost: 0,
            delivered: 0,
            in_flight: 0,
        }
    }

    /// Nothing is lost, doubled or late any more.
    pub(crate) fn heal(&mut self) {
        self.loss = 0;
        self.duplication = 0;
        self.straggling = 0;
        self.usual = self.usual.min(HEALED_DELAY);
        self.cuts.clear();
    }

    /// From now on nothing gets from one of these nodes to one of those.
    pub(crate) fn cut(&mut self, number: u32, from: Vec<NodeNumber>, to: Vec<NodeNumber>) {
        self.cuts.push(Cut { number, from, to });
    }

    /// The cuts with this number heal.
    pub(crate) fn mend(&mut self, number: u32) {
        self.cuts.retain(|cut| cut.number != number);
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
    pub(crate) fn message(&mut self, from: NodeNumber, to: NodeNumber) -> [Option<Duration>; 2] {
        let mut cuts = self.cuts.iter();
        let copies = if cuts.any(|cut| cut.from.contains(&from) && cut.to.contains(&to)) {
            [None, None]
        } else {
            self.copies()
        };
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
