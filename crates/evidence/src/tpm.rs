//! TPM 2.0 structures as evidence: TPMS_ATTEST, TPMT_SIGNATURE and TPMT_PUBLIC (TPM 2.0 Part 2),
//! and the checks that make an attestation worth something. Commands are `element-tpm2`'s.

mod attest;
mod clock;
mod key;
mod public;
mod quote;
mod signature;
mod spki;
mod stated;

pub use attest::{Attest, Attested, ClockInfo};
pub use clock::{Moment, TurnedBack};
pub use key::AttestationKey;
pub(crate) use key::KeyKind;
pub use public::{Attributes, LakPublic, PublicArea, name_of, spki_of};
pub(crate) use quote::bind;
pub use quote::{Bank, Dangerous, Expected, Quote, QuotedPcrs};
pub use signature::Signature;
pub use stated::{CommandsAudited, Contents, Stated, TimeStated};

use crate::Error;
use alloc::vec::Vec;
use kind::ST_ATTEST_CERTIFY;
use touchstone_crypto::{Crypto, Verified};

/// TPM_ST, what a TPMS_ATTEST is about (TPM 2.0 Part 2 §6.9).
mod kind {
    pub(super) const ST_ATTEST_NV: u16 = 0x8014;
    pub(super) const ST_ATTEST_COMMAND_AUDIT: u16 = 0x8015;
    pub(super) const ST_ATTEST_SESSION_AUDIT: u16 = 0x8016;
    pub(super) const ST_ATTEST_CERTIFY: u16 = 0x8017;
    pub(super) const ST_ATTEST_QUOTE: u16 = 0x8018;
    pub(super) const ST_ATTEST_TIME: u16 = 0x8019;
    pub(super) const ST_ATTEST_CREATION: u16 = 0x801A;
    pub(super) const ST_ATTEST_NV_DIGEST: u16 = 0x801C;
}

/// What TPM2_Certify says: the key of that name lives in the same TPM as the signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The certified key's public area.
    pub public: PublicArea,
    /// Its name.
    pub name: Vec<u8>,
    /// Its name together with those of its ancestors.
    pub qualified_name: Vec<u8>,
}

/// Checks a TPMS_ATTEST of TPM2_Certify: signed by `signer`, about the key `object` (TPMT_PUBLIC),
/// with `qualifying` as its qualifying data.
pub fn verify_certify(
    crypto: &dyn Crypto,
    attest: &[u8],
    signature: &[u8],
    signer: &LakPublic,
    object: &[u8],
    qualifying: &[u8],
) -> Result<Verified<Certified>, Error> {
    let decoded = verify_attest(crypto, attest, signature, signer)?;
    let Attested::Certify { name, qualified_name } = decoded.attested else {
        return Err(Error::WrongType { wanted: ST_ATTEST_CERTIFY, found: decoded.kind });
    };
    if decoded.extra_data != qualifying {
        return Err(Error::NotFresh);
    }
    let public = PublicArea::decode(object)?;
    if name != name_of(crypto, object)? {
        return Err(Error::WrongName);
    }
    Ok(Verified::vouch(Certified { public, name, qualified_name }))
}

/// Checks the magic and the signature of a TPMS_ATTEST, whatever its type.
pub fn verify_attest(
    crypto: &dyn Crypto,
    attest: &[u8],
    signature: &[u8],
    signer: &LakPublic,
) -> Result<Attest, Error> {
    let decoded = Attest::decode(attest)?;
    let signature = Signature::decode(signature)?;
    let algorithm = AttestationKey::from(signer).check(crypto, attest, &signature)?;
    if algorithm.is_weak() { Err(Error::Weak) } else { Ok(decoded) }
}
