use super::*;
use crate::benches::{BenchArgs, BenchCommand};
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

fn options(arguments: &[&str]) -> MicroOptions {
    let all = ["jlb", "micro"].iter().chain(arguments);
    match Cli::try_parse_from(all).unwrap().bench.command {
        BenchCommand::Micro(options) => options,
        other => panic!("another command: {other:?}"),
    }
}

#[test]
fn cases_are_chosen_by_name_or_kind_and_others_are_told() {
    let all = chosen(&options(&[])).unwrap();
    assert_eq!(all, Case::all(&[1, 1_000, 1_000_000]));
    let some = chosen(&options(&["--only", "lookup,ingress/7", "--flows", "7,9"])).unwrap();
    let names: Vec<_> = some.iter().map(Case::name).collect();
    assert_eq!(names, ["lookup/7", "lookup/9", "ingress/7"]);
    let error = chosen(&options(&["--only", "parsing"])).unwrap_err();
    assert!(error.to_string().contains("\"parsing\""));
    assert!(error.how_to_mend().unwrap().contains("parse, encapsulate"));
}

#[test]
fn a_single_run_is_of_one_case() {
    let usual = options(&[]);
    assert_eq!(named(&usual, "lookup/77").unwrap().flows, Some(77));
    assert_eq!(named(&usual, "parse").unwrap().flows, None);
    assert!(named(&usual, "lookup").is_err());
    assert!(named(&usual, "nothing/3").is_err());
}

#[test]
fn figures_have_their_units_in_their_names() {
    let times = Times {
        least: 10.0,
        median: 12.5,
        most: 99.0,
        samples: 9,
    };
    let case = &Case::all(&[7])[4];
    let line = line(case, &times, Some(4.0), None);
    let words = text(&line);
    assert!(words.starts_with("ingress/7"), "{words}");
    let json = serde_json::to_value(&line).unwrap();
    assert_eq!(json["ns_median"], 12.5);
    assert_eq!(json["unit"], "packet");
}

#[test]
fn tables_of_many_flows_have_their_bytes() {
    let case = &chosen(&options(&["--only", "ingress/2000", "--flows", "2000"])).unwrap()[0];
    let tables = case.prepare().unwrap().table_bytes().unwrap();
    let bytes = Bytes::of(tables, 2_000);
    for each in [bytes.ingress, bytes.tracker, bytes.host] {
        assert!((16.0..4_096.0).contains(&each), "{each}");
    }
}
