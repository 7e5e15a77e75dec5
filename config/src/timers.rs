//! `[timers]`: every time span of the cluster, its default, and how they must relate.

use crate::value::{SpanOrNever, TimeSpan};
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

macro_rules! timers {
    ($($(#[$doc:meta])+ $name:ident: $written:ident as $kept:ty = $default:expr;)+) => {
        /// The cluster's time spans.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Timers {
            $($(#[$doc])+ pub $name: $kept,)+
        }

        impl Default for Timers {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Timers {
            /// Every time span with the name of its key, in a fixed order; `None` for never.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, Option<Duration>)> {
                vec![$((stringify!($name), self.$name.into()),)+]
            }
        }

        /// `[timers]` as written.
        #[derive(Deserialize, Debug, Default)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct TimersTable {
            $($name: Option<Spanned<$written>>,)+
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

/// The longest that [`Timers::coalesce`] may be, and that a packet thread holds still: what heartbeats, timers of TCP and
/// rings bear.
pub const LONGEST_COALESCE: Duration = Duration::from_millis(5);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

timers! {
    /// Until an ingress first repeats an unanswered Open; doubles with each repeat (R5).
    open_retry: TimeSpan as Duration = millis(20);
    /// The longest wait between two repeats of an Open.
    open_retry_max: TimeSpan as Duration = millis(500);
    /// After this long without an answer an ingress drops the flow's waiting packets.
    open_timeout: TimeSpan as Duration = millis(3_000);
    /// An ingress forgets a cache entry without packets for this long; the flow lives on.
    cache_idle: TimeSpan as Duration = millis(900_000);
    /// Life of a tracker's record that is only offered or refused (R3).
    offered: TimeSpan as Duration = millis(10_000);
    /// Life of an accepted record that its host does not refresh (R9).
    lease: TimeSpan as Duration = millis(60_000);
    /// How often a host states each of its flows again: a third of the lease at most (R9).
    refresh: TimeSpan as Duration = millis(15_000);
    /// How long a tracker waits for hosts that it asks for a flow's owner (R4).
    who_has: TimeSpan as Duration = millis(200);
    /// Life of an accepted flow whose client does not finish the handshake (R3).
    handshake: TimeSpan as Duration = millis(10_000);
    /// How long a flow whose socket is given up is still delivered at most (R8).
    linger: TimeSpan as Duration = millis(10_000);
    /// Life of a UDP flow without packets (R8).
    udp_idle: TimeSpan as Duration = millis(60_000);
    /// How long a host gathers statements before it sends them.
    state_delay: TimeSpan as Duration = millis(5);
    /// Until an unacknowledged State is repeated (R5).
    state_retry: TimeSpan as Duration = millis(50);
    /// How often a host tells the trackers its load, at least.
    load_interval: TimeSpan as Duration = millis(100);
    /// How soon after that it does so again if its number of connections has changed.
    load_interval_min: TimeSpan as Duration = millis(10);
    /// An owner without a kernel socket for this long treats a repeated SYN as new (R7).
    socketless: TimeSpan as Duration = millis(1_000);
    /// How long one half of a host's filter of rejects is filled before they rotate (R5).
    reject_rotation: TimeSpan as Duration = millis(30_000);
    /// How often nodes that talk to each other say Hello, where membership is static.
    hello: TimeSpan as Duration = millis(500);
    /// How often ingress nodes and trackers say Hello to each other.
    heartbeat: TimeSpan as Duration = millis(100);
    /// An ingress or tracker that another of them has not heard of for this long is down to it.
    failure_timeout: TimeSpan as Duration = millis(400);
    /// How often a host and the ingress nodes and trackers say Hello to each other.
    host_heartbeat: TimeSpan as Duration = millis(200);
    /// A host that is not heard of for this long is down, and so is whom a host does not hear of.
    host_timeout: TimeSpan as Duration = millis(800);
    /// How long a host is down before clients get resets for its flows; `None` for never.
    dead_host_reset: SpanOrNever as Option<Duration> = Some(millis(15_000));
    /// How long a tracker that is being stopped still answers, after it has told its peers.
    leave: TimeSpan as Duration = millis(500);
    /// The longest that a packet thread which has to wait for processors holds still so that more comes at once, where
    /// packets of established connections come; `None` for never.
    coalesce: SpanOrNever as Option<Duration> = Some(Duration::from_micros(500));
}
