//! Where one way in is measured: a namespace that makes packets, one that takes and forwards them, one that
//! counts them, in a row, with virtual cables between.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jlb_node::kernel::netlink::{LinkSettings, Netlink, Prefix, Route, Target};
use jlb_packet_io::ebpf::{Link, Mode};
use jlb_packet_io::netns;
use jlb_packet_io::process::pin_to_cpu;
use rtnetlink::{LinkUnspec, LinkVeth};

use super::large;
use super::programs::{Counted, Counter, pass};
use crate::error::{Doing, LabError, Result};
use crate::netns::Namespace;
use crate::topology::settings;

/// What the packets are for.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Where they go to from the middle: a tracker's address, and beside it a host's.
pub(super) const SINK: [u8; 4] = [10, 91, 0, 2];
/// The middle's interface towards it.
pub(super) const UNDER: &str = "under";
/// Hardware addresses: of the middle's input, and of the sink.
pub(super) const INPUT: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(super) const WIRE: [u8; 6] = [2, 0, 0, 0, 0, 4];
/// As a node's packet thread has it.
pub(super) const NICE: i32 = -10;

/// Flows that begin at a time.
const AT_A_TIME: u32 = 4_000;

/// How names of namespaces begin.
const PREFIX: &str = "jlbp-";
/// How long nodes may take to start, and to give all flows a host.
const PATIENCE: Duration = Duration::from_secs(90);

/// The namespaces; taken away when this goes.
pub(super) struct Rig {
    pub(super) source: Namespace,
    pub(super) middle: Namespace,
    pub(super) sink: Namespace,
    counter: Option<(Counter, Link)>,
    /// Lets a cable take packets where the middle has no program of its own.
    _pass: Option<Link>,
    nodes: Vec<Child>,
    directory: PathBuf,
}

/// Takes away what a run left that did not end by itself.
pub(super) fn tidy() -> Result<()> {
    for namespace in Namespace::list(PREFIX)? {
        let owner = namespace
            .name()
            .trim_start_matches(PREFIX)
            .split('-')
            .next();
        let lives = owner.is_some_and(|pid| PathBuf::from(format!("/proc/{pid}")).exists());
        if !lives {
            namespace.delete()?;
        }
    }
    Ok(())
}

impl Rig {
    /// `label` is unique in this process. `takes_itself`: the middle needs no program that lets a cable take packets of
    /// other programs, since it has one of its own, or gets none of those.
    pub(super) fn build(label: &str, takes_itself: bool) -> Result<Self> {
        let name = format!("{PREFIX}{}-{label}", std::process::id());
        let make = |what| Namespace::create(&format!("{name}-{what}"));
        let mut rig = Self {
            source: make("source")?,
            middle: make("middle")?,
            sink: make("sink")?,
            counter: None,
            _pass: None,
            nodes: Vec::new(),
            directory: std::env::temp_dir().join(&name),
        };
        cable(&rig.source, "out", &rig.middle, "in", INPUT)?;
        cable(&rig.middle, UNDER, &rig.sink, "wire", WIRE)?;
        rig.middle.run(|| {
            let netlink = Netlink::open().doing("open netlink")?;
            put(&netlink, "in", [10, 90, 0, 2])?;
            put(&netlink, UNDER, [10, 91, 0, 1])?;
            for last in [2, 3] {
                netlink
                    .put_neighbour(UNDER, Ipv4Addr::new(10, 91, 0, last).into(), WIRE)
                    .doing("set a neighbour")?;
            }
            settings(&[
                ("net/ipv4/conf/all/rp_filter", "0"),
                ("net/ipv4/conf/default/rp_filter", "0"),
                ("net/ipv4/conf/in/rp_filter", "0"),
                ("net/ipv4/conf/under/rp_filter", "0"),
                ("net/ipv4/ip_forward", "1"),
            ])
        })?;
        rig.sink.run(|| {
            let netlink = Netlink::open().doing("open netlink")?;
            put(&netlink, "wire", SINK)?;
            put(&netlink, "wire", [10, 91, 0, 3])
        })?;
        if !takes_itself {
            rig._pass = Some(rig.middle.run(|| {
                let netlink = Netlink::open().doing("open netlink")?;
                let index = netlink.link_index("in").doing("look")?;
                pass()?
                    .attach(index, Mode::Native)
                    .doing("attach a program")
            })?);
        }
        Ok(rig)
    }

    /// Counts and drops these packets at the end from now on.
    pub(super) fn count(&mut self, counted: Counted) -> Result<()> {
        self.counter = None;
        let counter = Counter::new(counted)?;
        let link = self.sink.run(|| {
            let netlink = Netlink::open().doing("open netlink")?;
            let index = netlink.link_index("wire").doing("look")?;
            counter
                .program
                .attach(index, Mode::Native)
                .doing("attach a program")
        })?;
        self.counter = Some((counter, link));
        Ok(())
    }

    /// Packets that have come to the end.
    pub(super) fn counted(&self) -> Result<u64> {
        let counter = self.counter.as_ref();
        let (counter, _) = counter.ok_or_else(|| LabError::new("nobody counts"))?;
        counter.count()
    }

    /// Packets that the kernel has counted at the end, those that came as one by their segments.
    pub(super) fn arrived(&self) -> Result<u64> {
        // Of the thread's namespace.
        let read = || fs::read_to_string("/proc/thread-self/net/netstat").doing("count packets");
        large::arrived(&self.sink.run(read)?)
    }

    /// The source's interface and hardware address.
    pub(super) fn out(&self) -> Result<(u32, [u8; 6])> {
        self.source.run(|| {
            let netlink = Netlink::open().doing("open netlink")?;
            let out = netlink.interface("out").doing("look")?;
            Ok((out.index, out.hardware))
        })
    }

    /// Has the kernel itself forward packets.
    pub(super) fn forward(&self) -> Result<()> {
        self.middle.run(|| {
            let netlink = Netlink::open().doing("open netlink")?;
            let target = Target::Gateway(Ipv4Addr::from(SINK).into());
            netlink
                .put_route(&Route::new(Prefix::host(VIP.into()), target))
                .doing("set a route")
        })
    }

    /// Starts an ingress in the middle, on processor `cpu`, and a tracker and a host at the end; waits until the
    /// ingress can work.
    pub(super) fn start_nodes(&mut self, packet_io: &str, cpus: [usize; 2]) -> Result<()> {
        fs::create_dir(&self.directory).doing("make a directory")?;
        jlb_config::keygen(&self.directory.join("cluster.key")).doing("make keys")?;
        let file = self.directory.join("cluster.toml");
        fs::write(&file, cluster_file(packet_io)).doing("write a cluster file")?;
        let nodes = [
            ("flow-tracker", "tracker", &self.sink, cpus[0]),
            ("host-agent", "host", &self.sink, cpus[0]),
            ("ingress", "ingress", &self.middle, cpus[1]),
        ];
        let program = std::env::current_exe().doing("find this program")?;
        let mut started = Vec::new();
        for (role, name, namespace, cpu) in nodes {
            let log =
                File::create(self.directory.join(format!("{name}.log"))).doing("write a log")?;
            let copy = log.try_clone().doing("write a log")?;
            let mut command = Command::new(&program);
            command
                .args([role, "--name", name, "--config"])
                .arg(&file)
                .arg("--state-dir")
                .arg(&self.directory)
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(copy);
            // A child begins on its starter's processor, and in its namespace.
            started.push(namespace.run(move || {
                pin_to_cpu(cpu).doing("keep a process on a processor")?;
                command.spawn().doing("start a node")
            })?);
        }
        self.nodes = started;
        wait_for("the ingress is ready", || {
            Ok(self.metric("jlb_ready").unwrap_or(0.0) >= 1.0
                && self.metric("jlb_members").unwrap_or(0.0) >= 3.0)
        })
    }

    /// Waits until the ingress knows the hosts of so many flows, some at a time, while `feed` sends packets of those.
    pub(super) fn establish(
        &self,
        flows: u32,
        mut feed: impl FnMut(Range<u32>) -> Result<()>,
    ) -> Result<()> {
        for from in (0..flows).step_by(AT_A_TIME as usize) {
            let some = from..flows.min(from + AT_A_TIME);
            wait_for("all flows have a host", || {
                feed(some.clone())?;
                // Without a second packet of its client, which might be made up, a flow is soon forgotten.
                let known = self.metric("jlb_ingress_flows")?
                    - self.metric("jlb_ingress_flows_unproven")?;
                Ok(known >= f64::from(some.end))
            })?;
        }
        Ok(())
    }

    /// The sum of an ingress's metric.
    pub(super) fn metric(&self, name: &str) -> Result<f64> {
        let page = self.middle.run(|| {
            let address = SocketAddr::from(([127, 0, 0, 1], 9_600));
            let mut stream = TcpStream::connect(address).doing("ask the ingress")?;
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nhost: packets\r\nconnection: close\r\n\r\n")
                .doing("ask the ingress")?;
            let mut page = String::new();
            stream.read_to_string(&mut page).doing("hear the ingress")?;
            Ok(page)
        })?;
        let samples = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let of = series.split('{').next()?;
            (of == name).then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(samples.sum())
    }

    /// The end of the nodes' logs, for an error.
    pub(super) fn logs(&self) -> String {
        let mut all = String::new();
        for name in ["ingress", "tracker", "host"] {
            let log = fs::read_to_string(self.directory.join(format!("{name}.log")));
            let text = log.unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(5)) {
                all.push_str(&format!("\n{name}: {line}"));
            }
        }
        all
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
        for namespace in [&self.source, &self.middle, &self.sink] {
            let _ = namespace.delete();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub(super) fn wait_for(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = now();
    while !done()? {
        if begin.elapsed() > PATIENCE {
            return Err(LabError::new(format!("waited in vain until {what}")));
        }
        pause(Duration::from_millis(50));
    }
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark measures how long something really takes"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[allow(
    clippy::disallowed_methods,
    reason = "what is waited for tells nobody when it has happened"
)]
pub(super) fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn put(netlink: &Netlink, device: &str, address: [u8; 4]) -> Result<()> {
    netlink
        .put_address(device, Ipv4Addr::from(address).into(), 24)
        .doing("put an address")
}

/// Lays a cable, both ends up; the far one has this hardware address.
fn cable(
    near: &Namespace,
    near_name: &str,
    far: &Namespace,
    far_name: &str,
    hardware: [u8; 6],
) -> Result<()> {
    let up = LinkSettings {
        up: Some(true),
        ..LinkSettings::default()
    };
    let file = File::open(netns::path(far.name())).doing("open a namespace")?;
    near.run(|| {
        let netlink = Netlink::open().doing("open netlink")?;
        let pair = LinkVeth::new(near_name, "far").build();
        netlink
            .wait("make a cable", netlink.handle().link().add(pair).execute())
            .doing("make a cable (the kernel needs CONFIG_VETH)")?;
        let index = netlink.link_index("far").doing("look")?;
        let moved = LinkUnspec::new_with_index(index)
            .setns_by_fd(file.as_raw_fd())
            .name(far_name)
            .address(hardware.to_vec())
            .build();
        netlink
            .wait("lay a cable", netlink.handle().link().set(moved).execute())
            .doing("lay a cable")?;
        netlink.set_link("lo", up).doing("set up lo")?;
        netlink.set_link(near_name, up).doing("set up a cable")
    })?;
    far.run(|| {
        let netlink = Netlink::open().doing("open netlink")?;
        netlink.set_link("lo", up).doing("set up lo")?;
        netlink.set_link(far_name, up).doing("set up a cable")
    })
}

fn cluster_file(packet_io: &str) -> String {
    let lines = match packet_io {
        "af_xdp" => "packet_io = \"af_xdp\"\nxdp_interfaces = [\"in\", \"under\"]\n",
        _ => "",
    };
    let mut text = "[cluster]\nname = \"packets\"\nkey_file = \"cluster.key\"\n\
        [limits]\nmax_untrusted = 900_000\n[timers]\nudp_idle = \"1h\"\n"
        .to_owned();
    let nodes = [
        ("ingress", "ingress", 1, 9_600, lines),
        ("tracker", "flow-tracker", 2, 9_601, ""),
        ("host", "host-agent", 3, 9_602, ""),
    ];
    for (name, role, number, port, lines) in nodes {
        text.push_str(&format!(
            "[[node]]\nnumber = {number}\nname = \"{name}\"\nrole = \"{role}\"\n\
             underlay = [\"10.91.0.{number}\"]\nadmin = \"127.0.0.1:{port}\"\n{lines}"
        ));
    }
    for (number, protocol, port) in [(1, "udp", 7), (2, "tcp", 80)] {
        text.push_str(&format!(
            "[[service]]\nnumber = {number}\nname = \"{protocol}\"\nvip = \"{VIP}\"\n\
             protocol = \"{protocol}\"\nports = {port}\nhosts = [\"host\"]\n"
        ));
    }
    text
}
