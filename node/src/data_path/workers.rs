//! What the first worker does for the forwarders: their packets, its answers, and what they go by.

use super::Turn;
use crate::error::Error;
use crate::machine::Machine;
use crate::report::Report;
use crate::underlay::BATCH;
use crate::workers::{Answer, Counts, Forwarders, HANDED, Handed};
use crate::xdp::FrameCounts;
use jlb_ingress::Verdict;
use jlb_protocol::{DropReason, FlowKey, PacketBuf, Time};

/// What is to be answered at the end of a batch.
struct Asked {
    number: u64,
    key: Option<FlowKey>,
    /// The packet's place in the batch; `None` if there was only a question.
    packet: Option<usize>,
    buf: Option<PacketBuf>,
}

/// Room for a batch of questions.
#[derive(Default)]
pub(super) struct Handing {
    asked: Vec<Asked>,
}

impl<M: Machine> Turn<M> {
    /// Handles what the forwarders have handed on.
    ///
    /// # Errors
    /// Why one of them ended.
    pub(super) fn read_handed(&mut self, now: Time) -> Result<(), Error> {
        let Some(mut forwarders) = self.path.forwarders.take() else {
            return Ok(());
        };
        self.publish(&mut forwarders);
        let generation = forwarders.published.generation;
        for forwarder in &mut forwarders.list {
            let rings = &mut forwarder.rings;
            // What comes meanwhile has its own turn, for the waker was called again.
            let mut left = rings.handed.slots().min(HANDED);
            while left > 0 {
                let mut count = 0;
                while left > 0 && count < BATCH {
                    left -= 1;
                    match rings.handed.pop() {
                        Ok(Handed::Packet { number, key, buf }) => {
                            let Some(packet) = self.packets.get_mut(count) else {
                                break;
                            };
                            packet.verdict = Verdict::Pending;
                            let free = std::mem::replace(&mut packet.buf, buf);
                            self.handing.asked.push(Asked {
                                number,
                                key,
                                packet: Some(count),
                                buf: Some(free),
                            });
                            count += 1;
                        }
                        Ok(Handed::Renew { number, key }) => self.handing.asked.push(Asked {
                            number,
                            key: Some(key),
                            packet: None,
                            buf: None,
                        }),
                        Err(_) => left = 0,
                    }
                }
                self.process(now, count);
                // Before the next packets of the same flows go another way.
                self.flush(now);
                for asked in self.handing.asked.drain(..) {
                    let verdict = asked.packet.and_then(|at| self.packets.get(at));
                    let goes_on = verdict
                        .is_none_or(|packet| matches!(packet.verdict, Verdict::Forward { .. }));
                    let key = asked.key.filter(|_| goes_on);
                    let answer = Answer {
                        number: asked.number,
                        generation,
                        buf: asked.buf,
                        shortcut: key.and_then(|key| self.path.machine.shortcut(now, &key)),
                    };
                    // There is room for all that may be under way.
                    let _ = rings.answers.push(answer);
                }
            }
        }
        let failure = forwarders.failure();
        self.path.forwarders = Some(forwarders);
        failure.map_or(Ok(()), Err)
    }

    /// Has the forwarders go by what has changed.
    pub(super) fn tell_forwarders(&mut self) {
        if let Some(mut forwarders) = self.path.forwarders.take() {
            self.publish(&mut forwarders);
            self.path.forwarders = Some(forwarders);
        }
    }

    fn publish(&self, forwarders: &mut Forwarders) {
        forwarders.publish(&self.path.link, || self.path.machine.rules());
    }

    /// Takes what the forwarders have counted into the books, each packet once: in all three layers as if this worker had
    /// forwarded it.
    pub(super) fn count_forwarders(&mut self) {
        let Some(forwarders) = &mut self.path.forwarders else {
            return;
        };
        for one in &mut forwarders.list {
            let Some(counts) = one.boards.counts.read().map(Counts::of) else {
                continue;
            };
            let new = counts.since(&one.counted);
            one.counted = counts;
            self.stack.received += new.forwarded;
            self.stack.consumed += new.forwarded;
            for &reason in DropReason::ALL {
                let dropped = new.dropped(reason);
                self.stack.received += dropped;
                self.stack.drop_many(reason, dropped);
            }
            self.path.machine.count_forwarded(new.forwarded);
            self.path.link.count_sealed(new.sent, new.failed);
            let offload = &mut self.offload.counts;
            offload.received += new.large;
            offload.received_huge += new.huge;
            offload.segments_received += new.segments;
        }
    }

    /// What came and went by `AF_XDP`, by all workers.
    pub(super) fn report_frames(&self, report: &mut Report) {
        let Some(frames) = &self.path.frames else {
            return;
        };
        let others = self.path.forwarders.iter().flat_map(|all| &all.list);
        let others = others.filter_map(|one| one.boards.frames.read());
        let all = others.fold(frames.counts(), |sum, words| {
            sum.and(&FrameCounts::of(&words))
        });
        frames.report(&all, report);
    }

    /// What each forwarder did.
    pub(super) fn report_forwarders(&self, report: &mut Report) {
        let Some(forwarders) = &self.path.forwarders else {
            return;
        };
        for (number, one) in (1..).zip(&forwarders.list) {
            let number: u64 = number;
            let counts = one.counted;
            let worker: &[(&'static str, &dyn ToString)] = &[("worker", &number)];
            for (name, help, value) in [
                (
                    "jlb_worker_forwarded_total",
                    "Client packets that a worker beside the first forwarded by itself; they count as cache hits, too.",
                    counts.forwarded,
                ),
                (
                    "jlb_worker_handed_on_total",
                    "Client packets that it handed to the first worker, which counts them as received.",
                    counts.handed_on,
                ),
                (
                    "jlb_worker_full_total",
                    "Client packets that it dropped since the first worker took no more; reason worker_full, too.",
                    counts.dropped(DropReason::WorkerFull),
                ),
                (
                    "jlb_worker_renewals_total",
                    "Times that it asked for a shortcut again before that ended.",
                    counts.renewals,
                ),
                (
                    "jlb_worker_no_room_total",
                    "Shortcuts that it had no room for.",
                    counts.no_room,
                ),
            ] {
                report.counter(name, help, worker, value);
            }
            report.gauge(
                "jlb_worker_shortcuts",
                "Connections whose packets it forwards by itself.",
                worker,
                counts.shortcuts,
            );
        }
    }
}
