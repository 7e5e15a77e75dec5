//! Which flows the kernel may decapsulate by itself, as they come and go.

use super::{Flow, Flows, Holds};
use crate::life::State;
use alloc::collections::VecDeque;
use jlb_flow_table::Handle;
use jlb_protocol::{Birth, FlowKey, NodeNumber, Protocol};

/// Changes that wait for the driver. If more come between two looks, all flows are taken back instead.
const MAX_WAITING: usize = 8_192;

/// What else a flow's entry says in one byte: a million flows count each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark(u8);

impl Mark {
    /// The agent sees all packets of the flow.
    pub(super) const NONE: Self = Self(0);
    /// It was reset since the time that a drain gave it was over. What drains is not stripped.
    pub(super) const CUT: Self = Self(255);
    /// The driver was told of it after the first time that it was to forget all.
    const FIRST: Self = Self(1);

    const fn next(self) -> Self {
        match self.0 {
            ..254 => Self(self.0 + 1),
            _ => Self::FIRST,
        }
    }
}

/// What the driver is to do about a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Add(FlowKey, Birth, NodeNumber),
    Remove(FlowKey),
    Clear,
}

/// What the driver was told.
#[derive(Clone, Debug)]
pub(super) struct Stripping {
    /// Whether there is a driver that can strip.
    on: bool,
    /// What a flow is marked with that the driver was told of and has not been told to forget. Marks may come
    /// again: an old one keeps a flow from being added, and nothing else.
    mark: Mark,
    waiting: VecDeque<Change>,
}

impl Stripping {
    pub(super) const OFF: Self = Self {
        on: false,
        mark: Mark::FIRST,
        waiting: VecDeque::new(),
    };

    fn clear(&mut self) {
        if self.on {
            self.mark = self.mark.next();
            self.waiting.clear();
            self.waiting.push_back(Change::Clear);
        }
    }

    /// The flow is one that the agent has to see, or is over.
    pub(super) fn take_back(&mut self, key: &FlowKey, flow: &mut Flow) {
        if flow.mark != self.mark {
            return;
        }
        flow.mark = Mark::NONE;
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(Change::Remove(*key));
        } else {
            self.clear();
        }
    }
}

impl Flow {
    /// Whether all that the agent learns of the client's next packets is known already.
    const fn may_be_stripped(&self) -> bool {
        matches!(self.protocol, Protocol::Tcp)
            && matches!(self.state, State::Established)
            && self.doubt().is_none()
    }
}

impl Flows {
    /// There is a driver that can strip.
    pub(crate) fn begin_stripping(&mut self) {
        self.stripping.on = true;
        self.stripping.clear();
    }

    /// No flow is stripped until its next packet has come.
    pub(crate) fn strip_anew(&mut self) {
        self.stripping.clear();
    }

    /// The driver does not strip the flow, though it was told to.
    pub(crate) fn not_stripped(&mut self, key: &FlowKey) {
        let is_of = |change: &Change| match change {
            Change::Add(other, ..) | Change::Remove(other) => other == key,
            Change::Clear => true,
        };
        if self.stripping.waiting.iter().any(is_of) {
            // The driver has not heard the last word.
            return;
        }
        let handle = self.table.find(key);
        if let Some(flow) = handle.and_then(|it| self.table.get_mut(it))
            && flow.mark == self.stripping.mark
        {
            flow.mark = Mark::NONE;
        }
    }

    pub(crate) fn next_strip(&mut self) -> Option<Change> {
        self.stripping.waiting.pop_front()
    }

    /// Whether the driver was told to strip the flow.
    pub(crate) fn is_stripped(&self, handle: Handle) -> bool {
        let flow = self.table.get(handle);
        flow.is_some_and(|flow| flow.mark == self.stripping.mark)
    }

    /// A plain segment of the flow came through this ingress, with this birth: those that follow may go past
    /// the agent, where all else allows that. An ingress may know an older life of the flow; which one a segment
    /// belongs to is the stack's to tell.
    pub(crate) fn strip(&mut self, handle: Handle, birth: Option<Birth>, ingress: NodeNumber) {
        if !self.stripping.on || self.stripping.waiting.len() >= MAX_WAITING {
            return;
        }
        let Some(key) = self.table.key(handle).copied() else {
            return;
        };
        let Some(flow) = self.table.get_mut(handle) else {
            return;
        };
        let Some(birth) = birth.filter(|_| flow.ingress == Some(ingress)) else {
            return;
        };
        let numbers = [birth.incarnation, birth.counter];
        let is_told = flow.mark == self.stripping.mark
            && matches!(flow.holds, Holds::Birth)
            && flow.numbers == numbers;
        if is_told || flow.mark == Mark::CUT || !flow.may_be_stripped() {
            return;
        }
        // What the driver was told before is not to stay, whatever becomes of this.
        self.stripping.take_back(&key, flow);
        // The trail goes: it would fall behind unseen, and a reset by it would not be heeded.
        (flow.holds, flow.numbers) = (Holds::Birth, numbers);
        flow.mark = self.stripping.mark;
        let add = Change::Add(key, birth, ingress);
        self.stripping.waiting.push_back(add);
    }

    /// The flow is one that the agent has to see.
    pub(super) fn take_back(&mut self, handle: Handle) {
        let Some(key) = self.table.key(handle).copied() else {
            return;
        };
        if let Some(flow) = self.table.get_mut(handle) {
            self.stripping.take_back(&key, flow);
        }
    }
}
