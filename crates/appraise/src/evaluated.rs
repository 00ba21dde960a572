//! Which reference values a policy really compares something with. One that is supplied and never
//! evaluated protects nobody, and whoever supplied it believes that it does.

use crate::facts::Silence;
use crate::references::{Set, readers};
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_policy::Policy;

/// Why the values of a set were never evaluated: for each kind of them, the reason. Empty if at
/// least one kind was.
pub(crate) fn never(set: &Set, policy: &Policy, silence: &Silence) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for kind in set.kinds().into_keys() {
        let (name, claims) = (kind.name(), readers(kind));
        let asked: Vec<&str> =
            policy.claims().filter(|claim| claims.iter().any(|known| known == claim)).collect();
        let reason = match asked.iter().find_map(|claim| silence.about(claim)) {
            _ if asked.is_empty() => {
                format!("no control compares values of {name} ({} would)", claims.join(", "))
            }
            Some(why) if asked.iter().all(|claim| silence.about(claim).is_some()) => {
                format!("nothing to compare values of {name} with: {why}")
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
