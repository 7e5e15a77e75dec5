//! The ingress under the data path, and its metrics.

use super::{Machine, RoleConfig, Taken};
use crate::report::Report;
use jlb_ingress::{Ingress, Packet, Rules, Shortcut};
use jlb_packet_io::xsk::Frame;
use jlb_protocol::{FlowKey, Ledger, Message, NodeNumber, PacketBuf, Time, Transmit, View};

impl Machine for Ingress {
    fn process(&mut self, now: Time, batch: &mut [Packet]) -> bool {
        Self::process(self, now, batch);
        true
    }

    fn process_frames(&mut self, now: Time, batch: &mut [Packet<Frame>]) -> bool {
        Self::process(self, now, batch);
        true
    }

    fn count_forwarded(&mut self, packets: u64) {
        Self::count_forwarded(self, packets);
    }

    fn rules(&self) -> Option<Rules> {
        Some(Self::rules(self))
    }

    fn shortcut(&mut self, now: Time, key: &FlowKey) -> Option<Shortcut> {
        Self::shortcut(self, now, key)
    }

    fn handle_message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) -> Taken {
        Self::handle_message(self, now, from, message);
        Taken::Done
    }

    fn handle_settled(&mut self, now: Time, settled: bool) {
        Self::handle_settled(self, now, settled);
    }

    fn handle_config(&mut self, now: Time, config: RoleConfig) {
        // There is one role in a process.
        if let RoleConfig::Ingress(config) = config {
            Self::handle_config(self, now, config);
        }
    }

    same_as_the_role!();

    fn ledger(&self) -> Ledger {
        Self::ledger(self).clone()
    }

    fn report(&self, _now: Time, names: &dyn Fn(NodeNumber) -> String, report: &mut Report) {
        let stats = self.stats();
        report.counters(&[
            (
                "jlb_ingress_packets_total",
                "Client packets received.",
                stats.packets,
            ),
            (
                "jlb_ingress_cache_hits_total",
                "Client packets sent at once to the host that the cache named.",
                stats.cache_hits,
            ),
            (
                "jlb_ingress_cache_misses_total",
                "Client packets other than SYNs of flows that the cache did not have.",
                stats.cache_misses,
            ),
            (
                "jlb_ingress_syns_total",
                "SYNs received, repeats included.",
                stats.syns,
            ),
            (
                "jlb_ingress_icmp_errors_total",
                "ICMP errors about a flow received.",
                stats.icmp_errors,
            ),
            (
                "jlb_ingress_echoes_total",
                "Pings of a VIP answered.",
                stats.echoes,
            ),
            (
                "jlb_ingress_open_repeats_total",
                "Opens sent again since no answer came, or to another tracker.",
                stats.open_repeats,
            ),
            (
                "jlb_ingress_open_timeouts_total",
                "Attempts given up without an answer.",
                stats.open_timeouts,
            ),
            (
                "jlb_ingress_accepts_total",
                "Attempts that ended with a host.",
                stats.accepts,
            ),
            (
                "jlb_ingress_refusals_total",
                "Attempts that ended with a refusal.",
                stats.refusals,
            ),
            (
                "jlb_ingress_waits_total",
                "Attempts that a tracker queued.",
                stats.waits,
            ),
            (
                "jlb_ingress_not_acting_total",
                "Answers of trackers that they do not act.",
                stats.not_acting,
            ),
            (
                "jlb_ingress_closed_total",
                "Cache entries forgotten since their host stated that the flow is over.",
                stats.closed,
            ),
            (
                "jlb_ingress_disowned_total",
                "Cache entries forgotten since their host disowned the flow.",
                stats.disowned,
            ),
            (
                "jlb_ingress_rerouted_total",
                "Packets that a host gave back and that went on by a newer entry.",
                stats.rerouted,
            ),
            (
                "jlb_ingress_view_repeats_total",
                "Attempts that asked again at once since the view had changed.",
                stats.view_repeats,
            ),
            (
                "jlb_ingress_own_searches_total",
                "Attempts that this ingress searched for itself since it saw no tracker.",
                stats.own_searches,
            ),
            (
                "jlb_ingress_own_offers_total",
                "Offers that it sent to hosts itself, repeats included.",
                stats.own_offers,
            ),
            (
                "jlb_ingress_own_rejects_total",
                "Offers of its own that a host rejected.",
                stats.own_rejects,
            ),
            (
                "jlb_ingress_who_has_asked_total",
                "Times that it asked all hosts of a pool who has a flow, repeats included.",
                stats.who_has_asked,
            ),
            (
                "jlb_ingress_who_has_found_total",
                "Flows whose host it found by asking all.",
                stats.who_has_found,
            ),
            (
                "jlb_ingress_who_has_limited_total",
                "Times that it did not ask all hosts since it had asked too much just now.",
                stats.who_has_limited,
            ),
            (
                "jlb_ingress_down_host_misses_total",
                "Packets of cached flows whose host is down, for which the trackers were asked.",
                stats.down_host_misses,
            ),
            (
                "jlb_ingress_uncached_total",
                "Accepted flows that the cache had no room for.",
                stats.uncached,
            ),
            (
                "jlb_ingress_expired_total",
                "Cache entries forgotten since they were idle.",
                stats.expired,
            ),
            (
                "jlb_ingress_resets_total",
                "TCP resets sent to clients.",
                stats.resets,
            ),
            (
                "jlb_ingress_unreachables_total",
                "ICMP errors sent to clients.",
                stats.unreachables,
            ),
            (
                "jlb_ingress_unreachables_limited_total",
                "ICMP errors not sent since too many were.",
                stats.unreachables_limited,
            ),
        ]);
        report.counter_by(
            "jlb_ingress_attempts_total",
            "Attempts begun to find a flow's host, by what the packet asked for.",
            "intent",
            &[
                ("syn", stats.attempts_syn),
                ("mid_flow", stats.attempts_mid_flow),
                ("datagram", stats.attempts_datagram),
            ],
        );
        report.gauges(&[
            ("jlb_ingress_flows", "Flows in the cache.", stats.flows),
            (
                "jlb_ingress_flows_unproven",
                "Flows in the cache whose client has not spoken since the Accept.",
                stats.flows_unproven,
            ),
            (
                "jlb_ingress_flow_table_bytes",
                "Bytes that the cache has allocated.",
                stats.flows_bytes,
            ),
            (
                "jlb_ingress_pending_flows",
                "Flows that wait for an answer.",
                stats.pending,
            ),
            (
                "jlb_ingress_pending_bytes",
                "Bytes of the packets that wait.",
                stats.pending_bytes,
            ),
            (
                "jlb_ingress_dead_hosts",
                "Hosts that have been down for so long that they count as dead.",
                stats.dead_hosts,
            ),
            (
                "jlb_ingress_outbox_messages",
                "Messages waiting to be sent.",
                stats.outbox,
            ),
        ]);
        for flows in &stats.hosts {
            let host = names(flows.host);
            let labels: &[(&'static str, &dyn ToString)] =
                &[("service", &flows.service), ("host", &host)];
            report.counter(
                "jlb_ingress_host_accepts_total",
                "Flows put into the cache, by service and host.",
                labels,
                flows.accepted,
            );
            report.gauge(
                "jlb_ingress_host_flows",
                "Flows in the cache, by service and host.",
                labels,
                flows.flows,
            );
        }
    }
}
