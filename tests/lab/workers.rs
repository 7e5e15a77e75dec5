//! Ingress nodes with two workers: what established connections say goes by both, nothing is lost or counted twice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use jlb_bench::plan::{Node, Role};

use crate::af_xdp::assert_by_af_xdp;
use crate::closes::server::{Manner, Servers};
use crate::harness::{Background, Lab, Wanted, eventually, finish_connecting, http, vips};
use crate::transfers::{datagrams, download, pings};

/// The port of the lab's services that its embedded web server leaves free.
const PORT: u16 = 443;

fn lab(nginx: bool, packet_io: &'static str) -> Lab {
    Lab::start(Wanted {
        nginx,
        packet_io,
        ingress: Some("workers = 2"),
        ..Wanted::default()
    })
}

/// Each ingress sent a good part by either worker, and its books add up over both: what the device and the
/// interfaces gave, what the role saw, and what the link sealed.
fn assert_both_worked(lab: &Lab) {
    for node in lab.of(Role::Ingress) {
        let page = lab.metrics(&node);
        let sum = |name: &str| page.sum(name, &[]);
        let of = |name: &str, layer: &str| page.sum(name, &[("layer", layer)]);
        let forwarded = page.sum("jlb_worker_forwarded_total", &[("worker", "1")]);
        let handed_on = page.sum("jlb_worker_handed_on_total", &[("worker", "1")]);
        let hits = sum("jlb_ingress_cache_hits_total");
        let told = format!(
            "{}: {hits} hits, {forwarded} of them by the second worker, which handed {handed_on} on",
            node.name
        );
        println!("{told}");
        // The kernel spreads connections by a hash.
        assert!(
            forwarded > hits / 10 && hits > forwarded + hits / 10,
            "{told}"
        );
        assert!(handed_on > 0 && handed_on < forwarded / 2, "{told}");
        assert_eq!(sum("jlb_worker_full_total"), 0, "{told}");
        let stack = of("jlb_received_total", "stack");
        assert_eq!(
            sum("jlb_ingress_packets_total"),
            stack - of("jlb_dropped_total", "stack"),
            "{told}"
        );
        assert_eq!(
            of("jlb_consumed_total", "stack"),
            sum("jlb_ingress_packets_total")
        );
        let failed = [("layer", "link"), ("reason", "send_failed")];
        assert_eq!(page.sum("jlb_dropped_total", &failed), 0, "{told}");
    }
}

#[test]
fn many_connections_are_answered_by_both_workers() {
    let lab = lab(true, "tun");
    transfers(&lab);
}

#[test]
fn many_connections_are_answered_by_both_workers_with_af_xdp() {
    let lab = lab(true, "af_xdp");
    let _again = with_two_queues(&lab);
    transfers(&lab);
    assert_by_af_xdp(&lab);
}

/// The way from the client to each ingress gets two queues everywhere; the ingress nodes are started anew for that.
fn with_two_queues(lab: &Lab) -> Vec<Background> {
    let widen = |namespace: &str, interface: &str| {
        let arguments = ["-L", interface, "rx", "2", "tx", "2"];
        lab.inside(namespace).must("ethtool", &arguments);
    };
    widen("client", "eth0");
    widen("router", "client");
    let again = lab.of(Role::Ingress).into_iter().map(|node| {
        let words = lab.kill(&node.name);
        // As long as the kernel takes the program away, it wants room at the receiving end first.
        widen(&node.name, "eth0");
        widen("router", &node.name);
        let again = lab.start_again(&node.name, &words);
        eventually(Duration::from_secs(10), "the ingress is back", || {
            lab.is_ready(&node)
        });
        again
    });
    again.collect()
}

fn transfers(lab: &Lab) {
    for vip in vips() {
        let url = http(vip, "/");
        let wrk = format!("ulimit -n 8192; exec wrk -t 1 -c 200 -d 4s --timeout 5s '{url}'");
        let said = lab.client().must("sh", &["-c", &wrk]);
        assert!(!said.contains("Socket errors"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
    }
    assert_both_worked(lab);
    download(lab);
    upload(lab);
    datagrams(lab);
    pings(lab);
    lab.assert_books_balance();
    eventually(Duration::from_secs(5), "shortcuts end", || {
        let of = |node: &Node| lab.metrics(node).sum("jlb_worker_shortcuts", &[]);
        match lab.of(Role::Ingress).iter().map(of).sum::<u64>() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    });
}

/// A large file goes to a host as it is: the kernel hands its packets over uncut.
fn upload(lab: &Lab) {
    let sent = lab.directory().join("www/100MiB");
    for (name, vip) in ["upload/4", "upload/6"].into_iter().zip(vips()) {
        let url = http(vip, &format!("/{name}"));
        let arguments = ["-sS", "--fail", "-T", sent.to_str().unwrap(), &url];
        lab.client().must("curl", &arguments);
        let arrived = std::fs::read(lab.directory().join("www").join(name)).unwrap();
        assert!(std::fs::read(&sent).unwrap() == arrived, "{vip}");
    }
}

/// A connection that is asked a byte at a time.
struct Asked {
    stream: TcpStream,
    host: String,
}

impl Asked {
    /// Some times, one right after the other.
    fn ask(&mut self) -> std::io::Result<()> {
        for _ in 0..20 {
            self.stream.write_all(b"?")?;
            let mut answer = [0];
            self.stream.read_exact(&mut answer)?;
            assert_eq!(answer, *b"!");
        }
        Ok(())
    }
}

/// The host that has the connection from this port, as its kernel says.
fn host_of(sockets: &[(Node, String)], port: u16) -> String {
    let of = |(_, listed): &&(Node, String)| listed.contains(&format!(":{port} "));
    let (node, _) = sockets.iter().find(of).expect("a host has it");
    node.name.clone()
}

#[test]
fn a_host_dies_and_other_hosts_connections_lose_nothing() {
    let lab = lab(false, "tun");
    let _servers = Servers::start(&lab, PORT, Manner::UntilClientCloses);
    let streams: Vec<TcpStream> = (0..60)
        .flat_map(|_| vips())
        .map(|vip| {
            let peer = SocketAddr::new(vip, PORT);
            let stream = finish_connecting(lab.client().tcp_socket(peer), peer).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        })
        .collect();
    let sockets: Vec<(Node, String)> = lab
        .of(Role::Host)
        .into_iter()
        .map(|node| {
            let listed = lab.inside(&node.name).must("ss", &["-Htn"]);
            (node, listed.replace('\n', " \n"))
        })
        .collect();
    let mut connections: Vec<Asked> = streams
        .into_iter()
        .map(|stream| Asked {
            host: host_of(&sockets, stream.local_addr().unwrap().port()),
            stream,
        })
        .collect();
    let ask_all = |connections: &mut Vec<Asked>, rounds| {
        for _ in 0..rounds {
            for one in connections.iter_mut() {
                one.ask()
                    .unwrap_or_else(|error| panic!("of {}: {error}", one.host));
            }
        }
    };
    ask_all(&mut connections, 3);
    assert_both_worked(&lab);
    let dead = lab.of(Role::Host)[0].name.clone();
    let (mut lost, mut alive): (Vec<_>, Vec<_>) =
        connections.into_iter().partition(|one| one.host == dead);
    assert!(!lost.is_empty() && alive.len() > lost.len());
    let misses = |lab: &Lab| -> u64 {
        let ingress = lab.of(Role::Ingress);
        let of = |node: &Node| {
            lab.metrics(node)
                .sum("jlb_ingress_down_host_misses_total", &[])
        };
        ingress.iter().map(of).sum()
    };
    assert_eq!(misses(&lab), 0);
    lab.kill(&dead);
    for one in &mut lost {
        one.stream.write_all(b"?").unwrap();
    }
    ask_all(&mut alive, 5);
    // Whose packets came by a shortcut before are the first worker's again: it knows that the host is down.
    eventually(
        Duration::from_secs(5),
        "the first worker asks for them",
        || match misses(&lab) {
            0 => Err("no packet of the dead host's connections".to_owned()),
            _ => Ok(()),
        },
    );
    ask_all(&mut alive, 1);
    assert_both_worked(&lab);
    for node in lab.of(Role::Ingress) {
        let page = lab.metrics(&node);
        let books = page.samples().filter(|it| it.name == "jlb_books_imbalance");
        assert!(books.into_iter().all(|it| it.value == 0.0), "{}", node.name);
    }
}
