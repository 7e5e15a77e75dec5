use super::*;

/// A hash whose search begins at `home` of `slots`, with the tag `tag`.
fn hash(home: u64, slots: u64, tag: u64) -> u64 {
    ((home << 32).div_ceil(slots)) << 32 | tag
}

#[test]
fn hashes_spread_over_a_number_of_slots_that_is_no_power_of_two() {
    let index = Index::new(4);
    assert_eq!(index.slots.len(), 8);
    let index = Index::new(5);
    assert_eq!(index.slots.len(), 9);
    for home in 0..9 {
        assert_eq!(index.home(hash(home, 9, 0)), home as usize);
    }
    assert_eq!(index.home(u64::MAX), 8);
}

#[test]
fn an_index_for_nothing_finds_nothing() {
    let index = Index::new(0);
    assert_eq!(index.find(u64::MAX, |_| true), None);
}

#[test]
fn records_with_the_same_tag_are_told_apart_by_the_caller() {
    let mut index = Index::new(4);
    let hash = hash(7, 8, 9);
    for id in 0..4 {
        index.insert(hash, id);
    }
    for id in 0..4 {
        assert_eq!(index.find(hash, |candidate| candidate == id), Some(id));
    }
    assert_eq!(index.find(hash, |_| false), None);
}

#[test]
fn a_record_with_another_tag_is_not_looked_at() {
    let mut index = Index::new(4);
    index.insert(hash(3, 8, 1), 0);
    let found = index.find(hash(3, 8, 2), |_| panic!("looked at"));
    assert_eq!(found, None);
}

#[test]
fn removal_closes_the_hole_across_the_end_of_the_array() {
    // Of nine slots these fill 7, 8, 0, 1 and 2.
    let homes = [7, 7, 8, 7, 0];
    let hash_of = |id: u32| hash(homes[id as usize], 9, u64::from(id));
    for removed in 0..5 {
        let mut index = Index::new(5);
        for id in 0..5 {
            index.insert(hash_of(id), id);
        }
        index.remove(hash_of(removed), removed, hash_of);
        for id in 0..5 {
            let found = index.find(hash_of(id), |candidate| candidate == id);
            assert_eq!(found, (id != removed).then_some(id), "without {removed}");
        }
        let filled: Vec<usize> = (0..9)
            .filter(|&place| index.slots[place] != EMPTY)
            .collect();
        assert_eq!(filled, [0, 1, 7, 8], "without {removed}");
    }
}

#[test]
fn a_record_at_its_home_does_not_move_before_it() {
    let mut index = Index::new(4);
    let hash_of = |id: u32| hash([2, 3][id as usize], 8, 0);
    index.insert(hash_of(0), 0);
    index.insert(hash_of(1), 1);
    index.remove(hash_of(0), 0, hash_of);
    assert_eq!(index.slots[2], EMPTY);
    assert_eq!(id_of(index.slots[3]), 1);
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut index = Index::new(4);
    index.insert(hash(2, 8, 0), 0);
    let before = index.slots.clone();
    index.remove(hash(2, 8, 0), 1, |_| hash(2, 8, 0));
    assert_eq!(index.slots, before);
}

#[test]
fn the_largest_record_number_fits() {
    let mut index = Index::new(4);
    let largest = (1 << 24) - 3;
    index.insert(hash(2, 8, 255), largest);
    assert_eq!(index.find(hash(2, 8, 255), |_| true), Some(largest));
}
