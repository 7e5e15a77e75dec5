//! What the role says of packets that the kernel may decapsulate by itself.

use super::Turn;
use crate::machine::Machine;
use crate::strip::Heeded;
use jlb_host_agent::Strip;
use jlb_protocol::Time;

impl<M: Machine> Turn<M> {
    /// Does what the role says, but lets no more connections go: see [`Self::let_go`].
    pub(super) fn apply_strips(&mut self, now: Time) {
        while let Some(strip) = self.path.machine.poll_strip() {
            match strip {
                Strip::Add { .. } => self.let_go.push(strip),
                Strip::Remove(removed) => {
                    let is_other =
                        |it: &Strip| !matches!(it, Strip::Add { ends, .. } if *ends == removed);
                    self.let_go.retain(is_other);
                    self.apply_strip(now, strip);
                }
                Strip::Clear => {
                    self.let_go.clear();
                    self.apply_strip(now, strip);
                }
            }
        }
    }

    /// Lets connections go whose packets the stack has by now.
    pub(super) fn let_go(&mut self, now: Time) {
        let mut strips = std::mem::take(&mut self.let_go);
        for strip in strips.drain(..) {
            self.apply_strip(now, strip);
        }
        self.let_go = strips;
    }

    fn apply_strip(&mut self, now: Time, strip: Strip) {
        if let Some(stripper) = &mut self.path.stripper {
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
        let stripper = self.path.stripper.as_mut();
        if let Some(Err(error)) = stripper.map(|it| it.sweep(now)) {
            self.complain(now, "sweep the XDP programs' flows", || error.to_string());
        }
    }

    /// When [`Self::sweep`] is to be called, if it is.
    pub(super) fn sweep_due(&self) -> Option<Time> {
        self.path.stripper.as_ref()?.sweep_due()
    }
}
