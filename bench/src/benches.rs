//! `jlb bench`: what can be measured.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::compare::{self, CompareOptions};
use crate::error::LabError;
use crate::micro::{self, MicroOptions};
use crate::packets::{self, PacketsOptions};
use crate::policies::{self, PoliciesOptions};
use crate::side_by_side::{self, SideBySideOptions};
use crate::soak::{self, SoakOptions};

/// `jlb bench`: measure, and say what came out.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compare ways of choosing hosts, in a simulation of servers and of what trackers know of them, or in a lab
    Policies(PoliciesOptions),
    /// Measure what a packet and a new connection cost the roles, in memory: time, instructions, bytes
    Micro(MicroOptions),
    /// Count the packets a second that an ingress takes by each way in, beside a loop that only receives and sends
    Packets(PacketsOptions),
    /// Compare JLB with no balancer, the kernel's own ways and other proxies, side by side in network namespaces
    Lab(SideBySideOptions),
    /// Let connections come and go for a long time, and see that nothing grows, fails or is left over
    Soak(SoakOptions),
    /// Put two reports of `bench lab` or `bench micro` side by side, and say what has changed
    Compare(CompareOptions),
}

/// Runs `jlb bench`.
pub fn bench(args: &BenchArgs) -> ExitCode {
    let done = match &args.command {
        BenchCommand::Policies(options) => policies::run(options),
        BenchCommand::Micro(options) => micro::run(options),
        BenchCommand::Packets(options) => packets::run(options),
        BenchCommand::Lab(options) => side_by_side::run(options),
        BenchCommand::Soak(options) => soak::run(options),
        BenchCommand::Compare(options) => compare::run(options),
    };
    done.unwrap_or_else(|error: LabError| {
        eprintln!("jlb bench: {error}");
        if let Some(mend) = error.how_to_mend() {
            eprintln!("  mend: {mend}");
        }
        ExitCode::FAILURE
    })
}
