//! Whom a direct hunt asks after its first host.

use super::Pool;
use crate::config::Overload;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::Tried;
use jlb_protocol::{NodeNumber, Time};

impl Pool {
    /// The host that would be asked with the step `left` after those tried, if the search comes so far:
    /// one of the usual hosts only, for what the overload policy asks is asked plainly.
    pub(crate) fn further(
        &mut self,
        now: Time,
        is_active: impl Fn(NodeNumber) -> bool,
        flow: FlowHash,
        tried: &Tried,
        left: u8,
    ) -> Option<NodeNumber> {
        let is_usual = left >= self.service.overload_steps;
        match self.service.overload {
            Overload::Refuse => self.choose(now, is_active, flow, tried, false),
            Overload::MustAccept => {
                let is_last = self.ends_with(&is_active, tried, left);
                (!is_last).then(|| self.choose(now, is_active, flow, tried, false))?
            }
            Overload::Pool => is_usual.then(|| self.choose(now, is_active, flow, tried, false))?,
            Overload::Queue(_) => is_usual.then(|| self.with_room(now, is_active, flow, tried))?,
        }
    }
}
