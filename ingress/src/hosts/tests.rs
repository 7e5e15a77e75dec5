use super::Hosts;
use crate::testbed::{node, view_with};
use core::time::Duration;
use jlb_protocol::{MemberState, Time};

const AFTER: Duration = Duration::from_secs(15);

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

#[test]
fn a_host_is_dead_that_was_down_in_every_view_for_long_enough() {
    let with = |down: &[u16]| {
        let hosts: alloc::vec::Vec<_> = down.iter().map(|&it| (it, MemberState::Down)).collect();
        view_with(&[], &hosts)
    };
    let mut hosts = Hosts::new(Some(AFTER), &with(&[]), at(0));
    assert_eq!((hosts.next_deadline(), hosts.dead()), (None, 0));
    hosts.set_view(&with(&[23]), at(1));
    hosts.set_view(&with(&[21, 23]), at(5));
    assert_eq!(hosts.next_deadline(), Some(at(16)));
    hosts.settle(at(16));
    assert!(hosts.is_dead(node(23)) && !hosts.is_dead(node(21)));
    assert_eq!(hosts.next_deadline(), Some(at(20)));
    // It was back for a moment: its time begins anew.
    hosts.set_view(&with(&[23]), at(17));
    hosts.set_view(&with(&[21, 23]), at(18));
    hosts.settle(at(32));
    assert!(hosts.is_dead(node(23)) && !hosts.is_dead(node(21)));
    hosts.settle(at(33));
    assert_eq!((hosts.dead(), hosts.next_deadline()), (2, None));
    hosts.set_view(&with(&[]), at(40));
    assert_eq!(hosts.dead(), 0);
}

#[test]
fn no_host_ever_dies_without_a_time_for_it() {
    let view = view_with(&[], &[(21, MemberState::Down)]);
    let mut hosts = Hosts::new(None, &view, at(0));
    hosts.settle(at(1_000_000));
    assert_eq!((hosts.dead(), hosts.next_deadline()), (0, None));
    hosts.set_after(Some(AFTER), at(1_000_000));
    assert!(hosts.is_dead(node(21)));
}
