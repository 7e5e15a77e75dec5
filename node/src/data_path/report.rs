//! What the data thread tells of itself.

use super::Turn;
use crate::clock;
use crate::machine::Machine;
use crate::report::{MemberLine, Report};
use jlb_protocol::NodeNumber;

impl<M: Machine> Turn<M> {
    /// A consistent moment of all books and gauges.
    pub(super) fn report(&mut self) -> Report {
        self.count_forwarders();
        if let Some(frames) = &mut self.path.frames {
            frames.ask_losses();
        }
        let mut report = Report {
            stack: self.stack.clone(),
            link: self.path.link.ledger().clone(),
            role: self.path.machine.ledger(),
            ..Report::default()
        };
        let name = |node| {
            self.path
                .names
                .get(&node)
                .cloned()
                .unwrap_or_else(|| NodeNumber::to_string(&node))
        };
        let now = clock::now();
        self.path.machine.report(now, &name, &mut report);
        report.counter(
            "jlb_notices_lost_total",
            "Events that were not logged and do not show in the peers' state, since too many waited.",
            &[],
            self.notices_lost,
        );
        self.report_offload(&mut report);
        report.counter(
            "jlb_coalesce_holds_total",
            "Times that the packet thread held still so that more came at once, since processors were short.",
            &[],
            self.coalescing.holds,
        );
        report.gauge(
            "jlb_coalesce_seconds",
            "How long the packet thread holds still between two turns at present.",
            &[],
            self.coalescing.present().as_secs_f64(),
        );
        self.report_forwarders(&mut report);
        for (node, _) in self.path.link.sessions() {
            let heard = self.path.link.last_heard(node).unwrap_or(self.started);
            report.gauge(
                "jlb_peer_silence_seconds",
                "Time since the peer was last heard of, or since this node started.",
                &[("peer", &name(node))],
                now.since(heard).as_secs_f64(),
            );
        }
        self.report_frames(&mut report);
        if let Some(sockets) = &self.path.sockets {
            report.counter(
                "jlb_host_sockets_twins_total",
                "Sockets that the kernel gave up since another one has their connection.",
                &[],
                sockets.events.twins(),
            );
        }
        if let Some(stripper) = &self.path.stripper {
            stripper.report(&mut report);
        }
        self.path.members.report(&mut report);
        self.report_draining(now, &mut report);
        let view = self.path.members.view();
        report.view = view.fingerprint();
        report.configuration = self.path.link.config_fingerprint();
        report.members = view
            .members()
            .iter()
            .map(|&member| MemberLine {
                member,
                name: name(member.node),
                silence: self
                    .path
                    .link
                    .last_heard(member.node)
                    .map(|heard| now.since(heard)),
            })
            .collect();
        let not_ready = self.path.machine.not_ready();
        report.not_ready = not_ready
            .or_else(|| self.path.members.not_ready())
            .map(str::to_owned);
        report
    }

    fn report_offload(&self, report: &mut Report) {
        let counts = self.offload.counts;
        report.counters(&[
            (
                "jlb_stack_large_received_total",
                "Packets larger than a segment that the kernel handed over.",
                counts.received,
            ),
            (
                "jlb_stack_huge_received_total",
                "Large packets that the kernel handed over, of more than 32 KiB.",
                counts.received_huge,
            ),
            (
                "jlb_stack_large_received_segments_total",
                "Segments that the large packets that the kernel handed over were cut into.",
                counts.segments_received,
            ),
            (
                "jlb_stack_large_written_total",
                "Packets larger than a segment that the kernel was handed.",
                counts.written,
            ),
            (
                "jlb_stack_large_written_segments_total",
                "Segments that the large packets that the kernel was handed were made of.",
                counts.segments_written,
            ),
        ]);
    }
}
