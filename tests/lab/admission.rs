//! Hosts that turn connections away by their accept queues, which real servers let fill.

mod clients;
mod judge;
mod servers;
mod trace;

use std::time::{Duration, Instant};

use jlb_bench::plan::{Node, Role};

use crate::harness::{Lab, Namespace, Wanted, long};
use clients::{Attempt, Clients};
use judge::{Verdict, is_known, judge};
use servers::{BACKLOG, Collector, PIPE_LINES};
use trace::{Reading, Tracing, tcp_counter};

const HOSTS: u16 = 4;

/// The line of the cluster file, and its limit.
const ADMISSION: &str = "admission = { accept_queue = 4 }";
const LIMIT: u32 = 4;

/// HTTP on the IPv4 VIP: its number in a lab's cluster file.
const SERVICE: &str = "1";

/// Connections a second, of which each host gets a fourth.
const RATE: u32 = 240;

/// How long servers take to get stuck: until the pipe is full and as many connections wait as may.
const FILL: Duration = Duration::from_millis(1_000);

/// A cluster whose servers can be slowed down, under clients and under observation.
struct Bench {
    lab: Lab,
    hosts: Vec<Node>,
    places: Vec<Namespace>,
    collectors: Vec<Collector>,
    phases: Vec<Phase>,
}

/// A part of a run.
struct Phase {
    what: &'static str,
    begin: Instant,
    end: Instant,
    /// What each host has rejected meanwhile for its accept queue.
    rejects: Vec<u64>,
    /// The accept queue of each host at its end, as the host itself tells it.
    told: Vec<u64>,
}

/// What a run gave.
struct Run {
    traces: Vec<Vec<Reading>>,
    attempts: Vec<Attempt>,
    /// Attempts at times of which the trace tells nothing; they are left out.
    unknown: usize,
    /// Handshakes that each host's kernel has given up since its accept queue was full.
    overflows: Vec<u64>,
}

impl Bench {
    fn start(tcp_service: Option<&'static str>) -> Self {
        let lab = Lab::start(Wanted {
            nginx: true,
            hosts: HOSTS,
            tcp_service,
            ..Wanted::default()
        });
        let hosts = lab.of(Role::Host);
        let places = hosts.iter().map(|host| lab.inside(&host.name)).collect();
        let collectors = hosts
            .iter()
            .map(|host| Collector::start(&lab, &host.name))
            .collect();
        Self {
            lab,
            hosts,
            places,
            collectors,
            phases: Vec::new(),
        }
    }

    /// Does `work` under clients and observation.
    fn run(&mut self, work: impl FnOnce(&mut Self)) -> Run {
        let overflows = |bench: &Self| -> Vec<u64> {
            let places = bench.places.iter();
            places
                .map(|place| tcp_counter(place, "ListenOverflows"))
                .collect()
        };
        let before = overflows(self);
        let tracing = Tracing::start(&self.places);
        let clients = Clients::start(self.lab.client(), RATE);
        work(self);
        let mut attempts = clients.end();
        let traces = tracing.end();
        let all = attempts.len();
        attempts.retain(|attempt| is_known(&traces, attempt));
        let unknown = all - attempts.len();
        assert!(unknown * 5 < all, "too busy a machine: {unknown} of {all}");
        let after = overflows(self).into_iter();
        Run {
            traces,
            attempts,
            unknown,
            overflows: after.zip(before).map(|(now, then)| now - then).collect(),
        }
    }

    /// Slows each of the first hosts down to so many answers a second; the others are free.
    fn phase(&mut self, what: &'static str, paces: &[u32], seconds: u32) {
        for (nth, collector) in self.collectors.iter().enumerate() {
            match paces.get(nth) {
                Some(&pace) => collector.slow(pace),
                None => collector.free(),
            }
        }
        let before = self.rejects();
        let begin = Instant::now();
        let times = if long() { 5 } else { 1 };
        std::thread::sleep(Duration::from_secs(1) * seconds * times);
        let end = Instant::now();
        let told = self.of_hosts("jlb_host_accept_queue", ("service", SERVICE));
        let rejects = self.rejects().into_iter().zip(before);
        self.phases.push(Phase {
            what,
            begin,
            end,
            rejects: rejects.map(|(now, then)| now - then).collect(),
            told,
        });
    }

    fn rejects(&self) -> Vec<u64> {
        self.of_hosts("jlb_host_rejects_total", ("reason", "accept_queue"))
    }

    /// A metric of each host.
    fn of_hosts(&self, name: &str, label: (&str, &str)) -> Vec<u64> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| self.lab.metrics(host).sum(name, &[label]))
            .collect()
    }
}

impl Run {
    /// The attempts that began in a phase, some time after its begin.
    fn attempts_in(&self, phase: &Phase, after: Duration) -> Vec<&Attempt> {
        let during = phase.begin + after..phase.end;
        let attempts = self.attempts.iter();
        attempts
            .filter(|attempt| during.contains(&attempt.opened))
            .collect()
    }

    /// How many connections waited at a host in a phase: fewest and most.
    fn waiting_in(&self, host: usize, phase: &Phase, after: Duration) -> (u32, u32) {
        let during = phase.begin + after..phase.end;
        let readings = self.traces[host].iter();
        let waiting = readings
            .filter(|reading| during.contains(&reading.at))
            .map(|reading| reading.waiting);
        let (least, most) = (waiting.clone().min(), waiting.max());
        (least.unwrap(), most.unwrap())
    }

    fn tell(&self, bench: &Bench, verdict: &Verdict) {
        for phase in &bench.phases {
            let attempts = self.attempts_in(phase, Duration::ZERO);
            let failed = attempts.iter().filter(|it| it.outcome.is_err()).count();
            let waiting: Vec<_> = (0..bench.hosts.len())
                .map(|host| self.waiting_in(host, phase, FILL))
                .collect();
            println!(
                "{}: {} attempts, {failed} failed; rejects {:?}; then waiting (least, most) {waiting:?}",
                phase.what,
                attempts.len(),
                phase.rejects,
            );
        }
        let gaps = self.traces.iter().flat_map(|trace| trace.windows(2));
        let gap = gaps.map(|pair| pair[1].at - pair[0].at).max();
        println!(
            "{} attempts and {} unknown, {} errors, {} of them unjust, {} stuck, {} late; overflows {:?}; longest gap of the trace {gap:?}",
            self.attempts.len(),
            self.unknown,
            verdict.errors,
            verdict.unjust.len(),
            verdict.stuck.len(),
            verdict.late,
            self.overflows,
        );
    }
}

#[test]
fn a_full_accept_queue_turns_connections_to_other_hosts() {
    let mut bench = Bench::start(Some(ADMISSION));
    let run = bench.run(|bench| {
        bench.phase("all free", &[], 2);
        bench.phase("one stuck", &[0], 3);
        bench.phase("free after one", &[], 2);
        bench.phase("one slow", &[20], 3);
        bench.phase("all but one stuck", &[0, 0, 0], 3);
        bench.phase("free after three", &[], 2);
        bench.phase("all slow", &[20, 20, 20, 20], 3);
        bench.phase("all stuck", &[0, 0, 0, 0], 2);
        bench.phase("free at last", &[], 2);
    });
    let verdict = judge(&run.traces, LIMIT, &run.attempts);
    run.tell(&bench, &verdict);

    assert!(verdict.unjust.is_empty(), "{:#?}", verdict.unjust);
    assert!(verdict.stuck.is_empty(), "{:#?}", verdict.stuck);
    assert_eq!(run.overflows, [0; HOSTS as usize]);
    for phase in &bench.phases {
        let slow = match phase.what {
            "one stuck" | "one slow" => 1,
            "all but one stuck" => 3,
            "all slow" | "all stuck" => 4,
            _ => 0,
        };
        let what = phase.what;
        let attempts = run.attempts_in(phase, Duration::ZERO);
        let failed = attempts.iter().filter(|it| it.outcome.is_err()).count();
        if slow == 4 {
            assert!(failed > 0, "{what}: all are full, and nobody is told");
        } else if what != "free at last" {
            // There, hosts may not know yet that they are free: for that the judge has the trace.
            assert_eq!(failed, 0, "{what}: a host was free all the time");
        }
        for (host, &rejects) in phase.rejects.iter().enumerate() {
            let (least, most) = run.waiting_in(host, phase, FILL);
            assert!(most <= BACKLOG, "{what}: {most} waited at {host}");
            if host < slow {
                // Where another host is free, its report may be faster than any offer.
                let must = slow == 4;
                assert!(rejects > 0 || !must, "{what}: {host} rejected nobody");
                assert!(most >= LIMIT, "{what}: {host} did not fill: {most}");
            }
            if host < slow && what.ends_with("stuck") {
                assert!(least >= LIMIT, "{what}: {host} was not stuck: {least}");
                let told = phase.told[host];
                assert_eq!(told, u64::from(most), "{what}: {host} tells another queue");
                let name = Ok(bench.hosts[host].name.clone());
                let there = run.attempts_in(phase, FILL);
                let there = there.iter().filter(|it| it.outcome == name).count();
                assert_eq!(there, 0, "{what}: connections went to {host}");
            }
        }
    }
    // A host that seems to be free all the time would make nearly each of the errors unjust.
    let mut planted = run.traces.clone();
    for reading in &mut planted[1] {
        reading.waiting = LIMIT - 1;
    }
    let wrong = judge(&planted, LIMIT, &run.attempts);
    assert_eq!(wrong.unjust.len(), verdict.errors);
    // In each of its queues a stuck server had a few connections, which got their answers later.
    let most = 9 * (BACKLOG as usize + 2);
    assert!(verdict.late <= most, "{} were late", verdict.late);
    // Trackers keep the record of a refused flow for as long as that of an offered one: 10 s.
    bench.lab.wait_until_empty(Duration::from_secs(20));
    bench.lab.assert_calm();
}

#[test]
fn without_admission_connections_are_stuck_at_a_full_accept_queue_and_the_judge_says_so() {
    let mut bench = Bench::start(None);
    let run = bench.run(|bench| {
        bench.phase("all free", &[], 2);
        bench.phase("one stuck", &[0], 4);
        bench.phase("free after one", &[], 2);
    });
    let verdict = judge(&run.traces, LIMIT, &run.attempts);
    run.tell(&bench, &verdict);
    let stuck = &bench.phases[1];
    assert!(stuck.rejects.iter().all(|&rejects| rejects == 0));
    assert_eq!(run.waiting_in(0, stuck, FILL).1, BACKLOG + 1);
    assert!(run.overflows[0] > 50, "{:?}", run.overflows);
    assert!(run.overflows[1..].iter().all(|&count| count == 0));
    assert!(verdict.stuck.len() > 50, "{}", verdict.stuck.len());
    // The pipe's worth was served, the queue's was accepted: those are not the ones.
    let most = (PIPE_LINES + BACKLOG) as usize;
    assert!(verdict.late > most, "{} late", verdict.late);
}
