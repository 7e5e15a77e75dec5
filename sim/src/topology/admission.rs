//! What hosts go by when they take a flow or reject it.

use crate::plan::Plan;
use crate::rng::Rng;
use core::time::Duration;
use jlb_host_agent::config::Admission;

/// A share of half: readings lie on both sides of it.
const HALF: u16 = 1 << 15;

/// A limit of connections, or, in a share of the runs, one or two of the policies that go by what is
/// measured.
pub(super) fn admission(plan: &Plan, limit: u32, rng: &mut Rng) -> Admission {
    if !rng.chance(plan.measured) {
        return Admission::max_connections(limit);
    }
    let mut admission = Admission::default();
    for _ in 0..rng.within(1, 2) {
        match rng.within(0, 5) {
            0 => admission.adaptive = true,
            1 => admission.accept_queue = Some(limit),
            2 => admission.cpu = Some(HALF),
            3 => admission.memory = Some(HALF),
            4 => admission.load = Some(HALF),
            _ => admission.latency = Some(Duration::from_millis(20)),
        }
    }
    admission
}

/// Whether any of it goes by what is read from the machine or from the server.
pub(super) const fn is_measured(admission: &Admission) -> bool {
    let Admission {
        max_connections: _,
        adaptive: _,
        accept_queue,
        cpu,
        memory,
        load,
        latency,
    } = admission;
    accept_queue.is_some()
        || cpu.is_some()
        || memory.is_some()
        || load.is_some()
        || latency.is_some()
}
