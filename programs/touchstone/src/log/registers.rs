//! Values of registers as tools write them: `tpm2_pcrread`, `tpm2_eventlog`, `tpm2_quote --pcrs`,
//! `touchstone element pcr read`, or PCR=HEX.

use crate::answer::Failure;
use crate::files::{self, SMALL};
use serde_json::Value;
use std::path::Path;
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_measure::PCR_COUNT;

/// The value of one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register {
    pub(crate) pcr: u32,
    pub(crate) value: Digest,
}

/// What an argument says: PCR=HEX, BANK:PCR=HEX, or a file.
pub(crate) fn read(argument: &str) -> Result<Vec<Register>, Failure> {
    let path = Path::new(argument);
    if !path.exists()
        && let Some((left, hex)) = argument.split_once('=')
    {
        let (bank, pcr) =
            left.split_once(':').map_or((None, left), |(bank, pcr)| (Some(bank), pcr));
        return register(bank, pcr, hex).map(|register| vec![register]).ok_or_else(|| {
            Failure::usage(
                format!("`{argument}` is no register"),
                "write PCR=HEX, as 7=<64 digits>, or BANK:PCR=HEX",
            )
        });
    }
    let content = files::read(path, SMALL)?;
    let found = match std::str::from_utf8(&content) {
        Ok(text) if text.trim_start().starts_with('{') => from_json(text),
        Ok(text) => from_text(text),
        Err(_) => from_quote(&content),
    };
    found.filter(|found| !found.is_empty()).ok_or_else(|| {
        Failure::unknown(
            "touchstone.registers",
            format!("{argument} holds no values of registers"),
            "give what tpm2_pcrread, tpm2_quote --pcrs or `touchstone element pcr read` writes",
        )
    })
}

fn register(bank: Option<&str>, pcr: &str, hex: &str) -> Option<Register> {
    let hex = hex.trim();
    let hex = hex.strip_prefix("0x").unwrap_or(hex).to_lowercase();
    let bank = match bank {
        Some(name) => HashAlgorithm::from_name(name.trim())?,
        None => HashAlgorithm::ALL.into_iter().find(|bank| bank.len() * 2 == hex.len())?,
    };
    let pcr = pcr.trim().parse().ok().filter(|pcr| *pcr < PCR_COUNT)?;
    let value = Digest::parse(&format!("{bank}:{hex}")).ok()?;
    Some(Register { pcr, value })
}

/// Lines `0 : 0xHEX` below a line `sha256:`, lines `sha256 0 HEX`, or lines `0 HEX`. Of what
/// `tpm2_eventlog` prints only the part behind `pcrs:` counts.
fn from_text(text: &str) -> Option<Vec<Register>> {
    let text = text.split_once("\npcrs:\n").map_or(text, |(_, registers)| registers);
    let (mut bank, mut found) = (None::<String>, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = line.replace(':', " : ");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, ":"] => bank = Some((*name).to_owned()),
            [pcr, ":", hex] => {
                // A bank that is not known here is somebody else's to compare.
                if bank.as_deref().is_none_or(|name| HashAlgorithm::from_name(name).is_some()) {
                    found.push(register(bank.as_deref(), pcr, hex)?);
                }
            }
            [name, pcr, hex] => found.push(register(Some(name), pcr, hex)?),
            [pcr, hex] => found.push(register(None, pcr, hex)?),
            _ => return None,
        }
    }
    Some(found)
}

/// `touchstone element pcr read --json`.
fn from_json(text: &str) -> Option<Vec<Register>> {
    let json: Value = serde_json::from_str(text).ok()?;
    let mut found = Vec::new();
    for (bank, values) in json.get("banks")?.as_object()? {
        for (pcr, hex) in values.as_object()? {
            found.push(register(Some(bank), pcr, hex.as_str()?)?);
        }
    }
    Some(found)
}

/// `tpm2_quote --pcrs`, in its default form `serialized`: the TSS's structures as they lie in
/// memory, the least significant octet first. A TPML_PCR_SELECTION, a number, and as many
/// TPML_DIGEST.
fn from_quote(octets: &[u8]) -> Option<Vec<Register>> {
    const SELECTIONS: usize = 16;
    const DIGESTS: usize = 8;
    let mut reader = touchstone_wire::Reader::new(octets);
    let banks = usize::try_from(reader.u32_le().ok()?).ok().filter(|count| *count <= SELECTIONS)?;
    let mut wanted = Vec::new();
    for place in 0..SELECTIONS {
        let bank = reader.u16_le().ok()?;
        let (size, bits) = (usize::from(reader.u8().ok()?), reader.array::<4>().ok()?);
        reader.u8().ok()?; // what the compiler leaves free
        if place < banks {
            let bank = HashAlgorithm::from_tpm_id(bank)?;
            let bits = u32::from_le_bytes(bits);
            let chosen = (0..PCR_COUNT.min(u32::try_from(size).ok()? * 8))
                .filter(|pcr| bits & (1 << pcr) != 0);
            wanted.extend(chosen.map(|pcr| (bank, pcr)));
        }
    }
    let lists = reader.u32_le().ok()?;
    let mut values = Vec::new();
    for _ in 0..lists {
        let count =
            usize::try_from(reader.u32_le().ok()?).ok().filter(|count| *count <= DIGESTS)?;
        for place in 0..DIGESTS {
            let len = usize::from(reader.u16_le().ok()?);
            let value = reader.take(64).ok()?;
            if place < count {
                values.push(value.get(..len)?);
            }
        }
    }
    reader.finish().ok()?;
    if values.len() != wanted.len() {
        return None;
    }
    let pairs = wanted.into_iter().zip(values);
    pairs
        .map(|((bank, pcr), value)| Some(Register { pcr, value: Digest::new(bank, value)? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(octet: u8) -> Digest {
        Digest::new(HashAlgorithm::Sha256, &[octet; 32]).unwrap()
    }

    #[test]
    fn every_form_says_the_same() {
        let (one, two) = ("01".repeat(32), "02".repeat(32));
        let both = [Register { pcr: 0, value: of(1) }, Register { pcr: 7, value: of(2) }];
        let tpm2 = format!(
            "  sha1:\n  sha256:\n    0 : 0x{one}\n    7 : 0x{two}\n  sm3_256:\n    0 : 0x00\n"
        );
        let ours = format!("sha256  0  {one}\nsha256  7  {two}\n");
        let bare = format!("0 {one}\n7 {two}\n");
        let log = format!(
            "---\nevents:\n- EventNum: 0\npcrs:\n  sha256:\n    0  : 0x{one}\n    7  : 0x{two}\n"
        );
        for text in [tpm2, ours, bare, log] {
            assert_eq!(from_text(&text).unwrap(), both, "{text}");
        }
        let json = format!("{{\"banks\":{{\"sha256\":{{\"0\":\"{one}\",\"7\":\"{two}\"}}}}}}");
        assert_eq!(from_json(&json).unwrap(), both);
        assert_eq!(read(&format!("sha256:7={two}")).unwrap(), both[1..]);
    }

    #[test]
    fn what_is_no_register_is_refused() {
        for text in ["7=00", "24=00", "x=y", "md5:7=00"] {
            assert!(read(text).unwrap_err().to_string().contains("is no register"), "{text}");
        }
        assert!(from_text("one two three four").is_none());
        assert!(from_quote(&[1, 0, 0, 0, 11]).is_none());
        assert!(from_quote(&[0xFF; 1200]).is_none());
    }
}
