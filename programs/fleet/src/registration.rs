//! The registration authority: who signs for the CA in EST's full requests and in SCEP, and to whom
//! SCEP messages are encrypted; and whom an operator invited to enrol without a device's identity.

use crate::authority::{Authority, For, Issued, alternative_name, common_name, sha256_hex};
use crate::judge::{self, NotIssued, Way};
use crate::state::StateDir;
use crate::store::{Invitation, NewEnrolment, NewInvitation, Redeemed, Store};
use crate::{Error, clock};
use std::sync::Mutex;
use touchstone_certs::Certificate;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, RsaBits, SoftDecrypter, SoftSigner};
use touchstone_httpauth::Nonces;

/// How long its certificate is valid, in seconds, and how long before its end there is a new one.
const LIFETIME: u64 = 2 * 31_557_600;
const EARLY: u64 = 90 * 86_400;
/// SCEP encrypts by RSA.
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::RsaPkcs1Sha256;
/// The realm of HTTP authentication.
pub const REALM: &str = "est";

/// The registration authority.
pub struct Registration {
    /// Its certificate.
    pub certificate: Certificate,
    /// Its key, which signs.
    pub key: SoftSigner,
    /// The same, which opens.
    pub opens: SoftDecrypter,
    /// The nonces of HTTP Digest.
    pub nonces: Mutex<Nonces>,
}

impl Registration {
    /// Opens it in the state directory, and makes what is not there or will be over soon.
    pub async fn open(
        state: &StateDir,
        authority: &Authority,
        store: &Store,
        name: &str,
    ) -> Result<Self, Error> {
        let key = key(state)?;
        let opens = SoftDecrypter::from_pkcs8_der(key.pkcs8_der())
            .map_err(Error::crypto("the registration authority's key"))?;
        let nonces = Nonces::new(&AwsLc)
            .map_err(|error| Error::content(&state.file("ra.key"), error.to_string()))?;
        let kept = state.read("ra.pem")?;
        let kept = kept.and_then(|pem| Certificate::from_pem(pem.as_bytes()).ok()?.pop());
        let issuer = authority.issuing().first().map(|ca| ca.certificate.subject_der());
        let good = kept.filter(|it| {
            it.spki_der() == key.spki_der()
                && Some(it.issuer_der()) == issuer
                && it.not_after() > clock::now().saturating_add(EARLY)
        });
        let certificate = match good {
            Some(certificate) => certificate,
            None => make(state, authority, store, name, &key).await?,
        };
        Ok(Self { certificate, key, opens, nonces: Mutex::new(nonces) })
    }
}

fn key(state: &StateDir) -> Result<SoftSigner, Error> {
    if state.read("ra.key")?.is_some() {
        return state.key("ra.key", ALGORITHM);
    }
    let key =
        SoftSigner::generate_rsa(RsaBits::B3072, ALGORITHM).map_err(Error::crypto("a new key"))?;
    state.write("ra.key", key.to_pkcs8_pem().as_bytes())?;
    Ok(key)
}

async fn make(
    state: &StateDir,
    authority: &Authority,
    store: &Store,
    name: &str,
    key: &SoftSigner,
) -> Result<Certificate, Error> {
    let name = format!("{name} registration");
    let profile = authority.needs_profile(For::Registration.name())?;
    let issued =
        authority.issue(profile, common_name(&name)?, Vec::new(), key.spki_der(), LIFETIME).await?;
    let new = issued.row(None);
    store.call(move |db| db.add_certificate(&new, clock::now())).await?;
    let certificate = issued.certificate;
    let pem = certificate.to_pem().map_err(Error::crypto("a certificate"))?;
    state.write("ra.pem", pem.as_bytes())?;
    Ok(certificate)
}

/// Somebody who asks without a device's identity.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The common name of the certificate.
    pub name: &'a str,
    /// What the certificate is for, in the words of rows: the profile.
    pub kind: &'a str,
    /// The invitation; without one an operator's word is all the proof that there is.
    pub invitation: Option<i64>,
    /// `est` or `scep`.
    pub protocol: &'static str,
    /// SCEP's transaction; empty for EST.
    pub transaction: &'a str,
}

impl<'a> Applicant<'a> {
    /// Whom an operator invited.
    pub fn invited(
        invitation: &'a Invitation,
        protocol: &'static str,
        transaction: &'a str,
    ) -> Self {
        let Invitation { id, name, kind, .. } = invitation;
        Self { name, kind, invitation: Some(*id), protocol, transaction }
    }
}

/// The key that a certificate is for.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// `SubjectPublicKeyInfo`; empty where it is made here, once that is decided.
    pub spki: &'a [u8],
    /// Its kind, as certificates describe it.
    pub kind: &'a str,
}

/// Whether the applicant may have a certificate, if an operator has to agree to that.
pub async fn admit(
    authority: &Authority,
    store: &Store,
    applicant: &Applicant<'_>,
    key: Key<'_>,
) -> Result<Way, NotIssued> {
    let profile = authority.needs_profile(kind(applicant.kind).name())?;
    let spki_sha256 = if key.spki.is_empty() { String::new() } else { sha256_hex(key.spki) };
    let new = NewEnrolment {
        profile: profile.name.clone(),
        protocol: applicant.protocol,
        device: None,
        invitation: applicant.invitation,
        subject: applicant.name.to_owned(),
        names: Vec::new(),
        key_kind: key.kind.to_owned(),
        spki_sha256,
        transaction: applicant.transaction.to_owned(),
        lasts: profile.approval_lasts,
    };
    judge::admitted(store, profile, new, clock::now()).await
}

/// A certificate for somebody who may have it; `None` if the invitation was used for another key.
pub async fn issue(
    authority: &Authority,
    store: &Store,
    applicant: &Applicant<'_>,
    way: Way,
    spki: &[u8],
) -> Result<Option<Certificate>, Error> {
    let approved = match way {
        Way::Before(certificate) => return Ok(Some(*certificate)),
        Way::Approved(id) => Some(id),
        Way::Free => None,
    };
    let Some((approved, id)) =
        approved.map(|id| (true, id)).or(applicant.invitation.map(|id| (false, id)))
    else {
        return Ok(None);
    };
    let issued = sign(authority, applicant.kind, applicant.name, spki).await?;
    let new = issued.row(None);
    let redeemed = store.call(move |db| {
        let now = clock::now();
        if approved { db.redeem_approved(id, &new, now) } else { db.redeem(id, &new, now) }
    });
    // What is not recorded does not count, and is forgotten here.
    match redeemed.await? {
        Redeemed::Now => Ok(Some(issued.certificate)),
        Redeemed::Before(der) => Ok(Certificate::decode(&der).ok()),
        Redeemed::Not => Ok(None),
    }
}

/// A certificate after one that there is, for whoever holds it.
pub async fn renew(
    authority: &Authority,
    store: &Store,
    (word, name): (&str, &str),
    spki: &[u8],
) -> Result<Certificate, Error> {
    let issued = sign(authority, word, name, spki).await?;
    let new = issued.row(None);
    store.call(move |db| db.add_certificate(&new, clock::now())).await?;
    Ok(issued.certificate)
}

async fn sign(authority: &Authority, word: &str, name: &str, spki: &[u8]) -> Result<Issued, Error> {
    let what = kind(word);
    // A server is found by its name (RFC 9525 §6.3); a client's name is for people.
    let names = if what == For::Server { vec![alternative_name(name)] } else { Vec::new() };
    let profile = authority.needs_profile(what.name())?;
    authority.issue(profile, common_name(name)?, names, spki, profile.lifetime).await
}

/// What an invitation is for.
pub fn kind(word: &str) -> For {
    if word == For::Server.name() { For::Server } else { For::Client }
}

/// Whether somebody may have that name.
pub fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// An invitation, good once, and its challenge, which is kept nowhere.
pub fn invitation(
    name: &str,
    what: For,
    minutes: u64,
    operator: &str,
) -> Result<(NewInvitation, String), Error> {
    if !is_plain(name) {
        return Err(Error::Conflict("a name has letters, digits, `-`, `_` and `.`".into()));
    }
    let challenge = touchstone_enroll::scep::draw_challenge(&AwsLc)
        .map_err(|error| Error::Conflict(error.to_string()))?;
    let new = NewInvitation {
        name: name.to_owned(),
        kind: kind(what.name()).name().to_owned(),
        sha256: sha256_hex(challenge.as_bytes()),
        digest_secret: touchstone_httpauth::secret(&AwsLc, name, REALM, &challenge).to_string(),
        expires: clock::now().saturating_add(minutes.saturating_mul(60)),
        operator: operator.to_owned(),
    };
    Ok((new, challenge))
}
