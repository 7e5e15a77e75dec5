//! The lab on which the runs take turns: the cluster's file, its hosts' servers and the clients of each.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use jlb_queueing::Cluster;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::balancers::Balancers;
use super::client::{self, Clients, Job, Way};
use super::seen::Take;
use super::words::Words;
use crate::chaos::lab_options;
use crate::cluster_file;
use crate::error::{Doing, LabError, Result};
use crate::lab::{Lab, Setting};
use crate::netns::Namespace;
use crate::plan::{Counts, Node, Plan, Role, VIP_V4};
use crate::policies::args::PoliciesOptions;
use crate::policies::plan::Line;
use crate::topology::CLIENT;
use crate::web::body::Answer;
use crate::web::workers;

/// Ingress nodes.
const INGRESS: u16 = 2;
/// Where servers listen.
const HTTP: u16 = 80;
/// The longest that a job may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that nodes may take to take a file over.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(20);
/// How often they are asked.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(20);
/// How long a server may take to do what it is told.
const OBEY: Duration = Duration::from_secs(5);
/// Between two runs: hosts report that nothing is left.
const SETTLE: Duration = Duration::from_millis(150);

/// A lab that stands.
pub(crate) struct Stage {
    lab: Lab,
    /// What its cluster file says.
    words: Option<Words>,
    hosts: Vec<Node>,
    /// Milliseconds of the mean work.
    unit: f64,
}

impl Stage {
    /// Builds one. `options` are [`PoliciesOptions::in_lab`]'s.
    pub(crate) async fn build(options: &PoliciesOptions) -> Result<Self> {
        let counts = Counts {
            ingress: INGRESS,
            trackers: options.trackers,
            hosts: options.hosts,
        };
        let mut lab = Lab::build(&lab_options(counts), Setting::USUAL)?;
        lab.ready().await?;
        Ok(Self {
            hosts: lab.plan().of(Role::Host).cloned().collect(),
            lab,
            words: None,
            unit: f64::from(options.work_ms),
        })
    }

    /// Takes it down.
    pub(crate) fn take_down(self) -> Result<()> {
        self.lab.take_down()
    }

    /// One run of a line with a seed; gives what clients saw, and their first failures in words.
    pub(crate) async fn play(&mut self, line: &Line, seed: u64) -> Result<(Take, Vec<String>)> {
        let cluster = Cluster {
            seed,
            ..line.cluster.clone()
        };
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        self.follow(Words::of(line, &names, self.unit)).await?;
        let servers = self.hosts.iter().zip(&cluster.hosts).map(|(node, host)| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small positive numbers"
            )]
            let (cores, percent) = (host.cores as u16, (host.speed * 100.0).round() as u16);
            (
                server(node),
                workers::words(host.discipline, cores, percent),
            )
        });
        self.tell(servers.collect()).await?;
        let sick = cluster.hosts.iter().position(|host| host.fault.is_some());
        sleep(SETTLE).await;

        let jobs = jobs(&cluster, self.unit / 1_000.0);
        let begins = jobs.get(usize::try_from(cluster.warm_up).unwrap_or(usize::MAX));
        let begins = begins.map_or(Duration::ZERO, |job| job.due);
        let rejects = self.rejects().await?;
        let running = self.clients(jobs, line, &cluster);
        tokio::pin!(running);
        let failing = async {
            let begin = Instant::now();
            let Some(sick) = sick.and_then(|place| self.hosts.get(place)) else {
                return Ok(());
            };
            sleep_until(begin + begins).await;
            self.tell(vec![(server(sick), "failing".to_owned())]).await
        };
        let (seen, failed) = tokio::join!(running, failing);
        failed?;
        let (seen, words) = seen?;
        let rejects = self.rejects().await?.saturating_sub(rejects);
        self.lab.check()?;
        Ok((Take { seen, rejects }, words))
    }

    fn clients(
        &self,
        jobs: Vec<Job>,
        line: &Line,
        cluster: &Cluster,
    ) -> impl Future<Output = Result<client::Sight>> + use<> {
        let hosts = self.hosts.iter();
        let way = match Balancers::of(line.combination.who, cluster) {
            Some(balancers) => Way::Themselves(balancers),
            None => Way::Cluster((VIP_V4, HTTP).into()),
        };
        let clients = Clients {
            jobs,
            way,
            hosts: hosts
                .map(|host| (host.name.clone(), server(host)))
                .collect(),
            sources: Plan::client().map(|it| IpAddr::from(it.v4)).collect(),
            patience: PATIENCE,
        };
        let client = Namespace::existing(&self.lab.plan().namespace(CLIENT));
        async move { client.start(move || client::run_here(clients)).await }
    }

    /// Has all nodes run the file of these words.
    async fn follow(&mut self, words: Words) -> Result<()> {
        if self.words.as_ref() == Some(&words) {
            return Ok(());
        }
        let fingerprint = cluster_file::replace(self.lab.plan(), words.services())?;
        let fingerprint = format!("{fingerprint:016x}");
        self.words = Some(words);
        let deadline = Instant::now() + FOLLOW_DEADLINE;
        loop {
            let behind = self.lab.metrics().await?.into_iter().find(|node| {
                let info = node.samples.of("jlb_config_info");
                !info
                    .into_iter()
                    .any(|it| it.label("fingerprint") == Some(&fingerprint))
            });
            let Some(behind) = behind else { return Ok(()) };
            if Instant::now() >= deadline {
                let what = format!("{} does not take the cluster file over", behind.node);
                return Err(LabError::new(what));
            }
            self.lab.check()?;
            sleep(FOLLOW_INTERVAL).await;
        }
    }

    /// Rejects so far, by the hosts: each passes two trackers, which both count it.
    async fn rejects(&self) -> Result<u64> {
        let all = self.lab.metrics().await?;
        let of = |name: &str| all.iter().filter_map(|it| it.samples.sum(name, &[])).sum();
        Ok(of("jlb_host_rejects_total"))
    }

    /// Gives servers their commands.
    async fn tell(&self, commands: Vec<(SocketAddr, String)>) -> Result<()> {
        let told = |runtime: &tokio::runtime::Runtime| {
            runtime.block_on(async {
                for (server, words) in commands {
                    tell(server, &words).await?;
                }
                Ok(())
            })
        };
        self.lab.beside_nodes(told).await
    }
}

/// Where a host's server is, not asking the cluster.
fn server(host: &Node) -> SocketAddr {
    (host.addresses.v4, HTTP).into()
}

async fn tell(server: SocketAddr, words: &str) -> Result<()> {
    let asking = format!("have {server} be {words}");
    let answered = timeout(OBEY, exchange(server, words));
    let status = answered.await.doing(&asking)?.doing(&asking)?;
    if status == StatusCode::OK {
        Ok(())
    } else {
        Err(LabError::new(format!("cannot {asking}: {status}")))
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(server: SocketAddr, words: &str) -> std::result::Result<StatusCode, AnyError> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(format!("/station/{words}"))
        .header(HOST, server.to_string())
        .body(Answer::empty())?;
    let asked = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    };
    let (answer, _) = tokio::join!(asked, connection);
    answer
}

/// The jobs of a run, in real time: `unit` is the mean work in seconds.
fn jobs(cluster: &Cluster, unit: f64) -> Vec<Job> {
    let count = u64::from(cluster.warm_up) + u64::from(cluster.jobs);
    let arrivals = cluster
        .arrivals()
        .take(usize::try_from(count).unwrap_or(usize::MAX));
    let jobs = arrivals.map(|arrival| Job {
        due: Duration::from_secs_f64(arrival.at * unit),
        work: Duration::from_secs_f64(arrival.work * unit),
    });
    jobs.collect()
}
