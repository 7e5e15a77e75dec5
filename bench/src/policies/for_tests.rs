//! Options as a command line gives them.

use super::args::PoliciesOptions;
use crate::benches::{BenchArgs, BenchCommand};
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

/// What these arguments say, or clap's error.
pub(crate) fn parsed(arguments: &[&str]) -> Result<PoliciesOptions, String> {
    let all = ["jlb", "policies"].iter().chain(arguments);
    let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
    match cli.bench.command {
        BenchCommand::Policies(options) => Ok(options),
        other => Err(format!("not of policies: {other:?}")),
    }
}

/// What these arguments say.
pub(crate) fn options(arguments: &[&str]) -> PoliciesOptions {
    parsed(arguments).unwrap()
}
