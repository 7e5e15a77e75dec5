//! How a service's host is chosen: one file per policy, all behind [`Policy`].
//!
//! A new one is a file with a type, its `mod` below and its line in the table of `policies!`:
//! docs/policies.md shows how.

mod consistent_hash;
mod dice;
mod least_connections;
mod least_load;
mod max_connections;
mod random;
mod round_robin;
mod turn;
mod two_choices;

use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// A host that may be asked to take a flow: alive, with room, and not asked in this search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The host.
    pub host: NodeNumber,
    /// Its share relative to the others, 1 to 65,535.
    pub weight: u16,
    /// Connections that it reported last.
    pub connections: u32,
    /// Flows that this tracker offered it since that report.
    pub sent: u32,
    /// The connections that it has room for, by the configuration or else by its last report;
    /// `None` if neither gives a limit.
    pub limit: Option<u32>,
    /// The load that it reported last, 0 (idle) to 65,535 (full).
    pub load: u16,
    /// The part of its weight that counts, 1 to [`Self::WARM`]: less than all while it starts slowly.
    pub warmth: u16,
}

impl Candidate {
    /// The warmth of a host whose whole weight counts.
    pub const WARM: u16 = 256;

    /// Its share relative to the others now: its weight, as far as it counts, in parts of [`Self::WARM`].
    #[must_use]
    pub fn share(&self) -> u32 {
        u32::from(self.weight.max(1)) * u32::from(self.warmth.max(1))
    }

    /// The connections that the host is assumed to have.
    #[must_use]
    pub const fn assumed(&self) -> u32 {
        self.connections.saturating_add(self.sent)
    }
}

/// Chooses hosts for the new flows of one service.
pub trait Policy: Digest {
    /// The hosts of the service's pool, each with its weight, whatever their state: when the policy
    /// begins, and whenever they change.
    fn pool_is(&mut self, _hosts: &[(NodeNumber, u16)]) {}

    /// The host to ask next; `None` only without candidates. They come in the configuration's
    /// order.
    fn choose(&self, flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber>;

    /// The flow was offered to `host`, which [`Self::choose`] took from these candidates.
    fn assigned(&mut self, host: NodeNumber, candidates: &[Candidate]);

    /// Whether it looks at hosts' connections or load: then a host whose flows end sooner than they should draws
    /// more of them, and its candidate is made to count as more.
    fn minds_load(&self) -> bool {
        true
    }
}

/// Makes [`PolicyKind`] and [`Chooser`] of a table of policies: what one is for, its type, and its name
/// in the cluster file. A type's `new` takes a seed, by which several trackers do not all begin with
/// the same host.
macro_rules! policies {
    (
        $(#[$first_doc:meta])+ $first_module:ident::$first:ident = $first_name:literal;
        $($(#[$doc:meta])+ $module:ident::$policy:ident = $name:literal;)*
    ) => {
        /// How a service's host is chosen.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum PolicyKind {
            $(#[$first_doc])+
            $first,
            $($(#[$doc])+ $policy,)*
        }

        impl PolicyKind {
            /// Every policy with its name in the cluster file.
            pub const ALL: &'static [(&'static str, Self)] =
                &[($first_name, Self::$first), $(($name, Self::$policy)),*];

            /// How a policy is written in the cluster file: the help of errors about it.
            pub const HELP: &'static str = concat!(
                "write policy = \"", $first_name, "\"" $(, " or \"", $name, "\"")*
            );

            /// The same of one that is asked beside it.
            pub const SHADOW_HELP: &'static str = concat!(
                "write shadow_policy = \"", $first_name, "\"" $(, " or \"", $name, "\"")*
            );

            /// Its name in the cluster file.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_name,
                    $(Self::$policy => $name,)*
                }
            }
        }

        /// The policy of one service.
        #[derive(Clone, Debug)]
        pub enum Chooser {
            $(#[$first_doc])+
            $first($first_module::$first),
            $($(#[$doc])+ $policy($module::$policy),)*
        }

        impl Chooser {
            /// A policy of this kind.
            #[must_use]
            pub fn new(kind: PolicyKind, seed: u64) -> Self {
                match kind {
                    PolicyKind::$first => Self::$first($first_module::$first::new(seed)),
                    $(PolicyKind::$policy => Self::$policy($module::$policy::new(seed)),)*
                }
            }

            /// Which kind it is.
            #[must_use]
            pub const fn kind(&self) -> PolicyKind {
                match self {
                    Self::$first(_) => PolicyKind::$first,
                    $(Self::$policy(_) => PolicyKind::$policy,)*
                }
            }

            fn policy(&self) -> &dyn Policy {
                match self {
                    Self::$first(policy) => policy,
                    $(Self::$policy(policy) => policy,)*
                }
            }

            fn policy_mut(&mut self) -> &mut dyn Policy {
                match self {
                    Self::$first(policy) => policy,
                    $(Self::$policy(policy) => policy,)*
                }
            }
        }
    };
}

policies! {
    /// Each host in turn, by weight.
    round_robin::RoundRobin = "round-robin";
    /// Any host, by weight.
    random::Random = "random";
    /// The host with the smallest part of its limit in use.
    max_connections::MaxConnections = "max-connections";
    /// The host with the fewest connections for its weight.
    least_connections::LeastConnections = "least-connections";
    /// Of two hosts that chance names, by weight, the one with fewer connections for its weight.
    two_choices::TwoChoices = "two-choices";
    /// The host with the lowest load by its own report.
    least_load::LeastLoad = "least-load";
    /// Always the same host for a client's address and port, with few moves when hosts come and go.
    consistent_hash::ConsistentHash = "consistent-hash";
}

impl Policy for Chooser {
    fn pool_is(&mut self, hosts: &[(NodeNumber, u16)]) {
        self.policy_mut().pool_is(hosts);
    }

    fn choose(&self, flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        self.policy().choose(flow, candidates)
    }

    fn assigned(&mut self, host: NodeNumber, candidates: &[Candidate]) {
        self.policy_mut().assigned(host, candidates);
    }

    fn minds_load(&self) -> bool {
        self.policy().minds_load()
    }
}

impl Digest for Chooser {
    fn digest(&self, into: &mut Digester<'_>) {
        self.policy().digest(into);
    }
}

#[cfg(test)]
mod tests;
