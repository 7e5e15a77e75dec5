//! What the fuzz targets do with their input. `tests/corpus.rs` does the same with the committed
//! corpora.

pub mod config;
pub mod flow_tracker;
pub mod host_agent;
pub mod ingress;
pub mod keys;
pub mod link;
pub mod packet;
pub mod role;
pub mod script;
pub mod seeds;
pub mod wire;

/// What a target does with one input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("wire", wire::run),
    ("packet", packet::run),
    ("link", link::run),
    ("config", config::run),
    ("keys", keys::run),
    ("ingress", ingress::run),
    ("flow_tracker", flow_tracker::run),
    ("host_agent", host_agent::run),
];
