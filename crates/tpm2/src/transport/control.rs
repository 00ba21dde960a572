//! swtpm's control channel (swtpm_ioctls(3)): what a platform does to its TPM beside the commands:
//! power, reset, locality, cancel. The commands go through a [`Stream`](super::Stream).
//!
//! swtpm serves one control connection at a time, and one that is given a path keeps to it: drop
//! this one to let `swtpm_ioctl` or QEMU in.

use super::line::Line;
use super::{Locality, TransportError};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Making its seeds at the first power-on is the longest that a software TPM takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a control channel may be asked for (`CMD_*` of swtpm's `tpm_ioctl.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which requests there are.
    Capability,
    /// Power on, or a reset if it is on.
    Init,
    /// Power off for good: the program ends.
    Shutdown,
    /// `TPM_ACCESS.tpmEstablishment`.
    Established,
    /// The locality of the commands from now on.
    SetLocality,
    /// Cancel the command that runs.
    Cancel,
    /// Back to no dynamic launch.
    ResetEstablished,
    /// Power off until the next [`Init`](Self::Init).
    Stop,
}

impl Request {
    const fn number(self) -> u32 {
        match self {
            Self::Capability => 1,
            Self::Init => 2,
            Self::Shutdown => 3,
            Self::Established => 4,
            Self::SetLocality => 5,
            Self::Cancel => 9,
            Self::ResetEstablished => 11,
            Self::Stop => 14,
        }
    }

    /// Its bit in `PTM_GET_CAPABILITY`.
    const fn bit(self) -> u64 {
        match self {
            Self::Capability => 0,
            Self::Init => 1,
            Self::Shutdown => 1 << 1,
            Self::Established => 1 << 2,
            Self::SetLocality => 1 << 3,
            Self::Cancel => 1 << 5,
            Self::ResetEstablished => 1 << 7,
            Self::Stop => 1 << 10,
        }
    }
}

/// What a control channel offers (`PTM_CAP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities(u64);

impl Abilities {
    /// Whether the request is offered.
    pub const fn offers(self, request: Request) -> bool {
        self.0 & request.bit() == request.bit()
    }
}

/// A control channel.
#[derive(Debug)]
pub struct Control<S>(Line<S>);

impl Control<UnixStream> {
    /// The socket of swtpm's option `--ctrl type=unixio,path=`.
    pub fn unix(path: impl AsRef<Path>) -> Result<Self, TransportError> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::new(stream))
    }
}

impl Control<TcpStream> {
    /// The address of swtpm's option `--ctrl type=tcp,port=`: `127.0.0.1:2322`.
    pub fn tcp(address: impl ToSocketAddrs) -> Result<Self, TransportError> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::new(stream))
    }
}

impl<S: Read + Write> Control<S> {
    /// Over a stream that is open.
    pub fn new(stream: S) -> Self {
        Self(Line::new(stream))
    }

    /// What the channel offers.
    pub fn abilities(&mut self) -> Result<Abilities, TransportError> {
        let octets = self.0.ask(|stream| {
            send(stream, Request::Capability, &[])?;
            read(stream)
        })?;
        Ok(Abilities(u64::from_be_bytes(octets)))
    }

    /// Powers the TPM on, or resets it: `TPM2_Startup` comes next.
    pub fn init(&mut self) -> Result<(), TransportError> {
        // No flags: the volatile state that a predecessor saved stays where it is.
        self.request(Request::Init, &[0; 4])
    }

    /// Powers the TPM off until the next [`init`](Self::init).
    pub fn stop(&mut self) -> Result<(), TransportError> {
        self.request(Request::Stop, &[])
    }

    /// Powers the TPM off for good: the program ends.
    pub fn shutdown(&mut self) -> Result<(), TransportError> {
        self.request(Request::Shutdown, &[])
    }

    /// Commands come from that locality from now on, whoever sends them.
    pub fn set_locality(&mut self, locality: Locality) -> Result<(), TransportError> {
        self.request(Request::SetLocality, &[locality.number()])
    }

    /// Cancels the command that runs. swtpm 0.7 reads this between commands only, where it does
    /// nothing: it is for those that read it at once.
    pub fn cancel(&mut self) -> Result<(), TransportError> {
        self.request(Request::Cancel, &[])
    }

    /// Whether a dynamic launch took place since the last reset.
    pub fn established(&mut self) -> Result<bool, TransportError> {
        self.0.ask(|stream| {
            send(stream, Request::Established, &[])?;
            accepted(stream)?;
            // One octet and three that fill the structure up.
            let [bit, ..] = read::<4>(stream)?;
            Ok(bit != 0)
        })
    }

    /// Takes the dynamic launch back, from that locality: 3 or 4 may.
    pub fn reset_established(&mut self, locality: Locality) -> Result<(), TransportError> {
        self.request(Request::ResetEstablished, &[locality.number()])
    }

    /// Sends a request and reads its result.
    fn request(&mut self, request: Request, body: &[u8]) -> Result<(), TransportError> {
        self.0.ask(|stream| {
            send(stream, request, body)?;
            accepted(stream)
        })
    }
}

fn send(stream: &mut impl Write, request: Request, body: &[u8]) -> Result<(), TransportError> {
    let mut octets = std::vec::Vec::with_capacity(8);
    octets.extend_from_slice(&request.number().to_be_bytes());
    octets.extend_from_slice(body);
    Ok(stream.write_all(&octets)?)
}

fn accepted(stream: &mut impl Read) -> Result<(), TransportError> {
    match u32::from_be_bytes(read(stream)?) {
        0 => Ok(()),
        code => Err(TransportError::Platform(code)),
    }
}

fn read<const N: usize>(stream: &mut impl Read) -> Result<[u8; N], TransportError> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::canned::Canned;

    #[test]
    fn a_request_is_its_number_and_its_body() {
        let mut control = Control::new(Canned::new(&[0; 4]));
        control.set_locality(Locality::Three).unwrap();
        assert_eq!(control.0.unanswered().unwrap().written, [0, 0, 0, 5, 3]);
    }

    #[test]
    fn what_the_platform_refuses_tells_its_code() {
        let mut control = Control::new(Canned::new(&[0, 0, 0, 0x3D]));
        let refused = control.set_locality(Locality::Four);
        assert_eq!(refused, Err(TransportError::Platform(0x3D)));
    }

    #[test]
    fn a_channel_that_ends_early_is_closed() {
        for len in 0..8 {
            let mut control = Control::new(Canned::new(&[0; 8][..len]));
            assert_eq!(control.established(), Err(TransportError::Closed));
            let mut control = Control::new(Canned::new(&[0; 8][..len]));
            assert_eq!(control.abilities(), Err(TransportError::Closed));
        }
    }

    #[test]
    fn each_ability_is_a_bit() {
        let mut control = Control::new(Canned::new(&[0, 0, 0, 0, 0, 0, 0x04, 0x09]));
        let abilities = control.abilities().unwrap();
        assert!(abilities.offers(Request::Init) && abilities.offers(Request::Stop));
        assert!(abilities.offers(Request::SetLocality) && !abilities.offers(Request::Cancel));
    }
}
