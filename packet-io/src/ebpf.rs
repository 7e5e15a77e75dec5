//! eBPF programs that are assembled at run time, and their maps.
//!
//! [`Assembler`] turns instructions with labels into code, [`Program::load`] has the kernel verify
//! it, [`Program::attach`] puts it in front of an interface's packets (XDP), and [`Map`]s are what
//! program and process share. No compiler is needed, neither when this is built nor where it runs.
//!
//! `CAP_BPF` and `CAP_NET_ADMIN` are needed, or root.

mod assembler;
mod map;
mod program;
mod sys;

pub use assembler::{
    Alu, Assembler, AssemblyError, Code, Condition, Function, Label, Register, Size,
};
pub use map::{AnyMap, Kind, Map, Plain};
pub use program::{Action, Link, LoadError, Mode, Program, TestRun};
