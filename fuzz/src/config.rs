//! The cluster file.

use jlb_config::{ClusterConfig, Keys, MessageKey, Style};
use jlb_protocol::Role;
use std::path::Path;

/// Lines that an error may take.
const SCREEN: usize = 24;

/// Parses a cluster file, draws what is wrong with it, and makes every node's configuration.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let keys = Keys::new(
        [1; 16],
        vec![MessageKey {
            id: 1,
            secret: [2; 16],
        }],
    );
    let loaded = match ClusterConfig::parse_with_keys(text, Path::new("jlb.toml"), keys.unwrap()) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.findings().is_empty());
            let lines = error.render(Style::Plain).lines().count();
            assert!((1..=SCREEN).contains(&lines), "{lines} lines");
            return;
        }
    };
    let _ = loaded.warnings.render(Style::Colour);
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
