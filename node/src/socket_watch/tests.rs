use super::*;
use jlb_packet_io::wait::{Interest, Poller};

const PATIENCE: Duration = Duration::from_secs(5);

struct Bed {
    lists: Lists,
    poller: Poller,
    waker: Waker,
}

impl Bed {
    fn new(make: impl FnMut() -> crate::kernel::Result<Dump> + Send + 'static) -> Self {
        let waker = Waker::new().unwrap();
        let poller = Poller::new().unwrap();
        poller.add(&waker, 0, Interest::Readable).unwrap();
        let lists = Lists::start(waker.clone(), make).unwrap();
        Self {
            lists,
            poller,
            waker,
        }
    }

    /// The next answer, waited for as the data thread does.
    fn answer(&mut self, now: Time) -> Answer {
        loop {
            if let Some(answer) = self.lists.poll(now) {
                return answer;
            }
            let woken = self.poller.wait(Some(PATIENCE)).unwrap().count();
            assert_eq!(woken, 1, "no answer");
            self.waker.clear();
        }
    }
}

fn failure() -> crate::kernel::Error {
    crate::kernel::Error::new("list", std::io::Error::other("no"))
}

#[test]
fn failing_lists_are_asked_for_ever_more_rarely() {
    let mut bed = Bed::new(|| Err(failure()));
    let mut now = Time::from_millis(1);
    let mut waits = Vec::new();
    for _ in 0..7 {
        // The role wants a list at once, all the time.
        let due = bed.lists.due(Some(now)).unwrap();
        waits.push(due.since(now).as_secs());
        now = due;
        bed.lists.ask();
        assert_eq!(bed.lists.due(Some(now)), None);
        assert!(matches!(bed.answer(now), Answer::Failed(_)));
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 16]);
}

#[test]
fn after_a_list_there_is_no_pause() {
    let mut fail = true;
    let mut bed = Bed::new(move || {
        let failed = std::mem::replace(&mut fail, false);
        if failed {
            return Err(failure());
        }
        Ok(Dump {
            started: Time::ZERO,
            sockets: Vec::new(),
        })
    });
    let now = Time::from_millis(1);
    bed.lists.ask();
    assert!(matches!(bed.answer(now), Answer::Failed(_)));
    let now = now + FIRST_RETRY;
    bed.lists.ask();
    assert!(matches!(bed.answer(now), Answer::Complete(_)));
    assert_eq!(bed.lists.due(Some(now)), Some(now));
    assert_eq!(bed.lists.due(None), None);
}

#[test]
fn a_thread_that_panics_wakes_the_reader_and_is_told_of() {
    let mut bed = Bed::new(|| panic!("planted"));
    bed.lists.ask();
    assert!(matches!(bed.answer(Time::ZERO), Answer::ThreadEnded));
    bed.lists.ask();
    assert!(matches!(bed.answer(Time::ZERO), Answer::ThreadEnded));
}
