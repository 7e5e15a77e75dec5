use super::*;
use core::num::NonZeroU32;

#[test]
fn a_record_with_a_niche_costs_key_value_and_twelve_bytes() {
    type Flow<A> = Entry<[u32; 6], (NonZeroU32, [u32; 4]), A>;
    assert_eq!(size_of::<Flow<Packed>>(), 24 + 20 + 12);
    assert_eq!(
        (size_of::<Flow<Lines>>(), align_of::<Flow<Lines>>()),
        (64, 64)
    );
}

#[test]
fn a_removed_records_place_is_used_again_before_new_ones() {
    let mut slab = Slab::<_, _, Packed>::new(8);
    assert_eq!(slab.insert('a', 1), Ok(0));
    assert_eq!(slab.insert('b', 2), Ok(1));
    assert_eq!(slab.remove(0), Some(('a', 1)));
    assert_eq!(slab.insert('c', 3), Ok(0));
    assert_eq!(slab.insert('d', 4), Ok(2));
}

#[test]
fn a_vacant_or_unknown_record_is_none() {
    let mut slab = Slab::<_, _, Packed>::new(8);
    assert_eq!(slab.insert('a', 1), Ok(0));
    assert_eq!(slab.remove(0), Some(('a', 1)));
    for id in [0, 1, 5000, NONE] {
        assert_eq!(slab.get(id), None);
        assert_eq!(slab.get_mut(id), None);
        assert!(slab.links(id).is_none());
        assert!(slab.links_mut(id).is_none());
        assert_eq!(slab.remove(id), None);
    }
    assert_eq!(slab.len(), 0);
}

#[test]
fn a_full_slab_gives_the_value_back() {
    let mut slab = Slab::<_, _, Packed>::new(1);
    assert_eq!(slab.insert('a', 1), Ok(0));
    assert_eq!(slab.insert('b', 2), Err(2));
    assert_eq!(slab.insert('b', 2), Err(2));
}

#[test]
fn a_small_slab_is_allocated_for_what_it_may_hold() {
    let mut slab = Slab::<_, _, Packed>::new(3);
    assert_eq!(slab.insert(1_u32, 2_u32), Ok(0));
    assert_eq!(slab.chunks[0].capacity(), 3);
}

#[test]
fn a_clone_grows_to_the_same_chunks() {
    let mut slab = Slab::<_, _, Packed>::new(CHUNK as u32 + 2);
    for id in 0..10 {
        assert_eq!(slab.insert(id, ()), Ok(id));
    }
    let mut clone = slab.clone();
    for id in 10..CHUNK as u32 + 2 {
        assert_eq!(clone.insert(id, ()), Ok(id));
    }
    assert_eq!(clone.insert(0, ()), Err(()));
    assert_eq!(clone.chunks[0].capacity(), CHUNK);
    assert_eq!(clone.chunks[1].capacity(), 2);
}

#[test]
fn iteration_is_by_place_and_skips_vacant_ones() {
    let mut slab = Slab::<_, _, Packed>::new(8);
    for key in ['a', 'b', 'c'] {
        assert!(slab.insert(key, ()).is_ok());
    }
    assert!(slab.remove(1).is_some());
    let seen: Vec<_> = slab
        .iter()
        .map(|(handle, &key, ())| (handle, key))
        .collect();
    assert_eq!(seen, [(Handle(0), 'a'), (Handle(2), 'c')]);
    assert_eq!(slab.next_occupied(1), Some(2));
    assert_eq!(slab.next_occupied(3), None);
}
