use super::*;
use crate::ingress::Verdict;
use crate::testbed::{Bed, CLIENT4, SYN, VIP4, accept, birth, config, tcp_between};
use alloc::vec::Vec;
use jlb_protocol::DropReason;

fn pace() -> Pace {
    Pace::new(&config().timers)
}

/// A needless repeat: both questions are answered.
fn answer_twice(pace: &mut Pace) {
    pace.answered(1);
    pace.answered_again();
}

#[test]
fn the_wait_grows_with_needless_repeats_up_to_half_of_the_longest() {
    let timers = config().timers;
    let mut pace = pace();
    assert_eq!(pace.first_wait(), timers.open_retry);
    let mut before = pace.first_wait();
    for _ in 0..10 {
        answer_twice(&mut pace);
        assert!(pace.first_wait() > before);
        before = pace.first_wait();
    }
    for _ in 0..1_000 {
        answer_twice(&mut pace);
    }
    assert_eq!(pace.first_wait(), timers.open_retry_max / 2);
}

#[test]
fn it_shrinks_with_answers_that_came_in_time_and_not_with_others() {
    let mut pace = pace();
    for _ in 0..1_000 {
        answer_twice(&mut pace);
    }
    let longest = pace.first_wait();
    pace.answered(1);
    assert_eq!(pace.first_wait(), longest);
    for _ in 0..500 {
        pace.answered(0);
    }
    assert_eq!(pace.first_wait(), config().timers.open_retry);
}

#[test]
fn other_timers_bound_what_was_learnt() {
    let mut pace = pace();
    for _ in 0..1_000 {
        answer_twice(&mut pace);
    }
    let mut timers = config().timers;
    timers.open_retry_max = timers.open_retry;
    pace.set_timers(&timers);
    assert_eq!(pace.first_wait(), timers.open_retry);
}

#[test]
fn answers_that_come_twice_without_a_repeat_say_nothing() {
    let mut pace = pace();
    for _ in 0..100 {
        pace.answered(0);
        pace.answered_again();
    }
    assert_eq!(pace.first_wait(), config().timers.open_retry);
}

#[test]
fn repeats_that_are_answered_twice_make_the_next_question_wait_longer() {
    let retry = config().timers.open_retry;
    let longest = config().timers.open_retry_max / 2;
    let mut bed = Bed::new();
    let mut waits = Vec::new();
    for port in 1..60 {
        let syn = tcp_between((CLIENT4, port), (VIP4, 80), 5, SYN, b"");
        assert_eq!(bed.verdict(&syn), Verdict::Held);
        let open = bed.message();
        // Slower than the first repeat.
        let mut waited = Duration::ZERO;
        while bed.pass(Duration::from_millis(2)).messages.is_empty() {
            waited += Duration::from_millis(2);
        }
        waits.push(waited);
        let birth = birth(1, u32::from(port));
        bed.receive(open.to.get(), accept(&open, 21, birth));
        let again = accept(&open, 21, birth);
        assert!(bed.drops(DropReason::StaleAnswer, open.to.get(), again));
        bed.drain();
    }
    assert!(waits[0] <= retry, "{waits:?}");
    assert!(waits.is_sorted(), "{waits:?}");
    let last = *waits.last().unwrap();
    assert!(
        last > longest - Duration::from_millis(4) && last <= longest,
        "{waits:?}"
    );
}
