//! Claims about registers whose values the references name.

use super::{Notes, Source, note};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use touchstone_crypto::Digest;
use touchstone_policy::Value;

/// What became of a register that reference values are there for.
enum Register {
    Expected,
    Other(Value),
    /// There is nothing to compare, for this reason.
    Unknown(String),
}

/// Registers whose value is not among the references. If there are none, but one that could not be
/// compared, nothing is known.
pub(super) fn unexpected(source: &Source<'_>, notes: &mut Notes) -> Option<Value> {
    let mut known: BTreeMap<u32, Vec<&Digest>> = BTreeMap::new();
    for (index, value) in source.references.pcrs() {
        known.entry(index).or_default().push(value);
    }
    let (mut others, mut unknown) = (Vec::new(), Vec::new());
    for (index, known) in known {
        match compared(source, index, &known) {
            Register::Expected => {}
            Register::Other(other) => others.push(other),
            Register::Unknown(why) => unknown.push(why),
        }
    }
    let decided = unknown.is_empty() || !others.is_empty();
    for why in unknown {
        note(notes, "boot.unexpected-pcrs", None, why);
    }
    decided.then(|| Value::list(others))
}

fn compared(source: &Source<'_>, index: u32, known: &[&Digest]) -> Register {
    let bank = source.evidence.claims.bank;
    let Some(value) = source.evidence.claims.pcr(index) else {
        return Register::Unknown(format!("PCR {index} was not quoted; ask for it in the quote"));
    };
    let mut of_bank = known.iter().filter(|known| known.algorithm() == bank).peekable();
    let Some(expected) = of_bank.peek().map(ToString::to_string) else {
        let of = known.first().map_or_else(String::new, |known| known.algorithm().to_string());
        let why =
            format!("the reference values of PCR {index} are of {of}, the quote is of {bank}");
        return Register::Unknown(why);
    };
    if of_bank.any(|known| **known == value) {
        return Register::Expected;
    }
    let why = format!("PCR {index} is {value}, expected {expected}");
    Register::Other(Value::record([
        ("pcr", i64::from(index).into()),
        ("digest", value.into()),
        ("why", why.into()),
    ]))
}
