//! Waiting ends by a file, by a waker, or by its deadline.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use jlb_packet_io::process;
use jlb_packet_io::wait::{Interest, Poller, Ready, Waker};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const LONG: Option<Duration> = Some(Duration::from_secs(10));
const NONE: Option<Duration> = Some(Duration::ZERO);

fn wait(poller: &mut Poller, timeout: Option<Duration>) -> Vec<Ready> {
    poller.wait(timeout).unwrap().collect()
}

#[test]
fn a_file_is_reported_under_its_token_while_it_is_ready() {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&reader, 42, Interest::Readable).unwrap();
    assert_eq!(wait(&mut poller, NONE), []);
    writer.write_all(b"x").unwrap();
    let ready = Ready {
        token: 42,
        readable: true,
        writable: false,
    };
    assert_eq!(wait(&mut poller, LONG), [ready]);
    assert_eq!(wait(&mut poller, LONG), [ready]);
    poller.modify(&reader, 43, Interest::Both).unwrap();
    let both = Ready {
        token: 43,
        readable: true,
        writable: true,
    };
    assert_eq!(wait(&mut poller, LONG), [both]);
    poller.remove(&reader).unwrap();
    assert_eq!(wait(&mut poller, NONE), []);
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    let mut poller = Poller::new().unwrap();
    let begin = process::boot_time_nanos();
    // Shorter than a millisecond: deadlines are not rounded down.
    let span = Duration::from_micros(1500);
    assert_eq!(wait(&mut poller, Some(span)), []);
    let waited = Duration::from_nanos(process::boot_time_nanos() - begin);
    assert!(waited >= span, "{waited:?}");
    // A span past all clocks is for ever, not an error: only the waker ends it.
    let waker = Waker::new().unwrap();
    poller.add(&waker, 1, Interest::Readable).unwrap();
    waker.wake();
    assert_eq!(wait(&mut poller, Some(Duration::MAX)).len(), 1);
}

#[test]
fn a_clone_on_another_thread_wakes_until_cleared() {
    let waker = Waker::new().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&waker, 7, Interest::Readable).unwrap();
    let clone = waker.clone();
    let thread = std::thread::spawn(move || {
        clone.wake();
        clone.wake();
    });
    assert_eq!(wait(&mut poller, LONG)[0].token, 7);
    thread.join().unwrap();
    waker.clear();
    assert_eq!(wait(&mut poller, NONE), []);
    waker.clear();
    assert_eq!(wait(&mut poller, NONE), [], "clearing nothing is nothing");
}

#[test]
fn a_thread_stays_on_its_processor() {
    let allowed = process::allowed_cpus().unwrap();
    let last = *allowed.last().unwrap();
    std::thread::spawn(move || {
        process::pin_to_cpu(last).unwrap();
        assert_eq!(process::allowed_cpus().unwrap(), [last]);
        assert!(process::pin_to_cpu(usize::MAX).is_err());
    })
    .join()
    .unwrap();
    assert_eq!(process::allowed_cpus().unwrap(), allowed);
}

#[test]
fn clocks_go_forward() {
    let begin = process::boot_time_nanos();
    assert!(begin > 0);
    assert!(process::boot_time_nanos() >= begin);
    assert!(process::wall_clock_secs() > 1_700_000_000);
}

#[test]
fn a_parent_that_has_ended_is_noticed() {
    let parent = u32::try_from(rustix::process::getppid().unwrap().as_raw_nonzero().get()).unwrap();
    // Another process than the parent: this one itself.
    assert!(process::die_with_parent(std::process::id()).is_err());
    process::die_with_parent(parent).unwrap();
}
