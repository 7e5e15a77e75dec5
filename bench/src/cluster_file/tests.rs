use super::*;
use crate::plan::Counts;

/// A lab's directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn written(ingress: u16, trackers: u16, hosts: u16, ipv6: bool, policy: &str) -> ClusterConfig {
    let id = format!("c{}-{ingress}{trackers}{hosts}{ipv6}", std::process::id());
    let plan = Plan::new(
        id,
        Counts {
            ingress,
            trackers,
            hosts,
        },
        ipv6,
    );
    fs::create_dir_all(plan.directory()).unwrap();
    let _directory = Directory(plan.directory());
    write(&plan, Services::of(policy)).unwrap();
    let path = plan.directory().join(FILE);
    ClusterConfig::load(&path).unwrap().config
}

#[test]
fn the_usual_lab_is_a_valid_cluster() {
    let cluster = written(2, 3, 4, false, "round-robin");
    assert_eq!(cluster.nodes().len(), 9);
    assert_eq!(cluster.services().len(), 6);
    assert_eq!(cluster.vips(), [IpAddr::from(VIP_V4), IpAddr::from(VIP_V6)]);
    assert_eq!(cluster.timers.linger.as_secs(), 2);
    assert!(!cluster.ipv6_underlay());
}

#[test]
fn what_comes_later_is_in_its_own_file_alone() {
    let counts = |count| Counts {
        ingress: count,
        trackers: count,
        hosts: count,
    };
    let id = format!("s{}", std::process::id());
    let plan = Plan::new(id, counts(2), false).with_spares(counts(1));
    fs::create_dir_all(plan.directory()).unwrap();
    let _directory = Directory(plan.directory());
    write(&plan, Services::of("round-robin")).unwrap();
    let names = |name: &str| {
        let file = path(&plan, plan.node(name).unwrap());
        let cluster = ClusterConfig::load(&file).unwrap().config;
        assert!(cluster.services().iter().all(|service| service.any_host));
        assert!(cluster.node("host-2").is_some());
        cluster.nodes().len()
    };
    assert_eq!(names("ingress-1"), 6);
    assert_eq!(names("host-3"), 9);
}

#[test]
fn the_smallest_and_the_largest_are_valid() {
    let cluster = written(1, 1, 1, true, "least-connections");
    assert!(cluster.ipv6_underlay());
    let most = crate::plan::MAX_NODES_OF_A_KIND;
    assert_eq!(
        written(most, most, most, false, "round-robin")
            .nodes()
            .len(),
        96
    );
}

#[test]
fn lines_are_added_to_the_tcp_services_alone() {
    let counts = Counts {
        ingress: 1,
        trackers: 1,
        hosts: 1,
    };
    let plan = Plan::new(format!("l{}", std::process::id()), counts, false);
    fs::create_dir_all(plan.directory()).unwrap();
    let _directory = Directory(plan.directory());
    let tcp_lines = ["admission = { accept_queue = 7 }".to_owned()];
    let services = Services {
        tcp_lines: &tcp_lines,
        ..Services::of("round-robin")
    };
    write(&plan, services).unwrap();
    let cluster = ClusterConfig::load(&plan.directory().join(FILE)).unwrap();
    for service in cluster.config.services() {
        let echo = service.name.starts_with("echo");
        let expected = if echo { None } else { Some(7) };
        assert_eq!(service.admission.accept_queue, expected);
    }
    // A line that no cluster file may have is refused at once.
    let tcp_lines = ["admission = { accept_queue = 0 }".to_owned()];
    let services = Services {
        tcp_lines: &tcp_lines,
        ..Services::of("round-robin")
    };
    fs::remove_file(plan.directory().join(KEY_FILE)).unwrap();
    let error = write(&plan, services).unwrap_err().to_string();
    assert!(error.contains("cluster file is refused"), "{error}");
}

#[test]
fn another_file_takes_the_place_of_the_first_unless_it_is_refused() {
    let counts = Counts {
        ingress: 1,
        trackers: 1,
        hosts: 2,
    };
    let plan = Plan::new(format!("r{}", std::process::id()), counts, false);
    fs::create_dir_all(plan.directory()).unwrap();
    let _directory = Directory(plan.directory());
    write(&plan, Services::of("round-robin")).unwrap();
    let timer_lines = ["load_interval = \"77ms\"".to_owned()];
    let services = Services {
        hosts: Some("[{ name = \"host-1\", weight = 3 }, \"host-2\"]"),
        timer_lines: &timer_lines,
        ..Services::of("random")
    };
    let fingerprint = replace(&plan, services).unwrap();
    let load = || ClusterConfig::load(&plan.directory().join(FILE)).unwrap();
    let cluster = load().config;
    assert_eq!(cluster.fingerprint(), fingerprint);
    assert_eq!(cluster.timers.load_interval.as_millis(), 77);
    let weights: Vec<u16> = cluster.services()[0]
        .hosts
        .iter()
        .map(|host| host.weight)
        .collect();
    assert_eq!(weights, [3, 1]);
    assert!(replace(&plan, Services::of("nonsense")).is_err());
    assert_eq!(load().config.fingerprint(), fingerprint);
}
