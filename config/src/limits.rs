//! `[limits]`: every bound of the cluster and its default (R14).

use crate::value::{Number, Size};
use jlb_flow_table::FlowTable;
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

macro_rules! limits {
    ($($(#[$doc:meta])+ $name:ident: $written:ident = $default:literal, at most $most:expr;)+) => {
        /// The bounds of every node's tables, queues and lists (R14).
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Limits {
            $($(#[$doc])+ pub $name: u32,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// Every bound with the name of its key, in a fixed order.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u32)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }

        /// `[limits]` as written.
        #[derive(Deserialize, Debug, Default)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct LimitsTable {
            $($name: Option<Spanned<$written>>,)+
        }

        impl LimitsTable {
            /// The bounds, defaults where the file says nothing or says what `written` refuses.
            pub(crate) fn resolve(&self) -> Limits {
                let default = Limits::default();
                Limits {
                    $($name: self.$name.as_ref().map_or(default.$name, |at| {
                        u32::try_from(at.get_ref().amount()).unwrap_or(default.$name)
                    }),)+
                }
            }

            /// The keys that the file has, with their values, places and largest values.
            pub(crate) fn written(&self) -> Vec<Written> {
                let mut written = Vec::new();
                $(if let Some(at) = &self.$name {
                    written.push(Written {
                        name: stringify!($name),
                        value: at.get_ref().amount(),
                        span: at.span(),
                        most: $most,
                    });
                })+
                written
            }
        }
    };
}

/// One key of `[limits]` as written.
pub(crate) struct Written {
    pub(crate) name: &'static str,
    pub(crate) value: u64,
    pub(crate) span: Range<usize>,
    pub(crate) most: u64,
}

const FLOW_TABLE: u64 = FlowTable::<(), ()>::MAX_ENTRIES as u64;

limits! {
    /// Nodes that a node knows, itself included.
    max_nodes: Number = 4_096, at most 65_535;
    /// Flows in an ingress's cache, records of a tracker, flows of a host.
    max_flows: Number = 1_000_000, at most FLOW_TABLE;
    /// Flows that wait for an answer at an ingress.
    max_pending: Number = 16_384, at most FLOW_TABLE;
    /// Packets that wait for one flow's answer, the first included.
    max_pending_packets_per_flow: Number = 64, at most 65_535;
    /// Bytes of all packets that wait at an ingress.
    max_pending_bytes: Size = 33_554_432, at most 1 << 30;
    /// A tracker's records that are offered or accepted, but not established (R3).
    max_untrusted: Number = 65_536, at most FLOW_TABLE;
    /// Searches under way at a tracker.
    max_searches: Number = 65_536, at most FLOW_TABLE;
    /// Packets that a tracker holds while it asks hosts for their owner (R4).
    max_who_has: Number = 1_024, at most 1 << 20;
    /// Connections that wait at a tracker for a host to report room (R6).
    max_queued: Number = 16_384, at most FLOW_TABLE;
    /// Bytes of their packets.
    max_queued_bytes: Size = 16_777_216, at most 1 << 30;
    /// Messages of a node that wait to be sent.
    max_outbox: Number = 8_192, at most 1 << 20;
    /// Offer numbers in each half of a host's filter of rejects (R5).
    max_rejects: Number = 65_536, at most FLOW_TABLE;
    /// Statements of a host that wait for one tracker.
    max_statements: Number = 131_072, at most FLOW_TABLE;
}
