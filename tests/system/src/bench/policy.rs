//! What judging claims by a policy costs, beside reading the same JSON.

use super::best;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;
use touchstone_appraise::{catalog, claims};
use touchstone_policy::ar4si::Tier;
use touchstone_policy::{ClaimSet, Policy, tier};

/// Evaluations in a round: one is too short for the clock.
const TIMES: u32 = 200;

/// What was measured for one policy.
pub struct PolicyCost {
    /// Controls in the policy.
    pub controls: usize,
    /// From the octets of JSON to the tier and every outcome.
    pub verdicts: Duration,
    /// From claims in memory to the same.
    pub evaluation: Duration,
    /// The same JSON read, and nothing made of it.
    pub raw: Duration,
    /// Loading the policy from its text.
    pub loading: Duration,
}

/// Measures a policy of so many controls, which read the same claims in different ways.
pub fn policy(controls: usize, rounds: u32) -> Result<PolicyCost> {
    let (text, catalog) = (written(controls)?, catalog());
    let load = || {
        Policy::parse(&text, &catalog).map_err(|faults| anyhow::anyhow!("the policy: {faults:?}"))
    };
    let policy = load()?;
    let octets = device().to_string();
    let read = || claims::from_file(octets.as_bytes(), &catalog).context("the claims");
    let judge = |claims: &ClaimSet| {
        let outcomes = policy.evaluate(claims);
        (tier(&outcomes), outcomes.len())
    };
    let known = read()?;
    ensure!(judge(&known) == (Tier::Affirming, controls), "the device is not affirmed");
    let many = |mut work: Box<dyn FnMut() -> Result<()> + '_>| {
        let round = || (0..TIMES).try_for_each(|_| work());
        best(rounds, round).map(|time| time / TIMES)
    };
    Ok(PolicyCost {
        controls,
        verdicts: many(Box::new(|| {
            let known = read()?;
            black_box(judge(&known));
            Ok(())
        }))?,
        evaluation: many(Box::new(|| {
            black_box(judge(black_box(&known)));
            Ok(())
        }))?,
        raw: many(Box::new(|| {
            black_box(serde_json::from_slice::<Value>(octets.as_bytes())?);
            Ok(())
        }))?,
        loading: many(Box::new(|| {
            black_box(load()?);
            Ok(())
        }))?,
    })
}

fn written(controls: usize) -> Result<String> {
    const CONDITIONS: [&str; 8] = [
        "boot.secure-boot and device.onboarded and device.endorsed",
        "agent.version >= 0.1.0 and agent.version not in [0.1.7, 0.1.8]",
        "every boot.db in reference.db and boot.db is not empty",
        "every image in boot.images: image.digest in reference.boot-images",
        "boot.command-line in reference.command-lines",
        "ima.violations == 0 and ima.boot-aggregate",
        "every part in components: part.name != \"application\" or part.version >= 2",
        "not boot.command-line contains \"init=\" and element.kind == \"tpm2\"",
    ];
    let mut text = "policy bench version 1 schema 1\n".to_owned();
    for (number, condition) in CONDITIONS.iter().cycle().take(controls).enumerate() {
        writeln!(
            text,
            "control c{number} {{ title \"t\" severity high fresh 1m require {condition} \
             else configuration contraindicated do alert, quarantine }}"
        )?;
    }
    Ok(text)
}

fn device() -> Value {
    let digest = |octet: u8| format!("sha256:{}", format!("{octet:02x}").repeat(32));
    json!({ "schema": claims::SCHEMA, "at": "2026-12-31", "age": "2s", "claims": {
        "device.onboarded": true, "device.endorsed": true, "element.kind": "tpm2",
        "boot.secure-boot": true, "boot.db": [digest(1)], "reference.db": [digest(1)],
        "boot.images": [
            { "event": 17, "digest": digest(2), "name": "shim.efi" },
            { "event": 21, "digest": digest(3), "name": "uki.efi" },
        ],
        "reference.boot-images": [digest(2), digest(3), digest(4)],
        "boot.command-line": "quiet ima_policy=tcb",
        "reference.command-lines": ["quiet ima_policy=tcb"],
        "ima.violations": 0, "ima.boot-aggregate": true, "agent.version": "0.1.0",
        "components": [{ "name": "application", "version": 2 }, { "name": "os", "version": 7 }],
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_timed_is_a_real_verdict() {
        let cost = policy(40, 1).unwrap();
        assert_eq!(cost.controls, 40);
        assert!(cost.verdicts > cost.evaluation && cost.raw > Duration::ZERO);
    }
}
