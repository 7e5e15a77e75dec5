use super::*;
use crate::testbed::{birth, client};
use jlb_protocol::message::FlowState;

#[test]
fn a_queue_keeps_the_place_of_a_flow_that_changes() {
    let mut queue = Queue::default();
    let line = |port, counter| FlowStatement {
        key: client(port).key(),
        birth: birth(counter),
        isn: 0,
        state: FlowState::Accepted,
        fresh: false,
    };
    assert!(queue.put(line(1, 1), 2));
    assert!(queue.put(line(2, 2), 2));
    assert!(queue.put(line(1, 3), 2));
    assert!(!queue.put(line(3, 4), 2));
    queue.remove(&client(2).key());
    assert!(queue.put(line(3, 4), 2));
    assert_eq!(queue.take(), Some(line(1, 3)));
    assert_eq!(queue.take(), Some(line(3, 4)));
    assert_eq!(queue.take(), None);
    assert!(queue.by_flow.is_empty());
}
