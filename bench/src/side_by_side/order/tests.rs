use super::*;

#[test]
fn every_row_has_one_turn_a_round() {
    for alternation in 0..20 {
        let mut order = draw(1, alternation, Workload::Bulk, 8);
        order.sort_unstable();
        assert_eq!(order, (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn orders_differ_between_rounds_and_are_the_same_for_a_seed() {
    let of = |seed, alternation, workload| draw(seed, alternation, workload, 8);
    assert_eq!(of(1, 0, Workload::Bulk), of(1, 0, Workload::Bulk));
    assert_ne!(of(1, 0, Workload::Bulk), of(1, 1, Workload::Bulk));
    assert_ne!(of(1, 0, Workload::Bulk), of(1, 0, Workload::Keepalive));
    assert_ne!(of(1, 0, Workload::Bulk), of(2, 0, Workload::Bulk));
}

#[test]
fn no_row_has_a_place_of_its_own() {
    for place in 0..4 {
        let mut seen: Vec<usize> = (0..40)
            .map(|alternation| draw(1, alternation, Workload::Bulk, 4)[place])
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 1, 2, 3]);
    }
}

#[test]
fn one_row_or_none_has_an_order_too() {
    assert_eq!(draw(1, 0, Workload::Bulk, 1), [0]);
    assert!(draw(1, 0, Workload::Bulk, 0).is_empty());
}
