//! Whom a direct hunt asks after its first host.

use super::Pool;
use crate::config::Overload;
use jlb_protocol::NodeNumber;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::Tried;

impl Pool {
    /// The host that would be asked with the step `left` after those tried, if the search comes so far:
    /// one of the usual hosts only, for what the overload policy asks is asked plainly.
    pub(crate) fn further(
        &mut self,
        is_active: impl Fn(NodeNumber) -> bool,
        flow: FlowHash,
        tried: &Tried,
        left: u8,
    ) -> Option<NodeNumber> {
        let is_usual = left >= self.service.overload_steps;
        match self.service.overload {
            Overload::Refuse => self.choose(is_active, flow, tried, false),
            Overload::MustAccept => {
                let mut untried = self.hosts.iter().filter(|host| {
                    let node = host.config.node;
                    is_active(node) && !tried.contains(node)
                });
                let is_last = left == 0 || untried.nth(1).is_none();
                (!is_last).then(|| self.choose(is_active, flow, tried, false))?
            }
            Overload::Pool => is_usual.then(|| self.choose(is_active, flow, tried, false))?,
            Overload::Queue(_) => is_usual.then(|| self.with_room(is_active, flow, tried))?,
        }
    }
}
