//! Entity Attestation Tokens (RFC 9711): claims about a device, signed as a CWT or a JWT.
//!
//! The claims are the same in both; what CBOR numbers, JSON names (RFC 9711 §7). Reading is strict
//! where a claim is known: a name that comes twice, a value of another type or of a length that the
//! RFC does not allow is refused. Claims that are not known here are passed over (RFC 9711 §7.3).
//! What this is not: an opinion, nor a proof that the signer is a genuine device: its key has to be
//! endorsed.
//!
//! ```
//! use touchstone_evidence::eat::{Debug, Eat};
//! let eat = Eat { debug: Some(Debug::DisabledSinceBoot), ..Eat::default() };
//! assert_eq!(eat.to_json().unwrap(), br#"{"dbgstat":"disabled-since-boot"}"#);
//! assert_eq!(Eat::from_json(br#"{"dbgstat":"disabled-since-boot"}"#), Ok(eat));
//! ```

mod bundle;
mod names;
mod parts;
mod read;
mod strict;
mod write;

pub use bundle::{Bundle, Main};

use crate::cmw::{Cmw, MAX_CMW};
use crate::token::{self, TokenKey, cose, jws};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use ciborium::Value;
use core::fmt;
use touchstone_crypto::{Crypto, Digest, Signer, Verified};

/// The largest CWT that is read, in octets: one with the largest evidence in it.
pub const MAX_EAT: usize = MAX_CMW + 64 * 1024;
/// The largest JWT that is read, in octets. Base64 in base64 is as long again as what it stands for.
pub const MAX_JWT: usize = 2 * MAX_EAT;
/// The most octets of a CWT's claims beside a wrapper.
const MAX_CLAIMS: usize = 1024 * 1024;
/// How deep submodules may stand in each other.
pub const MAX_DEPTH: usize = 4;

/// The claims of a token or of a submodule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Eat {
    /// When it was made, in Unix seconds (`iat`).
    pub issued_at: Option<u64>,
    /// Until when it counts, in Unix seconds (`exp`).
    pub expires: Option<u64>,
    /// `eat_nonce` (§4.1), 8 to 64 octets each.
    pub nonces: Vec<Vec<u8>>,
    /// `ueid` (§4.2.1): which device of all.
    pub ueid: Option<Vec<u8>>,
    /// `oemid` (§4.2.3): who makes it.
    pub oemid: Option<OemId>,
    /// `hwmodel` (§4.2.4).
    pub hwmodel: Option<Vec<u8>>,
    /// `hwversion` (§4.2.5).
    pub hwversion: Option<Version>,
    /// `swname` (§4.2.6).
    pub swname: Option<String>,
    /// `swversion` (§4.2.7).
    pub swversion: Option<Version>,
    /// `oemboot` (§4.2.8): only what the maker allows was booted.
    pub oemboot: Option<bool>,
    /// `dbgstat` (§4.2.9).
    pub debug: Option<Debug>,
    /// `uptime` (§4.2.11), in seconds.
    pub uptime: Option<u64>,
    /// `bootcount` (§4.2.12).
    pub bootcount: Option<u64>,
    /// `bootseed` (§4.2.13).
    pub bootseed: Option<Vec<u8>>,
    /// `measurements` (§4.2.16).
    pub measurements: Vec<Measurement>,
    /// `measres` (§4.2.17).
    pub results: Vec<SystemResult>,
    /// `eat_profile` (§4.3.2).
    pub profile: Option<Profile>,
    /// `intuse` (§4.3.3).
    pub intended_use: Option<IntendedUse>,
    /// `submods` (§4.2.18), each name once.
    pub submods: Vec<(String, Submodule)>,
    /// `cmw` (RFC 9999 §4.3): conceptual messages in their wrapper.
    pub cmw: Option<Cmw<'static>>,
}

/// Who makes a device (RFC 9711 §4.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OemId {
    /// An IANA private enterprise number.
    Enterprise(u64),
    /// An IEEE organizationally unique identifier.
    Ieee([u8; 3]),
    /// A random number of the maker's own.
    Random([u8; 16]),
}

/// A version, and the scheme that it follows if it is said (RFC 9393 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The version.
    pub text: String,
    /// 1 multipartnumeric, 2 the same with a suffix, 3 alphanumeric, 4 decimal, 16384 semver.
    pub scheme: Option<i64>,
}

/// Whether the device can be debugged (RFC 9711 §4.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Debug {
    /// It can be.
    Enabled,
    /// It is off now.
    Disabled,
    /// It is off since the device booted.
    DisabledSinceBoot,
    /// It is off for good, but for the maker.
    DisabledPermanently,
    /// It is off for good, and for all.
    DisabledFullyAndPermanently,
}

/// What a token is made for (RFC 9711 §4.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntendedUse {
    /// Nothing in particular.
    Generic,
    /// To enrol with a service.
    Registration,
    /// To get keys or data.
    Provisioning,
    /// To ask for a certificate.
    CertificateIssuance,
    /// To prove that a key is held.
    ProofOfPossession,
}

/// What a token follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A URI, or in JSON an object identifier in dots.
    Text(String),
    /// An object identifier in DER without its tag; CBOR only.
    Oid(Vec<u8>),
}

/// A measurement in a format of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The CoAP Content-Format.
    pub content_format: u16,
    /// The measurement.
    pub octets: Vec<u8>,
}

/// How measurements of one system compared with reference values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemResult {
    /// What compared them.
    pub id: String,
    /// The results by what was measured.
    pub results: Vec<(String, Outcome)>,
}

/// How one measurement compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Success,
    /// Otherwise.
    Fail,
    /// Nobody compared.
    NotRun,
    /// There is no measurement.
    Absent,
}

/// A submodule (RFC 9711 §4.2.18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submodule {
    /// Claims that the same signature covers.
    Claims(Box<Eat>),
    /// A token with a signature of its own, not verified: a CWT.
    Cwt(Vec<u8>),
    /// The same as a JWT.
    Jwt(String),
    /// A bundle of its own, not verified: tagged CBOR, or JSON.
    Bundle(Vec<u8>),
    /// The digest of claims that are elsewhere.
    Detached(Digest),
}

/// Why a token is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The signature.
    Token(token::Error),
    /// A claim is not as RFC 9711 wants it.
    Claim(&'static str),
    /// Larger, or deeper, than the limit.
    TooLarge,
    /// It does not carry the nonce that was given out.
    NotFresh,
    /// It does not count any more.
    Expired,
    /// It follows another profile, or none.
    Profile,
    /// It is about another device.
    Device,
    /// It has no such claim.
    Missing(&'static str),
    /// A claims set of a bundle is not what the token has the digest of.
    Detached,
    /// A token stands in a wrapper, or in another token, where evidence is wanted.
    Nested,
}

impl Eat {
    /// Checks that a CWT is signed by one of `keys`, and reads its claims.
    pub fn from_cwt(
        crypto: &dyn Crypto,
        token: &[u8],
        keys: &[TokenKey],
    ) -> Result<Verified<Self>, Error> {
        let payload = cose::verify(crypto, token, keys, MAX_EAT).map_err(Error::Token)?;
        Self::from_cbor(&payload).map(Verified::vouch)
    }

    /// Checks that a JWT is signed by one of `keys`, and reads its claims.
    pub fn from_jwt(
        crypto: &dyn Crypto,
        token: &str,
        keys: &[TokenKey],
    ) -> Result<Verified<Self>, Error> {
        let payload = jws::verify(crypto, token, keys, MAX_JWT).map_err(Error::Token)?;
        Self::from_json(&payload).map(Verified::vouch)
    }

    /// Reads the claims of a CWT, whoever made it: for people who look, and for nobody who decides.
    pub fn dangerous_unverified_cwt(token: &[u8]) -> Result<Self, Error> {
        let payload = cose::dangerous_payload(token, MAX_EAT).map_err(Error::Token)?;
        Self::from_cbor(&payload)
    }

    /// Reads the claims of a JWT in the same way.
    pub fn dangerous_unverified_jwt(token: &str) -> Result<Self, Error> {
        let payload = jws::dangerous_payload(token, MAX_JWT).map_err(Error::Token)?;
        Self::from_json(&payload)
    }

    /// Signs the claims as a CWT.
    pub fn to_cwt(&self, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
        cose::sign(self.to_cbor()?, signer).map_err(Error::Token)
    }

    /// Signs the claims as a JWT.
    pub fn to_jwt(&self, signer: &dyn Signer) -> Result<String, Error> {
        jws::sign(&self.to_json()?, signer).map_err(Error::Token)
    }

    /// Reads a claims set in CBOR; nothing is proven by it.
    pub fn from_cbor(octets: &[u8]) -> Result<Self, Error> {
        if octets.len() > MAX_EAT {
            return Err(Error::TooLarge);
        }
        let parts = parts::split(octets)?;
        if parts.claims.len() > MAX_CLAIMS {
            return Err(Error::TooLarge);
        }
        let claims: Value =
            ciborium::from_reader(&*parts.claims).map_err(|_| Error::Claim("claims set"))?;
        let mut eat = read::claims(&claims, 0)?;
        if let Some(cmw) = parts.cmw {
            let cmw = Cmw::from_cbor(cmw).map_err(|_| Error::Claim("cmw"))?;
            if eat.cmw.replace(cmw.into_owned()).is_some() {
                return Err(Error::Claim("cmw"));
            }
        }
        Ok(eat)
    }

    /// Reads a claims set in JSON; nothing is proven by it.
    pub fn from_json(octets: &[u8]) -> Result<Self, Error> {
        if octets.len() > MAX_JWT {
            return Err(Error::TooLarge);
        }
        let json = strict::read(octets).map_err(|_| Error::Claim("claims set"))?;
        read::claims(&names::to_cbor(&json, 0)?, 0)
    }

    /// The claims set in CBOR, in the order of the keys.
    pub fn to_cbor(&self) -> Result<Vec<u8>, Error> {
        let mut octets = Vec::new();
        ciborium::into_writer(&write::claims(self), &mut octets)
            .map_err(|_| Error::Claim("claims set"))?;
        Ok(octets)
    }

    /// The claims set in JSON. A profile that is an object identifier in DER has no form there.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let json = names::to_json(&write::claims(self))?;
        serde_json::to_vec(&json).map_err(|_| Error::Claim("claims set"))
    }

    /// That it answers this nonce, and counts at `now`.
    pub fn check_fresh(&self, nonce: &[u8], now: u64) -> Result<(), Error> {
        if !self.nonces.iter().any(|known| known == nonce) {
            return Err(Error::NotFresh);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(Error::Expired);
        }
        Ok(())
    }

    /// The submodule of that name.
    pub fn submodule(&self, name: &str) -> Option<&Submodule> {
        self.submods.iter().find(|(known, _)| known == name).map(|(_, submodule)| submodule)
    }
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::Claim(_) => "evidence.eat.claim",
            Self::TooLarge => "evidence.eat.too-large",
            Self::NotFresh => "evidence.eat.not-fresh",
            Self::Expired => "evidence.eat.expired",
            Self::Profile => "evidence.eat.profile",
            Self::Device => "evidence.eat.device",
            Self::Missing(_) => "evidence.eat.missing",
            Self::Detached => "evidence.eat.detached",
            Self::Nested => "evidence.eat.nested",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(error) => error.fmt(f),
            Self::Claim(claim) => write!(f, "the token's {claim} is not as RFC 9711 wants it"),
            Self::TooLarge => f.write_str("the token is larger or deeper than the limit"),
            Self::NotFresh => f.write_str("the token does not carry the nonce that was given out"),
            Self::Expired => f.write_str("the token has expired; ask for a new one"),
            Self::Profile => f.write_str("the token does not follow the profile for evidence"),
            Self::Device => f.write_str("the token's ueid is that of another device"),
            Self::Missing(claim) => write!(f, "the token has no claim {claim}"),
            Self::Detached => f.write_str(
                "a claims set of the bundle is not the one that the token has a digest of",
            ),
            Self::Nested => f.write_str(
                "a token stands inside of another message; send the token itself, with the evidence \
                 in its claim cmw",
            ),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests;
