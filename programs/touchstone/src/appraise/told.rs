//! What `touchstone appraise` found, for people and in JSON.

use super::earlier::fingerprint;
use crate::answer::{Answer, hex};
use serde_json::{Map, Value, json};
use touchstone_appraise::{Appraisal, ControlResult, EventRef, LogName, NotEvaluated, Tier};
use touchstone_crypto::{HashAlgorithm, Verified};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::tpm::AttestationKey;
use touchstone_evidence::{Account, Error, Evidence};
use touchstone_policy::ar4si::TrustValue;

pub(super) fn key(answer: Answer, key: &AttestationKey) -> Answer {
    let name = key.name(&AwsLc).ok().flatten().map(|name| hex(&name));
    answer.with(
        "key",
        json!({
            "spki_sha256": fingerprint(key),
            "name": name,
            "restricted": key.is_known_restricted().then_some(true),
        }),
    )
}

pub(super) fn refused(answer: Answer, error: &Error) -> Answer {
    answer
        .with("verified", false)
        .with("code", error.code())
        .with("reason", error.to_string())
        .line(format_args!("quote       REFUSED: {error} ({})", error.code()))
}

pub(super) fn evidence(answer: Answer, evidence: &Verified<Evidence>, account: &Account) -> Answer {
    let quote = &account.quote;
    let attest = quote.attest();
    let clock = attest.clock;
    let safe = if clock.safe { "safe" } else { "not safe: a later time may have been shown" };
    let mut answer = answer
        .with("verified", true)
        .with(
            "quote",
            json!({
                "algorithm": quote.algorithm().name(),
                "nonce": hex(&attest.extra_data),
                "qualified_signer": hex(&attest.qualified_signer),
                "clock": clock.clock,
                "clock_safe": clock.safe,
                "reset_count": clock.reset_count,
                "restart_count": clock.restart_count,
                "firmware_version": format!("{:#018x}", attest.firmware_version),
                "pcr_digest": quote.digest().to_string(),
            }),
        )
        .line(format_args!(
            "quote       made by a TPM and signed by the key ({}), with the nonce",
            quote.algorithm().name()
        ))
        .line(format_args!(
            "TPM         clock {} ms ({safe}), {} resets, {} restarts, firmware {:#018x}",
            clock.clock, clock.reset_count, clock.restart_count, attest.firmware_version
        ));
    let mut banks = Map::new();
    for bank in account.pcrs.banks() {
        let pcrs: Vec<u32> = bank.values.iter().map(|(pcr, _)| *pcr).collect();
        answer = answer.line(format_args!(
            "PCR values  {} {} are those that the quote is over",
            bank.algorithm,
            numbers(&pcrs)
        ));
        let values = bank.values.iter().map(|(pcr, value)| (pcr.to_string(), value.to_hex()));
        let values: Map<String, Value> = values.map(|(pcr, hex)| (pcr, hex.into())).collect();
        banks.insert(bank.algorithm.to_string(), values.into());
    }
    answer = answer
        .with("pcrs", banks)
        .with("explained", by_bank(&account.explained))
        .with("unexplained", by_bank(&account.unexplained));
    logs(answer, evidence, account)
}

fn logs(mut answer: Answer, evidence: &Verified<Evidence>, account: &Account) -> Answer {
    let explained = |ima: bool| {
        let banks = account.explained.iter().filter_map(|(bank, pcrs)| {
            let pcrs: Vec<u32> = pcrs.iter().copied().filter(|pcr| (*pcr == IMA) == ima).collect();
            (!pcrs.is_empty()).then(|| format!("{bank} {}", numbers(&pcrs)))
        });
        banks.collect::<Vec<_>>().join(", ")
    };
    if let Some(log) = evidence.event_log() {
        answer =
            answer.with("event_log", json!({ "events": log.events().len() })).line(format_args!(
                "event log   {} events lead to PCR {}",
                log.events().len(),
                explained(false)
            ));
    }
    if let Some(list) = evidence.ima_log() {
        let (entries, after) = (list.len(), evidence.unquoted());
        answer = answer
            .with("ima_log", json!({ "entries": entries, "after_the_quote": after }))
            .line(format_args!(
                "IMA list    {entries} entries lead to PCR {}; {after} came after the quote and \
                 do not count",
                explained(true)
            ));
    }
    answer
}

const IMA: u32 = touchstone_measure::ima::PCR;

fn by_bank(pcrs: &[(HashAlgorithm, Vec<u32>)]) -> Map<String, Value> {
    pcrs.iter().map(|(bank, pcrs)| (bank.to_string(), pcrs.clone().into())).collect()
}

pub(super) fn appraisal(mut answer: Answer, appraisal: &Appraisal) -> Answer {
    answer = answer
        .line(format_args!("policy      {}", appraisal.policy_id))
        .with("policy", appraisal.policy_id.as_str())
        .with("appraised_at", appraisal.appraised_at)
        .with("evidence_at", appraisal.evidence_at)
        .line("");
    for control in &appraisal.controls {
        answer = answer.line(format_args!(
            "{:8} {}: {}",
            control.status.name(),
            control.name,
            control.reason
        ));
    }
    let controls: Vec<Value> = appraisal.controls.iter().map(control).collect();
    answer = not_evaluated(answer.with("controls", controls), &appraisal.not_evaluated).line("");
    let mut vector = Vec::new();
    for (dimension, value) in appraisal.vector.iter() {
        let (name, tier) = (dimension.name(), Tier::of(value).name());
        let meaning = TrustValue::new(dimension, value).meaning();
        vector.push(json!({ "dimension": name, "value": value, "name": meaning, "tier": tier }));
        if value != 0 {
            answer = answer.line(format_args!("{name:18} {tier:16} {value:4}  {meaning}"));
        }
    }
    answer
        .with("vector", vector)
        .with("tier", appraisal.tier.name())
        .line(format_args!("the device is {}", appraisal.tier))
}

fn control(control: &ControlResult) -> Value {
    let event = |event: &EventRef| match event.log {
        LogName::EventLog => json!({ "log": "event-log", "index": event.index }),
        LogName::Ima => json!({ "log": "ima", "index": event.index }),
    };
    json!({
        "name": control.name,
        "status": control.status.name(),
        "dimension": control.dimension,
        "value": control.value,
        "tier": control.tier().name(),
        "reason": control.reason,
        "severity": control.severity,
        "countermeasures": control.countermeasures,
        "exception": control.exception,
        "events": control.events.iter().map(event).collect::<Vec<_>>(),
    })
}

/// Without a policy there is no verdict about the device.
pub(super) fn unjudged(answer: Answer, list: &[NotEvaluated]) -> Answer {
    not_evaluated(answer, list)
        .with("policy", Value::Null)
        .with("tier", Tier::None.name())
        .line(format_args!("\nthe device is {}: not judged", Tier::None))
}

fn not_evaluated(mut answer: Answer, list: &[NotEvaluated]) -> Answer {
    let json: Vec<Value> =
        list.iter().map(|not| json!({ "what": not.what, "why": not.why })).collect();
    answer = answer.with("not_evaluated", json);
    if !list.is_empty() {
        answer = answer.line("\nnot evaluated:");
    }
    for NotEvaluated { what, why, .. } in list {
        answer = answer.line(format_args!("  {what}: {why}"));
    }
    answer
}

/// `0-7, 10`.
pub(super) fn numbers(pcrs: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &pcr in pcrs {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == pcr => *last = pcr,
            _ => runs.push((pcr, pcr)),
        }
    }
    let run = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_told_as_a_run() {
        assert_eq!(numbers(&[0, 1, 2, 4, 10, 11]), "0-2, 4, 10-11");
        assert_eq!(numbers(&[]), "");
    }
}
