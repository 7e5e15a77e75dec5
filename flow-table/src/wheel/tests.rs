use super::*;
use crate::slab::Packed;

fn slab_of(records: u32) -> Slab<u32, (), Packed> {
    let mut slab = Slab::new(records);
    for id in 0..records {
        assert_eq!(slab.insert(id, ()), Ok(id));
    }
    slab
}

#[test]
fn a_deadline_hangs_in_the_wheel_of_its_highest_different_digit() {
    let mut wheel = Wheel::new();
    let at = |wheel: &Wheel, tick| {
        let slot = wheel.slot_of(tick);
        (slot.level, slot.digit)
    };
    assert_eq!(at(&wheel, 0), (0, 0));
    assert_eq!(at(&wheel, 63), (0, 63));
    assert_eq!(at(&wheel, 64), (1, 1));
    assert_eq!(at(&wheel, 4095), (1, 63));
    assert_eq!(at(&wheel, 4096), (2, 1));
    assert_eq!(at(&wheel, u64::MAX), (10, 15));
    wheel.elapsed = 70;
    assert_eq!(at(&wheel, 70), (0, 6));
    assert_eq!(at(&wheel, 127), (0, 63));
    assert_eq!(at(&wheel, 128), (1, 2));
}

#[test]
fn each_deadline_comes_at_its_tick_and_in_order() {
    let ticks = [
        0,
        1,
        63,
        64,
        65,
        127,
        128,
        4095,
        4096,
        4097,
        262_143,
        262_144,
        1 << 31,
    ];
    let mut slab = slab_of(ticks.len() as u32);
    let mut wheel = Wheel::new();
    for (id, &tick) in (0_u32..13).zip(&ticks).rev() {
        wheel.set(&mut slab, id, tick);
    }
    for (id, &tick) in (0..).zip(&ticks) {
        if let Some(before) = tick.checked_sub(1) {
            assert_eq!(wheel.pop_expired(&mut slab, before), None, "before {tick}");
        }
        assert_eq!(wheel.deadline(&slab, id), Some(tick));
        assert_eq!(wheel.pop_expired(&mut slab, tick), Some(id));
        assert_eq!(wheel.deadline(&slab, id), None);
    }
    assert_eq!(wheel.next_tick(), None);
}

#[test]
fn waking_only_at_next_tick_misses_nothing_and_takes_few_steps() {
    let mut slab = slab_of(1);
    let mut wheel = Wheel::new();
    let deadline = 0x7654_3210;
    wheel.set(&mut slab, 0, deadline);
    let mut wakes = 0;
    let mut now = 0;
    while let Some(next) = wheel.next_tick() {
        assert!(next > now && next <= deadline);
        now = next;
        wakes += 1;
        if wheel.pop_expired(&mut slab, now).is_some() {
            break;
        }
    }
    assert_eq!(now, deadline);
    assert!(wakes <= 6, "{wakes} wakes");
}

#[test]
fn ticks_beyond_32_bits_work() {
    let mut slab = slab_of(2);
    let mut wheel = Wheel::new();
    let start = (1 << 32) - 5;
    assert_eq!(wheel.pop_expired(&mut slab, start), None);
    wheel.set(&mut slab, 0, start + 3);
    wheel.set(&mut slab, 1, start + 10);
    assert_eq!(wheel.deadline(&slab, 1), Some(start + 10));
    assert_eq!(wheel.pop_expired(&mut slab, start + 9), Some(0));
    assert_eq!(wheel.pop_expired(&mut slab, start + 9), None);
    assert_eq!(wheel.pop_expired(&mut slab, start + 10), Some(1));
}

#[test]
fn the_last_tick_of_all_works() {
    let mut slab = slab_of(1);
    let mut wheel = Wheel::new();
    assert_eq!(wheel.pop_expired(&mut slab, u64::MAX - 2), None);
    wheel.set(&mut slab, 0, u64::MAX);
    assert_eq!(wheel.next_tick(), Some(u64::MAX));
    assert_eq!(wheel.pop_expired(&mut slab, u64::MAX - 1), None);
    assert_eq!(wheel.pop_expired(&mut slab, u64::MAX), Some(0));
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut slab = slab_of(1);
    let mut wheel = Wheel::new();
    assert_eq!(wheel.pop_expired(&mut slab, 1000), None);
    wheel.set(&mut slab, 0, 10);
    assert_eq!(wheel.deadline(&slab, 0), Some(1000));
    assert_eq!(wheel.pop_expired(&mut slab, 1000), Some(0));
}

#[test]
fn a_deadline_too_far_ahead_is_cut() {
    let mut slab = slab_of(1);
    let mut wheel = Wheel::new();
    wheel.set(&mut slab, 0, u64::MAX);
    assert_eq!(wheel.deadline(&slab, 0), Some(u64::from(u32::MAX)));
}

#[test]
fn records_leave_the_front_middle_and_end_of_a_list() {
    for removed in 0..3 {
        let mut slab = slab_of(3);
        let mut wheel = Wheel::new();
        for id in 0..3 {
            wheel.set(&mut slab, id, 5);
        }
        wheel.clear(&mut slab, removed);
        wheel.clear(&mut slab, removed);
        let mut popped = [0; 3];
        while let Some(id) = wheel.pop_expired(&mut slab, 5) {
            popped[id as usize] += 1;
        }
        let mut expected = [1; 3];
        expected[removed as usize] = 0;
        assert_eq!(popped, expected);
    }
}

#[test]
fn clearing_the_last_deadline_leaves_nothing_to_wait_for() {
    let mut slab = slab_of(1);
    let mut wheel = Wheel::new();
    wheel.set(&mut slab, 0, 1 << 20);
    wheel.clear(&mut slab, 0);
    assert_eq!(wheel.next_tick(), None);
    assert_eq!((wheel.occupied, wheel.occupied_levels), ([0; LEVELS], 0));
}

#[test]
fn a_crowd_of_one_moment_is_dealt_out_in_portions() {
    let crowd = 3 * DEALT_PER_CALL;
    let mut slab = slab_of(crowd);
    let mut wheel = Wheel::new();
    for id in 0..crowd {
        wheel.set(&mut slab, id, 100);
    }
    // The slot of 100 begins at 64: two calls do a portion each, the third does the last.
    for _ in 0..2 {
        assert_eq!(wheel.pop_expired(&mut slab, 70), None);
        assert_eq!(wheel.next_tick(), Some(64), "there is more to do");
    }
    // What comes in between is kept in order, and what goes is gone.
    wheel.set(&mut slab, 0, 80);
    wheel.clear(&mut slab, 1);
    assert_eq!(wheel.pop_expired(&mut slab, 70), None);
    assert_eq!(wheel.next_tick(), Some(80));
    assert_eq!(wheel.pop_expired(&mut slab, 100), Some(0));
    for _ in 2..crowd {
        assert!(wheel.pop_expired(&mut slab, 100).is_some());
    }
    assert_eq!(wheel.pop_expired(&mut slab, 100), None);
    assert_eq!(wheel.next_tick(), None);
}

#[test]
fn removing_the_rest_of_a_crowd_ends_the_dealing() {
    let crowd = DEALT_PER_CALL + 1;
    let mut slab = slab_of(crowd);
    let mut wheel = Wheel::new();
    for id in 0..crowd {
        wheel.set(&mut slab, id, 100);
    }
    assert_eq!(wheel.pop_expired(&mut slab, 70), None);
    for id in 0..crowd {
        wheel.clear(&mut slab, id);
    }
    assert_eq!(wheel.next_tick(), None);
    assert_eq!(wheel.pop_expired(&mut slab, 70), None);
    assert_eq!(wheel.next_tick(), None);
}
