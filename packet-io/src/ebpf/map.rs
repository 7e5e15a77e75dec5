//! Maps: tables that programs in the kernel and this process share.

use super::sys::{self, Command, MapCreate, MapElement};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What a map is (`enum bpf_map_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// A hash table that refuses what it has no room for.
    Hash = 1,
    /// Elements 0 to n-1, all there from the beginning and zero; the key is a `u32`.
    Array = 2,
    /// A hash table that gives up the elements that were not used for longest, about.
    LruHash = 9,
    /// `AF_XDP` sockets by `u32`; the value is a socket's file descriptor, and can't be read.
    Sockets = 17,
}

/// Values whose bytes may be anything and have no gaps.
///
/// # Safety
/// Every pattern of `size_of::<Self>()` bytes is a value, and none of a value's bytes is padding.
pub unsafe trait Plain: Copy {
    /// All bytes zero.
    const ZERO: Self;
}

// SAFETY: an integer.
unsafe impl Plain for u32 {
    const ZERO: Self = 0;
}
// SAFETY: an integer.
unsafe impl Plain for u64 {
    const ZERO: Self = 0;
}
// SAFETY: bytes.
unsafe impl<const N: usize> Plain for [u8; N] {
    const ZERO: Self = [0; N];
}
// SAFETY: integers of one size have no gaps between them.
unsafe impl<const N: usize> Plain for [u64; N] {
    const ZERO: Self = [0; N];
}

/// A map whatever its types.
pub trait AnyMap {
    /// Its file.
    fn file(&self) -> BorrowedFd<'_>;
}

/// A map. Clear it by dropping it: it goes when no process and no program holds it.
pub struct Map<K, V> {
    file: OwnedFd,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("file", &self.file).finish()
    }
}

impl<K: Plain, V: Plain> Map<K, V> {
    /// Makes a map of up to `max_entries`, 1 or more. `name` shows in tools of the system.
    ///
    /// # Errors
    /// `PermissionDenied` without the capabilities, `InvalidInput` for key sizes that the kind does
    /// not have, `OutOfMemory`.
    pub fn new(kind: Kind, name: &str, max_entries: u32) -> io::Result<Self> {
        Self::with_flags(kind, name, max_entries, 0)
    }

    /// A hash table that takes memory for an element when it is put in, and no sooner.
    ///
    /// # Errors
    /// As [`Map::new`].
    pub fn growing(name: &str, max_entries: u32) -> io::Result<Self> {
        /// `BPF_F_NO_PREALLOC`.
        const NO_PREALLOC: u32 = 1;
        Self::with_flags(Kind::Hash, name, max_entries, NO_PREALLOC)
    }

    fn with_flags(kind: Kind, name: &str, max_entries: u32, flags: u32) -> io::Result<Self> {
        let mut attributes = MapCreate {
            flags,
            kind: kind as u32,
            key_size: size_of::<K>() as u32,
            value_size: size_of::<V>() as u32,
            max_entries,
            name: sys::name(name),
            ..MapCreate::default()
        };
        // SAFETY: the structure of this command; there are no addresses in it.
        let file = unsafe { sys::open(Command::MapCreate, &mut attributes)? };
        Ok(Self {
            file,
            types: PhantomData,
        })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Unsupported` for kinds that can't be read.
    pub fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::ZERO;
        let mut attributes = self.element(key, (&raw mut value).addr() as u64);
        // SAFETY: key and value have the sizes that the map was made with and outlive the call;
        // whatever bytes the kernel writes are a value.
        let result = unsafe { sys::call(Command::MapLookup, &mut attributes) };
        found(result).map(|there| there.then_some(value))
    }

    /// Puts a value, whether or not there was one.
    ///
    /// # Errors
    /// `ArgumentListTooLong` (E2BIG) if there is no room, `InvalidInput` for what is no element.
    pub fn set(&self, key: &K, value: &V) -> io::Result<()> {
        let mut attributes = self.element(key, std::ptr::from_ref(value).addr() as u64);
        // SAFETY: as in `get`; the kernel only reads.
        unsafe { sys::call(Command::MapUpdate, &mut attributes).map(drop) }
    }

    /// Takes an element out; false if there was none.
    ///
    /// # Errors
    /// `InvalidInput` for kinds whose elements stay.
    pub fn delete(&self, key: &K) -> io::Result<bool> {
        let mut attributes = self.element(key, 0);
        // SAFETY: as in `get`.
        found(unsafe { sys::call(Command::MapDelete, &mut attributes) })
    }

    /// The key that follows, in an order of the kernel's; the first one without a key, or if the map
    /// has not got that key (any more).
    ///
    /// # Errors
    /// None that happens in practice.
    pub fn next_key(&self, after: Option<&K>) -> io::Result<Option<K>> {
        let mut next = K::ZERO;
        let mut attributes = MapElement {
            map: sys::number(self.file.as_raw_fd()),
            key: after.map_or(0, |key| std::ptr::from_ref(key).addr() as u64),
            value: (&raw mut next).addr() as u64,
            ..MapElement::default()
        };
        // SAFETY: as in `get`; no key stands for the first one.
        let result = unsafe { sys::call(Command::MapNextKey, &mut attributes) };
        found(result).map(|there| there.then_some(next))
    }

    /// All keys, at most `max`. Those that come or go meanwhile may be missing or come twice.
    ///
    /// # Errors
    /// As [`Map::next_key`].
    pub fn keys(&self, max: usize) -> io::Result<Vec<K>> {
        let mut keys: Vec<K> = Vec::new();
        while keys.len() < max {
            let Some(key) = self.next_key(keys.last())? else {
                break;
            };
            keys.push(key);
        }
        Ok(keys)
    }

    fn element(&self, key: &K, value: u64) -> MapElement {
        MapElement {
            map: sys::number(self.file.as_raw_fd()),
            key: std::ptr::from_ref(key).addr() as u64,
            value,
            ..MapElement::default()
        }
    }
}

impl<K, V> AnyMap for Map<K, V> {
    fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Takes "there is no such element" for an answer.
fn found<T>(result: io::Result<T>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
