use super::*;
use jlb_queueing::Host;

fn cluster(trackers: u16) -> Cluster {
    let mut cluster = Cluster::srlb(0.5);
    cluster.hosts = vec![Host::new(2.0); 4];
    cluster.trackers = trackers;
    cluster
}

#[test]
fn one_that_knows_everything_fills_all_hosts_alike_for_their_capacity() {
    let mut setting = cluster(3);
    setting.hosts[3].speed = 2.0;
    let mut balancers = Balancers::of(Who::JoinShortest, &setting).unwrap();
    let mut sent = [0; 4];
    let mut all = Vec::new();
    for _ in 0..20 {
        let one = balancers.send();
        sent[one.1] += 1;
        all.push(one);
    }
    assert_eq!(sent, [4, 4, 4, 8]);
    // Who has ended makes room.
    let second = all.iter().filter(|one| one.1 == 1);
    for one in second {
        balancers.ended(*one);
    }
    for _ in 0..4 {
        assert_eq!(balancers.send().1, 1);
    }
}

#[test]
fn several_know_their_own_jobs_alone() {
    let mut balancers = Balancers::of(Who::OwnConnections, &cluster(4)).unwrap();
    let mut by_balancer = [0_u32; 4];
    let mut jobs = [[0_u32; 4]; 4];
    for _ in 0..4_000 {
        let (balancer, host) = balancers.send();
        by_balancer[balancer] += 1;
        jobs[balancer][host] += 1;
    }
    assert!(
        by_balancer.iter().all(|&jobs| (900..1_100).contains(&jobs)),
        "{by_balancer:?}"
    );
    for jobs in jobs {
        let (least, most) = (jobs.iter().min().unwrap(), jobs.iter().max().unwrap());
        assert!(most - least <= 1, "{jobs:?}");
    }
}

#[test]
fn trackers_are_not_played_by_clients() {
    use jlb_flow_tracker::policy::PolicyKind;
    for who in [Who::Tracker(PolicyKind::Random), Who::TwoChoices] {
        assert!(Balancers::of(who, &cluster(2)).is_none(), "{who:?}");
    }
}
