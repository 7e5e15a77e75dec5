//! The table against a model made of a `BTreeMap`, under any sequence of calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use jlb_flow_table::{FlowTable, Full, Handle};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Insert { key: u16, value: u32 },
    Remove { key: u16 },
    SetDeadline { key: u16, after: u64 },
    ClearDeadline { key: u16 },
    Advance { by: u64 },
    AdvanceToNext,
}

/// Spans of every order of magnitude, so that all wheels see use.
fn span() -> impl Strategy<Value = u64> {
    (0_u32..44, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
}

fn step(keys: u16) -> impl Strategy<Value = Step> {
    let key = 0..keys;
    prop_oneof![
        4 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Insert { key, value }),
        2 => key.clone().prop_map(|key| Step::Remove { key }),
        4 => (key.clone(), span()).prop_map(|(key, after)| Step::SetDeadline { key, after }),
        1 => key.prop_map(|key| Step::ClearDeadline { key }),
        2 => span().prop_map(|by| Step::Advance { by }),
        2 => Just(Step::AdvanceToNext),
    ]
}

struct Record {
    value: u32,
    /// In ticks.
    deadline: Option<u64>,
}

struct World {
    table: FlowTable<u16, u32>,
    model: BTreeMap<u16, Record>,
    tick: u64,
    now: u64,
}

impl World {
    fn new(max_entries: u32, tick: u64, seed: u64) -> Self {
        Self {
            table: FlowTable::new(max_entries, Duration::from_nanos(tick), seed),
            model: BTreeMap::new(),
            tick,
            now: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Insert { key, value } => self.insert(key, value),
            Step::Remove { key } => {
                let removed = self
                    .handle(key)
                    .and_then(|handle| self.table.remove(handle));
                let expected = self.model.remove(&key).map(|record| (key, record.value));
                assert_eq!(removed, expected);
            }
            Step::SetDeadline { key, after } => {
                // Within the 2^32 - 1 ticks that are promised.
                let nanos = self.now + after % (self.tick * u64::from(u32::MAX));
                if let (Some(handle), Some(record)) = (self.handle(key), self.model.get_mut(&key)) {
                    self.table.set_deadline(handle, nanos);
                    record.deadline = Some(nanos.div_ceil(self.tick));
                }
            }
            Step::ClearDeadline { key } => {
                if let (Some(handle), Some(record)) = (self.handle(key), self.model.get_mut(&key)) {
                    self.table.clear_deadline(handle);
                    record.deadline = None;
                }
            }
            Step::Advance { by } => self.advance(self.now + by),
            Step::AdvanceToNext => {
                if let Some(next) = self.table.next_deadline() {
                    self.advance(next.max(self.now));
                }
            }
        }
    }

    fn insert(&mut self, key: u16, value: u32) {
        if let Some(handle) = self.handle(key) {
            *self.table.get_mut(handle).unwrap() = value;
            self.model.get_mut(&key).unwrap().value = value;
            return;
        }
        let max_entries = self.table.max_entries();
        let inserted = self.table.insert(key, value);
        if self.model.len() < max_entries as usize {
            assert!(inserted.is_ok());
            let deadline = None;
            self.model.insert(key, Record { value, deadline });
        } else {
            assert_eq!(inserted, Err(Full { max_entries }));
        }
    }

    fn advance(&mut self, now: u64) {
        self.now = now;
        let mut last = 0;
        // Each record is dealt out at most ten times, 1,024 in a call.
        for _ in 0..=self.model.len() / 100 {
            while let Some(handle) = self.table.pop_expired(now) {
                assert_eq!(self.table.deadline(handle), None);
                let key = self.table.key(handle).unwrap();
                let tick = self.model.get_mut(key).unwrap().deadline.take().unwrap();
                assert!(tick >= last, "in order");
                assert!(tick * self.tick <= now, "not early");
                last = tick;
            }
            if self.table.next_deadline().is_none_or(|next| next > now) {
                break;
            }
        }
        for record in self.model.values() {
            assert!(
                record.deadline.is_none_or(|tick| tick * self.tick > now),
                "not late"
            );
        }
        assert!(
            self.table.next_deadline().is_none_or(|next| next > now),
            "no busy loop"
        );
    }

    fn handle(&self, key: u16) -> Option<Handle> {
        let handle = self.table.find(&key);
        assert_eq!(handle.is_some(), self.model.contains_key(&key));
        handle
    }

    fn compare(&self) {
        assert_eq!(self.table.len() as usize, self.model.len());
        for (&key, record) in &self.model {
            let handle = self.table.find(&key).unwrap();
            assert_eq!(self.table.key(handle), Some(&key));
            assert_eq!(self.table.get(handle), Some(&record.value));
            let deadline = record.deadline.map(|tick| tick * self.tick);
            assert_eq!(self.table.deadline(handle), deadline);
        }
        let earliest = self
            .model
            .values()
            .filter_map(|record| record.deadline)
            .min();
        match (self.table.next_deadline(), earliest) {
            (None, None) => {}
            (Some(next), Some(tick)) => assert!(next <= tick * self.tick),
            (next, tick) => panic!("next deadline {next:?}, earliest {tick:?}"),
        }
        let mut listed: Vec<_> = self
            .table
            .iter()
            .map(|(_, &key, &value)| (key, value))
            .collect();
        listed.sort_unstable();
        let expected: Vec<_> = self.model.iter().map(|(&key, r)| (key, r.value)).collect();
        assert_eq!(listed, expected);
        let mut walked = Vec::new();
        let mut at = self.table.after(None);
        while let Some(handle) = at {
            walked.push(handle);
            at = self.table.after(at);
        }
        assert!(walked.iter().copied().eq(self.table.handles()));
    }
}

proptest! {
    #[test]
    fn small_tables_agree_with_the_model(
        max_entries in 0_u32..20,
        tick in 1_u64..5000,
        seed: u64,
        start in span(),
        steps in prop::collection::vec(step(24), 1..200),
    ) {
        let mut world = World::new(max_entries, tick, seed);
        world.advance(start);
        for step in &steps {
            world.take(step);
            world.compare();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn tables_of_several_chunks_agree_with_the_model(
        seed: u64,
        crowd in span(),
        steps in prop::collection::vec(step(6000), 1..1000),
    ) {
        let mut world = World::new(3000, 1_000_000, seed);
        for key in (0..5000).step_by(2) {
            world.insert(key, key.into());
            world.take(&Step::SetDeadline { key, after: crowd });
        }
        for steps in steps.chunks(50) {
            for step in steps {
                world.take(step);
            }
            world.compare();
        }
    }
}
