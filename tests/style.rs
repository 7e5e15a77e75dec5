//! House rules that neither the compiler nor clippy keeps.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a file may have, its tests not counted.
const MAX_LINES: usize = 600;

/// Words that say nothing about what a thing does.
const EMPTY_WORDS: [&str; 7] = [
    "helper", "helpers", "manager", "misc", "stuff", "util", "utils",
];

/// Names of files and modules that say nothing as a whole.
const EMPTY_NAMES: [&str; 3] = ["common", "data", "info"];

/// Crates without `std`: it would bring clocks, threads and sockets.
const NO_STD: [&str; 6] = [
    "protocol",
    "flow-table",
    "ingress",
    "flow-tracker",
    "host-agent",
    "membership",
];

/// The crate that may use `unsafe`, and so doesn't take the workspace's lints.
const MAY_BE_UNSAFE: &str = "packet-io";

struct Source {
    /// Relative to the repository.
    path: PathBuf,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    fn is_test(&self) -> bool {
        self.path.file_name().is_some_and(|name| name == "tests.rs")
            || self
                .path
                .iter()
                .any(|part| part == "tests" || part == "benches")
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// The file's words with their line numbers, without line comments.
    fn words(&self) -> impl Iterator<Item = (usize, Vec<&str>)> {
        (1..).zip(self.text.lines()).map(|(number, line)| {
            let code = line.split_once("//").map_or(line, |(code, _)| code);
            let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            (number, words.filter(|word| !word.is_empty()).collect())
        })
    }
}

/// What is wrong with one file, a line each.
fn violations(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if !source.is_test() && lines > MAX_LINES {
        found.push(format!("{path}: {lines} lines, more than {MAX_LINES}"));
    }
    for part in &source.path {
        let name = part.to_string_lossy();
        let name = name.trim_end_matches(".rs");
        if is_empty_name(name) || EMPTY_NAMES.contains(&name) {
            found.push(format!("{path}: {name} says nothing"));
        }
    }
    for (number, words) in source.words() {
        for pair in words.windows(2) {
            if DECLARATIONS.contains(&pair[0]) && is_empty_name(pair[1]) {
                found.push(format!("{path}:{number}: {} says nothing", pair[1]));
            }
        }
        if words.contains(&"unsafe") && !source.is_in(MAY_BE_UNSAFE) {
            found.push(format!("{path}:{number}: unsafe outside {MAY_BE_UNSAFE}"));
        }
    }
    if !source.is_test() && source.text.contains("mod tests {") {
        found.push(format!(
            "{path}: tests are in the file, not in its tests.rs"
        ));
    }
    let crate_root = NO_STD
        .iter()
        .any(|folder| source.path == Path::new(folder).join("src/lib.rs"));
    if crate_root && !source.text.lines().any(|line| line == "#![no_std]") {
        found.push(format!("{path}: lacks #![no_std]"));
    }
    found
}

const DECLARATIONS: [&str; 7] = ["enum", "fn", "mod", "static", "struct", "trait", "type"];

/// Whether one of the words in `snake_case`, `kebab-case` or `CamelCase` is empty.
fn is_empty_name(name: &str) -> bool {
    let mut words = vec![String::new()];
    for c in name.chars() {
        let last = words.len() - 1;
        if c == '_' || c == '-' {
            words.push(String::new());
        } else if c.is_uppercase() && words[last].ends_with(char::is_lowercase) {
            words.push(c.to_lowercase().collect());
        } else {
            words[last].extend(c.to_lowercase());
        }
    }
    words
        .iter()
        .any(|word| EMPTY_WORDS.contains(&word.as_str()))
}

/// What is wrong with the manifest of the crate in `folder`.
fn manifest_violations(folder: &str, manifest: &str) -> Vec<String> {
    let mut lines = manifest
        .lines()
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    let takes_lints = lines.next() == Some("workspace = true");
    if takes_lints || folder == MAY_BE_UNSAFE {
        Vec::new()
    } else {
        vec![format!(
            "{folder}/Cargo.toml: does not take the workspace's lints"
        )]
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `folder`, build outputs left out, in order.
fn sources(folder: &Path, into: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, into);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(repository()).unwrap().to_owned();
            into.push(Source { path, text });
        }
    }
}

#[test]
fn the_house_rules_are_kept() {
    let mut all = Vec::new();
    sources(repository(), &mut all);
    assert!(all.len() > 20, "only {} files seen", all.len());
    // This file is full of planted violations.
    all.retain(|source| source.path != Path::new("tests/style.rs"));
    let mut found: Vec<String> = all.iter().flat_map(violations).collect();
    for folder in NO_STD {
        let root = Path::new(folder).join("src/lib.rs");
        assert!(
            all.iter().any(|source| source.path == root),
            "{} is gone",
            root.display()
        );
    }
    for entry in fs::read_dir(repository()).unwrap() {
        let folder = entry.unwrap();
        let name = folder.file_name().into_string().unwrap();
        // The fuzz targets and the planted bugs are no part of the workspace.
        if name == "fuzz" || name == "planted" {
            continue;
        }
        if let Ok(manifest) = fs::read_to_string(folder.path().join("Cargo.toml")) {
            found.extend(manifest_violations(&name, &manifest));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_file_too_long_is_found() {
    let text = "\n".repeat(MAX_LINES + 1);
    assert_eq!(
        violations(&Source::new("node/src/shell.rs", &text)),
        ["node/src/shell.rs: 601 lines, more than 600"],
    );
    for path in ["node/src/shell/tests.rs", "node/tests/shell.rs"] {
        assert_eq!(violations(&Source::new(path, &text)), Vec::<String>::new());
    }
    let text = "\n".repeat(MAX_LINES);
    assert_eq!(
        violations(&Source::new("node/src/shell.rs", &text)),
        Vec::<String>::new()
    );
}

#[test]
fn a_name_that_says_nothing_is_found() {
    let planted = [
        (
            "node/src/utils.rs",
            "",
            "node/src/utils.rs: utils says nothing",
        ),
        (
            "node/src/common/x.rs",
            "",
            "node/src/common/x.rs: common says nothing",
        ),
        (
            "node/src/x.rs",
            "pub struct FlowManager;",
            "node/src/x.rs:1: FlowManager says nothing",
        ),
        (
            "node/src/x.rs",
            "\nfn parse_helper() {}",
            "node/src/x.rs:2: parse_helper says nothing",
        ),
    ];
    for (path, text, expected) in planted {
        assert_eq!(violations(&Source::new(path, text)), [expected]);
    }
    let innocent = "fn utility() {} // a helper\nstruct Data;\nfn in_common() {}\nlet util = 1;";
    assert_eq!(
        violations(&Source::new("node/src/x.rs", innocent)),
        Vec::<String>::new()
    );
}

#[test]
fn unsafe_outside_its_crate_is_found() {
    let text = "// unsafe here is a comment\n#![forbid(unsafe_code)]\nlet x = unsafe { *y };";
    assert_eq!(
        violations(&Source::new("ingress/src/x.rs", text)),
        ["ingress/src/x.rs:3: unsafe outside packet-io"],
    );
    assert_eq!(
        violations(&Source::new("packet-io/src/x.rs", text)),
        Vec::<String>::new()
    );
}

#[test]
fn tests_in_the_file_are_found() {
    let text = "#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(
        violations(&Source::new("ingress/src/x.rs", text)),
        ["ingress/src/x.rs: tests are in the file, not in its tests.rs"],
    );
}

#[test]
fn a_pure_crate_with_std_is_found() {
    let text = "//! No `#![no_std]` here.\n";
    assert_eq!(
        violations(&Source::new("ingress/src/lib.rs", text)),
        ["ingress/src/lib.rs: lacks #![no_std]"],
    );
    assert_eq!(
        violations(&Source::new("node/src/lib.rs", text)),
        Vec::<String>::new()
    );
}

#[test]
fn a_crate_that_slips_the_lints_is_found() {
    let slipped = "[package]\nname = \"x\"\n\n[lints.rust]\nunsafe_code = \"allow\"\n";
    assert_eq!(
        manifest_violations("x", slipped),
        ["x/Cargo.toml: does not take the workspace's lints"],
    );
    assert_eq!(
        manifest_violations("packet-io", slipped),
        Vec::<String>::new()
    );
    assert_eq!(
        manifest_violations("x", "[lints]\nworkspace = true\n"),
        Vec::<String>::new()
    );
}
