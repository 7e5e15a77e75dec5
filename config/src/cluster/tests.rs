use super::*;
use crate::testing::{CLUSTER, cluster, loaded};
use crate::{LogLevel, Style};

#[test]
fn nodes_and_services_are_sorted_by_number() {
    let config = cluster(CLUSTER);
    let nodes: Vec<u16> = config
        .nodes()
        .iter()
        .map(|node| node.number.get())
        .collect();
    assert_eq!(nodes, [1, 2, 11, 12, 101, 102, 103]);
    let services: Vec<u32> = config.services().iter().map(|it| it.number.get()).collect();
    assert_eq!(services, [4, 5, 6]);
    assert_eq!(config.peers().len(), 7);
    assert_eq!(config.service_matches().len(), 3);
}

#[test]
fn nodes_are_found_by_name_and_number() {
    let config = cluster(CLUSTER);
    let tracker = config.node("tr-1").unwrap();
    assert_eq!(tracker.number.get(), 11);
    assert_eq!(config.node_numbered(tracker.number), Some(tracker));
    assert_eq!(config.node("tr-9"), None);
    assert_eq!(tracker.admin.to_string(), "10.0.0.11:9600");
    assert_eq!(
        (tracker.tun.as_str(), tracker.log),
        ("jlb0", LogLevel::Info)
    );
    assert_eq!(
        config.node("in-1").unwrap().admin.to_string(),
        "127.0.0.1:9000"
    );
}

#[test]
fn an_ingress_takes_packets_from_its_device_unless_told_otherwise() {
    let line = "admin = \"127.0.0.1:9000\"";
    let with = |more: &str| {
        let config = cluster(&CLUSTER.replacen(line, &format!("{line}\n{more}"), 1));
        config.node("in-1").unwrap().packet_io.clone()
    };
    assert_eq!(with(""), PacketIo::Tun);
    assert_eq!(with("packet_io = \"tun\""), PacketIo::Tun);
    let af_xdp = |generic| PacketIo::AfXdp {
        interfaces: vec!["eth0".into(), "eth1".into()],
        generic,
    };
    let written = "packet_io = \"af_xdp\"\nxdp_interfaces = [\"eth0\", \"eth1\"]";
    assert_eq!(with(written), af_xdp(false));
    assert_eq!(
        with(&format!("{written}\nxdp_generic = true")),
        af_xdp(true)
    );
    assert_eq!(
        af_xdp(true).to_string(),
        "af_xdp on eth0, eth1, generic too"
    );
}

#[test]
fn an_ingress_has_one_worker_unless_told_otherwise() {
    let line = "admin = \"127.0.0.1:9000\"";
    let with = |more: &str| {
        let config = cluster(&CLUSTER.replacen(line, &format!("{line}\n{more}"), 1));
        config.nodes().iter().map(|node| node.workers).max()
    };
    assert_eq!(with(""), Some(1));
    assert_eq!(with("workers = 1"), Some(1));
    assert_eq!(with("workers = 16"), Some(MAX_WORKERS));
}

#[test]
fn a_host_decapsulates_by_itself_unless_told_otherwise() {
    let with = |more: &str| {
        let line = "role = \"host-agent\"";
        let config = cluster(&CLUSTER.replacen(line, &format!("{line}\n{more}"), 1));
        config
            .nodes()
            .iter()
            .find_map(|node| node.xdp_strip.clone())
            .map(|strip| strip.to_string())
    };
    assert_eq!(with(""), None);
    assert_eq!(with("xdp_strip = false"), None);
    let written = "xdp_strip = true\nxdp_interfaces = [\"eth0\", \"eth1\"]";
    assert_eq!(with(written), Some("on eth0, eth1".into()));
    assert_eq!(
        with(&format!("{written}\nxdp_generic = true")),
        Some("on eth0, eth1, generic too".into())
    );
}

#[test]
fn the_view_has_every_node_active() {
    let view = cluster(CLUSTER).view();
    assert_eq!(view.members().len(), 7);
    assert_eq!(view.active(Role::FlowTracker).count(), 2);
    assert_eq!(view.active(Role::HostAgent).count(), 3);
}

#[test]
fn vips_are_those_of_all_or_of_one_hosts_services() {
    let config = cluster(CLUSTER);
    assert_eq!(config.vips().len(), 2);
    let of = |name: &str| {
        let node = config.node(name).unwrap();
        config
            .vips_of(node.number)
            .iter()
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("web-1"), ["192.0.2.10"]);
    assert_eq!(of("web-3"), ["2001:db8::80"]);
    assert!(of("tr-1").is_empty());
}

#[test]
fn what_is_allowed_but_probably_not_meant_is_a_warning() {
    for (from, to, warning) in [
        (
            "[[node]]\nnumber = 12\nname = \"tr-2\"\nrole = \"flow-tracker\"\nunderlay = [\"10.0.0.12\"]\n",
            "",
            "the cluster has one flow tracker: its records have no copy",
        ),
        (
            "[\"web-3\"]",
            "[\"web-2\"]",
            "host-agent `web-3` is in no service",
        ),
        (
            "max_connections = 7",
            "max_connections = 2_000_000",
            "`max_connections` is more than `max_flows` with 1000000",
        ),
        (
            "10.0.0.103",
            "127.0.0.3",
            "127.0.0.3 is reachable on one machine only",
        ),
    ] {
        assert!(CLUSTER.contains(from), "{from}");
        let loaded = loaded(&CLUSTER.replacen(from, to, 1));
        let messages: Vec<&str> = loaded
            .warnings
            .findings()
            .iter()
            .map(|it| it.message())
            .collect();
        assert_eq!(messages, [warning]);
        let rendered = loaded.warnings.render(Style::Plain);
        assert!(rendered.contains('⚠'), "{rendered}");
    }
}

#[test]
fn the_file_of_a_node_that_joins_names_some_of_the_others() {
    let text = "[cluster]\nname = \"shop\"\nkey_file = \"cluster.key\"\n\
                [[node]]\nnumber = 13\nname = \"tr-3\"\nrole = \"flow-tracker\"\nunderlay = [\"10.0.0.13\"]\n\
                [[node]]\nnumber = 11\nname = \"tr-1\"\nrole = \"flow-tracker\"\nunderlay = [\"10.0.0.11\"]\n\
                [[service]]\nnumber = 1\nname = \"web\"\nvip = \"192.0.2.10\"\nprotocol = \"tcp\"\n\
                ports = 80\nhosts = \"any\"\n";
    let loaded = loaded(text);
    let messages: Vec<&str> = loaded
        .warnings
        .findings()
        .iter()
        .map(|it| it.message())
        .collect();
    assert_eq!(
        messages,
        [
            "the file names no node with the role \"ingress\"",
            "the file names no node with the role \"host-agent\"",
        ]
    );
    let service = &loaded.config.services()[0];
    assert!(service.any_host && service.hosts.is_empty());
    assert_eq!(loaded.config.membership, Membership::Dynamic);
}

#[test]
fn any_host_is_every_host_agent_of_the_file() {
    let text = CLUSTER.replace(
        "hosts = [\"web-3\"]",
        "hosts = \"any\"\nmax_connections = 9",
    );
    let config = cluster(&text);
    let hosts: Vec<_> = config.services()[1]
        .hosts
        .iter()
        .map(|host| (host.node.get(), host.weight, host.max_connections))
        .collect();
    assert_eq!(
        hosts,
        [(101, 1, Some(9)), (102, 1, Some(9)), (103, 1, Some(9))]
    );
    assert_eq!(config.vips_of(config.nodes()[4].number).len(), 2);
}

#[test]
fn any_takes_what_ranges_leave() {
    let text = CLUSTER.replace(
        "vip = \"2001:db8::80\"\nprotocol = \"udp\"",
        "vip = \"192.0.2.10\"\nprotocol = \"tcp\"",
    );
    assert!(loaded(&text).warnings.is_empty());
}
