//! `jlb explore`.

use crate::{Case, Effort, Outcome, search};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The arguments of `jlb explore`.
#[derive(Args)]
pub struct ExploreArgs {
    /// The case to explore, `small` for all listed small ones, or nothing to list them.
    #[arg(long)]
    case: Option<String>,
    /// Threads that search.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// States after which a search is given up, in thousands; one takes about 100 bytes.
    #[arg(long, default_value_t = 50_000)]
    max_states: u64,
    #[command(flatten)]
    more: More,
    /// Where the page goes that shows a counterexample.
    #[arg(long)]
    html: Option<PathBuf>,
}

/// Bounds in place of the case's own.
#[derive(Args, Clone)]
struct More {
    /// SYNs of each life.
    #[arg(long, value_delimiter = ',')]
    syns: Option<Vec<u8>>,
    /// Data packets of each life.
    #[arg(long, value_delimiter = ',')]
    data: Option<Vec<u8>>,
    /// FINs of the first life.
    #[arg(long)]
    fins: Option<u8>,
    /// Messages that arrive twice.
    #[arg(long)]
    duplicates: Option<u8>,
    /// Losses that are counted.
    #[arg(long)]
    losses: Option<u8>,
    /// Deadlines that pass at ingress nodes, trackers and hosts.
    #[arg(long, value_delimiter = ',')]
    deadlines: Option<Vec<u8>>,
    /// Lists of kernels' sockets.
    #[arg(long)]
    dumps: Option<u8>,
    /// Crashes.
    #[arg(long)]
    crashes: Option<u8>,
    /// Changes of belief.
    #[arg(long)]
    beliefs: Option<u8>,
}

impl More {
    fn apply(&self, case: &mut Case) {
        fn all<const N: usize>(values: Option<&Vec<u8>>, to: &mut [u8; N]) {
            for (to, value) in to.iter_mut().zip(values.into_iter().flatten()) {
                *to = *value;
            }
        }
        let one = |value: Option<u8>, to: &mut u8| *to = value.unwrap_or(*to);
        all(self.syns.as_ref(), &mut case.syns);
        all(self.data.as_ref(), &mut case.data);
        all(self.deadlines.as_ref(), &mut case.timers);
        one(self.fins, &mut case.fins);
        one(self.duplicates, &mut case.duplicates);
        one(self.losses, &mut case.losses);
        one(self.dumps, &mut case.dumps);
        one(self.crashes, &mut case.crashes);
        one(self.beliefs, &mut case.beliefs);
    }
}

/// Explores, and prints what was found; fails if a case has a counterexample or is not complete.
#[must_use]
pub fn explore(args: &ExploreArgs) -> ExitCode {
    let Some(name) = &args.case else {
        for case in Case::ALL {
            say(&format!("{:<16} {}", case.name, case.words));
        }
        return ExitCode::SUCCESS;
    };
    let cases: Vec<_> = Case::ALL
        .iter()
        .filter(|case| case.name == name || (name == "small" && case.is_small))
        .collect();
    if cases.is_empty() {
        complain(&format!("there is no case {name}"));
        return ExitCode::FAILURE;
    }
    let mut is_well = true;
    for case in cases {
        let mut case = *case;
        args.more.apply(&mut case);
        is_well &= explore_one(args, &case);
    }
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn explore_one(args: &ExploreArgs, case: &Case) -> bool {
    say(&format!("{}: {}", case.name, case.words));
    say(&format!("  bounds: {}", case.bounds()));
    let effort = Effort {
        threads: args.threads,
        max_states: args.max_states.saturating_mul(1000),
    };
    let begin = now();
    let mut told = begin;
    let outcome = search(*case, effort, &mut |reached, edge| {
        if now().duration_since(told) > Duration::from_secs(10) {
            told = now();
            let (states, depth) = (reached.states, reached.depth);
            complain(&format!(
                "  {states} states, depth {depth}, {edge} on the edge"
            ));
        }
    });
    let Some(outcome) = outcome else {
        complain("the cluster can't be built");
        return false;
    };
    say(&format!("  {}", summary(&outcome, now() - begin)));
    let Some(walk) = &outcome.walk else {
        return outcome.reached.complete;
    };
    say(&walk.text());
    if let Some(file) = &args.html {
        match std::fs::write(file, walk.html()) {
            Ok(()) => say(&format!("  wrote {}", file.display())),
            Err(error) => complain(&format!("can't write {}: {error}", file.display())),
        }
    }
    false
}

fn summary(outcome: &Outcome, took: Duration) -> String {
    let Outcome { reached, met, walk } = outcome;
    let verdict = match (walk, reached.complete) {
        (Some(walk), _) => format!("VIOLATION after {} steps", walk.stations.len() - 1),
        (None, true) => "complete, no violation".to_owned(),
        (None, false) => "not complete, no violation so far".to_owned(),
    };
    format!(
        "{verdict}: {} states, {} transitions, depth {}, {} at rest, {} cut off by the bounds; {} \
         node states, {} messages, {} steps of nodes; {:.1} s",
        reached.states,
        reached.transitions,
        reached.depth,
        reached.at_rest,
        reached.cut_off,
        met.nodes,
        met.letters,
        met.steps,
        took.as_secs_f64()
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long the search took is told to the person who waited; nothing else sees it"
)]
fn now() -> Instant {
    Instant::now()
}

fn say(words: &str) {
    // Where nobody can read it, the status still tells.
    let _ = writeln!(std::io::stdout(), "{words}");
}

fn complain(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
