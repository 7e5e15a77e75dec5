//! What comes due of a flow: its end, its refresh, its look-up.

use super::{Coarse, Flow, Flows};
use crate::config::Timers;
use crate::life::State;
use core::time::Duration;
use jlb_flow_table::Handle;
use jlb_protocol::{FlowKey, Protocol, Time};

/// Why a flow's deadline has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Its time is over.
    Expired,
    /// Its trackers are to be told of it again.
    Refresh,
    /// The kernel is to be asked for it.
    Look,
    /// Nothing: a UDP flow had packets meanwhile.
    Later,
}

impl Flows {
    /// A flow whose deadline has come; to be called until `None`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Handle, Due)> {
        let handle = self.table.pop_expired(now.as_nanos())?;
        let refresh = self.timers.refresh;
        let flow = self.table.get_mut(handle)?;
        let near = flow.last_packet;
        let is_due = |at: Coarse| at.time(near).is_some_and(|at| at <= now);
        let due = if end(flow, &self.timers).is_some_and(|end| end <= now) {
            Due::Expired
        } else if is_due(flow.look_at) {
            flow.take_look(now);
            Due::Look
        } else if is_due(flow.refresh_at) {
            flow.refresh_at = Coarse::not_before(now + refresh);
            Due::Refresh
        } else {
            Due::Later
        };
        if due != Due::Expired {
            self.arm(handle);
        }
        Some((handle, due))
    }

    /// When [`Self::pop_due`] is worth calling next.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.table.next_deadline().map(Time::from_nanos)
    }

    /// Between one half and the whole of the interval, by the flow's hash: what came at once is
    /// not refreshed at once.
    pub(super) fn first_refresh(&self, key: &FlowKey) -> Duration {
        let half = u64::try_from(self.timers.refresh.as_nanos() / 2).unwrap_or(u64::MAX / 2);
        Duration::from_nanos(half.saturating_add(self.table.hash_of(key) % half.max(1)))
    }

    /// The first of what is to come of the flow has changed.
    pub(super) fn arm(&mut self, handle: Handle) {
        let Some(flow) = self.table.get(handle) else {
            return;
        };
        let look = flow.look_at.time(flow.last_packet);
        let (refresh, end) = if flow.state.is_owned() {
            let refresh = flow.refresh_at.time(flow.last_packet);
            (refresh, end(flow, &self.timers))
        } else {
            (None, None)
        };
        match [refresh, end, look].into_iter().flatten().min() {
            Some(next) => self.table.set_deadline(handle, next.as_nanos()),
            None => self.table.clear_deadline(handle),
        }
    }
}

/// When a flow ends by itself. Established and closing ones of TCP do by what the kernel shows.
fn end(flow: &Flow, timers: &Timers) -> Option<Time> {
    match (flow.protocol, flow.state) {
        (Protocol::Tcp, State::Accepted) => Some(flow.since + timers.handshake),
        (Protocol::Tcp, State::Established | State::Closing | State::Released) => None,
        (
            Protocol::Udp,
            State::Accepted | State::Established | State::Closing | State::Released,
        ) => Some(flow.last_packet + timers.udp_idle),
    }
}
