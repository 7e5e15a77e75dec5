use std::process::Command;

use super::*;

#[test]
fn this_process_is_alive_and_the_first_one_is_another() {
    let own = ProcessId::own().unwrap();
    assert!(own.is_alive());
    assert!(own.grip().is_some());
    let imposter = ProcessId {
        started: own.started + 1,
        ..own
    };
    assert!(!imposter.is_alive());
    assert!(imposter.grip().is_none());
}

#[test]
fn a_zombie_counts_as_ended() {
    let mut command = Command::new("/bin/cat");
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let id = ProcessId::of(child.id()).unwrap();
    let grip = id.grip().unwrap();
    grip.signal(Signal::KILL);
    let mut ended = [rustix::event::PollFd::new(
        grip.fd(),
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut ended, None).unwrap();
    assert!(!id.is_alive());
    child.wait().unwrap();
    assert!(id.grip().is_none());
}
