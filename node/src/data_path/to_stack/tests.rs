use super::*;
use jlb_packet_io::netns;

/// Nothing that a stack takes.
const BAD: [u8; 40] = [0xff; 40];

#[test]
fn without_a_device_each_packet_is_dropped_and_counted() {
    let (mut to_stack, mut stack) = (ToStack::new(Batch::one_by_one()), Ledger::default());
    let result = to_stack.push(None, &mut stack, &BAD);
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!((stack.created, stack.delivered, to_stack.len()), (1, 0, 0));
    assert_eq!(stack.dropped(DropReason::SendFailed), 1);
}

/// One that takes nothing, in a namespace of its own.
fn device_that_is_down() -> Tun {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes a network namespace: run it as root"
    );
    let name = format!("jlbk-{}-to-stack", std::process::id());
    netns::create(&name).unwrap();
    let tun = netns::run_in(&netns::path(&name), || Tun::open("tun", false));
    netns::delete(&name).unwrap();
    tun.unwrap().unwrap()
}

#[test]
fn a_packet_that_makes_others_go_is_not_lost_if_these_fail() {
    for batch in [Batch::one_by_one, || Batch::together().unwrap()] {
        let (mut to_stack, mut stack) = (ToStack::new(batch()), Ledger::default());
        let tun = device_that_is_down();
        let mut failures = 0;
        for _ in 0..200 {
            failures += u32::from(to_stack.push(Some(&tun), &mut stack, &BAD).is_err());
        }
        assert_eq!((failures, to_stack.len()), (3, 200 - 3 * 64));
        assert!(to_stack.flush(Some(&tun), &mut stack).is_err());
        assert_eq!((stack.created, stack.delivered), (200, 0));
        assert_eq!(stack.dropped(DropReason::SendFailed), 200);
        assert!(to_stack.take_failure().is_none());
    }
}
