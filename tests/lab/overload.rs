//! What happens to connections when every host is full, for each overload policy, on real TCP.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use jlb_bench::plan::{Role, VIP_V4};
use socket2::Socket;

use crate::harness::{Lab, Page, Wanted, eventually, finish_connecting};
use crate::reload::runs;

const HOSTS: usize = 4;

/// Connections that each host takes.
const EACH: usize = 5;

/// Connections that all hosts take.
const ROOM: usize = HOSTS * EACH;

/// How long a connection may wait in the surge queue.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(2_000);

/// How long a search may take at most, with time for a busy machine.
const SEARCH: Duration = Duration::from_secs(1);

/// Until trackers have forgotten who rejected or was refused: `offered`, and then some.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// HTTP on the IPv4 VIP: its number in a lab's cluster file.
const SERVICE: &str = "1";

fn http() -> SocketAddr {
    (VIP_V4, 80).into()
}

/// A connection, or why there is none, and how long that took.
struct Attempt<T = TcpStream> {
    result: io::Result<T>,
    took: Duration,
}

fn attempt(socket: Socket) -> Attempt {
    let begun = Instant::now();
    let result = finish_connecting(socket, http());
    let took = begun.elapsed();
    Attempt { result, took }
}

impl<T> Attempt<T> {
    /// Keeps the connection for so long, if there is one, and closes it.
    fn kept(self, time: Duration) -> Attempt<()> {
        let Self { result, took } = self;
        let result = result.map(|_stream| std::thread::sleep(time));
        Attempt { result, took }
    }

    fn is_refused(&self) -> bool {
        let error = self.result.as_ref().err();
        error.is_some_and(|it| it.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// The shortest and the longest of these.
fn times<T>(attempts: &[Attempt<T>]) -> (Duration, Duration) {
    let took = attempts.iter().map(|it| it.took);
    (took.clone().min().unwrap(), took.max().unwrap())
}

/// A lab, and the text of its cluster file.
struct Bench {
    lab: Lab,
    text: String,
}

impl Bench {
    fn start() -> Self {
        let lab = Lab::start(Wanted::default());
        let text = fs::read_to_string(lab.cluster_file()).unwrap();
        Self { lab, text }
    }

    /// Switches the overload policy of all TCP services, and waits until each node has it.
    fn overload(&self, lines: &str) {
        let mut text = String::new();
        for block in self.text.split_inclusive("\n\n") {
            if block.contains("[[service]]") && block.contains("protocol = \"tcp\"") {
                text.push_str(block.trim_end());
                text.push_str(&format!("\nmax_connections = {EACH}\n{lines}\n\n"));
            } else {
                text.push_str(block);
            }
        }
        if lines.contains("overflow") {
            text = text.replace(", \"host-4\"]\npolicy", "]\npolicy");
        }
        self.lab.replace_file(&text);
        let wanted = self.lab.fingerprint();
        self.lab
            .wait_for_all("all nodes run the file", |page| runs(page, &wanted));
    }

    fn connect(&self) -> Attempt {
        attempt(self.lab.client().tcp_socket(http()))
    }

    /// So many connections, one after the other.
    fn fill(&self, count: usize) -> Vec<TcpStream> {
        let attempts = (0..count).map(|_| self.connect());
        attempts.map(|it| it.result.unwrap()).collect()
    }

    /// So many connections at once, each of which is kept for so long.
    fn burst(&self, count: usize, kept: Duration) -> Vec<Attempt<()>> {
        let client = self.lab.client();
        let sockets: Vec<_> = (0..count).map(|_| client.tcp_socket(http())).collect();
        std::thread::scope(|scope| {
            let threads = sockets
                .into_iter()
                .map(|socket| scope.spawn(move || attempt(socket).kept(kept)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        })
    }

    /// The sum of a metric over the nodes of a role.
    fn sum(&self, role: Role, name: &str, labels: &[(&str, &str)]) -> u64 {
        let nodes = self.lab.of(role).into_iter();
        nodes
            .map(|node| self.lab.metrics(&node).sum(name, labels))
            .sum()
    }

    /// Connections of the service at each host.
    fn spread(&self) -> Vec<u64> {
        let hosts = self.lab.of(Role::Host).into_iter();
        let of = |page: Page| page.sum("jlb_host_connections", &[("service", SERVICE)]);
        hosts.map(|host| of(self.lab.metrics(&host))).collect()
    }

    /// Waits until hosts and trackers know that nothing is open any more.
    fn is_idle(&self) {
        self.lab.wait_until_empty(FORGOTTEN);
    }
}

#[test]
fn each_overload_policy_ends_a_search_as_it_says() {
    let bench = Bench::start();
    let hosts = |name, labels| bench.sum(Role::Host, name, labels);
    let trackers = |name, labels| bench.sum(Role::Tracker, name, labels);

    bench.overload("overload = \"refuse\"");
    let held = bench.fill(ROOM);
    assert_eq!(bench.spread(), [EACH as u64; HOSTS]);
    // Trackers that do not know yet what others have sent may have asked a host too many.
    let max_connections = [("reason", "max_connections")];
    let before = hosts("jlb_host_rejects_total", &max_connections);
    let refused = bench.burst(10, Duration::ZERO);
    assert!(refused.iter().all(Attempt::is_refused));
    println!("refuse: 10 of 10 refused in {:?}", times(&refused));
    assert!(times(&refused).1 < SEARCH);
    assert_eq!(
        trackers("jlb_tracker_refusals_total", &[("reason", "exhausted")]),
        10
    );
    // Each of the four was asked, and none twice.
    let rejects = hosts("jlb_host_rejects_total", &max_connections) - before;
    assert_eq!(rejects, 10 * HOSTS as u64);

    bench.overload("overload = \"must-accept\"");
    let above: Vec<_> = (0..10).map(|_| bench.connect()).collect();
    assert!(above.iter().all(|it| it.result.is_ok()));
    println!("must-accept: 10 of 10 accepted in {:?}", times(&above));
    assert!(times(&above).1 < SEARCH);
    assert_eq!(hosts("jlb_host_must_accepts_total", &[]), 10);
    assert_eq!(trackers("jlb_tracker_last_offers_total", &[]), 10);
    drop((held, above));
    bench.is_idle();

    bench.overload("overload = \"pool\"\noverflow = [\"host-4\"]");
    let held = bench.fill(ROOM - EACH);
    let each = EACH as u64;
    assert_eq!(bench.spread(), [each, each, each, 0]);
    assert_eq!(trackers("jlb_tracker_overflow_offers_total", &[]), 0);
    let spilled = bench.fill(EACH);
    assert_eq!(bench.spread(), [each; HOSTS]);
    assert_eq!(trackers("jlb_tracker_overflow_offers_total", &[]), each);
    let refused = bench.connect();
    assert!(refused.is_refused() && refused.took < SEARCH);
    println!("pool: {EACH} of {EACH} above went to the overflow host, one more was refused");
    drop((held, spilled));
    bench.is_idle();
    bench.lab.assert_calm();
}

#[test]
fn a_burst_over_capacity_waits_for_room_and_what_waits_too_long_is_refused() {
    let bench = Bench::start();
    bench.overload(&format!(
        "overload = \"queue\"\nqueue_timeout = \"{}ms\"",
        QUEUE_TIMEOUT.as_millis()
    ));
    let trackers = |name, labels| bench.sum(Role::Tracker, name, labels);
    let waiting = |count: u64| {
        eventually(SEARCH, "so many wait", || {
            let waiting = trackers("jlb_tracker_queue_waiting", &[]);
            (waiting == count).then_some(()).ok_or(waiting.to_string())
        });
    };

    // Ten times what there is room for at once, each for a moment.
    let burst = bench.burst(10 * ROOM, Duration::from_millis(50));
    let failed = burst.iter().filter(|it| it.result.is_err()).count();
    let queued = trackers("jlb_tracker_queued_total", &[]);
    println!(
        "a burst of {}: {failed} failed, {queued} times one waited; connected in {:?}",
        burst.len(),
        times(&burst)
    );
    assert_eq!(failed, 0);
    assert!(queued >= 8 * ROOM as u64, "{queued}");
    assert!(times(&burst).1 < QUEUE_TIMEOUT + SEARCH);
    let most = trackers("jlb_tracker_queue_refused_total", &[]);
    assert_eq!(most, 0);
    drop(burst);
    bench.is_idle();

    // All full: who waits is served when others close.
    let mut held = bench.fill(ROOM);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| bench.burst(10, Duration::from_millis(500)));
        waiting(10);
        held.truncate(ROOM / 2);
        let served = waits.join().unwrap();
        assert!(served.iter().all(|it| it.result.is_ok()));
        println!("10 that waited were served after {:?}", times(&served));
    });
    drop(held);
    bench.is_idle();

    // Nobody closes: all are refused when their time is over, as the clients and the metric say.
    let held = bench.fill(ROOM);
    let refused = bench.burst(30, Duration::ZERO);
    assert!(refused.iter().all(Attempt::is_refused));
    let (first, last) = times(&refused);
    println!("30 of 30 that waited in vain were refused after {first:?} to {last:?}");
    assert!(first >= QUEUE_TIMEOUT && last < QUEUE_TIMEOUT + SEARCH);
    let expired = [("reason", "expired")];
    assert_eq!(trackers("jlb_tracker_queue_refused_total", &expired), 30);
    assert_eq!(trackers("jlb_tracker_queue_waiting", &[]), 0);
    drop(held);
    bench.is_idle();
    bench.lab.assert_calm();
}
