use super::*;
use crate::policies::for_tests::options;

fn lines(arguments: &[&str]) -> Vec<(&'static str, usize)> {
    let options = options(arguments).in_lab();
    let sections = sections(&options);
    sections
        .iter()
        .map(|it| (it.name, it.lines.len()))
        .collect()
}

#[test]
fn all_parts_are_run_unless_some_are_asked_for() {
    assert_eq!(lines(&[]), [(ORDER, 35), (PAIRS, 19), (HOSTS, 17)]);
    assert_eq!(lines(&["--quick"]), [(ORDER, 5), (HOSTS, 3)]);
    assert_eq!(lines(&["--lab-part", "pairs"]), [(PAIRS, 23)]);
    // Every pair at each load that is asked for.
    let arguments = ["--lab-part", "pairs", "--loads", "0.3,0.5"];
    assert_eq!(lines(&arguments), [(PAIRS, 69)]);
}

#[test]
fn a_run_has_the_jobs_of_its_seconds() {
    let options = options(&["--lab-seconds", "10", "--at", "0.5"]).in_lab();
    let sections = sections(&options);
    let line = sections[0]
        .lines
        .iter()
        .find(|line| line.cluster.load == 0.5);
    // 8 hosts of 2 cores, half of them busy, 20 jobs a second each.
    let cluster = &line.unwrap().cluster;
    assert_eq!((cluster.jobs, cluster.warm_up), (1_600, 400));
    assert!(cluster.to_the_end);
}

#[test]
fn unequal_hosts_get_no_more_jobs_than_the_others() {
    let options = options(&[]).in_lab();
    for section in sections(&options) {
        for line in section.lines {
            let rate = line.cluster.load * line.cluster.capacity();
            assert!(rate <= 16.0 * 0.98 + 1e-9, "{}: {rate}", line.setting);
            assert!(line.cluster.load < 1.0);
        }
    }
}
