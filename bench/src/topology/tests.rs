//! Builds a real network; needs root.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::*;
use crate::plan::{Counts, VIP_V4, VIP_V6};

/// Takes the namespaces away however the test ends.
struct Built(Plan);

impl Drop for Built {
    fn drop(&mut self) {
        for namespace in Namespace::list(&Plan::prefix_of(&self.0.id)).unwrap() {
            namespace.delete().unwrap();
        }
    }
}

/// Answers every connection to the VIPs with `name`, from a namespace that has them.
fn answer_as(namespace: &Namespace, name: &str) {
    let listeners = namespace
        .run(|| {
            let mut kernel = Netlink::open()?;
            let mut listeners = Vec::new();
            for (vip, prefix) in [(IpAddr::from(VIP_V4), 32), (IpAddr::from(VIP_V6), 128)] {
                kernel.add_address("lo", vip, prefix)?;
                listeners.push(TcpListener::bind((vip, 80)).doing("listen")?);
            }
            Ok(listeners)
        })
        .unwrap();
    for listener in listeners {
        let name = name.to_owned();
        // Ends with the test process.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(name.as_bytes());
            }
        });
    }
}

fn ask(vip: IpAddr) -> String {
    let to = SocketAddr::new(vip, 80);
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(3)).unwrap();
    let mut name = String::new();
    stream.read_to_string(&mut name).unwrap();
    name
}

#[test]
fn the_router_spreads_connections_over_every_ingress() {
    assert!(
        rustix::process::geteuid().is_root(),
        "makes network namespaces: run it as root"
    );
    let id = format!("t{}", std::process::id());
    let counts = Counts {
        ingress: 3,
        trackers: 1,
        hosts: 1,
    };
    let built = Built(Plan::new(id, counts, false));
    let plan = &built.0;
    build(plan).unwrap();
    for node in plan.of(Role::Ingress) {
        answer_as(
            &Namespace::existing(&plan.namespace(&node.name)),
            &node.name,
        );
    }
    let client = Namespace::existing(&plan.namespace(CLIENT));
    for vip in [IpAddr::from(VIP_V4), IpAddr::from(VIP_V6)] {
        let counts = client
            .run(|| {
                let mut counts = BTreeMap::new();
                for _ in 0..150 {
                    *counts.entry(ask(vip)).or_insert(0) += 1;
                }
                Ok(counts)
            })
            .unwrap();
        assert_eq!(counts.len(), 3, "{counts:?}");
        assert!(
            counts.values().all(|&n| n > 20),
            "a third each is about 50: {counts:?}"
        );
    }
}

#[test]
fn a_taken_name_is_an_error_and_stays() {
    assert!(
        rustix::process::geteuid().is_root(),
        "makes network namespaces: run it as root"
    );
    let name = format!("jlb-u{}-x", std::process::id());
    let namespace = Namespace::create(&name).unwrap();
    assert!(Namespace::create(&name).is_err());
    assert_eq!(Namespace::list(&name).unwrap().len(), 1);
    namespace.delete().unwrap();
    assert!(Namespace::list(&name).unwrap().is_empty());
}
