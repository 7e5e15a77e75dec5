use super::{choose, members};
use crate::config::{PoolHost, Service};
use crate::testbed::{config, node, view_of, view_with};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::message::Tried;
use jlb_protocol::{MemberState, NodeNumber, View};

const FLOWS: u64 = 20_000;

fn key() -> HashKey {
    HashKey::new([7; 16])
}

fn service(hosts: &[(u16, u16)], any_host: bool) -> Service {
    let hosts = hosts.iter().map(|&(number, weight)| PoolHost {
        node: node(number),
        weight,
        overflow: false,
    });
    Service {
        hosts: hosts.collect(),
        any_host,
        ..config().services[0].clone()
    }
}

fn flows() -> impl Iterator<Item = FlowHash> {
    (0..FLOWS).map(|flow| FlowHash(flow.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn first(service: &Service, view: &View, flow: FlowHash) -> Option<NodeNumber> {
    choose(service, view, &key(), flow, &Tried::NONE)
}

#[test]
fn each_host_is_first_in_proportion_to_its_weight() {
    let service = service(&[(21, 1), (22, 1), (23, 2), (24, 4)], false);
    let mut shares: BTreeMap<u16, u32> = BTreeMap::new();
    for flow in flows() {
        let host = first(&service, &view_of(&[]), flow).unwrap();
        *shares.entry(host.get()).or_default() += 1;
    }
    // Standard deviations are 47, 61 and 71.
    for (host, expected) in [(21, 2_500_u32), (22, 2_500), (23, 5_000), (24, 10_000)] {
        assert!(shares[&host].abs_diff(expected) < 300, "{shares:?}");
    }
}

#[test]
fn losing_a_host_moves_no_other_flow_and_a_tried_one_is_passed_over() {
    let service = service(&[(21, 1), (22, 3), (23, 2)], false);
    for down in [21, 22, 23] {
        let without = view_with(&[], &[(down, MemberState::Down)]);
        for flow in flows().take(2_000) {
            let before = first(&service, &view_of(&[]), flow).unwrap();
            let after = first(&service, &without, flow).unwrap();
            if before == node(down) {
                let mut tried = Tried::NONE;
                tried.push(before);
                let next = choose(&service, &view_of(&[]), &key(), flow, &tried);
                assert_eq!(next, Some(after));
            } else {
                assert_eq!(before, after);
            }
        }
    }
}

#[test]
fn only_active_members_with_the_hosts_role_are_chosen() {
    let states = [
        (21, MemberState::Joining),
        (22, MemberState::Draining),
        (23, MemberState::Down),
    ];
    let view = view_with(&[(11, MemberState::Active)], &states);
    let all = service(
        &[(21, 1), (22, 1), (23, 1), (24, 1), (11, 9), (99, 9)],
        false,
    );
    for flow in flows().take(50) {
        assert_eq!(first(&all, &view, flow), Some(node(24)));
    }
    let none = service(&[(21, 1), (11, 1), (99, 1)], false);
    assert_eq!(first(&none, &view, FlowHash(1)), None);
}

#[test]
fn any_host_adds_the_views_other_hosts_once_each() {
    let listed = |any| {
        let service = service(&[(23, 5), (99, 1)], any);
        let view = view_of(&[11]);
        let all: Vec<_> = members(&service, &view)
            .map(|host| (host.node.get(), host.weight))
            .collect();
        all
    };
    assert_eq!(listed(false), [(23, 5)]);
    assert_eq!(listed(true), [(23, 5), (21, 1), (22, 1), (24, 1)]);
}

#[test]
fn a_host_of_weight_0_gets_no_new_flow_and_is_a_member_still() {
    let service = service(&[(21, 0), (22, 1)], false);
    let view = view_of(&[]);
    for flow in flows().take(1_000) {
        assert_eq!(first(&service, &view, flow), Some(node(22)));
    }
    assert_eq!(members(&service, &view).count(), 2);
    let mut tried = Tried::NONE;
    tried.push(node(22));
    assert_eq!(choose(&service, &view, &key(), FlowHash(1), &tried), None);
}
