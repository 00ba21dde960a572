//! How commands reach a TPM: a Linux device, or the socket of a software TPM.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The largest command or response (TPM 2.0 Part 2 §10.2, `MAX_RESPONSE_SIZE` of every known TPM).
pub(crate) const MAX_MESSAGE: usize = 4096;

/// A primary RSA key takes a slow TPM half a minute.
const PATIENCE: Duration = Duration::from_mins(2);

/// Sends one command and waits for its response.
pub trait Transport: Send {
    /// One command in, its whole response out, at most 4096 octets.
    fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// `/dev/tpmrm0` or `/dev/tpm0`: one write is a command, one read is its response.
pub(crate) struct Device(File);

impl Device {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().read(true).write(true).open(path)?))
    }
}

impl Transport for Device {
    fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        if self.0.write(command)? != command.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the device took half a command"));
        }
        let mut response = vec![0; MAX_MESSAGE];
        let len = loop {
            match self.0.read(&mut response) {
                // A signal came first; the response is still to be had.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        response.truncate(len);
        Ok(response)
    }
}

/// A stream of commands and responses, as swtpm's data channel has it.
pub(crate) struct Stream<S>(S);

impl Stream<UnixStream> {
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }
}

impl Stream<TcpStream> {
    pub(crate) fn tcp(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }
}

impl<S: Read + Write + Send> Transport for Stream<S> {
    fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut header = [0; 10];
        self.0.read_exact(&mut header)?;
        let [_, _, a, b, c, d, ..] = header;
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if !(header.len()..=MAX_MESSAGE).contains(&len) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the response's size is out of range; is this a TPM's data channel?",
            ));
        }
        let mut response = vec![0; len];
        let (head, rest) = response.split_at_mut(header.len());
        head.copy_from_slice(&header);
        self.0.read_exact(rest)?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Canned(Vec<u8>);

    impl Write for Canned {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Canned {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let len = out.len().min(self.0.len()).min(3);
            out[..len].copy_from_slice(&self.0[..len]);
            self.0.drain(..len);
            Ok(len)
        }
    }

    #[test]
    fn a_response_arrives_whole_however_it_is_cut() {
        let response = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0, 0, 7, 8].to_vec();
        let mut stream = Stream(Canned(response.clone()));
        assert_eq!(stream.transact(b"command").unwrap(), response);
    }

    #[test]
    fn a_response_of_absurd_size_is_refused_before_it_is_read() {
        for size in [[0, 0, 0, 9], [0, 0, 0x10, 1], [0xff, 0xff, 0xff, 0xff]] {
            let header = [&[0x80, 0x01], size.as_slice(), &[0; 4]].concat();
            let error = Stream(Canned(header)).transact(b"command").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
