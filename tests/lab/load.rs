//! A thousand connections at a time by wrk.

use crate::harness::{Lab, http, long, vips};

const CONNECTIONS: u32 = 1_000;

#[test]
fn a_thousand_connections_see_no_error() {
    let lab = Lab::with_nginx();
    let seconds = if long() { 60 } else { 10 };
    for vip in vips() {
        let url = http(vip, "/");
        // Each connection is a file; the usual limit is 1,024.
        let wrk = format!(
            "ulimit -n 8192; exec wrk -t 2 -c {CONNECTIONS} -d {seconds}s --timeout 5s '{url}'"
        );
        let said = lab.client().must("sh", &["-c", &wrk]);
        // wrk has a line for errors only when there are some.
        assert!(!said.contains("Socket errors"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
        let requests = requests(&said);
        assert!(
            requests > u64::from(CONNECTIONS),
            "{requests} requests answered:\n{said}"
        );
        println!("{vip}: {requests} requests in {seconds} s");
    }
    lab.assert_calm();
}

/// From `  123456 requests in 10.00s, 1.23MB read`.
fn requests(said: &str) -> u64 {
    let line = said
        .lines()
        .find(|line| line.contains(" requests in "))
        .expect("wrk counts");
    line.split_whitespace().next().unwrap().parse().unwrap()
}
