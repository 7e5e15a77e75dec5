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
    let path = write(&plan, policy).unwrap();
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
