//! Broken cluster files: each is refused with one exact error that says what, where, and what would
//! be right, and that fits on a screen.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "broken/cases.rs"]
mod cases;

use cases::CASES;
use jlb_config::{ClusterConfig, ConfigError, Keys, MessageKey, Style};
use std::path::Path;

/// Every broken file is this one with one thing changed.
const GOOD: &str = r#"[cluster]
name = "shop"
key_file = "cluster.key"
underlay_mtu = 1500

[limits]
max_flows = 100_000

[timers]
refresh = "15s"

[[node]]
number = 1
name = "ingress-1"
role = "ingress"
underlay = ["10.0.0.1"]

[[node]]
number = 11
name = "tracker-1"
role = "flow-tracker"
underlay = ["10.0.0.11"]

[[node]]
number = 12
name = "tracker-2"
role = "flow-tracker"
underlay = ["10.0.0.12"]

[[node]]
number = 101
name = "web-1"
role = "host-agent"
underlay = ["10.0.0.101"]

[[node]]
number = 102
name = "web-2"
role = "host-agent"
underlay = ["10.0.0.102"]

[[service]]
number = 1
name = "web"
vip = "192.0.2.10"
protocol = "tcp"
ports = 80
hosts = ["web-1", "web-2"]
policy = "round-robin"
search_ttl = 4
overload = "refuse"

[[service]]
number = 2
name = "web-v6"
vip = "2001:db8::80"
protocol = "tcp"
ports = "8000-8099"
hosts = ["web-1", { name = "web-2", weight = 2 }]
"#;

/// One broken file: the good one with the first occurrence of a text replaced by another.
struct Case {
    what: &'static str,
    from: &'static str,
    to: &'static str,
    message: &'static str,
    /// Line and column, both from 1.
    at: (usize, usize),
    /// What would be right.
    help: &'static str,
}

fn keys() -> Keys {
    let key = MessageKey {
        id: 1,
        secret: [2; 16],
    };
    Keys::new([1; 16], vec![key]).unwrap()
}

fn refused(text: &str) -> ConfigError {
    match ClusterConfig::parse_with_keys(text, Path::new("cluster.toml"), keys()) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

fn assert_fits_a_screen(what: &str, rendered: &str) {
    let lines = rendered.lines().count();
    let columns = rendered.lines().map(|line| line.chars().count()).max();
    assert!(lines <= 24, "{what}: {lines} lines\n{rendered}");
    assert!(
        columns <= Some(100),
        "{what}: {columns:?} columns\n{rendered}"
    );
    assert!(
        !rendered.contains('\u{1b}'),
        "{what}: escape sequences\n{rendered}"
    );
}

#[test]
fn the_good_file_is_good() {
    let loaded = ClusterConfig::parse_with_keys(GOOD, Path::new("cluster.toml"), keys()).unwrap();
    assert!(loaded.warnings.is_empty());
}

#[test]
fn each_broken_file_is_refused_with_one_exact_error() {
    assert!(CASES.len() >= 25);
    for case in CASES {
        let what = case.what;
        assert!(
            GOOD.contains(case.from),
            "{what}: the good file lacks what is to be broken"
        );
        let error = refused(&GOOD.replacen(case.from, case.to, 1));
        let finding = &error.findings()[0];
        assert_eq!(finding.message(), case.message, "{what}");
        assert_eq!(finding.position(), Some(case.at), "{what}");
        assert_eq!(finding.help_text(), case.help, "{what}");
        let more = usize::from(what == "nodes without a common family") * 2;
        assert_eq!(error.findings().len(), 1 + more, "{what}: {error}");
        let rendered = error.render(Style::Plain);
        assert_fits_a_screen(what, &rendered);
        let (line, column) = case.at;
        assert!(
            rendered.contains(&format!("cluster.toml:{line}:{column}]")),
            "{rendered}"
        );
        assert!(!error.render(Style::Colour).is_empty());
    }
}

#[test]
fn an_error_looks_like_this() {
    let error = refused(&GOOD.replacen("underlay_mtu = 1500", "underlay_mut = 1500", 1));
    let expected = "  × unknown key `underlay_mut` in [cluster]
   ╭─[cluster.toml:4:1]
 3 │ key_file = \"cluster.key\"
 4 │ underlay_mut = 1500
   · ──────┬─────
   ·       ╰── not a key of this table
 5 │ 
   ╰────
  help: did you mean `underlay_mtu`?
";
    assert_eq!(error.render(Style::Plain), expected);
}

#[test]
fn independent_errors_are_reported_together_in_the_files_order() {
    let text = GOOD
        .replacen("search_ttl = 4", "search_ttl = 0", 1)
        .replacen("\"web-2\", weight = 2", "\"web-3\", weight = 2", 1)
        .replacen("10.0.0.12", "10.0.0.11", 1)
        .replacen("underlay_mtu = 1500", "underlay_mtu = 1", 1);
    let error = refused(&text);
    let lines: Vec<usize> = error
        .findings()
        .iter()
        .map(|finding| finding.position().unwrap().0)
        .collect();
    assert_eq!(lines, [4, 28, 50, 59]);
    let rendered = error.render(Style::Plain);
    assert_fits_a_screen("four errors", &rendered);
    for line in lines {
        assert!(
            rendered.contains(&format!("cluster.toml:{line}:")),
            "{rendered}"
        );
    }
}

#[test]
fn errors_of_shape_are_reported_for_each_table() {
    let text = GOOD
        .replacen("number = 12\n", "number = \"12\"\n", 1)
        .replacen("policy = ", "polices = ", 1)
        .replacen("[limits]", "[limit]", 1);
    let error = refused(&text);
    let messages: Vec<&str> = error.findings().iter().map(|it| it.message()).collect();
    assert_eq!(
        messages,
        [
            "unknown section `limit`",
            "`number` in [[node]]: expected a whole number, found a string",
            "unknown key `polices` in [[service]]",
        ]
    );
    assert_fits_a_screen("three errors", &error.render(Style::Plain));
}

#[test]
fn hundreds_of_errors_fit_a_screen() {
    let mut text = GOOD.to_owned();
    for number in 0..300 {
        text.push_str(&format!(
            "\n[[node]]\nnumber = 0\nname = \"n{number}\"\nrole = \"host-agent\"\nunderlay = [\"fd00:1::{number:x}\"]\n"
        ));
    }
    let error = refused(&text);
    let rendered = error.render(Style::Plain);
    assert_fits_a_screen("300 errors", &rendered);
    assert!(rendered.trim_end().ends_with(" more"), "{rendered}");
    assert_eq!(rendered.lines().count(), 24);
}

#[test]
fn a_file_cut_off_anywhere_before_its_first_service_is_complete_is_refused() {
    let complete = GOOD.find("policy = ").unwrap();
    for end in (0..complete).filter(|&end| GOOD.is_char_boundary(end)) {
        let cut = &GOOD[..end];
        // The last line break of the last needed key may be missing.
        if cut.trim_end() == GOOD[..complete].trim_end() {
            continue;
        }
        let error = refused(cut);
        assert_fits_a_screen(&format!("cut at byte {end}"), &error.render(Style::Plain));
        assert!(
            error.findings().iter().all(|it| it.position().is_some()),
            "{error}"
        );
    }
}

#[test]
fn an_empty_file_lacks_its_cluster() {
    let error = refused("");
    assert_eq!(
        error.findings()[0].message(),
        "the file has no [cluster] section"
    );
    assert_eq!(error.findings()[0].position(), Some((1, 1)));
    assert_fits_a_screen("empty", &error.render(Style::Plain));
}

#[test]
fn one_table_where_a_list_of_tables_belongs() {
    let only = GOOD.replace("[[service]]\nnumber = 1", "[service]\nnumber = 1");
    let end = only.find("\n[[service]]").unwrap();
    let error = refused(&only[..end]);
    assert_eq!(
        error.findings()[0].message(),
        "`service` is a table, not a list of tables"
    );
    assert_eq!(error.findings()[0].position(), Some((42, 1)));
    assert_eq!(
        error.findings()[0].help_text(),
        "write each service as its own [[service]] table"
    );
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_no_harm() {
    let windows = GOOD.replace('\n', "\r\n");
    for text in [windows.clone(), format!("\u{feff}{GOOD}")] {
        let loaded = ClusterConfig::parse_with_keys(&text, Path::new("cluster.toml"), keys());
        assert!(loaded.is_ok_and(|loaded| loaded.warnings.is_empty()));
    }
    let error = refused(&windows.replacen("search_ttl = 4", "search_ttl = 17", 1));
    assert_eq!(error.findings()[0].position(), Some((50, 14)));
    assert!(!error.render(Style::Plain).contains('\r'));
}

#[test]
fn long_lines_are_cut_around_what_is_wrong_and_control_characters_do_not_get_through() {
    let many: String = (0..200).map(|_| "\"web-1\", \"web-2\", ").collect();
    let long = GOOD.replacen("[\"web-1\", \"web-2\"]", &format!("[{many}\"nobody\"]"), 1);
    let error = refused(&long);
    for finding in error.findings() {
        assert!(finding.position().is_some());
    }
    assert_fits_a_screen("a long list", &error.render(Style::Plain));

    let text = GOOD.replacen(
        "[\"web-1\", \"web-2\"]",
        &format!("[\"{}\", \"web-1\"]", "é\\u001b[31m".repeat(60)),
        1,
    );
    let error = refused(&text);
    let rendered = error.render(Style::Plain);
    assert_fits_a_screen("a long name", &rendered);
    assert!(
        error.findings()[0]
            .message()
            .starts_with("there is no node `é·[31m")
    );

    let at_the_end = GOOD.replacen(
        "search_ttl = 4",
        &format!("search_ttl = 17 # {}", "x".repeat(500)),
        1,
    );
    assert_fits_a_screen("a long comment", &refused(&at_the_end).render(Style::Plain));
}

/// Numbers that look random, the same in every run (Steele and others, SplitMix, 2014).
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % most as u64).unwrap()
    }
}

#[test]
fn no_damage_makes_it_panic_or_fill_more_than_a_screen() {
    let pieces: Vec<&str> = GOOD
        .split_inclusive(['\n', ' ', '"', '=', '.', '[', ']'])
        .collect();
    let strange = [
        "é", "\"", "'''", "\u{1b}", "\u{202e}", "0", "[", "]]", "{", "\t", "\r", "-1", "字",
    ];
    let mut random = SplitMix(7);
    for round in 0..3_000 {
        let mut damaged: Vec<&str> = pieces.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(damaged.len());
            match random.below(4) {
                0 => drop(damaged.remove(at)),
                1 => damaged.insert(at, strange[random.below(strange.len())]),
                2 => damaged.insert(at, pieces[random.below(pieces.len())]),
                _ => {
                    let other = random.below(damaged.len());
                    damaged.swap(at, other);
                }
            }
        }
        let text = damaged.concat();
        let what = format!("round {round}");
        match ClusterConfig::parse_with_keys(&text, Path::new("cluster.toml"), keys()) {
            Ok(loaded) => assert_fits_a_screen(&what, &loaded.warnings.render(Style::Plain)),
            Err(error) => assert_fits_a_screen(&what, &error.render(Style::Plain)),
        }
    }
}
