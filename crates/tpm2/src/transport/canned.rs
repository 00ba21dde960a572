//! A stream for tests: it gives what it was given, three octets at a time, and keeps what it is told.

use std::io::{Read, Result, Write};
use std::vec::Vec;

#[derive(Debug)]
pub(super) struct Canned {
    left: Vec<u8>,
    pub(super) written: Vec<u8>,
}

impl Canned {
    pub(super) fn new(octets: &[u8]) -> Self {
        Self { left: octets.to_vec(), written: Vec::new() }
    }
}

impl Read for Canned {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let len = out.len().min(self.left.len()).min(3);
        out[..len].copy_from_slice(&self.left[..len]);
        self.left.drain(..len);
        Ok(len)
    }
}

impl Write for Canned {
    fn write(&mut self, octets: &[u8]) -> Result<usize> {
        self.written.extend(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
