//! What is right for each key: the help of errors about it.

use jlb_flow_tracker::config::PolicyKind;

/// What to write for the key at `path` (`node.role`, without indices); `None` for an unknown path.
pub(crate) fn right(path: &str) -> Option<&'static str> {
    Some(match path {
        "cluster" => "add [cluster] with at least `name` and `key_file`",
        "node" => "write each node as its own [[node]] table",
        "service" => "write each service as its own [[service]] table",
        "limits" => "write [limits] as one table",
        "timers" => "write [timers] as one table",
        "cluster.name" => "write the cluster's name: name = \"shop\"",
        "cluster.key_file" => {
            "write the path of the key file, relative to this file: key_file = \"cluster.key\""
        }
        "cluster.underlay_mtu" => "write the MTU between the nodes in bytes: underlay_mtu = 1500",
        "cluster.port" => "write the UDP port that all nodes use: port = 6081",
        "cluster.membership" => {
            "write membership = \"dynamic\" or \"static\", or leave the line out"
        }
        "node.number" => "write a number of its own, 1 to 65535: number = 1",
        "service.number" => "write a number of its own, 1 to 16777215: number = 1",
        "node.name" => "write a name of its own: name = \"ingress-1\"",
        "node.role" => "write role = \"ingress\", \"flow-tracker\" or \"host-agent\"",
        "node.underlay" => {
            "write one IPv4 address, one IPv6 address or both: underlay = [\"10.0.0.1\", \"fd00::1\"]"
        }
        "node.admin" => "write an address and a port: admin = \"10.0.0.1:9600\"",
        "node.tun" => "write a device name of 1 to 15 characters: tun = \"jlb0\"",
        "node.packet_io" => "write packet_io = \"tun\" or \"af_xdp\", or leave the line out",
        "node.xdp_strip" => "write xdp_strip = true, or leave the line out",
        "node.xdp_interfaces" => {
            "name the interfaces that clients' packets come by: xdp_interfaces = [\"eth0\"]"
        }
        "node.xdp_generic" => "write xdp_generic = true, or leave the line out",
        "node.workers" => {
            "write how many threads move packets, 1 to 16, of an ingress: workers = 2; or leave the line out"
        }
        "node.failure_domain" => {
            "name the machine or the rack that a flow-tracker fails with: failure_domain = \"rack-7\"; or leave the line out"
        }
        "node.drain" => "write drain = true, or leave the line out",
        "node.drain_timeout" => {
            "write how long connections may go on, 1ms to 720h: drain_timeout = \"10m\""
        }
        "node.log" => "write log = \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        "service.name" => "write a name of its own: name = \"web\"",
        "service.vip" => "write one unicast address: vip = \"192.0.2.10\"",
        "service.protocol" => "write protocol = \"tcp\" or \"udp\"",
        "service.ports" => {
            "write one port, a range or \"any\": ports = 80, ports = \"8000-8099\", ports = \"any\"; \
             ports are 1 to 65535"
        }
        "service.hosts" => {
            "list host-agents by name, or take all of them: hosts = [\"web-1\", { name = \"web-2\", \
             weight = 2 }], hosts = \"any\""
        }
        "service.hosts.name" => "write the name of a host-agent: { name = \"web-1\" }",
        "service.hosts.weight" => {
            "write a share of 1 to 65535, or 0 for no new connections: weight = 2"
        }
        "service.policy" => PolicyKind::HELP,
        "service.shadow_policy" => PolicyKind::SHADOW_HELP,
        "service.search_ttl" => "write 1 to 16 offers: search_ttl = 4",
        "service.hunt" => "write hunt = \"plain\" or \"direct\", or leave the line out",
        "service.overload" => {
            "write overload = \"refuse\", \"queue\", \"pool\" or \"must-accept\", or leave the line out"
        }
        "service.overflow" => "list the hosts that are asked last: overflow = [\"web-9\"]",
        "service.queue_timeout" => {
            "write how long a connection may wait, at least 10ms: queue_timeout = \"1s\""
        }
        "service.max_connections" | "service.hosts.max_connections" => {
            "write the connections that one host may have, 1 to 4294967295: max_connections = 1000"
        }
        "service.admission" => {
            "write a table on one line: admission = { accept_queue = 16, cpu_percent = 90 }"
        }
        "service.admission.accept_queue" => {
            "write how many connections may wait to be accepted, at least 1: accept_queue = 16"
        }
        "service.admission.load_percent" => "write 1 to 100: load_percent = 80",
        "service.admission.cpu_percent" => "write 1 to 100: cpu_percent = 90",
        "service.admission.memory_percent" => "write 1 to 100: memory_percent = 95",
        "service.admission.latency" => {
            "write how soon the server should answer, 100us to 60s: latency = \"50ms\""
        }
        "service.admission.adaptive" => "write adaptive = true, or leave it out",
        "service.health" => {
            "write a table on one line: health = { kind = \"http\", path = \"/\", interval = \"1s\" }"
        }
        "service.health.kind" => "write kind = \"tcp\" or \"http\"",
        "service.health.address" => {
            "write an address of the host itself and a port: address = \"127.0.0.1:80\""
        }
        "service.health.path" => "write what to GET of an HTTP server: path = \"/\"",
        "service.health.rise" => {
            "write how many good checks make a host healthy, 1 to 100: rise = 2"
        }
        "service.health.fall" => {
            "write how many failed checks make a host unhealthy, 1 to 100: fall = 3"
        }
        "service.min_life_percent" => "write 0 to 100, 0 for never: min_life_percent = 15",
        "service.slow_start" => {
            "write 10ms to 24h, or leave the line out for none: slow_start = \"30s\""
        }
        "service.max_unhealthy_percent" => "write 0 to 100: max_unhealthy_percent = 50",
        "timers.dead_host_reset" | "timers.coalesce" => {
            "write a number and a unit in quotes, or \"never\"; units are us, ms, s, m and h"
        }
        _ if path.starts_with("timers.") || path.starts_with("service.health.") => {
            "write a number and a unit in quotes, such as \"20ms\"; units are us, ms, s, m and h"
        }
        "limits.max_pending_bytes" | "limits.max_queued_bytes" => {
            "write a size such as \"32MiB\"; units are B, KiB, MiB and GiB, or none for bytes"
        }
        _ if path.starts_with("limits.") => "write a whole number, at least 1",
        _ => return None,
    })
}
