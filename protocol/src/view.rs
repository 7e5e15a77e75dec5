//! The set of nodes believed alive, with their states, that a node acts on.

use crate::number::{NodeNumber, Role};
use alloc::vec::Vec;
use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// What a node is believed to be doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MemberState {
    /// Being filled; not ranked and not chosen yet.
    Joining,
    /// In service.
    Active,
    /// Keeps what it has and gets nothing new.
    Draining,
    /// Believed dead.
    Down,
}

/// One node of a view.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Member {
    /// The node.
    pub node: NodeNumber,
    /// Its role.
    pub role: Role,
    /// Its state.
    pub state: MemberState,
}

/// The nodes believed alive, sorted by number. Views are compared by fingerprint, for equality
/// only: no global order of views is assumed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    members: Vec<Member>,
}

impl View {
    /// The view of these members; of two with one number the first stays.
    #[must_use]
    pub fn new(mut members: Vec<Member>) -> Self {
        members.sort_by_key(|member| member.node);
        members.dedup_by_key(|member| member.node);
        Self { members }
    }

    /// All members, sorted by number.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this number.
    #[must_use]
    pub fn member(&self, node: NodeNumber) -> Option<&Member> {
        let at = self
            .members
            .binary_search_by_key(&node, |member| member.node)
            .ok()?;
        self.members.get(at)
    }

    /// The active members of a role, sorted by number.
    pub fn active(&self, role: Role) -> impl Iterator<Item = NodeNumber> + '_ {
        self.members
            .iter()
            .filter(move |member| member.role == role && member.state == MemberState::Active)
            .map(|member| member.node)
    }

    /// A hash of the sorted members: equal views have equal fingerprints.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = SipHasher24::new();
        for member in &self.members {
            hasher.write(&member.node.get().to_be_bytes());
            hasher.write(&[member.role as u8, member.state as u8]);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests;
