//! Each bug is found within a bounded number of worlds or states, and nothing is found there without
//! it. One test, since a bug is planted in the whole process.
//!
//! `JLB_PLANTED=NAME,NAME` looks for these alone; `JLB_WRITE_TABLE=1` writes the table in
//! `docs/verification.md`.

use jlb_planted::hunt::{Bounds, Hunt, hunt};
use jlb_planted::occasions::{Occasion, occasion};
use jlb_planted::table::{self, Row};
use jlb_protocol::planted::{Bug, plant};
use std::path::Path;

/// A bug has to show within that.
const BOUNDS: Bounds = Bounds {
    seeds: 200,
    states: 200_000,
};

/// How many worlds without a bug have to be clean, at least.
const CLEAN_SEEDS: u64 = 30;

/// What is wrong where no bug is planted; each occasion is looked at as far as its bugs needed, or
/// `JLB_CLEAN_SEEDS` worlds if that is more: a bug that takes longer than something that is wrong
/// without it is not shown.
fn unplanted(rows: &[Row]) -> Vec<String> {
    let least = std::env::var("JLB_CLEAN_SEEDS").map_or(CLEAN_SEEDS, |text| text.parse().unwrap());
    let mut occasions: Vec<(Occasion, u64)> = Vec::new();
    for (occasion, hunt) in rows.iter().filter_map(|row| row.found.as_ref()) {
        match occasions.iter_mut().find(|(known, _)| known == occasion) {
            Some((_, most)) => *most = hunt.looked_at.max(*most),
            None => occasions.push((occasion.clone(), hunt.looked_at)),
        }
    }
    plant(None);
    let looked = occasions.into_iter().map(|(occasion, most)| {
        let bounds = Bounds {
            seeds: most.max(least),
            states: most,
        };
        let clean = hunt(&occasion, bounds);
        let name = occasion.name();
        println!("without bugs: {name}: {} looked at", clean.looked_at);
        for line in &clean.trace {
            println!("{line}");
        }
        clean
            .found
            .map(|(_, words)| format!("{name}, without bugs: {words}"))
    });
    looked.flatten().collect()
}

fn look_for(bug: Bug) -> Option<(Occasion, Hunt)> {
    let occasion = occasion(bug)?;
    plant(Some(bug));
    let hunt = hunt(&occasion, BOUNDS);
    let words = hunt.found.as_ref().map_or("not found", |(_, words)| words);
    println!("{}: {} looked at: {words}", bug.name(), hunt.looked_at);
    hunt.found.is_some().then_some((occasion, hunt))
}

#[test]
fn every_bug_is_found() {
    let only = std::env::var("JLB_PLANTED").ok();
    let is_wanted = |bug: &Bug| {
        let mut names = only.iter().flat_map(|names| names.split(','));
        only.is_none() || names.any(|name| name == bug.name())
    };
    let wanted = Bug::ALL.iter().copied().filter(is_wanted);
    let rows: Vec<_> = wanted
        .map(|bug| Row {
            bug,
            found: look_for(bug),
        })
        .collect();
    let text = table::text(&rows);
    println!("{text}");
    let mut wrong = unplanted(&rows);
    let missed = rows.iter().filter(|row| row.found.is_none());
    wrong.extend(missed.map(|row| format!("{} is not found", row.bug.name())));
    if only.is_none() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verification.md");
        let page = std::fs::read_to_string(&path).unwrap();
        if std::env::var("JLB_WRITE_TABLE").is_ok() {
            std::fs::write(&path, table::replace(&page, &text).unwrap()).unwrap();
        } else {
            let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
            assert_eq!(table::names(&page), names, "write the table anew");
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_rule_has_a_bug() {
    for rule in 1..=14 {
        assert!(Bug::ALL.iter().any(|bug| bug.rule() == rule), "R{rule}");
    }
}
