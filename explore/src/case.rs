//! What may happen in an exploration: each case bounds how often.

use crate::cluster::{HOSTS, INGRESSES, Place, TRACKERS};

/// The bounds of an exploration. Within them everything happens in every order.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is about.
    pub words: &'static str,
    /// Offers that a search may make (R6).
    pub(crate) search_ttl: u8,
    /// Hosts without room for any flow, at first.
    pub(crate) full_hosts: &'static [Place],
    /// How often a full host gets room. It reports that, and what it has, in messages as all others.
    pub(crate) frees: u8,
    /// For how long a flow that nobody takes waits, in units of time; 0 where it is refused.
    pub(crate) queue: u32,
    /// Whether a host that rejects passes the Offer straight to the next one; where it does, the full hosts
    /// have room in their next lives.
    pub(crate) hunts: bool,
    /// How often the client's SYN of each life arrives at an ingress, whichever.
    pub(crate) syns: [u8; 2],
    /// How often data of each life arrives at an ingress.
    pub(crate) data: [u8; 2],
    /// How often a FIN of the first life arrives.
    pub(crate) fins: u8,
    /// Messages that arrive once more.
    pub(crate) duplicates: u8,
    /// Messages that are taken off the wire. What may be lost without bound is what no case waits
    /// for: in every state each message under way may stay there for ever.
    pub(crate) losses: u8,
    /// Deadlines that may pass on all nodes of a role: ingress, tracker, host.
    pub(crate) timers: [u8; 3],
    /// Times that a host agent lists its kernel's sockets.
    pub(crate) dumps: u8,
    /// The nodes that may crash, all at once, or that others may come to believe down.
    pub(crate) subjects: &'static [Place],
    /// Crashes of the subjects, each with a start without memory.
    pub(crate) crashes: u8,
    /// Changes of what the others believe of the subjects, of all of them together.
    pub(crate) beliefs: u8,
    /// Whether crashed subjects start again.
    pub(crate) starts: bool,
    /// How many nodes may be wrong about living subjects at a time.
    pub(crate) wrong_at_once: u8,
    /// Whether the others change their beliefs as tiers (ingress nodes, trackers, hosts) and not each
    /// for itself.
    pub(crate) by_tier: bool,
    /// Whether runs that come to rest are asked whether the client was served (S3).
    pub(crate) must_serve: bool,
    /// Deadlines pass only when no message is under way: messages are faster than repeats.
    pub(crate) is_patient: bool,
    /// An Ack arrives in the step that sends it. It only decides whether a State is repeated.
    pub(crate) acks_are_prompt: bool,
    /// Whether it is one of those that are searched on every change of the project.
    pub is_small: bool,
}

const NOTHING: Case = Case {
    name: "",
    words: "",
    search_ttl: 2,
    full_hosts: &[],
    frees: 0,
    queue: 0,
    hunts: false,
    syns: [1, 0],
    data: [0, 0],
    fins: 0,
    duplicates: 0,
    losses: 0,
    timers: [0, 0, 0],
    dumps: 0,
    subjects: &[],
    crashes: 0,
    beliefs: 0,
    starts: true,
    wrong_at_once: 5,
    by_tier: false,
    must_serve: false,
    is_patient: false,
    acks_are_prompt: false,
    is_small: false,
};

impl Case {
    /// Every case.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "order",
            words: "a SYN that comes twice and data, through either ingress; messages come twice",
            syns: [2, 0],
            data: [1, 0],
            duplicates: 2,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "deadlines",
            words: "deadlines of every node pass at any moment",
            syns: [1, 0],
            data: [1, 0],
            duplicates: 1,
            timers: [1, 1, 1],
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "full",
            words: "the host that is asked first has no room",
            syns: [2, 0],
            data: [1, 0],
            duplicates: 2,
            full_hosts: &[HOSTS[1]],
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "refused",
            words: "no host has room",
            syns: [2, 0],
            duplicates: 2,
            full_hosts: &HOSTS,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "queue",
            words: "no host has room at first: the flow waits until one reports some, or for too long",
            search_ttl: 4,
            full_hosts: &HOSTS,
            frees: 1,
            queue: 4,
            syns: [2, 0],
            data: [1, 0],
            timers: [0, 1, 0],
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "queue-views",
            words: "as queue, where each node by itself believes the primary down, or up again",
            search_ttl: 4,
            full_hosts: &HOSTS,
            frees: 1,
            queue: 4,
            syns: [1, 0],
            subjects: &[TRACKERS[0]],
            beliefs: 2,
            timers: [0, 1, 0],
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "reuse",
            words: "the client leaves its connection and uses its port again, with a second ISN",
            syns: [1, 1],
            data: [1, 0],
            duplicates: 2,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "reuse-closed",
            words: "the client closes, and uses its port again; the host lists its sockets",
            syns: [1, 1],
            data: [1, 1],
            fins: 1,
            dumps: 1,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "views-primary",
            words: "each node by itself believes the primary down, or up again",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[TRACKERS[0]],
            beliefs: 2,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "views-secondary",
            words: "each node by itself believes the secondary down, or up again",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[TRACKERS[1]],
            beliefs: 2,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "views-host",
            words: "each node by itself believes the host down that is asked first, or up again",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[HOSTS[1]],
            beliefs: 2,
            wrong_at_once: 1,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "crash-rejoin",
            words: "the primary crashes with the record of an accepted flow, is filled and ranked again",
            syns: [1, 0],
            data: [0, 0],
            timers: [0, 0, 4],
            subjects: &[TRACKERS[0]],
            crashes: 1,
            beliefs: 6,
            wrong_at_once: 0,
            by_tier: true,
            is_patient: true,
            acks_are_prompt: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "listed",
            words: "all of it at once, for a large machine: reuse, copies, deadlines, a crash, beliefs",
            syns: [1, 1],
            data: [1, 0],
            duplicates: 2,
            timers: [1, 1, 1],
            subjects: &[TRACKERS[0]],
            crashes: 1,
            beliefs: 1,
            wrong_at_once: 1,
            ..NOTHING
        },
        Self {
            name: "crash-primary",
            words: "the primary crashes, is filled and ranked again",
            syns: [1, 0],
            data: [1, 0],
            timers: [0, 0, 4],
            subjects: &[TRACKERS[0]],
            crashes: 1,
            beliefs: 6,
            by_tier: true,
            losses: 0,
            is_patient: true,
            acks_are_prompt: true,
            wrong_at_once: 0,
            ..NOTHING
        },
        Self {
            name: "crash-secondary",
            words: "the secondary crashes, is filled and ranked again",
            syns: [1, 0],
            data: [1, 0],
            timers: [0, 0, 4],
            subjects: &[TRACKERS[1]],
            crashes: 1,
            beliefs: 6,
            by_tier: true,
            losses: 0,
            is_patient: true,
            acks_are_prompt: true,
            wrong_at_once: 0,
            ..NOTHING
        },
        Self {
            name: "crash-views",
            words: "the primary crashes, and each node by itself hears of it",
            syns: [1, 0],
            data: [1, 0],
            subjects: &[TRACKERS[0]],
            crashes: 1,
            beliefs: 2,
            duplicates: 0,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "crash-trackers",
            words: "all trackers crash at once, are filled and ranked again",
            syns: [1, 0],
            data: [1, 0],
            timers: [0, 0, 4],
            subjects: &TRACKERS,
            crashes: 1,
            beliefs: 4,
            wrong_at_once: 0,
            by_tier: true,
            losses: 0,
            is_patient: true,
            acks_are_prompt: true,
            ..NOTHING
        },
        Self {
            name: "two-trackers",
            words: "both trackers of the flow die, and the others come to know it one tier after the other",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[TRACKERS[0], TRACKERS[1]],
            crashes: 1,
            beliefs: 4,
            wrong_at_once: 0,
            by_tier: true,
            starts: false,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "no-trackers",
            words: "all trackers die, and ingress nodes and hosts come to know it",
            syns: [2, 0],
            data: [1, 0],
            subjects: &TRACKERS,
            crashes: 1,
            beliefs: 4,
            wrong_at_once: 0,
            starts: false,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "cut-off",
            words: "one node does not see any tracker, though they are up",
            syns: [2, 0],
            data: [1, 0],
            subjects: &TRACKERS,
            beliefs: 2,
            wrong_at_once: 1,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "crash-host",
            words: "the agent of the host that is asked first crashes, and lists its sockets anew",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[HOSTS[1]],
            crashes: 1,
            beliefs: 1,
            dumps: 2,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "crash-ingress",
            words: "an ingress crashes",
            syns: [2, 0],
            data: [2, 0],
            duplicates: 1,
            subjects: &[INGRESSES[0]],
            crashes: 1,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "losses",
            words: "two messages are lost: what comes to rest has served the client, or refused it",
            syns: [2, 0],
            losses: 2,
            timers: [6, 0, 12],
            must_serve: true,
            is_patient: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "losses-full",
            words: "as losses, where the host that is asked first has no room",
            syns: [2, 0],
            losses: 2,
            timers: [6, 0, 12],
            full_hosts: &[HOSTS[1]],
            must_serve: true,
            is_patient: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "hunt",
            words: "as full, and the host passes the Offer straight to the next one",
            syns: [2, 0],
            data: [1, 0],
            duplicates: 1,
            full_hosts: &[HOSTS[1]],
            hunts: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "hunt-losses",
            words: "as losses-full, in a direct hunt",
            syns: [2, 0],
            losses: 2,
            timers: [6, 0, 12],
            full_hosts: &[HOSTS[1]],
            hunts: true,
            must_serve: true,
            is_patient: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "hunt-views-primary",
            words: "as views-primary, in a direct hunt: another primary goes on with it",
            syns: [2, 0],
            subjects: &[TRACKERS[0]],
            beliefs: 2,
            full_hosts: &[HOSTS[1]],
            hunts: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "hunt-views-secondary",
            words: "as views-secondary, in a direct hunt",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[TRACKERS[1]],
            beliefs: 2,
            full_hosts: &[HOSTS[1]],
            hunts: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "hunt-views-host",
            words: "as views-host, in a direct hunt: the host that passes the Offer on is believed down",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[HOSTS[1]],
            beliefs: 2,
            wrong_at_once: 1,
            full_hosts: &[HOSTS[1]],
            hunts: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "hunt-crash-views",
            words: "as crash-views, in a direct hunt",
            syns: [1, 0],
            data: [1, 0],
            subjects: &[TRACKERS[0]],
            crashes: 1,
            beliefs: 2,
            full_hosts: &[HOSTS[1]],
            hunts: true,
            is_small: true,
            ..NOTHING
        },
        Self {
            name: "hunt-crash-host",
            words: "the agent of the host that passes the Offer on crashes, and has room in its next life",
            syns: [2, 0],
            data: [1, 0],
            subjects: &[HOSTS[1]],
            crashes: 1,
            beliefs: 1,
            dumps: 2,
            full_hosts: &[HOSTS[1]],
            hunts: true,
            is_small: true,
            ..NOTHING
        },
    ];

    /// The bounds in words.
    #[must_use]
    pub fn bounds(&self) -> String {
        let names = |places: &[Place]| {
            let names: Vec<_> = places.iter().map(|place| place.name()).collect();
            names.join(", ")
        };
        let mut words = format!(
            "2 ingress, 3 trackers, 2 hosts, 1 flow; search TTL {}; SYNs {:?}, data {:?} by life, {} \
             FINs; {} duplicates; losses: any number, {} where the end is looked at; deadlines \
             {:?} by role; {} dumps",
            self.search_ttl,
            self.syns,
            self.data,
            self.fins,
            self.duplicates,
            self.losses,
            self.timers,
            self.dumps,
        );
        if !self.subjects.is_empty() {
            let (crashes, beliefs, names) = (self.crashes, self.beliefs, names(self.subjects));
            let who = if self.by_tier { "tiers" } else { "nodes" };
            let wrong = self.wrong_at_once;
            words += &format!(
                "; {crashes} crashes of {names}, {beliefs} times other {who} change their belief, {wrong} \
                 wrong about the living at a time"
            );
        }
        if !self.full_hosts.is_empty() {
            words += &format!("; full: {}", names(self.full_hosts));
        }
        if self.queue > 0 {
            let (queue, frees) = (self.queue, self.frees);
            words += &format!("; flows wait for {queue} units, hosts get room {frees} times");
        }
        if self.hunts {
            words += " in their first lives; direct hunts";
        }
        if self.acks_are_prompt {
            words += "; Acks arrive at once";
        }
        if self.is_patient {
            words += "; messages are faster than repeats";
        }
        words
    }

    /// The case of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|case| case.name == name).copied()
    }
}
