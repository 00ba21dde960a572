//! Evidence in an entity attestation token (RFC 9711): an Attester's collection as the claim `cmw`
//! (RFC 9999 §4.3), beside the nonce that it answers and the device's UEID, signed by the key that
//! the device shows in TLS.
//!
//! The state of the device is proven by the quote inside, and by the attestation key, which signs only what
//! its TPM made. The token says in a standard form whose evidence it is and which nonce it answers,
//! to whoever keeps it. What this is not: another proof of the state.
//!
//! ```
//! use touchstone_crypto::{SignatureAlgorithm, Signer};
//! use touchstone_crypto_awslc::{AwsLc, SoftSigner};
//! use touchstone_evidence::envelope::{Sender, seal, ueid};
//! let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
//! let device = ueid(&AwsLc, key.spki_der());
//! let record = [0x82, 0x63, b'a', b'/', b'b', 0x40];
//! let token = seal(&record, &[7; 32], &device, &key).unwrap();
//! let sender = Sender { key: key.spki_der(), nonce: &[7; 32], ueid: Some(&device) };
//! // It is the sender's, and what is in it is no evidence.
//! assert_eq!(sender.evidence(&AwsLc, &token, 0).unwrap_err().code(), "evidence.cmw.type");
//! ```

use crate::cmw::Cmw;
use crate::eat::{Eat, Error, Profile};
use crate::token::TokenKey;
use crate::{Error as Refused, Evidence};
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm, Signer};

/// The profile (RFC 9711 §6) that such a token follows; the book's page on evidence is its text.
pub const PROFILE: &str = "tag:touchstone-trust.org,2026:eat/1";

/// A UEID of the kind RAND (RFC 9711 §4.2.1.1).
const RAND: u8 = 1;

/// Who must have sent a token.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The key that must have signed it: `SubjectPublicKeyInfo` in DER.
    pub key: &'a [u8],
    /// The nonce that was given out.
    pub nonce: &'a [u8],
    /// The device's UEID; `None` if it is not known.
    pub ueid: Option<&'a [u8]>,
}

/// The UEID of a device: RAND, and the SHA-256 of the public key (`SubjectPublicKeyInfo` in DER) that its
/// maker gave it for good (IDevID). The key is random, and the device's alone.
pub fn ueid(crypto: &dyn Crypto, idevid: &[u8]) -> Vec<u8> {
    let digest = crypto.hash(HashAlgorithm::Sha256, &[idevid]);
    [&[RAND], digest.as_bytes()].concat()
}

/// Puts evidence, as [`Evidence::encode`] writes it, into a token: a CWT.
pub fn seal(
    evidence: &[u8],
    nonce: &[u8],
    ueid: &[u8],
    signer: &dyn Signer,
) -> Result<Vec<u8>, Error> {
    let cmw = Cmw::from_cbor(evidence).map_err(|_| Error::Claim("cmw"))?;
    let eat = Eat {
        nonces: vec![nonce.to_vec()],
        ueid: Some(ueid.to_vec()),
        profile: Some(Profile::Text(PROFILE.into())),
        cmw: Some(cmw.into_owned()),
        ..Eat::default()
    };
    eat.to_cwt(signer)
}

/// Whether these octets are a token, and no wrapper.
pub fn is_token(octets: &[u8]) -> bool {
    is_cwt(octets) || is_jwt(octets)
}

/// Whether these octets are a CWT: one begins with tag 18, or with tag 61 before it (RFC 8392 §6),
/// and a wrapper with neither.
pub fn is_cwt(octets: &[u8]) -> bool {
    matches!(octets, [0xD2, ..] | [0xD8, 0x3D, 0xD2, ..])
}

/// Whether these octets have the form of a JWT: three parts in base64url, with points between them.
pub fn is_jwt(octets: &[u8]) -> bool {
    let of_part = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let mut parts = octets.split(|c| *c == b'.');
    let fits = |part: &[u8]| !part.is_empty() && part.iter().all(of_part);
    parts.by_ref().take(3).filter(|part| fits(part)).count() == 3 && parts.next().is_none()
}

impl Sender<'_> {
    /// Evidence as it came: bare, or in a token that this sender signed for this nonce. What is
    /// in it is not verified by that.
    pub fn evidence(
        &self,
        crypto: &dyn Crypto,
        octets: &[u8],
        now: u64,
    ) -> Result<Evidence, Refused> {
        let verified = if is_cwt(octets) {
            self.key().and_then(|key| Eat::from_cwt(crypto, octets, &[key]))
        } else if is_jwt(octets) {
            let token = core::str::from_utf8(octets).map_err(|_| Refused::Collection)?;
            self.key().and_then(|key| Eat::from_jwt(crypto, token, &[key]))
        } else {
            return Evidence::decode(octets);
        };
        let eat = verified.map_err(Refused::Token)?.into_inner();
        self.check(&eat, now).map_err(Refused::Token)?;
        let cmw = eat.cmw.ok_or(Refused::Token(Error::Missing("cmw")))?;
        Evidence::of(&cmw)
    }

    fn key(&self) -> Result<TokenKey, Error> {
        TokenKey::from_spki(self.key).map_err(Error::Token)
    }

    /// What the profile says beside the signature.
    fn check(&self, eat: &Eat, now: u64) -> Result<(), Error> {
        match &eat.profile {
            Some(Profile::Text(profile)) if profile == PROFILE => {}
            _ => return Err(Error::Profile),
        }
        eat.check_fresh(self.nonce, now)?;
        // One token answers one nonce: else it could be kept for another.
        if eat.nonces.len() != 1 {
            return Err(Error::NotFresh);
        }
        let ueid = eat.ueid.as_deref().ok_or(Error::Missing("ueid"))?;
        if self.ueid.is_some_and(|known| known != ueid) {
            return Err(Error::Device);
        }
        // Evidence is in one place, so that nobody looks at one and judges by the other.
        let nests = |cmw: &Cmw<'_>| matches!(cmw, Cmw::Record(record) if record.is_token());
        if !eat.submods.is_empty() || eat.cmw.as_ref().is_some_and(nests) {
            return Err(Error::Nested);
        }
        Ok(())
    }
}
