use std::thread::JoinHandle;

use super::line::{Sent, acknowledged};
use super::*;
use crate::load::ErrorKind;
use crate::web::for_tests;

fn crowd(target: SocketAddr, connections: u32, new_rate: f64) -> Crowd {
    Crowd {
        targets: vec![target],
        sources: vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()],
        connections,
        opening_rate: 1_000.0,
        new_rate,
        patience: Duration::from_secs(2),
    }
}

/// Clients on a thread of their own, and the scenario that they live through.
struct Running {
    stage: watch::Sender<Stage>,
    board: Arc<Board>,
    thread: JoinHandle<Seen>,
}

fn start(crowd: Crowd) -> Running {
    let (stage, course) = watch::channel(Stage::now(Phase::Before));
    let board = Arc::new(Board::default());
    let seen = Arc::clone(&board);
    let thread = std::thread::spawn(move || run_here(&crowd, course, &seen).unwrap());
    Running {
        stage,
        board,
        thread,
    }
}

impl Running {
    fn go_through(self, phases: &[(Phase, u64)]) -> Seen {
        let runtime = runtime().unwrap();
        runtime.block_on(async {
            for &(phase, millis) in phases {
                self.stage.send(Stage::now(phase)).unwrap();
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
        });
        self.thread.join().unwrap()
    }
}

#[test]
fn every_kind_moves_bytes_before_during_and_after() {
    let server = for_tests::start_for(64);
    let running = start(crowd(server.http, 16, 50.0));
    let board = Arc::clone(&running.board);
    let seen = running.go_through(&[
        (Phase::Before, 900),
        (Phase::During, 1_300),
        (Phase::After, 900),
        (Phase::End, 0),
    ]);
    assert_eq!(board.settled(), 16);
    assert_eq!(board.broken(), 0);
    assert!(board.live().iter().all(|live| live.host == "h1"));
    for ended in &seen.connections {
        let (kind, failure) = (ended.kind, &ended.failure);
        assert!(failure.is_none(), "{kind:?}: {failure:?}");
        let moved = ended.gaps.moved_in();
        assert!(moved[0] && moved[2], "{kind:?}: {moved:?}");
        assert!(moved[1] || kind == Kind::Idle, "{kind:?}: {moved:?}");
        assert!(
            ended.gaps.longest() < Duration::from_millis(900),
            "{kind:?}"
        );
    }
    assert!(seen.opens.failed.is_empty(), "{:?}", seen.opens.failed);
    let opened = seen.opens.good.len();
    assert!((100..=170).contains(&opened), "{opened} opened in 3.1 s");
}

#[test]
fn what_breaks_is_told_as_broken() {
    let server = for_tests::start_for(64);
    let running = start(crowd(server.http, 16, 20.0));
    let runtime = runtime().unwrap();
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(600)).await });
    assert_eq!(running.board.settled(), 16);
    // Every connection is closed, and nobody listens any more.
    server.end();
    let seen = running.go_through(&[(Phase::During, 1_300), (Phase::After, 800), (Phase::End, 0)]);
    for ended in &seen.connections {
        let (_, failure) = ended.failure.as_ref().expect("it broke");
        assert!(
            matches!(failure.kind, ErrorKind::Closed | ErrorKind::Reset),
            "{failure:?}"
        );
        assert_eq!(ended.host.as_deref(), Some("h1"));
    }
    let refused = seen.opens.failed.iter();
    let refused = refused.filter(|open| open.failure.kind == ErrorKind::Refused && !open.connected);
    assert!(refused.count() > 20, "{:?}", seen.opens.failed.len());
}

#[test]
fn a_connection_that_stands_still_is_broken_once_the_patience_is_over() {
    // A listener that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut crowd = crowd(silent.local_addr().unwrap(), 4, 0.0);
    crowd.patience = Duration::from_millis(300);
    let running = start(crowd);
    let seen = running.go_through(&[(Phase::During, 200), (Phase::End, 0)]);
    for ended in &seen.connections {
        let (_, failure) = ended.failure.as_ref().expect("it broke");
        assert_eq!(failure.kind, ErrorKind::Timeout, "{failure:?}");
        assert!(ended.host.is_none());
    }
}

#[test]
fn an_upload_is_only_acknowledged_by_its_own_sum() {
    let mut sent = Sent::default();
    let first = sent.next();
    let after_first = sent;
    let second = sent.next();
    assert_ne!(first, second);
    let line = |sent: &Sent, wrong: u64| {
        let mut sum = crate::content::Fnv::default();
        sum.update(&first);
        if sent.length > first.len() as u64 {
            sum.update(&second);
        }
        crate::web::body::receipt(sent.length + wrong, sum).into_bytes()
    };
    let mut text = line(&after_first, 0);
    assert!(!acknowledged(&mut text.clone(), &sent).unwrap());
    assert!(acknowledged(&mut text, &after_first).unwrap());
    let mut both = [line(&after_first, 0), line(&sent, 0)].concat();
    let rest = both.split_off(both.len() - 3);
    assert!(!acknowledged(&mut both, &sent).unwrap(), "not a whole line");
    both.extend(rest);
    assert!(acknowledged(&mut both, &sent).unwrap());
    for mut wrong in [
        line(&sent, 1),
        b"nothing\n".to_vec(),
        format!("{} 0000000000000000\n", sent.length).into_bytes(),
    ] {
        let error = acknowledged(&mut wrong, &sent).unwrap_err();
        assert_eq!(error.kind, ErrorKind::WrongAnswer);
    }
}
