//! Which flows complete lists of sockets did not show.

use super::{Flow, Flows, PRESENT};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::Handle;
use jlb_protocol::{Protocol, Time};

impl Flows {
    /// The TCP flows that this dump and one before it did not list though they would have, and
    /// whether there are others that just this one did not list. One
    /// dump proves nothing: the kernel walks its table while sockets come and go, and may step
    /// over one that is there. For an open flow a dump must have begun `socketless` after it came
    /// into its state, for the packet that makes the socket may have been on its way to the stack.
    pub(crate) fn unlisted(&mut self, now: Time, dump: u32, started: Time) -> (Vec<Handle>, bool) {
        let not_shown = self.not_shown(dump, started);
        let mut missing: Vec<_> = not_shown.map(|(handle, _)| handle).collect();
        let mut first_time = Vec::new();
        missing.retain(|&handle| match self.table.get_mut(handle) {
            Some(flow) if flow.absent_since == PRESENT => {
                flow.absent_since = started;
                first_time.push(handle);
                false
            }
            Some(_) => true,
            None => false,
        });
        for &handle in &first_time {
            self.look_soon(now, handle);
        }
        (missing, !first_time.is_empty())
    }

    /// Whether there is an open flow that this dump, of sockets alone, did not list though it would have. That proves
    /// nothing: there may be an entry of TIME_WAIT (R8).
    pub(crate) fn has_unlisted(&self, dump: u32, started: Time) -> bool {
        self.not_shown(dump, started)
            .any(|(_, flow)| flow.state.is_open())
    }

    fn not_shown(&self, dump: u32, started: Time) -> impl Iterator<Item = (Handle, &Flow)> {
        let margin = self.timers.socketless;
        self.table
            .iter()
            .map(|(handle, _, flow)| (handle, flow))
            .filter(move |(_, flow)| flow.protocol == Protocol::Tcp && flow.dump != dump as u16)
            .filter(move |(_, flow)| flow.can_miss(started, margin))
    }
}

impl Flow {
    /// Whether it would have been there for the kernel to show, at that time.
    pub(super) fn can_miss(&self, started: Time, margin: Duration) -> bool {
        if self.state.is_open() {
            started >= self.since + margin
        } else {
            started > self.since
        }
    }
}
