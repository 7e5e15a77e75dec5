//! Failure detection: who has been silent for too long, and whether it was this node that was away.

use crate::membership::Membership;
use crate::peer::Silence;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::Time;

/// Credit for one probe comes this often: 500 a second at most, beside the heartbeats.
const PROBE_CREDIT: Duration = Duration::from_millis(2);

/// Probes that may be sent in one burst.
const MAX_CREDIT: u32 = 32;

impl Membership {
    /// Looks at the clock: notices a pause (R11), believes down who was silent for too long, asks
    /// who is about to be. Cheap when nothing is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.look(now);
        if self.config.fixed || now < self.wake {
            return;
        }
        let lateness = now.since(self.wake);
        if lateness > self.paces.pulse() {
            // Whoever was silent meanwhile may have spoken to a node that did not listen.
            self.stats.excused += 1;
            for peer in &mut self.peers {
                peer.excuse(now, lateness);
            }
        }
        self.wake = now + self.paces.pulse();
        if self.paused {
            return;
        }
        let lost = self.find_silent(now);
        let forgot = self.forget(now);
        self.spread(now);
        if lost || forgot {
            self.review();
        }
    }

    /// Every look at the clock shows how long ago the last one was.
    pub(crate) fn look(&mut self, now: Time) {
        let gap = now.since(self.looked);
        self.looked = self.looked.max(now);
        if gap > self.paces.pause() && !self.config.fixed {
            self.stats.pauses += 1;
            self.paused = true;
            self.pending.renew();
            self.pending.paused = true;
            self.lose_everybody(now);
            self.review();
        }
    }

    /// Believes down who was silent for too long, and asks who is about to be. `true` if anybody is
    /// down now who was not.
    fn find_silent(&mut self, now: Time) -> bool {
        let lost = self.stats.silent + self.stats.deaf;
        let mut suspects = Vec::new();
        for at in 0..self.peers.len() {
            let peer = &self.peers[at];
            let pace = self.paces.with(peer.known.role);
            let Some(silence) = peer.silence(now, pace) else {
                continue;
            };
            match silence {
                Silence::Fine { until } => self.wake = self.wake.min(until),
                Silence::Suspect { until } => {
                    self.wake = self.wake.min(until);
                    let next = peer.probed + pace.probe_interval();
                    if next <= now {
                        suspects.push((peer.probed, at));
                        self.wake = self.wake.min(now + pace.probe_interval());
                    } else {
                        self.wake = self.wake.min(next);
                    }
                }
                Silence::Silent => {
                    self.stats.silent += 1;
                    self.stats.longest_silence =
                        self.stats.longest_silence.max(peer.silent_for(now));
                    self.peers[at].lose(now);
                }
                Silence::Deaf => {
                    self.stats.deaf += 1;
                    self.peers[at].lose(now);
                }
            }
        }
        // Where there are more than may be asked, those who were not asked for longest come first.
        suspects.sort_unstable();
        for (_, at) in suspects {
            self.probe(now, at);
        }
        self.stats.silent + self.stats.deaf != lost
    }

    /// Asks a peer outside the heartbeat, unless it was asked just now or too many were.
    pub(crate) fn ask_soon(&mut self, now: Time, at: usize) {
        let peer = &self.peers[at];
        let pace = self.paces.with(peer.known.role);
        if !peer.is_up() && now.since(peer.probed) >= pace.probe_interval() {
            self.probe(now, at);
        }
    }

    fn probe(&mut self, now: Time, at: usize) {
        if self.probe_credit == 0 {
            let earned = now.since(self.credited).as_nanos() / PROBE_CREDIT.as_nanos();
            self.probe_credit = u32::try_from(earned).unwrap_or(MAX_CREDIT).min(MAX_CREDIT);
            if self.probe_credit == 0 {
                return;
            }
            self.credited = now;
        }
        self.probe_credit -= 1;
        let peer = &mut self.peers[at];
        peer.probed = now;
        self.stats.probes += 1;
        self.pending.probe(peer.known.node);
    }
}

#[cfg(test)]
mod tests;
