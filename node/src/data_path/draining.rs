//! Whether this node drains, by whose word, and until when.

use super::{Notice, Turn};
use crate::machine::Machine;
use crate::report::{DrainLine, Report};
use jlb_host_agent::Until;
use jlb_protocol::{MemberState, Role, Time};
use std::time::Duration;

/// What the cluster file says of this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FileDrain {
    /// Whether it gets nothing new.
    pub(crate) drains: bool,
    /// How long what it has may go on once it drains; `None` for ever.
    pub(crate) timeout: Option<Duration>,
}

/// How long connections may go on after an operator's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Allowance {
    /// As long as the file says.
    AsFile,
    /// For ever.
    Forever,
    /// So long.
    For(Duration),
}

/// An operator's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Order {
    /// When it was first given.
    since: Time,
    /// From when on the allowance counts.
    told: Time,
    allowance: Allowance,
}

/// Who wants that this node drains.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draining {
    file: FileDrain,
    by_file: Option<Time>,
    by_order: Option<Order>,
    by_stop: Option<Time>,
}

impl Draining {
    /// A node of whose file this is known.
    pub(crate) fn new(now: Time, file: FileDrain) -> Self {
        let mut draining = Self::default();
        draining.set_file(now, file);
        draining
    }

    fn set_file(&mut self, now: Time, file: FileDrain) {
        self.file = file;
        self.by_file = file.drains.then(|| self.by_file.unwrap_or(now));
    }

    /// The operator wants it drained. Said again, only another allowance counts from now on.
    fn order(&mut self, now: Time, allowance: Allowance) {
        let new = Order {
            since: now,
            told: now,
            allowance,
        };
        self.by_order = Some(match self.by_order {
            None => new,
            Some(before) if allowance == before.allowance && allowance == Allowance::AsFile => {
                before
            }
            Some(before) => Order {
                since: before.since,
                ..new
            },
        });
    }

    /// Since when it drains, if it does.
    fn since(&self) -> Option<Time> {
        let ordered = self.by_order.map(|order| order.since);
        let all = [self.by_file, ordered, self.by_stop];
        all.into_iter().flatten().min()
    }

    /// When what is left is closed.
    fn deadline(&self) -> Option<Time> {
        let file = self.by_file.zip(self.file.timeout);
        let order = self.by_order.and_then(|order| {
            let span = match order.allowance {
                Allowance::AsFile => self.file.timeout,
                Allowance::Forever => None,
                Allowance::For(span) => Some(span),
            };
            Some((order.told, span?))
        });
        let deadlines = [file, order].into_iter().flatten();
        deadlines.map(|(since, span)| since + span).min()
    }

    /// What the role is told. A node that only stops closes nothing: its next start goes on.
    pub(super) fn until(&self) -> Option<Until> {
        if self.by_file.is_none() && self.by_order.is_none() {
            return None;
        }
        Some(self.deadline().map_or(Until::Closed, Until::Deadline))
    }

    fn words(&self) -> Vec<&'static str> {
        [
            (self.by_file.is_some(), "file"),
            (self.by_order.is_some(), "command"),
            (self.by_stop.is_some(), "stop"),
        ]
        .into_iter()
        .filter_map(|(is_so, word)| is_so.then_some(word))
        .collect()
    }
}

impl<M: Machine> Turn<M> {
    /// The operator has this node drain, or take new work again. Gives when that was done, which may be
    /// later than `now`.
    ///
    /// # Errors
    /// Why it can't be done, for the operator.
    pub(super) fn order(
        &mut self,
        now: Time,
        wanted: Option<Allowance>,
    ) -> Result<Time, &'static str> {
        let path = &mut self.path;
        if path.draining.by_stop.is_some() {
            return Err("the node is about to stop");
        }
        match wanted {
            Some(_) if path.members.role() == Role::FlowTracker && path.members.is_fixed() => {
                Err("with a static membership nobody would hear that this flow tracker drains")
            }
            Some(allowance) => {
                path.draining.order(now, allowance);
                Ok(self.act_on_draining(now))
            }
            None if path.draining.by_file.is_some() => {
                Err("the cluster file has `drain = true` for this node: take it out there")
            }
            None => {
                path.draining.by_order = None;
                Ok(self.act_on_draining(now))
            }
        }
    }

    /// The node is about to stop.
    pub(super) fn drain_to_stop(&mut self, now: Time) -> Time {
        self.path.draining.by_stop.get_or_insert(now);
        self.act_on_draining(now)
    }

    /// The file says so.
    pub(super) fn drain_by_file(&mut self, now: Time, file: FileDrain) -> Time {
        self.path.draining.set_file(now, file);
        self.act_on_draining(now)
    }

    /// Tells the role and the other nodes how it is. Gives the time: it has gone on if a new life has begun
    /// meanwhile.
    pub(super) fn act_on_draining(&mut self, now: Time) -> Time {
        let path = &mut self.path;
        path.machine.handle_drain(now, path.draining.until());
        let before = path.members.state();
        path.members
            .set_drains(now, path.draining.since().is_some());
        let ended = (before, path.members.state()) == (MemberState::Draining, MemberState::Active);
        if ended && path.members.has_to_be_filled() {
            // R10: what it was told while it was not ranked came when it came. It has to know all
            // before its word counts again, as after any other start.
            return self.renew(Notice::Undrained);
        }
        now
    }

    /// Adds how far draining is.
    pub(super) fn report_draining(&self, now: Time, report: &mut Report) {
        let draining = &self.path.draining;
        report.draining = draining.since().map(|since| DrainLine {
            by: draining.words(),
            since: now.since(since),
            deadline: draining.deadline().map(|deadline| deadline.since(now)),
            left: self.path.machine.flows_left(),
        });
        report.gauge(
            "jlb_draining",
            "Whether the node gets nothing new, by the file, by command, or since it stops.",
            &[],
            u64::from(draining.since().is_some()),
        );
        if let Some(deadline) = draining.deadline() {
            report.gauge(
                "jlb_drain_deadline_seconds",
                "Time until what is left is closed; 0 once it is.",
                &[],
                deadline.since(now).as_secs_f64(),
            );
        }
    }
}

#[cfg(test)]
mod tests;
