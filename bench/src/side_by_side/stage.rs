//! The lab on which rows take turns.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::args::SideBySideOptions;
use super::figures::NOT_THE_BALANCER;
use super::flame::{Flame, Recording};
use super::kernel::{self, Host};
use super::proxies::{Between, HTTP};
use super::row::{Programs, ROWS, Row, Variant, Way};
use super::run::Run;
use super::sample::{Groups, Sample};
use super::servers;
use super::workload::Workload;
use crate::chaos::lab_options;
use crate::cluster_file::{self, Services};
use crate::error::{LabError, Result};
use crate::generator::{self, Sources};
use crate::lab::{Lab, Setting, own_program};
use crate::netns::Namespace;
use crate::nginx::find_program;
use crate::plan::{Counts, Node, Plan, Role, VIP_V4};
use crate::topology::{self, CLIENT, ROUTER, hardware};

/// JLB's nodes. Its ingress is where the other balancers are: one hop from the router, on the same bridge.
const COUNTS: Counts = Counts {
    ingress: 1,
    trackers: 2,
    hosts: 4,
};
/// The place for the others: it has all that an ingress has but the process.
const SPARES: Counts = Counts {
    ingress: 1,
    trackers: 0,
    hosts: 0,
};

/// How long stacks are sampled, at least: shorter turns show a handful of them.
const ENOUGH_TO_SEE: Duration = Duration::from_secs(3);

/// What all namespaces have beside what every lab has.
const EVERYWHERE: [(&str, &str); 3] = [
    ("net/ipv4/tcp_syncookies", "0"),
    ("net/ipv4/tcp_tw_reuse", "1"),
    ("net/ipv4/ip_local_port_range", "1024 65535"),
];

/// What the balancer has beside that: it forwards, and sends nobody a redirect though it has one leg.
const AT_THE_BALANCER: [(&str, &str); 5] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/eth0/send_redirects", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/eth0/rp_filter", "0"),
];

/// More addresses of the client: answers to them pass the balancer again, as rewritten destinations need it.
const RETURNING: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 48);
const RETURNING_PREFIX: u8 = 29;

/// The longest that a balancer may take to listen.
const LISTEN_DEADLINE: Duration = Duration::from_secs(15);
/// How often is looked whether it does.
const LISTEN_INTERVAL: Duration = Duration::from_millis(10);
/// How long is looked what others do.
const LOOK: Duration = Duration::from_millis(500);
/// After a turn: closed connections come to their end.
const SETTLE: Duration = Duration::from_millis(50);

/// A lab that stands.
pub(super) struct Stage {
    lab: Lab,
    options: SideBySideOptions,
    programs: Programs,
    balancer: Node,
    hosts: Vec<Node>,
    sources: Sources,
    returning: Sources,
}

/// The virtual address of a row of others; JLB has its own.
fn vip(row: &Row) -> Ipv4Addr {
    let place = ROWS.iter().position(|it| it.name == row.name).unwrap_or(0);
    match row.way {
        Way::Jlb(_) => VIP_V4,
        _ => Ipv4Addr::new(203, 0, 113, 20 + u8::try_from(place).unwrap_or(0)),
    }
}

fn returning() -> impl Iterator<Item = IpAddr> {
    (0..1_u32 << (32 - RETURNING_PREFIX))
        .map(|at| IpAddr::from(Ipv4Addr::from_bits(RETURNING.to_bits() + at)))
}

impl Stage {
    /// Builds it, with its servers and all virtual addresses.
    pub(super) fn build(options: &SideBySideOptions, programs: &Programs) -> Result<Self> {
        let nginx = find_program("nginx").ok_or_else(|| {
            LabError::new("there is no nginx on this machine, which serves behind every row")
                .mend("apt install nginx")
        })?;
        let setting = Setting {
            spares: SPARES,
            ..Setting::USUAL
        };
        let proxies = ROWS.iter().filter_map(|row| match row.way {
            Way::Proxy(proxy) => programs.proxy(proxy).path(),
            _ => None,
        });
        let others: Vec<PathBuf> = [nginx.clone()].into_iter().chain(proxies).collect();
        let lab = Lab::stand(&lab_options(COUNTS), setting, &others)?;
        let spare = lab.plan().spares.first().cloned();
        let mut stage = Self {
            balancer: spare.ok_or_else(|| LabError::new("there is no place for a balancer"))?,
            hosts: lab.plan().of(Role::Host).cloned().collect(),
            lab,
            options: options.clone(),
            programs: programs.clone(),
            sources: Sources::new(Plan::client().map(|it| it.v4.into())),
            returning: Sources::new(returning()),
        };
        stage.set_up()?;
        stage.start_servers(&nginx)?;
        Ok(stage)
    }

    fn namespace(&self, name: &str) -> Namespace {
        Namespace::existing(&self.lab.plan().namespace(name))
    }

    fn set_up(&mut self) -> Result<()> {
        let nodes: Vec<Node> = self.lab.plan().all().cloned().collect();
        let names = nodes.iter().map(|node| node.name.as_str());
        for name in names.chain([CLIENT, ROUTER]) {
            topology::set(&self.namespace(name), &EVERYWHERE)?;
        }
        let balancer = self.namespace(&self.balancer.name);
        topology::set(&balancer, &AT_THE_BALANCER)?;
        topology::add_client_addresses(&self.namespace(CLIENT), returning())?;
        for host in &self.hosts {
            topology::add_route(
                &self.namespace(&host.name),
                RETURNING.into(),
                RETURNING_PREFIX,
                self.balancer.addresses.v4.into(),
            )?;
        }
        let client: Vec<Ipv4Addr> = Plan::client().map(|it| it.v4).collect();
        self.lab.router()?.know_client(&client)?;
        for (number, row) in (0..).zip(&ROWS) {
            let vip = vip(row);
            let hosts = self.hosts.clone();
            let (served_by, has_it): (Vec<&Node>, Vec<&Node>) = match row.way {
                // The client knows where to go, or the lab has routed it already.
                Way::Direct | Way::Jlb(_) => continue,
                Way::Ecmp => (hosts.iter().collect(), hosts.iter().collect()),
                Way::Kernel(super::row::Rules::Dsr) => {
                    (vec![&self.balancer], hosts.iter().collect())
                }
                Way::Kernel(super::row::Rules::Dnat) => (vec![&self.balancer], Vec::new()),
                Way::Proxy(_) => (vec![&self.balancer], vec![&self.balancer]),
            };
            for node in has_it {
                topology::add_virtual_address(&self.namespace(&node.name), vip.into())?;
            }
            self.lab.router()?.serve(vip, number, &served_by)?;
        }
        Ok(())
    }

    fn start_servers(&mut self, nginx: &Path) -> Result<()> {
        let directory = self.lab.plan().directory();
        servers::prepare(&directory)?;
        for host in self.hosts.clone() {
            let file = servers::configure(&directory, &host.name)?;
            let arguments = ["-e", "stderr", "-c"].map(OsString::from);
            let arguments = arguments.into_iter().chain([file.into()]).collect();
            self.start_other(&server(&host), &host.name, nginx.to_owned(), arguments)?;
        }
        Ok(())
    }

    /// Starts a program that knows nothing of labs, so that it ends with this one.
    fn start_other(
        &mut self,
        name: &str,
        node: &str,
        program: PathBuf,
        arguments: Vec<OsString>,
    ) -> Result<()> {
        let mut all: Vec<OsString> = vec!["lab-web".into()];
        all.extend(self.lab.follow());
        all.extend(["--".into(), program.into()]);
        all.extend(arguments);
        self.lab.start(name, node, own_program()?, all)
    }

    /// Waits until all servers are there.
    pub(super) async fn ready(&mut self) -> Result<()> {
        match ROWS.iter().find(|row| row.is_direct()) {
            Some(direct) => self.listens(direct).await,
            None => Ok(()),
        }
    }

    /// Begins a row's turn.
    pub(super) async fn start(&mut self, row: &Row) -> Result<()> {
        match row.way {
            Way::Direct | Way::Ecmp => {}
            Way::Kernel(rules) => {
                let hosts = self.hosts.iter().map(|host| Host {
                    address: host.addresses.v4,
                    hardware: hardware(host.number),
                });
                let hosts: Vec<Host> = hosts.collect();
                let text = kernel::text(rules, vip(row), hardware(self.balancer.number), &hosts);
                let balancer = self.namespace(&self.balancer.name);
                kernel::apply(&self.nft()?, &balancer, &text)?;
            }
            Way::Proxy(proxy) => {
                let between = Between {
                    vip: vip(row),
                    hosts: self.hosts.iter().map(|host| host.addresses.v4).collect(),
                };
                let directory = self.lab.plan().directory();
                let (program, arguments) = proxy.prepare(&self.programs, &between, &directory)?;
                let node = self.balancer.name.clone();
                self.start_other(proxy.name(), &node, program, arguments)?;
            }
            Way::Jlb(variant) => self.start_jlb(variant).await?,
        }
        self.listens(row).await
    }

    async fn start_jlb(&mut self, variant: Variant) -> Result<()> {
        let plan = self.lab.plan();
        let hosts = self.hosts.iter().map(|host| format!("\"{}\"", host.name));
        let hosts = format!("[{}]", hosts.collect::<Vec<_>>().join(", "));
        let services = Services {
            hosts: Some(&hosts),
            node_lines: variant.node_lines,
            ..Services::of(&self.options.policy)
        };
        cluster_file::replace(plan, services)?;
        for name in self.jlb() {
            self.lab.start_node(&name)?;
        }
        self.lab.ready().await
    }

    fn jlb(&self) -> Vec<String> {
        let nodes = self.lab.plan().nodes.iter();
        nodes.map(|node| node.name.clone()).collect()
    }

    fn nft(&self) -> Result<PathBuf> {
        let path = self.programs.nft.path();
        path.ok_or_else(|| LabError::new("there is no nft on this machine"))
    }

    /// Where a row's clients go.
    fn targets(&self, row: &Row) -> Vec<SocketAddr> {
        match row.way {
            Way::Direct => {
                let hosts = self.hosts.iter();
                hosts.map(|host| (host.addresses.v4, HTTP).into()).collect()
            }
            _ => vec![(vip(row), HTTP).into()],
        }
    }

    /// Waits until a connection through the row can be made.
    async fn listens(&mut self, row: &Row) -> Result<()> {
        let deadline = Instant::now() + LISTEN_DEADLINE;
        let targets = self.targets(row);
        // From where answers come back to, whatever the row.
        let source = if self.returns(row) {
            IpAddr::from(RETURNING)
        } else {
            Plan::client()
                .next()
                .map_or(RETURNING.into(), |it| it.v4.into())
        };
        loop {
            let client = self.namespace(CLIENT);
            let targets = targets.clone();
            let told = client
                .start(move || crate::load::runtime()?.block_on(all_accept(targets, source)))
                .await;
            self.lab.check()?;
            match told {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    let seconds = LISTEN_DEADLINE.as_secs();
                    return Err(LabError::new(format!(
                        "{} takes no connection after {seconds} s: {error}",
                        row.name
                    )));
                }
                Err(_) => sleep(LISTEN_INTERVAL).await,
            }
        }
    }

    /// Whether answers have to pass the balancer.
    fn returns(&self, row: &Row) -> bool {
        matches!(row.way, Way::Kernel(super::row::Rules::Dnat))
    }

    /// Ends a row's turn.
    pub(super) async fn stop(&mut self, row: &Row) -> Result<()> {
        let names = match row.way {
            Way::Direct | Way::Ecmp => Vec::new(),
            Way::Kernel(rules) => {
                let balancer = self.namespace(&self.balancer.name);
                kernel::remove(&self.nft()?, &balancer, rules)?;
                Vec::new()
            }
            Way::Proxy(proxy) => vec![proxy.name().to_owned()],
            Way::Jlb(_) => self.jlb(),
        };
        self.lab.signal(&names, Signal::TERM);
        self.lab.ended(&names).await?;
        sleep(SETTLE).await;
        Ok(())
    }

    /// One turn of a row that has begun.
    pub(super) async fn play(
        &mut self,
        row: &Row,
        workload: Workload,
        alternation: u32,
    ) -> Result<Run> {
        let sources = if self.returns(row) {
            &self.returning
        } else {
            &self.sources
        };
        let job = workload.job(&self.options, self.targets(row), sources.clone());
        let groups = self.groups(row);
        let begin = generator::now();
        let (from, to) = (begin + job.warm_up, begin + job.span());
        let client = self.namespace(CLIENT);
        let load = client.start(move || generator::run_here(&job, begin));
        let router = self.namespace(ROUTER);
        let samples = async {
            let mut taken = Vec::with_capacity(2);
            for at in [from, to] {
                sleep_until(Instant::from_std(at)).await;
                let groups = groups.clone();
                taken.push(router.start(move || Sample::take(&groups)).await?);
            }
            Ok(taken)
        };
        let (outcome, samples): (_, Result<Vec<Sample>>) = tokio::join!(load, samples);
        let (outcome, samples) = (outcome?, samples?);
        self.lab.check()?;
        let [before, after] = samples.as_slice() else {
            return Err(LabError::new("a turn was not sampled at both its ends"));
        };
        let balancer = match row.way {
            Way::Direct | Way::Ecmp => None,
            Way::Kernel(_) | Way::Proxy(_) => Some(self.balancer.name.as_str()),
            Way::Jlb(_) => self
                .lab
                .plan()
                .of(Role::Ingress)
                .next()
                .map(|it| it.name.as_str()),
        };
        let work = before.until(after);
        Ok(Run::new(
            row,
            workload,
            alternation,
            &outcome,
            &work,
            balancer,
        ))
    }

    /// Turns of a row that has begun, for nothing but the stacks of its processes: as many as it takes for a picture.
    pub(super) async fn sample(
        &mut self,
        perf: &Path,
        row: &Row,
        workload: Workload,
    ) -> Result<Flame> {
        let mut groups = self.groups(row);
        groups.retain(|(group, _)| !NOT_THE_BALANCER.contains(group));
        let file = self.lab.plan().directory().join("perf.data");
        let turn = self.options.warm_up() + self.options.measured();
        let turns = ENOUGH_TO_SEE.div_duration_f64(turn).ceil().max(1.0);
        let recording = Recording::start(perf, file, &groups, turn.mul_f64(turns))?;
        for _ in 0..turns as u32 {
            self.play(row, workload, 0).await?;
        }
        recording.finish(row.name, workload.name())
    }

    /// How much of all processors is busy while nobody has a turn.
    pub(super) async fn others_busy(&self) -> Result<f64> {
        let router = self.namespace(ROUTER);
        let take = || router.start(|| Sample::take(&Vec::new()));
        let before = take().await?;
        sleep(LOOK).await;
        Ok(before.until(&take().await?).busy_share())
    }

    /// Whose time is counted.
    fn groups(&self, row: &Row) -> Groups {
        let mut groups: Groups = vec![("client", std::process::id())];
        let mut add = |group, name: &str| groups.extend(self.lab.pid(name).map(|pid| (group, pid)));
        for host in &self.hosts {
            add("servers", &server(host));
        }
        match row.way {
            Way::Direct | Way::Ecmp | Way::Kernel(_) => {}
            Way::Proxy(proxy) => add("proxy", proxy.name()),
            Way::Jlb(_) => {
                for node in &self.lab.plan().nodes {
                    let group = match node.role {
                        Role::Ingress => "ingress",
                        Role::Tracker => "trackers",
                        Role::Host => "agents",
                    };
                    add(group, &node.name);
                }
            }
        }
        groups
    }

    /// How the kernel decides how much it sends.
    pub(super) fn congestion_control(&self) -> Result<String> {
        let path = "/proc/sys/net/ipv4/tcp_congestion_control";
        let read = || Ok(std::fs::read_to_string(path).unwrap_or_default());
        let text = self.namespace(CLIENT).run(read)?;
        Ok(text.trim().to_owned())
    }

    /// Takes it down.
    pub(super) fn take_down(self) -> Result<()> {
        self.lab.take_down()
    }
}

/// The name of a host's server.
fn server(host: &Node) -> String {
    format!("nginx-{}", host.name)
}

/// Whether all of these take a connection.
async fn all_accept(targets: Vec<SocketAddr>, source: IpAddr) -> Result<()> {
    for target in targets {
        let socket = tokio::net::TcpSocket::new_v4();
        let tried = async {
            let socket = socket?;
            socket.bind((source, 0).into())?;
            socket.connect(target).await
        };
        let tried: std::io::Result<TcpStream> = tried.await;
        tried.map_err(|error| LabError::new(format!("connecting to {target}: {error}")))?;
    }
    Ok(())
}
