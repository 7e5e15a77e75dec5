//! How long a host's flows last beside those of the others, by what the tracker sent and what hosts report.
//!
//! A host that fails at once, or resets, has few connections whatever it is given, so a policy that looks at
//! connections gives it the more. A short life alone is no failure: it is compared with the life of the
//! other hosts' flows. By Little's law (1961) mean lives are as connections over flows begun, and both are known here without
//! a clock: of the last flows that this tracker offered, so many went to the host, and so many of its connections there
//! were meanwhile.
//!
//! A host whose flows last less than a part `p` of what the others' do is *quick*. With `life` for that ratio it
//! counts as if it had `p³ / life²`, at most all, of the connections that it would have if its flows lasted as long
//! as the others' do. At a life of `p` that is what it has, so that nothing jumps there; at half of that it counts
//! as eight times as much. So a host that is a few times faster is left alone, and one that is too fast to be true
//! draws no more than its share. A faster host fills like the others, so one that has half as many connections
//! as they do for its weight is never quick.

use crate::policy::Candidate;
use jlb_protocol::digest::{Digest, Digester};

/// The flows of a pool that are looked back upon, for each of its hosts: at least, and at most.
const PER_HOST: (u64, u64) = (32, 128);

/// One flow or connection: sums have so many parts of one.
const ONE: u64 = 1 << 24;

/// Flows that a host was offered in the window, before its life is judged: a quick host is asked for
/// so many at least, which shows when it is well again.
const EVIDENCE: u64 = 8 * ONE;

/// A host that has at least one in so many of the connections that others have for their weight is not quick: one
/// that is only fast fills as they do.
const FILLED: u128 = 2;

/// Connections that the others together have on average, before a life is compared with theirs.
const BUSY: u64 = ONE / 4;

/// The flows that are looked back upon in a pool of so many hosts that have so many connections, as a power of
/// two: about as many as begin while one lasts.
pub(super) fn window(hosts: usize, connections: u64) -> u32 {
    let hosts = u64::try_from(hosts).unwrap_or(u64::MAX).clamp(1, 1 << 16);
    let (least, most) = PER_HOST;
    let flows = connections.clamp(hosts * least, hosts * most);
    flows.next_power_of_two().trailing_zeros()
}

/// The lives of one host's flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Lives {
    /// Flows of the window that it was offered.
    offered: u64,
    /// Connections that it had meanwhile, on average; at most as many as it was offered, since older
    /// ones say nothing of these.
    kept: u64,
}

impl Lives {
    /// A flow of the pool was offered to a host, to this one or not, which has reported so many connections.
    pub(super) fn pass(&mut self, window: u32, to_it: bool, connections: u32) {
        self.offered -= self.offered >> window;
        self.offered += if to_it { ONE } else { 0 };
        let now = self.now(connections);
        // One of the two is zero.
        let more = now.saturating_sub(self.kept) >> window;
        let less = self.kept.saturating_sub(now) >> window;
        self.kept = (self.kept + more - less).min(self.offered);
    }

    /// The connections of now that may be of the flows of the window.
    fn now(self, connections: u32) -> u64 {
        (u64::from(connections) * ONE).min(self.offered)
    }
}

/// A part of one, as a fraction of two numbers below 2^64.
#[derive(Clone, Copy, Debug)]
struct Fraction(u128, u128);

/// Sums over hosts that are compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    lives: Lives,
    shares: u64,
    connections: u64,
    load: u64,
}

impl Sums {
    /// One more host.
    pub(super) fn add(&mut self, lives: Lives, candidate: &Candidate) {
        self.lives.offered += lives.offered;
        self.lives.kept += lives.kept;
        self.shares += u64::from(candidate.share());
        self.connections += u64::from(candidate.assumed());
        self.load += u64::from(candidate.load);
    }

    /// Without one of them.
    fn without(self, lives: Lives, candidate: &Candidate) -> Self {
        Self {
            lives: Lives {
                offered: self.lives.offered.saturating_sub(lives.offered),
                kept: self.lives.kept.saturating_sub(lives.kept),
            },
            shares: self.shares.saturating_sub(u64::from(candidate.share())),
            connections: self
                .connections
                .saturating_sub(u64::from(candidate.assumed())),
            load: self.load.saturating_sub(u64::from(candidate.load)),
        }
    }

    /// The life of one's flows over that of the others'; `None` if too little is known.
    #[inline]
    fn life(self, lives: Lives, candidate: &Candidate) -> Option<Fraction> {
        let others = self.without(lives, candidate).lives;
        // A host that has just come, or come back, has more than it had on average.
        let kept = lives.kept.max(lives.now(candidate.connections));
        let known = lives.offered >= EVIDENCE && others.offered > 0 && others.kept >= BUSY;
        let wide = |it: u64| u128::from(it);
        known.then(|| {
            Fraction(
                wide(kept) * wide(others.offered),
                wide(lives.offered) * wide(others.kept),
            )
        })
    }

    /// The life of one's flows over that of the others', in thousandths, at most `u32::MAX`.
    pub(super) fn life_per_mille(self, lives: Lives, candidate: &Candidate) -> Option<u32> {
        let Fraction(own, others) = self.life(lives, candidate)?;
        let life = own.saturating_mul(1_000).checked_div(others)?;
        Some(u32::try_from(life).unwrap_or(u32::MAX))
    }

    /// Has a quick host count as more than it reports; whether it is one. `percent` is the part of the
    /// others' life below which a host is quick.
    #[inline]
    pub(super) fn weigh(self, lives: Lives, candidate: &mut Candidate, percent: u8) -> bool {
        match self.life(lives, candidate) {
            Some(life) if life.0 * 100 < life.1 * u128::from(percent) => {
                self.weigh_quick(lives, candidate, percent, life)
            }
            Some(_) | None => false,
        }
    }

    /// The same for one whose flows last so short.
    #[inline(never)]
    fn weigh_quick(
        self,
        lives: Lives,
        candidate: &mut Candidate,
        percent: u8,
        Fraction(own, others): Fraction,
    ) -> bool {
        let rest = self.without(lives, candidate);
        let kept = lives.kept.max(lives.now(candidate.connections));
        let filled = u128::from(kept) * u128::from(rest.shares) * FILLED;
        let others_have = u128::from(rest.connections) * u128::from(ONE);
        if filled >= others_have * u128::from(candidate.share()) {
            return false;
        }
        // p³ / life², at most 1, all in parts of 2^16.
        let life = (own << 16).checked_div(others).unwrap_or(0);
        let limit = (u128::from(percent) << 16) / 100;
        let part = limit.pow(3).checked_div(life * life);
        let part = part.map_or(1 << 16, |part| part.min(1 << 16));
        let share = |of_others: u64| {
            let full = (u128::from(of_others) * u128::from(lives.offered) * part)
                .div_ceil(u128::from(rest.lives.offered) << 16);
            u32::try_from(full).unwrap_or(u32::MAX)
        };
        let connections = share(rest.connections).saturating_sub(candidate.sent);
        candidate.connections = candidate.connections.max(connections);
        let load = u16::try_from(share(rest.load)).unwrap_or(u16::MAX);
        candidate.load = candidate.load.max(load);
        true
    }
}

impl Digest for Lives {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { offered, kept } = self;
        into.value(&(offered, kept));
    }
}

#[cfg(test)]
mod tests;
