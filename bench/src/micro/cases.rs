//! What is measured: each case is a step of the data path, or a whole way through it, on one core and in memory.

use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

use jlb_flow_table::{FlowTable, Lines};
use jlb_ingress::{Packet, Verdict};
use jlb_protocol::packet::parse;
use jlb_protocol::{FlowKey, ServiceNumber, wire};

use super::cluster::{Cluster, DataPath, PACKET, ack, buffer};
use super::workers::{Alone, Lender};
use crate::error::{LabError, Result};

/// Packets that are handled together.
pub(crate) const BATCH: usize = 32;

/// Flows of the cases for which their number does not matter.
const FEW: u32 = 1 << 10;

/// What a case counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Packet,
    Flow,
}

impl Unit {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Flow => "flow",
        }
    }
}

/// A kind of case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Buffers are filled: what all others of packets begin with, too.
    Fill,
    Parse,
    Lookup,
    Encapsulate,
    Ingress,
    Forwarder,
    IngressAndHost,
    NewFlow,
}

/// One thing to measure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    /// Established flows, where that matters.
    pub(crate) flows: Option<u32>,
}

impl Case {
    /// All of them, with these numbers of flows.
    pub(crate) fn all(flows: &[u32]) -> Vec<Self> {
        let fixed = |kind| Self { kind, flows: None };
        let mut all = vec![
            fixed(Kind::Fill),
            fixed(Kind::Parse),
            fixed(Kind::Encapsulate),
        ];
        for kind in [
            Kind::Lookup,
            Kind::Ingress,
            Kind::Forwarder,
            Kind::IngressAndHost,
        ] {
            all.extend(flows.iter().map(|&flows| Self {
                kind,
                flows: Some(flows),
            }));
        }
        all.push(fixed(Kind::NewFlow));
        all
    }

    pub(crate) fn name(&self) -> String {
        let name = match self.kind {
            Kind::Fill => "fill",
            Kind::Parse => "parse",
            Kind::Lookup => "lookup",
            Kind::Encapsulate => "encapsulate",
            Kind::Ingress => "ingress",
            Kind::Forwarder => "forwarder",
            Kind::IngressAndHost => "ingress-and-host",
            Kind::NewFlow => "new-flow",
        };
        match self.flows {
            Some(flows) => format!("{name}/{flows}"),
            None => name.to_owned(),
        }
    }

    pub(crate) const fn words(&self) -> &'static str {
        match self.kind {
            Kind::Fill => {
                "copy a packet of 40 bytes into its buffer: part of all below but parse and lookup"
            }
            Kind::Parse => "read the headers of a TCP packet, with its checks",
            Kind::Lookup => "find a flow among so many, in no order",
            Kind::Encapsulate => "put the Geneve header and its options in front, without the seal",
            Kind::Ingress => "an established flow's packet, from parsing to the sealed message",
            Kind::Forwarder => {
                "the same at a worker beside the first, which has a shortcut of each flow"
            }
            Kind::IngressAndHost => {
                "an ingress's packet, then opened and checked by its host's agent, until the stack gets it"
            }
            Kind::NewFlow => {
                "SYN and ACK, through ingress, two trackers and a host, and all that is said of the flow afterwards: \
                 every message sealed and opened"
            }
        }
    }

    pub(crate) const fn unit(&self) -> Unit {
        match self.kind {
            Kind::NewFlow => Unit::Flow,
            _ => Unit::Packet,
        }
    }

    /// Whether filling its buffers is part of what it does.
    pub(crate) const fn fills(&self) -> bool {
        matches!(
            self.kind,
            Kind::Encapsulate | Kind::Ingress | Kind::Forwarder | Kind::IngressAndHost
        )
    }

    /// Makes ready to run it.
    ///
    /// # Errors
    /// If the cluster in memory does not work: a fault of this program.
    pub(crate) fn prepare(&self) -> Result<Run> {
        let flows = self.flows.unwrap_or(1);
        Ok(match self.kind {
            Kind::Fill => Run::Fill(Source::new(FEW), batch()),
            Kind::Parse => Run::Parse(Source::new(FEW)),
            Kind::Encapsulate => Run::Encapsulate(Source::new(FEW), batch()),
            Kind::Lookup => Run::Lookup(Box::new(Lookup::new(flows)?)),
            Kind::Ingress | Kind::IngressAndHost => {
                let mut cluster = Cluster::new(flows)?;
                cluster.open(0..flows)?;
                Run::Path(Box::new(Path {
                    table_bytes: cluster.table_bytes(),
                    path: cluster.into_data_path()?,
                    source: Source::new(flows),
                    batch: batch(),
                    to_hosts: self.kind == Kind::IngressAndHost,
                }))
            }
            Kind::Forwarder => {
                let lender = Lender::new(flows)?;
                Run::Forwarder(Box::new(lender.forwarder(1, flows)))
            }
            Kind::NewFlow => Run::NewFlow(Box::new(NewFlow::new()?)),
        })
    }
}

fn batch() -> Vec<Packet> {
    (0..BATCH).map(|_| buffer()).collect()
}

/// A packet of each flow, in no order. They lie one after the other, so that the memory they take is read ahead, as
/// that of a device's ring is; the tables' is not.
pub(crate) struct Source {
    packets: Vec<u8>,
    next: usize,
}

impl Source {
    fn new(flows: u32) -> Self {
        Self::of(0..flows)
    }

    /// Of these flows.
    pub(crate) fn of(flows: Range<u32>) -> Self {
        let mut packets = Vec::with_capacity(PACKET * flows.len());
        for flow in shuffled(flows.end - flows.start) {
            packets.extend_from_slice(&ack(flows.start + flow));
        }
        Self { packets, next: 0 }
    }

    fn take(&mut self) -> &[u8] {
        let begin = self.next;
        let end = begin + PACKET;
        self.next = if end == self.packets.len() { 0 } else { end };
        &self.packets[begin..end]
    }

    pub(crate) fn fill(&mut self, batch: &mut [Packet]) {
        for packet in batch {
            packet.buf.clear();
            let _fits = packet.buf.fill(self.take());
            packet.verdict = Verdict::Pending;
        }
    }
}

/// The numbers below this one in an order that nobody can guess, the same each time (Fisher and Yates).
fn shuffled(count: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    let mut state = 1_u64;
    for at in (1..order.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from((state >> 33) % (at as u64 + 1)).unwrap_or(0);
        order.swap(at, other);
    }
    order
}

/// A case that is ready.
pub(crate) enum Run {
    Fill(Source, Vec<Packet>),
    Parse(Source),
    Encapsulate(Source, Vec<Packet>),
    Lookup(Box<Lookup>),
    Path(Box<Path>),
    Forwarder(Box<Alone>),
    NewFlow(Box<NewFlow>),
}

impl Run {
    /// Does it at least so many times; gives how many times it was.
    ///
    /// # Errors
    /// If it did not do what it is to measure.
    pub(crate) fn run(&mut self, times: u64) -> Result<u64> {
        let batches = times.div_ceil(BATCH as u64);
        let done = batches * BATCH as u64;
        match self {
            Self::Fill(source, batch) => {
                for _ in 0..batches {
                    source.fill(batch);
                    black_box(&mut *batch);
                }
            }
            Self::Parse(source) => {
                let mut read = 0;
                for _ in 0..done {
                    read += u64::from(parse(black_box(source.take())).is_ok());
                }
                expect(read, done, "parsed")?;
            }
            Self::Encapsulate(source, batch) => {
                let service = ServiceNumber::new(1);
                let service = service.ok_or_else(|| LabError::new("1 is no service"))?;
                for _ in 0..batches {
                    source.fill(batch);
                    for packet in batch.iter_mut() {
                        let _fits = wire::encapsulate_data(&mut packet.buf, service, None);
                    }
                    black_box(&mut *batch);
                }
            }
            Self::Lookup(lookup) => expect(lookup.run(done), done, "found")?,
            Self::Path(path) => expect(path.run(batches), done, "taken to their end")?,
            Self::Forwarder(alone) => expect(alone.run(batches), done, "forwarded")?,
            Self::NewFlow(flows) => {
                let times = times.min(u64::from(NEW_FLOWS - FIRST));
                flows.run(times)?;
                return Ok(times);
            }
        }
        Ok(done)
    }

    /// Bytes of tables for the case's established flows: of the ingress, of a tracker, of all hosts.
    pub(crate) const fn table_bytes(&self) -> Option<[u64; 3]> {
        match self {
            Self::Path(path) => Some(path.table_bytes),
            _ => None,
        }
    }

    /// Messages that each new flow has caused so far.
    pub(crate) fn messages_per_flow(&self) -> Option<f64> {
        match self {
            Self::NewFlow(flows) => Some(flows.messages_per_flow()),
            _ => None,
        }
    }
}

fn expect(got: u64, wanted: u64, what: &str) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    let words = format!("only {got} of {wanted} packets were {what}");
    Err(LabError::new(words))
}

/// A table of flows as the roles have it, and keys to look up.
pub(crate) struct Lookup {
    table: FlowTable<FlowKey, [u32; 6], Lines>,
    keys: Vec<FlowKey>,
    next: usize,
}

impl Lookup {
    fn new(flows: u32) -> Result<Self> {
        let mut table = FlowTable::in_lines(flows, Duration::from_millis(100), 1);
        let service = ServiceNumber::new(1).ok_or_else(|| LabError::new("1 is no service"))?;
        let key = |flow: u32| {
            let packet = parse(&ack(flow)).ok();
            let key = packet.and_then(|packet| packet.flow_key(service));
            key.ok_or_else(|| LabError::new("a packet has no flow"))
        };
        for flow in 0..flows {
            let _has_room = table.insert(key(flow)?, [flow; 6]);
        }
        let keys = shuffled(flows).into_iter().map(key);
        Ok(Self {
            table,
            keys: keys.collect::<Result<_>>()?,
            next: 0,
        })
    }

    fn run(&mut self, times: u64) -> u64 {
        let mut found = 0;
        for _ in 0..times {
            let key = &self.keys[self.next];
            self.next = if self.next + 1 == self.keys.len() {
                0
            } else {
                self.next + 1
            };
            let handle = self.table.find(black_box(key));
            let value = handle.and_then(|handle| self.table.get(handle));
            found += u64::from(black_box(value).is_some());
        }
        found
    }
}

/// Packets of established flows, through the ingress or on to the stack of their host.
pub(crate) struct Path {
    table_bytes: [u64; 3],
    path: DataPath,
    source: Source,
    batch: Vec<Packet>,
    to_hosts: bool,
}

impl Path {
    fn run(&mut self, batches: u64) -> u64 {
        let mut done = 0;
        for _ in 0..batches {
            self.source.fill(&mut self.batch);
            let forwarded = self.path.encapsulate(&mut self.batch);
            let reached = if self.to_hosts {
                self.path.decapsulate(&self.batch)
            } else {
                forwarded
            };
            done += reached as u64;
            black_box(&mut self.batch);
        }
        done
    }
}

/// Flows one after the other, each new. The cluster is made anew when its tables are full.
pub(crate) struct NewFlow {
    cluster: Cluster,
    next: u32,
    opened: u64,
    messages: u64,
}

/// Flows that a cluster of new flows has room for.
const NEW_FLOWS: u32 = 1 << 19;

/// Its first flows, which cost what is done once only.
const FIRST: u32 = 1_000;

impl NewFlow {
    fn new() -> Result<Self> {
        let mut cluster = Cluster::new(NEW_FLOWS)?;
        cluster.open(0..FIRST)?;
        Ok(Self {
            cluster,
            next: FIRST,
            opened: 0,
            messages: 0,
        })
    }

    fn run(&mut self, times: u64) -> Result<()> {
        let count = u32::try_from(times)
            .unwrap_or(u32::MAX)
            .min(NEW_FLOWS - FIRST);
        if NEW_FLOWS - self.next < count {
            let Self { cluster, next, .. } = Self::new()?;
            (self.cluster, self.next) = (cluster, next);
        }
        let before = self.cluster.messages();
        self.cluster.open(self.next..self.next + count)?;
        self.next += count;
        self.opened += u64::from(count);
        self.messages += self.cluster.messages() - before;
        Ok(())
    }

    fn messages_per_flow(&self) -> f64 {
        self.messages as f64 / self.opened.max(1) as f64
    }
}

#[cfg(test)]
mod tests;
