//! The client whose size is measured does its work, at QEMU's `tpm-tis` with swtpm behind it; and
//! who listens on the bus learns no secret.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use touchstone_crypto::Error;
use touchstone_crypto_soft::{AES_128, HMAC_SHA256, P256, Soft};
use touchstone_peers::{Pc, attempt};
use touchstone_size::{Report, attest};
use touchstone_tpm2::tis::{Bus, Delay};

/// As the firmware has it, but for where the random octets come from.
static SOFT: Soft = Soft::new(|out| SystemRandom::new().fill(out).map_err(|_| Error::NoRandom))
    .signatures(&[])
    .agreements(&[&P256])
    .macs(&[&HMAC_SHA256])
    .ciphers(&[&AES_128]);

const FIFO: u16 = 0x024;

/// The registers of a PC's TPM, and a probe that keeps what goes through the FIFO.
struct Probed {
    pc: Pc,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Bus for Probed {
    type Error = Infallible;

    fn read(&mut self, address: u16, octets: &mut [u8]) -> Result<(), Infallible> {
        self.pc.read(0xFED4_0000 + u32::from(address), octets);
        self.hear(address, octets);
        Ok(())
    }

    fn write(&mut self, address: u16, octets: &[u8]) -> Result<(), Infallible> {
        self.pc.write(0xFED4_0000 + u32::from(address), octets);
        self.hear(address, octets);
        Ok(())
    }
}

impl Probed {
    fn hear(&self, address: u16, octets: &[u8]) {
        if address & 0xFFF == FIFO {
            self.heard.lock().unwrap().extend(octets);
        }
    }
}

struct Sleep;

impl Delay for Sleep {
    fn micros(&mut self, micros: u32) {
        thread::sleep(Duration::from_micros(micros.into()));
    }
}

/// What follows a length of two octets, and what comes after that.
fn sized(octets: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = octets.split_at(2);
    rest.split_at(usize::from(u16::from_be_bytes(len.try_into().unwrap())))
}

/// Whether tpm2_checkquote accepts the quote over that nonce and those PCR values.
fn checks(report: &Report, nonce: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let (message, signature) = sized(&report.quote);
    let len = u16::try_from(report.key.len()).unwrap().to_be_bytes();
    let write = |name: &str, octets: &[u8]| std::fs::write(dir.path().join(name), octets).unwrap();
    write("key", &[&len, &report.key[..]].concat());
    write("message", message);
    write("signature", signature);
    let arguments = ["-u", "key", "-m", "message", "-s", "signature", "-g", "sha256", "-q", nonce];
    attempt("tpm2_checkquote", dir.path(), &arguments)
}

#[test]
fn the_smallest_client_attests_and_a_probe_on_the_bus_hears_no_secret() {
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let bus = Probed { pc: Pc::start(), heard: Arc::clone(&heard) };
    let report = attest(bus, Sleep, &SOFT, b"nonce").unwrap();

    assert_eq!(report.pcrs.len(), 8);
    // `nonce`, and one that is not ours, in hexadecimal.
    let (good, said) = checks(&report, "6e6f6e6365");
    assert!(good, "{said}");
    let (good, said) = checks(&report, "6e6f6e6366");
    assert!(!good, "{said}");

    // The probe hears the key, which is public, and not the random octets, which are secret.
    let wire = heard.lock().unwrap();
    let is_heard = |octets: &[u8]| wire.windows(octets.len()).any(|window| window == octets);
    assert!(is_heard(&report.key));
    assert!(!is_heard(&report.random) && !is_heard(&report.random[..8]));
    assert_ne!(report.random, [0; 16]);
}
