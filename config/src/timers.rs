//! `[timers]`: every time span of the cluster, its default, and how they must relate.

use crate::value::TimeSpan;
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

macro_rules! timers {
    ($($(#[$doc:meta])+ $name:ident = $millis:literal,)+) => {
        /// The cluster's time spans.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Timers {
            $($(#[$doc])+ pub $name: Duration,)+
        }

        impl Default for Timers {
            fn default() -> Self {
                Self { $($name: Duration::from_millis($millis),)+ }
            }
        }

        impl Timers {
            /// Every time span with the name of its key, in a fixed order.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, Duration)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }

        /// `[timers]` as written.
        #[derive(Deserialize, Debug, Default)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct TimersTable {
            $($name: Option<Spanned<TimeSpan>>,)+
        }

        impl TimersTable {
            /// The time spans, defaults where the file says nothing.
            pub(crate) fn resolve(&self) -> Timers {
                let default = Timers::default();
                Timers {
                    $($name: self.$name.as_ref().map_or(default.$name, |at| at.get_ref().0),)+
                }
            }

            /// The keys that the file has, with their values' places.
            pub(crate) fn written(&self) -> Vec<(&'static str, Range<usize>)> {
                let mut written = Vec::new();
                $(if let Some(at) = &self.$name {
                    written.push((stringify!($name), at.span()));
                })+
                written
            }
        }
    };
}

timers! {
    /// Until an ingress first repeats an unanswered Open; doubles with each repeat (R5).
    open_retry = 20,
    /// The longest wait between two repeats of an Open.
    open_retry_max = 500,
    /// After this long without an answer an ingress drops the flow's waiting packets.
    open_timeout = 3_000,
    /// An ingress forgets a cache entry without packets for this long; the flow lives on.
    cache_idle = 900_000,
    /// Life of a tracker's record that is only offered or refused (R3).
    offered = 10_000,
    /// Life of an accepted record that its host does not refresh (R9).
    lease = 60_000,
    /// How often a host states each of its flows again: a third of the lease at most (R9).
    refresh = 15_000,
    /// How long a tracker waits for hosts that it asks for a flow's owner (R4).
    who_has = 200,
    /// Life of an accepted flow whose client does not finish the handshake (R3).
    handshake = 10_000,
    /// How long a flow whose socket is given up is still delivered at most (R8).
    linger = 10_000,
    /// Life of a UDP flow without packets (R8).
    udp_idle = 60_000,
    /// How long a host gathers statements before it sends them.
    state_delay = 5,
    /// Until an unacknowledged State is repeated (R5).
    state_retry = 50,
    /// How often a host tells the trackers its load.
    load_interval = 100,
    /// An owner without a kernel socket for this long treats a repeated SYN as new (R7).
    socketless = 1_000,
    /// How long one half of a host's filter of rejects is filled before they rotate (R5).
    reject_rotation = 30_000,
    /// How often nodes that talk to each other say Hello.
    hello = 500,
}
