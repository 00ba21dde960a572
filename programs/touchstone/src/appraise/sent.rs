//! What an agent sent, in a file: a wrapper, or a token that the device's key signed.

use super::{Found, is_unreadable, unreadable};
use crate::answer::{Answer, Failure};
use crate::cli::Appraise;
use crate::{files, token};
use std::path::Path;
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::eat::MAX_JWT;
use touchstone_evidence::envelope::{Sender, is_cwt, is_jwt, is_token};
use touchstone_evidence::tpm::{AttestationKey, LakPublic, Moment};
use touchstone_evidence::{Account, Challenge, Error, PcrSelection};

/// What an agent sent, and who must have.
pub(super) struct Sent {
    octets: Vec<u8>,
    /// The key that must have signed the token, `SubjectPublicKeyInfo` in DER; none for a wrapper.
    key: Option<Vec<u8>>,
    selection: PcrSelection,
}

impl Sent {
    pub(super) fn read(arguments: &Appraise, path: &Path) -> Result<Self, Failure> {
        let mut octets = files::read(path, MAX_JWT as u64)?;
        if is_jwt(octets.trim_ascii()) {
            octets = octets.trim_ascii().to_vec();
        }
        let key = arguments.sent.evidence_key.as_deref();
        match (is_token(&octets), key) {
            (true, None) => {
                let message = format!("{} is a token, and it is not said whose", path.display());
                let next =
                    "give --evidence-key: the key that the device shows in TLS, or its certificate";
                return Err(Failure::usage(message, next));
            }
            (false, Some(_)) => {
                let message =
                    format!("{} is no token, so that no key has signed it", path.display());
                return Err(Failure::usage(message, "leave out --evidence-key"));
            }
            _ => {}
        }
        let asked = &arguments.here.pcr;
        let pcrs = asked.pcrs.iter().map(|pcr| u32::from(*pcr)).collect();
        let selection = PcrSelection { algorithm: asked.algorithm, pcrs };
        Ok(Self { octets, key: key.map(token::spki).transpose()?, selection })
    }

    /// Its name for people.
    pub(super) fn told(&self, answer: Answer) -> Answer {
        let form = match () {
            () if is_cwt(&self.octets) => "EAT, CWT",
            () if is_jwt(&self.octets) => "EAT, JWT",
            () => "CMW",
        };
        let signed = if self.key.is_some() { ", signed by the key" } else { "" };
        answer.with("envelope", form).line(format_args!("evidence    {form}{signed}"))
    }

    /// Verifies the token, if it is one, and the evidence in it; an inner error if they are not genuine.
    pub(super) fn verify(
        &self,
        shown: &str,
        key: &AttestationKey,
        nonce: &[u8],
        after: Option<Moment>,
    ) -> Result<Found, Failure> {
        let Some(native) = key.native() else {
            let message = "the file of the attestation key holds no attributes";
            let next = "give --ak as TPM2B_PUBLIC: `tpm2_readpublic -f tss`";
            return Err(Failure::unknown("evidence.key.attributes", message, next));
        };
        let lak = LakPublic::from_native(native).map_err(|error| unreadable("--ak", &error))?;
        let challenge = Challenge {
            nonce: nonce.to_vec(),
            selection: self.selection.clone(),
            ima: None,
            part: None,
        };
        let sender = Sender { key: self.key.as_deref().unwrap_or_default(), nonce, ueid: None };
        let now = files::now()?;
        let found = sender
            .evidence(&AwsLc, &self.octets, now)
            .and_then(|evidence| evidence.verify(&AwsLc, &lak, &challenge))
            .and_then(|evidence| {
                let account = Account::of(&AwsLc, &evidence, key, after)?;
                Ok((evidence, account))
            });
        match found {
            Err(error) if is_unreadable(&error) => Err(unreadable(shown, &error)),
            found => Ok(found),
        }
    }
}

/// Whether a token could not be read, rather than not be believed.
pub(super) const fn is_unreadable_token(error: &Error) -> bool {
    use touchstone_evidence::{eat, token};
    matches!(
        error,
        Error::Collection
            | Error::Token(
                eat::Error::Claim(_)
                    | eat::Error::TooLarge
                    | eat::Error::Nested
                    | eat::Error::Token(
                        token::Error::Malformed(_) | token::Error::TooLarge | token::Error::Key
                    )
            )
    )
}
