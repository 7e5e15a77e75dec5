//! The host agent under the data path, and its metrics.

use super::{Machine, RoleConfig, Taken};
use crate::report::Report;
use jlb_host_agent::signals::Signal;
use jlb_host_agent::{DumpScope, Ends, HostAgent, LookUp, LookedUp, Socket, Strip, Until, Verdict};
use jlb_ingress::Packet;
use jlb_protocol::{Ledger, Message, NodeNumber, PacketBuf, ServiceNumber, Time, Transmit, View};
use std::net::SocketAddr;
use std::time::Duration;

impl Machine for HostAgent {
    fn process(&mut self, _now: Time, _batch: &mut [Packet]) -> bool {
        // The kernel routes nothing to a host's device but what is its own, such as router
        // solicitations.
        false
    }

    fn handle_message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) -> Taken {
        match Self::handle_message(self, now, from, message) {
            Verdict::Deliver => Taken::Deliver,
            Verdict::Done | Verdict::Dropped(_) => Taken::Done,
        }
    }

    fn begin_sockets(&mut self, now: Time, started: Time, scope: DumpScope) {
        Self::begin_sockets(self, now, started, scope);
    }

    fn handle_part(&mut self, now: Time, sockets: &[Socket]) {
        Self::handle_part(self, now, sockets);
    }

    fn end_sockets(&mut self, now: Time, cost: Duration) {
        Self::end_sockets(self, now, cost);
    }

    fn handle_socket_closed(
        &mut self,
        now: Time,
        local: SocketAddr,
        remote: SocketAddr,
        cookie: u64,
    ) {
        Self::handle_socket_closed(self, now, local, remote, cookie);
    }

    fn handle_events_lost(&mut self, now: Time) {
        Self::handle_events_lost(self, now);
    }

    fn poll_look_ups(&self) -> Option<Time> {
        Self::poll_look_ups(self)
    }

    fn take_look_ups(&mut self) -> Vec<LookUp> {
        Self::take_look_ups(self)
    }

    fn handle_looked_up(&mut self, now: Time, started: Time, cost: Duration, answers: &[LookedUp]) {
        Self::handle_looked_up(self, now, started, cost, answers);
    }

    fn handle_look_ups_failed(&mut self) {
        Self::handle_look_ups_failed(self);
    }

    fn poll_dump(&self) -> Option<Time> {
        Self::poll_dump(self)
    }

    fn dump_scope(&self, now: Time) -> DumpScope {
        Self::dump_scope(self, now)
    }

    fn poll_strip(&mut self) -> Option<Strip> {
        Self::poll_strip(self)
    }

    fn handle_not_added(&mut self, service: ServiceNumber, ends: &Ends) {
        self.not_added(service, ends);
    }

    fn handle_not_removed(&mut self) {
        self.strip_anew();
    }

    fn handle_renewal(&mut self) {
        self.strip_anew();
    }

    fn handle_peer_wire(&mut self, now: Time, node: NodeNumber, wire: u8) {
        Self::handle_peer_wire(self, now, node, wire);
    }

    fn set_health(&mut self, now: Time, service: ServiceNumber, healthy: bool) {
        Self::set_health(self, now, service, healthy);
    }

    fn handle_signal(&mut self, signal: Signal) {
        Self::handle_signal(self, signal);
    }

    fn handle_config(&mut self, now: Time, config: RoleConfig) {
        // There is one role in a process.
        if let RoleConfig::HostAgent(config) = config {
            Self::handle_config(self, now, config);
        }
    }

    fn handle_drain(&mut self, now: Time, until: Option<Until>) {
        Self::handle_drain(self, now, until);
    }

    fn flows_left(&self) -> Option<u64> {
        let stats = self.stats();
        Some(u64::from(stats.flows_accepted) + u64::from(stats.flows_established))
    }

    same_as_the_role!();

    fn not_ready(&self) -> Option<&'static str> {
        (!self.is_ready()).then_some("waiting for the list of this machine's connections")
    }

    fn ledger(&self) -> Ledger {
        self.stats().ledger
    }

    fn report(&self, _now: Time, _names: &dyn Fn(NodeNumber) -> String, report: &mut Report) {
        let stats = self.stats();
        let counts = stats.counters;
        report.counters(&[
            (
                "jlb_host_accepts_total",
                "Offers of new flows that were accepted.",
                counts.accepted,
            ),
            (
                "jlb_host_repeated_accepts_total",
                "Offers of flows that the host had already, accepted again.",
                counts.accepted_again,
            ),
            (
                "jlb_host_not_owner_total",
                "Packets turned back because their flow is not this host's.",
                counts.not_owner,
            ),
            (
                "jlb_host_who_has_total",
                "Questions of trackers for a flow's owner that were answered.",
                counts.who_has,
            ),
            (
                "jlb_host_released_total",
                "Flows given up because another host owns them.",
                counts.released,
            ),
            (
                "jlb_host_loaded_flows_total",
                "Flows taken from the kernel's first two lists of sockets.",
                counts.loaded,
            ),
            (
                "jlb_host_adopted_flows_total",
                "Flows taken from a later list: the agent did not know them.",
                counts.adopted,
            ),
            (
                "jlb_host_renewed_flows_total",
                "Flows that turned out to be in their next life, since the kernel ended the last one.",
                counts.renewed,
            ),
            (
                "jlb_host_sockets_without_room_total",
                "Sockets of services that found no room in the flow table.",
                counts.sockets_without_room,
            ),
            (
                "jlb_host_socket_lists_total",
                "Lists of sockets that came to their end, with TIME_WAIT and without.",
                counts.dumps,
            ),
            (
                "jlb_host_socket_look_ups_total",
                "Connections of flows for which the kernel was asked alone.",
                counts.look_ups,
            ),
            (
                "jlb_host_socket_look_ups_unknown_total",
                "Those of which it had no word, as where no server listens any more: lists are made instead.",
                counts.look_ups_unknown,
            ),
            (
                "jlb_host_sockets_destroyed_total",
                "Destroyed sockets of flows of this host.",
                counts.destroyed,
            ),
            (
                "jlb_host_sockets_destroyed_unknown_total",
                "Destroyed sockets that belong to no flow, or to its former life.",
                counts.destroyed_unknown,
            ),
            (
                "jlb_host_destroy_events_lost_total",
                "Times that the kernel had more closes to tell than room.",
                counts.destroyed_lost,
            ),
            (
                "jlb_host_reject_filter_overfilled_total",
                "Rejected offers beyond what the filter of rejects is made for.",
                counts.rejects_overfilled,
            ),
            (
                "jlb_host_statements_total",
                "Statements queued for trackers.",
                counts.statements,
            ),
            (
                "jlb_host_statements_lost_total",
                "Statements that found no room.",
                counts.statements_lost,
            ),
            (
                "jlb_host_closes_total",
                "Closes queued for the ingress of the flow's last packet.",
                counts.closes,
            ),
            (
                "jlb_host_closes_lost_total",
                "Closes that found no room, or that the ingress did not acknowledge.",
                counts.closes_lost,
            ),
            (
                "jlb_host_states_sent_total",
                "State messages sent, repeats included.",
                counts.states_sent,
            ),
            (
                "jlb_host_states_repeated_total",
                "State messages whose acknowledgement did not come in time.",
                counts.states_repeated,
            ),
            (
                "jlb_host_states_renumbered_total",
                "State messages sent under another number because the tracker counted otherwise.",
                counts.renumbered,
            ),
            (
                "jlb_host_offers_passed_on_total",
                "Offers of new flows without a tracker that were passed on to one.",
                counts.passed_on,
            ),
            (
                "jlb_host_offers_hunted_on_total",
                "Offers of direct hunts that were passed on to the next host.",
                counts.hunted_on,
            ),
            (
                "jlb_host_accepts_alone_total",
                "New flows accepted though no tracker was there.",
                counts.accepted_alone,
            ),
            (
                "jlb_host_must_accepts_total",
                "New flows accepted though the admission said no, since their search ended here.",
                counts.accepted_full,
            ),
            (
                "jlb_host_drain_closed_total",
                "Connections that outlived the deadline of a drain: reset, or given up (UDP). Each counts once, when that is first tried.",
                counts.drained,
            ),
            (
                "jlb_host_walked_total",
                "Statements queued by walks: of flows that a tracker was not told of before, or of a bucket that it asked for.",
                counts.walked,
            ),
            (
                "jlb_host_states_hurried_total",
                "States sent at once, to a tracker that was not on an accepted Offer's path.",
                counts.states_hurried,
            ),
            (
                "jlb_host_trackers_forgot_total",
                "Times that a tracker said that it lost what it was told.",
                counts.forgotten,
            ),
            (
                "jlb_host_marks_repeated_total",
                "Questions of trackers for this host's mark that were answered.",
                counts.marks_repeated,
            ),
            (
                "jlb_host_digests_total",
                "Digests sent, one a bucket and tracker.",
                counts.digests,
            ),
            (
                "jlb_host_digests_late_total",
                "Digests put off because statements of their bucket were not acknowledged.",
                counts.digests_late,
            ),
            (
                "jlb_host_lists_total",
                "Buckets that trackers wanted listed.",
                counts.lists,
            ),
            (
                "jlb_host_stale_acks_total",
                "Acknowledgements that came late or twice.",
                counts.acks_stale,
            ),
        ]);
        report.counter_by(
            "jlb_host_rejects_total",
            "Offers of new flows that were rejected, by reason.",
            "reason",
            &[
                ("max_connections", counts.rejected_max_connections),
                ("adaptive", counts.rejected_adaptive),
                ("accept_queue", counts.rejected_accept_queue),
                ("cpu", counts.rejected_cpu),
                ("memory", counts.rejected_memory),
                ("server_load", counts.rejected_server_load),
                ("latency", counts.rejected_latency),
                ("draining", counts.rejected_draining),
                ("table_full", counts.rejected_full),
                ("repeat", counts.rejected_again),
                ("restarted", counts.rejected_restarted),
            ],
        );
        report.counter_by(
            "jlb_host_flows_ended_total",
            "Flows that ended, by how.",
            "how",
            &[
                ("no_handshake", counts.ended_no_handshake),
                ("closed", counts.ended_closed),
                ("lingered", counts.ended_lingered),
                ("vanished", counts.ended_vanished),
                ("idle", counts.ended_idle),
                ("renewed", counts.ended_renewed),
                ("disowned", counts.ended_disowned),
                ("no_service", counts.ended_no_service),
                ("drained", counts.ended_drained),
            ],
        );
        for (state, value) in [
            ("accepted", stats.flows_accepted),
            ("established", stats.flows_established),
            ("closing", stats.flows_closing),
            ("released", stats.flows_released),
        ] {
            report.gauge(
                "jlb_host_flows",
                "Flows in the table, by state.",
                &[("state", &state)],
                u64::from(value),
            );
        }
        report.gauge(
            "jlb_host_flows_loaded",
            "Whether the kernel's first two lists of sockets were loaded.",
            &[],
            u64::from(stats.ready),
        );
        report.gauge(
            "jlb_host_flow_table_bytes",
            "Bytes that the tables of flows have allocated.",
            &[],
            stats.flow_table_bytes as u64,
        );
        report.gauge(
            "jlb_host_statements_pending",
            "Statements waiting for a tracker or ingress, or its acknowledgement.",
            &[],
            stats.statements_pending as u64,
        );
        report.gauge(
            "jlb_host_trackers_unfilled",
            "Trackers that are still to be told of flows before they may be ranked.",
            &[],
            stats.trackers_unfilled as u64,
        );
        report.gauge(
            "jlb_host_draining",
            "Whether new flows are rejected since this host leaves.",
            &[],
            u64::from(stats.draining),
        );
        for (name, help, share) in [
            (
                "jlb_host_cpu_ratio",
                "Share of the processors' time in use, 0 to 1: pressure (PSI) where the kernel tells it.",
                stats.machine.cpu,
            ),
            (
                "jlb_host_memory_ratio",
                "Share of the memory in use, 0 to 1.",
                stats.machine.memory,
            ),
        ] {
            if let Some(share) = share {
                report.gauge(name, help, &[], f64::from(share) / 65_535.0);
            }
        }
        for service in &stats.services {
            let labels: &[(&'static str, &dyn ToString)] = &[("service", &service.service)];
            report.gauge(
                "jlb_host_connections",
                "Accepted and established flows, by service.",
                labels,
                u64::from(service.connections),
            );
            report.gauge(
                "jlb_host_load_ratio",
                "Load that the host tells the trackers, 0 to 1, by service.",
                labels,
                f64::from(service.load) / 65_535.0,
            );
            report.gauge(
                "jlb_host_service_draining",
                "Whether the service gets no new flows here, since it drains or the whole host does.",
                labels,
                u64::from(service.draining),
            );
            if let Some(queue) = service.queue {
                report.gauge(
                    "jlb_host_accept_queue",
                    "Connections that wait for the service's server to accept them.",
                    labels,
                    u64::from(queue.waiting),
                );
                report.gauge(
                    "jlb_host_accept_backlog",
                    "Connections that may wait for the service's server to accept them.",
                    labels,
                    u64::from(queue.backlog),
                );
            }
            if let Some(load) = service.server.load {
                report.gauge(
                    "jlb_host_server_load_ratio",
                    "Load of the service's server by its own word, 0 to 1.",
                    labels,
                    f64::from(load) / 65_535.0,
                );
            }
            if let Some(latency) = service.server.latency {
                report.gauge(
                    "jlb_host_server_latency_seconds",
                    "How long the service's server took to answer its last good health check.",
                    labels,
                    latency.as_secs_f64(),
                );
            }
        }
    }
}
