use super::*;

const STAT: &str = "cpu  100 0 50 700 30 0 5 7 0 0\ncpu0 50 0 25 350 15 0 2 3 0 0\n\
                    cpu1 50 0 25 350 15 0 3 4 0 0\nintr 1\n";
const DEV: &str = "Inter-|   Receive                            |  Transmit\n \
    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n\
    ingress-1: 1000 10 0 0 0 0 0 0 2000 20 0 0 0 0 0 0\n    lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0\n";

#[test]
fn what_waits_for_a_disk_is_idle() {
    assert_eq!(idle(STAT), Some((2, 730 * TICK)));
    assert_eq!(idle("intr 1\n"), None);
}

#[test]
fn what_the_router_has_sent_a_node_has_received() {
    let packets = packets(DEV);
    assert_eq!(packets["ingress-1"], [20, 10]);
    assert_eq!(packets.len(), 2);
}

fn sample(at: Instant, idle: u64, ran: u64, packets: [u64; 2]) -> Sample {
    Sample {
        at,
        processors: 2,
        idle,
        ran: BTreeMap::from([("proxy", ran)]),
        packets: BTreeMap::from([("ingress-1".to_owned(), packets)]),
    }
}

#[test]
fn work_is_what_came_between() {
    let begin = now();
    let later = begin + std::time::Duration::from_secs(2);
    let before = sample(begin, 1_000_000_000, 5_000_000, [1, 2]);
    let after = sample(later, 2_000_000_000, 505_000_000, [11, 22]);
    let work = before.until(&after);
    assert_eq!(work.seconds, 2.0);
    // Two processors for two seconds, one of them idle.
    assert_eq!(work.busy, 3.0);
    assert_eq!(work.busy_share(), 0.75);
    assert_eq!(work.ran["proxy"], 0.5);
    assert_eq!(work.packets["ingress-1"], [10, 20]);
}

#[test]
fn this_process_has_run_and_its_children_are_not_it() {
    let mut spinning = 0_u64;
    let before = tree(std::process::id());
    let begin = now();
    while begin.elapsed() < std::time::Duration::from_millis(30) {
        spinning += 1;
    }
    assert!(spinning > 0);
    let after = tree(std::process::id());
    assert!(after > before + 1_000_000, "{before} {after}");
    assert_eq!(tree(u32::MAX), 0);
}
