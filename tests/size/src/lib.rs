//! The smallest client of a TPM that attests: it starts the TPM behind its FIFO interface, reads the
//! boot's PCRs, and has them quoted, in sessions that are salted and encrypted.
//!
//! What this is not: an agent. It is what `cargo xtask size` measures and what its test runs at
//! QEMU's `tpm-tis`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use touchstone_crypto::{Curve, Digest, HashAlgorithm, TpmCrypto};
use touchstone_tpm2::marshal::Writer;
use touchstone_tpm2::object::SigningScheme;
use touchstone_tpm2::template::{self, KeyPair};
use touchstone_tpm2::tis::{Bus, Delay, Tis};
use touchstone_tpm2::{
    Auth, AuthValue, Command, Error, Hierarchy, Locality, NewObject, NewSession, PcrSelection, Tpm,
    code,
};

/// `TPM_RC_INITIALIZE`: somebody has started the TPM before us.
const INITIALIZE: u32 = 0x100;
/// `TPM_ALG_NULL`: the key's own scheme signs.
const ALG_NULL: u16 = 0x0010;

/// What the device says of itself.
#[derive(Debug)]
pub struct Report {
    /// PCRs 0 to 7 of the SHA-256 bank.
    pub pcrs: Vec<Digest>,
    /// The attestation key, `TPMT_PUBLIC`.
    pub key: Vec<u8>,
    /// `TPM2_Quote`'s response: `TPM2B_ATTEST`, `TPMT_SIGNATURE`.
    pub quote: Vec<u8>,
    /// 16 octets of the TPM's randomness, which came encrypted.
    pub random: [u8; 16],
}

/// Starts the TPM on this bus and has it quote the boot's PCRs over `nonce`.
pub fn attest(
    bus: impl Bus + Send + 'static,
    delay: impl Delay + Send + 'static,
    crypto: &'static dyn TpmCrypto,
    nonce: &[u8],
) -> Result<Report, Error> {
    let tis = Tis::open(bus, delay, Locality::Zero)?;
    let mut tpm = Tpm::new(Box::new(tis), crypto);
    match tpm.run(&Command::new(code::STARTUP).parameters(Writer::default().u16(0))) {
        Err(Error::Refused(refusal)) if refusal.response == INITIALIZE => {}
        started => drop(started?),
    }
    tpm.recover()?;
    let mut random = [0; 16];
    tpm.random(&mut random)?;

    let boot = PcrSelection::new(HashAlgorithm::Sha256, &[0, 1, 2, 3, 4, 5, 6, 7])?;
    let pcrs = tpm.pcr_read(&boot)?;
    let template = template::attestation(
        KeyPair::Ecc(Curve::P256),
        SigningScheme::Ecdsa(HashAlgorithm::Sha256),
    )?;
    let key = tpm.create_primary(Hierarchy::Owner, Auth::empty(), &NewObject::new(template))?.0;
    let session = tpm.start(&NewSession::hmac())?;
    let quote = tpm.run(
        &Command::new(code::QUOTE)
            .authorized(&key.entity, Auth::Session(session, AuthValue::default()))
            .parameters(Writer::default().sized(nonce)?.u16(ALG_NULL).octets(&boot.encode())),
    )?;
    Ok(Report { pcrs, key: key.native, quote: quote.parameters.to_vec(), random })
}
