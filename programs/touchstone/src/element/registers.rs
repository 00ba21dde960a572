//! `touchstone element pcr` and `quote`.

use super::{failure, need};
use crate::answer::{Answer, Answered, Failure, hex};
use crate::cli::Pcr;
use crate::files::{self, LARGE};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use touchstone_crypto::{Crypto, Digest};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Ability, Attested, Element, Error, PcrSelection, PublicKey};
use touchstone_evidence::tpm::{Attest, Attested as Statement};

pub(crate) fn run(element: &mut dyn Element, verb: &Pcr) -> Answered {
    match verb {
        Pcr::Read { selection } => read(element, selection.as_ref()),
        Pcr::Extend { pcr, file } => extend(element, *pcr, file),
    }
}

fn read(element: &mut dyn Element, selection: Option<&PcrSelection>) -> Answered {
    let selections = if let Some(one) = selection {
        vec![one.clone()]
    } else {
        let all: Vec<u8> = (0..24).collect();
        let banks = element.capabilities().map_err(|error| failure(&error))?.pcr_banks;
        banks.into_iter().map(|bank| PcrSelection::new(bank, &all)).collect()
    };
    let registers = need(element.registers(), Ability::Registers)?;
    let (mut banks, mut answer) = (Map::new(), Answer::new("touchstone.element.pcr.read/1"));
    for selection in selections {
        let values = registers.read_pcrs(&selection).map_err(|error| failure(&error))?;
        let bank = selection.algorithm.name();
        let mut members = Map::new();
        for (pcr, value) in selection.pcrs.iter().zip(&values) {
            members.insert(pcr.to_string(), value.to_hex().into());
            answer = answer.line(format_args!("{bank} {pcr:>2}  {}", value.to_hex()));
        }
        banks.insert(bank.to_owned(), Value::Object(members));
    }
    Ok(answer.with("banks", banks))
}

fn extend(element: &mut dyn Element, pcr: u8, file: &Path) -> Answered {
    let content = files::read(file, LARGE)?;
    let banks = element.capabilities().map_err(|error| failure(&error))?.pcr_banks;
    let registers = need(element.registers(), Ability::Registers)?;
    let digests: Vec<Digest> = banks.iter().map(|bank| AwsLc.hash(*bank, &[&content])).collect();
    registers.extend_pcr(pcr, &digests).map_err(|error| failure(&error))?;
    let shown: Vec<String> = digests.iter().map(ToString::to_string).collect();
    let mut answer = Answer::new("touchstone.element.pcr.extend/1").with("pcr", pcr);
    for digest in &shown {
        answer = answer.line(digest);
    }
    Ok(answer.with("digests", shown).word(format_args!("measured into register {pcr}")))
}

pub(crate) fn quote(
    element: &mut dyn Element,
    key: &str,
    selection: &PcrSelection,
    nonce: &[u8],
    out: Option<&Path>,
) -> Answered {
    let public = element
        .public_key(key)
        .and_then(|found| found.ok_or_else(|| Error::UnknownKey(key.to_owned())))
        .map_err(|error| failure(&error))?;
    let attesting = need(element.attesting(), Ability::Attest)?;
    let quoted = attesting.quote(key, selection, nonce).map_err(|error| failure(&error))?;
    let values = attesting.read_pcrs(selection).map_err(|error| failure(&error))?;
    let statement = check(&public, &quoted, nonce, selection, &values)?;
    let mut answer = Answer::new("touchstone.element.quote/1");
    let mut registers = Map::new();
    for (pcr, value) in selection.pcrs.iter().zip(&values) {
        registers.insert(pcr.to_string(), value.to_hex().into());
        let bank = selection.algorithm;
        answer = answer.line(format_args!("{bank} {pcr:>2}  {}", value.to_hex()));
    }
    let clock = &statement.clock;
    answer = answer
        .with("key", key)
        .with("nonce", hex(nonce))
        .with("bank", selection.algorithm.name())
        .with("pcrs", registers)
        .with("attest", hex(&quoted.attest))
        .with("signature", hex(&quoted.signature))
        .with("firmware_version", format!("{:016x}", statement.firmware_version))
        .with(
            "clock",
            json!({
                "milliseconds": clock.clock, "resets": clock.reset_count,
                "restarts": clock.restart_count, "safe": clock.safe,
            }),
        )
        .word(format_args!(
            "signed by `{key}`; signature, nonce and registers agree; boot {} of the element",
            clock.reset_count
        ));
    if let Some(prefix) = out {
        for (suffix, content) in [("attest", &quoted.attest), ("signature", &quoted.signature)] {
            let mut path = prefix.as_os_str().to_owned();
            path.push(".");
            path.push(suffix);
            files::write(&PathBuf::from(path), content)?;
        }
    }
    Ok(answer)
}

/// What the element states is believed as little as what comes over a network.
fn check(
    key: &PublicKey,
    quoted: &Attested,
    nonce: &[u8],
    selection: &PcrSelection,
    values: &[Digest],
) -> Result<Attest, Failure> {
    let doubt = |words: &str| {
        let message = format!("the element's quote is not to be trusted: {words}");
        let next = "somebody sits between this program and the element, or it is broken";
        Failure::unknown("element.answer.malformed", message, next)
    };
    let algorithm = key.signature().ok_or_else(|| doubt("its key does not sign"))?;
    let signature = touchstone_evidence::tpm::Signature::decode(&quoted.signature)
        .map_err(|error| doubt(&error.to_string()))?;
    AwsLc
        .verify(algorithm, &key.spki_der, &quoted.attest, signature.as_bytes())
        .map_err(|_| doubt("its signature is wrong"))?;
    let statement = Attest::decode(&quoted.attest).map_err(|error| doubt(&error.to_string()))?;
    if statement.extra_data != nonce {
        return Err(doubt("its nonce is another"));
    }
    let Statement::Quote { pcr_digest, .. } = &statement.attested else {
        return Err(doubt("it is no quote"));
    };
    // TPM 2.0 Part 3 §18.4: the digest over the registers is of the signing scheme's hash.
    let parts: Vec<&[u8]> = values.iter().map(Digest::as_bytes).collect();
    let signed = signature.pcr_digest(pcr_digest).map_err(|error| doubt(&error.to_string()))?;
    if AwsLc.hash(signed.algorithm(), &parts) != signed {
        let bank = selection.algorithm;
        return Err(doubt(&format!(
            "the registers of {bank} have other values than those that were signed; one may have \
             been extended in between, so try again"
        )));
    }
    Ok(statement)
}
