//! XDP programs: loaded, tried, attached.

use super::assembler::{AssemblyError, Code};
use super::sys::{self, Command, LinkCreate, ProgramLoad};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// `BPF_PROG_TYPE_XDP`.
const XDP_PROGRAM: u32 = 6;
/// `BPF_XDP`, as a place to attach to.
const XDP_ATTACH: u32 = 37;
/// Helpers that are for GPL programs only are not used, so that any license will do.
const LICENSE: &std::ffi::CStr = c"Dual MIT/GPL";
/// Room for what the verifier says.
const LOG_SIZE: usize = 1 << 20;
/// As much of it as an error shows, from its end: there stands the reason.
const LOG_SHOWN: usize = 2_000;
/// Shortest packet that can be tried: an Ethernet header.
const SHORTEST: usize = 14;
/// Room for a packet that a program makes longer.
const GROWTH: usize = 256;

/// What an XDP program says is to be done with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Action {
    /// The program failed; the packet is dropped.
    Aborted = 0,
    /// The packet is dropped.
    Drop = 1,
    /// The kernel's stack takes it.
    Pass = 2,
    /// It goes back out.
    Transmit = 3,
    /// It goes where a map says.
    Redirect = 4,
}

/// How packets reach a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// In the driver. Not every driver can.
    Native,
    /// After the driver, in the stack's own buffers: any device can, slowly. Frames of segmentation
    /// offload are lost without a word, and the queue is not the device's.
    Generic,
}

/// Why a program can't be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// It is no code.
    Assembly(AssemblyError),
    /// The kernel refused it.
    Kernel {
        /// Its error.
        source: io::Error,
        /// The end of what the verifier says, if it says anything.
        log: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assembly(error) => write!(f, "the eBPF program can't be assembled: {error}"),
            Self::Kernel { source, log } => {
                write!(f, "the kernel refuses the eBPF program: {source}")?;
                if source.kind() == io::ErrorKind::PermissionDenied && log.is_empty() {
                    f.write_str(" (root, or CAP_BPF and CAP_NET_ADMIN, are needed)")?;
                }
                if !log.is_empty() {
                    write!(f, "; the verifier says: {log}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl From<AssemblyError> for LoadError {
    fn from(error: AssemblyError) -> Self {
        Self::Assembly(error)
    }
}

/// A loaded XDP program.
#[derive(Debug)]
pub struct Program {
    file: OwnedFd,
}

/// What a program did with a packet that it was tried with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestRun {
    /// Its verdict; a number that is no action counts as [`Action::Aborted`], as in the kernel.
    pub action: Action,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Nanoseconds of one run, on average.
    pub nanos: u32,
}

/// A program in front of an interface's packets. It leaves when this goes, also when the process is
/// killed.
#[derive(Debug)]
pub struct Link {
    _file: OwnedFd,
}

impl Program {
    /// Has the kernel verify and load the code. `name` shows in tools of the system.
    ///
    /// # Errors
    /// The kernel's reason, with the end of its verifier's log.
    pub fn load(name: &str, code: &Code<'_>) -> Result<Self, LoadError> {
        let mut attributes = ProgramLoad {
            kind: XDP_PROGRAM,
            instruction_count: code.instructions.len() as u32,
            instructions: code.instructions.as_ptr().addr() as u64,
            license: LICENSE.as_ptr().addr() as u64,
            name: sys::name(name),
            attach_type: XDP_ATTACH,
            ..ProgramLoad::default()
        };
        // SAFETY: the instructions and the license are readable for their lengths; no log is asked
        // for.
        match unsafe { sys::open(Command::ProgramLoad, &mut attributes) } {
            Ok(file) => return Ok(Self { file }),
            // A second try only to hear why.
            Err(_) => attributes.log_level = 1,
        }
        let mut log = vec![0_u8; LOG_SIZE];
        attributes.log = log.as_mut_ptr().addr() as u64;
        attributes.log_size = LOG_SIZE as u32;
        // SAFETY: as before, and the log is writable for its length.
        match unsafe { sys::open(Command::ProgramLoad, &mut attributes) } {
            Ok(file) => Ok(Self { file }),
            Err(source) => Err(LoadError::Kernel {
                source,
                log: last_words(&log),
            }),
        }
    }

    /// Runs the program `repeat` times (0 is once) on a packet from its Ethernet header on, of 14
    /// bytes to a page, without sending anything. A redirect is a verdict, and not done.
    ///
    /// # Errors
    /// `InvalidInput` for a packet that is too short or too long.
    pub fn try_on(&self, packet: &[u8], repeat: u32) -> io::Result<TestRun> {
        if packet.len() < SHORTEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut out = vec![0; packet.len() + GROWTH];
        let mut attributes = sys::TestRun {
            program: sys::number(self.file.as_raw_fd()),
            size_in: packet.len() as u32,
            size_out: out.len() as u32,
            packet_in: packet.as_ptr().addr() as u64,
            packet_out: out.as_mut_ptr().addr() as u64,
            repeat,
            ..sys::TestRun::default()
        };
        // SAFETY: both buffers are valid for the sizes given and outlive the call.
        unsafe { sys::call(Command::TestRun, &mut attributes)? };
        out.truncate(attributes.size_out as usize);
        Ok(TestRun {
            action: match attributes.verdict {
                1 => Action::Drop,
                2 => Action::Pass,
                3 => Action::Transmit,
                4 => Action::Redirect,
                _ => Action::Aborted,
            },
            packet: out,
            nanos: attributes.duration,
        })
    }

    /// Runs the program `count` times on copies of a packet, and does what it says: so packets are sent
    /// faster than by any socket (Linux 5.18). Copies are used again, so that a program has to write all that
    /// is to differ from packet to packet.
    ///
    /// # Errors
    /// `InvalidInput` for a packet that is too short or too long, or a kernel that can't do this.
    pub fn send_copies(&self, packet: &[u8], count: u32) -> io::Result<()> {
        /// `BPF_F_TEST_XDP_LIVE_FRAMES`.
        const LIVE: u32 = 1 << 1;
        if packet.len() < SHORTEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attributes = sys::TestRun {
            program: sys::number(self.file.as_raw_fd()),
            size_in: packet.len() as u32,
            packet_in: packet.as_ptr().addr() as u64,
            repeat: count,
            flags: LIVE,
            ..sys::TestRun::default()
        };
        // SAFETY: the packet is readable for its size and outlives the call; nothing is written back.
        unsafe { sys::call(Command::TestRun, &mut attributes).map(drop) }
    }

    /// Puts the program in front of what arrives at the interface with this index, of the calling
    /// thread's network namespace.
    ///
    /// # Errors
    /// `ResourceBusy` or `AlreadyExists` if there is another program, `Unsupported` or `InvalidInput`
    /// if the driver can't, also with the present MTU or offloads.
    pub fn attach(&self, interface: u32, mode: Mode) -> io::Result<Link> {
        // linux/if_link.h
        const SKB_MODE: u32 = 1 << 1;
        const DRIVER_MODE: u32 = 1 << 2;
        let mut attributes = LinkCreate {
            program: sys::number(self.file.as_raw_fd()),
            interface,
            attach_type: XDP_ATTACH,
            flags: match mode {
                Mode::Native => DRIVER_MODE,
                Mode::Generic => SKB_MODE,
            },
        };
        // SAFETY: the structure of this command; there are no addresses in it.
        let file = unsafe { sys::open(Command::LinkCreate, &mut attributes)? };
        Ok(Link { _file: file })
    }
}

/// The end of a log that is closed by a zero.
fn last_words(log: &[u8]) -> String {
    let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
    let shown = &log[end.saturating_sub(LOG_SHOWN)..end];
    String::from_utf8_lossy(shown).trim().to_owned()
}
