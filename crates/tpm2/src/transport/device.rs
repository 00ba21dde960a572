//! A TPM that the operating system shows as a device.

use super::{Transport, TransportError};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// `/dev/tpmrm0` or `/dev/tpm0`: one write is a command, one read is its response.
#[derive(Debug)]
pub struct Device {
    file: File,
    managed: bool,
}

impl Device {
    /// Opens the device. The resource manager's is told by its name, `tpmrm` and a number.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TransportError> {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // A link like /dev/tpm may lead to either.
        let real = path.canonicalize()?;
        let name = real.file_name().map(|name| name.to_string_lossy().into_owned());
        let managed = name.is_some_and(|name| name.starts_with("tpmrm"));
        Ok(Self { file, managed })
    }
}

/// `EFAULT`.
const LOST: Option<i32> = Some(14);

impl Device {
    /// What Linux' resource manager says of its own: it keeps three objects and three sessions for
    /// each who opened it. One more is unloaded again, and the open sessions with it.
    fn told(&self, error: std::io::Error) -> TransportError {
        match error.kind() {
            ErrorKind::OutOfMemory if self.managed => TransportError::NoRoom,
            _ if self.managed && error.raw_os_error() == LOST => TransportError::Interface(
                "the resource manager could not bring back what we had loaded, or not put it away; \
                 open the device again",
            ),
            _ => error.into(),
        }
    }
}

impl Transport for Device {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let written = self.file.write(command).map_err(|error| self.told(error))?;
        if written != command.len() {
            return Err(TransportError::Interface("the device took half a command"));
        }
        loop {
            match self.file.read(response) {
                // A signal came first; the response is still to be had.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        }
    }

    fn pause(&mut self, millis: u32) {
        thread::sleep(Duration::from_millis(millis.into()));
    }

    fn is_managed(&self) -> bool {
        self.managed
    }
}
