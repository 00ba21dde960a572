//! Which reference values a policy really compares something with. One that is supplied and never
//! evaluated protects nobody, and whoever supplied it believes that it does.

use crate::facts::Silence;
use crate::references::{Kind, Set, readers};
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::HashAlgorithm;
use touchstone_policy::Policy;

/// Why values of a set were never evaluated: for each kind of which none was, the reason.
pub(crate) fn never(
    set: &Set,
    policy: &Policy,
    silence: &Silence,
    bank: HashAlgorithm,
) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for kind in set.kinds().into_keys() {
        let (name, claims) = (kind.name(), readers(kind));
        let asked: Vec<&str> =
            policy.claims().filter(|claim| claims.iter().any(|known| known == claim)).collect();
        let of_other_banks = kind == Kind::Pcr && !set.has_pcrs_of(bank);
        let reason = match asked.iter().find_map(|claim| silence.about(claim)) {
            _ if asked.is_empty() => {
                format!("no control compares values of {name} ({} would)", claims.join(", "))
            }
            Some(why) if asked.iter().all(|claim| silence.about(claim).is_some()) => {
                format!("nothing to compare values of {name} with: {why}")
            }
            _ if of_other_banks => {
                format!("nothing to compare values of {name} with: the quote is of {bank}")
            }
            _ => continue,
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if set.kinds().is_empty() {
        reasons.push("it holds no values".into());
    }
    reasons
}
