use super::*;
use crate::web::for_tests;

fn load(target: SocketAddr) -> Load {
    Load {
        targets: vec![target],
        sources: vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()],
        workers: 8,
        duration: Duration::from_millis(200),
        patience: Duration::from_secs(2),
        rate: None,
        mix: vec![What::Small, What::Download(100_000), What::Upload(30_000)],
    }
}

fn drive_here(load: &Load) -> Tally {
    run_here(load, &Arc::default()).unwrap()
}

#[test]
fn every_request_to_a_good_server_is_answered() {
    let (http, _) = for_tests::start();
    let tally = drive_here(&load(http));
    assert_eq!(tally.failed(), 0, "{:?}", tally.words);
    assert!(tally.answered > 20, "{tally:?}");
    assert_eq!(tally.hosts.get("h1"), Some(&tally.answered));
    assert_eq!(tally.reused.len() + tally.fresh.len(), tally.answered);
    assert_eq!(tally.fresh.len(), tally.connections);
    assert!(tally.connections < tally.answered);
}

#[test]
fn a_rate_is_kept_and_not_exceeded() {
    let (http, _) = for_tests::start();
    let mut load = load(http);
    load.rate = Some(200.0);
    load.duration = Duration::from_millis(500);
    let tally = drive_here(&load);
    assert_eq!(tally.failed(), 0, "{:?}", tally.words);
    assert!((80..=108).contains(&tally.answered), "{}", tally.answered);
}

#[test]
fn refused_connections_are_counted_as_such() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let tally = drive_here(&load(free));
    assert_eq!(tally.answered, 0);
    assert!(
        tally
            .errors
            .get(&ErrorKind::Refused)
            .is_some_and(|&n| n > 8),
        "{tally:?}"
    );
    assert_eq!(tally.errors.len(), 1);
    assert!(tally.words.len() <= 5);
}

#[test]
fn a_server_that_says_nothing_costs_the_patience() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut load = load(silent.local_addr().unwrap());
    load.patience = Duration::from_millis(300);
    let tally = drive_here(&load);
    assert_eq!(tally.errors.get(&ErrorKind::Timeout), Some(&8));
}
