//! What of the policies decides the future.

use super::Chooser;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Chooser {
    fn digest(&self, into: &mut Digester<'_>) {
        match self {
            Self::RoundRobin(policy) => policy.digest(into),
            Self::LeastConnections(policy) => policy.digest(into),
        }
    }
}
