//! What the role says of packets that the kernel may decapsulate by itself.

use super::{SOON, Turn};
use crate::machine::Machine;
use crate::strip::Stripper;
use jlb_protocol::Time;

impl<M: Machine> Turn<M> {
    /// Does all that the role says.
    pub(super) fn apply_strips(&mut self, now: Time) {
        while let Some(strip) = self.path.machine.poll_strip() {
            let Some(stripper) = &mut self.path.stripper else {
                continue;
            };
            let link = &self.path.link;
            if let Err(error) = stripper.apply(strip, |node| link.route(node)) {
                self.complain(now, "tell the XDP programs of a flow", || error.to_string());
            }
        }
    }

    /// Frees some memory of flows that the kernel has forgotten.
    pub(super) fn sweep(&mut self, now: Time) {
        let waiting = self.path.stripper.as_mut().filter(|it| it.waits());
        if let Some(Err(error)) = waiting.map(Stripper::sweep) {
            self.complain(now, "sweep the XDP programs' flows", || error.to_string());
        }
    }

    /// When [`Self::sweep`] is to be called, if it is.
    pub(super) fn sweep_due(&self, now: Time) -> Option<Time> {
        let stripper = self.path.stripper.as_ref()?;
        stripper.waits().then(|| now + SOON)
    }
}
