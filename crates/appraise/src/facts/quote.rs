//! Claims about the quote itself: what the TPM signed beside the PCRs.

use touchstone_evidence::Claims;
use touchstone_policy::{Catalog, Type, Value};

/// Their names and types.
pub(crate) fn catalog(catalog: Catalog) -> Catalog {
    catalog
        .with("quote.clock", Type::Integer, "the TPM's clock, in milliseconds")
        .with("quote.clock-safe", Type::Boolean, "the TPM's clock showed no later time before")
        .with("quote.reset-count", Type::Integer, "how often the TPM was reset")
        .with("quote.restart-count", Type::Integer, "how often it went on since its last reset")
        .with("quote.firmware-version", Type::Text, "the TPM's firmware version, in hexadecimal")
        .with("quote.pcrs", pcrs(), "the quoted PCRs with their values")
}

fn pcrs() -> Type {
    Type::list(Type::record([("pcr", Type::Integer), ("digest", Type::Digest)]))
}

pub(super) fn claim(name: &str, claims: &Claims<'_>) -> Option<Value> {
    let attest = claims.attest;
    let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX).into();
    Some(match name {
        "quote.clock" => integer(attest.clock.clock),
        "quote.clock-safe" => attest.clock.safe.into(),
        "quote.reset-count" => integer(attest.clock.reset_count.into()),
        "quote.restart-count" => integer(attest.clock.restart_count.into()),
        "quote.firmware-version" => format!("{:#018x}", attest.firmware_version).into(),
        "quote.pcrs" => Value::list(claims.pcrs().map(|(pcr, digest)| {
            Value::record([("pcr", i64::from(pcr).into()), ("digest", digest.into())])
        })),
        _ => return None,
    })
}
