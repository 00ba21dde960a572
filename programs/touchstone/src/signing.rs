//! Who signs, and whose signatures count.

use crate::answer::Failure;
use crate::cli::Signatory;
use crate::files::{self, SMALL};
use serde_json::{Value, json};
use std::path::Path;
use touchstone_certs::{Certificate, TrustStore};
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_update::Trust;

/// A certificate and the key that goes with it.
pub(crate) fn load(by: &Signatory) -> Result<(Certificate, SoftSigner), Failure> {
    let certificate = certificates(&by.cert)?.swap_remove(0);
    let pem = files::read_secret(&by.key, "--key")?;
    let key = SoftSigner::from_pkcs8_pem(&pem).map_err(|error| {
        let next = "give a PKCS#8 key in PEM; `openssl pkcs8 -topk8 -nocrypt` makes one of others";
        Failure::unknown(error.code(), format!("the key in {} does not load", by.key), next)
    })?;
    if key.spki_der() != certificate.spki_der() {
        let message = format!("the key in {} is not that of {}", by.key, by.cert.display());
        return Err(Failure::usage(message, "give the certificate of the same signer"));
    }
    Ok((certificate, key))
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let next = "give certificates in PEM";
    let found = Certificate::from_pem(&files::read(path, SMALL)?).map_err(|error| {
        Failure::unknown(error.code(), format!("{}: {error}", path.display()), next)
    })?;
    if found.is_empty() {
        let message = format!("no certificate in {}", path.display());
        return Err(Failure::unknown("touchstone.file.content", message, next));
    }
    Ok(found)
}

/// Whose signature counts: that of the one certificate, or of those whom these CAs certify.
pub(crate) fn trust(mut certificates: Vec<Certificate>) -> Trust {
    if certificates.len() == 1 && certificates.iter().all(|certificate| !certificate.is_ca()) {
        Trust::Pinned(certificates.swap_remove(0))
    } else {
        Trust::Anchors(TrustStore::new(certificates))
    }
}

/// A certificate in JSON.
pub(crate) fn to_json(certificate: &Certificate) -> Value {
    json!({
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "serial": certificate.serial(),
        "sha256": certificate.fingerprint_sha256(&AwsLc).to_hex(),
        "not_after": certificate.not_after(),
    })
}
