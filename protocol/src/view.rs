//! The set of nodes believed alive, with their states, that a node acts on.

use crate::number::{NodeNumber, Role};
use alloc::vec::Vec;
use core::hash::Hasher;
use core::num::NonZeroU64;
use siphasher::sip::SipHasher24;

/// What a node is believed to be doing. The discriminant is the number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MemberState {
    /// Being filled; not ranked and not chosen yet.
    Joining = 0,
    /// In service.
    Active = 1,
    /// Keeps what it has and gets nothing new.
    Draining = 2,
    /// Believed dead.
    Down = 3,
}

impl MemberState {
    /// The state with this number on the wire.
    #[must_use]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Joining),
            1 => Some(Self::Active),
            2 => Some(Self::Draining),
            3 => Some(Self::Down),
            _ => None,
        }
    }
}

/// What fails together: a machine, a rack. A flow has its two trackers in different ones where there are such. It is known by
/// a hash of its label (SipHash-2-4 with a zero key), in which all nodes agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FailureDomain(NonZeroU64);

impl FailureDomain {
    /// The domain with this label.
    #[must_use]
    pub fn of(label: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(label.as_bytes());
        Self(NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }

    /// Whether two trackers fail together, as far as is known: one without a domain fails alone.
    #[must_use]
    pub fn is_shared(a: Option<Self>, b: Option<Self>) -> bool {
        a.is_some() && a == b
    }
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
    /// Which life of it, so that one that restarts is another member however fast it was; 0 where
    /// nobody told, as in a static list.
    pub incarnation: u32,
    /// What it fails together with, as this node's file says: no message tells it.
    pub domain: Option<FailureDomain>,
}

impl Member {
    fn hash(&self, hasher: &mut SipHasher24) {
        hasher.write(&self.node.get().to_be_bytes());
        hasher.write(&[self.role as u8, self.state as u8]);
        hasher.write(&self.incarnation.to_be_bytes());
    }
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
    #[inline]
    pub fn member(&self, node: NodeNumber) -> Option<&Member> {
        // Most clusters number their nodes one after the other.
        let first = self.members.first()?.node.get();
        let guess = usize::from(node.get().checked_sub(first)?);
        match self.members.get(guess) {
            Some(member) if member.node == node => Some(member),
            _ => self.search(node),
        }
    }

    /// The same, wherever it is.
    fn search(&self, node: NodeNumber) -> Option<&Member> {
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
            member.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// A hash of the trackers that are ranked, and of `also` as if it were ranked too: whom R10's
    /// filling is about. Equal if these are the same trackers in the same lives, and the same of them share failure domains.
    #[must_use]
    pub fn ranked_fingerprint(&self, also: Option<NodeNumber>) -> u64 {
        let mut hasher = SipHasher24::new();
        let ranked = || {
            self.members.iter().filter(move |member| {
                member.role == Role::FlowTracker
                    && (member.state == MemberState::Active || Some(member.node) == also)
            })
        };
        for member in ranked() {
            let ranked = Member {
                state: MemberState::Active,
                ..*member
            };
            ranked.hash(&mut hasher);
        }
        // Nothing is said of domains that change no rank, so that these nodes agree with those that know none.
        let domains: Vec<_> = ranked().map(|member| member.domain).collect();
        for (member, domain) in ranked().zip(shared(&domains)) {
            if let Some(FailureDomain(label)) = domain {
                hasher.write(&member.node.get().to_be_bytes());
                hasher.write(&label.get().to_be_bytes());
            }
        }
        hasher.finish()
    }
}

/// Those of the trackers' failure domains that matter: which more than one has, but not all. Empty if there are none.
pub(crate) fn shared(domains: &[Option<FailureDomain>]) -> Vec<Option<FailureDomain>> {
    let holders = |domain: FailureDomain| {
        let same = domains.iter().filter(|&&other| other == Some(domain));
        same.count()
    };
    let matter = domains
        .iter()
        .map(|domain| domain.filter(|&domain| (2..domains.len()).contains(&holders(domain))));
    let matter: Vec<_> = matter.collect();
    if matter.iter().all(Option::is_none) {
        return Vec::new();
    }
    matter
}

#[cfg(test)]
mod tests;
