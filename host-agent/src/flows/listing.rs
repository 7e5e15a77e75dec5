//! Which flows complete lists of sockets did not show.

use super::{Flows, PRESENT};
use alloc::vec::Vec;
use jlb_flow_table::Handle;
use jlb_protocol::{Protocol, Time};

impl Flows {
    /// The TCP flows that this dump and one before it did not list though they would have, and
    /// whether there are others that just this one did not list. One
    /// dump proves nothing: the kernel walks its table while sockets come and go, and may step
    /// over one that is there. For an open flow a dump must have begun `socketless` after it came
    /// into its state, for the packet that makes the socket may have been on its way to the stack.
    pub(crate) fn unlisted(&mut self, dump: u32, started: Time) -> (Vec<Handle>, bool) {
        let margin = self.timers.socketless;
        let mut missing: Vec<_> = self
            .table
            .iter()
            .filter(|(_, _, flow)| flow.protocol == Protocol::Tcp && flow.dump != dump as u16)
            .filter(|(_, _, flow)| {
                if flow.state.is_open() {
                    started >= flow.since + margin
                } else {
                    started > flow.since
                }
            })
            .map(|(handle, _, _)| handle)
            .collect();
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
}
