//! What a client's owner answers: the request, and who asks.

use super::proof::Prover;
use crate::answer::Failure;
use crate::cli::{EstRequest, Held};
use crate::files;
use base64ct::{Base64, Encoding};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use touchstone_certs::{AlternativeName, Certificate, Name, request};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_drive::Reply;
use touchstone_drive::element::{Elements, Location, LocationError, OpenKey};
use touchstone_element::ElementSigner;
use touchstone_element::reference::Reference;
use touchstone_engine::AskKind;
use touchstone_enroll::Activation;
use touchstone_enroll::est::attributes::{Attributes, KeyKind};
use touchstone_enroll::est::{CHALLENGE_PASSWORD, keygen};
use touchstone_httpauth::{Basic, Challenge};
use zeroize::Zeroizing;

const SUBJECT_ALT_NAME: &str = "2.5.29.17";

pub(super) fn location(at: &str) -> Result<Location, Failure> {
    at.parse().map_err(|error: LocationError| {
        Failure::usage(format!("`{at}` is not an element"), format!("{error}"))
    })
}

/// A key by its reference: a file, or an element's.
pub(super) fn key(reference: &str, held: &Held) -> Result<Arc<dyn Signer>, Failure> {
    if Reference::is_meant(reference) {
        let at = held.at.as_deref().map(location).transpose()?;
        let elements = Elements { at: at.into_iter().collect(), state: held.state.clone() };
        let unusable = |error: touchstone_element::Error| {
            let next = "give the element with --element; `touchstone element keys list` shows keys";
            Failure::unknown(error.code(), format!("{reference}: {error}"), next)
        };
        let OpenKey { element, name, .. } = elements.key(reference, &AwsLc).map_err(unusable)?;
        let signer = ElementSigner::new(Arc::new(Mutex::new(element)), &name).map_err(unusable)?;
        return Ok(Arc::new(signer));
    }
    let pem = files::read_secret(reference, "the key")?;
    let signer = SoftSigner::from_pkcs8_pem(&pem).map_err(|error| {
        let next = "give a PKCS#8 key in PEM; `openssl pkcs8 -topk8 -nocrypt` makes one of others";
        Failure::unknown(error.code(), format!("the key in {reference} does not load"), next)
    })?;
    Ok(Arc::new(signer))
}

/// Who answers for the client.
pub(super) struct Asker {
    wanted: Option<Wanted>,
    attributes: Vec<request::Attribute>,
    prover: Option<Prover>,
    /// Who asks, and the password.
    pub(super) password: Option<(String, Zeroizing<String>)>,
    /// Why there is no answer, which says more than the engine can.
    pub(super) failure: Option<Failure>,
}

/// What is asked for.
struct Wanted {
    subject: Name,
    names: Vec<AlternativeName>,
    key: Arc<dyn Signer>,
}

impl Asker {
    /// For what asks for no certificate.
    pub(super) fn none() -> Self {
        let (wanted, attributes, prover) = (None, Vec::new(), None);
        Self { wanted, attributes, prover, password: None, failure: None }
    }

    pub(super) fn new(asked: &EstRequest, key: Arc<dyn Signer>) -> Result<Self, Failure> {
        let subject = Name::parse(&asked.subject)
            .map_err(|error| Failure::usage(error, "write it as CN=pump-3,O=Plant"))?;
        let names = asked.names.iter().map(|name| alternative_name(name)).collect();
        Ok(Self { wanted: Some(Wanted { subject, names, key }), ..Self::none() })
    }

    /// With the names of a certificate (RFC 7030 §4.2.2).
    pub(super) fn after(held: &Certificate, key: Arc<dyn Signer>) -> Result<Self, Failure> {
        let subject = Name::decode(held.subject_der())
            .map_err(|error| Failure::unknown(error.code(), error, "give another --cert"))?;
        let names = held.alternative_names().to_vec();
        Ok(Self { wanted: Some(Wanted { subject, names, key }), ..Self::none() })
    }

    /// With what an element says of the key.
    pub(super) fn proving(mut self, prover: Option<Prover>) -> Self {
        self.prover = prover;
        self
    }

    /// Has a key that the server makes encrypted to this certificate's key.
    pub(super) fn encrypt_to(&mut self, certificate: &Certificate) -> Result<(), Failure> {
        let id = certificate.subject_key_id().ok_or_else(|| {
            let message = "the certificate has no subject key identifier to encrypt to";
            Failure::usage(message, "give another --cert")
        })?;
        let value = keygen::encrypt_to_attribute(id);
        self.attributes.push(request::Attribute { oid: keygen::DECRYPT_KEY_ID.into(), value });
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        kind: AskKind,
        question: &[u8],
        binding: Option<[u8; 32]>,
    ) -> Reply {
        let answered = match kind {
            AskKind::Request => self.request(question, binding),
            AskKind::Secret => self.secret(question),
            _ => return Reply::Failed,
        };
        match answered {
            Ok(octets) => Reply::Bytes(octets),
            Err(failure) => {
                self.failure = Some(failure);
                Reply::refused("touchstone.est.owner", "this side does not go on")
            }
        }
    }

    fn request(&mut self, wanted: &[u8], binding: Option<[u8; 32]>) -> Result<Vec<u8>, Failure> {
        let Some(Wanted { subject, names, key }) = &self.wanted else {
            return Err(Failure::usage("there is no key to be certified", "give --new-key"));
        };
        let server = if wanted.is_empty() {
            Attributes::default()
        } else {
            Attributes::decode(wanted)
                .map_err(|it| Failure::unknown(it.code(), it, "give --no-csrattrs"))?
        };
        let unfit = |message: String| {
            Failure::unknown(
                "touchstone.est.csrattrs",
                message,
                "`touchstone est csrattrs` shows it",
            )
        };
        if !server.key().is_none_or(|kind| fits(&kind, key.algorithm())) {
            let message = format!("the server wants another kind of key: {:?}", server.key());
            return Err(unfit(message));
        }
        let subject = match &server.template {
            Some(template) => template.subject_from(subject).map_err(|_| {
                unfit("the server dictates another subject, or asks for more".into())
            })?,
            None => subject.clone(),
        };
        let mut dictated = Vec::new();
        for wanted in server.extensions() {
            match (wanted.oid.as_str(), wanted.value) {
                (SUBJECT_ALT_NAME, None) if names.is_empty() => {
                    return Err(unfit("the server wants alternative names: give --san".into()));
                }
                (SUBJECT_ALT_NAME, _) => {}
                (_, Some(value)) => {
                    dictated.push(request::RequestedExtension {
                        oid: wanted.oid,
                        critical: wanted.critical,
                        value,
                    });
                }
                (oid, None) => {
                    return Err(unfit(format!("the server wants the extension {oid} filled in")));
                }
            }
        }
        let mut attributes = self.attributes.clone();
        let activation = Activation::of(&server)
            .map_err(|it| Failure::unknown(it.code(), it, "ask the server's operator"))?;
        match (&self.prover, &activation) {
            (Some(prover), _) => attributes.push(prover.attribute(&subject, activation.as_ref())?),
            (None, Some(_)) => {
                let message = "the server wants it proven that the key lives in this device's TPM";
                let next = "give --attest-key and --element, and a key of that element";
                return Err(Failure::unknown("touchstone.est.attestation", message, next));
            }
            (None, None) => {}
        }
        if server.wants(CHALLENGE_PASSWORD) {
            let binding = binding.ok_or_else(|| {
                unfit("the server wants the request bound to TLS 1.3, which this is not".into())
            })?;
            let text = Base64::encode_string(&binding);
            let value = touchstone_enroll::scep::challenge(&text)
                .map_err(|it| Failure::unknown(it.code(), it, "try again"))?;
            attributes.push(request::Attribute { oid: CHALLENGE_PASSWORD.into(), value });
        }
        request::build_with(&subject, names, &dictated, &attributes, &**key)
            .and_then(|der| super::read_back(&der).map(|_| der))
            .map_err(|error| Failure::unknown(error.code(), error, "give another name or key"))
    }

    /// HTTP Digest where the server offers it with SHA-256, else Basic (RFC 7030 §3.2.3).
    fn secret(&mut self, question: &[u8]) -> Result<Vec<u8>, Failure> {
        let text = String::from_utf8_lossy(question);
        let (request, challenges) = text.split_once('\n').unwrap_or_default();
        let (method, path) = request.split_once(' ').unwrap_or_default();
        let Some((user, password)) = &self.password else {
            let message = "the server wants to know who asks";
            return Err(Failure::unknown(
                "touchstone.est.unauthorized",
                message,
                "give --cert and --key, or --user and --password",
            ));
        };
        let failed = |it: touchstone_httpauth::Error| {
            Failure::unknown(it.code(), it, "ask the server's operator how to authenticate")
        };
        if let Some(challenge) = challenges.lines().find_map(|it| Challenge::parse(it).ok()) {
            let header = challenge.answer(&AwsLc, user, password, method, path);
            return header.map(String::into_bytes).map_err(failed);
        }
        let basic = |line: &str| line.trim().to_ascii_lowercase().starts_with("basic");
        if challenges.lines().any(basic) {
            let header = Basic::new(user, password).map_err(failed)?.header();
            return Ok(header.as_bytes().to_vec());
        }
        Err(failed(touchstone_httpauth::Error::Unsupported))
    }
}

/// Whether a key of this algorithm is of that kind.
fn fits(kind: &KeyKind, algorithm: SignatureAlgorithm) -> bool {
    let name = algorithm.name();
    match kind {
        KeyKind::Ec(None) => name.starts_with("ecdsa"),
        KeyKind::Ec(Some(curve)) => {
            let curve = match curve.as_str() {
                "1.2.840.10045.3.1.7" => "ecdsa-p256",
                "1.3.132.0.34" => "ecdsa-p384",
                "1.3.132.0.35" => "ecdsa-p521",
                _ => return false,
            };
            name.starts_with(curve)
        }
        KeyKind::Rsa(_) => name.starts_with("rsa"),
        KeyKind::Other(_) => !name.starts_with("rsa") && !name.starts_with("ecdsa"),
    }
}

fn alternative_name(text: &str) -> AlternativeName {
    match text.parse::<IpAddr>() {
        Ok(address) => AlternativeName::Ip(address),
        Err(_) if text.contains("://") || text.starts_with("urn:") => {
            AlternativeName::Uri(text.to_owned())
        }
        Err(_) => AlternativeName::Dns(text.to_owned()),
    }
}
