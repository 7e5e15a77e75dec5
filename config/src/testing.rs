//! A small cluster for the tests of this crate.

use crate::{ClusterConfig, Keys, Loaded, MessageKey};
use std::path::Path;

/// Two ingress nodes, two trackers, three hosts, three services.
pub(crate) const CLUSTER: &str = r#"
[cluster]
name = "shop"
key_file = "cluster.key"

[[node]]
number = 2
name = "in-2"
role = "ingress"
underlay = ["10.0.0.2", "fd00::2"]

[[node]]
number = 1
name = "in-1"
role = "ingress"
underlay = ["10.0.0.1"]
admin = "127.0.0.1:9000"

[[node]]
number = 11
name = "tr-1"
role = "flow-tracker"
underlay = ["10.0.0.11"]

[[node]]
number = 12
name = "tr-2"
role = "flow-tracker"
underlay = ["10.0.0.12"]

[[node]]
number = 103
name = "web-3"
role = "host-agent"
underlay = ["10.0.0.103"]

[[node]]
number = 102
name = "web-2"
role = "host-agent"
underlay = ["10.0.0.102"]

[[node]]
number = 101
name = "web-1"
role = "host-agent"
underlay = ["10.0.0.101"]

[[service]]
number = 5
name = "any"
vip = "2001:db8::80"
protocol = "udp"
ports = "any"
hosts = ["web-3"]

[[service]]
number = 4
name = "http"
vip = "192.0.2.10"
protocol = "tcp"
ports = 80
hosts = ["web-2", { name = "web-1", weight = 3, max_connections = 7 }]
policy = "least-connections"
search_ttl = 2
max_connections = 1000

[[service]]
number = 6
name = "https"
vip = "192.0.2.10"
protocol = "tcp"
ports = 443
hosts = ["web-1"]
"#;

pub(crate) fn keys(hash: u8) -> Keys {
    let key = MessageKey {
        id: 1,
        secret: [200; 16],
    };
    Keys::new([hash; 16], vec![key]).unwrap()
}

/// The cluster of a text that must be valid.
pub(crate) fn cluster(text: &str) -> ClusterConfig {
    loaded(text).config
}

/// What a text that must be valid gives.
pub(crate) fn loaded(text: &str) -> Loaded {
    ClusterConfig::parse_with_keys(text, Path::new("cluster.toml"), keys(1)).unwrap()
}
