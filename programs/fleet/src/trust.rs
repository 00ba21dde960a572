//! Whom the fleet believes and what it requires: trust stores, policy, reference values.

use crate::authority::sha256_hex;
use crate::config::TrustFiles;
use crate::store::NewReference;
use crate::{Error, api::types::Reference, clock};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use touchstone_appraise::{Document, References, Verifier, catalog};
use touchstone_certs::{Certificate, TrustStore};
use touchstone_cms::SignedData;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;
use touchstone_policy::Policy;

/// The largest file of trust, in octets: a bundle of all TPM makers' roots is a tenth of it.
const LARGEST: u64 = 16 << 20;
/// The largest signed set of reference values, in octets.
pub const LARGEST_REFERENCE: u64 = 48 << 20;

/// Whom the fleet believes.
pub struct Trust {
    /// Who may have made TPMs.
    pub endorsement_roots: TrustStore,
    /// Who may have made devices.
    pub device_roots: TrustStore,
    /// Who may sign reference values.
    reference_signers: TrustStore,
    tenant: String,
    policy: Policy,
    verifier: RwLock<Arc<Verifier>>,
}

impl Trust {
    /// Reads every file that the configuration names. All that is wrong is told at once.
    pub fn load(files: &TrustFiles, tenant: &str) -> Result<Self, Vec<Error>> {
        let mut faults = Vec::new();
        let mut store = |paths: &[std::path::PathBuf]| {
            let mut anchors = Vec::new();
            for path in paths {
                match certificates(path) {
                    Ok(found) => anchors.extend(found),
                    Err(error) => faults.push(error),
                }
            }
            TrustStore::new(anchors)
        };
        let endorsement_roots = store(&files.endorsement_roots);
        let device_roots = store(&files.device_roots);
        let reference_signers = store(&files.reference_signers);
        let policy = policy(&files.policy).map_err(|mut error| faults.append(&mut error)).ok();
        match policy {
            Some(policy) if faults.is_empty() => {
                let verifier = Verifier::new(policy.clone(), References::new());
                Ok(Self {
                    endorsement_roots,
                    device_roots,
                    reference_signers,
                    tenant: tenant.to_owned(),
                    policy,
                    verifier: RwLock::new(Arc::new(verifier)),
                })
            }
            _ => Err(faults),
        }
    }

    /// The verifier in force.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens a signed set of reference values: what it says of itself, if it may be believed.
    pub fn open_reference(&self, envelope: &[u8], by: &str) -> Result<NewReference, String> {
        let document = self.open(envelope)?;
        let about = Reference {
            sha256: sha256_hex(envelope),
            component: document.component.clone(),
            version: document.version,
            kind: format!("{} values", document.values.len()),
            signer: signers(envelope),
            imported: 0,
        };
        Ok(NewReference { about, envelope: envelope.to_vec(), by: by.to_owned() })
    }

    /// Puts exactly these reference values in force, except those that may not be believed any
    /// more (their signer's certificate has expired, say); why, in words.
    pub fn enforce(&self, envelopes: &[Vec<u8>]) -> Vec<String> {
        let mut references = References::new();
        let mut faults = Vec::new();
        for envelope in envelopes {
            let merged = self.open(envelope).and_then(|document| {
                references.merge(&document).map_err(|error| error.to_string())
            });
            if let Err(words) = merged {
                faults.push(format!("{}: {words}", sha256_hex(envelope)));
            }
        }
        let verifier = Arc::new(Verifier::new(self.policy.clone(), references));
        *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        faults
    }

    fn open(&self, envelope: &[u8]) -> Result<Verified<Document>, String> {
        let document = Document::open(&AwsLc, envelope, &self.reference_signers, clock::now())
            .map_err(|error| format!("{error} ({})", error.code()))?;
        if document.tenant != self.tenant {
            return Err(format!(
                "the reference values are for tenant `{}`, this fleet is of `{}`",
                document.tenant, self.tenant
            ));
        }
        Ok(document)
    }
}

/// Who signed an envelope that was opened, as RFC 4514 strings.
fn signers(envelope: &[u8]) -> String {
    let signed = SignedData::decode(envelope);
    let names = signed
        .iter()
        .flat_map(SignedData::unverified_signers)
        .map(touchstone_certs::Certificate::subject);
    names.map(str::to_owned).collect::<Vec<_>>().join(" and ")
}

/// A file of the owner's, at most `limit` octets.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut octets))
        .map_err(Error::file(path))?;
    if octets.len() as u64 > limit {
        return Err(Error::content(path, format!("larger than {limit} octets")));
    }
    Ok(octets)
}

/// The certificates of a PEM file, at least one.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, Error> {
    let pem = read(path, LARGEST)?;
    let found = Certificate::from_pem(&pem).map_err(|error| {
        Error::content(path, format!("{error}; it must be certificates in PEM"))
    })?;
    if found.is_empty() {
        return Err(Error::content(path, "no certificate in it; it must be certificates in PEM"));
    }
    Ok(found)
}

fn policy(path: &Path) -> Result<Policy, Vec<Error>> {
    let octets = read(path, LARGEST).map_err(|error| vec![error])?;
    let text = String::from_utf8(octets)
        .map_err(|_| vec![Error::content(path, "the policy is not UTF-8")])?;
    Policy::parse(&text, &catalog()).map_err(|faults| {
        faults.iter().map(|fault| Error::content(path, fault.to_string())).collect()
    })
}
