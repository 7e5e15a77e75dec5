//! S7: quiet after healing. Some time after all faults have healed no State or Release is repeated
//! any more (questions are: clients go on to ask), all nodes believe the same of each other, and the trackers of each connection know its host.

use jlb_protocol::message::{Control, FlowKind};
use jlb_protocol::{FlowKey, MemberState, Message, NodeNumber, View};
use std::collections::{BTreeMap, BTreeSet};

/// A State or Release, by what its repetition would have in common with it.
type Sent = (NodeNumber, NodeNumber, Option<FlowKey>, u64);

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Stage {
    /// Faults may happen still, or have healed only just.
    #[default]
    Before,
    /// Nothing may be repeated.
    Watching,
    Over,
}

/// What is said while nothing may be repeated.
#[derive(Clone, Default, Debug)]
pub(crate) struct Quiet {
    stage: Stage,
    sent: BTreeSet<Sent>,
    repeated: u64,
    example: Option<String>,
}

impl Quiet {
    pub(crate) fn begin(&mut self) {
        self.stage = Stage::Watching;
    }

    pub(crate) fn is_watching(&self) -> bool {
        self.stage == Stage::Watching
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// A node sends a message.
    pub(crate) fn sent(&mut self, from: NodeNumber, to: NodeNumber, message: &Message<'_>) {
        if self.stage != Stage::Watching {
            return;
        }
        let sent = match message {
            // An answer to WhoHas has no number.
            Message::Control(Control::State { sequence: 0, .. }) => return,
            Message::Control(Control::State { sequence, .. }) => (from, to, None, *sequence),
            Message::Flow(flow) if flow.kind == FlowKind::Release => {
                (from, to, Some(flow.key), u64::from(flow.offer.isn) << 8)
            }
            Message::Flow(_) | Message::Control(_) => return,
        };
        if !self.sent.insert(sent) {
            self.repeated += 1;
            self.example
                .get_or_insert_with(|| format!("{from} repeats to {to}: {message:?}"));
        }
    }

    /// What is wrong with what was said.
    pub(crate) fn end(&mut self) -> Option<String> {
        self.stage = Stage::Over;
        self.sent.clear();
        let example = self.example.take()?;
        Some(format!(
            "{} messages were repeated: {example}",
            self.repeated
        ))
    }
}

/// What is so of the nodes: their own states and lives, none of those that are gone.
#[derive(Clone, Default, Debug)]
pub(crate) struct Truth {
    nodes: BTreeMap<NodeNumber, Option<(MemberState, u32)>>,
}

impl Truth {
    pub(crate) fn add(&mut self, node: NodeNumber, state: Option<(MemberState, u32)>) {
        self.nodes.insert(node, state);
    }

    /// Each node that is there, with its state.
    pub(crate) fn states(&self) -> impl Iterator<Item = (NodeNumber, MemberState)> + '_ {
        let nodes = self.nodes.iter();
        nodes.filter_map(|(&node, &state)| Some((node, state?.0)))
    }

    /// What is wrong with what a node believes.
    pub(crate) fn check_view(&self, node: NodeNumber, view: &View) -> Option<String> {
        view.members().iter().find_map(|member| {
            let so = self.nodes.get(&member.node).copied().flatten();
            let believed = (member.state != MemberState::Down).then_some(member.state);
            let state = so.map(|(state, _)| state);
            let same_life = so.is_none_or(|(_, life)| life == member.incarnation);
            (state != believed || !same_life)
                .then(|| format!("node {node} believes {member:?}, but it is {so:?}"))
        })
    }
}

/// What is wrong with a tracker's record of a connection that `owner` has.
pub(crate) fn check_record(
    tracker: NodeNumber,
    owner: NodeNumber,
    known: Option<NodeNumber>,
) -> Option<String> {
    (known != Some(owner)).then(|| match known {
        Some(other) => format!("tracker {tracker} holds host {other} for a flow that {owner} has"),
        None => format!("tracker {tracker} knows nothing of a flow that host {owner} has"),
    })
}
