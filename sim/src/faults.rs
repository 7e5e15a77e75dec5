//! What goes wrong in a run, and when: drawn from its plan before it begins.

use crate::plan::{Plan, Span};
use crate::rng::Rng;
use crate::topology::{Rack, Topology};
use core::time::Duration;
use jlb_protocol::{NodeNumber, Time};
use std::collections::BTreeSet;

/// The directions in which a cut keeps messages off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ways {
    Both,
    /// The node's own messages do not get out.
    Out,
    /// Messages to the node do not get in.
    In,
}

/// Something that goes wrong, or is changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The processes are killed in one instant; each starts again after its time, without state.
    Restart(Vec<(NodeNumber, Duration)>),
    /// The machine of the node is gone for ever, a host's with all its connections.
    Death(NodeNumber),
    /// The node is started for the first time.
    Join(NodeNumber),
    /// The node drains and is stopped for ever.
    Leave(NodeNumber),
    /// Messages between the node and the others do not get through.
    Cut {
        node: NodeNumber,
        others: Vec<NodeNumber>,
        ways: Ways,
        lasts: Duration,
    },
    /// The node does nothing.
    Pause { node: NodeNumber, lasts: Duration },
    /// `node` is told that `about` is down.
    Lie {
        node: NodeNumber,
        about: NodeNumber,
        lasts: Duration,
    },
    /// Flows are spread over the ingress nodes anew.
    Reshuffle,
    /// Another configuration.
    Reconfigure,
    /// So many packets with made-up senders.
    Flood(u64),
    /// An ICMP error about some client's flow.
    IcmpError,
}

struct Draw<'a> {
    plan: &'a Plan,
    topology: &'a Topology,
    begin: Time,
    rng: &'a mut Rng,
    faults: Vec<(Time, Fault)>,
}

/// All faults of a run, which happen from `begin` on.
pub(crate) fn draw(
    plan: &Plan,
    topology: &Topology,
    begin: Time,
    rng: &mut Rng,
) -> Vec<(Time, Fault)> {
    let mut draw = Draw {
        plan,
        topology,
        begin,
        rng,
        faults: Vec::new(),
    };
    draw.changes();
    draw.ends();
    draw.restarts();
    draw.troubles();
    draw.faults
}

impl Draw<'_> {
    fn at(&mut self) -> Time {
        let within = Duration::from_millis(self.plan.faults_within_ms);
        self.begin + self.rng.span(Duration::ZERO, within)
    }

    fn add(&mut self, fault: Fault) {
        let at = self.at();
        self.faults.push((at, fault));
    }

    fn times(&mut self, span: Span, mut fault: impl FnMut(&mut Self) -> Option<Fault>) {
        for _ in 0..self.rng.within(span.low, span.high) {
            if let Some(fault) = fault(self) {
                self.add(fault);
            }
        }
    }

    fn one_of(&mut self, nodes: &[NodeNumber]) -> Option<NodeNumber> {
        nodes.get(self.rng.place(nodes.len())).copied()
    }

    fn lasts(&mut self, span: Span) -> Duration {
        self.rng.span(
            Duration::from_millis(span.low),
            Duration::from_millis(span.high),
        )
    }

    fn changes(&mut self) {
        let plan = self.plan;
        self.times(plan.reshuffles, |_| Some(Fault::Reshuffle));
        self.times(plan.config_changes, |_| Some(Fault::Reconfigure));
        self.times(plan.icmp_errors, |_| Some(Fault::IcmpError));
        self.times(plan.floods, |draw| {
            let packets = plan.flood_packets;
            Some(Fault::Flood(draw.rng.within(packets.low, packets.high)))
        });
        for node in self.topology.late.clone() {
            self.add(Fault::Join(node));
        }
    }

    /// Nodes that stop for ever. At least one of each role stays.
    fn ends(&mut self) {
        let (plan, topology) = (self.plan, self.topology);
        if topology.fixed_views {
            return;
        }
        let mut left = topology.hosts.clone();
        left.retain(|node| !topology.late.contains(node));
        for (span, dies) in [(plan.host_leaves, false), (plan.host_deaths, true)] {
            for _ in 0..self.rng.within(span.low, span.high) {
                if left.len() > 1 {
                    let node = left.swap_remove(self.rng.place(left.len()));
                    self.add(if dies {
                        Fault::Death(node)
                    } else {
                        Fault::Leave(node)
                    });
                }
            }
        }
        let roles = [
            (plan.tracker_leaves, &topology.trackers),
            (plan.ingress_leaves, &topology.ingresses),
        ];
        for (span, nodes) in roles {
            let mut left = nodes.clone();
            left.retain(|node| !topology.late.contains(node));
            for _ in 0..self.rng.within(span.low, span.high) {
                if left.len() > 1 {
                    let node = left.swap_remove(self.rng.place(left.len()));
                    self.add(Fault::Leave(node));
                }
            }
        }
    }

    fn restart(&mut self, nodes: &[NodeNumber]) -> Fault {
        let down = nodes
            .iter()
            .map(|&node| (node, self.lasts(self.plan.down_ms)));
        Fault::Restart(down.collect())
    }

    fn restarts(&mut self) {
        let (plan, topology) = (self.plan, self.topology);
        let roles = [
            (plan.agent_restarts, &topology.hosts),
            (plan.ingress_restarts, &topology.ingresses),
            (plan.tracker_restarts, &topology.trackers),
        ];
        for (span, nodes) in roles {
            self.times(span, |draw| {
                let node = draw.one_of(nodes)?;
                Some(draw.restart(&[node]))
            });
        }
        let all: Vec<_> = topology.nodes().collect();
        self.times(plan.double_restarts, |draw| {
            let pair = if draw.rng.chance(700) {
                [
                    draw.one_of(&topology.ingresses)?,
                    draw.one_of(&topology.trackers)?,
                ]
            } else {
                [draw.one_of(&all)?, draw.one_of(&all)?]
            };
            Some(draw.restart(&pair))
        });
        let racks: BTreeSet<Rack> = topology.racks.0.values().copied().collect();
        let racks: Vec<_> = racks.into_iter().collect();
        self.times(plan.rack_restarts, |draw| {
            let rack = *racks.get(draw.rng.place(racks.len().max(1)))?;
            let in_rack =
                |&(node, of): &(&NodeNumber, &Rack)| *of == rack && !topology.late.contains(node);
            let fallen: Vec<_> = topology
                .racks
                .0
                .iter()
                .filter(in_rack)
                .map(|(node, _)| *node)
                .collect();
            Some(draw.restart(&fallen))
        });
        if self.rng.chance(plan.all_trackers) {
            let fault = self.restart(&topology.trackers);
            self.add(fault);
        }
        if plan.tier_loss > 0 {
            let mut lost = Vec::new();
            for nodes in [&topology.ingresses, &topology.trackers, &topology.hosts] {
                let mut left = nodes.clone();
                let share = left.len() as u64 * plan.tier_loss / 1000;
                for _ in 0..share {
                    lost.push(left.swap_remove(self.rng.place(left.len())));
                }
            }
            let fault = self.restart(&lost);
            let within = Duration::from_millis(plan.faults_within_ms);
            self.faults.push((self.begin + within, fault));
        }
    }

    fn troubles(&mut self) {
        let (plan, topology) = (self.plan, self.topology);
        let all: Vec<_> = topology.nodes().collect();
        self.times(plan.pauses, |draw| {
            let node = draw.one_of(&all)?;
            let lasts = draw.lasts(plan.pause_ms);
            Some(Fault::Pause { node, lasts })
        });
        self.times(plan.cuts, |draw| {
            let node = draw.one_of(&all)?;
            let mut peers: Vec<_> = all
                .iter()
                .copied()
                .filter(|&peer| peer != node && Topology::speak(node, peer))
                .collect();
            if draw.rng.chance(600) {
                peers = vec![draw.one_of(&peers)?];
            } else {
                peers.retain(|_| draw.rng.chance(600));
            }
            let ways = match draw.rng.place(4) {
                0 => Ways::Out,
                1 => Ways::In,
                _ => Ways::Both,
            };
            Some(Fault::Cut {
                node,
                others: peers,
                ways,
                lasts: draw.lasts(plan.cut_ms),
            })
        });
        self.times(plan.lies, |draw| {
            let node = draw.one_of(&all)?;
            let about = draw.one_of(&all)?;
            let lasts = draw.lasts(plan.lie_ms);
            (node != about && Topology::speak(node, about)).then_some(Fault::Lie {
                node,
                about,
                lasts,
            })
        });
    }
}
