use super::*;
use crate::web::for_tests;

fn clients(http: SocketAddr, count: u64) -> Clients {
    let jobs = (0..count).map(|number| Job {
        due: Duration::from_millis(5 * number),
        work: Duration::from_millis(2),
    });
    Clients {
        jobs: jobs.collect(),
        way: Way::Cluster(http),
        hosts: vec![("h0".to_owned(), http), ("h1".to_owned(), http)],
        sources: vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()],
        patience: Duration::from_secs(5),
    }
}

#[test]
fn every_job_is_sent_when_it_is_due_and_ends_when_its_work_is_done() {
    let server = for_tests::start_for(64);
    let (seen, words) = run_here(clients(server.http, 40)).unwrap();
    assert!(words.is_empty(), "{words:?}");
    for (number, seen) in (0_u32..).zip(&seen) {
        assert_eq!(seen.end, End::Done);
        assert_eq!(seen.host, Some(1));
        assert!((seen.due - 0.005 * f64::from(number)).abs() < 1e-9);
        assert!(seen.sent >= seen.due && seen.ended >= seen.sent + 0.002);
    }
    server.end();
}

#[test]
fn what_fails_is_told_apart() {
    let server = for_tests::start_for(8);
    let fail = asked(server.http, "POST /station/failing");
    assert!(fail.starts_with("HTTP/1.1 200"), "{fail}");
    let (seen, _) = run_here(clients(server.http, 2)).unwrap();
    assert!(
        seen.iter()
            .all(|seen| seen.end == End::Failed && seen.host == Some(1))
    );
    let gone = server.http;
    server.end();
    let (seen, words) = run_here(clients(gone, 2)).unwrap();
    assert!(
        seen.iter()
            .all(|seen| seen.end == End::Refused && seen.host.is_none())
    );
    assert!(words.is_empty(), "{words:?}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut impatient = clients(silent.local_addr().unwrap(), 2);
    impatient.patience = Duration::from_millis(50);
    let (seen, words) = run_here(impatient).unwrap();
    assert!(seen.iter().all(|seen| seen.end == End::Broken));
    assert_eq!(words.len(), 2);
}

/// The answer to a request without a body.
fn asked(to: SocketAddr, line: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn clients_that_choose_for_themselves_go_to_the_hosts() {
    use crate::policies::combination::Who;
    use jlb_queueing::{Cluster, Host};
    let (first, second) = (for_tests::start_for(8), for_tests::start_for(8));
    let mut cluster = Cluster::srlb(0.5);
    cluster.hosts = vec![Host::new(1.0); 2];
    let mut clients = clients(first.http, 20);
    clients.hosts[1].1 = second.http;
    clients.way = Way::Themselves(Balancers::of(Who::JoinShortest, &cluster).unwrap());
    // All at once: half go to each.
    for job in &mut clients.jobs {
        job.due = Duration::ZERO;
        job.work = Duration::from_millis(20);
    }
    let (seen, words) = run_here(clients).unwrap();
    assert!(words.is_empty(), "{words:?}");
    // Ten jobs of 20 ms each on one core.
    let last = seen.iter().map(|seen| seen.ended).fold(0.0, f64::max);
    assert!((0.199..0.39).contains(&last), "{last}");
    first.end();
    second.end();
}
