//! The FIFO driver at QEMU's real `tpm-tis` device, with a real swtpm behind it.
#![cfg(all(unix, feature = "std"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::convert::Infallible;
use std::thread;
use std::time::Duration;
use touchstone_peers::Pc;
use touchstone_tpm2::tis::{Bus, Delay, Tis};
use touchstone_tpm2::{Locality, MAX_MESSAGE, Transport};

/// The registers of a PC's TPM.
struct Registers(Pc);

impl Bus for Registers {
    type Error = Infallible;

    fn read(&mut self, address: u16, octets: &mut [u8]) -> Result<(), Infallible> {
        self.0.read(0xFED4_0000 + u32::from(address), octets);
        Ok(())
    }

    fn write(&mut self, address: u16, octets: &[u8]) -> Result<(), Infallible> {
        self.0.write(0xFED4_0000 + u32::from(address), octets);
        Ok(())
    }
}

/// Time as it passes.
struct Sleep;

impl Delay for Sleep {
    fn micros(&mut self, micros: u32) {
        thread::sleep(Duration::from_micros(micros.into()));
    }
}

const STARTUP_CLEAR: &[u8] = &[0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0];
const GET_RANDOM_32: &[u8] = &[0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 32];
/// TPM2_GetCapability: one property, TPM_PT_FAMILY_INDICATOR.
const GET_FAMILY: &[u8] =
    &[0x80, 0x01, 0, 0, 0, 22, 0, 0, 0x01, 0x7A, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 0, 1];

fn open() -> Tis<Registers, Sleep> {
    Tis::open(Registers(Pc::start()), Sleep, Locality::Zero).unwrap()
}

/// Sends a command that has to succeed; what follows the response's header.
fn run(tpm: &mut Tis<Registers, Sleep>, command: &[u8]) -> Vec<u8> {
    let response = transact(tpm, command);
    assert_eq!(response[6..10], [0; 4], "response code of {command:02x?}");
    response[10..].to_vec()
}

fn transact(tpm: &mut Tis<Registers, Sleep>, command: &[u8]) -> Vec<u8> {
    let mut response = vec![0; MAX_MESSAGE];
    let len = tpm.transact(command, &mut response).unwrap();
    response.truncate(len);
    response
}

/// A command with one empty password authorisation for its first handle.
fn authorized(code: u32, handle: u32, parameters: &[u8]) -> Vec<u8> {
    let password = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
    let size = u32::try_from(14 + password.len() + parameters.len()).unwrap();
    let words = [size.to_be_bytes(), code.to_be_bytes(), handle.to_be_bytes()].concat();
    [&[0x80, 0x02], &words[..], &password, parameters].concat()
}

/// TPM2_CreatePrimary: a restricted P-256 storage key, of the owner hierarchy.
fn create_primary() -> Vec<u8> {
    let public = [
        &[0, 0x23, 0, 0x0B][..],           // ECC, SHA-256
        &[0, 3, 0, 0x72, 0, 0],            // decrypt, restricted, its own; no policy
        &[0, 6, 0, 128, 0, 0x43, 0, 0x10], // AES-128-CFB, no scheme
        &[0, 3, 0, 0x10, 0, 0, 0, 0],      // P-256, no KDF, empty point
    ]
    .concat();
    let sensitive = [0, 4, 0, 0, 0, 0];
    let size = u16::try_from(public.len()).unwrap().to_be_bytes();
    let creation = [0, 0, 0, 0, 0, 0];
    let parameters = [&sensitive[..], &size, &public, &creation].concat();
    authorized(0x131, 0x4000_0001, &parameters)
}

#[test]
fn a_real_tis_device_starts_gives_random_tells_of_itself_and_makes_a_key() {
    let mut tpm = open();
    // QEMU's own identity of the device: IBM, and its number there.
    let identity = tpm.identity();
    assert_eq!((identity.vendor, identity.device), (0x1014, 0x0001));

    // TPM_RC_INITIALIZE before TPM2_Startup: the response code comes through as it is.
    assert_eq!(transact(&mut tpm, GET_RANDOM_32)[6..10], [0, 0, 0x01, 0x00]);
    assert_eq!(run(&mut tpm, STARTUP_CLEAR), []);
    let (one, two) = (run(&mut tpm, GET_RANDOM_32), run(&mut tpm, GET_RANDOM_32));
    assert_eq!((&one[..2], one.len()), (&[0, 32][..], 34));
    assert_ne!(one, two);

    let family = run(&mut tpm, GET_FAMILY);
    assert!(family.ends_with(b"2.0\0"), "{family:02x?}");

    let key = run(&mut tpm, &create_primary());
    assert_eq!(key[..4], [0x80, 0, 0, 0], "the handle of a transient object");
    // Flushed: the slot is free again.
    run(&mut tpm, &[0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x65, 0x80, 0, 0, 0]);
}

#[test]
fn the_locality_of_the_driver_is_the_one_the_tpm_sees() {
    let mut tpm = open();
    run(&mut tpm, STARTUP_CLEAR);
    // PCR 20 is extended from locality 1 and above only (PTP, "PCR Attributes").
    let digest = [&[0, 0, 0, 1, 0, 0x0B][..], &[0xA5; 32]].concat();
    let extend = authorized(0x182, 20, &digest);
    assert_eq!(transact(&mut tpm, &extend)[6..10], [0, 0, 0x09, 0x07], "TPM_RC_LOCALITY");
    for locality in [Locality::One, Locality::Two, Locality::Three] {
        tpm.set_locality(locality);
        run(&mut tpm, &extend);
    }
    tpm.set_locality(Locality::Zero);
    assert_eq!(transact(&mut tpm, &extend)[6..10], [0, 0, 0x09, 0x07]);
}

#[test]
fn a_response_half_read_by_another_is_left_behind() {
    let mut tpm = open();
    run(&mut tpm, STARTUP_CLEAR);
    // Somebody sends a command through locality 0, reads three octets of the response and dies.
    let (mut pc, sleep) = tpm.into_parts();
    pc.write(0x000, &[0x02]).unwrap();
    pc.write(0x018, &0x40u32.to_le_bytes()).unwrap();
    pc.write(0x024, GET_RANDOM_32).unwrap();
    pc.write(0x018, &0x20u32.to_le_bytes()).unwrap();
    let mut status = [0; 4];
    while status[0] & 0x10 == 0 {
        pc.read(0x018, &mut status).unwrap();
    }
    pc.read(0x024, &mut [0; 3]).unwrap();
    let mut tpm = Tis::open(pc, sleep, Locality::Zero).unwrap();
    assert!(run(&mut tpm, GET_FAMILY).ends_with(b"2.0\0"));
}
