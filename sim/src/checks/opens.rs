//! S3: no lost open. While some host would accept, a client that repeats its SYN connects.

use core::time::Duration;
use jlb_protocol::{NodeNumber, Time};

/// A SYN that is newer than this when the client gives up may still be answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// SYNs that reached an ingress, each of which was asked about nine times, before their silence is
/// more than bad luck.
const ENOUGH_SYNS: usize = 2;

/// What happened to one attempt of a client to connect.
#[derive(Clone, Default, Debug)]
pub(crate) struct Attempt {
    /// When the first SYN was sent.
    pub(crate) began: Time,
    /// When the client had its answer.
    pub(crate) connected: Option<Time>,
    /// When SYNs reached an ingress that was up, and which.
    pub(crate) at_ingress: Vec<(Time, NodeNumber)>,
    /// Whether a host's stack has got the SYN.
    pub(crate) at_stack: bool,
    /// Whether an ingress has sent the client a reset.
    pub(crate) refused: bool,
}

/// What the cluster could have done for the attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chances {
    /// Each host of the pool may be asked.
    pub(crate) all_asked: bool,
    /// When the host that was last without room or down so the longest ago was last so: hosts
    /// that were never are as if at the beginning. Faults that struck it or cut it off count as down.
    pub(crate) open_since: Option<Time>,
    /// The guarantee is for no more than that.
    pub(crate) at_most_one_tracker_failed: bool,
}

impl Chances {
    /// Whether a host would have taken the flow all the time since `began`.
    fn some_host_open(self, began: Time) -> bool {
        self.all_asked
            && self.at_most_one_tracker_failed
            && self.open_since.is_some_and(|since| since < began)
    }
}

impl Attempt {
    /// What is wrong with the attempt's refusal.
    pub(crate) fn check_refusal(&self, chances: Chances) -> Option<String> {
        chances
            .some_host_open(self.began)
            .then(|| "it was refused, though a host had room all the time".to_owned())
    }

    /// What is wrong with the client's giving up at `now`. `works` says whether an ingress was in
    /// order all the time since a moment.
    pub(crate) fn check_silence(
        &self,
        now: Time,
        chances: Chances,
        works: impl Fn(Time, NodeNumber) -> bool,
    ) -> Option<String> {
        let asked = self.asked(now, works);
        let silent = !self.at_stack && asked >= ENOUGH_SYNS;
        (silent && chances.some_host_open(self.began)).then(|| {
            format!("{asked} SYNs reached an ingress and none a host, though one had room")
        })
    }

    /// What is wrong with the client's giving up at `now`, where no fault struck any node meanwhile
    /// and the trackers had room: a search ends, if not at a host then with a refusal (R6).
    pub(crate) fn check_no_end(&self, now: Time) -> Option<String> {
        let asked = self.asked(now, |_, _| true);
        let silent = !self.at_stack && !self.refused && asked >= ENOUGH_SYNS;
        silent.then(|| format!("{asked} SYNs reached an ingress, but neither a host nor a refusal"))
    }

    /// SYNs that reached an ingress that was in order, and could have been answered by now.
    fn asked(&self, now: Time, works: impl Fn(Time, NodeNumber) -> bool) -> usize {
        let counts = |&&(at, ingress): &&(Time, NodeNumber)| {
            now.since(at) >= ANSWERED_WITHIN && works(at, ingress)
        };
        self.at_ingress.iter().filter(counts).count()
    }
}
