//! The TCP protocol of the TPM 2.0 reference implementation's simulator (Part 4, "TPM simulator
//! command protocol"): one port for commands, the next one for what a platform does beside them.
//!
//! What shows that it is right: every test run compares the octets sent with those of tpm2-tss's
//! client, both before a bridge of ours, as distributions package no simulator; one more test, which
//! has to be asked for, runs at ibmswtpm2's `tpm_server`.

use super::line::Line;
use super::{Locality, Transport, TransportError};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use std::vec::Vec;

/// A primary RSA key takes a simulator some seconds; a slow machine more.
const PATIENCE: Duration = Duration::from_mins(2);

const SEND_COMMAND: u32 = 8;
const SESSION_END: u32 = 20;

/// A signal to the simulated platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    PowerOn,
    PowerOff,
    PhysicalPresenceOn,
    PhysicalPresenceOff,
    CancelOn,
    CancelOff,
    NvOn,
    NvOff,
}

impl Signal {
    const fn number(self) -> u32 {
        match self {
            Self::PowerOn => 1,
            Self::PowerOff => 2,
            Self::PhysicalPresenceOn => 3,
            Self::PhysicalPresenceOff => 4,
            Self::CancelOn => 9,
            Self::CancelOff => 10,
            Self::NvOn => 11,
            Self::NvOff => 12,
        }
    }
}

/// A simulator. Its session ends when this is dropped; the simulator stays powered.
#[derive(Debug)]
pub struct Simulator<S: Read + Write> {
    commands: Line<S>,
    platform: Line<S>,
    locality: Locality,
}

impl Simulator<TcpStream> {
    /// A simulator whose commands go to `port` (2321 unless told otherwise) and whose platform
    /// listens at the next one; powered on, its NV memory available, as a PC that was switched on.
    pub fn tcp(host: &str, port: u16) -> Result<Self, TransportError> {
        let next = port
            .checked_add(1)
            .ok_or(TransportError::Interface("no port follows that of the simulator's commands"))?;
        let connect = |port| -> Result<TcpStream, TransportError> {
            let stream = TcpStream::connect((host, port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let mut simulator = Self::new(connect(port)?, connect(next)?);
        simulator.power_on()?;
        Ok(simulator)
    }
}

impl<S: Read + Write> Simulator<S> {
    /// Over two streams that are open. Nothing is sent.
    pub fn new(commands: S, platform: S) -> Self {
        let (commands, platform) = (Line::new(commands), Line::new(platform));
        Self { commands, platform, locality: Locality::Zero }
    }

    /// Switches power and NV memory on: `TPM2_Startup` comes next, unless it was on.
    pub fn power_on(&mut self) -> Result<(), TransportError> {
        self.signal(Signal::PowerOn)?;
        self.signal(Signal::NvOn)
    }

    /// Switches power off: as pulling the plug.
    pub fn power_off(&mut self) -> Result<(), TransportError> {
        self.signal(Signal::PowerOff)
    }

    /// Makes NV memory available, or not: then the TPM answers `TPM_RC_NV_UNAVAILABLE`.
    pub fn set_nv(&mut self, available: bool) -> Result<(), TransportError> {
        self.signal(if available { Signal::NvOn } else { Signal::NvOff })
    }

    /// Asserts physical presence, or not.
    pub fn set_physical_presence(&mut self, present: bool) -> Result<(), TransportError> {
        self.signal(if present { Signal::PhysicalPresenceOn } else { Signal::PhysicalPresenceOff })
    }

    /// Cancels what runs and what comes, until it is taken back.
    pub fn set_cancel(&mut self, cancel: bool) -> Result<(), TransportError> {
        self.signal(if cancel { Signal::CancelOn } else { Signal::CancelOff })
    }

    /// Commands come from that locality from now on.
    pub fn set_locality(&mut self, locality: Locality) {
        self.locality = locality;
    }

    fn signal(&mut self, signal: Signal) -> Result<(), TransportError> {
        self.platform.ask(|stream| {
            stream.write_all(&signal.number().to_be_bytes())?;
            acknowledged(stream)
        })
    }
}

impl<S: Read + Write> Transport for Simulator<S> {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let too_long = |_| TransportError::Interface("the command is too long for any TPM");
        let len = u32::try_from(command.len()).map_err(too_long)?;
        let mut octets = Vec::with_capacity(command.len().saturating_add(9));
        octets.extend_from_slice(&SEND_COMMAND.to_be_bytes());
        octets.push(self.locality.number());
        octets.extend_from_slice(&len.to_be_bytes());
        octets.extend_from_slice(command);
        self.commands.ask(|stream| {
            stream.write_all(&octets)?;
            let len = usize::try_from(word(stream)?).unwrap_or(usize::MAX);
            let whole = response.get_mut(..len).filter(|whole| whole.len() >= 10);
            let whole = whole.ok_or(TransportError::Malformed(
                "the response's size is out of range; is this a simulator's command port?",
            ))?;
            stream.read_exact(whole)?;
            acknowledged(stream)?;
            Ok(len)
        })
    }

    fn pause(&mut self, millis: u32) {
        thread::sleep(Duration::from_millis(millis.into()));
    }
}

impl<S: Read + Write> Drop for Simulator<S> {
    fn drop(&mut self) {
        for stream in
            [&mut self.commands, &mut self.platform].into_iter().filter_map(Line::unanswered)
        {
            // A peer that is gone needs no goodbye.
            drop(stream.write_all(&SESSION_END.to_be_bytes()));
        }
    }
}

fn word(stream: &mut impl Read) -> Result<u32, TransportError> {
    let mut octets = [0; 4];
    stream.read_exact(&mut octets)?;
    Ok(u32::from_be_bytes(octets))
}

fn acknowledged(stream: &mut impl Read) -> Result<(), TransportError> {
    match word(stream)? {
        0 => Ok(()),
        code => Err(TransportError::Platform(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::canned::Canned;

    const RESPONSE: [u8; 10] = [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0];

    fn answered(octets: &[u8]) -> Simulator<Canned> {
        Simulator::new(Canned::new(octets), Canned::new(&[0; 8]))
    }

    fn sent(octets: &[u8]) -> Result<usize, TransportError> {
        answered(octets).transact(b"command", &mut [0; 64])
    }

    #[test]
    fn a_command_carries_its_locality_and_its_length() {
        let mut simulator = answered(&[&[0, 0, 0, 10][..], &RESPONSE, &[0; 4]].concat());
        simulator.set_locality(Locality::Two);
        let mut response = [0; 64];
        assert_eq!(simulator.transact(b"command", &mut response), Ok(10));
        assert_eq!(response[..10], RESPONSE);
        assert_eq!(
            simulator.commands.unanswered().unwrap().written,
            b"\0\0\0\x08\x02\0\0\0\x07command"
        );
    }

    #[test]
    fn a_size_out_of_range_is_refused_before_the_response_is_read() {
        for size in [0u32, 9, 65, u32::MAX] {
            assert!(matches!(sent(&size.to_be_bytes()), Err(TransportError::Malformed(_))));
        }
    }

    #[test]
    fn a_response_cut_anywhere_is_a_closed_connection() {
        let whole = [&[0, 0, 0, 10][..], &RESPONSE, &[0; 4]].concat();
        for len in 0..whole.len() {
            assert_eq!(sent(&whole[..len]), Err(TransportError::Closed), "{len}");
        }
    }

    #[test]
    fn a_command_or_signal_that_is_not_acknowledged_tells_the_code() {
        let bad = [&[0, 0, 0, 10][..], &RESPONSE, &[0, 0, 0, 7]].concat();
        assert_eq!(sent(&bad), Err(TransportError::Platform(7)));
        let mut simulator = Simulator::new(Canned::new(&[]), Canned::new(&[0, 0, 0, 9]));
        assert_eq!(simulator.power_off(), Err(TransportError::Platform(9)));
    }
}
