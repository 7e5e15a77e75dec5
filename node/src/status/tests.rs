use super::*;

fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

fn status() -> Status {
    let names = BTreeMap::from([(node(1), "alpha".into()), (node(2), "beta".into())]);
    Status::new(names, [node(2), node(1)])
}

#[test]
fn peers_are_there_before_they_were_heard_of() {
    let peers: Vec<_> = status().peers().into_iter().collect();
    assert_eq!(
        peers,
        [(node(1), Peer::default()), (node(2), Peer::default())]
    );
}

#[test]
fn starts_are_counted_and_the_last_incarnation_kept() {
    let status = status();
    for incarnation in [7, 9] {
        status.handle(Event::PeerStarted {
            node: node(2),
            incarnation,
        });
    }
    let peer = status.peers()[&node(2)];
    assert_eq!(peer.incarnation, Some(9));
    assert_eq!(peer.starts, 2);
    assert_eq!(peer.same_config, None);
    assert_eq!(status.peers()[&node(1)], Peer::default());
}

#[test]
fn the_last_word_on_the_configuration_counts() {
    let status = status();
    for same in [true, false, true] {
        status.handle(Event::PeerConfig {
            node: node(1),
            fingerprint: 5,
            same,
        });
        assert_eq!(status.peers()[&node(1)].same_config, Some(same));
    }
}

#[test]
fn a_node_without_a_name_goes_by_its_number() {
    assert_eq!(status().name(node(1)), "alpha");
    assert_eq!(status().name(node(300)), "300");
}

#[test]
fn a_peer_that_differs_for_a_moment_is_no_news() {
    let status = status();
    let says = |fingerprint, same| {
        status.handle(Event::PeerConfig {
            node: node(1),
            fingerprint,
            same,
        });
    };
    let told = || status.peers()[&node(1)].told;
    says(5, false);
    status.tell_configurations();
    assert!(!told(), "it may follow");
    says(6, true);
    says(5, false);
    status.tell_configurations();
    assert!(!told(), "it did, meanwhile");
    status.tell_configurations();
    assert!(told());
    says(6, true);
    assert!(!told());
}

#[test]
fn another_file_brings_other_names_and_peers() {
    let status = status();
    status.set_nodes(BTreeMap::from([(node(1), "one".into())]), [node(7)]);
    assert_eq!(
        (status.name(node(1)), status.name(node(2))),
        ("one".into(), "2".into())
    );
    let peers: Vec<_> = status.peers().into_keys().collect();
    assert_eq!(peers, [node(1), node(2), node(7)]);
}
