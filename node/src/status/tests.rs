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
