//! The FIFO interface of the TCG PC Client Platform TPM Profile (PTP; "TIS" of old): a TPM behind a
//! few registers, on SPI, on I2C or in memory. Needs no heap and no operating system: whoever owns
//! the bus gives a [`Bus`] and a [`Delay`].
//!
//! What this is not: the CRB interface, nor a driver with interrupts: it looks and waits. A
//! memory-mapped TPM needs a `Bus` over the pointer to it, which its owner writes: no `unsafe` is
//! here.
//!
//! What shows that it is right: it drives QEMU's `tpm-tis` device with swtpm behind it, and a model
//! that breaks the rules one by one. [`SpiBus`] and [`I2cBus`] have met only models of ours so far,
//! and no chip.
//!
//! ```
//! use touchstone_tpm2::tis::{Bus, Delay, Tis};
//! use touchstone_tpm2::{Locality, Transport, TransportError};
//!
//! fn get_random(bus: impl Bus, delay: impl Delay) -> Result<(), TransportError> {
//!     let mut tpm = Tis::open(bus, delay, Locality::Zero)?;
//!     let command = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 16];
//!     let mut response = [0; 64];
//!     let len = tpm.transact(&command, &mut response)?;
//!     assert!(len >= 10);
//!     Ok(())
//! }
//! ```

mod fault;
mod i2c;
#[cfg(test)]
mod model;
mod register;
mod spi;
#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use i2c::{I2c, I2cBus};
pub use spi::{Spi, SpiBus};

use super::{Locality, Transport, TransportError};
use register::{
    ACCESS, DATA_FIFO, DID_VID, INTERFACE_ID, INTF_CAPABILITY, RID, STS, Status, access,
};

/// Octets into and out of the TPM's registers.
pub trait Bus {
    /// What the bus itself can do wrong.
    type Error: Into<TransportError>;

    /// Reads one register. `address` is the locality in the top four bits and the register's offset
    /// below, as in the PTP's memory map: the base (0xFED4_0000 in memory, 0xD4_0000 on SPI) is the
    /// bus's to add. All octets of the data FIFO (offset 0x024) come from that one address.
    fn read(&mut self, address: u16, octets: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes one register, as [`read`](Self::read) reads it.
    fn write(&mut self, address: u16, octets: &[u8]) -> Result<(), Self::Error>;
}

/// Waiting. All time here is what was waited: a slow bus makes every limit longer, never endless.
pub trait Delay {
    /// Lets at least so much time pass.
    fn micros(&mut self, micros: u32);

    /// Asked while a command runs: true cancels it. The TPM then answers `TPM_RC_CANCELED`, or the
    /// response if it came first.
    fn cancels(&mut self) -> bool {
        false
    }
}

/// How long to wait for what, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `TIMEOUT_A`: access, and the FIFO's burst count.
    pub a: u32,
    /// `TIMEOUT_B`: ready for a command, and the end of a cancelled one.
    pub b: u32,
    /// `TIMEOUT_C`: a valid status.
    pub c: u32,
    /// A command, before it is cancelled. A primary RSA key takes a slow TPM half a minute.
    pub command: u32,
}

impl Default for Timeouts {
    /// The PTP's own ("Interface Timeouts"; nothing here waits for `TIMEOUT_D`), and two minutes
    /// for a command.
    fn default() -> Self {
        Self { a: 750, b: 2000, c: 200, command: 120_000 }
    }
}

/// Which TPM it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `TPM_DID_VID.VID`: the vendor's PCI identifier, 0x15D1 for Infineon.
    pub vendor: u16,
    /// `TPM_DID_VID.DID`: the device, as the vendor numbers them.
    pub device: u16,
    /// `TPM_RID`: its revision.
    pub revision: u8,
    /// `TPM_INTF_CAPABILITY`.
    pub capability: u32,
}

/// How often a response that arrived hurt is asked for again.
const RETRIES: u32 = 2;
/// Between two looks: 20 µs, doubling to 5 ms.
const FIRST_WAIT: u32 = 20;
const LONGEST_WAIT: u32 = 5000;
const HEADER: usize = 10;

/// A TPM behind the FIFO interface. The locality is held for one command at a time.
pub struct Tis<B, D> {
    bus: B,
    delay: D,
    locality: Locality,
    timeouts: Timeouts,
    identity: Identity,
}

impl<B: Bus, D: Delay> Tis<B, D> {
    /// Looks for the TPM and checks that it is a TPM 2.0 behind this interface.
    pub fn open(bus: B, delay: D, locality: Locality) -> Result<Self, TransportError> {
        Self::open_with(bus, delay, locality, Timeouts::default())
    }

    /// The same, with other timeouts.
    pub fn open_with(
        bus: B,
        delay: D,
        locality: Locality,
        timeouts: Timeouts,
    ) -> Result<Self, TransportError> {
        let identity = Identity { vendor: 0, device: 0, revision: 0, capability: 0 };
        let mut tis = Self { bus, delay, locality, timeouts, identity };
        tis.identity = tis.with_locality(Self::identify)?;
        Ok(tis)
    }

    /// Which TPM it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The locality that commands come from.
    pub fn locality(&self) -> Locality {
        self.locality
    }

    /// Speaks from another locality from now on.
    pub fn set_locality(&mut self, locality: Locality) {
        self.locality = locality;
    }

    /// Gives the bus and the delay back.
    pub fn into_parts(self) -> (B, D) {
        (self.bus, self.delay)
    }

    fn identify(&mut self) -> Result<Identity, TransportError> {
        let ids = self.read_u32(DID_VID)?;
        if matches!(ids, 0 | u32::MAX) {
            return Err(Fault::Absent.into());
        }
        if register::is_crb(self.read_u32(INTERFACE_ID)?) {
            return Err(Fault::Crb.into());
        }
        let capability = self.read_u32(INTF_CAPABILITY)?;
        if !register::is_tpm2_interface(capability) && !self.settled()?.is_tpm2() {
            return Err(Fault::NotTpm2.into());
        }
        let [revision] = self.read(RID)?;
        let [a, b, c, d] = ids.to_le_bytes();
        let (vendor, device) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        Ok(Identity { vendor, device, revision, capability })
    }

    fn converse(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        self.make_ready()?;
        let got = self.send(command).and_then(|()| self.execute(response));
        // Whatever came of it: back to idle, or the command aborted. The first fault is the one
        // to tell.
        let idle = self.write(STS, Status::COMMAND_READY);
        let len = got?;
        idle?;
        Ok(len)
    }

    /// Requests the locality, lends it out and gives it back, whatever came of it.
    fn with_locality<T>(
        &mut self,
        serve: impl FnOnce(&mut Self) -> Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        self.request_locality()?;
        let served = serve(self);
        let released = self.write_octet(ACCESS, access::ACTIVE);
        let served = served?;
        released?;
        Ok(served)
    }

    fn request_locality(&mut self) -> Result<(), TransportError> {
        let valid = |tis: &mut Self| match tis.read(ACCESS)? {
            // What is not there reads as all ones.
            [0xFF] => Err(Fault::Absent.into()),
            [octet] if octet & access::READS_ZERO != 0 => Ok(None),
            [octet] => Ok((octet & access::VALID != 0).then_some(octet)),
        };
        let octet = self.poll(self.timeouts.a, valid)?.ok_or(Fault::AccessNotValid)?;
        if octet & access::ACTIVE != 0 {
            return Ok(());
        }
        self.write_octet(ACCESS, access::REQUEST_USE)?;
        let granted = |tis: &mut Self| Ok(valid(tis)?.filter(|octet| octet & access::ACTIVE != 0));
        if self.poll(self.timeouts.a, granted)?.is_none() {
            // Taking the request back is all that is left.
            self.write_octet(ACCESS, access::ACTIVE)?;
            return Err(Fault::LocalityRefused.into());
        }
        Ok(())
    }

    fn make_ready(&mut self) -> Result<(), TransportError> {
        if self.status()?.has(Status::COMMAND_READY) {
            return Ok(());
        }
        // A response that nobody fetched takes the first write, which makes idle of completed.
        for _ in 0..2 {
            self.write(STS, Status::COMMAND_READY)?;
            let ready = |tis: &mut Self| Ok(tis.status()?.has(Status::COMMAND_READY).then_some(()));
            if self.poll(self.timeouts.b, ready)?.is_some() {
                return Ok(());
            }
        }
        Err(Fault::NeverReady.into())
    }

    fn send(&mut self, command: &[u8]) -> Result<(), TransportError> {
        // The last octet goes alone: `Expect` must stand until then and fall with it.
        let (mut rest, last) = command.split_at(command.len().saturating_sub(1));
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.burst()?.min(rest.len()));
            self.bus.write(self.at(DATA_FIFO), now).map_err(Into::into)?;
            rest = later;
            if !self.settled()?.has(Status::EXPECT) {
                return Err(Fault::StoppedExpecting.into());
            }
        }
        self.burst()?;
        self.bus.write(self.at(DATA_FIFO), last).map_err(Into::into)?;
        if self.settled()?.has(Status::EXPECT) {
            return Err(Fault::StillExpecting.into());
        }
        Ok(())
    }

    fn execute(&mut self, response: &mut [u8]) -> Result<usize, TransportError> {
        self.write(STS, Status::GO)?;
        self.await_response()?;
        let mut retries = RETRIES;
        loop {
            match self.receive(response) {
                Err(TransportError::Tis(fault)) if fault.is_of_response() && retries > 0 => {
                    retries -= 1;
                    self.write(STS, Status::RESPONSE_RETRY)?;
                }
                received => return received,
            }
        }
    }

    fn await_response(&mut self) -> Result<(), TransportError> {
        let arrived = |tis: &mut Self| {
            let status = tis.status()?;
            Ok((status.is_valid() && status.has(Status::DATA_AVAIL)).then_some(true))
        };
        let arrived_or_cancelled = |tis: &mut Self| match arrived(tis)? {
            None => Ok(tis.delay.cancels().then_some(false)),
            some => Ok(some),
        };
        if self.poll(self.timeouts.command, arrived_or_cancelled)? == Some(true) {
            return Ok(());
        }
        self.write(STS, Status::CANCEL)?;
        self.poll(self.timeouts.b, arrived)?.ok_or(Fault::NoResponse)?;
        Ok(())
    }

    fn receive(&mut self, response: &mut [u8]) -> Result<usize, TransportError> {
        let room = u32::try_from(response.len()).unwrap_or(u32::MAX);
        let (header, body) =
            response.split_at_mut_checked(HEADER).ok_or(Fault::ResponseSize(room))?;
        self.fetch(header)?;
        let size = size_in(header);
        let rest = usize::try_from(size).ok().and_then(|size| size.checked_sub(HEADER));
        let rest = rest.and_then(|rest| body.get_mut(..rest)).ok_or(Fault::ResponseSize(size))?;
        let len = HEADER + rest.len();
        // The last octet comes alone: `dataAvail` must stand until then and fall with it, or octets
        // were lost.
        let (body, last) = rest.split_at_mut(rest.len().saturating_sub(1));
        self.fetch(body)?;
        self.fetch(last)?;
        if self.settled()?.has(Status::DATA_AVAIL) {
            return Err(Fault::ResponseLong.into());
        }
        Ok(len)
    }

    fn fetch(&mut self, mut rest: &mut [u8]) -> Result<(), TransportError> {
        while !rest.is_empty() {
            if !self.settled()?.has(Status::DATA_AVAIL) {
                return Err(Fault::ResponseShort.into());
            }
            let (now, later) = rest.split_at_mut(self.burst()?.min(rest.len()));
            self.bus.read(self.at(DATA_FIFO), now).map_err(Into::into)?;
            rest = later;
        }
        Ok(())
    }

    fn burst(&mut self) -> Result<usize, TransportError> {
        let some = |tis: &mut Self| Ok(Some(tis.status()?.burst()).filter(|burst| *burst > 0));
        Ok(self.poll(self.timeouts.a, some)?.ok_or(Fault::NoBurst)?)
    }

    fn settled(&mut self) -> Result<Status, TransportError> {
        let valid = |tis: &mut Self| Ok(Some(tis.status()?).filter(|status| status.is_valid()));
        Ok(self.poll(self.timeouts.c, valid)?.ok_or(Fault::StatusNotValid)?)
    }

    fn status(&mut self) -> Result<Status, TransportError> {
        Ok(Status::decode(self.read(STS)?)?)
    }

    /// Looks until something is seen, or so many milliseconds were waited.
    fn poll<T>(
        &mut self,
        millis: u32,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, TransportError>,
    ) -> Result<Option<T>, TransportError> {
        let limit = millis.saturating_mul(1000);
        let (mut waited, mut wait) = (0u32, FIRST_WAIT);
        loop {
            let seen = look(self)?;
            if seen.is_some() || waited >= limit {
                return Ok(seen);
            }
            self.delay.micros(wait);
            waited = waited.saturating_add(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn at(&self, register: u16) -> u16 {
        u16::from(self.locality.number()) << 12 | register
    }

    fn read<const N: usize>(&mut self, register: u16) -> Result<[u8; N], TransportError> {
        let mut octets = [0; N];
        self.bus.read(self.at(register), &mut octets).map_err(Into::into)?;
        Ok(octets)
    }

    fn read_u32(&mut self, register: u16) -> Result<u32, TransportError> {
        Ok(u32::from_le_bytes(self.read(register)?))
    }

    fn write(&mut self, register: u16, bits: u32) -> Result<(), TransportError> {
        self.bus.write(self.at(register), &bits.to_le_bytes()).map_err(Into::into)
    }

    fn write_octet(&mut self, register: u16, octet: u8) -> Result<(), TransportError> {
        self.bus.write(self.at(register), &[octet]).map_err(Into::into)
    }
}

impl<B: Bus, D: Delay> Transport for Tis<B, D> {
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let whole =
            command.len() >= HEADER && usize::try_from(size_in(command)) == Ok(command.len());
        if !whole {
            return Err(Fault::CommandSize.into());
        }
        self.with_locality(|tis| tis.converse(command, response))
    }

    fn pause(&mut self, millis: u32) {
        for _ in 0..millis {
            self.delay.micros(1000);
        }
    }
}

/// The size in the header of a command or response (Part 1 §18.1).
fn size_in(header: &[u8]) -> u32 {
    match *header {
        [_, _, a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]),
        _ => 0,
    }
}
