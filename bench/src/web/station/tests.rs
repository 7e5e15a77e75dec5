use super::*;
use jlb_queueing::{Cluster, Discipline, Host, Work};

/// Jobs of a cluster of one host, each with its response, when the station is looked at only every `tick`.
fn responses(cluster: &Cluster, count: usize, tick: f64) -> Vec<f64> {
    let host = cluster.hosts[0];
    let server = Server::of(host.discipline, host.cores, host.speed);
    let mut station = Station::new(server);
    let mut responses = vec![f64::NAN; count];
    let mut jobs = cluster.arrivals().take(count).enumerate().peekable();
    let mut arrived = vec![0.0; count];
    loop {
        let arrival = jobs.peek().map(|(_, job)| job.at);
        let done = station.next_done();
        let Some(next) = [arrival, done].into_iter().flatten().reduce(f64::min) else {
            return responses;
        };
        // Late, as a busy machine is; but nobody sees an arrival before it is there.
        let late = (next / tick).ceil() * tick;
        let now = arrival.map_or(late, |at| late.min(at));
        while let Some(done) = station.next_done().filter(|&done| done <= now) {
            let job: usize = station.leave(now).unwrap();
            responses[job] = done - arrived[job];
        }
        if arrival.is_some_and(|at| at <= now) {
            let (number, job) = jobs.next().unwrap();
            arrived[number] = job.at;
            station.arrive(job.at, job.work, number).unwrap();
        }
    }
}

fn single(discipline: Discipline, cores: f64, load: f64) -> Cluster {
    let host = Host {
        discipline,
        ..Host::new(cores)
    };
    Cluster {
        hosts: vec![host],
        work: Work::Exponential,
        ..Cluster::srlb(load)
    }
}

fn mean(responses: &[f64]) -> f64 {
    let skipped = responses.len() / 10;
    let counted = &responses[skipped..];
    counted.iter().sum::<f64>() / counted.len() as f64
}

#[test]
fn one_core_takes_one_over_one_minus_load_and_two_take_one_over_one_minus_its_square() {
    let load = 0.7_f64;
    for discipline in [Discipline::Sharing, Discipline::Queue] {
        for (cores, expected) in [(1.0, 1.0 / (1.0 - load)), (2.0, 1.0 / (1.0 - load.powi(2)))] {
            let found = mean(&responses(&single(discipline, cores, load), 400_000, 1e-6));
            println!("{discipline:?}, {cores} cores: {found:.3}, expected {expected:.3}");
            assert!((found / expected - 1.0).abs() < 0.04);
        }
    }
}

#[test]
fn being_late_changes_no_response() {
    let cluster = single(Discipline::Sharing, 2.0, 0.9);
    let (soon, late) = (
        responses(&cluster, 20_000, 1e-6),
        responses(&cluster, 20_000, 0.5),
    );
    for (soon, late) in soon.iter().zip(&late) {
        assert!((soon - late).abs() < 1e-6, "{soon} {late}");
    }
}

#[test]
fn there_is_an_end_to_what_it_takes_and_room_again_when_jobs_have_left() {
    let mut station = Station::new(Server::new(1.0, 1.0));
    for job in 0..MOST {
        station.arrive(0.0, 1.0, job).unwrap();
    }
    assert_eq!(station.arrive(0.0, 1.0, MOST), Err(MOST));
    assert!(station.leave(1.0).is_none());
    assert!(station.leave(1e6).is_some());
    station.arrive(1e6, 1.0, MOST).unwrap();
    assert_eq!(station.arrive(1e6, 1.0, 0), Err(0));
}
