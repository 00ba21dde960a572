//! The update envelope: who must sign, what may follow what.
//!
//! An envelope is a CMS `SignedData` (RFC 5652) around three things: a line that says what it is, a
//! [`Manifest`] as one line of JSON, and the payload. Every role of the device's [`Rules`] must have
//! signed; whoever signed without a role spoils it. `openssl cms -verify` reads it too.
//!
//! What this is not: the thing that installs, or that remembers the last version. The caller gives
//! [`Rules::above`] from storage that a rollback of the disk does not touch.
//!
//! ```
//! use touchstone_certs::Name;
//! use touchstone_certs::issue::{Kind, Template};
//! use touchstone_crypto::SignatureAlgorithm;
//! use touchstone_crypto_awslc::{AwsLc, SoftSigner};
//! use touchstone_update::{Manifest, Role, Rules, Trust, countersign, open, seal};
//!
//! let now = 1_800_000_000;
//! let make = |name: &str| -> Result<_, Box<dyn std::error::Error>> {
//!     let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
//!     let subject = Name::common_name(name)?;
//!     let template = Template::new(Kind::CodeSigner, subject, now, now + 86_400);
//!     Ok((template.self_sign(&AwsLc, &key)?, key))
//! };
//! let (publisher, publisher_key) = make("Publisher")?;
//! let (operator, operator_key) = make("Operator")?;
//!
//! let manifest = Manifest::new(&AwsLc, "pump-control", 8, b"new program", "fixes the valve")?;
//! let sealed = seal(&AwsLc, &manifest, b"new program", &[(&publisher, &publisher_key)], now)?;
//! let envelope = countersign(&AwsLc, &sealed, (&operator, &operator_key), now)?;
//!
//! let rules = Rules {
//!     component: "pump-control".into(),
//!     above: 7,
//!     roles: vec![
//!         Role { name: "publisher".into(), trust: Trust::Pinned(publisher) },
//!         Role { name: "operator".into(), trust: Trust::Pinned(operator) },
//!     ],
//! };
//! let update = open(&AwsLc, &envelope, &rules, now)?;
//! assert_eq!(update.payload(), b"new program");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod manifest;
mod refused;
mod rules;

pub use manifest::{Fault, Manifest};
pub use refused::Refused;
pub use rules::{Role, Rules, Trust};

use touchstone_certs::Certificate;
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto::{Crypto, Signer, Verified};

/// Seals a payload under its manifest, signed by each of the signers at the time `at`.
pub fn seal(
    crypto: &dyn Crypto,
    manifest: &Manifest,
    payload: &[u8],
    signers: &[(&Certificate, &dyn Signer)],
    at: u64,
) -> Result<Vec<u8>, Refused> {
    manifest.check(crypto, payload)?;
    let content = manifest::join(manifest, payload)?;
    Ok(SignedData::sign(crypto, &content, DATA, signers, at)?)
}

/// Adds a signature to an envelope whose signatures are good so far.
pub fn countersign(
    crypto: &dyn Crypto,
    envelope: &[u8],
    signer: (&Certificate, &dyn Signer),
    at: u64,
) -> Result<Vec<u8>, Refused> {
    let so_far = SignedData::decode(envelope)?.verify(crypto)?;
    let (manifest, payload) = manifest::split(so_far.content())?;
    manifest.check(crypto, payload)?;
    Ok(SignedData::add_signer(crypto, envelope, signer, at)?)
}

/// What an envelope says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its manifest.
    pub manifest: Manifest,
    /// Who is said to have signed it.
    pub signers: Vec<Certificate>,
}

/// Looks into an envelope without believing it: for a courier, who carries it and judges nothing.
pub fn inspect(envelope: &[u8]) -> Result<Inspected, Refused> {
    let signed = SignedData::decode(envelope)?;
    let content = signed.unverified_content().ok_or(Fault::NoContent)?;
    let (manifest, _) = manifest::split(content)?;
    let signers = signed.unverified_signers().into_iter().cloned().collect();
    Ok(Inspected { manifest, signers })
}

/// An update that may be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    manifest: Manifest,
    content: Vec<u8>,
    payload_at: usize,
    signers: Vec<(String, Certificate)>,
}

impl Update {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.content.get(self.payload_at..).unwrap_or_default()
    }

    /// Who signed in which role.
    pub fn signers(&self) -> &[(String, Certificate)] {
        &self.signers
    }
}

/// Opens an envelope: every signature good, every role filled, nobody else's signature, the right
/// component, a version above the last, not expired, and the payload that the manifest describes.
pub fn open(
    crypto: &dyn Crypto,
    envelope: &[u8],
    rules: &Rules,
    now: u64,
) -> Result<Verified<Update>, Refused> {
    let envelope = SignedData::decode(envelope)?.verify(crypto)?.into_inner();
    let signers = rules.assign(crypto, &envelope, now)?;
    let content = envelope.into_content();
    let (manifest, payload) = manifest::split(&content)?;
    let payload_at = content.len() - payload.len();
    rules.admit(&manifest, now)?;
    manifest.check(crypto, payload)?;
    Ok(Verified::vouch(Update { manifest, content, payload_at, signers }))
}
