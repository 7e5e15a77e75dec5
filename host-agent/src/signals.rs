//! What is measured on this host, for admission policies to look at: sampled by a timer outside and
//! handed in, never read per packet.

use core::time::Duration;
use jlb_protocol::ServiceNumber;

/// How busy the machine is. A share is 0 to 65,535, where that is all of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Machine {
    /// Share of the processors' time; `None` if it can't be read.
    pub cpu: Option<u16>,
    /// Share of the memory that is in use; `None` if it can't be read.
    pub memory: Option<u16>,
}

/// The queue of connections that a service's server has not accepted yet: of all its listening
/// sockets together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AcceptQueue {
    /// Connections that wait.
    pub waiting: u32,
    /// The most that may wait; what comes beyond is lost.
    pub backlog: u32,
}

/// What a service's server said in its last health check.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Server {
    /// Its load by its own word, 0 (idle) to 65,535 (full).
    pub load: Option<u16>,
    /// How long it took to answer.
    pub latency: Option<Duration>,
}

/// One reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Of the machine.
    Machine(Machine),
    /// Of a service's listening sockets; `None` if it has none, or they can't be read.
    AcceptQueue(ServiceNumber, Option<AcceptQueue>),
    /// Of a service's server.
    Server(ServiceNumber, Server),
}

/// All that is known of a service at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signals {
    /// Flows of the service that are accepted or established.
    pub connections: u32,
    /// How busy the machine is.
    pub machine: Machine,
    /// What was read last of the service.
    pub readings: Readings,
}

/// What was read last of a service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Readings {
    /// Its accept queue.
    pub queue: Option<AcceptQueue>,
    /// Flows that were accepted since the queue was read.
    pub accepted: u32,
    /// What its server said.
    pub server: Server,
}
