use super::*;
use crate::testbed::{birth, client};
use alloc::collections::BTreeMap;
use jlb_protocol::message::FlowState;

/// A hash that few flows share a part of.
fn hash(port: u16) -> FlowHash {
    FlowHash(u64::from(port % 7) << 32 | u64::from(port % 5))
}

fn line(port: u16, counter: u32) -> FlowStatement {
    FlowStatement {
        key: client(port).key(),
        birth: birth(counter),
        isn: 0,
        state: FlowState::Accepted,
        fresh: false,
    }
}

fn put(queue: &mut Queue, port: u16, counter: u32, max: usize) -> bool {
    queue.put(hash(port), line(port, counter), max)
}

#[test]
fn a_queue_keeps_the_place_of_a_flow_that_changes() {
    let mut queue = Queue::default();
    assert!(put(&mut queue, 1, 1, 2));
    assert!(put(&mut queue, 2, 2, 2));
    assert!(put(&mut queue, 1, 3, 2));
    assert!(!put(&mut queue, 3, 4, 2));
    queue.remove(hash(2), &client(2).key());
    assert!(put(&mut queue, 3, 4, 2));
    assert_eq!(queue.take(), Some(line(1, 3)));
    assert_eq!(queue.take(), Some(line(3, 4)));
    assert_eq!(queue.take(), None);
    assert!(queue.index.iter().all(|&place| place == EMPTY));
}

/// The same in two maps.
#[derive(Default)]
struct Model {
    by_age: BTreeMap<u64, FlowStatement>,
    ages: BTreeMap<FlowKey, u64>,
    next: u64,
}

impl Model {
    fn put(&mut self, statement: FlowStatement, max: usize) -> bool {
        if let Some(age) = self.ages.get(&statement.key) {
            self.by_age.insert(*age, statement);
            return true;
        }
        if self.by_age.len() >= max {
            return false;
        }
        self.ages.insert(statement.key, self.next);
        self.by_age.insert(self.next, statement);
        self.next += 1;
        true
    }

    fn remove(&mut self, key: &FlowKey) {
        if let Some(age) = self.ages.remove(key) {
            self.by_age.remove(&age);
        }
    }

    fn take(&mut self) -> Option<FlowStatement> {
        let (_, statement) = self.by_age.pop_first()?;
        self.ages.remove(&statement.key);
        Some(statement)
    }
}

#[test]
fn a_queue_does_what_two_maps_do() {
    let (mut queue, mut model) = (Queue::default(), Model::default());
    let mut state = 7_u64;
    for turn in 0..200_000_u32 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let drawn = (state >> 33) as u32;
        let port = 1 + (drawn >> 8) as u16 % 300;
        // It grows and shrinks in turns.
        let grows = turn / 2_000 % 2 == 0;
        match drawn % 8 {
            0 => {
                queue.remove(hash(port), &client(port).key());
                model.remove(&client(port).key());
            }
            1..=3 if !grows => assert_eq!(queue.take(), model.take()),
            1 => assert_eq!(queue.take(), model.take()),
            3 if drawn % 64 < 16 => {
                let most = 1 + (drawn >> 20) as usize % 250;
                let mut taken = Vec::new();
                queue.take_many(most, &mut taken);
                let expected = core::iter::from_fn(|| model.take()).take(most);
                assert!(taken.into_iter().eq(expected));
            }
            2 if drawn % 4_096 == 2 => {
                queue.clear();
                model = Model {
                    next: model.next,
                    ..Model::default()
                };
            }
            _ => {
                let statement = line(port, turn);
                let has_room = queue.put(hash(port), statement, 200);
                assert_eq!(has_room, model.put(statement, 200));
            }
        }
        assert_eq!(queue.len(), model.by_age.len());
        assert_eq!(queue.next_age(), model.next);
        let age = model.next.saturating_sub(u64::from(drawn % 250));
        assert_eq!(queue.older(age), model.by_age.range(..age).count());
        assert_eq!(queue.is_past(age), queue.older(age) == 0);
        if turn % 64 == 0 {
            assert!(queue.iter().eq(model.by_age.values()));
            assert!(2 * queue.line.len() <= queue.index.len());
        }
    }
}

#[test]
fn what_is_put_in_and_taken_back_again_and_again_takes_no_more_room() {
    let mut queue = Queue::default();
    assert!(put(&mut queue, 1, 1, 10));
    for turn in 0..10_000 {
        assert!(put(&mut queue, 2, turn, 10));
        queue.remove(hash(2), &client(2).key());
    }
    assert!(queue.line.len() <= LEAST_SLOTS && queue.index.len() <= LEAST_SLOTS);
    assert_eq!(queue.take(), Some(line(1, 1)));
}

#[test]
fn a_queue_that_was_long_gives_its_room_back() {
    let mut queue = Queue::default();
    for port in 1..=5_000 {
        assert!(queue.put(FlowHash(u64::from(port)), line(port, 1), 5_000));
    }
    assert!(queue.index.len() > MOST_IDLE_SLOTS);
    while queue.take().is_some() {}
    assert!(queue.index.is_empty() && queue.next_age() == 5_000);
}
