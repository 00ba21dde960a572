//! `touchstone appraise`: a quote as tpm2-tools write it, the logs that explain it, and a policy, on
//! files and without any service.

mod asked;
mod earlier;
mod sent;
mod told;

use asked::{Asked, Shown};

use crate::answer::{Answer, Answered, Failure};
use crate::cli::Appraise;
use crate::files::{self, LARGE};
use crate::{policy, signing};
use std::path::Path;
use std::sync::Arc;
use touchstone_appraise::ear::{to_cwt, to_jwt};
use touchstone_appraise::references::Set;
use touchstone_appraise::{
    Appraisal, DeviceFacts, Document, Ear, NotEvaluated, References, Tier, Verifier,
};
use touchstone_certs::TrustStore;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::tpm::{AttestationKey, Expected};
use touchstone_evidence::{Account, Error, Evidence, Recorded};
use touchstone_measure::ima::Discontinuity;
use touchstone_measure::tcg::EventLog;

const NO_POLICY: &str =
    "no policy was given, so nothing that was measured is judged; give --policy";

pub(crate) fn run(arguments: &Appraise) -> Answered {
    let judge = arguments.policy.as_deref().map(|path| Judge::load(arguments, path)).transpose()?;
    let asked = Asked::new(arguments)?;
    let found = verify(arguments, &asked)?;
    let facts = DeviceFacts {
        id: arguments.device.clone(),
        tenant: judge.as_ref().map_or_else(String::new, Judge::tenant),
        evidence_at: asked.at,
        element_kind: asked.element_kind.clone(),
        ..DeviceFacts::default()
    };
    let now = files::now()?;
    let mut appraisal = judge.as_ref().map(|judge| judge.appraise(&found, &facts, now));
    if let (Some(judge), Ok((evidence, _))) = (&judge, &found) {
        judge.all_evaluated(evidence, &facts)?;
    }
    let not_evaluated = not_evaluated(arguments, &asked.key, &found);
    if let Some(appraisal) = &mut appraisal {
        appraisal.not_evaluated.extend(not_evaluated.iter().cloned());
    }
    let good = appraisal.as_ref().map_or(found.is_ok(), |done| done.tier == Tier::Affirming);
    let mut answer = asked.told(Answer::new("touchstone.appraise/1").good(good));
    if let Shown::Sent(sent) = &asked.what {
        answer = sent.told(answer);
    }
    answer = told::key(answer, &asked.key);
    answer = match &found {
        Ok((evidence, account)) => told::evidence(answer, evidence, account),
        Err(error) => told::refused(answer, error),
    };
    answer = match &appraisal {
        Some(appraisal) => told::appraisal(answer, appraisal),
        None => told::unjudged(answer, &not_evaluated).word(NO_POLICY),
    };
    if let (Some(path), Some(appraisal)) = (&arguments.ear, &appraisal) {
        let ear = Ear::new(appraisal, &facts, arguments.lifetime).with_nonce(&asked.nonce);
        sign(arguments, path, &ear)?;
        answer = answer
            .with("ear", path.display().to_string())
            .word(format_args!("wrote {}", path.display()));
    }
    Ok(answer)
}

type Found = Result<(Verified<Evidence>, Account), Error>;

/// The quote and its logs, verified; an inner error if they are not genuine.
fn verify(arguments: &Appraise, asked: &Asked) -> Result<Found, Failure> {
    let after = arguments.after.as_deref();
    let after = after.map(|path| earlier::moment(path, &asked.key)).transpose()?;
    let (attest, signature, pcrs) = match &asked.what {
        Shown::Sent(sent) => return sent.verify(&asked.shown, &asked.key, &asked.nonce, after),
        Shown::Quote { attest, signature, pcrs } => (attest, signature, pcrs),
    };
    let event_log = asked.event_log.as_deref();
    let ima_log = asked.ima_log.as_deref();
    let recorded = Recorded {
        attest,
        signature,
        pcrs: pcrs.clone(),
        event_log: event_log
            .map(|path| file(path, LARGE, |octets| Ok(EventLog::decode(octets)?)))
            .transpose()?,
        ima_log: ima_log
            .map(|path| file(path, LARGE, |octets| Ok(files::ima_list(octets)?)))
            .transpose()?,
    };
    let mut expected = Expected::new(&asked.key, &asked.nonce);
    if let Some(after) = after {
        expected = expected.after(after);
    }
    if arguments.dangerous_accept_sha1 {
        expected = expected.dangerous().accept_sha1();
    }
    match recorded.verify(&AwsLc, &expected) {
        Err(error) if is_unreadable(&error) => Err(unreadable(&asked.shown, &error)),
        found => Ok(found),
    }
}

/// Whether the question could not be answered, rather than answered with no.
const fn is_unreadable(error: &Error) -> bool {
    let is_part = matches!(error, Error::Ima(Discontinuity::NeedsAll { .. }));
    is_part
        || sent::is_unreadable_token(error)
        || matches!(
            error,
            Error::Malformed { .. }
                | Error::Missing(_)
                | Error::TooLarge { .. }
                | Error::Unsupported { .. }
        )
}

fn file<T>(
    path: &Path,
    limit: u64,
    read: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Failure> {
    read(&files::read(path, limit)?)
        .map_err(|error| unreadable(&path.display().to_string(), &error))
}

fn unreadable(shown: &str, error: &Error) -> Failure {
    let next =
        "give the files that tpm2_quote and the kernel wrote, or what an agent sent; see --help";
    Failure::unknown(error.code(), format!("{shown}: {error}"), next)
}

/// A policy, and reference values with the files that they came in.
struct Judge {
    verifier: Verifier,
    sets: Vec<(String, Arc<Set>)>,
}

impl Judge {
    fn load(arguments: &Appraise, policy: &Path) -> Result<Self, Failure> {
        let catalog = touchstone_appraise::catalog();
        let policy = match arguments.policy_signers.as_slice() {
            [] => policy::load(policy, &catalog)?,
            signers => policy::load_signed(policy, signers, &catalog)?,
        };
        if let Some(path) = &arguments.after {
            earlier::follows(path, &policy)?;
        }
        let mut references = References::new();
        let mut sets = Vec::new();
        if let Some(signer) = &arguments.signer {
            let trust = TrustStore::new(signing::certificates(signer)?);
            let now = files::now()?;
            for path in &arguments.references {
                let shown = path.display().to_string();
                let refused = |error: touchstone_appraise::references::Error| {
                    let next = "give signed reference values and, with --signer, their publisher";
                    Failure::unknown(error.code(), format!("{shown}: {error}"), next)
                };
                let document = Document::open(&AwsLc, &files::read(path, LARGE)?, &trust, now)
                    .map_err(refused)?;
                let set = Arc::new(Set::new(&AwsLc, &document));
                references.add(Arc::clone(&set)).map_err(refused)?;
                sets.push((shown.clone(), set));
            }
        }
        Ok(Self { verifier: Verifier::new(policy, references), sets })
    }

    fn tenant(&self) -> String {
        self.verifier.references().tenant().unwrap_or_default().to_owned()
    }

    fn appraise(&self, found: &Found, facts: &DeviceFacts, now: u64) -> Appraisal {
        match found {
            Ok((evidence, _)) => self.verifier.appraise(&AwsLc, evidence, facts, now),
            Err(error) => self.verifier.appraise_unverified(error, facts, now),
        }
    }

    /// That every file of reference values was compared with something.
    fn all_evaluated(
        &self,
        evidence: &Verified<Evidence>,
        facts: &DeviceFacts,
    ) -> Result<(), Failure> {
        let mut idle = Vec::new();
        for (shown, set) in &self.sets {
            let why = self.verifier.never_evaluated(&AwsLc, evidence, facts, set);
            if !why.is_empty() {
                idle.push(format!("{shown} was never evaluated: {}", why.join("; ")));
            }
        }
        if idle.is_empty() {
            return Ok(());
        }
        let next = "leave it out, or give the policy or the log that it is for";
        Err(Failure::unknown("touchstone.appraise.references", idle.join(", and "), next))
    }
}

/// What no answer of this program rests on, whatever the policy.
fn not_evaluated(arguments: &Appraise, key: &AttestationKey, found: &Found) -> Vec<NotEvaluated> {
    let mut list = Vec::new();
    if !key.is_known_restricted() {
        let why = "the file holds no attributes; give it as TPM2B_PUBLIC (-f tss)";
        list.push(NotEvaluated::new("that the key signs only what a TPM made", why));
    }
    let why = "onboarding proves it, by a credential that only that TPM opens";
    list.push(NotEvaluated::new("that the key lives in a genuine TPM", why));
    if arguments.after.is_none() {
        let why = "no earlier answer was given; give --after";
        list.push(NotEvaluated::new("that the TPM was not put back", why));
    }
    let Ok((evidence, account)) = found else { return list };
    for (there, what, flag) in [
        (evidence.event_log().is_some(), "event log", "--event-log"),
        (evidence.ima_log().is_some(), "IMA list", "--ima-log"),
    ] {
        if !there {
            list.push(NotEvaluated::new(what, format!("it was not given; give {flag}")));
        }
    }
    for selection in account.quote.selections() {
        if account.pcrs.bank(selection.algorithm).is_none() {
            let what = format!("PCR bank {}", selection.algorithm);
            list.push(NotEvaluated::new(what, "its values can be forged"));
        }
    }
    for (bank, pcrs) in account.unexplained.iter().filter(|(_, pcrs)| !pcrs.is_empty()) {
        let what = format!("{bank} PCR {}", told::numbers(pcrs));
        list.push(NotEvaluated::new(what, "no log that was given explains the values"));
    }
    list
}

fn sign(arguments: &Appraise, path: &Path, ear: &Ear) -> Result<(), Failure> {
    let pem = files::read_secret(arguments.key.as_deref().unwrap_or_default(), "--key")?;
    let unusable = |code: &str, why: &dyn std::fmt::Display| {
        let next = "give an ECDSA key on P-256 or P-384 in PKCS#8 PEM";
        Failure::unknown(code, format!("the result could not be signed: {why}"), next)
    };
    let key = SoftSigner::from_pkcs8_pem(&pem).map_err(|error| unusable(error.code(), &error))?;
    let signed = if path.extension().is_some_and(|extension| extension == "cwt") {
        to_cwt(ear, &key)
    } else {
        to_jwt(ear, &key).map(String::into_bytes)
    };
    files::write(path, &signed.map_err(|error| unusable(error.code(), &error))?)
}
