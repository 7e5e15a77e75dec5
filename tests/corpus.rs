//! The committed corpora of the fuzz targets, replayed; and their seeds.
//!
//! `JLB_WRITE_SEEDS=1 cargo test --test corpus` writes the seeds anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "the fuzz targets are a crate of their own"
)]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use jlb_protocol::message::{ControlKind, FlowKind};
use jlb_protocol::{Message, wire};
use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(target: &str) -> PathBuf {
    repository().join("fuzz/corpus").join(target)
}

/// The inputs of a target with their files' names, in order.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    inputs_in(&corpus(target))
}

fn inputs_in(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut inputs: Vec<_> = files
        .map(|file| file.unwrap())
        .map(|file| {
            (
                file.file_name().into_string().unwrap(),
                fs::read(file.path()).unwrap(),
            )
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_of_every_corpus_passes() {
    let mut failed = Vec::new();
    for (target, run) in fuzz::TARGETS {
        let mut inputs = inputs(target);
        if target == "config" {
            inputs.extend(inputs_in(&repository().join("config/examples")));
        }
        assert!(!inputs.is_empty(), "the corpus of {target} is empty");
        for (name, bytes) in inputs {
            if catch_unwind(|| run(&bytes)).is_err() {
                failed.push(format!("{target}/{name}"));
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[test]
fn the_seeds_are_in_the_corpora() {
    for (target, name, bytes) in fuzz::seeds::all() {
        let path = corpus(target).join(&name);
        if std::env::var_os("JLB_WRITE_SEEDS").is_some() {
            fs::create_dir_all(corpus(target)).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let committed = fs::read(&path).unwrap_or_default();
        assert!(
            committed == bytes,
            "{target}/{name} is not up to date: run JLB_WRITE_SEEDS=1 cargo test --test corpus"
        );
    }
}

#[test]
fn every_message_type_is_in_the_corpus() {
    let mut seen = BTreeSet::new();
    for (_, bytes) in inputs("wire") {
        match wire::decode(&bytes) {
            Ok(Message::Flow(flow)) => seen.insert(flow.kind as u8),
            Ok(Message::Control(control)) => seen.insert(control.kind() as u8),
            Err(_) => false,
        };
    }
    let flows = FlowKind::ALL.map(|kind| kind as u8);
    let controls = ControlKind::ALL.map(|kind| kind as u8);
    let all: BTreeSet<u8> = flows.into_iter().chain(controls).collect();
    assert_eq!(seen, all);
}
