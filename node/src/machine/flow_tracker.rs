//! The flow tracker under the data path, and its metrics.

use super::{Machine, RoleConfig, Taken};
use crate::report::Report;
use jlb_flow_tracker::FlowTracker;
use jlb_flow_tracker::policy::Candidate;
use jlb_ingress::Packet;
use jlb_protocol::{Ledger, Message, NodeNumber, PacketBuf, Time, Transmit, View};

impl Machine for FlowTracker {
    fn process(&mut self, _now: Time, _batch: &mut [Packet]) -> bool {
        false
    }

    fn handle_message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) -> Taken {
        Self::handle_message(self, now, from, message);
        Taken::Done
    }

    fn handle_peer_view(&mut self, now: Time, node: NodeNumber, ranked: u64) {
        Self::handle_peer_view(self, now, node, ranked);
    }

    fn is_filled(&self) -> bool {
        Self::is_filled(self)
    }

    fn handle_config(&mut self, now: Time, config: RoleConfig) {
        // There is one role in a process.
        if let RoleConfig::FlowTracker(config) = config {
            Self::handle_config(self, now, config);
        }
    }

    same_as_the_role!();

    fn ledger(&self) -> Ledger {
        self.stats().ledger
    }

    fn report(&self, now: Time, names: &dyn Fn(NodeNumber) -> String, report: &mut Report) {
        let stats = self.stats();
        report.gauges(&[
            ("jlb_tracker_flows", "Records.", stats.flows),
            (
                "jlb_tracker_flows_untrusted",
                "Records that are not established.",
                stats.untrusted,
            ),
            (
                "jlb_tracker_searches",
                "Searches that were rejected at least once or are direct hunts, some recently ended ones included.",
                stats.searches,
            ),
            (
                "jlb_tracker_who_has",
                "Flows whose owner is being asked for.",
                stats.who_has,
            ),
            (
                "jlb_tracker_queue_waiting",
                "Connections that wait for a host to report room.",
                stats.waiting,
            ),
            (
                "jlb_tracker_flow_table_bytes",
                "Bytes that the tables have allocated.",
                stats.table_bytes,
            ),
        ]);
        report.counters(&[
            (
                "jlb_tracker_searches_total",
                "Searches begun: first Offers of an attempt.",
                stats.searches_begun,
            ),
            (
                "jlb_tracker_offers_total",
                "Offers made as primary, repeats included.",
                stats.offers,
            ),
            (
                "jlb_tracker_overflow_offers_total",
                "Offers to overflow hosts, since the others took no more.",
                stats.overflow_offers,
            ),
            (
                "jlb_tracker_last_offers_total",
                "Offers to a host that is the last and must accept.",
                stats.last_offers,
            ),
            (
                "jlb_tracker_queued_total",
                "Attempts put into the surge queue, those that came back to it included.",
                stats.queued,
            ),
            (
                "jlb_tracker_queue_released_total",
                "Attempts that the surge queue offered to a host.",
                stats.released,
            ),
            (
                "jlb_tracker_opens_repeated_total",
                "Opens of an attempt that was answered before, and is answered again.",
                stats.opens_repeated,
            ),
            (
                "jlb_tracker_opens_passed_on_total",
                "Opens passed on to the tracker that is primary in this one's view.",
                stats.opens_passed_on,
            ),
            (
                "jlb_tracker_hunts_total",
                "Direct hunts begun: Offers that hosts may pass on.",
                stats.hunts,
            ),
            (
                "jlb_tracker_hunts_taken_total",
                "Accepts of a host that an Offer of a direct hunt was passed on to.",
                stats.hunts_taken,
            ),
            (
                "jlb_tracker_hunts_fallen_back_total",
                "Offers to hosts of a direct hunt one by one, since no answer came of it.",
                stats.hunts_fallen_back,
            ),
            (
                "jlb_tracker_offers_rewritten_total",
                "Offers rewritten to the host that the secondary's record binds.",
                stats.offers_rewritten,
            ),
            (
                "jlb_tracker_offers_rejected_in_place_total",
                "Offers to a host that had rejected the attempt, answered in its place.",
                stats.offers_rejected_in_place,
            ),
            (
                "jlb_tracker_offers_taken_as_opens_total",
                "Offers taken as Opens because this tracker's view makes it primary.",
                stats.offers_taken_as_opens,
            ),
            (
                "jlb_tracker_accepts_total",
                "Accepts that became or confirmed a record.",
                stats.accepts,
            ),
            (
                "jlb_tracker_accepts_overriding_total",
                "Accepts that replaced another host in the record.",
                stats.accepts_overriding,
            ),
            (
                "jlb_tracker_rejects_total",
                "Rejects that matched the record: a flow's primary and its secondary count each.",
                stats.rejects,
            ),
            (
                "jlb_tracker_releases_total",
                "Releases sent to hosts that lost a conflict.",
                stats.releases,
            ),
            (
                "jlb_tracker_who_has_asked_total",
                "Mid-flow packets whose owner was asked for.",
                stats.who_has_asked,
            ),
            (
                "jlb_tracker_who_has_found_total",
                "Owners found by asking.",
                stats.who_has_found,
            ),
            (
                "jlb_tracker_who_has_unanswered_total",
                "Flows for which not every host answered in time.",
                stats.who_has_unanswered,
            ),
            (
                "jlb_tracker_statements_total",
                "Statements of hosts that became or confirmed a record.",
                stats.statements,
            ),
            (
                "jlb_tracker_statements_stale_total",
                "Statements of another host, of an older life, or of no record.",
                stats.statements_stale,
            ),
            (
                "jlb_tracker_statements_turned_away_total",
                "Statements for which there was no room.",
                stats.statements_turned_away,
            ),
            (
                "jlb_tracker_states_repeated_total",
                "State messages received before, and acknowledged again.",
                stats.states_repeated,
            ),
            (
                "jlb_tracker_not_acting_total",
                "Opens answered with NotActing, since this tracker is not filled yet.",
                stats.not_acting,
            ),
            (
                "jlb_tracker_who_has_first_total",
                "New flows for which hosts were asked first, since they might not have told of all of theirs.",
                stats.who_has_first,
            ),
            (
                "jlb_tracker_fill_prompts_total",
                "Hosts asked for their mark after they had said nothing for a while.",
                stats.fill_prompts,
            ),
            (
                "jlb_tracker_digests_passed_over_total",
                "Digest messages that were late, or could not be compared since the view had changed.",
                stats.digests_passed_over,
            ),
            (
                "jlb_tracker_lists_asked_total",
                "Full lists of a bucket that hosts were asked for.",
                stats.lists_asked,
            ),
            (
                "jlb_tracker_lists_ended_total",
                "Full lists of a bucket that came.",
                stats.lists_ended,
            ),
            (
                "jlb_tracker_loads_unknown_total",
                "Load reports for services or pools that the configuration does not have.",
                stats.loads_unknown,
            ),
        ]);
        report.counter_by(
            "jlb_tracker_refusals_total",
            "Attempts refused, by reason.",
            "reason",
            &[
                ("exhausted", stats.refused_exhausted),
                ("no_host", stats.refused_no_host),
                ("quota", stats.refused_quota),
                ("unknown", stats.refused_unknown),
            ],
        );
        report.counter_by(
            "jlb_tracker_queue_refused_total",
            "Attempts refused by the surge queue, by reason; refusals count them as exhausted.",
            "reason",
            &[("full", stats.queue_full), ("expired", stats.queue_expired)],
        );
        report.counter_by(
            "jlb_tracker_digests_total",
            "Digests of buckets compared with the records, by result.",
            "result",
            &[
                ("equal", stats.digests_equal),
                ("differing", stats.digests_differing),
            ],
        );
        for (marked, hosts) in [("yes", stats.hosts_marked), ("no", stats.hosts_unmarked)] {
            report.gauge(
                "jlb_tracker_hosts",
                "Live hosts, by whether they have told this tracker of all flows that it ranks for.",
                &[("marked", &marked)],
                hosts,
            );
        }
        report.counter_by(
            "jlb_tracker_records_ended_total",
            "Records that ended, by how.",
            "how",
            &[
                ("expired", stats.records_expired),
                ("closed", stats.records_closed),
                ("unlisted", stats.records_unlisted),
            ],
        );
        for load in self.host_loads(now) {
            let host = names(load.host);
            let labels: &[(&'static str, &dyn ToString)] =
                &[("service", &load.service), ("host", &host)];
            report.counter(
                "jlb_tracker_chosen_total",
                "New flows that this tracker offered to the host, by service.",
                labels,
                load.chosen,
            );
            report.gauge(
                "jlb_tracker_host_connections",
                "Flows that the host reported last, by service.",
                labels,
                u64::from(load.connections),
            );
            report.gauge(
                "jlb_tracker_host_load_ratio",
                "Load that the host reported last, 0 to 1, by service.",
                labels,
                f64::from(load.load) / 65_535.0,
            );
            report.counter(
                "jlb_tracker_held_back_total",
                "Looks for a host in which it counted as more than it had reported, since its flows end too soon; one search may look twice.",
                labels,
                load.held_back,
            );
            if let Some(life) = load.life {
                report.gauge(
                    "jlb_tracker_host_life_ratio",
                    "How long the host's flows last beside those of the service's other hosts, as far as is known.",
                    labels,
                    f64::from(life) / 1_000.0,
                );
            }
            report.gauge(
                "jlb_tracker_host_weight_ratio",
                "Part of the host's weight that counts, 0 to 1: less than 1 while it starts slowly.",
                labels,
                f64::from(load.warmth) / f64::from(Candidate::WARM),
            );
            if self.shadows().any(|shadow| shadow.service == load.service) {
                report.counter(
                    "jlb_tracker_shadow_chosen_total",
                    "New flows that the shadow policy would have offered to the host first, by service.",
                    labels,
                    load.shadow_chosen,
                );
            }
        }
        for shadow in self.shadows() {
            for (same, count) in [
                ("yes", shadow.same),
                ("no", shadow.choices.saturating_sub(shadow.same)),
            ] {
                report.counter(
                    "jlb_tracker_shadow_choices_total",
                    "New flows that the shadow policy was asked for, by whether it named the host that was chosen.",
                    &[
                        ("service", &shadow.service),
                        ("policy", &shadow.policy.name()),
                        ("same", &same),
                    ],
                    count,
                );
            }
        }
    }
}
