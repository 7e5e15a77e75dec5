use super::*;

#[test]
fn each_forwarder_forwards_its_own_flows_alone() {
    let lender = Lender::new(64).unwrap();
    for number in 1..=2 {
        let mut alone = lender.forwarder(number, 32);
        assert_eq!(alone.run(4), 4 * BATCH as u64);
        assert_eq!(alone.forwarder.stats().handed_on, 0);
        alone.source = Source::of(if number == 1 { 32..64 } else { 0..32 });
        assert_eq!(alone.run(4), 0);
    }
}

#[test]
fn another_generation_ends_it() {
    let lender = Lender::new(32).unwrap();
    let mut alone = lender.forwarder(1, 32);
    lender.common.generation.0.store(2, Ordering::Release);
    assert_eq!(alone.run(4), 0);
}

#[test]
fn one_forwarder_is_what_others_are_measured_by() {
    let figures = grow(Duration::from_millis(50)).unwrap();
    assert_eq!((figures[0].workers, figures[0].growth), (1, 1.0));
    assert!(figures.iter().all(|it| it.packets_per_second > 0.0));
}
