//! This node's place among the others: the view, roles and ranks.

use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::rank::{Ranking, Ranks};
use jlb_protocol::{DropReason, FlowKey, MemberState, NodeNumber, Role, View};

/// The view that the tracker acts on.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    pub(crate) me: NodeNumber,
    key: HashKey,
    view: View,
    ranking: Ranking,
}

impl Nodes {
    pub(crate) fn new(me: NodeNumber, key: HashKey, view: View) -> Self {
        let ranking = Ranking::new(key, &view);
        Self {
            me,
            key,
            view,
            ranking,
        }
    }

    pub(crate) fn set_view(&mut self, view: View) {
        self.ranking = Ranking::new(self.key, &view);
        self.view = view;
    }

    pub(crate) fn hash(&self, key: &FlowKey) -> FlowHash {
        self.key.flow_hash(key)
    }

    pub(crate) fn ranks(&self, flow: FlowHash) -> Ranks {
        self.ranking.ranks(flow)
    }

    /// The tracker that this one works through when it leads: the best other one of its view.
    pub(crate) fn partner(&self, ranks: Ranks) -> Option<NodeNumber> {
        if ranks.primary == Some(self.me) {
            ranks.secondary
        } else {
            ranks.primary
        }
    }

    /// The role of a member, whatever its state.
    pub(crate) fn role(&self, node: NodeNumber) -> Option<Role> {
        self.view.member(node).map(|member| member.role)
    }

    /// The node that a path names for a role, if it is a member with that role.
    pub(crate) fn named(
        &self,
        node: Option<NodeNumber>,
        role: Role,
    ) -> Result<NodeNumber, DropReason> {
        let node = node.ok_or(DropReason::WrongNode)?;
        match self.role(node) {
            Some(actual) if actual == role => Ok(node),
            Some(_) => Err(DropReason::WrongRole),
            None => Err(DropReason::WrongNode),
        }
    }

    /// Whether new flows may be offered to the host.
    pub(crate) fn is_active_host(&self, node: NodeNumber) -> bool {
        self.host_state(node) == Some(MemberState::Active)
    }

    /// Whether the host is believed alive.
    pub(crate) fn is_live_host(&self, node: NodeNumber) -> bool {
        match self.host_state(node) {
            Some(MemberState::Joining | MemberState::Active | MemberState::Draining) => true,
            Some(MemberState::Down) | None => false,
        }
    }

    fn host_state(&self, node: NodeNumber) -> Option<MemberState> {
        let member = self.view.member(node)?;
        (member.role == Role::HostAgent).then_some(member.state)
    }
}
