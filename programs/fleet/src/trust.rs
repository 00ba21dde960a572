//! Whom the fleet believes and what it requires: trust stores, policy, reference values.

use crate::authority::sha256_hex;
use crate::config::TrustFiles;
use crate::policy::{self, Loaded};
use crate::store::{NewEvent, NewReference};
use crate::{Error, api::types::Reference, clock};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use touchstone_appraise::references::{self, Manifest, Set, forgetful};
use touchstone_appraise::{References, Verifier};
use touchstone_audit::Code;
use touchstone_certs::{Certificate, TrustStore};
use touchstone_cms::SignedData;
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::endorse::{Believed, Wanted};

/// The largest file of trust, in octets: a bundle of all TPM makers' roots is a tenth of it.
const LARGEST: u64 = 16 << 20;
/// The largest signed set of reference values, in octets.
pub const LARGEST_REFERENCE: u64 = 48 << 20;
/// Characters of a reason in an event.
const REASON: usize = 1000;

/// Whom the fleet believes.
pub struct Trust {
    /// Who may have made TPMs.
    pub endorsement_roots: TrustStore,
    /// Who may have made devices.
    pub device_roots: TrustStore,
    /// By what a maker has to vouch for a device's TPM.
    pub onboarding: Wanted,
    /// Who may sign reference values.
    reference_signers: TrustStore,
    tenant: String,
    policy: Loaded,
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
        let policy = policy::load(files).map_err(|mut error| faults.append(&mut error)).ok();
        match policy {
            Some(policy) if faults.is_empty() => {
                let verifier = Verifier::new(policy.policy.clone(), References::new());
                Ok(Self {
                    endorsement_roots,
                    device_roots,
                    onboarding: files.onboarding,
                    reference_signers,
                    tenant: tenant.to_owned(),
                    policy,
                    verifier: RwLock::new(Arc::new(verifier)),
                })
            }
            _ => Err(faults),
        }
    }

    /// Who is believed about a device that is onboarded.
    pub const fn makers(&self) -> Believed<'_> {
        Believed {
            tpm_makers: &self.endorsement_roots,
            device_makers: &self.device_roots,
            wanted: self.onboarding,
        }
    }

    /// The policy as it was loaded.
    pub const fn policy(&self) -> &Loaded {
        &self.policy
    }

    /// The verifier in force.
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens signed reference values, or an assignment of them to devices: what it says of itself,
    /// if it may be believed, follows what is in force, and is read by the policy.
    pub fn open_reference(&self, envelope: &[u8], by: &str) -> Result<NewReference, String> {
        let told = |error: references::Error| format!("{error} ({})", error.code());
        let mut references = References::clone(self.verifier().references());
        let mut alone = References::new();
        let (component, version, kind) = match self.open(envelope)? {
            Manifest::Values(document) => {
                let set = Arc::new(Set::new(&AwsLc, &document));
                references.may_add(&set, clock::now()).map_err(told)?;
                alone.add(set).map_err(told)?;
                let kind = format!("{} values", document.len());
                (document.component.clone(), document.version, kind)
            }
            Manifest::Assignment(assignment) => {
                references.assign(&AwsLc, &assignment).map_err(told)?;
                alone.assign(&AwsLc, &assignment).map_err(told)?;
                let (added, removed) = (assignment.add.len(), assignment.remove.len());
                let kind = format!("assignment, {added} values added, {removed} removed");
                (assignment.name.clone(), assignment.version, kind)
            }
        };
        if let Some(unread) = alone.unevaluated(&self.policy.policy).first() {
            return Err(format!("{unread} ({})", unread.code()));
        }
        let (sha256, signer) = (sha256_hex(envelope), signers(envelope));
        let about = Reference { sha256, component, version, kind, signer, imported: 0 };
        Ok(NewReference { about, envelope: envelope.to_vec(), by: by.to_owned() })
    }

    /// Puts exactly these reference values in force, except those that may not be believed any
    /// more (their signer's certificate has expired, say); why, in words.
    pub fn enforce(&self, envelopes: &[Vec<u8>]) -> Vec<String> {
        let mut references = References::new();
        let mut faults = Vec::new();
        for envelope in envelopes {
            let taken = self.open(envelope).and_then(|manifest| {
                let taken = match manifest {
                    Manifest::Values(document) => references.merge(&AwsLc, &document),
                    Manifest::Assignment(assignment) => references.assign(&AwsLc, &assignment),
                };
                taken.map_err(|error| format!("{error} ({})", error.code()))
            });
            if let Err(words) = taken {
                faults.push(format!("{}: {words}", sha256_hex(envelope)));
            }
        }
        let verifier = Arc::new(Verifier::new(self.policy.policy.clone(), references));
        *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        faults
    }

    /// Where policy and reference values in force do not fit: values that no control reads, claims
    /// that nothing is supplied for, and sets that assignments name and nobody handed in.
    pub fn gaps(&self) -> Vec<String> {
        let verifier = self.verifier();
        let references = verifier.references();
        let unread = references.unevaluated(&self.policy.policy);
        let mut gaps: Vec<String> =
            unread.iter().map(|gap| format!("{gap} ({})", gap.code())).collect();
        gaps.extend(
            forgetful(&self.policy.policy).iter().map(|gap| format!("{gap} ({})", gap.code())),
        );
        let missing = references.unsupplied(&self.policy.policy);
        gaps.extend(missing.iter().map(|gap| format!("{gap} ({})", gap.code())));
        gaps.extend(references.dangling().map(|(assignment, set)| {
            format!("the assignment {assignment} names {set}, which nobody handed in")
        }));
        gaps
    }

    /// The claims of the policy that stay unknown because they rest on PCRs that no quote covers.
    pub fn unquoted(&self, pcrs: &[u32]) -> Vec<String> {
        let claims = self.policy.policy.claims().filter_map(|claim| {
            let rests_on = touchstone_appraise::rests_on(claim).iter();
            let lacking: Vec<String> =
                rests_on.filter(|pcr| !pcrs.contains(pcr)).map(u32::to_string).collect();
            (!lacking.is_empty()).then(|| {
                let lacking = lacking.join(", ");
                format!("{claim} rests on PCR {lacking}; add to `appraisal.pcrs`, or it is unknown")
            })
        });
        claims.collect()
    }

    fn open(&self, envelope: &[u8]) -> Result<Manifest, String> {
        let manifest = Manifest::open(&AwsLc, envelope, &self.reference_signers, clock::now())
            .map_err(|error| format!("{error} ({})", error.code()))?;
        let tenant = match &manifest {
            Manifest::Values(document) => &document.tenant,
            Manifest::Assignment(assignment) => &assignment.tenant,
        };
        if *tenant != self.tenant {
            return Err(format!(
                "the reference values are for tenant `{tenant}`, this fleet is of `{}`",
                self.tenant
            ));
        }
        Ok(manifest)
    }
}

/// That reference values were not taken, or are not believed any more, and why.
pub(crate) fn refusal(sha256: &str, by: &str, words: &str) -> NewEvent {
    let words: String = words.chars().take(REASON).collect();
    NewEvent::new(
        Code::ReferencesRefused,
        "references",
        format!("reference values refused: {words}"),
    )
    .with("sha256", sha256)
    .with("by", by)
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
