//! A software TPM at the end of a stream.

use super::line::Line;
use super::{Transport, TransportError};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// A primary RSA key takes a slow TPM half a minute.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A stream of commands and responses, as swtpm's data channel has it.
#[derive(Debug)]
pub struct Stream<S>(Line<S>);

impl<S: Read + Write> Stream<S> {
    /// A stream that the caller has opened; its timeouts are his.
    pub const fn new(stream: S) -> Self {
        Self(Line::new(stream))
    }
}

impl Stream<UnixStream> {
    /// The socket of swtpm's data channel.
    pub fn unix(path: impl AsRef<Path>) -> Result<Self, TransportError> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::new(stream))
    }
}

impl Stream<TcpStream> {
    /// The address of swtpm's data channel: `127.0.0.1:2321`.
    pub fn tcp(address: impl ToSocketAddrs) -> Result<Self, TransportError> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::new(stream))
    }
}

impl<S: Read + Write> Transport for Stream<S> {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        self.0.ask(|stream| {
            stream.write_all(command)?;
            let mut header = [0; 10];
            stream.read_exact(&mut header)?;
            let [_, _, a, b, c, d, ..] = header;
            let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            let (head, rest) = response
                .get_mut(..len)
                .and_then(|whole| whole.split_first_chunk_mut())
                .ok_or(TransportError::Malformed(
                    "the response's size is out of range; is this a TPM's data channel?",
                ))?;
            *head = header;
            stream.read_exact(rest)?;
            Ok(len)
        })
    }

    fn pause(&mut self, millis: u32) {
        thread::sleep(Duration::from_millis(millis.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_MESSAGE;
    use crate::transport::canned::Canned;

    #[test]
    fn a_response_arrives_whole_however_it_is_cut() {
        let response = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0, 0, 7, 8];
        let mut stream = Stream(Line::new(Canned::new(&response)));
        let mut out = [0; MAX_MESSAGE];
        let len = stream.transact(b"command", &mut out).unwrap();
        assert_eq!(out[..len], response);
        assert_eq!(stream.transact(b"command", &mut out), Err(TransportError::Closed));
    }

    #[test]
    fn a_response_of_absurd_size_is_refused_before_it_is_read() {
        for size in [[0, 0, 0, 9], [0, 0, 0x10, 1], [0xff, 0xff, 0xff, 0xff]] {
            let header = [&[0x80, 0x01], size.as_slice(), &[0; 4]].concat();
            let sent =
                Stream(Line::new(Canned::new(&header))).transact(b"command", &mut [0; MAX_MESSAGE]);
            assert!(matches!(sent, Err(TransportError::Malformed(_))));
        }
    }
}
