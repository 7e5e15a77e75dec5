//! Packets one by one; `protocol/tests/packet` has the generated ones.

mod answer;
mod echo;
mod parse;
mod samples;
mod segment;
