//! Reads what admission looks at, on a thread of its own, so that it costs no packet anything: the
//! accept queues of the services' listening sockets, and how busy the machine is.

use crate::clock;
use crate::data_path::{Command, DataThread};
use crate::error::Error;
use crate::kernel::sock_diag::{self, Listener};
use crate::kernel::usage::{CPU_SPAN, Cpu, Memory};
use jlb_config::{ClusterConfig, Node, Service};
use jlb_host_agent::signals::{AcceptQueue, Machine, Signal};
use jlb_protocol::services::{ServiceMap, ServiceMatch};
use jlb_protocol::{Protocol, ServiceNumber, Time};
use std::net::IpAddr;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

/// How often accept queues are read where a service's admission looks at them. A list of the listening
/// sockets and its way to the data thread take 150 microseconds of a processor (see docs/operations.md).
const FAST: Duration = Duration::from_millis(10);

/// How often they are read for the metrics alone.
const SLOW: Duration = CPU_SPAN;

/// What is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The services of this host.
    pub(crate) services: Vec<ServiceMatch>,
    /// Whether the admission of any of them looks at accept queues.
    pub(crate) by_queue: bool,
}

impl Wanted {
    /// What is read on a host.
    pub(crate) fn of(config: &ClusterConfig, node: &Node) -> Self {
        let services = config.services().iter();
        let own = services.filter(|service| service.host(node.number).is_some());
        let by_queue = |service: &Service| service.admission.accept_queue.is_some();
        Self {
            services: own.clone().map(Service::matching).collect(),
            by_queue: own.clone().any(by_queue),
        }
    }
}

/// The thread that reads; it ends when this is dropped.
pub(crate) struct Sampler {
    wanted: Arc<Mutex<Wanted>>,
    /// Closed when this is dropped.
    _life: SyncSender<()>,
}

impl Sampler {
    /// Starts the thread, in the calling thread's network namespace.
    pub(crate) fn start(wanted: Wanted, data_thread: DataThread) -> Result<Self, Error> {
        let (life, over) = sync_channel(0);
        let mut readers = Readers::open();
        let wanted = Arc::new(Mutex::new(wanted));
        let shared = Arc::clone(&wanted);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                loop {
                    let wanted = lock(&shared).clone();
                    let signals = readers.read(clock::now(), &wanted);
                    // A data thread that is busy gets the next ones.
                    let _ = data_thread.try_tell(Command::Signals(signals));
                    let pause = if wanted.by_queue { FAST } else { SLOW };
                    if over.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                        return;
                    }
                }
            })
            .map_err(Error::system("start a thread"))?;
        Ok(Self {
            wanted,
            _life: life,
        })
    }

    /// Reads something else from now on.
    pub(crate) fn change(&self, wanted: Wanted) {
        *lock(&self.wanted) = wanted;
    }
}

fn lock(wanted: &Mutex<Wanted>) -> MutexGuard<'_, Wanted> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Readers {
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    /// When the machine is read next.
    due: Time,
    complaints: Complaints,
}

/// Tells of a failure when it begins, not each time.
#[derive(Default)]
struct Complaints {
    queues: bool,
    machine: bool,
}

impl Readers {
    fn open() -> Self {
        let mut complaints = Complaints::default();
        let cpu = said(
            Cpu::open(),
            "the use of the processors",
            &mut complaints.machine,
        );
        let memory = said(Memory::open(), "the use of memory", &mut complaints.machine);
        Self {
            cpu,
            memory,
            due: Time::ZERO,
            complaints,
        }
    }

    fn read(&mut self, now: Time, wanted: &Wanted) -> Vec<Signal> {
        let mut signals = Vec::with_capacity(wanted.services.len() + 1);
        if now >= self.due {
            self.due = now + CPU_SPAN;
            let complained = &mut self.complaints.machine;
            let cpu = self.cpu.as_mut().map(|cpu| cpu.share(now));
            let memory = self.memory.as_mut().map(Memory::share);
            let machine = Machine {
                cpu: cpu.and_then(|it| said(it, "the use of the processors", complained)?),
                memory: memory.and_then(|it| said(it, "the use of memory", complained)?),
            };
            signals.push(Signal::Machine(machine));
        }
        let read = sock_diag::listeners();
        let read = read.inspect(|_| self.complaints.queues = false);
        let listeners = said(read, "accept queues", &mut self.complaints.queues);
        let queues = accept_queues(listeners.as_deref().unwrap_or_default(), &wanted.services);
        signals.extend(queues.map(|(service, queue)| Signal::AcceptQueue(service, queue)));
        signals
    }
}

/// The result; an error is told once.
fn said<T, E: std::fmt::Display>(
    result: Result<T, E>,
    what: &str,
    complained: &mut bool,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            if !std::mem::replace(complained, true) {
                warn!(%error, "{what} can't be read: admission goes without");
            }
            None
        }
    }
}

/// The accept queue of each TCP service: of the sockets that would get its connections.
fn accept_queues(
    listeners: &[Listener],
    services: &[ServiceMatch],
) -> impl Iterator<Item = (ServiceNumber, Option<AcceptQueue>)> {
    let map = ServiceMap::new(services);
    services
        .iter()
        .filter(|service| service.protocol == Protocol::Tcp)
        .map(move |service| {
            // The kernel gives a connection to the socket that names its address most exactly.
            let mut best: Option<(u8, AcceptQueue)> = None;
            for listener in listeners {
                let Some(rank) = exactness(listener.local.ip(), service.vip) else {
                    continue;
                };
                let port = listener.local.port();
                if map.find(service.vip, Protocol::Tcp, port) != Some(service.service) {
                    continue;
                }
                let one = AcceptQueue {
                    waiting: listener.waiting,
                    backlog: listener.backlog,
                };
                best = match best {
                    Some((former, _)) if former > rank => best,
                    // Several sockets share the port (SO_REUSEPORT), or there are several ports.
                    Some((former, sum)) if former == rank => Some((
                        rank,
                        AcceptQueue {
                            waiting: sum.waiting.saturating_add(one.waiting),
                            backlog: sum.backlog.saturating_add(one.backlog),
                        },
                    )),
                    Some(_) | None => Some((rank, one)),
                };
            }
            (service.service, best.map(|(_, queue)| queue))
        })
}

/// How exactly a listening socket's address names the VIP; `None` if it does not.
fn exactness(local: IpAddr, vip: IpAddr) -> Option<u8> {
    match local {
        _ if local == vip => Some(2),
        IpAddr::V4(any) if any.is_unspecified() && vip.is_ipv4() => Some(1),
        IpAddr::V6(any) if any.is_unspecified() && vip.is_ipv6() => Some(1),
        // Such a socket takes IPv4 as well, unless it is for IPv6 only.
        IpAddr::V6(any) if any.is_unspecified() => Some(0),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests;
