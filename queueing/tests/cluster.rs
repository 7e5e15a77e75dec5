//! The model of what a cluster knows agrees with the one that knows everything where it knows as much.

#![allow(clippy::panic, reason = "a test")]

use jlb_flow_tracker::policy::PolicyKind;
use jlb_queueing::{
    Admits, Chooses, Cluster, Discipline, Fault, Hears, Host, JoinShortest, Measured, Mistake,
    Overload, Reports, Work, estimate,
};

fn close(what: &str, measured: f64, expected: f64, part: f64) {
    println!("{what}: {measured:.3}, expected {expected:.3}");
    assert!((measured / expected - 1.0).abs() < part, "{what}");
}

fn least_connections(cluster: &Cluster) -> Measured {
    cluster.run(Chooses::Trackers(PolicyKind::LeastConnections))
}

/// Reports at once.
const AT_ONCE: Reports = Reports {
    interval: 1.0,
    on_change: Some(0.0),
};

/// No report while it lasts.
const NEVER: Reports = Reports {
    interval: 1e12,
    on_change: None,
};

#[test]
fn trackers_that_hear_everything_at_once_are_as_good_as_the_oracle() {
    for load in [0.5, 0.88] {
        let cluster = Cluster {
            reports: AT_ONCE,
            delay: 0.0,
            ..Cluster::srlb(load)
        };
        let oracle = cluster.run(Chooses::Oracle(&mut JoinShortest));
        let trackers = least_connections(&cluster);
        close("mean", trackers.mean(), oracle.mean(), 0.02);
        close("p99", trackers.quantile(990), oracle.quantile(990), 0.02);
        close("spread", trackers.spread, oracle.spread, 0.05);
        assert_eq!((trackers.rejects, trackers.refused), (0, 0));
        assert_eq!(trackers.given.iter().sum::<u64>(), trackers.arrived);
    }
}

#[test]
fn sr4_of_the_paper_is_found_with_trackers_and_hosts_that_speak_by_messages() {
    let cluster = Cluster {
        admits: Admits::Threshold(2.0),
        search_ttl: 2,
        overload: Overload::MustAccept,
        reports: NEVER,
        delay: 0.0,
        jobs: 400_000,
        ..Cluster::srlb(0.88)
    };
    let sr4 = cluster.run(Chooses::Trackers(PolicyKind::Random));
    close("SR4", sr4.mean(), 1.88, 0.05);
    assert_eq!(sr4.refused, 0);
}

#[test]
fn a_run_can_be_repeated_and_another_seed_gives_another() {
    let cluster = Cluster {
        jobs: 5_000,
        warm_up: 500,
        admits: Admits::Threshold(1.0),
        hears: Hears {
            offers: true,
            rejects: true,
            accepts: true,
        },
        ..Cluster::srlb(0.8)
    };
    let first = least_connections(&cluster);
    assert_eq!(first, least_connections(&cluster));
    let other = Cluster { seed: 2, ..cluster };
    assert_ne!(first, least_connections(&other));
}

#[test]
fn forgetting_what_was_sent_since_a_report_is_found() {
    let sound = Cluster::srlb(0.8);
    let planted = Cluster {
        planted: Some(Mistake::ForgetsSent),
        ..sound.clone()
    };
    let (sound, planted) = (least_connections(&sound), least_connections(&planted));
    println!("sound {:.3}, planted {:.3}", sound.mean(), planted.mean());
    assert!(planted.mean() > 1.5 * sound.mean());
    assert!(planted.spread > 1.2 * sound.spread);
}

/// A cluster of three hosts that take nothing.
fn full(search_ttl: u8) -> Cluster {
    let mut cluster = Cluster::srlb(0.5);
    cluster.hosts.truncate(3);
    Cluster {
        admits: Admits::Threshold(0.0),
        search_ttl,
        jobs: 1_000,
        warm_up: 0,
        delay: 0.0,
        ..cluster
    }
}

#[test]
fn a_search_asks_no_host_twice_and_no_more_than_its_ttl() {
    for (ttl, asked) in [(1, 1.0), (2, 2.0), (3, 3.0), (16, 3.0)] {
        let measured = least_connections(&full(ttl));
        assert_eq!(measured.rejects_each(), asked, "TTL {ttl}");
        assert_eq!(measured.refused_part(), 1.0);
    }
    let planted = Cluster {
        planted: Some(Mistake::ForgetsTried),
        ..full(16)
    };
    assert_eq!(least_connections(&planted).rejects_each(), 16.0);
    let must = Cluster {
        overload: Overload::MustAccept,
        ..full(2)
    };
    let measured = least_connections(&must);
    assert_eq!((measured.rejects_each(), measured.refused), (1.0, 0));
}

#[test]
fn late_reports_cost_and_reports_on_change_mend_it() {
    let run = |on_change| {
        let reports = Reports {
            interval: 1.0,
            on_change,
        };
        least_connections(&Cluster {
            reports,
            ..Cluster::srlb(0.88)
        })
    };
    let (late, soon, at_once) = (run(None), run(Some(0.1)), run(Some(0.0)));
    println!(
        "{:.3} {:.3} {:.3}",
        late.mean(),
        soon.mean(),
        at_once.mean()
    );
    assert!(late.mean() > 1.4 * soon.mean() && soon.mean() > at_once.mean());
    // At most one report each tenth.
    assert!(soon.reports < 10.0 && at_once.reports > soon.reports);
    close("reports each interval", late.reports, 1.0, 0.01);
}

#[test]
fn a_host_that_fails_fast_draws_jobs_until_its_health_check_notices() {
    let failed = |noticed, min_life_percent| {
        let mut cluster = Cluster {
            jobs: 40_000,
            reports: AT_ONCE,
            min_life_percent,
            ..Cluster::srlb(0.5)
        };
        cluster.hosts[0].fault = Some(Fault { from: 0.0, noticed });
        least_connections(&cluster).failed_part()
    };
    let (never, noticed) = (failed(None, 0), failed(Some(30.0), 0));
    println!("{never:.3} {noticed:.4}");
    // Its share would be a twelfth.
    assert!(never > 0.25 && noticed < 0.03);
    let compared = failed(None, 15);
    println!("where lives are compared {compared:.4}");
    assert!((0.01..0.09).contains(&compared));
}

#[test]
fn several_seeds_agree_within_their_interval() {
    let means: Vec<f64> = (0..4)
        .map(|seed| {
            least_connections(&Cluster {
                seed,
                reports: AT_ONCE,
                jobs: 50_000,
                ..Cluster::srlb(0.7)
            })
            .mean()
        })
        .collect();
    let found = estimate(&means);
    println!("{:.3} ± {:.3}", found.mean, found.half_width);
    assert!(found.half_width < 0.05 * found.mean);
}

#[test]
fn comparing_lives_makes_no_difference_to_hosts_that_are_well() {
    let base = Cluster {
        reports: Reports {
            interval: 1.0,
            on_change: Some(0.1),
        },
        jobs: 40_000,
        ..Cluster::srlb(0.88)
    };
    let mut unequal = base.clone();
    for (at, host) in unequal.hosts.iter_mut().enumerate() {
        host.cores = [1.0, 2.0, 4.0][at % 3];
    }
    let mut fast = base.clone();
    fast.hosts[0].speed = 4.0;
    let tailed = Cluster {
        work: Work::BoundedPareto {
            exponent: 1.5,
            span: 1_000.0,
        },
        ..base.clone()
    };
    for (what, cluster) in [
        ("equal", base),
        ("unequal, not weighted", unequal),
        ("one of four times the speed", fast),
        ("heavy tails", tailed),
    ] {
        for seed in 1..=3 {
            let cluster = Cluster {
                seed,
                ..cluster.clone()
            };
            let without = Cluster {
                min_life_percent: 0,
                ..cluster.clone()
            };
            let (with, without) = (least_connections(&cluster), least_connections(&without));
            close(what, with.mean(), without.mean(), 0.02);
            close(what, with.quantile(990), without.quantile(990), 0.02);
        }
    }
}

/// One host of one core.
fn single(discipline: Discipline, work: Work, load: f64) -> Cluster {
    let host = Host {
        discipline,
        ..Host::new(1.0)
    };
    Cluster {
        hosts: vec![host],
        work,
        jobs: 400_000,
        ..Cluster::srlb(load)
    }
}

#[test]
fn a_queue_takes_what_pollaczek_and_khinchine_say_and_sharing_does_not_care() {
    let (load, squared_variation) = (0.6, 10.0);
    let uneven = Work::Hyperexponential { squared_variation };
    let oracle = |cluster: &Cluster| cluster.run(Chooses::Oracle(&mut JoinShortest)).mean();
    // The mean wait: load (1 + squared variation) / 2 / (1 - load); and the job's own work.
    let expected = 1.0 + load * (1.0 + squared_variation) / 2.0 / (1.0 - load);
    let queue = oracle(&single(Discipline::Queue, uneven, load));
    close("M/G/1, a queue", queue, expected, 0.05);
    // Under processor sharing only the mean of the work counts.
    let sharing = oracle(&single(Discipline::Sharing, uneven, load));
    close("M/G/1, sharing", sharing, 1.0 / (1.0 - load), 0.05);
    let even = oracle(&single(Discipline::Queue, Work::Exponential, load));
    close("M/M/1, a queue", even, 1.0 / (1.0 - load), 0.05);
}

#[test]
fn jobs_that_are_followed_to_their_ends_are_all_timed_and_agree_with_long_runs() {
    let followed = Cluster {
        to_the_end: true,
        jobs: 20_000,
        ..Cluster::srlb(0.7)
    };
    let measured = least_connections(&followed);
    assert_eq!(measured.timed() as u64, measured.arrived);
    let usual = least_connections(&Cluster {
        to_the_end: false,
        ..followed.clone()
    });
    close("mean", measured.mean(), usual.mean(), 0.03);
    // A short run without a warm-up: who only looks at what has ended by then misses the long jobs.
    let short = |to_the_end| {
        let cluster = Cluster {
            to_the_end,
            jobs: 40,
            warm_up: 0,
            ..followed.clone()
        };
        least_connections(&cluster)
    };
    assert_eq!(short(true).timed(), 40);
    assert!(short(false).timed() < 40 && short(false).mean() < short(true).mean());
}
