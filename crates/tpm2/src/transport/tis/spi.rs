//! The TPM's registers on SPI (PTP, "SPI Bit Protocol"): a header of four octets, wait states, data.

use super::{Bus, Fault};
use crate::transport::TransportError;

/// A full-duplex SPI bus in mode 0 with the TPM's chip select.
pub trait Spi {
    /// What the bus can do wrong.
    type Error: Into<TransportError>;

    /// Pulls the TPM's chip select low, or lets it go. It stays low over several exchanges.
    fn select(&mut self, selected: bool) -> Result<(), Self::Error>;

    /// Clocks the octets out and puts what came in meanwhile in their place.
    fn exchange(&mut self, octets: &mut [u8]) -> Result<(), Self::Error>;
}

/// A TPM on SPI.
pub struct SpiBus<S>(S);

/// The registers begin here (PTP, "SPI address space").
const BASE: u8 = 0xD4;
const READ: u8 = 1 << 7;
/// As many octets as one transfer carries.
const LONGEST: usize = 64;
/// Octets of wait states. The slowest known TPM needs a few hundred at full speed.
const PATIENCE: u32 = 10_000;

impl<S: Spi> SpiBus<S> {
    /// A TPM behind that chip select.
    pub fn new(spi: S) -> Self {
        Self(spi)
    }

    /// Gives the bus back.
    pub fn into_inner(self) -> S {
        self.0
    }

    fn transfer(
        &mut self,
        address: u16,
        direction: u8,
        octets: &mut [u8],
    ) -> Result<(), TransportError> {
        self.0.select(true).map_err(Into::into)?;
        let done = self.framed(address, direction, octets);
        let released = self.0.select(false).map_err(Into::into);
        done?;
        released
    }

    fn framed(
        &mut self,
        address: u16,
        direction: u8,
        octets: &mut [u8],
    ) -> Result<(), TransportError> {
        // One to 64 octets: whoever calls has cut them so.
        let size = u8::try_from(octets.len().saturating_sub(1)).unwrap_or(0) & 0x3F;
        let [high, low] = address.to_be_bytes();
        let mut header = [direction | size, BASE, high, low];
        self.0.exchange(&mut header).map_err(Into::into)?;
        // The TPM's last bit beside the header says whether it is ready; if not, it sends octets
        // whose last bit is zero until it is.
        let [.., mut ready] = header;
        for _ in 0..PATIENCE {
            if ready & 1 == 1 {
                return self.0.exchange(octets).map_err(Into::into);
            }
            let mut wait = [0];
            self.0.exchange(&mut wait).map_err(Into::into)?;
            [ready] = wait;
        }
        Err(Fault::SpiWait.into())
    }
}

impl<S: Spi> Bus for SpiBus<S> {
    type Error = TransportError;

    fn read(&mut self, address: u16, octets: &mut [u8]) -> Result<(), TransportError> {
        octets.fill(0);
        octets.chunks_mut(LONGEST).try_for_each(|octets| self.transfer(address, READ, octets))
    }

    fn write(&mut self, address: u16, octets: &[u8]) -> Result<(), TransportError> {
        octets.chunks(LONGEST).try_for_each(|octets| {
            let mut buf = [0; LONGEST];
            let Some(copy) = buf.get_mut(..octets.len()) else { return Ok(()) };
            copy.copy_from_slice(octets);
            self.transfer(address, 0, copy)
        })
    }
}
