//! S4 in part: no live flow is ever reset by us, and none is cut off.

use crate::kernel::{Kernel, Phase};
use jlb_protocol::{FlowKey, NodeNumber};

/// The host that has the life `isn` of the flow; only if it is established, where `established`.
pub(crate) fn owner<'a>(
    kernels: impl Iterator<Item = (NodeNumber, &'a Kernel)>,
    key: &FlowKey,
    isn: u32,
    established: bool,
) -> Option<NodeNumber> {
    let mut owners = kernels.filter(|(_, kernel)| {
        kernel.socket(key).is_some_and(|sock| {
            let counts = !established || sock.phase != Phase::HalfOpen;
            sock.isn == isn && sock.is_live() && counts
        })
    });
    owners.next().map(|(host, _)| host)
}

/// What is wrong with a reset that an ingress sends for the life `isn`, in which its client is.
pub(crate) fn check_reset(owner: Option<NodeNumber>, isn: u32) -> Option<String> {
    let owner = owner?;
    Some(format!(
        "an ingress resets isn {isn:#010x}, which host {owner} has"
    ))
}

/// What is wrong with a client's giving up on the open life `isn`.
pub(crate) fn check_stall(owner: Option<NodeNumber>, isn: u32) -> Option<String> {
    let owner = owner?;
    Some(format!(
        "isn {isn:#010x} got no answer any more, though host {owner} has it"
    ))
}
