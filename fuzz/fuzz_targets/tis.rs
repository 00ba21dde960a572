//! A TPM behind the FIFO interface whose registers read as anything: every call ends, within its
//! limits, and gives a response that its own header measures or an error with a code.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_tpm2::tis::{Bus, Delay, I2c, I2cBus, Spi, SpiBus, Timeouts, Tis};
use touchstone_tpm2::{Locality, Transport, TransportError};

/// Registers that read as the data goes, and as their last octet when it has gone.
struct Noise<'a>(&'a [u8]);

impl Noise<'_> {
    fn fill(&mut self, octets: &mut [u8]) {
        for octet in octets {
            let (first, rest) = match self.0 {
                [last] => (*last, self.0),
                [first, rest @ ..] => (*first, rest),
                [] => (0, self.0),
            };
            (*octet, self.0) = (first, rest);
        }
    }
}

impl Bus for Noise<'_> {
    type Error = TransportError;
    fn read(&mut self, _: u16, octets: &mut [u8]) -> Result<(), TransportError> {
        self.fill(octets);
        Ok(())
    }
    fn write(&mut self, _: u16, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }
}

impl Spi for Noise<'_> {
    type Error = TransportError;
    fn select(&mut self, _: bool) -> Result<(), TransportError> {
        Ok(())
    }
    fn exchange(&mut self, octets: &mut [u8]) -> Result<(), TransportError> {
        self.fill(octets);
        Ok(())
    }
}

impl I2c for Noise<'_> {
    type Error = TransportError;
    fn read(&mut self, _: u8, octets: &mut [u8]) -> Result<(), TransportError> {
        self.fill(octets);
        Ok(())
    }
    fn write(&mut self, _: u8, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }
    fn wait(&mut self, _: u32) {}
}

struct NoTime;

impl Delay for NoTime {
    fn micros(&mut self, _: u32) {}
}

fn converse(bus: impl Bus) {
    let timeouts = Timeouts { a: 2, b: 2, c: 2, command: 20 };
    let Ok(mut tpm) = Tis::open_with(bus, NoTime, Locality::Zero, timeouts) else { return };
    let mut response = [0; 256];
    for _ in 0..4 {
        match tpm.transact(&[0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 32], &mut response) {
            Ok(len) => assert_eq!(&response[2..6], u32::try_from(len).unwrap().to_be_bytes()),
            Err(error) => assert!(error.code().starts_with("tpm2.")),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&bus, data)) = data.split_first() else { return };
    match bus % 3 {
        0 => converse(Noise(data)),
        1 => converse(SpiBus::new(Noise(data))),
        _ => converse(I2cBus::new(Noise(data))),
    }
});
