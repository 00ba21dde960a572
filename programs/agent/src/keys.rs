//! The element, and who this device is by its keys: the IDevID of the maker, the attestation key,
//! the LDevID of the fleet.

use crate::config::{ElementAt, MakersFiles};
use crate::keeper::credential;
use crate::ldevid::{Ldevid, Requested, Vault};
use crate::state::{self, State};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use touchstone_certs::{Certificate, Name, request};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Attesting, Element, KeyAlgorithm, KeySpec, KeyUse, PublicKey};
use touchstone_element_tpm2::{MakersCertificates, Tpm, TpmSigner};
use touchstone_enroll::{AttestedRequest, TpmCertify};
use touchstone_evidence::endorse::{challenge_binding, ldevid_binding};

/// The name of the attestation key.
pub const LAK: &str = "lak";

/// The maker's identity.
pub const IDEVID: &str = "idevid";

/// The maker's attestation key.
pub const IAK: &str = "iak";

const FILE: &str = "ldevid.json";
const REQUEST: &str = "request.json";

/// Why a key can not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The element.
    #[error("the element: {}{}", .0, cause(.0))]
    Element(#[from] touchstone_element::Error),
    /// The maker put no identity in.
    #[error(
        "the element holds no IDevID; the maker must put one in before the device is onboarded"
    )]
    NoIdentity,
    /// A file with certificates of the maker cannot be used.
    #[error("the maker's certificates in {path}: {reason}", path = .path.display())]
    MakersFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The fleet has given no certificate yet.
    #[error("there is no certificate of the fleet")]
    NoCertificate,
    /// The fleet has given one, which is renewed by its own key.
    #[error("there is a certificate already")]
    Certified,
    /// A certificate came that nobody asked for.
    #[error("nothing was requested")]
    NotRequested,
    /// A certificate came for another key than was asked for.
    #[error("the certificate is for another key")]
    AnotherKey,
    /// A certificate does not go with its key.
    #[error("the certificate of `{key}` cannot be used: {reason}")]
    Certificate {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate request could not be made, or does not read.
    #[error("the certificate request for `{key}`: {reason}")]
    Request {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// State.
    #[error(transparent)]
    State(#[from] state::Error),
}

fn cause(error: &touchstone_element::Error) -> String {
    std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default()
}

impl Error {
    pub(crate) fn certificate(key: &str, reason: &dyn ToString) -> Self {
        Self::Certificate { key: key.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn request(key: &str, reason: &dyn ToString) -> Self {
        Self::Request { key: key.to_owned(), reason: reason.to_string() }
    }

    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Element(error) => error.code(),
            Self::NoIdentity => "agent.identity.missing",
            Self::MakersFile { .. } => "agent.identity.maker-file",
            Self::NoCertificate => "agent.identity.none",
            Self::Certificate { .. } => "agent.identity.certificate",
            Self::Request { .. } => "agent.identity.request",
            Self::Certified => "agent.identity.certified",
            Self::NotRequested => "agent.identity.not-requested",
            Self::AnotherKey => "agent.certificate.other",
            Self::State(error) => error.code(),
        }
    }
}

/// The element, shared by those who work beside the loop.
#[derive(Clone)]
pub struct Keys {
    tpm: Arc<Mutex<Tpm>>,
    state: State,
}

impl Keys {
    /// Opens the element. May wait.
    pub fn open(at: &ElementAt, maker: &MakersFiles, state: &State) -> Result<Self, Error> {
        let folder = state.path("element");
        let given = MakersCertificates {
            idevid: certificates(maker.idevid.as_deref())?,
            iak: certificates(maker.iak.as_deref())?,
        };
        let tpm = match at {
            ElementAt::Device(path) => Tpm::open_device(path, folder)?,
            ElementAt::Unix(path) => Tpm::connect_unix(path, folder)?,
            ElementAt::Tcp(address) => Tpm::connect_tcp(*address, folder)?,
        };
        let tpm = tpm.with_makers_certificates(given);
        Ok(Self { tpm: Arc::new(Mutex::new(tpm)), state: state.clone() })
    }

    /// The element itself, for as long as nobody else uses it.
    pub fn tpm(&self) -> Result<MutexGuard<'_, Tpm>, Error> {
        Ok(self.tpm.lock().map_err(|_| touchstone_element::Error::Poisoned)?)
    }

    /// The element for the rollback counters.
    pub fn counters(&self) -> Arc<Mutex<Tpm>> {
        Arc::clone(&self.tpm)
    }

    /// The attestation key, made at the first start.
    pub fn lak(&self) -> Result<PublicKey, Error> {
        let mut tpm = self.tpm()?;
        match tpm.public_key(LAK)? {
            Some(key) => Ok(key),
            None => Ok(tpm.create_key(LAK, &KeySpec::new(KeyUse::Attest, KeyAlgorithm::P256))?),
        }
    }

    /// The certificates of the maker's identity, in DER, leaf first.
    pub fn maker_chain(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.tpm()?.device_identity()?.ok_or(Error::NoIdentity)?.certificates)
    }

    /// A key that signs.
    pub fn signer(&self, key: &str) -> Result<TpmSigner, Error> {
        Ok(TpmSigner::new(Arc::clone(&self.tpm), key)?)
    }
}

/// The certificates of a file, in DER, in their order.
fn certificates(path: Option<&Path>) -> Result<Vec<Vec<u8>>, Error> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let fault = |reason: String| Error::MakersFile { path: path.to_owned(), reason };
    let found = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let read = if found.starts_with(b"0") {
        Certificate::decode(&found).map(|certificate| vec![certificate])
    } else {
        Certificate::from_pem(&found)
    };
    let read = read.map_err(|error| fault(error.to_string()))?;
    if read.is_empty() {
        return Err(fault("there is none in it; put the key's own first".to_owned()));
    }
    Ok(read.iter().map(|certificate| certificate.der().to_vec()).collect())
}

impl Vault for Keys {
    fn certificate(&self) -> Result<Option<Ldevid>, Error> {
        Ok(self.state.load_json(FILE)?)
    }

    fn keep_certificate(&self, ldevid: &Ldevid) -> Result<(), Error> {
        Ok(self.state.store_json(FILE, ldevid)?)
    }

    fn forget_certificate(&self) -> Result<(), Error> {
        Ok(self.state.remove(FILE)?)
    }

    fn requested(&self) -> Result<Option<Requested>, Error> {
        Ok(self.state.load_json(REQUEST)?)
    }

    fn keep_request(&self, requested: &Requested) -> Result<(), Error> {
        Ok(self.state.store_json(REQUEST, requested)?)
    }

    fn forget_request(&self) -> Result<(), Error> {
        Ok(self.state.remove(REQUEST)?)
    }

    fn key(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.tpm()?.public_key(name)?.map(|key| key.spki_der))
    }

    fn make_key(&self, name: &str) -> Result<(), Error> {
        let mut tpm = self.tpm()?;
        tpm.delete_key(name)?;
        tpm.create_key(name, &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256))?;
        Ok(())
    }

    fn delete_key(&self, name: &str) -> Result<(), Error> {
        Ok(self.tpm()?.delete_key(name)?)
    }

    fn certify(&self, name: &str, device: &str, challenge: &[u8]) -> Result<TpmCertify, Error> {
        let mut tpm = self.tpm()?;
        let binding = if challenge.is_empty() {
            ldevid_binding(&AwsLc, device)
        } else {
            let unread = || Error::request(name, &"the fleet's challenge is not two sized parts");
            let credential = credential(challenge).ok_or_else(unread)?;
            let secret = tpm.activate(LAK, &credential)?;
            challenge_binding(&AwsLc, device, secret.expose())
        };
        let certified = tpm.certify(name, LAK, &binding)?;
        let key = tpm.public_key(name)?;
        let key = key.ok_or_else(|| Error::request(name, &"the key is not there"))?;
        Ok(TpmCertify {
            attest: certified.attest,
            signature: certified.signature,
            public: key.native,
        })
    }

    fn sign(
        &self,
        name: &str,
        device: &str,
        certify: Option<&TpmCertify>,
    ) -> Result<Vec<u8>, Error> {
        let fault = |reason: &dyn ToString| Error::request(name, reason);
        let (signer, subject) = (self.signer(name)?, Name::common_name(device));
        let subject = subject.map_err(|error| fault(&error))?;
        match certify {
            Some(certify) => AttestedRequest::build(&subject, &[], certify, &[], &signer)
                .map_err(|error| fault(&error)),
            None => request::build(&subject, &[], &[], &signer).map_err(|error| fault(&error)),
        }
    }
}
