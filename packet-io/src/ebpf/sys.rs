//! `bpf(2)` and the layouts of what it takes (linux/bpf.h).

use std::ffi::c_long;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// `enum bpf_cmd`.
#[derive(Clone, Copy)]
#[repr(i64)]
pub(super) enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgramLoad = 5,
    TestRun = 10,
    LinkCreate = 28,
}

/// `union bpf_attr` of MAP_CREATE.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct MapCreate {
    pub(super) kind: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
    pub(super) inner_map: u32,
    pub(super) numa_node: u32,
    pub(super) name: [u8; NAME_LEN],
}

/// `union bpf_attr` of the commands on one element.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct MapElement {
    pub(super) map: u32,
    pub(super) padding: u32,
    pub(super) key: u64,
    /// The value, or room for the next key.
    pub(super) value: u64,
    pub(super) flags: u64,
}

/// `union bpf_attr` of PROG_LOAD.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct ProgramLoad {
    pub(super) kind: u32,
    pub(super) instruction_count: u32,
    pub(super) instructions: u64,
    pub(super) license: u64,
    pub(super) log_level: u32,
    pub(super) log_size: u32,
    pub(super) log: u64,
    pub(super) kernel_version: u32,
    pub(super) flags: u32,
    pub(super) name: [u8; NAME_LEN],
    pub(super) interface: u32,
    pub(super) attach_type: u32,
}

/// `union bpf_attr` of PROG_TEST_RUN.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct TestRun {
    pub(super) program: u32,
    pub(super) verdict: u32,
    pub(super) size_in: u32,
    pub(super) size_out: u32,
    pub(super) packet_in: u64,
    pub(super) packet_out: u64,
    pub(super) repeat: u32,
    /// Nanoseconds of one run on average.
    pub(super) duration: u32,
    pub(super) context_size_in: u32,
    pub(super) context_size_out: u32,
    pub(super) context_in: u64,
    pub(super) context_out: u64,
    pub(super) flags: u32,
    pub(super) cpu: u32,
    pub(super) batch: u32,
    pub(super) padding: u32,
}

/// `union bpf_attr` of LINK_CREATE.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct LinkCreate {
    pub(super) program: u32,
    pub(super) interface: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
}

/// Bytes of an object's name with its final zero.
pub(super) const NAME_LEN: usize = 16;

/// A name as the kernel takes it: letters, digits, dots and underscores, cut to 15.
pub(super) fn name(text: &str) -> [u8; NAME_LEN] {
    let mut name = [0; NAME_LEN];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    for (to, from) in name[..NAME_LEN - 1].iter_mut().zip(text.bytes()) {
        *to = if plain(from) { from } else { b'_' };
    }
    name
}

/// Calls `bpf(2)`.
///
/// # Safety
/// `attributes` is the structure of `command`, and each address in it is valid for what the command
/// reads and writes there until the call returns.
pub(super) unsafe fn call<T>(command: Command, attributes: &mut T) -> io::Result<c_long> {
    // SAFETY: the structure has this size and outlives the call; the rest is promised by the caller.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as c_long,
            std::ptr::from_mut(attributes),
            size_of::<T>() as libc::c_uint,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for a command that makes a file.
///
/// # Safety
/// As [`call`], and the command gives a file descriptor.
pub(super) unsafe fn open<T>(command: Command, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: promised by the caller.
    let fd = unsafe { call(command, attributes)? };
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A file descriptor in an attribute.
pub(super) fn number(fd: RawFd) -> u32 {
    fd.cast_unsigned()
}
