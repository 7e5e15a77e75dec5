//! Instructions with labels become code (RFC 9669).

use super::map::AnyMap;
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;

/// A register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Register {
    /// What a call or the program returns.
    R0 = 0,
    /// The first argument of a call, and the context when the program begins. R1 to R5 are lost in
    /// a call.
    R1,
    R2,
    R3,
    R4,
    R5,
    /// R6 to R9 outlive calls.
    R6,
    R7,
    R8,
    R9,
    /// The end of the stack's 512 bytes; it can't be written.
    R10,
}

/// How many bytes a load or store moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Size {
    /// 1 byte.
    Byte = 0x10,
    /// 2 bytes.
    Half = 0x08,
    /// 4 bytes.
    Word = 0x00,
    /// 8 bytes.
    Double = 0x18,
}

/// Arithmetic on 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Alu {
    Add = 0x00,
    Subtract = 0x10,
    Multiply = 0x20,
    Divide = 0x30,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    /// Zeros come in from above.
    ShiftRight = 0x70,
    Xor = 0xa0,
    Move = 0xb0,
}

/// When a jump is taken; numbers are unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Condition {
    Equal = 0x10,
    Greater = 0x20,
    GreaterOrEqual = 0x30,
    /// A bit of both is set.
    AnyBit = 0x40,
    NotEqual = 0x50,
    Less = 0xa0,
    LessOrEqual = 0xb0,
}

/// Functions of the kernel (`enum bpf_func_id`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Function {
    /// `void *(map, &key)`: null if there is no such element.
    MapLookup = 1,
    /// `long (map, &key, &value, flags)`.
    MapUpdate = 2,
    /// `long (map, &key)`.
    MapDelete = 3,
    /// `u64 ()`: nanoseconds since the start, without time asleep.
    KtimeGetNs = 5,
    /// `u32 ()`: the number of the processor that runs the program.
    ProcessorId = 8,
    /// `s64 (from, from_size, to, to_size, seed)`: a sum for the Internet checksum, not folded.
    ChecksumDifference = 28,
    /// `long (interface, flags)`: the action that sends the packet out of the interface with this index.
    Redirect = 23,
    /// `long (context, delta)`: moves the packet's beginning; earlier pointers into it are void.
    AdjustHead = 44,
    /// `long (map, key, flags)`: the action, or the low bits of the flags if there is no such element.
    RedirectMap = 51,
}

/// A place in the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(usize);

/// Why code can't be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AssemblyError {
    /// The label is jumped to and stands nowhere.
    Unplaced(Label),
    /// A jump to the label leads further than 32,767 instructions.
    TooFar(Label),
}

impl fmt::Display for AssemblyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unplaced(label) => write!(f, "label {} is placed nowhere", label.0),
            Self::TooFar(label) => write!(f, "a jump to label {} leads too far", label.0),
        }
    }
}

impl std::error::Error for AssemblyError {}

/// `struct bpf_insn`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Code for [`Program::load`](super::Program::load). It names maps by file descriptor, so it lives
/// no longer than they do.
#[derive(Clone, Debug)]
pub struct Code<'maps> {
    pub(super) instructions: Vec<Instruction>,
    maps: PhantomData<&'maps ()>,
}

/// Collects instructions. The kernel's verifier judges whether they make sense.
///
/// ```
/// use jlb_packet_io::ebpf::{Assembler, Condition, Register::*};
/// let mut code = Assembler::new();
/// let small = code.label();
/// code.move_immediate(R0, 2);
/// code.jump_if(Condition::Less, R0, 3, small);
/// code.move_immediate(R0, 1);
/// code.place(small);
/// code.exit();
/// assert!(code.finish().is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Assembler<'maps> {
    instructions: Vec<Instruction>,
    /// By label, where it stands.
    places: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
    maps: PhantomData<&'maps ()>,
}

// Instruction classes and modes (RFC 9669 sections 3 to 5).
const LOAD_IMMEDIATE: u8 = 0x00;
const LOAD: u8 = 0x01;
const STORE_IMMEDIATE: u8 = 0x02;
const STORE: u8 = 0x03;
const ALU_32: u8 = 0x04;
const JUMP: u8 = 0x05;
const ALU_64: u8 = 0x07;
const FROM_REGISTER: u8 = 0x08;
const MEMORY: u8 = 0x60;
const ATOMIC: u8 = 0xc0;
const BYTE_SWAP: u8 = 0xd0;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// The source "register" that says that the number is a map's file descriptor.
const MAP_FD: u8 = 1;

impl<'maps> Assembler<'maps> {
    /// No instructions yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        self.instructions.push(Instruction {
            code,
            registers: to | from << 4,
            offset,
            immediate,
        });
    }

    /// A label to be placed later.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The label stands for the next instruction from now on.
    pub fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.instructions.len());
    }

    /// `to = number`, its sign extended.
    pub fn move_immediate(&mut self, to: Register, number: i32) {
        self.alu_immediate(Alu::Move, to, number);
    }

    /// `to = from`.
    pub fn copy(&mut self, to: Register, from: Register) {
        self.alu(Alu::Move, to, from);
    }

    /// `to = to op from`.
    pub fn alu(&mut self, op: Alu, to: Register, from: Register) {
        self.push(
            ALU_64 | op as u8 | FROM_REGISTER,
            to as u8,
            from as u8,
            0,
            0,
        );
    }

    /// `to = to op number`, its sign extended.
    pub fn alu_immediate(&mut self, op: Alu, to: Register, number: i32) {
        self.push(ALU_64 | op as u8, to as u8, 0, 0, number);
    }

    /// `to = number`.
    pub fn load_number(&mut self, to: Register, number: u64) {
        self.load_wide(to, 0, number);
    }

    /// `to = &map`, as functions take it.
    pub fn load_map(&mut self, to: Register, map: &'maps impl AnyMap) {
        let fd = map.file().as_raw_fd().cast_unsigned();
        self.load_wide(to, MAP_FD, u64::from(fd));
    }

    fn load_wide(&mut self, to: Register, from: u8, number: u64) {
        let code = LOAD_IMMEDIATE | Size::Double as u8;
        let (low, high) = (number as u32, (number >> 32) as u32);
        self.push(code, to as u8, from, 0, low.cast_signed());
        self.push(0, 0, 0, 0, high.cast_signed());
    }

    /// `to = *(base + offset)`, zero extended, in the machine's byte order.
    pub fn load(&mut self, size: Size, to: Register, base: Register, offset: i16) {
        self.push(LOAD | MEMORY | size as u8, to as u8, base as u8, offset, 0);
    }

    /// `*(base + offset) = from`.
    pub fn store(&mut self, size: Size, base: Register, offset: i16, from: Register) {
        self.push(
            STORE | MEMORY | size as u8,
            base as u8,
            from as u8,
            offset,
            0,
        );
    }

    /// `*(base + offset) = number`.
    pub fn store_immediate(&mut self, size: Size, base: Register, offset: i16, number: i32) {
        self.push(
            STORE_IMMEDIATE | MEMORY | size as u8,
            base as u8,
            0,
            offset,
            number,
        );
    }

    /// `*(base + offset) += from`, 8 bytes, atomically.
    pub fn atomic_add(&mut self, base: Register, offset: i16, from: Register) {
        let code = STORE | ATOMIC | Size::Double as u8;
        self.push(code, base as u8, from as u8, offset, Alu::Add as i32);
    }

    /// Turns the low `bits` (16, 32 or 64) between the machine's and the network's byte order, and
    /// clears what is above.
    pub fn big_endian(&mut self, register: Register, bits: i32) {
        self.push(
            ALU_32 | FROM_REGISTER | BYTE_SWAP,
            register as u8,
            0,
            0,
            bits,
        );
    }

    /// Goes to the label.
    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP, 0, 0, 0, 0);
    }

    /// Goes to the label if `left condition number`, its sign extended.
    pub fn jump_if(&mut self, condition: Condition, left: Register, number: i32, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP | condition as u8, left as u8, 0, 0, number);
    }

    /// Goes to the label if `left condition right`.
    pub fn jump_if_registers(
        &mut self,
        condition: Condition,
        left: Register,
        right: Register,
        to: Label,
    ) {
        self.jumps.push((self.instructions.len(), to));
        let code = JUMP | condition as u8 | FROM_REGISTER;
        self.push(code, left as u8, right as u8, 0, 0);
    }

    /// Calls the kernel's function with R1 to R5; the result is in R0.
    pub fn call(&mut self, function: Function) {
        self.push(JUMP | CALL, 0, 0, 0, function as i32);
    }

    /// Ends the program with R0 as its verdict.
    pub fn exit(&mut self) {
        self.push(JUMP | EXIT, 0, 0, 0, 0);
    }

    /// The code.
    ///
    /// # Errors
    /// A jump to a label that is placed nowhere, or too far away.
    pub fn finish(mut self) -> Result<Code<'maps>, AssemblyError> {
        for &(at, label) in &self.jumps {
            let place = self.places[label.0].ok_or(AssemblyError::Unplaced(label))?;
            let distance = place as i64 - (at as i64 + 1);
            self.instructions[at].offset =
                i16::try_from(distance).map_err(|_| AssemblyError::TooFar(label))?;
        }
        Ok(Code {
            instructions: self.instructions,
            maps: PhantomData,
        })
    }
}
