//! The embedded CA: a root, an issuing CA below it, and what it signs. Whether somebody deserves a
//! certificate is decided elsewhere.

use crate::state::StateDir;
use crate::store::{CertificateRow, NewCertificate, Status};
use crate::{Error, clock};
use std::net::IpAddr;
use touchstone_appraise::Confirmation;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::{self, Reason, Request, Responder};
use touchstone_certs::{AlternativeName, Certificate, Name};
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

const YEAR: u64 = 31_557_600;
/// Clocks differ: a certificate is valid from so many seconds ago, or a tenth of its life.
const BACKDATED: u64 = 60;
/// For how long an OCSP answer holds, in seconds: a revocation is to be seen at once.
const STATUS_HOLDS: u64 = 10;
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// The CA and its keys.
pub struct Authority {
    root: Certificate,
    issuing: Certificate,
    key: SoftSigner,
    ocsp_url: Option<String>,
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// A device: its LDevID.
    Device,
    /// A checkpoint: server to devices, client of the fleet.
    Checkpoint,
    /// Some other server.
    Server,
    /// Some other client.
    Client,
}

impl For {
    /// The word in rows and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Checkpoint => "checkpoint",
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Device => Kind::Device,
            Self::Checkpoint => Kind::Peer,
            Self::Server => Kind::Server,
            Self::Client => Kind::Client,
        }
    }
}

impl Authority {
    /// Opens the CA in the state directory, and makes it if it is not there.
    pub fn open(state: &StateDir, name: &str, ocsp_url: Option<&str>) -> Result<Self, Error> {
        let now = clock::now();
        let root_key = state.key("root.key", ALGORITHM)?;
        let key = state.key("issuing.key", ALGORITHM)?;
        let root = certificate(state, "root.pem", &root_key, || {
            Template::new(
                Kind::Root,
                subject(&format!("{name} root"))?,
                now.saturating_sub(BACKDATED),
                now + 30 * YEAR,
            )
            .self_sign(&AwsLc, &root_key)
            .map_err(Error::crypto("the root certificate"))
        })?;
        let issuing = certificate(state, "issuing.pem", &key, || {
            let issuer = Issuer::new(&root, &root_key).map_err(Error::crypto("the root"))?;
            Template::new(
                Kind::Intermediate { path_len: 0 },
                subject(&format!("{name} issuing"))?,
                now.saturating_sub(BACKDATED),
                now + 15 * YEAR,
            )
            .issue(&AwsLc, &issuer, key.spki_der())
            .map_err(Error::crypto("the issuing certificate"))
        })?;
        Ok(Self { root, issuing, key, ocsp_url: ocsp_url.map(str::to_owned) })
    }

    /// The root.
    pub fn root(&self) -> &Certificate {
        &self.root
    }

    /// The issuing CA's certificate.
    pub fn issuing(&self) -> &Certificate {
        &self.issuing
    }

    /// Signs a certificate for a key. It does not count before it is recorded.
    pub fn issue(
        &self,
        what: For,
        common_name: &str,
        names: Vec<AlternativeName>,
        spki: &[u8],
        lifetime: u64,
    ) -> Result<Certificate, Error> {
        let now = clock::now();
        let issuer = Issuer::new(&self.issuing, &self.key).map_err(Error::crypto("the CA"))?;
        let from = now.saturating_sub(BACKDATED.min(lifetime / 10)).max(self.issuing.not_before());
        let mut template =
            Template::new(what.kind(), subject(common_name)?, from, now.saturating_add(lifetime))
                .with_names(names);
        if let Some(url) = &self.ocsp_url {
            template = template.with_ocsp(url);
        }
        template.issue(&AwsLc, &issuer, spki).map_err(Error::crypto("a certificate"))
    }

    /// An OCSP answer (RFC 6960 §2.2), from what is recorded.
    pub fn status(&self, request: &Request, rows: &[CertificateRow]) -> Result<Vec<u8>, Error> {
        let now = clock::now();
        let failed = |error| Error::crypto("an OCSP answer")(error);
        Responder::new(&AwsLc, &self.issuing, &self.issuing, &self.key, now)
            .map_err(failed)?
            .respond(&AwsLc, request, now, now + STATUS_HOLDS, |serial| {
                let row = rows.iter().find(|row| row.serial == serial);
                match row.map(|row| &row.status) {
                    None => ocsp::Status::Unknown,
                    Some(Status::Good | Status::Expired) => ocsp::Status::Good,
                    Some(Status::Revoked { at, reason }) => {
                        ocsp::Status::Revoked { at: *at, reason: why(reason) }
                    }
                }
            })
            .map_err(failed)
    }
}

/// The row of a certificate that was just signed.
pub fn row(
    certificate: &Certificate,
    what: For,
    device: Option<&str>,
) -> Result<NewCertificate, Error> {
    Ok(NewCertificate {
        serial: certificate.serial(),
        device: device.map(str::to_owned),
        kind: what.name(),
        subject: certificate.subject().to_owned(),
        spki_sha256: sha256_hex(certificate.spki_der()),
        jkt: thumbprint(certificate.spki_der())?,
        der: certificate.der().to_vec(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
    })
}

/// RFC 7638 thumbprint of a key.
pub fn thumbprint(spki: &[u8]) -> Result<String, Error> {
    let confirmation = Confirmation::of(&AwsLc, spki).map_err(Error::crypto("a thumbprint"))?;
    Ok(confirmation.jkt().unwrap_or_default().to_owned())
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(octets: &[u8]) -> String {
    AwsLc.hash(HashAlgorithm::Sha256, &[octets]).to_hex()
}

/// Reads a name on the command line or in the configuration: an address, a URI, or a host.
pub fn alternative_name(text: &str) -> AlternativeName {
    match text.parse::<IpAddr>() {
        Ok(address) => AlternativeName::Ip(address),
        Err(_) if text.contains("://") || text.starts_with("urn:") => {
            AlternativeName::Uri(text.to_owned())
        }
        Err(_) => AlternativeName::Dns(text.to_owned()),
    }
}

fn why(reason: &str) -> Reason {
    match reason {
        "contraindicated" => Reason::PrivilegeWithdrawn,
        "superseded" => Reason::Superseded,
        _ => Reason::Unspecified,
    }
}

fn subject(common_name: &str) -> Result<Name, Error> {
    Name::common_name(common_name).map_err(Error::crypto("a subject's name"))
}

/// The certificate in that file, which is made if it is not there. It has to be that of `key`.
fn certificate(
    state: &StateDir,
    name: &str,
    key: &SoftSigner,
    make: impl FnOnce() -> Result<Certificate, Error>,
) -> Result<Certificate, Error> {
    let path = state.file(name);
    let Some(pem) = state.read(name)? else {
        let new = make()?;
        let pem = new.to_pem().map_err(Error::crypto("a certificate"))?;
        state.write(name, pem.as_bytes())?;
        return Ok(new);
    };
    let found = Certificate::from_pem(pem.as_bytes())
        .map_err(|error| Error::content(&path, error.to_string()))?
        .into_iter()
        .next();
    match found {
        Some(certificate) if certificate.spki_der() == key.spki_der() => Ok(certificate),
        _ => Err(Error::content(&path, "not the certificate of the key beside it; restore both")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_certs::{Purpose, TrustStore};

    #[test]
    fn the_ca_is_made_once_and_what_it_signs_is_valid() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let first = Authority::open(&state, "lab", Some("http://127.0.0.1/ocsp")).unwrap();
        let again = Authority::open(&state, "lab", None).unwrap();
        assert_eq!(first.root(), again.root());
        assert_eq!(first.issuing(), again.issuing());
        let key = SoftSigner::generate(ALGORITHM).unwrap();
        let names = vec![alternative_name("urn:touchstone:device:dev-1")];
        let cert = first.issue(For::Device, "dev-1", names, key.spki_der(), 3600).unwrap();
        let trust = TrustStore::new(vec![first.root().clone()]);
        let chain = trust
            .validate(
                &AwsLc,
                &cert,
                &[first.issuing().clone()],
                clock::now(),
                Purpose::DeviceIdentity,
            )
            .unwrap();
        assert_eq!(chain.leaf().subject(), "CN=dev-1");
        assert_eq!(cert.ocsp_urls(), ["http://127.0.0.1/ocsp"]);
    }

    #[test]
    fn a_certificate_of_another_key_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        Authority::open(&state, "lab", None).unwrap();
        std::fs::remove_file(state.file("root.key")).unwrap();
        let error = Authority::open(&state, "lab", None).map(drop).unwrap_err();
        assert!(error.to_string().contains("restore both"), "{error}");
    }

    #[test]
    fn names_are_told_apart() {
        assert!(matches!(alternative_name("::1"), AlternativeName::Ip(_)));
        assert!(matches!(alternative_name("urn:a:b"), AlternativeName::Uri(_)));
        assert!(matches!(alternative_name("broker"), AlternativeName::Dns(_)));
    }
}
