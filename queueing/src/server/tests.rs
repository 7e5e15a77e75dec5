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
