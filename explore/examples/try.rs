//! Until the command stands.
use clap::Parser;
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: jlb_explore::ExploreArgs,
}
fn main() -> std::process::ExitCode {
    jlb_explore::explore(&Cli::parse().args)
}
