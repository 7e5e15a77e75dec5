//! Input that is read as a sequence of steps.

/// What is left of the input. At its end everything reads as zero or empty.
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Script<'a> {
    /// Whether all of it was read.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// The next two bytes.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next bytes, as many as the two before them say.
    pub fn chunk(&mut self) -> &'a [u8] {
        let len = usize::from(self.number()).min(self.0.len());
        let (chunk, rest) = self.0.split_at(len);
        self.0 = rest;
        chunk
    }

    /// One of `choices`, which are not empty.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }
}

/// Writes what [`Script`] reads.
#[derive(Default)]
pub struct Steps(pub Vec<u8>);

impl Steps {
    /// Adds bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a chunk of at most 65,535 bytes.
    pub fn chunk(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes(&(bytes.len() as u16).to_be_bytes()).bytes(bytes)
    }
}
