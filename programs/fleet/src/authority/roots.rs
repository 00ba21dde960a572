//! What roots say of the CAs below them. A root that signs here has lists and a delegate as an issuing
//! CA has; the list of one that signs elsewhere is brought, and handed out from here.

use super::{Authority, Issuing, Published, sha256_hex};
use crate::config::{AuthoritySettings, KeyPlace};
use crate::state::StateDir;
use crate::{Error, clock};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use touchstone_certs::ocsp::Reason;
use touchstone_certs::{Certificate, Crl};
use touchstone_crypto_awslc::AwsLc;

/// Clocks differ: a list that was made so many seconds from now is taken.
const SKEW: u64 = 300;
/// A cache asks again after so many seconds whether another list was brought.
const CACHED: u64 = 3600;

/// A root whose key is elsewhere.
pub(super) struct Offline {
    pub(super) name: String,
    pub(super) certificate: Certificate,
    /// SHA-256 of the list that was read last.
    read: Mutex<String>,
}

/// The issuing CAs that a root has revoked, by SHA-256 of their keys.
#[derive(Default)]
pub(super) struct Fallen(Mutex<BTreeSet<String>>);

impl Offline {
    pub(super) fn new(name: &str, certificate: Certificate) -> Self {
        Self { name: name.to_owned(), certificate, read: Mutex::default() }
    }
}

impl Fallen {
    fn contains(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

impl Authority {
    /// Whether a root has revoked that issuing CA.
    pub fn is_revoked(&self, issuing: &Issuing) -> bool {
        self.fallen.contains(&issuing.id)
    }

    /// Reads the lists of roots that sign elsewhere, where there are new ones.
    pub(super) fn take_brought(&self) -> Result<(), Error> {
        for root in &self.offline {
            let file = format!("{}.crl", root.name);
            let Some(pem) = self.state.read(&file)? else { continue };
            let digest = sha256_hex(pem.as_bytes());
            let mut read = root.read.lock().unwrap_or_else(PoisonError::into_inner);
            if *read == digest {
                continue;
            }
            let refused = |words: String| Error::content(&self.state.file(&file), words);
            let crl = self.brought(root, pem.as_bytes()).map_err(refused)?;
            *read = digest;
            let (now, from, until) = (clock::now(), crl.this_update(), crl.next_update());
            if until <= now {
                let path = self.state.file(&file);
                tracing::error!("{} is over; sign a new one: touchstone ca crl", path.display());
            }
            self.heed(&crl);
            let next = until.min(now.saturating_add(CACHED));
            let published = Published { octets: crl.der().into(), from, until, next };
            self.lists.put(&root.name, published);
        }
        Ok(())
    }

    /// A list counts if a root of that name signed it; after a rollover that is another key.
    fn brought(&self, root: &Offline, pem: &[u8]) -> Result<Crl, String> {
        let found = Crl::from_pem(pem).map_err(|error| error.to_string())?;
        let [crl] = <[Crl; 1]>::try_from(found)
            .map_err(|found| format!("holds {} lists; bring one", found.len()))?;
        if crl.base_number().is_some() || !crl.distribution_point_urls().is_empty() {
            return Err("is a delta or a part; bring the full list".to_owned());
        }
        let name = root.certificate.subject();
        if crl.issuer().to_string() != name {
            return Err(format!("is the list of `{}`, not of `{name}`", crl.issuer()));
        }
        let mut signers = self.roots.iter().filter(|signer| signer.subject() == name);
        if !signers.any(|signer| crl.verify_signature(&AwsLc, signer.spki_der()).is_ok()) {
            return Err("is signed by no root of the configuration".to_owned());
        }
        if crl.this_update() > clock::now().saturating_add(SKEW) {
            return Err("is from the future; check the clock".to_owned());
        }
        let before = self.lists.get(&root.name);
        if before.is_some_and(|before| crl.this_update() < before.from) {
            return Err("is older than the one before it; bring the newest".to_owned());
        }
        Ok(crl)
    }

    /// An issuing CA that its root has revoked issues nothing more.
    pub(super) fn heed(&self, crl: &Crl) {
        let issuer = crl.issuer().to_string();
        let listed: BTreeSet<String> = crl
            .revoked()
            .filter(|one| one.reason != Reason::RemoveFromCrl)
            .map(|one| one.serial)
            .collect();
        let mut fallen = self.fallen.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ca in self.issuing.iter().filter(|ca| ca.certificate.issuer() == issuer) {
            if listed.contains(&ca.certificate.serial()) {
                if fallen.insert(ca.id.clone()) {
                    tracing::error!(ca = ca.name, "the root has revoked this issuing CA");
                }
            } else if crl.base_number().is_none() {
                fallen.remove(&ca.id);
            }
        }
    }
}

/// The name of the root with that key (SHA-256, hexadecimal), if its key is not here.
pub fn signs_elsewhere(
    state: &StateDir,
    settings: &AuthoritySettings,
    id: &str,
) -> Result<Option<String>, Error> {
    for root in settings.roots.iter().filter(|root| root.key == KeyPlace::Offline) {
        let found = super::chain::read(state, &format!("{}.pem", root.name))?;
        if found.is_some_and(|found| sha256_hex(found.spki_der()) == id) {
            return Ok(Some(root.name.clone()));
        }
    }
    Ok(None)
}
