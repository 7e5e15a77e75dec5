//! Each bug is found.
use jlb_planted::hunt::hunt;
use jlb_planted::occasions::occasion;
use jlb_protocol::planted::{Bug, plant};

#[test]
fn every_bug_is_found() {
    let most: u64 = std::env::var("SEEDS").map_or(30, |t| t.parse().unwrap());
    let only = std::env::var("ONLY").ok();
    for &bug in Bug::ALL {
        if only.as_ref().is_some_and(|o| !o.split(',').any(|o| o == bug.name())) { continue; }
        let occasion = occasion(bug);
        for b in [Some(bug), None] {
            if b.is_none() && std::env::var("NOCLEAN").is_ok() { continue; }
            plant(b);
            let t = std::time::Instant::now();
            let h = hunt(&occasion.plan, most);
            println!("{:>28} {:>8} seeds {:>4} flows {:>6} {:>6} ms {}", bug.name(), if b.is_none() {"clean"} else {"bug"}, h.seeds, h.flows, t.elapsed().as_millis(), h.violation.as_ref().map_or("-".into(), |v| v.to_string()));
            if std::env::var("TRACE").is_ok() && (b.is_none() || std::env::var("TRACE").unwrap() == "bug") { for l in &h.trace { println!("{l}"); } }
        }
    }
}
