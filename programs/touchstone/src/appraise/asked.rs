//! Where a quote comes from: files that tpm2-tools wrote, or the element of this very machine.

use super::sent::Sent;
use super::{file, unreadable};
use crate::answer::{Answer, Failure};
use crate::cli::{Appraise, Here};
use crate::element::{failure, need};
use crate::files::{self, SMALL};
use std::path::{Path, PathBuf};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::element::{Location, LocationError};
use touchstone_element::reference::Kind;
use touchstone_element::{Ability, Attested, Attesting, Element, Error, PcrSelection};
use touchstone_evidence::tpm::{Attest, AttestationKey, Attested as Statement};
use touchstone_evidence::tpm2_tools::{self, PcrFile};

const EVENT_LOG: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";
const IMA_LOG: &str = "/sys/kernel/security/ima/binary_runtime_measurements";
/// Quotes that are tried until no register moved between one and the reading of the values: IMA may
/// measure at any time.
const TRIES: usize = 32;

/// What is appraised.
pub(super) enum Shown {
    /// A quote.
    Quote {
        attest: Vec<u8>,
        signature: Vec<u8>,
        /// The values that it is said to be over.
        pcrs: PcrFile,
    },
    /// What an agent sent.
    Sent(Sent),
}

/// A quote, and where the logs are; or what an agent sent, logs and all.
pub(super) struct Asked {
    pub(super) what: Shown,
    pub(super) key: AttestationKey,
    pub(super) nonce: Vec<u8>,
    pub(super) event_log: Option<PathBuf>,
    pub(super) ima_log: Option<PathBuf>,
    /// When the nonce was given out.
    pub(super) at: Option<u64>,
    /// The kind of element, if it was asked here.
    pub(super) element_kind: Option<String>,
    /// Where it came from, for people.
    pub(super) shown: String,
    missing: Vec<&'static str>,
}

impl Asked {
    pub(super) fn new(arguments: &Appraise) -> Result<Self, Failure> {
        match (&arguments.here.element, &arguments.sent.evidence) {
            (Some(at), _) => Self::of_element(arguments, at),
            (None, Some(path)) => Self::of_agent(arguments, path),
            (None, None) => Self::of_files(arguments),
        }
    }

    fn of_agent(arguments: &Appraise, path: &Path) -> Result<Self, Failure> {
        let (Some(ak), Some(nonce)) = (&arguments.ak, &arguments.nonce) else {
            return Err(Failure::usage(
                "it is not known who was asked what",
                "give --ak and --nonce",
            ));
        };
        Ok(Self {
            what: Shown::Sent(Sent::read(arguments, path)?),
            key: file(ak, SMALL, tpm2_tools::attestation_key)?,
            nonce: nonce.0.clone(),
            event_log: None,
            ima_log: None,
            at: arguments.asked_at,
            element_kind: None,
            shown: path.display().to_string(),
            missing: Vec::new(),
        })
    }

    fn of_files(arguments: &Appraise) -> Result<Self, Failure> {
        let (Some(quote), Some(signature), Some(pcrs), Some(ak), Some(nonce)) = (
            &arguments.quote,
            &arguments.signature,
            &arguments.pcrs,
            &arguments.ak,
            &arguments.nonce,
        ) else {
            return Err(Failure::usage(
                "there is no quote",
                "give --quote, or --element; see --help",
            ));
        };
        Ok(Self {
            key: file(ak, SMALL, tpm2_tools::attestation_key)?,
            what: Shown::Quote {
                attest: files::read(quote, SMALL)?,
                signature: files::read(signature, SMALL)?,
                pcrs: file(pcrs, SMALL, PcrFile::decode)?,
            },
            nonce: nonce.0.clone(),
            event_log: arguments.event_log.clone(),
            ima_log: arguments.ima_log.clone(),
            at: arguments.asked_at,
            element_kind: None,
            shown: format!("{}, {}", quote.display(), signature.display()),
            missing: Vec::new(),
        })
    }

    fn of_element(arguments: &Appraise, at: &str) -> Result<Self, Failure> {
        let Here { state, attestation_key, pcr, .. } = &arguments.here;
        let location: Location = at.parse().map_err(|error: LocationError| {
            Failure::usage(format!("`{at}` is not an element"), error)
        })?;
        let mut element = location.open(state).map_err(|error| failure(&error))?;
        let mut nonce = vec![0; 32];
        AwsLc.random(&mut nonce).map_err(|error| {
            Failure::unknown(error.code(), error, "check this machine's source of random octets")
        })?;
        let asked_at = files::now()?;
        let kind = match location.kind() {
            Kind::Tpm => "tpm2".to_owned(),
            other => other.name().to_owned(),
        };
        let (key, quoted, pcrs) = ask(element.as_mut(), attestation_key, pcr, &nonce)?;
        // After the quote: a log only grows, so what was quoted is in it.
        let log = |given: &Option<PathBuf>, kernels: &str| {
            given.clone().or_else(|| Some(PathBuf::from(kernels)).filter(|path| path.exists()))
        };
        let event_log = log(&arguments.event_log, EVENT_LOG);
        let ima_log = log(&arguments.ima_log, IMA_LOG);
        let missing = [(event_log.is_none(), EVENT_LOG), (ima_log.is_none(), IMA_LOG)];
        Ok(Self {
            what: Shown::Quote { attest: quoted.attest, signature: quoted.signature, pcrs },
            key,
            nonce,
            event_log,
            ima_log,
            at: Some(asked_at),
            element_kind: Some(kind),
            shown: at.to_owned(),
            missing: missing.into_iter().filter(|(is, _)| *is).map(|(_, path)| path).collect(),
        })
    }

    /// Which of the kernel's logs are not there.
    pub(super) fn told(&self, answer: Answer) -> Answer {
        self.missing.iter().fold(answer, |answer, path| {
            answer.word(format_args!("{path} is not there, so nothing is known from it"))
        })
    }
}

/// A quote by a key of the element, with the values that it is over.
fn ask(
    element: &mut dyn Element,
    name: &str,
    selection: &PcrSelection,
    nonce: &[u8],
) -> Result<(AttestationKey, Attested, PcrFile), Failure> {
    let public = element.public_key(name).map_err(|error| failure(&error))?;
    let public = public.ok_or_else(|| {
        let next = format!("`touchstone element keys create {name} --use attest` makes one");
        Failure::unknown("element.key.unknown", Error::UnknownKey(name.to_owned()), next)
    })?;
    let key = AttestationKey::from_native(&public.native)
        .map_err(|error| unreadable(&format!("the key {name}"), &error))?;
    let attesting = need(element.attesting(), Ability::Attest)?;
    for _ in 0..TRIES {
        let (quoted, values) = once(attesting, name, selection, nonce)?;
        if is_over(&quoted, &values) {
            let pcrs = selection.pcrs.iter().map(|pcr| u32::from(*pcr)).collect();
            let labels = touchstone_evidence::PcrSelection { algorithm: selection.algorithm, pcrs };
            return Ok((key, quoted, PcrFile::of(labels, &values)));
        }
    }
    let message = "the registers move faster than they can be read";
    Err(Failure::unknown("touchstone.appraise.moving", message, "try again when less is started"))
}

fn once(
    attesting: &mut dyn Attesting,
    name: &str,
    selection: &PcrSelection,
    nonce: &[u8],
) -> Result<(Attested, Vec<touchstone_crypto::Digest>), Failure> {
    let quoted = attesting.quote(name, selection, nonce).map_err(|error| failure(&error))?;
    let values = attesting.read_pcrs(selection).map_err(|error| failure(&error))?;
    Ok((quoted, values))
}

/// Whether these values are the quoted ones. Only to see whether to ask again: what counts is judged
/// later, as for any quote.
fn is_over(quoted: &Attested, values: &[touchstone_crypto::Digest]) -> bool {
    let Ok(Attest { attested: Statement::Quote { pcr_digest, .. }, .. }) =
        Attest::decode(&quoted.attest)
    else {
        return true;
    };
    let Some(hash) = HashAlgorithm::ALL.into_iter().find(|hash| hash.len() == pcr_digest.len())
    else {
        return true;
    };
    let parts: Vec<&[u8]> = values.iter().map(touchstone_crypto::Digest::as_bytes).collect();
    AwsLc.hash(hash, &parts).as_bytes() == pcr_digest
}
