use super::*;
use jlb_queueing::Host;

fn cluster(warm_up: u32) -> Cluster {
    let mut cluster = Cluster::srlb(0.5);
    cluster.hosts = vec![Host::new(1.0), Host::new(3.0)];
    cluster.warm_up = warm_up;
    cluster
}

fn seen(due: f64, ended: f64, host: usize) -> Seen {
    Seen {
        due,
        sent: due + 0.001,
        ended,
        host: Some(host),
        end: End::Done,
    }
}

#[test]
fn responses_count_from_when_jobs_were_due_and_without_those_that_fill_the_hosts() {
    let take = Take {
        seen: vec![seen(0.0, 9.0, 0), seen(1.0, 1.1, 0), seen(2.0, 2.3, 1)],
        rejects: 6,
    };
    let measured = take.measured(&cluster(1), 0.1);
    assert!((measured.mean() - 2.0).abs() < 1e-9, "{}", measured.mean());
    assert_eq!(measured.arrived, 2);
    // Of three jobs six, of two four.
    assert_eq!(measured.rejects, 4);
    assert_eq!(measured.given, [1, 1]);
    // One for a capacity of 1, one for 3: 1 and 1/3.
    assert!((measured.shares - 0.5).abs() < 1e-9, "{}", measured.shares);
    assert!((take.late() - 0.001).abs() < 1e-9);
}

#[test]
fn what_was_not_done_has_no_response() {
    let with = |end| Seen {
        end,
        host: None,
        ..seen(0.0, 1.0, 0)
    };
    let ends = [End::Failed, End::Refused, End::Broken, End::Refused];
    let take = Take {
        seen: ends.map(with).to_vec(),
        rejects: 0,
    };
    let measured = take.measured(&cluster(0), 1.0);
    assert_eq!(measured.timed(), 0);
    assert_eq!(
        (measured.failed, measured.refused, measured.arrived),
        (1, 2, 4)
    );
    assert_eq!(take.broken(), 1);
}

#[test]
fn the_spread_is_of_the_jobs_at_a_moment() {
    // At 5 the first host has two and the second six: alike for their capacity.
    let mut all = vec![seen(1.0, 9.0, 0), seen(2.0, 9.0, 0)];
    all.extend((0..6).map(|_| seen(3.0, 9.0, 1)));
    let take = Take {
        seen: all,
        rejects: 0,
    };
    let capacities = [1.0, 3.0];
    let at = |moment| take.spread_at(moment, capacities.into_iter());
    assert!(at(5.0) < 1e-9);
    // Before, the first has all.
    assert!((at(2.5) - 1.0).abs() < 1e-9, "{}", at(2.5));
    assert_eq!(at(10.0), 0.0);
}
