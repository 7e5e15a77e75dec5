//! The cluster file.

use jlb_config::{ClusterConfig, Keys, MessageKey, Style};
use jlb_protocol::Role;
use std::path::Path;

/// Parses a cluster file, draws what is wrong with it, and makes every node's configuration.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let keys = Keys::new([1; 16], vec![MessageKey { id: 1, secret: [2; 16] }]);
    let loaded = match ClusterConfig::parse_with_keys(text, Path::new("jlb.toml"), keys.unwrap()) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.findings().is_empty());
            assert!(!error.render(Style::PLAIN).is_empty());
            return;
        }
    };
    let _ = loaded.warnings.render(Style::COLOUR);
    let cluster = loaded.config;
    let _ = cluster.fingerprint();
    for node in cluster.nodes() {
        let made = match node.role {
            Role::Ingress => cluster.ingress(&node.name).is_ok(),
            Role::FlowTracker => cluster.flow_tracker(&node.name).is_ok(),
            Role::HostAgent => cluster.host_agent(&node.name, 1).is_ok(),
        };
        assert!(made, "{}", node.name);
    }
}
