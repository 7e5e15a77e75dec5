//! What the README shows is what the program does.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../README.md");
const MINIMAL: &str = include_str!("../config/examples/minimal.toml");

fn jlb(arguments: &[&str], directory: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_jlb"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// A directory with the README's files; gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, cluster: &str) -> Self {
        let path = std::env::temp_dir().join(format!("jlb-readme-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("cluster.toml"), cluster).unwrap();
        let scratch = Self(path);
        let (made, said) = jlb(&["keygen", "cluster.key"], &scratch.0);
        assert!(made, "{said}");
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_minimal_example_checks_out() {
    let scratch = Scratch::new("good", MINIMAL);
    let (good, said) = jlb(&["check", "--config", "cluster.toml"], &scratch.0);
    assert!(good, "{said}");
}

#[test]
fn the_error_shown_is_the_error_told() {
    let broken = format!(
        "{}policy = \"round-robbin\"\n",
        MINIMAL.trim_end().to_owned() + "\n"
    );
    let scratch = Scratch::new("broken", &broken);
    let (good, said) = jlb(&["check", "--config", "cluster.toml"], &scratch.0);
    assert!(!good);
    assert!(
        README.contains(said.trim_end()),
        "the README does not show:\n{said}"
    );
}

#[test]
fn every_option_named_exists() {
    let help = |command: &str| jlb(&[command, "--help"], Path::new("/")).1;
    let known = [
        "lab",
        "ingress",
        "host-agent",
        "flow-tracker",
        "check",
        "keygen",
    ]
    .map(help)
    .concat();
    let more = [
        &["lab", "chaos", "--help"][..],
        &["lab", "detect", "--help"],
        &["bench", "policies", "--help"],
        &["bench", "lab", "--help"],
        &["bench", "soak", "--help"],
        &["sim", "--help"],
        &["explore", "--help"],
    ];
    let more = more.map(|arguments| jlb(arguments, Path::new("/")).1);
    let known = known + &more.concat();
    let words = README.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let options: Vec<&str> = words
        .filter(|word| word.starts_with("--") && word.ends_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    assert!(options.len() >= 5, "{options:?}");
    for option in options {
        // Cargo's own.
        if option != "--release" {
            assert!(known.contains(option), "{option} is no option");
        }
    }
}

#[test]
fn every_file_linked_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next());
    let mut found = 0;
    for link in links {
        assert!(root.join(link).exists(), "{link} is not there");
        found += 1;
    }
    assert!(found >= 4);
}
