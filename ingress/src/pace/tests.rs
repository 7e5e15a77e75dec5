use super::*;
use crate::ingress::Verdict;
use crate::testbed::{Bed, CLIENT4, SYN, VIP4, accept, birth, config, tcp, tcp_between};
use jlb_protocol::DropReason;

fn pace() -> Pace {
    Pace::new(&config().timers)
}

#[test]
fn the_wait_grows_with_needless_repeats_up_to_half_of_the_longest() {
    let timers = config().timers;
    let mut pace = pace();
    assert_eq!(pace.first_wait(), timers.open_retry);
    let mut before = pace.first_wait();
    for _ in 0..10 {
        pace.answered_again();
        assert!(pace.first_wait() > before);
        before = pace.first_wait();
    }
    for _ in 0..1_000 {
        pace.answered_again();
    }
    assert_eq!(pace.first_wait(), timers.open_retry_max / 2);
}

#[test]
fn it_shrinks_with_answers_that_came_in_time_and_not_with_others() {
    let mut pace = pace();
    for _ in 0..1_000 {
        pace.answered_again();
    }
    let longest = pace.first_wait();
    pace.answered(true);
    assert_eq!(pace.first_wait(), longest);
    for _ in 0..500 {
        pace.answered(false);
    }
    assert_eq!(pace.first_wait(), config().timers.open_retry);
}

#[test]
fn other_timers_bound_what_was_learnt() {
    let mut pace = pace();
    for _ in 0..1_000 {
        pace.answered_again();
    }
    let mut timers = config().timers;
    timers.open_retry_max = timers.open_retry;
    pace.set_timers(&timers);
    assert_eq!(pace.first_wait(), timers.open_retry);
}

#[test]
fn answers_that_come_twice_make_the_next_question_wait_longer_before_it_is_repeated() {
    let retry = config().timers.open_retry;
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
    let open = bed.message();
    // Slower than the first repeat: both questions are answered.
    let again = bed.pass(retry + Duration::from_millis(2)).messages;
    assert!(again.iter().eq([&open]));
    bed.receive(open.to.get(), accept(&open, 21, birth(1, 1)));
    for _ in 0..40 {
        let message = accept(&open, 21, birth(1, 1));
        assert!(bed.drops(DropReason::StaleAnswer, open.to.get(), message));
    }
    bed.drain();
    let other = tcp_between((CLIENT4, 999), (VIP4, 80), 5, SYN, b"");
    assert_eq!(bed.verdict(&other), Verdict::Held);
    bed.message();
    let longest = config().timers.open_retry_max / 2;
    assert!(
        bed.pass(longest - Duration::from_millis(4))
            .messages
            .is_empty()
    );
    assert_eq!(bed.pass(Duration::from_millis(8)).messages.len(), 1);
}
