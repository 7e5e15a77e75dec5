//! What the role says of packets that the kernel may decapsulate by itself.

use super::{SOON, Turn};
use crate::machine::Machine;
use crate::strip::{Heeded, Stripper};
use jlb_host_agent::Strip;
use jlb_protocol::Time;

impl<M: Machine> Turn<M> {
    /// Does all that the role says.
    pub(super) fn apply_strips(&mut self, now: Time) {
        while let Some(strip) = self.path.machine.poll_strip() {
            let Some(stripper) = &mut self.path.stripper else {
                continue;
            };
            let link = &self.path.link;
            let (heeded, result) = stripper.apply(strip, |node| link.route(node));
            match heeded {
                Heeded::Yes => {}
                Heeded::NotAdded(service, ends) => {
                    self.path.machine.handle_not_added(service, &ends);
                }
                // At once if that is possible, else with the next change.
                Heeded::NotRemoved if strip == Strip::Clear => {}
                Heeded::NotRemoved => self.path.machine.handle_not_removed(),
            }
            if let Err(error) = result {
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
