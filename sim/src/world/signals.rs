//! What a host's sampler reads, for admission by measured signals: machines and servers that are busy for
//! a while, and idle again.

use super::{Event, World};
use crate::machine::Machine;
use core::time::Duration;
use jlb_host_agent::signals::{AcceptQueue, Machine as Readings, Server, Signal};
use jlb_protocol::NodeNumber;

/// Connections that may wait for a server.
const BACKLOG: u32 = 8;

/// The longest between two readings.
const LONGEST: Duration = Duration::from_millis(600);

impl World {
    /// Samplers begin to read, where anything goes by it.
    pub(super) fn add_signals(&mut self) {
        if !self.topology.is_measured() {
            return;
        }
        for host in self.topology.hosts.clone() {
            self.schedule(self.now, Event::Sample(host));
        }
    }

    /// The sampler of a host reads, and will again. After the faults everything is idle.
    pub(super) fn sample(&mut self, host: NodeNumber) {
        let next = self.now + self.readings.span(Duration::from_millis(50), LONGEST);
        self.schedule(next, Event::Sample(host));
        let is_calm = self.now >= self.heals_at;
        let mut signals = vec![self.machine_signal(is_calm)];
        let services = self.topology.services.iter();
        let numbers: Vec<_> = services.map(|service| service.number).collect();
        for number in numbers {
            let queue = (!self.is_unread(is_calm)).then(|| AcceptQueue {
                waiting: (u32::from(self.amount(is_calm)) * BACKLOG) >> 16,
                backlog: BACKLOG,
            });
            signals.push(Signal::AcceptQueue(number, queue));
            let load = (!self.is_unread(is_calm)).then(|| self.amount(is_calm));
            let millis = (u64::from(self.amount(is_calm)) * 40) >> 16;
            let latency = (!self.is_unread(is_calm)).then(|| Duration::from_millis(millis));
            signals.push(Signal::Server(number, Server { load, latency }));
        }
        let node = self.nodes.get_mut(&host).and_then(|node| node.running());
        if let Some(Machine::Host(agent)) = node.map(|life| &mut life.machine) {
            for signal in signals {
                agent.handle_signal(signal);
            }
        }
        self.settle(host);
    }

    fn machine_signal(&mut self, is_calm: bool) -> Signal {
        Signal::Machine(Readings {
            cpu: (!self.is_unread(is_calm)).then(|| self.amount(is_calm)),
            memory: (!self.is_unread(is_calm)).then(|| self.amount(is_calm)),
        })
    }

    fn is_unread(&mut self, is_calm: bool) -> bool {
        !is_calm && self.readings.chance(50)
    }

    /// A share of 65,535: less than half mostly.
    fn amount(&mut self, is_calm: bool) -> u16 {
        let busy = !is_calm && self.readings.chance(300);
        let (low, high) = match (busy, is_calm) {
            (true, _) => (1 << 15, 0xffff),
            (false, true) => (0, 0),
            (false, false) => (0, (1 << 15) - 1),
        };
        u16::try_from(self.readings.within(low, high)).unwrap_or(0)
    }
}
