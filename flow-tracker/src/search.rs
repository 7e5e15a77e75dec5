//! The hosts that said no in the search for a flow's host. Most flows are taken by the first host
//! that is asked and never have an entry here, so that records stay small.

use core::time::Duration;
use jlb_flow_table::FlowTable;
use jlb_protocol::message::{Hunt, Tried};
use jlb_protocol::{FlowKey, NodeNumber, Time};

mod digest;

/// Deadlines of searches are rounded up to this.
const TICK: Duration = Duration::from_millis(10);

/// One search.
#[derive(Clone, Debug)]
struct Search {
    /// The id of the attempt.
    isn: u32,
    tried: Tried,
    /// The hosts that are asked one after the other, where the search is a direct hunt.
    hunt: Hunt,
}

/// The searches under way, and for a while those that ended: what a host that said no had stated
/// before may still arrive.
#[derive(Clone, Debug)]
pub(crate) struct Searches {
    table: FlowTable<FlowKey, Search>,
    /// How long an entry lives after its last change; as long as an offered record.
    life: Duration,
}

impl Searches {
    pub(crate) fn new(max: u32, life: Duration, seed: u64) -> Self {
        Self {
            table: FlowTable::new(max, TICK, seed),
            life,
        }
    }

    pub(crate) const fn reconfigure(&mut self, life: Duration) {
        self.life = life;
    }

    /// The hosts that said no to this attempt.
    pub(crate) fn tried(&self, key: &FlowKey, isn: u32) -> Tried {
        self.find(key)
            .filter(|search| search.isn == isn)
            .map_or(Tried::NONE, |search| search.tried)
    }

    /// Whether the host said no in the flow's last search, so that older words of it count for
    /// nothing against another host.
    pub(crate) fn has_refused(&self, key: &FlowKey, host: NodeNumber) -> bool {
        self.find(key)
            .is_some_and(|search| search.tried.contains(host))
    }

    fn find(&self, key: &FlowKey) -> Option<&Search> {
        if self.table.is_empty() {
            return None;
        }
        self.table.get(self.table.find(key)?)
    }

    /// The hosts that this attempt's direct hunt asks.
    pub(crate) fn hunt(&self, key: &FlowKey, isn: u32) -> Hunt {
        self.find(key)
            .filter(|search| search.isn == isn)
            .map_or(Hunt::NONE, |search| search.hunt)
    }

    /// The attempt has no such list after all.
    pub(crate) fn forget_hunt(&mut self, key: &FlowKey, isn: u32) {
        if self.table.is_empty() {
            return;
        }
        let found = self.table.find(key);
        if let Some(search) = found.and_then(|handle| self.table.get_mut(handle))
            && search.isn == isn
        {
            search.hunt = Hunt::NONE;
        }
    }

    /// Keeps the hosts that said no to this attempt; what is known of another attempt is
    /// forgotten. False if there is no room.
    #[must_use]
    pub(crate) fn remember(&mut self, now: Time, key: FlowKey, isn: u32, tried: Tried) -> bool {
        let hunt = self.hunt(&key, isn);
        self.remember_hunt(now, key, isn, tried, hunt)
    }

    /// The same, with the hosts that the attempt's hunt asks.
    #[must_use]
    pub(crate) fn remember_hunt(
        &mut self,
        now: Time,
        key: FlowKey,
        isn: u32,
        tried: Tried,
        hunt: Hunt,
    ) -> bool {
        let search = Search { isn, tried, hunt };
        let handle = match self.table.find(&key) {
            Some(handle) => {
                if let Some(value) = self.table.get_mut(handle) {
                    *value = search;
                }
                handle
            }
            // A list that no host has been asked by leaves room for searches with rejects: without it the
            // flow is searched for as well.
            None if hunt.passes() && tried.is_empty() && !self.has_room_for_list() => {
                return false;
            }
            None => match self.table.insert(key, search) {
                Ok(handle) => handle,
                Err(_) => return false,
            },
        };
        self.table
            .set_deadline(handle, (now + self.life).as_nanos());
        true
    }

    fn has_room_for_list(&self) -> bool {
        self.table.len() < self.table.max_entries().div_ceil(2)
    }

    /// The search is over. The entry stays for a while if there is room to spare, after that for new
    /// lists.
    pub(crate) fn end(&mut self, now: Time, key: &FlowKey) {
        if self.table.is_empty() {
            return;
        }
        let Some(handle) = self.table.find(key) else {
            return;
        };
        if self.table.len() > self.table.max_entries() / 4 {
            self.table.remove(handle);
        } else {
            self.table
                .set_deadline(handle, (now + self.life).as_nanos());
        }
    }

    /// Removes one entry whose time is over; false if there is none.
    pub(crate) fn expire(&mut self, now: Time) -> bool {
        match self.table.pop_expired(now.as_nanos()) {
            Some(handle) => self.table.remove(handle).is_some(),
            None => false,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.table.next_deadline()
    }

    pub(crate) fn len(&self) -> u32 {
        self.table.len()
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.table.allocated_bytes()
    }
}

#[cfg(test)]
mod tests;
