//! What a host agent counts.

use crate::admission::Cause;
use crate::life::Ending;
use crate::signals::{AcceptQueue, Machine, Server};
use alloc::vec::Vec;
use jlb_protocol::{Ledger, ServiceNumber};

/// Counts since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Offers of new flows that were accepted.
    pub accepted: u64,
    /// Offers of flows that this host had already, accepted again under their birth.
    pub accepted_again: u64,
    /// New flows accepted though the admission said no, since their search ended here (R6).
    pub accepted_full: u64,
    /// Offers rejected by the limit of connections.
    pub rejected_max_connections: u64,
    /// Offers rejected by the limit of connections that follows the share of offers taken.
    pub rejected_adaptive: u64,
    /// Offers rejected because the server did not keep up with accepting connections.
    pub rejected_accept_queue: u64,
    /// Offers rejected because the processors were busy.
    pub rejected_cpu: u64,
    /// Offers rejected because the memory was used up.
    pub rejected_memory: u64,
    /// Offers rejected by the load that the server itself told.
    pub rejected_server_load: u64,
    /// Offers rejected because the server was slow.
    pub rejected_latency: u64,
    /// Offers rejected because the flow table is full.
    pub rejected_full: u64,
    /// Offers rejected because this host is draining.
    pub rejected_draining: u64,
    /// Flows that were closed since they outlived the deadline of a drain.
    pub drained: u64,
    /// Offers of new flows without a tracker that were passed on to one (R13).
    pub passed_on: u64,
    /// New flows accepted though no tracker was there (R13).
    pub accepted_alone: u64,
    /// Offers of direct hunts that were passed on to the next host (R6).
    pub hunted_on: u64,
    /// Offers of direct hunts rejected because a former life of this host may have rejected them.
    pub rejected_restarted: u64,
    /// Offers rejected because their number was rejected before (R5).
    pub rejected_again: u64,
    /// Rejected offers beyond what the filter of rejects is made for.
    pub rejects_overfilled: u64,
    /// Packets turned back because their flow is not this host's (R4).
    pub not_owner: u64,
    /// Questions of trackers for a flow's owner that were answered.
    pub who_has: u64,
    /// Flows given up because another host owns them.
    pub released: u64,
    /// Flows taken from the kernel's first two lists.
    pub loaded: u64,
    /// Flows taken from a later list: the kernel had a socket that the agent did not know.
    pub adopted: u64,
    /// Flows that turned out to be in their next life: the kernel ended the socket that the agent
    /// knew, or had another one, after a SYN that might have been the old one's.
    pub renewed: u64,
    /// Sockets of services that found no room in the flow table.
    pub sockets_without_room: u64,
    /// Complete lists of sockets.
    pub dumps: u64,
    /// Single connections for which the kernel was asked.
    pub look_ups: u64,
    /// Those of which it had no word.
    pub look_ups_unknown: u64,
    /// Destroyed sockets of flows of this host.
    pub destroyed: u64,
    /// Destroyed sockets that belong to no flow, or to its former life.
    pub destroyed_unknown: u64,
    /// Times that destroy events were lost.
    pub destroyed_lost: u64,
    /// Flows that ended without the client's part of the handshake.
    pub ended_no_handshake: u64,
    /// Flows that closed, and of which the kernel had nothing left.
    pub ended_closed: u64,
    /// Flows that closed and whose linger passed.
    pub ended_lingered: u64,
    /// Flows whose socket was gone though no close was reported.
    pub ended_vanished: u64,
    /// UDP flows that were idle.
    pub ended_idle: u64,
    /// Flows that gave way to a new life of them (R7).
    pub ended_renewed: u64,
    /// Flows of another host of which the kernel had nothing left.
    pub ended_disowned: u64,
    /// Flows of services that the configuration does not have any more.
    pub ended_no_service: u64,
    /// UDP flows that were forgotten since they outlived the deadline of a drain.
    pub ended_drained: u64,
    /// Closes queued for the ingress that has the flow in its cache.
    pub closes: u64,
    /// Closes that found no room, or whose ingress did not acknowledge them in time: the entry
    /// stays until it is idle for long.
    pub closes_lost: u64,
    /// Statements queued, or put in place of the same flow's former one; one for each tracker.
    pub statements: u64,
    /// Statements that found no room.
    pub statements_lost: u64,
    /// Statements queued by walks: of flows that a tracker was not told of before (R10), or of a
    /// bucket that it asked for (R9).
    pub walked: u64,
    /// States sent without being gathered, to a tracker that was not on an accepted Offer's path
    /// (R10).
    pub states_hurried: u64,
    /// Trackers that said that they lost what they were told.
    pub forgotten: u64,
    /// Questions of trackers for this host's mark that were answered (R10).
    pub marks_repeated: u64,
    /// Digests sent, one a bucket and tracker (R9).
    pub digests: u64,
    /// Digests put off because statements of their bucket were not acknowledged.
    pub digests_late: u64,
    /// Buckets that trackers wanted listed.
    pub lists: u64,
    /// State messages sent, repeats included.
    pub states_sent: u64,
    /// State messages whose acknowledgement did not come in time.
    pub states_repeated: u64,
    /// State messages sent under another number because the tracker counted otherwise.
    pub renumbered: u64,
    /// Acknowledgements that came late or twice.
    pub acks_stale: u64,
}

impl Counters {
    /// Offers rejected by any admission policy.
    #[must_use]
    pub const fn rejected_by_policy(&self) -> u64 {
        self.rejected_max_connections
            + self.rejected_adaptive
            + self.rejected_accept_queue
            + self.rejected_cpu
            + self.rejected_memory
            + self.rejected_server_load
            + self.rejected_latency
    }

    pub(crate) const fn rejected(&mut self, cause: Cause) {
        let count = match cause {
            Cause::MaxConnections => &mut self.rejected_max_connections,
            Cause::Adaptive => &mut self.rejected_adaptive,
            Cause::AcceptQueue => &mut self.rejected_accept_queue,
            Cause::Cpu => &mut self.rejected_cpu,
            Cause::Memory => &mut self.rejected_memory,
            Cause::Load => &mut self.rejected_server_load,
            Cause::Latency => &mut self.rejected_latency,
        };
        *count += 1;
    }

    pub(crate) fn ended(&mut self, ending: Ending) {
        let count = match ending {
            Ending::NoHandshake => &mut self.ended_no_handshake,
            Ending::Closed => &mut self.ended_closed,
            Ending::Lingered => &mut self.ended_lingered,
            Ending::Vanished => &mut self.ended_vanished,
            Ending::Idle => &mut self.ended_idle,
            Ending::Renewed => &mut self.ended_renewed,
            Ending::Disowned => &mut self.ended_disowned,
            Ending::NoService => &mut self.ended_no_service,
            Ending::Drained => &mut self.ended_drained,
        };
        *count += 1;
    }
}

/// One service on this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceStats {
    /// The service.
    pub service: ServiceNumber,
    /// Its accepted and established flows.
    pub connections: u32,
    /// Flows that would still be taken; `u32::MAX` without a limit.
    pub room: u32,
    /// Load, 0 (idle) to 65,535 (full).
    pub load: u16,
    /// Whether its server answers the health check.
    pub healthy: bool,
    /// Its accept queue, as it was read last.
    pub queue: Option<AcceptQueue>,
    /// What its server said in its last health check.
    pub server: Server,
    /// Whether new flows of it are rejected since it drains here, or the whole host does.
    pub draining: bool,
}

/// The agent's books and gauges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Messages in and out (R14).
    pub ledger: Ledger,
    /// Counts since the start.
    pub counters: Counters,
    /// Whether the flows were loaded from the kernel.
    pub ready: bool,
    /// How busy the machine is, as it was read last.
    pub machine: Machine,
    /// Flows whose client did not finish the handshake yet.
    pub flows_accepted: u32,
    /// Established flows.
    pub flows_established: u32,
    /// Flows whose socket was given up.
    pub flows_closing: u32,
    /// Flows of other hosts of which this kernel may still have a socket.
    pub flows_released: u32,
    /// Bytes that the tables of flows have allocated.
    pub flow_table_bytes: usize,
    /// Statements waiting for a tracker or ingress, or its acknowledgement.
    pub statements_pending: usize,
    /// Trackers that are still to be told of flows before they may be ranked by this host's word
    /// (R10).
    pub trackers_unfilled: usize,
    /// Whether new flows are rejected since this host leaves.
    pub draining: bool,
    /// Each service, sorted.
    pub services: Vec<ServiceStats>,
}
