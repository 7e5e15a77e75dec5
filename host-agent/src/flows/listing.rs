//! Which flows complete lists of sockets did not show.

use super::{Flows, PRESENT};
use crate::life::State;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::Handle;
use jlb_protocol::{Protocol, Time};

/// Later by the least that there is.
const JUST_AFTER: Duration = Duration::from_nanos(1);

impl Flows {
    /// The TCP flows that this dump and one before it did not list though they would have, and
    /// whether there are others that just this one did not list. One
    /// dump proves nothing: the kernel walks its table while sockets come and go, and may step
    /// over one that is there. For an open flow a dump must have begun `socketless` after it came
    /// into its state, for the packet that makes the socket may have been on its way to the stack.
    pub(crate) fn unlisted(&mut self, dump: u32, started: Time) -> (Vec<Handle>, bool) {
        let mut missing: Vec<_> = self.not_shown(dump, started).collect();
        let mut first_time = false;
        missing.retain(|&handle| match self.table.get_mut(handle) {
            Some(flow) if flow.absent_since == PRESENT => {
                flow.absent_since = started;
                first_time = true;
                false
            }
            Some(_) => true,
            None => false,
        });
        (missing, first_time)
    }

    /// Whether there is an open flow that this dump, of sockets alone, did not list though it would have. That proves
    /// nothing: there may be an entry of TIME_WAIT (R8).
    pub(crate) fn has_unlisted(&self, dump: u32, started: Time) -> bool {
        self.not_shown(dump, started)
            .any(|handle| self.get(handle).is_some_and(|flow| flow.state.is_open()))
    }

    fn not_shown(&self, dump: u32, started: Time) -> impl Iterator<Item = Handle> {
        let margin = self.timers.socketless;
        self.table
            .iter()
            .filter(move |(_, _, flow)| {
                let since = match flow.state {
                    State::Accepted | State::Established => flow.since + margin,
                    State::Closing | State::Released => flow.since + JUST_AFTER,
                };
                flow.protocol == Protocol::Tcp && flow.dump != dump as u16 && started >= since
            })
            .map(|(handle, _, _)| handle)
    }
}
