//! Which reference values a policy really compares something with. One that is supplied and never
//! evaluated protects nobody, and whoever supplied it believes that it does.

use crate::facts::Silence;
use crate::references::{Database, Document, ReferenceValue};
use touchstone_policy::Policy;

/// Why the values of a document were never evaluated: for each kind of them, the reason. Empty if
/// at least one kind was.
pub(crate) fn never(document: &Document, policy: &Policy, silence: &Silence) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for value in &document.values {
        let (kind, claims) = judged_by(value);
        let asked: Vec<&str> =
            policy.claims().filter(|claim| claims.iter().any(|known| known == claim)).collect();
        let reason = match asked.iter().find_map(|claim| silence.about(claim)) {
            _ if asked.is_empty() => {
                format!("no control compares {kind} ({} would)", claims.join(", "))
            }
            Some(why) if asked.iter().all(|claim| silence.about(claim).is_some()) => {
                format!("nothing to compare {kind} with: {why}")
            }
            _ => return Vec::new(),
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        reasons.push("it holds no values".into());
    }
    reasons
}

/// The kind of a value, and the claims that are made with it.
fn judged_by(value: &ReferenceValue) -> (&'static str, &'static [&'static str]) {
    match value {
        ReferenceValue::BootImage { .. } => {
            ("boot images", &["boot.unknown-images", "reference.boot-images"])
        }
        ReferenceValue::Measurement { .. } => ("measurements", &["boot.unknown-measurements"]),
        ReferenceValue::SecureBootKey { database: Database::Pk, .. } => {
            ("platform keys", &["reference.pk"])
        }
        ReferenceValue::SecureBootKey { database: Database::Kek, .. } => {
            ("key exchange keys", &["reference.kek"])
        }
        ReferenceValue::SecureBootKey { database: Database::Db, .. } => {
            ("signature databases", &["reference.db"])
        }
        ReferenceValue::Firmware { .. } => ("firmware", &["reference.firmware"]),
        ReferenceValue::CommandLine { .. } => ("command lines", &["reference.command-lines"]),
        ReferenceValue::File { .. } | ReferenceValue::FileScope { .. } => {
            ("files", &["ima.unknown-files", "reference.files"])
        }
        ReferenceValue::Code { .. } => ("code", &["runtime.changed-code"]),
    }
}
