#![allow(
    clippy::disallowed_methods,
    reason = "servers that are slow, in real time"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::AtomicU64;

use super::*;
use crate::load::ErrorKind;

/// How a server of a test behaves.
#[derive(Clone, Copy)]
struct Manner {
    /// From when to when after its begin it answers nothing.
    stall: Option<(Duration, Duration)>,
    status: u16,
    /// Bytes that it says its body has, and that it has.
    length: [usize; 2],
    /// Closes after this many requests, unanswered ones included.
    closes_after: Option<u32>,
    /// Does not answer at all.
    silent: bool,
}

const GOOD: Manner = Manner {
    stall: None,
    status: 200,
    length: [100, 100],
    closes_after: None,
    silent: false,
};

#[derive(Clone)]
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

/// Serves until the test's process ends.
fn serve(manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        accepted: Arc::default(),
        answered: Arc::default(),
    };
    let begin = now();
    let its = server.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            its.accepted.fetch_add(1, Ordering::SeqCst);
            let its = its.clone();
            thread::spawn(move || speak(&stream.unwrap(), manner, begin, &its.answered));
        }
    });
    server
}

fn speak(stream: &TcpStream, manner: Manner, begin: Instant, answered: &AtomicU64) {
    let mut lines = BufReader::new(stream).lines();
    let mut asked = 0;
    while let Some(Ok(line)) = lines.next() {
        if !line.is_empty() {
            continue;
        }
        asked += 1;
        if let Some((from, to)) = manner.stall {
            let since = begin.elapsed();
            if since >= from && since < to {
                thread::sleep(to - since);
            }
        }
        if manner.silent {
            continue;
        }
        let [said, sent] = manner.length;
        let body = "x".repeat(sent);
        let status = manner.status;
        let head = format!("HTTP/1.1 {status} Words\r\ncontent-length: {said}\r\n\r\n");
        let mut stream = stream;
        // Counted first: the client may be done before this thread goes on.
        answered.fetch_add(1, Ordering::SeqCst);
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
        if manner.closes_after == Some(asked) {
            return;
        }
    }
}

fn job(server: &Server) -> Job {
    Job {
        targets: vec![server.address],
        sources: Sources::default(),
        path: "/",
        body: 100,
        keep_alive: true,
        connections: 4,
        rate: None,
        threads: 1,
        warm_up: Duration::from_millis(50),
        measured: Duration::from_millis(150),
        patience: Duration::from_secs(5),
    }
}

#[test]
fn every_answer_of_a_closed_loop_is_counted_once() {
    let server = serve(GOOD);
    let outcome = run_here(&job(&server), now()).unwrap();
    assert_eq!(outcome.errors.len(), 0, "{:?}", outcome.words);
    assert!(outcome.answered > 0);
    assert!(outcome.answered < outcome.answered_in_all);
    assert_eq!(
        outcome.answered_in_all,
        server.answered.load(Ordering::SeqCst)
    );
    assert_eq!(outcome.connected, 4);
    assert_eq!(server.accepted.load(Ordering::SeqCst), 4);
    assert_eq!(outcome.bytes, 100 * outcome.answered);
    assert_eq!(outcome.latency.len(), outcome.answered);
    assert_eq!(outcome.uncorrected.len(), 0);
}

#[test]
fn a_connection_for_each_request_is_opened_and_closed() {
    let server = serve(Manner {
        closes_after: Some(1),
        ..GOOD
    });
    let job = Job {
        keep_alive: false,
        threads: 2,
        ..job(&server)
    };
    let outcome = run_here(&job, now()).unwrap();
    assert_eq!(outcome.errors.len(), 0, "{:?}", outcome.words);
    assert!(outcome.answered > 4);
    assert_eq!(
        outcome.answered_in_all,
        server.answered.load(Ordering::SeqCst)
    );
    assert_eq!(outcome.connected, outcome.answered_in_all);
    assert_eq!(server.accepted.load(Ordering::SeqCst), outcome.connected);
}

#[test]
fn an_open_loop_asks_at_its_rate_over_all_threads() {
    let server = serve(GOOD);
    let job = Job {
        rate: Some(1_000.0),
        threads: 2,
        measured: Duration::from_millis(300),
        ..job(&server)
    };
    let outcome = run_here(&job, now()).unwrap();
    assert_eq!(outcome.errors.len(), 0, "{:?}", outcome.words);
    assert_eq!(outcome.due, 300);
    assert_eq!(outcome.answered_in_all, 350);
    assert_eq!(outcome.latency.len(), 300);
    assert_eq!(outcome.uncorrected.len(), 300);
}

#[test]
fn a_stall_is_charged_for_all_that_was_due_meanwhile() {
    let server = serve(Manner {
        stall: Some((Duration::from_millis(400), Duration::from_millis(600))),
        ..GOOD
    });
    let job = Job {
        rate: Some(1_000.0),
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(1),
        ..job(&server)
    };
    let outcome = run_here(&job, now()).unwrap();
    assert_eq!(outcome.errors.len(), 0, "{:?}", outcome.words);
    assert_eq!(outcome.latency.len(), 1_000);
    let p99 = |histogram: &hdrhistogram::Histogram<u64>| {
        Duration::from_nanos(histogram.value_at_quantile(0.99))
    };
    // A fifth of all requests was due in the stall. Only four, one a connection, were sent into it.
    let (corrected, uncorrected) = (p99(&outcome.latency), p99(&outcome.uncorrected));
    assert!(corrected > Duration::from_millis(150), "{corrected:?}");
    assert!(uncorrected < corrected / 2, "{uncorrected:?} {corrected:?}");
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    let cases = [
        (
            Manner {
                status: 500,
                ..GOOD
            },
            ErrorKind::Status,
        ),
        (
            Manner {
                length: [99, 99],
                ..GOOD
            },
            ErrorKind::WrongAnswer,
        ),
        (
            Manner {
                length: [100, 101],
                ..GOOD
            },
            ErrorKind::WrongAnswer,
        ),
        (
            Manner {
                length: [100, 60],
                closes_after: Some(1),
                ..GOOD
            },
            ErrorKind::Closed,
        ),
        (
            Manner {
                silent: true,
                ..GOOD
            },
            ErrorKind::Timeout,
        ),
    ];
    for (manner, kind) in cases {
        let server = serve(manner);
        let job = Job {
            patience: Duration::from_millis(100),
            ..job(&server)
        };
        let outcome = run_here(&job, now()).unwrap();
        assert_eq!(outcome.answered_in_all, 0, "{kind:?}");
        let kinds: Vec<ErrorKind> = outcome.errors.keys().copied().collect();
        assert_eq!(kinds, [kind], "{:?}", outcome.words);
        assert!(outcome.errors[&kind] >= 4);
        assert!(!outcome.words.is_empty());
    }
}

#[test]
fn a_server_that_is_not_there_refuses_and_one_that_does_not_close_is_found_out() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = serve(GOOD);
    let there = job(&server);
    server.address = gone.local_addr().unwrap();
    drop(gone);
    let outcome = run_here(&job(&server), now()).unwrap();
    assert!(outcome.errors[&ErrorKind::Refused] >= 4);
    assert_eq!(outcome.answered_in_all, 0);
    // It answers, and should close then.
    let unclosed = Job {
        keep_alive: false,
        patience: Duration::from_millis(60),
        ..there
    };
    let outcome = run_here(&unclosed, now()).unwrap();
    assert!(outcome.answered_in_all >= 4);
    assert!(outcome.errors[&ErrorKind::Timeout] >= 1);
}

#[test]
fn what_never_gets_a_connection_is_an_error_too() {
    let server = serve(Manner {
        silent: true,
        ..GOOD
    });
    let job = Job {
        connections: 1,
        rate: Some(200.0),
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(100),
        patience: Duration::from_millis(150),
        ..job(&server)
    };
    let outcome = run_here(&job, now()).unwrap();
    assert_eq!(outcome.due, 20);
    assert_eq!(
        outcome.errors.values().sum::<u64>(),
        20,
        "{:?}",
        outcome.words
    );
}

#[test]
fn a_job_without_a_target_is_refused() {
    let server = serve(GOOD);
    let nobody = Job {
        targets: Vec::new(),
        ..job(&server)
    };
    assert!(run_here(&nobody, now()).is_err());
    let nothing = Job {
        connections: 0,
        ..job(&server)
    };
    assert!(run_here(&nothing, now()).is_err());
}

#[test]
fn sources_take_turns_and_come_again_late() {
    let addresses = [1, 2, 3].map(|last| IpAddr::from(Ipv4Addr::new(127, 0, 0, last)));
    let sources = Sources::new(addresses);
    let shared = sources.clone();
    let first: Vec<SocketAddr> = (0..3).filter_map(|_| sources.next()).collect();
    let expected = addresses.map(|address| SocketAddr::new(address, 2_048));
    assert_eq!(first, expected);
    // Clones go on where the other is.
    assert_eq!(shared.next(), Some(SocketAddr::new(addresses[0], 2_049)));
    let rest = 3 * (65_536 - 2_048) - 4;
    let last = (0..rest).fold(None, |_, _| sources.next());
    assert_eq!(last, Some(SocketAddr::new(addresses[2], 65_535)));
    assert_eq!(sources.next(), Some(expected[0]));
    assert_eq!(Sources::default().next(), None);
}

#[test]
fn connections_come_from_the_sources() {
    let server = serve(GOOD);
    let job = Job {
        sources: Sources::new([IpAddr::from(Ipv4Addr::LOCALHOST)]),
        measured: Duration::from_millis(50),
        ..job(&server)
    };
    // Another job on the same ports: those that are taken are passed over.
    let taken = TcpListener::bind(("127.0.0.1", 2_048));
    let outcome = run_here(&job, now()).unwrap();
    assert_eq!(outcome.errors.len(), 0, "{:?}", outcome.words);
    assert!(outcome.answered > 0);
    drop(taken);
}
