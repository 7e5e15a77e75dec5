use super::*;
use alloc::vec::Vec;
use jlb_protocol::NodeNumber;

const PERCENT: u8 = 25;

/// A host in steady state: its part of the flows in percent, and its connections meanwhile.
#[derive(Clone, Copy)]
struct Steady {
    part: u32,
    connections: u32,
}

const fn steady(part: u32, connections: u32) -> Steady {
    Steady { part, connections }
}

fn candidate(number: usize, connections: u32) -> Candidate {
    Candidate {
        host: NodeNumber::new(u16::try_from(number + 1).unwrap()).unwrap(),
        weight: 1,
        connections,
        sent: 0,
        limit: None,
        load: 0,
        warmth: Candidate::WARM,
    }
}

/// The lives of hosts after a long time as it is told, and what policies would see of them.
fn after(hosts: &[Steady]) -> (Vec<Lives>, Vec<Candidate>) {
    let mut lives: Vec<_> = hosts.iter().map(|_| Lives::default()).collect();
    let connections = hosts.iter().map(|it| u64::from(it.connections)).sum();
    let window = window(hosts.len(), connections);
    // In turn by part, so that no chance comes in.
    let mut credit: Vec<i64> = hosts.iter().map(|_| 0).collect();
    for _ in 0..20_000 {
        for (credit, host) in credit.iter_mut().zip(hosts) {
            *credit += i64::from(host.part);
        }
        let richest = (0..hosts.len()).max_by_key(|&at| credit[at]).unwrap();
        credit[richest] -= 100;
        for (at, (lives, host)) in lives.iter_mut().zip(hosts).enumerate() {
            lives.pass(window, at == richest, host.connections);
        }
    }
    let seen = hosts.iter().enumerate();
    let seen = seen.map(|(at, host)| candidate(at, host.connections));
    (lives, seen.collect())
}

/// What hosts count as after that, and which of them are quick.
fn weighed(hosts: &[Steady], percent: u8) -> (Vec<u32>, Vec<bool>) {
    let (lives, mut seen) = after(hosts);
    let mut sums = Sums::default();
    for (lives, seen) in lives.iter().zip(&seen) {
        sums.add(*lives, seen);
    }
    let both = lives.iter().zip(&mut seen);
    let quick = both.map(|(lives, seen)| sums.weigh(*lives, seen, percent));
    let quick = quick.collect();
    (seen.iter().map(|it| it.connections).collect(), quick)
}

#[test]
fn equal_hosts_and_those_that_are_a_little_faster_count_as_they_are() {
    let cases: [&[Steady]; 4] = [
        &[steady(25, 4), steady(25, 4), steady(25, 4), steady(25, 4)],
        // Twice and three times as many flows for as many connections.
        &[
            steady(40, 10),
            steady(20, 10),
            steady(20, 10),
            steady(20, 10),
        ],
        &[
            steady(50, 10),
            steady(17, 10),
            steady(17, 10),
            steady(16, 10),
        ],
        // A slow one has more.
        &[
            steady(10, 90),
            steady(30, 10),
            steady(30, 10),
            steady(30, 10),
        ],
    ];
    for hosts in cases {
        let (counts, quick) = weighed(hosts, PERCENT);
        let own: Vec<_> = hosts.iter().map(|it| it.connections).collect();
        assert_eq!(counts, own);
        assert!(!quick.contains(&true), "{quick:?}");
    }
}

#[test]
fn a_host_whose_flows_end_at_once_counts_as_if_they_lasted() {
    let fails = [
        steady(40, 0),
        steady(20, 10),
        steady(20, 10),
        steady(20, 10),
    ];
    let (counts, quick) = weighed(&fails, PERCENT);
    // Two flows for one of each other's.
    assert!((19..=21).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[1..], [10, 10, 10]);
    assert_eq!(quick, [true, false, false, false]);
    let (counts, quick) = weighed(&fails, 0);
    assert_eq!((counts[0], quick[0]), (0, false));
}

#[test]
fn a_host_that_is_far_faster_but_fills_like_the_others_is_not_quick() {
    // A sixteenth of the others' life.
    let other = steady(5, 10);
    let fast = [steady(80, 10), other, other, other, other];
    assert_eq!(
        weighed(&fast, PERCENT),
        ([10; 5].to_vec(), [false; 5].to_vec())
    );
    // It stays empty.
    let fails = [steady(80, 4), other, other, other, other];
    assert!(weighed(&fails, PERCENT).1[0]);
}

#[test]
fn nothing_jumps_where_a_host_becomes_quick() {
    // It has 16 for as many flows as others have more for.
    let count = |others| {
        let other = steady(25, others);
        weighed(&[steady(25, 16), other, other, other], PERCENT).0[0]
    };
    assert_eq!(count(63), 16);
    let just = count(66);
    assert!((16..=18).contains(&just), "{just}");
    // A life of a sixth: 36/64 of what the others have.
    let sixth = count(96);
    assert!((52..=56).contains(&sixth), "{sixth}");
    // An eighth and less: all of it.
    let all = count(127);
    assert!((125..=128).contains(&all), "{all}");
}

#[test]
fn little_traffic_and_few_flows_prove_nothing() {
    // The others together have no connection on average.
    let idle = [steady(40, 0), steady(30, 0), steady(30, 0)];
    assert!(!weighed(&idle, PERCENT).1.contains(&true));
    // One host has nobody to be compared with.
    assert!(!weighed(&[steady(100, 0)], PERCENT).1[0]);
    // A host that was hardly offered anything.
    let (mut lives, seen) = after(&[steady(50, 5), steady(50, 5)]);
    lives.push(Lives::default());
    let mut seen: Vec<_> = seen.into_iter().chain([candidate(2, 0)]).collect();
    for passed in 0..20 {
        let mut sums = Sums::default();
        for (lives, seen) in lives.iter().zip(&seen) {
            sums.add(*lives, seen);
        }
        let quick = sums.weigh(lives[2], &mut seen[2].clone(), PERCENT);
        assert_eq!(quick, passed > 8, "{passed}");
        for (at, lives) in lives.iter_mut().enumerate() {
            lives.pass(window(3, 10), at == 2, seen[at].connections);
        }
        seen[2].connections = 0;
    }
}

#[test]
fn an_empty_host_that_is_filled_is_not_quick() {
    // The others have thousands that last for ever, as it keeps what it gets.
    let hosts = [steady(0, 0), steady(50, 5_000), steady(50, 5_000)];
    let (mut lives, mut seen) = after(&hosts);
    for filled in 0..2_000 {
        seen[0].connections = filled;
        let mut sums = Sums::default();
        for (lives, seen) in lives.iter().zip(&seen) {
            sums.add(*lives, seen);
        }
        assert!(!sums.weigh(lives[0], &mut seen[0].clone(), PERCENT));
        for (at, lives) in lives.iter_mut().enumerate() {
            lives.pass(window(3, 15_000), at == 0, seen[at].connections);
        }
    }
}

#[test]
fn a_host_that_loses_thousands_and_keeps_nothing_is_soon_quick() {
    let hosts = [steady(34, 5_000), steady(33, 5_000), steady(33, 5_000)];
    let (mut lives, mut seen) = after(&hosts);
    seen[0].connections = 0;
    let mut given = 0;
    loop {
        let mut sums = Sums::default();
        for (lives, seen) in lives.iter().zip(&seen) {
            sums.add(*lives, seen);
        }
        let mut it = seen[0];
        if sums.weigh(lives[0], &mut it, PERCENT) && it.connections >= 5_000 {
            break;
        }
        for (at, lives) in lives.iter_mut().enumerate() {
            lives.pass(window(3, 15_000), at == 0, seen[at].connections);
        }
        given += 1;
        assert!(given < 700);
    }
    // By its connections alone it would have had the next 5,000.
    assert!(given > 20, "{given}");
}

#[test]
fn numbers_of_any_size_do_no_harm() {
    let mut lives = [Lives::default(); 3];
    for round in 0..5_000 {
        for (at, lives) in lives.iter_mut().enumerate() {
            lives.pass(window(65_535, u64::MAX), round % 3 == at, u32::MAX);
        }
    }
    let mut seen: Vec<_> = (0..3).map(|at| candidate(at, u32::MAX)).collect();
    seen[0].connections = 0;
    for seen in &mut seen {
        seen.sent = u32::MAX;
        seen.load = u16::MAX;
    }
    lives[0].kept = 0;
    let mut sums = Sums::default();
    for (lives, seen) in lives.iter().zip(&seen) {
        sums.add(*lives, seen);
    }
    for at in 0..3 {
        let mut it = seen[at];
        sums.weigh(lives[at], &mut it, 100);
        assert!(sums.life_per_mille(lives[at], &it).is_some());
    }
    let most = Sums {
        lives: Lives {
            offered: 1 << 46,
            kept: 1 << 46,
        },
        shares: 65_535 << 24,
        connections: u64::from(u32::MAX) * 65_535,
        load: u64::from(u16::MAX) * 65_535,
    };
    let one = Lives {
        offered: 1 << 45,
        kept: 1,
    };
    let mut it = candidate(0, 0);
    assert!(most.weigh(one, &mut it, 100));
    assert_eq!((it.connections, it.load), (u32::MAX, u16::MAX));
}
