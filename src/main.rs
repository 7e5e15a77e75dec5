//! The `jlb` command: argument parsing and dispatch only.

use clap::{Args, Parser, Subcommand};
use jlb_node::{Deadline, Drain};
use jlb_protocol::Role;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A replicated, userspace layer-4 load balancer.
#[derive(Parser)]
#[command(name = "jlb", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Receive the packets of VIPs and forward each flow to its host.
    Ingress(SetUpArgs),
    /// Hold the record of flows and choose their hosts.
    FlowTracker(NodeArgs),
    /// Take flows on a server of the web fleet.
    HostAgent(SetUpArgs),
    /// Say what is wrong with a cluster file, or what it describes.
    Check {
        /// The cluster file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Ask every node of a cluster file how it is, and whether it runs that file.
    Status {
        /// The cluster file.
        #[arg(long)]
        config: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have a node of this machine get nothing new; what it has goes on, or until a deadline.
    Drain {
        /// The node's name.
        node: String,
        /// Close what is left after this long ("5m"), or "never"; without it, as long as the node's
        /// drain_timeout in the cluster file says.
        #[arg(long, value_parser = deadline)]
        deadline: Option<Deadline>,
        /// Wait until no connection is left; of an ingress or a flow tracker until the deadline.
        #[arg(long)]
        wait: bool,
        /// Where the node keeps its state.
        #[arg(long, default_value = "/var/lib/jlb")]
        state_dir: PathBuf,
    },
    /// Have a node of this machine that was drained take new work again.
    Undrain {
        /// The node's name.
        node: String,
        /// Where the node keeps its state.
        #[arg(long, default_value = "/var/lib/jlb")]
        state_dir: PathBuf,
    },
    /// Write a new key file.
    Keygen {
        /// The file to write; must not exist.
        #[arg(default_value = "jlb.key")]
        file: PathBuf,
    },
    /// Search all that can happen to one flow in a small cluster for what must not.
    Explore(jlb_explore::ExploreArgs),
    /// Compare policies in a simulation, and say what came out.
    Bench(jlb_bench::BenchArgs),
    /// Build a whole cluster in network namespaces and load it.
    Lab(jlb_bench::LabArgs),
    /// Run simulated clusters and say what was violated.
    Sim(jlb_sim::SimArgs),
    /// The web server of the lab's hosts.
    #[command(hide = true)]
    LabWeb(jlb_bench::LabWebArgs),
}

#[derive(Args, Clone)]
struct NodeArgs {
    /// The cluster file.
    #[arg(long)]
    config: PathBuf,
    /// This node's name in it.
    #[arg(long)]
    name: String,
    /// Where the node keeps its incarnation.
    #[arg(long, default_value = "/var/lib/jlb")]
    state_dir: PathBuf,
    /// Milliseconds that the node goes on after /healthz turned bad on a stop.
    #[arg(long, default_value_t = 1_000)]
    stop_delay_ms: u64,
    /// Log JSON lines.
    #[arg(long)]
    log_json: bool,
    /// End when the process with this id, which started this one, ends.
    #[arg(long, hide = true)]
    die_with_parent: Option<u32>,
}

/// The arguments of a role that sets its machine up.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct SetUpArgs {
    #[command(flatten)]
    node: Option<NodeArgs>,
    #[command(subcommand)]
    command: Option<SetUpCommand>,
}

#[derive(Subcommand)]
enum SetUpCommand {
    /// Remove what the node set up on this machine: device, addresses, rules and routes.
    Teardown {
        /// The cluster file.
        #[arg(long)]
        config: PathBuf,
        /// This node's name in it.
        #[arg(long)]
        name: String,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Ingress(args) => run_or_tear_down(Role::Ingress, args),
        Command::FlowTracker(args) => run(Role::FlowTracker, args),
        Command::HostAgent(args) => run_or_tear_down(Role::HostAgent, args),
        Command::Check { config } => check(&config),
        Command::Status { config, json } => status(&config, json),
        Command::Drain {
            node,
            deadline,
            wait,
            state_dir,
        } => drain(&Drain {
            node,
            state_dir,
            deadline: deadline.unwrap_or(Deadline::AsFile),
            wait,
        }),
        Command::Undrain { node, state_dir } => report(jlb_node::undrain(&node, state_dir)),
        Command::Keygen { file } => keygen(&file),
        Command::Explore(args) => jlb_explore::explore(&args),
        Command::Bench(args) => jlb_bench::bench(&args),
        Command::Lab(args) => jlb_bench::lab(args),
        Command::Sim(args) => sim(&args),
        Command::LabWeb(args) => jlb_bench::lab_web(args),
    }
}

fn run_or_tear_down(role: Role, args: SetUpArgs) -> ExitCode {
    match (args.command, args.node) {
        (Some(SetUpCommand::Teardown { config, name }), _) => {
            report(jlb_node::teardown(role, &config, &name))
        }
        (None, Some(node)) => run(role, node),
        (None, None) => fail("name the cluster file with --config and the node with --name"),
    }
}

fn run(role: Role, args: NodeArgs) -> ExitCode {
    if let Some(parent) = args.die_with_parent
        && let Err(error) = jlb_packet_io::process::die_with_parent(parent)
    {
        return fail(format!("can't follow the parent process: {error}"));
    }
    let options = jlb_node::Options {
        config: args.config,
        name: args.name,
        state_dir: args.state_dir,
        stop_delay: Duration::from_millis(args.stop_delay_ms),
        log_json: args.log_json,
    };
    report(jlb_node::run(role, &options))
}

fn check(config: &std::path::Path) -> ExitCode {
    let checked = jlb_config::check(config);
    if checked.is_ok() {
        print!("{}", checked.text());
        ExitCode::SUCCESS
    } else {
        eprint!("{}", checked.text());
        ExitCode::FAILURE
    }
}

fn status(config: &std::path::Path, json: bool) -> ExitCode {
    let survey = match jlb_node::survey(config) {
        Ok(survey) => survey,
        Err(error) => return fail(error),
    };
    let text = if json { survey.json() } else { survey.text() };
    // Who reads only the beginning wants the status all the same.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if survey.is_uniform() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn drain(wanted: &Drain) -> ExitCode {
    report(jlb_node::drain(wanted, |line| {
        // Who does not read it wants the node drained all the same.
        let _ = writeln!(std::io::stdout(), "{line}");
    }))
}

fn deadline(text: &str) -> Result<Deadline, String> {
    if text == "never" {
        return Ok(Deadline::Never);
    }
    jlb_config::parse_time_span(text).map(Deadline::After)
}

fn keygen(file: &std::path::Path) -> ExitCode {
    match jlb_config::keygen(file) {
        Ok(_) => {
            println!(
                "wrote {}: copy it to every node, readable by root alone",
                file.display()
            );
            ExitCode::SUCCESS
        }
        Err(error) => fail(format!("can't write {}: {error}", file.display())),
    }
}

fn sim(args: &jlb_sim::SimArgs) -> ExitCode {
    #[allow(
        clippy::disallowed_methods,
        reason = "only to say how fast the simulation was"
    )]
    let begun = std::time::Instant::now();
    jlb_sim::command(args, || begun.elapsed())
}

fn report(result: Result<(), jlb_node::Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

fn fail(error: impl std::fmt::Display) -> ExitCode {
    // Where nobody can read it, the status still tells.
    let _ = writeln!(std::io::stderr(), "jlb: {error}");
    ExitCode::FAILURE
}
