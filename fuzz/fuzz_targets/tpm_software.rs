//! What a software TPM's control channel or a simulator's ports answer: every call ends and gives a
//! response within the buffer, or an error with a code.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::{Read, Result, Write};
use touchstone_tpm2::transport::{Control, Request, Simulator};
use touchstone_tpm2::{Locality, Transport};

/// A peer that says this and nothing else.
struct Says<'a>(&'a [u8]);

impl Read for Says<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        self.0.read(out)
    }
}

impl Write for Says<'_> {
    fn write(&mut self, octets: &[u8]) -> Result<usize> {
        Ok(octets.len())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&split, data)) = data.split_first() else { return };
    let (commands, platform) = data.split_at(usize::from(split).min(data.len()));

    let mut control = Control::new(Says(data));
    if let Ok(abilities) = control.abilities() {
        let _ = abilities.offers(Request::Cancel);
    }
    for answered in [
        control.init(),
        control.set_locality(Locality::Two),
        control.established().map(drop),
        control.stop(),
    ] {
        assert!(answered.is_ok() || answered.is_err_and(|e| e.code().starts_with("tpm2.")));
    }

    let mut simulator = Simulator::new(Says(commands), Says(platform));
    let _ = simulator.power_on();
    let mut response = [0; 64];
    for _ in 0..4 {
        match simulator.transact(b"command", &mut response) {
            Ok(len) => assert!((10..=response.len()).contains(&len)),
            Err(error) => assert!(error.code().starts_with("tpm2.")),
        }
    }
});
