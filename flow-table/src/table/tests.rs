use super::*;

const TICK: Duration = Duration::from_nanos(10);

#[test]
fn a_record_is_found_until_it_is_removed() {
    let mut table = FlowTable::new(4, TICK, 1);
    assert!(table.is_empty());
    let handle = table.insert('k', 7).unwrap();
    assert_eq!(table.find(&'k'), Some(handle));
    assert_eq!(table.find_hashed(table.hash_of(&'k'), &'k'), Some(handle));
    assert_eq!(
        (table.key(handle), table.get(handle)),
        (Some(&'k'), Some(&7))
    );
    *table.get_mut(handle).unwrap() = 8;
    assert_eq!(table.remove(handle), Some(('k', 8)));
    assert_eq!(table.find(&'k'), None);
    assert!(table.is_empty());
}

#[test]
fn a_full_table_refuses_and_stays_as_it_was() {
    let mut table = FlowTable::new(2, TICK, 1);
    assert!(table.insert(1, ()).is_ok());
    assert!(table.insert(2, ()).is_ok());
    assert_eq!(table.insert(3, ()), Err(Full { max_entries: 2 }));
    assert_eq!(table.find(&3), None);
    assert_eq!(table.len(), 2);
}

#[test]
fn a_table_for_nothing_is_always_full() {
    let mut table = FlowTable::new(0, TICK, 1);
    assert_eq!(table.find(&1), None);
    assert_eq!(table.insert(1, ()), Err(Full { max_entries: 0 }));
    assert_eq!(table.pop_expired(u64::MAX), None);
}

#[test]
fn a_stale_handle_finds_nothing() {
    let mut table = FlowTable::new(4, TICK, 1);
    let stale = table.insert('k', 7).unwrap();
    table.set_deadline(stale, 50);
    assert!(table.remove(stale).is_some());
    assert_eq!(table.next_deadline(), None);
    assert_eq!((table.key(stale), table.get(stale)), (None, None));
    table.set_deadline(stale, 50);
    table.clear_deadline(stale);
    assert_eq!(table.deadline(stale), None);
    assert_eq!(table.next_deadline(), None);
    assert_eq!(table.remove(stale), None);
    assert_eq!(table.get_mut(stale), None);
}

#[test]
fn a_handle_of_a_larger_table_finds_nothing() {
    let mut larger = FlowTable::new(5000, TICK, 1);
    let last = (0..5000)
        .map(|key| larger.insert(key, ()).unwrap())
        .last()
        .unwrap();
    let mut table = FlowTable::new(1, TICK, 1);
    assert!(table.insert(0, ()).is_ok());
    table.set_deadline(last, 1);
    assert_eq!(table.get(last), None);
    assert_eq!(table.remove(last), None);
    assert_eq!(table.after(Some(last)), None);
    assert_eq!(table.next_deadline(), None);
}

#[test]
fn deadlines_are_rounded_up_to_ticks_and_never_early() {
    let mut table = FlowTable::new(4, TICK, 1);
    let handle = table.insert('k', ()).unwrap();
    table.set_deadline(handle, 41);
    assert_eq!(table.deadline(handle), Some(50));
    assert_eq!(table.next_deadline(), Some(50));
    assert_eq!(table.pop_expired(49), None);
    assert_eq!(table.pop_expired(50), Some(handle));
    assert_eq!(table.deadline(handle), None);
    assert_eq!(table.get(handle), Some(&()));
}

#[test]
fn a_tick_of_zero_counts_as_a_nanosecond() {
    let mut table = FlowTable::new(4, Duration::ZERO, 1);
    let handle = table.insert('k', ()).unwrap();
    table.set_deadline(handle, 41);
    assert_eq!(table.pop_expired(40), None);
    assert_eq!(table.pop_expired(41), Some(handle));
}

#[test]
fn a_walk_in_portions_sees_every_record_that_stays() {
    let mut table = FlowTable::new(4, TICK, 1);
    let handles: [Handle; 4] = core::array::from_fn(|key| table.insert(key, ()).unwrap());
    let mut at = table.after(None);
    assert_eq!(at, Some(handles[0]));
    // The record where the walk stands goes away meanwhile.
    assert!(table.remove(handles[0]).is_some());
    assert!(table.remove(handles[1]).is_some());
    at = table.after(at);
    assert_eq!(at, Some(handles[2]));
    at = table.after(at);
    assert_eq!(at, Some(handles[3]));
    assert_eq!(table.after(at), None);
}

#[test]
fn a_clone_leads_its_own_life() {
    let mut table = FlowTable::new(4, TICK, 1);
    let handle = table.insert('k', 1).unwrap();
    table.set_deadline(handle, 100);
    let mut clone = table.clone();
    assert!(table.remove(handle).is_some());
    assert_eq!(clone.find(&'k'), Some(handle));
    assert_eq!(clone.pop_expired(100), Some(handle));
}

#[test]
fn max_entries_has_a_bound() {
    let table = FlowTable::<u32, ()>::new(0, TICK, 1);
    assert_eq!(table.max_entries(), 0);
    assert_eq!(FlowTable::<u32, ()>::MAX_ENTRIES, 16_777_214);
}

#[test]
fn a_walk_looks_at_a_bounded_number_of_places() {
    let mut table = FlowTable::<u64, u32>::new(100, Duration::from_millis(1), 7);
    assert_eq!(table.next_place(None, 10), Place::End);
    let handles: Vec<_> = (0..100).map(|key| table.insert(key, 0).unwrap()).collect();
    let (fifth, last) = (handles[5], handles[99]);
    for &handle in handles.iter().filter(|&&it| it != fifth && it != last) {
        table.remove(handle);
    }
    assert_eq!(table.next_place(None, 5), Place::Vacant(handles[4]));
    assert_eq!(table.next_place(None, 6), Place::Occupied(fifth));
    assert_eq!(
        table.next_place(Some(handles[4]), 0),
        Place::Occupied(fifth)
    );
    let (mut place, mut calls) = (Some(fifth), 0);
    loop {
        calls += 1;
        match table.next_place(place, 10) {
            Place::Vacant(handle) => place = Some(handle),
            Place::Occupied(handle) => break assert_eq!(handle, last),
            Place::End => panic!(),
        }
    }
    assert_eq!(calls, 10);
    assert_eq!(table.next_place(Some(last), 10), Place::End);
    assert_eq!(table.next_place(Some(last), u32::MAX), Place::End);
}

#[test]
fn a_guess_leads_to_what_a_search_finds() {
    let mut table = FlowTable::new(3_000, TICK, 5);
    for key in 0..3_000_u32 {
        assert!(table.insert(key, key).is_ok());
    }
    for key in (0..3_000).step_by(3) {
        let handle = table.find(&key).unwrap();
        table.remove(handle);
    }
    let mut others = 0;
    for key in 0..6_000 {
        let hash = table.hash_of(&key);
        let guess = table.guess(hash);
        let found = table.find(&key);
        assert_eq!(table.find_at(guess, hash, &key), found, "{key}");
        others += u32::from(guess.is_some() && guess != found);
    }
    // The tags of some are alike, so that the first place with one's tag is another's.
    assert!(others > 0);
}
