//! A report without a lab.

use std::collections::BTreeMap;

use clap::Parser;

use super::*;
use run::Latency;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: SideBySideOptions,
}

/// Options as they are given on a command line.
pub(crate) fn options(words: &[&str]) -> SideBySideOptions {
    let all = ["test"].into_iter().chain(words.iter().copied());
    Cli::try_parse_from(all).unwrap().options
}

/// A turn with round figures.
pub(crate) fn turn(workload: &str, row: &str, alternation: u32, rate: f64) -> Run {
    let latency = Latency {
        p50_us: 1e6 / rate,
        p90_us: 2e6 / rate,
        p99_us: 3e6 / rate,
        p999_us: 4e6 / rate,
        max_us: 5e6 / rate,
    };
    let mut own_us: BTreeMap<String, f64> =
        BTreeMap::from([("client".to_owned(), 9.0), ("servers".to_owned(), 20.0)]);
    if row == "jlb" {
        own_us.insert("ingress".to_owned(), 5.0);
        own_us.insert("agents".to_owned(), 10.0);
    }
    Run {
        workload: workload.to_owned(),
        row: row.to_owned(),
        alternation,
        seconds: 1.0,
        answered: rate as u64,
        due: 0,
        rate,
        latency,
        uncorrected: None,
        cpu_us: 2e6 / rate,
        busy: 0.98,
        own_us,
        packets: (row == "jlb").then_some(2.0),
        connected: 64,
        errors: BTreeMap::new(),
        first_errors: Vec::new(),
    }
}

/// A report of two workloads, three rows and three rounds; `dnat` could not be measured.
pub(crate) fn document() -> Document {
    let options = options(&["--row", "ecmp", "--row", "dnat", "--row", "jlb"]);
    let machine = Machine {
        processor: "Some <Processor>".to_owned(),
        processors: 2,
        memory_mib: 1_000,
        kernel: "6.0".to_owned(),
        congestion_control: "cubic".to_owned(),
        others_busy: [0.01, 0.02],
        load_average: "0.5".to_owned(),
    };
    let facts = ["direct", "ecmp", "dnat", "jlb"].map(|name| RowFacts {
        name: name.to_owned(),
        what: format!("what {name} is"),
        version: None,
        missing: (name == "dnat").then(|| "there is no nft".to_owned()),
    });
    let mut runs = Vec::new();
    for workload in ["keepalive", "latency"] {
        for (alternation, direct) in [(0, 50_000.0), (1, 40_000.0), (2, 62_500.0)] {
            runs.push(turn(workload, "direct", alternation, direct));
            runs.push(turn(workload, "ecmp", alternation, direct * 0.8));
            // Not in step with `direct`.
            let of_direct = [0.5, 0.625, 0.4][alternation as usize];
            runs.push(turn(workload, "jlb", alternation, direct * of_direct));
        }
    }
    Document::new(&options, machine, facts.to_vec(), runs)
}
