//! Answers of a host leave by the routes that it has at the moment, not by those of its start.

use std::net::IpAddr;
use std::time::Duration;

use crate::harness::{Lab, eventually, vips};

/// A network that hosts have no route to but the default one.
fn elsewhere(vip: IpAddr) -> (&'static str, &'static str, &'static str) {
    if vip.is_ipv4() {
        ("192.0.2.0/24", "192.0.2.1", "10.77.0.1")
    } else {
        ("2001:db8:e::/64", "2001:db8:e::1", "fd77::1")
    }
}

#[test]
fn a_new_route_of_a_host_is_repeated_for_its_answers() {
    let lab = Lab::start(Default::default());
    let host = lab.inside("host-1");
    for vip in vips() {
        let (network, address, gateway) = elsewhere(vip);
        let family = if vip.is_ipv4() { "-4" } else { "-6" };
        let vip = vip.to_string();
        let answer = || host.must("ip", &[family, "route", "get", address, "from", &vip]);
        host.must(
            "ip",
            &[
                family, "route", "add", network, "via", gateway, "mtu", "1400",
            ],
        );
        eventually(Duration::from_secs(8), "the route is repeated", || {
            let table = host.must("ip", &[family, "route", "show", "table", "all"]);
            let lines = table.lines().filter(|line| line.contains(network));
            let repeated = lines.filter(|line| line.contains("table") && line.contains("advmss"));
            if repeated.count() == 1 {
                Ok(())
            } else {
                Err(table)
            }
        });
        assert!(answer().contains(gateway), "{}", answer());
    }
    lab.assert_calm();
}
