//! What the kernel says of a host's accept queue, every 10 ms. It is read from another place than the
//! host agent reads it from (`sock_diag`), so that one does not repeat the other's mistake.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::Namespace;

/// Time between two readings, and between two of a host agent.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// One reading of one host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) at: Instant,
    /// Connections that wait to be accepted on port 80 of IPv4.
    pub(crate) waiting: u32,
}

/// Threads that read, one in each host's namespace.
pub(crate) struct Tracing {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Reading>>>,
}

impl Tracing {
    pub(crate) fn start(places: &[Namespace]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let threads = places.iter().cloned().map(|place| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || place.enter(|| readings(&over)))
        });
        Self {
            threads: threads.collect(),
            over,
        }
    }

    /// The readings of each host.
    pub(crate) fn end(self) -> Vec<Vec<Reading>> {
        self.over.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    }
}

fn readings(over: &AtomicBool) -> Vec<Reading> {
    let mut readings = Vec::new();
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) {
        // The reading is of a moment after this one.
        let at = Instant::now();
        let waiting = waiting();
        readings.push(Reading { at, waiting });
        due += INTERVAL;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    readings
}

/// Listening sockets come first in this list, in which each entry is a line of 150 bytes. Read to its
/// end it takes the kernel milliseconds: it looks at every bucket of its table of connections.
fn waiting() -> u32 {
    let mut list = File::open("/proc/thread-self/net/tcp").unwrap();
    let mut line = [0; 150];
    for _ in 0..20 {
        list.read_exact(&mut line).unwrap();
        let line = std::str::from_utf8(&line).unwrap();
        // Number, local address, remote address, state (0A: listens), queues of sending and receiving.
        let mut words = line.split_whitespace().skip(1);
        if words.next() == Some("00000000:0050") && words.nth(1) == Some("0A") {
            let (_, waiting) = words.next().unwrap().split_once(':').unwrap();
            return u32::from_str_radix(waiting, 16).unwrap();
        }
    }
    panic!("nothing listens on port 80");
}

/// A counter of the namespace of `place`, from `/proc/net/netstat`.
pub(crate) fn tcp_counter(place: &Namespace, name: &str) -> u64 {
    let text = place.enter(|| std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap());
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let names = lines.next().unwrap().split_whitespace();
    let values = lines.next().unwrap().split_whitespace();
    let (_, value) = names.zip(values).find(|(it, _)| *it == name).unwrap();
    value.parse().unwrap()
}
