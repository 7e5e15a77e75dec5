use super::*;

/// Less preferred needs no privilege.
#[test]
fn the_priority_of_a_thread_is_its_own() {
    let before = thread_nice().unwrap();
    let wanted = (before + 1).min(19);
    let thread = std::thread::spawn(move || {
        set_thread_nice(wanted).unwrap();
        thread_nice().unwrap()
    });
    assert_eq!(thread.join().unwrap(), wanted);
    assert_eq!(thread_nice().unwrap(), before);
}

#[test]
fn a_threads_time_is_what_it_has_worked() {
    let before = thread_time();
    crate::wait::hold_still(Duration::from_millis(50));
    let asleep = thread_time() - before;
    let mut sum = 0_u64;
    while thread_time() - before < Duration::from_millis(20) {
        sum = std::hint::black_box(sum.wrapping_add(1));
    }
    assert!(asleep < Duration::from_millis(20), "{asleep:?}");
}

#[test]
fn a_thread_that_waits_for_a_processor_is_seen_waiting() {
    let delay = RunDelay::open().unwrap();
    let before = delay.read().unwrap();
    let mut times = 0;
    while times < 20 {
        crate::wait::hold_still(Duration::from_millis(1));
        let waited = delay.read().unwrap();
        assert!(waited.span >= before.span);
        times = waited.times - before.times;
    }
    // It is that thread's, whoever reads it.
    let here = delay.read().unwrap().times;
    let there = std::thread::spawn(move || delay.read().unwrap().times);
    assert!(there.join().unwrap() >= here);
}

#[test]
fn idle_time_grows_by_no_more_than_the_time_that_passes() {
    let idle = IdleTime::open().unwrap();
    let (began, before) = (boot_time_nanos(), idle.read().unwrap());
    crate::wait::hold_still(Duration::from_millis(100));
    let grown = idle.read().unwrap() - before;
    let passed = Duration::from_nanos(boot_time_nanos() - began);
    // To a hundredth of a second.
    assert!(grown <= passed + Duration::from_millis(20), "{grown:?}");
    assert!(before > Duration::ZERO);
}

#[test]
fn a_thread_has_the_slice_that_it_asks_for_and_keeps_its_nice_value() {
    std::thread::spawn(|| {
        set_thread_nice(7).unwrap();
        set_thread_slice(Duration::from_millis(50)).unwrap();
        assert_eq!(thread_nice().unwrap(), 7);
        // Only some kernels show it.
        let shown = std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default();
        let slice = shown.lines().find(|line| line.starts_with("se.slice"));
        if let Some(line) = slice {
            assert!(
                line.ends_with("50000000") || line.ends_with("50.000000"),
                "{line}"
            );
        }
    })
    .join()
    .unwrap();
}
