//! What must hold in every state (S1 to S4), and how it is seen.

use crate::case::Case;
use crate::cluster::{HOSTS, Place};
use crate::packet::{Life, Packet};
use crate::world::World;

/// An Offer of a SYN to a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offer {
    pub(crate) life: Life,
    pub(crate) step: u8,
    pub(crate) host: Place,
}

/// Which hosts were asked in the search for the latest attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Asked {
    life: Option<Life>,
    /// The step at which each host was asked.
    steps: [Option<u8>; 2],
}

/// S1: while one host's kernel has a connection of the life, no other host's gets a packet of it.
///
/// Once the client has left the life, a half-open connection of it is nobody's.
pub(crate) fn check_delivery(world: &World, host: Place, packet: Packet) -> Option<String> {
    let Packet { life, segment } = packet;
    for (other, kernel) in HOSTS.into_iter().zip(&world.kernels) {
        let is_leftover = world.client.has_left(life) && !kernel.has_open(life);
        if other != host && kernel.has(life) && !is_leftover {
            return Some(format!(
                "S1: {} delivers a {segment:?} of the {life:?} life, but {} has that connection",
                host.name(),
                other.name()
            ));
        }
    }
    None
}

/// S4: no live connection is reset by us.
///
/// Where a host gets room while two trackers lead the search, by views that differ, one may refuse what
/// the other finds a host for: that is a SYN without an answer, and no connection yet.
pub(crate) fn check_reset(case: &Case, world: &World, life: Life) -> Option<String> {
    if !world.client.lives(life) {
        return None;
    }
    let mut hosts = HOSTS.into_iter().zip(&world.kernels);
    let (owner, kernel) = hosts.find(|(_, kernel)| kernel.has(life))?;
    if case.frees > 0 && case.beliefs > 0 && !kernel.has_open(life) {
        return None;
    }
    Some(format!(
        "S4: an ingress resets the {life:?} life, which {} has",
        owner.name()
    ))
}

/// S2: one search asks each host once, spends a step each time, and repeats start no new one. A flow
/// that waits is offered anew, with lower steps (R6).
///
/// A crash or another view may make others begin the search again.
pub(crate) fn check_search(case: &Case, world: &mut World, offer: Offer) -> Option<String> {
    if case.crashes > 0 || case.beliefs > 0 {
        return None;
    }
    let Offer { life, step, host } = offer;
    // A host of a hunt is asked again under its number, while another one to which it has passed the Offer
    // may have accepted: it answers as before.
    let Asked {
        life: latest,
        steps,
    } = world.asked;
    // What is passed on of a life that its client has left tells nothing of a search.
    if case.hunts && world.client.has_left(life) {
        return None;
    }
    if case.hunts && latest == Some(life) && steps[host.host_index()] == Some(step) {
        return None;
    }
    let mut hosts = HOSTS.into_iter().zip(&world.kernels);
    match hosts.find(|(_, kernel)| kernel.has(life)) {
        // Its owner is asked each time, under any step (R7).
        Some((owner, _)) if owner == host => return None,
        Some((owner, _)) => {
            return Some(format!(
                "S2: {} is asked for the {life:?} life, which {} has",
                host.name(),
                owner.name()
            ));
        }
        None => {}
    }
    let asked = &mut world.asked;
    if asked.life != Some(life) {
        *asked = Asked {
            life: Some(life),
            steps: [None; 2],
        };
    }
    let at = host.host_index();
    match asked.steps[at] {
        Some(before) if before == step => return None,
        Some(before) if case.queue > 0 && step < before => {}
        Some(before) => {
            return Some(format!(
                "S2: {} is asked for the {life:?} life at step {before} and at {step}",
                host.name()
            ));
        }
        None => {}
    }
    if asked.steps.contains(&Some(step)) || step >= case.search_ttl {
        return Some(format!(
            "S2: {} is asked for the {life:?} life at step {step}, which is spent",
            host.name()
        ));
    }
    asked.steps[at] = Some(step);
    None
}

/// S3, where nothing can happen any more: each life that the client has begun, and not left, was
/// answered by a host or refused.
pub(crate) fn check_rest(world: &World) -> Option<String> {
    Life::ALL.into_iter().find_map(|life| {
        let client = &world.client;
        let i = life.index();
        let is_served = client.answered[i] || client.refused[i];
        (client.began(life) && !client.has_left(life) && !is_served)
            .then(|| format!("S3: the client was neither served nor refused in its {life:?} life"))
    })
}
