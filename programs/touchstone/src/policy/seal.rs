//! `touchstone policy sign`: a policy with its bases in an envelope that several people sign.

use super::{Words, bad, gather};
use crate::answer::{Answer, Answered, Failure};
use crate::cli::Signatory;
use crate::files::{self, LARGE};
use crate::signing;
use serde_json::Value;
use std::path::Path;
use touchstone_crypto_awslc::AwsLc;
use touchstone_policy::Policy;
use touchstone_update::{Manifest, Refused, countersign, inspect, seal};

/// The first octet of an envelope (a DER SEQUENCE), which begins no text.
pub(super) const ENVELOPE: u8 = 0x30;

pub(super) fn sign(file: &Path, note: &str, by: &Signatory, out: &Path, words: &Words) -> Answered {
    let (certificate, key) = signing::load(by)?;
    let now = files::now()?;
    let given = files::read(file, LARGE)?;
    let signed = if given.first() == Some(&ENVELOPE) {
        countersign(&AwsLc, &given, (&certificate, &key), now)
            .map_err(|refused| unmade(&refused))?
    } else {
        let bundle = gather(file)?;
        let policy = Policy::parse(bundle.text(), &words.catalog()?)
            .map_err(|faults| bad(file, &bundle, &faults))?;
        if let Some(failed) = policy.run_tests().iter().find(|result| !result.unmet.is_empty()) {
            let next = format!("`touchstone policy test {}` shows why", file.display());
            let message = format!("the policy's test \"{}\" fails", failed.name);
            return Err(Failure::unknown("touchstone.policy.test", message, next));
        }
        let payload = bundle.text().as_bytes();
        let component = format!("policy.{}", policy.name());
        let manifest = Manifest::new(&AwsLc, &component, policy.version(), payload, note)
            .map_err(|refused| Failure::usage(refused, "name the policy in small letters"))?;
        seal(&AwsLc, &manifest, payload, &[(&certificate, &key)], now)
            .map_err(|refused| unmade(&refused))?
    };
    files::write(out, &signed)?;
    let inspected = inspect(&signed).map_err(|refused| unmade(&refused))?;
    let manifest = &inspected.manifest;
    let signers: Vec<Value> = inspected.signers.iter().map(signing::to_json).collect();
    let mut answer = Answer::new("touchstone.policy.sign/1")
        .with("out", out.display().to_string())
        .with("component", manifest.component.as_str())
        .with("version", manifest.version)
        .with("signers", signers)
        .line(format_args!("component  {}", manifest.component))
        .line(format_args!("version    {}", manifest.version));
    for signer in &inspected.signers {
        answer = answer.line(format_args!("signed by  {}", signer.subject()));
    }
    Ok(answer.word(format_args!("wrote {}", out.display())))
}

fn unmade(refused: &Refused) -> Failure {
    Failure::unknown(refused.code(), refused, "check the certificate, the key and the envelope")
}
