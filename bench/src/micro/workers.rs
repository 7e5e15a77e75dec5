//! Several forwarders at once, each in a thread of its own: what an established flow's packet costs each, and how packets a
//! second grow with them. All that they share is what the workers of a node share.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use jlb_ingress::{Forwarder, Packet, Rules, Shortcut, Step};
use jlb_packet_io::process;
use jlb_protocol::link::{Sealer, Sessions};
use jlb_protocol::packet::parse;
use jlb_protocol::{ServiceNumber, Time};
use serde::Serialize;

use super::cases::{BATCH, Source};
use super::cluster::{Cluster, SOURCE_PORT, ack, buffer};
use crate::error::{Doing, LabError, Result};

/// Flows of each forwarder.
const FLOWS: u32 = 10_000;

/// How long so many forwarders run at once; then others have their turn, and the best of each number counts: what
/// else runs on the machine can only take from it.
const SLICE: Duration = Duration::from_millis(10);

/// Turns of each number, at least.
const LEAST_ROUNDS: u128 = 5;

/// What is read for each batch by all, on a line of its own: as a node's workers read their generation.
#[repr(align(128))]
struct Generation(AtomicU32);

/// What the forwarders have in common. Nobody writes to it while packets are forwarded.
#[derive(Clone)]
pub(crate) struct Common {
    rules: Arc<Rules>,
    sessions: Arc<Sessions>,
    generation: Arc<Generation>,
    now: Time,
}

/// One forwarder, with all that it writes.
pub(crate) struct Alone {
    common: Common,
    forwarder: Forwarder,
    sealer: Sealer,
    source: Source,
    batch: Vec<Packet>,
    steps: Vec<Step>,
}

impl Alone {
    /// The worker of this number, with its flows' shortcuts.
    fn new(number: u8, common: Common, flows: std::ops::Range<u32>, lent: &[Shortcut]) -> Self {
        let rules = Arc::clone(&common.rules);
        let room = u32::try_from(lent.len()).unwrap_or(u32::MAX);
        let mut forwarder = Forwarder::new(rules, 1, room, u64::from(number));
        for shortcut in lent {
            forwarder.install(common.now, 1, 1, shortcut);
        }
        let mut sealer = Sealer::new(number);
        sealer.take(&common.sessions);
        Self {
            common,
            forwarder,
            sealer,
            source: Source::of(flows),
            batch: (0..BATCH).map(|_| buffer()).collect(),
            steps: Vec::with_capacity(BATCH),
        }
    }

    /// Forwards so many batches, as a worker of a node does between reading and sending them; gives how many packets
    /// were sealed.
    pub(crate) fn run(&mut self, batches: u64) -> u64 {
        let mut sealed = 0;
        let now = self.common.now;
        for _ in 0..batches {
            self.source.fill(&mut self.batch);
            if self.common.generation.0.load(Ordering::Acquire) != self.forwarder.generation() {
                return sealed;
            }
            self.forwarder.expire(now);
            self.steps.clear();
            let sealer = &self.sealer;
            self.forwarder.process(
                now,
                |node| sealer.route(node).is_some(),
                &mut self.batch,
                &mut self.steps,
            );
            for (packet, step) in self.batch.iter_mut().zip(&self.steps) {
                if let Step::Forward { to, .. } = *step {
                    let route = self.sealer.seal(to, SOURCE_PORT, &mut packet.buf);
                    sealed += u64::from(route.is_ok());
                }
            }
            black_box(&mut self.batch);
        }
        sealed
    }
}

/// An ingress with established flows, of which shortcuts can be had.
pub(crate) struct Lender {
    common: Common,
    lent: Vec<Shortcut>,
}

impl Lender {
    /// With so many flows.
    ///
    /// # Errors
    /// If the cluster in memory does not work: a fault of this program.
    pub(crate) fn new(flows: u32) -> Result<Self> {
        let mut cluster = Cluster::new(flows)?;
        cluster.open(0..flows)?;
        let (mut ingress, link, now) = cluster.into_data_path()?.into_ingress();
        let service = ServiceNumber::new(1).ok_or_else(|| LabError::new("1 is no service"))?;
        let lent = (0..flows).map(|flow| {
            let packet = parse(&ack(flow)).ok();
            let key = packet.and_then(|packet| packet.flow_key(service));
            key.and_then(|key| ingress.shortcut(now, &key))
                .ok_or_else(|| LabError::new("an established flow has no shortcut"))
        });
        let lent = lent.collect::<Result<_>>()?;
        Ok(Self {
            common: Common {
                rules: Arc::new(ingress.rules()),
                sessions: Arc::new(link.sessions_to_seal()),
                generation: Arc::new(Generation(AtomicU32::new(1))),
                now,
            },
            lent,
        })
    }

    /// The forwarder of this number, from 1, which has the next `flows` flows.
    pub(crate) fn forwarder(&self, number: u8, flows: u32) -> Alone {
        let begin = u32::from(number - 1) * flows;
        let range = begin..begin + flows;
        let lent = &self.lent[range.start as usize..range.end as usize];
        Alone::new(number, self.common.clone(), range, lent)
    }
}

/// What so many forwarders did at once.
#[derive(Serialize)]
pub(crate) struct Growth {
    pub(crate) workers: usize,
    /// The best of all rounds, over all forwarders.
    pub(crate) packets_per_second: f64,
    /// Against one forwarder.
    pub(crate) growth: f64,
    /// Nanoseconds of each forwarder for a packet.
    pub(crate) ns: f64,
}

/// Measures 1, 2, 4 and more forwarders, as far as there are processors for one each.
///
/// # Errors
/// If a forwarder does not forward.
pub(crate) fn grow(span: Duration) -> Result<Vec<Growth>> {
    let cpus = process::allowed_cpus().doing("ask for the allowed processors")?;
    let numbers: Vec<usize> = [1, 2, 4, 8, 16]
        .into_iter()
        .filter(|&number| number <= cpus.len())
        .collect();
    let most = numbers.last().copied().unwrap_or(1);
    let lender = Lender::new(FLOWS * most as u32)?;
    let rounds = (span.as_millis() / SLICE.as_millis()).max(LEAST_ROUNDS);
    let mut best = vec![0_f64; numbers.len()];
    for _ in 0..rounds {
        for (best, &number) in best.iter_mut().zip(&numbers) {
            *best = best.max(at_once(&lender, &cpus[..number], SLICE)?);
        }
    }
    let one = best.first().copied().unwrap_or(1.0);
    let figures = numbers.iter().zip(&best).map(|(&workers, &best)| Growth {
        workers,
        packets_per_second: best,
        growth: best / one,
        ns: workers as f64 * 1e9 / best,
    });
    Ok(figures.collect())
}

/// Packets a second of all forwarders, one on each of these processors.
fn at_once(lender: &Lender, cpus: &[usize], span: Duration) -> Result<f64> {
    let over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let (ready, is_ready): (SyncSender<()>, Receiver<()>) = sync_channel(cpus.len());
        for (number, &cpu) in (1..).zip(cpus) {
            let (over, ready) = (Arc::clone(&over), ready.clone());
            let (begin, begins) = sync_channel::<()>(1);
            let thread = scope.spawn(move || -> Result<(u64, Duration)> {
                process::pin_to_cpu(cpu).doing("keep a thread on a processor")?;
                // Made here: in memory of this thread's own.
                let mut forwarder = lender.forwarder(number, FLOWS);
                forwarder.run(u64::from(FLOWS) / BATCH as u64);
                let _ = ready.send(());
                let _ = begins.recv();
                let start = now();
                let mut done = 0;
                while !over.load(Ordering::Relaxed) {
                    const AT_ONCE: u64 = 64;
                    let sealed = forwarder.run(AT_ONCE);
                    if sealed != AT_ONCE * BATCH as u64 {
                        return Err(LabError::new("a forwarder did not forward"));
                    }
                    done += sealed;
                }
                Ok((done, start.elapsed()))
            });
            threads.push((thread, begin));
        }
        drop(ready);
        for _ in cpus {
            let _ = is_ready.recv();
        }
        for (_, begin) in &threads {
            let _ = begin.send(());
        }
        // Nothing more comes: this is a wait of that length.
        let _ = is_ready.recv_timeout(span);
        over.store(true, Ordering::Relaxed);
        let mut all = 0.0;
        for (thread, _) in threads {
            let ended = thread.join();
            let (done, took) =
                ended.map_err(|_| LabError::new("a forwarder's thread panicked"))??;
            all += done as f64 / took.as_secs_f64();
        }
        Ok(all)
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark measures how long something really takes"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
