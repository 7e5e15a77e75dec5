use super::*;

fn readings(of: impl Fn(u64) -> u64) -> Memory {
    let mut memory = Memory::default();
    for second in (0..=1_800).step_by(5) {
        memory.take("a", Duration::from_secs(second), of(second));
    }
    memory
}

#[test]
fn growth_is_that_of_the_last_two_thirds() {
    // Ten minutes of growth, then none.
    let settled = readings(|second| 10_000 + second.min(600) * 10);
    let [growth] = settled.growth().try_into().unwrap();
    assert_eq!(growth.first_kib, 10_000);
    assert_eq!(growth.growth_kib, 0.0);
    assert_eq!(growth.most_kib, 16_000);
    // A KiB a second for ever: 1,200 in the time that counts.
    let leaking = readings(|second| 10_000 + second);
    let [growth] = leaking.growth().try_into().unwrap();
    assert!((growth.growth_kib - 1_200.0).abs() < 8.0, "{growth:?}");
}

#[test]
fn few_readings_are_enough_and_none_are_nothing() {
    assert_eq!(Memory::default().growth(), []);
    let mut memory = Memory::default();
    memory.take("a", Duration::ZERO, 5);
    assert_eq!(memory.growth()[0].growth_kib, 0.0);
    memory.take("a", Duration::from_secs(5), 9);
    assert_eq!(memory.growth().len(), 1);
}

#[test]
fn the_memory_of_this_process_is_read() {
    assert!(resident_kib(std::process::id()).unwrap() > 100);
    assert_eq!(parse("Name:\tx\nVmRSS:\t   1234 kB\n"), Some(1_234));
    assert_eq!(parse("Name:\tx\n"), None);
}
