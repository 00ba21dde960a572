//! The element, and who this device is by its keys: the IDevID of the maker, the attestation key,
//! the LDevID of the fleet.

use crate::config::ElementAt;
use crate::state::{self, State};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard};
use touchstone_certs::Certificate;
use touchstone_element::{Attesting, Element, KeyAlgorithm, KeySpec, KeyUse, PublicKey};
use touchstone_element_tpm2::{Tpm, TpmSigner};

/// The name of the attestation key.
pub const LAK: &str = "lak";

/// The maker's identity.
pub const IDEVID: &str = "idevid";

const FILE: &str = "ldevid.json";

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
    /// The fleet has given no certificate yet.
    #[error("there is no certificate of the fleet")]
    NoCertificate,
    /// A certificate does not go with its key.
    #[error("the certificate of `{key}` cannot be used: {reason}")]
    Certificate {
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
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Element(error) => error.code(),
            Self::NoIdentity => "agent.identity.missing",
            Self::NoCertificate => "agent.identity.none",
            Self::Certificate { .. } => "agent.identity.certificate",
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

/// The fleet's certificate for a key of this device. One file holds all of it, so that key and
/// certificate change together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ldevid {
    /// The key's name in the element.
    pub key: String,
    /// The certificate in PEM, then those of its issuers.
    pub chain: String,
    /// From when it counts, in Unix seconds.
    pub not_before: u64,
    /// Until when it counts.
    pub not_after: u64,
    /// Its serial number.
    pub serial: String,
}

impl Ldevid {
    /// Half of its life is over, and up to a sixth more: each certificate has its own moment, so that
    /// a fleet is not asked by all of its devices at once.
    pub fn is_due(&self, now: u64) -> bool {
        let life = self.not_after.saturating_sub(self.not_before);
        let tail = self.serial.get(self.serial.len().saturating_sub(4)..).unwrap_or_default();
        // Serial numbers are random; one that is not spreads nothing.
        let part = u64::from_str_radix(tail, 16).unwrap_or(0);
        let spread = (life / 6).saturating_mul(part) / 0x1_0000;
        now >= self.not_before.saturating_add(life / 2).saturating_add(spread)
    }
}

impl Keys {
    /// Opens the element. May wait.
    pub fn open(at: &ElementAt, state: &State) -> Result<Self, Error> {
        let folder = state.path("element");
        let tpm = match at {
            ElementAt::Device(path) => Tpm::open_device(path, folder)?,
            ElementAt::Unix(path) => Tpm::connect_unix(path, folder)?,
            ElementAt::Tcp(address) => Tpm::connect_tcp(*address, folder)?,
        };
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

    /// The fleet's certificate, if there is one.
    pub fn ldevid(&self) -> Result<Option<Ldevid>, Error> {
        Ok(self.state.load_json(FILE)?)
    }

    /// The fleet's certificate, if there is one and its key is there. Another one is forgotten: the
    /// maker's identity remains, and a new certificate comes by it.
    pub fn usable_ldevid(&self) -> Result<Option<Ldevid>, Error> {
        let found = match self.ldevid() {
            Err(Error::State(state::Error::Damaged { path, reason })) => {
                tracing::error!("{}: {reason}; enrolling anew", path.display());
                self.forget()?;
                return Ok(None);
            }
            found => found?,
        };
        let Some(ldevid) = found else { return Ok(None) };
        let key = self.tpm()?.public_key(&ldevid.key)?;
        let chain = self.fleet_chain(&ldevid).ok();
        let leaf = chain.and_then(|chain| Certificate::decode(chain.first()?).ok());
        if key.zip(leaf).is_some_and(|(key, leaf)| key.spki_der == leaf.spki_der()) {
            return Ok(Some(ldevid));
        }
        tracing::error!(key = ldevid.key, "the certificate's key is not there; enrolling anew");
        self.forget()?;
        Ok(None)
    }

    /// The fleet's certificate with those of its issuers, in DER.
    pub fn fleet_chain(&self, ldevid: &Ldevid) -> Result<Vec<Vec<u8>>, Error> {
        let chain = Certificate::from_pem(ldevid.chain.as_bytes())
            .map_err(|error| fault(&ldevid.key, &error))?;
        Ok(chain.iter().map(|one| one.der().to_vec()).collect())
    }

    /// A key that signs.
    pub fn signer(&self, key: &str) -> Result<TpmSigner, Error> {
        Ok(TpmSigner::new(Arc::clone(&self.tpm), key)?)
    }

    /// A fresh key for the next LDevID: of two names, the one that is not in use.
    pub fn fresh_key(&self) -> Result<(String, PublicKey), Error> {
        let used = self.ldevid()?.map(|ldevid| ldevid.key);
        let name = if used.as_deref() == Some("ldevid-a") { "ldevid-b" } else { "ldevid-a" };
        let mut tpm = self.tpm()?;
        tpm.delete_key(name)?;
        let key = tpm.create_key(name, &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256))?;
        Ok((name.to_owned(), key))
    }

    /// Keeps the fleet's certificate for a key, and forgets the key of before.
    pub fn keep(&self, key: &str, chain: &[Certificate]) -> Result<Ldevid, Error> {
        let leaf = chain.first().ok_or_else(|| fault(key, &"no certificate came"))?;
        let mut pem = String::new();
        for certificate in chain {
            pem.push_str(&certificate.to_pem().map_err(|error| fault(key, &error))?);
        }
        let before = self.ldevid()?;
        let ldevid = Ldevid {
            key: key.to_owned(),
            chain: pem,
            not_before: leaf.not_before(),
            not_after: leaf.not_after(),
            serial: leaf.serial(),
        };
        self.state.store_json(FILE, &ldevid)?;
        if let Some(before) = before.filter(|before| before.key != key) {
            self.tpm()?.delete_key(&before.key)?;
        }
        Ok(ldevid)
    }

    /// Gives the key of the fleet's certificate up, and the certificate with it: the certificate first,
    /// so that whoever is ended in between has none without its key.
    pub fn give_up(&self) -> Result<(), Error> {
        let used = self.ldevid()?.map(|ldevid| ldevid.key);
        self.forget()?;
        match used {
            Some(key) => Ok(self.tpm()?.delete_key(&key)?),
            None => Ok(()),
        }
    }

    /// The fleet's certificate is worth nothing any more.
    pub fn forget(&self) -> Result<(), Error> {
        Ok(self.state.remove(FILE)?)
    }
}

fn fault(key: &str, reason: &dyn ToString) -> Error {
    Error::Certificate { key: key.to_owned(), reason: reason.to_string() }
}
