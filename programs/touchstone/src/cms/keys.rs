//! Keys that sign and open: files, or an element's.

use crate::answer::Failure;
use crate::cli::Held;
use crate::files;
use std::sync::{Arc, Mutex};
use touchstone_certs::Certificate;
use touchstone_crypto::{Decrypter, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_drive::element::{Elements, OpenKey};
use touchstone_element::reference::Reference;
use touchstone_element::{ElementDecrypter, ElementSigner, Error};

/// A certificate and the key that goes with it.
pub(super) struct By {
    pub(super) certificate: Certificate,
    pub(super) key: Box<dyn Signer>,
}

pub(super) fn signers(arguments: &[String], pss: bool, held: &Held) -> Result<Vec<By>, Failure> {
    arguments.iter().map(|argument| signer(argument, pss, held)).collect()
}

fn signer(argument: &str, pss: bool, held: &Held) -> Result<By, Failure> {
    let (cert, key) = files::pair(argument, "--signer CERT=KEY, the key as `file:PATH`")?;
    let certificate = super::certificate(cert.as_ref())?;
    let signer: Box<dyn Signer> = if Reference::is_meant(key) {
        let OpenKey { element, name, .. } = open(key, held)?;
        let signer = ElementSigner::new(Arc::new(Mutex::new(element)), &name);
        let signer = signer.map_err(|error| unusable(key, &error))?;
        let by_pss = pss && signer.algorithm() == SignatureAlgorithm::RsaPkcs1Sha256;
        let signer =
            if by_pss { signer.signing_by(SignatureAlgorithm::RsaPssSha256) } else { Ok(signer) };
        Box::new(signer.map_err(|error| unusable(key, &error))?)
    } else {
        let pem = files::read_secret(key, "the key of --signer")?;
        let signer = SoftSigner::from_pkcs8_pem(&pem).map_err(|error| unloaded(key, error))?;
        let by_pss = pss && signer.algorithm() == SignatureAlgorithm::RsaPkcs1Sha256;
        if by_pss {
            let pss = SignatureAlgorithm::RsaPssSha256;
            let signer = SoftSigner::load_pkcs8_der(pss, signer.pkcs8_der());
            Box::new(signer.map_err(|error| unloaded(key, error))?)
        } else {
            Box::new(signer)
        }
    };
    if signer.spki_der() != certificate.spki_der() {
        let message = format!("the key {key} is not that of {cert}");
        return Err(Failure::usage(message, "give the certificate of the same signer"));
    }
    Ok(By { certificate, key: signer })
}

pub(super) fn decrypter(key: &str, held: &Held) -> Result<Box<dyn Decrypter>, Failure> {
    if Reference::is_meant(key) {
        let OpenKey { element, name, .. } = open(key, held)?;
        let opens = ElementDecrypter::new(Arc::new(Mutex::new(element)), &name);
        return Ok(Box::new(opens.map_err(|error| unusable(key, &error))?));
    }
    let pem = files::read_secret(key, "--key")?;
    let opens = SoftDecrypter::from_pkcs8_pem(&pem).map_err(|error| unloaded(key, error))?;
    Ok(Box::new(opens))
}

fn open(key: &str, held: &Held) -> Result<OpenKey, Failure> {
    let at = match &held.at {
        Some(at) => vec![at.parse().map_err(|error| {
            Failure::usage(format!("`{at}` is not an element"), format!("{error}"))
        })?],
        None => Vec::new(),
    };
    let elements = Elements { at, state: held.state.clone() };
    elements.key(key, &AwsLc).map_err(|error| unusable(key, &error))
}

fn unusable(key: &str, error: &Error) -> Failure {
    let next = "give the element with --element; `touchstone element keys list` shows its keys";
    Failure::unknown(error.code(), format!("{key}: {error}"), next)
}

fn unloaded(key: &str, error: touchstone_crypto::Error) -> Failure {
    let next = "give a PKCS#8 key in PEM; `openssl pkcs8 -topk8 -nocrypt` makes one of others";
    Failure::unknown(error.code(), format!("the key in {key} does not load"), next)
}
