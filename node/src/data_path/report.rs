//! What the data thread tells of itself.

use super::Turn;
use crate::clock;
use crate::machine::Machine;
use crate::report::{MemberLine, Report};
use jlb_protocol::NodeNumber;

impl<M: Machine> Turn<M> {
    /// A consistent moment of all books and gauges.
    pub(super) fn report(&self) -> Report {
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
        for (node, _) in self.path.link.sessions() {
            let heard = self.path.link.last_heard(node).unwrap_or(self.started);
            report.gauge(
                "jlb_peer_silence_seconds",
                "Time since the peer was last heard of, or since this node started.",
                &[("peer", &name(node))],
                now.since(heard).as_secs_f64(),
            );
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
}
