use super::*;

#[test]
fn jobs_share_what_there_is() {
    let mut server = Server::new(2.0, 1.0);
    server.arrive(0.0, 1.0);
    server.arrive(0.0, 3.0);
    assert_eq!(server.next_done(), Some(1.0));
    // Three on two cores: each gets two thirds.
    server.arrive(0.5, 1.0);
    assert_eq!(server.next_done(), Some(0.5 + 0.5 * 1.5));
    assert_eq!(server.finish(1.25), Some(1.25));
    // 1.25 after its arrival it was given half, and is alone with the other now.
    assert_eq!(server.next_done(), Some(1.75));
    assert_eq!(server.finish(1.75), Some(1.25));
    assert_eq!(server.jobs(), 1);
    assert_eq!(server.finish(3.25), Some(3.25));
    assert_eq!(server.next_done(), None);
}

#[test]
fn a_fast_server_is_done_sooner() {
    let mut server = Server::new(1.0, 4.0);
    server.arrive(2.0, 1.0);
    assert_eq!(server.next_done(), Some(2.25));
}

#[test]
fn in_a_queue_who_came_first_is_served_alone() {
    let mut server = Server::of(Discipline::Queue, 2.0, 2.0);
    for (mark, work) in [(1, 2.0), (2, 6.0), (3, 2.0), (4, 2.0)] {
        server.take(0.0, work, 0.0, mark);
    }
    assert_eq!(server.jobs(), 4);
    for (at, mark) in [(1.0, 1), (2.0, 3), (3.0, 2), (3.0, 4)] {
        assert_eq!(server.next_done(), Some(at));
        let done = server.complete(at).unwrap();
        // Two are done at the same time, in either order.
        assert!(done.mark == mark || at == 3.0, "{done:?}");
        assert_eq!(done.response, at);
    }
    assert_eq!((server.jobs(), server.next_done()), (0, None));
}
