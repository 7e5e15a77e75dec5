//! When flows are to be looked up in the kernel's table of connections, one by one.

use super::{Coarse, Flow, Flows, PRESENT};
use crate::life::State;
use core::time::Duration;
use jlb_flow_table::Handle;
use jlb_protocol::{Protocol, Time};

/// From what makes a flow uncertain to its look-up: by then most connections that are short have closed, so that one
/// look-up does for their beginning and their end.
pub(super) const LOOK_SOON: Duration = Duration::from_secs(1);

/// Between the beginnings of two look-ups that prove something together, at least.
const APART: Duration = Duration::from_millis(500);

/// Between two look-ups that showed what has to change sooner or later.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Between two look-ups of what may stay as it is for long; and the wait for an answer that does not come.
pub(crate) const LOOK_LATER: Duration = Duration::from_secs(10);

impl Flow {
    /// Whether the kernel's word on it is wanted.
    pub(super) fn wants_look(&self) -> bool {
        let is_unsure =
            self.cookie.is_none() || self.doubt().is_some() || self.absent_since != PRESENT;
        match (self.protocol, self.state) {
            (Protocol::Tcp, State::Established) => is_unsure,
            (Protocol::Tcp, State::Accepted | State::Closing | State::Released) => true,
            (Protocol::Udp, _) => false,
        }
    }

    /// Its look-up is due: the next is later, lest an answer is lost.
    pub(super) fn take_look(&mut self, now: Time) {
        self.plan_look(true, now + LOOK_LATER);
    }

    /// It is to be looked up then, if that can be.
    pub(super) fn plan_look(&mut self, is_looking: bool, time: Time) {
        self.look_at = if is_looking && self.protocol == Protocol::Tcp {
            Coarse::not_before(time)
        } else {
            Coarse::NEVER
        };
    }
}

impl Flows {
    /// From now on [`super::Due::Look`] tells which flows the kernel is to be asked for.
    pub(crate) fn start_looking(&mut self) {
        self.is_looking = true;
    }

    /// What is known of the flow has changed. What was to happen before, does.
    pub(super) fn look_soon(&mut self, now: Time, handle: Handle) {
        let soon = now + LOOK_SOON;
        let planned = self
            .table
            .get(handle)
            .and_then(|flow| flow.look_at.time(now));
        self.look_at(handle, planned.map_or(soon, |planned| planned.min(soon)));
    }

    /// The flow is to be looked up then.
    pub(crate) fn look_at(&mut self, handle: Handle, time: Time) {
        if self.is_looking
            && let Some(flow) = self.table.get_mut(handle)
        {
            flow.plan_look(flow.wants_look(), time);
            self.arm(handle);
        }
    }

    /// A look-up that began at `started` has found a socket of the flow's addresses. Returns whether that counts.
    pub(crate) fn looked(&mut self, handle: Handle, started: Time) -> bool {
        let Some(flow) = self.table.get_mut(handle) else {
            return false;
        };
        let counts = started > flow.since;
        if counts {
            flow.absent_since = PRESENT;
        }
        counts
    }

    /// A look-up that began at `started` has found nothing of the flow. Returns whether that proves that there is
    /// nothing: only if one before it, or a list, did not either. The kernel replaces sockets while others look.
    pub(crate) fn looked_in_vain(&mut self, now: Time, handle: Handle, started: Time) -> bool {
        let margin = self.timers.socketless;
        let Some(flow) = self.table.get_mut(handle) else {
            return false;
        };
        let counts = flow.can_miss(started, margin);
        let is_second = flow.absent_since != PRESENT && started >= flow.absent_since + APART;
        if counts && flow.absent_since == PRESENT {
            flow.absent_since = started;
        }
        let wait = if is_second { LOOK_LATER } else { LOOK_SOON };
        let again = now.max(flow.since + margin) + wait;
        self.look_at(handle, again);
        counts && is_second
    }

    /// Whether a flow that is closing has lingered for long enough when a dump begins: since its
    /// close, and since the client was last heard of.
    pub(crate) fn has_lingered(&self, handle: Handle, started: Time) -> bool {
        self.lingers_until(handle)
            .is_some_and(|until| started >= until)
    }

    /// When that is, if nothing more comes.
    pub(crate) fn lingers_until(&self, handle: Handle) -> Option<Time> {
        let flow = self.table.get(handle)?;
        let quiet = flow.since.max(flow.last_packet);
        (flow.state == State::Closing).then_some(quiet + self.timers.linger)
    }
}
