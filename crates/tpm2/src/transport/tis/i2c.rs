//! The TPM's registers on I2C (PTP, "I2C Interface"): addresses of one octet, the locality in a
//! register of its own, and a time to leave between two transfers.

use super::{Bus, Fault, register};
use crate::transport::TransportError;

/// An I2C bus with the TPM's address (0x2E unless the board says otherwise).
pub trait I2c {
    /// What the bus can do wrong.
    type Error: Into<TransportError>;

    /// Writes the register's address, then reads so many octets. Asks again while the TPM does not
    /// acknowledge, within reason.
    fn read(&mut self, register: u8, octets: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes the register's address and the octets in one transfer. Asks again while the TPM does
    /// not acknowledge, within reason.
    fn write(&mut self, register: u8, octets: &[u8]) -> Result<(), Self::Error>;

    /// Lets at least so much time pass.
    fn wait(&mut self, micros: u32);
}

/// A TPM on I2C.
pub struct I2cBus<I> {
    i2c: I,
    locality: Option<u8>,
}

const LOC_SEL: u8 = 0x00;
const ACCESS: u8 = 0x04;
const DID_VID: u8 = 0x48;
const RID: u8 = 0x4C;
/// The most that the eight bits of `GUARD_TIME_MIN` can ask for: enough for every TPM.
const GUARD_MICROS: u32 = 255;

impl<I: I2c> I2cBus<I> {
    /// A TPM at that address.
    pub fn new(i2c: I) -> Self {
        Self { i2c, locality: None }
    }

    /// Gives the bus back.
    pub fn into_inner(self) -> I {
        self.i2c
    }

    fn select(&mut self, address: u16) -> Result<u16, TransportError> {
        let locality = u8::try_from(address >> 12).unwrap_or(0);
        if self.locality != Some(locality) {
            self.i2c.wait(GUARD_MICROS);
            self.i2c.write(LOC_SEL, &[locality]).map_err(Into::into)?;
            self.locality = Some(locality);
        }
        self.i2c.wait(GUARD_MICROS);
        Ok(address & 0xFFF)
    }
}

/// The register of this bus for one of the memory map.
fn register(offset: u16) -> Result<u8, Fault> {
    match offset {
        register::ACCESS => Ok(ACCESS),
        register::DID_VID => Ok(DID_VID),
        register::RID => Ok(RID),
        register::STS | register::DATA_FIFO | register::INTF_CAPABILITY => {
            u8::try_from(offset).map_err(|_| Fault::NoSuchRegister)
        }
        _ => Err(Fault::NoSuchRegister),
    }
}

impl<I: I2c> Bus for I2cBus<I> {
    type Error = TransportError;

    fn read(&mut self, address: u16, octets: &mut [u8]) -> Result<(), TransportError> {
        let offset = self.select(address)?;
        if offset == register::INTERFACE_ID {
            // CRB is for memory only: I2C has no such register, and what is not there reads as
            // all ones.
            octets.fill(0xFF);
            return Ok(());
        }
        self.i2c.read(register(offset)?, octets).map_err(Into::into)
    }

    fn write(&mut self, address: u16, octets: &[u8]) -> Result<(), TransportError> {
        let offset = self.select(address)?;
        self.i2c.write(register(offset)?, octets).map_err(Into::into)
    }
}
