//! Trackers that fail together: no connection has both of its trackers among them.

use std::fs;
use std::time::Duration;

use jlb_bench::plan::Role;

use crate::harness::{Lab, Wanted, eventually};
use crate::reload::clients::{Clients, connect, host_of};
use crate::reload::runs;

/// Connections that stay open meanwhile.
const CONNECTIONS: usize = 600;

/// The file of a lab whose first and last tracker stand in one rack and the other in another.
fn with_racks(text: &str) -> String {
    ["tracker-1", "tracker-2", "tracker-3"]
        .iter()
        .zip(["rack-1", "rack-2", "rack-1"])
        .fold(text.to_owned(), |text, (tracker, rack)| {
            let name = format!("name = \"{tracker}\"\n");
            let both = format!("{name}failure_domain = \"{rack}\"\n");
            assert!(text.contains(&name), "{tracker}");
            text.replace(&name, &both)
        })
}

/// The records of each tracker.
fn records(lab: &Lab) -> Vec<u64> {
    let trackers = lab.of(Role::Tracker).into_iter();
    trackers
        .map(|node| lab.metrics(&node).sum("jlb_tracker_flows", &[]))
        .collect()
}

fn connections(lab: &Lab) -> u64 {
    let hosts = lab.of(Role::Host).into_iter();
    hosts
        .map(|node| lab.metrics(&node).sum("jlb_host_flows", &[]))
        .sum()
}

#[test]
fn connections_outlive_a_rack_and_are_known_outside_of_it() {
    let lab = Lab::start(Wanted::default());
    let mut idle: Vec<_> = crate::harness::vips()
        .into_iter()
        .cycle()
        .take(CONNECTIONS)
        .map(|vip| connect(&lab, (vip, 80).into()).unwrap())
        .collect();
    let known = |what: &str, is_so: &dyn Fn(&[u64]) -> bool| {
        eventually(Duration::from_secs(15), what, || {
            let (records, all) = (records(&lab), connections(&lab));
            println!("{what}: records {records:?}, {all} connections");
            // A tracker that is none of a connection's two any more keeps its record for a while.
            let twice = records.iter().sum::<u64>() >= 2 * all && all >= CONNECTIONS as u64;
            if twice && is_so(&records) {
                Ok(())
            } else {
                Err(format!("{records:?} of {all}"))
            }
        });
    };
    // Without racks each pair of the three has a third of them.
    known("no racks", &|records| {
        let middle = records[1] as usize;
        middle > CONNECTIONS / 2 && middle < CONNECTIONS * 5 / 6
    });

    // With them the one that is alone in its rack has each, also of those that were there before.
    lab.replace_file(&with_racks(
        &fs::read_to_string(lab.cluster_file()).unwrap(),
    ));
    let wanted = lab.fingerprint();
    lab.wait_for_all("all nodes run the file", |page| runs(page, &wanted));
    known("racks", &|records| records[1] == connections(&lab));

    let clients = Clients::start(&lab, CONNECTIONS / 4);
    let rack: Vec<_> = lab.of(Role::Tracker).into_iter().step_by(2).collect();
    let words: Vec<_> = rack.iter().map(|node| lab.kill(&node.name)).collect();
    std::thread::sleep(Duration::from_secs(3));
    let (answered, opened) = clients.end();
    println!("{answered} answers, {opened} new connections while the rack was lost");
    assert!(answered > 0 && opened > 0);
    for stream in &mut idle {
        host_of(stream).unwrap();
    }
    // It is back, and each of its trackers is told what it holds.
    let _again: Vec<_> = rack
        .iter()
        .zip(words)
        .map(|(node, words)| lab.start_again(&node.name, &words))
        .collect();
    for node in &rack {
        eventually(Duration::from_secs(10), "the rack is back", || {
            lab.is_ready(node)
        });
    }
    known("back", &|records| records[1] == connections(&lab));
    lab.assert_books_balance();
}
