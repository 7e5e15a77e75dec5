use super::*;
use crate::kernel::sock_diag::SocketState;
use jlb_packet_io::wait::{Interest, Poller};
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;

const PATIENCE: Duration = Duration::from_secs(5);

struct Bed {
    lists: Lists,
    poller: Poller,
    waker: Waker,
}

impl Bed {
    fn new(
        make: impl FnMut(DumpScope, &mut Parts<'_>) -> crate::kernel::Result<()> + Send + 'static,
    ) -> Self {
        let waker = Waker::new().unwrap();
        let poller = Poller::new().unwrap();
        poller.add(&waker, 0, Interest::Readable).unwrap();
        let lists = Lists::start(waker.clone(), make, look_up).unwrap();
        Self {
            lists,
            poller,
            waker,
        }
    }

    /// The next answer but that a list is begun, waited for as the data thread does.
    fn answer(&mut self, now: Time) -> Answer {
        loop {
            match self.lists.poll(now) {
                Some(Answer::Begun { .. }) => continue,
                Some(answer) => return answer,
                None => {}
            }
            let woken = self.poller.wait(Some(PATIENCE)).unwrap().count();
            assert_eq!(woken, 1, "no answer");
            self.waker.clear();
        }
    }
}

/// Finds nothing of the first port; nothing else can be asked for.
fn look_up(asked: &[LookUp]) -> crate::kernel::Result<Vec<LookedUp>> {
    let answer = |&asked: &LookUp| match asked.remote.port() {
        4_000 => Ok(LookedUp {
            asked,
            found: Found::Nothing,
        }),
        _ => Err(failure()),
    };
    asked.iter().map(answer).collect()
}

fn failure() -> crate::kernel::Error {
    crate::kernel::Error::new("list", std::io::Error::other("no"))
}

#[test]
fn failing_lists_are_asked_for_ever_more_rarely() {
    let mut bed = Bed::new(|_, _| Err(failure()));
    let mut now = Time::from_millis(1);
    let mut waits = Vec::new();
    for _ in 0..7 {
        // The role wants a list at once, all the time.
        let due = bed.lists.due(Some(now)).unwrap();
        waits.push(due.since(now).as_secs());
        now = due;
        bed.lists.ask(DumpScope::Sockets);
        assert_eq!(bed.lists.due(Some(now)), None);
        assert!(matches!(bed.answer(now), Answer::Failed(_)));
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 16]);
}

#[test]
fn after_a_list_there_is_no_pause() {
    let mut fail = true;
    let mut bed = Bed::new(move |_, _| {
        let failed = std::mem::replace(&mut fail, false);
        if failed { Err(failure()) } else { Ok(()) }
    });
    let now = Time::from_millis(1);
    bed.lists.ask(DumpScope::Sockets);
    assert!(matches!(bed.answer(now), Answer::Failed(_)));
    let now = now + FIRST_RETRY;
    bed.lists.ask(DumpScope::Sockets);
    assert!(matches!(bed.answer(now), Answer::Complete { .. }));
    assert_eq!(bed.lists.due(Some(now)), Some(now));
    assert_eq!(bed.lists.due(None), None);
}

#[test]
fn a_thread_that_panics_wakes_the_reader_and_is_told_of() {
    let mut bed = Bed::new(|_, _| panic!("planted"));
    bed.lists.ask(DumpScope::Sockets);
    assert!(matches!(bed.answer(Time::ZERO), Answer::ThreadEnded));
    bed.lists.ask(DumpScope::Sockets);
    assert!(matches!(bed.answer(Time::ZERO), Answer::ThreadEnded));
}

#[test]
fn a_list_comes_in_parts_and_waits_for_a_slow_reader() {
    const SOCKETS: usize = 10 * PART + 1;
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let mut bed = Bed::new(move |_, parts| {
        for nth in 0..SOCKETS {
            parts.add(socket(nth as u64));
            count.store(nth + 1, Ordering::Relaxed);
        }
        Ok(())
    });
    let now = Time::from_millis(1);
    bed.lists.ask(DumpScope::Sockets);
    while made.load(Ordering::Relaxed) < PART {
        std::thread::yield_now();
    }
    let begun = loop {
        if let Some(answer) = bed.lists.poll(now) {
            break answer;
        }
    };
    let Answer::Begun { scope, .. } = begun else {
        panic!("{begun:?}");
    };
    assert_eq!(scope, DumpScope::Sockets);
    let mut cookies = Vec::new();
    loop {
        // What this thread has, what waits for it, and what is in the making.
        let ahead = made.load(Ordering::Relaxed).saturating_sub(cookies.len());
        assert!(ahead <= (MAX_ANSWERS + 2) * PART, "{ahead}");
        match bed.answer(now) {
            Answer::Part(part) => cookies.extend(part.iter().map(|socket| socket.cookie)),
            Answer::Complete { .. } => break,
            other => panic!("{other:?}"),
        }
        assert_eq!(bed.lists.due(Some(now)), None, "one list at a time");
    }
    assert!(cookies.into_iter().eq(0..SOCKETS as u64));
    assert_eq!(bed.lists.due(Some(now)), Some(now));
}

#[test]
fn look_ups_and_lists_are_made_one_after_the_other_and_fail_each_for_themselves() {
    let mut bed = Bed::new(|_, _| Err(failure()));
    let ask = |port| {
        let Socket { local, remote, .. } = socket(1);
        let remote = SocketAddr::new(remote.ip(), port);
        vec![LookUp { local, remote }]
    };
    let mut now = Time::from_millis(1);
    for wait in [1, 2, 4] {
        assert_eq!(bed.lists.look_ups_due(Some(now)), Some(now));
        bed.lists.look_up(ask(1));
        assert_eq!(bed.lists.look_ups_due(Some(now)), None);
        assert_eq!(bed.lists.due(Some(now)), None);
        // Nothing comes of it while something is being made.
        bed.lists.ask(DumpScope::All);
        assert!(matches!(bed.answer(now), Answer::LookUpsFailed(_)));
        assert_eq!(bed.lists.due(Some(now)), Some(now), "lists go on");
        let due = bed.lists.look_ups_due(Some(now)).unwrap();
        assert_eq!(due.since(now).as_secs(), wait);
        now = due;
    }
    bed.lists.ask(DumpScope::All);
    assert_eq!(bed.lists.look_ups_due(Some(now)), None);
    assert!(matches!(bed.answer(now), Answer::Failed(_)));
    bed.lists.look_up(ask(4_000));
    let Answer::LookedUp { answers, .. } = bed.answer(now) else {
        panic!("no answers");
    };
    let found: Vec<_> = answers.iter().map(|answer| answer.found).collect();
    assert_eq!(found, [Found::Nothing]);
    let mut answers = answers;
    doubt_absence(&mut answers);
    assert_eq!(answers[0].found, Found::Unknown);
    assert_eq!(bed.lists.look_ups_due(None), None);
    bed.lists.look_up(ask(1));
    assert!(matches!(bed.answer(now), Answer::LookUpsFailed(_)));
    let due = bed.lists.look_ups_due(Some(now)).unwrap();
    assert_eq!(due.since(now), FIRST_RETRY, "what worked counts");
}

fn socket(cookie: u64) -> Socket {
    let end = |port| SocketAddr::new(IpAddr::from([192, 0, 2, 1]), port);
    Socket {
        local: end(80),
        remote: end(4_000),
        cookie,
        state: SocketState::Open,
    }
}
