//! PCR values beside a quote: what `tpm2_quote -o` writes (`-F serialized` and `-F values`), and
//! what `tpm2_quote` and `tpm2_pcrread` print.

use crate::tpm::{Quote, QuotedPcrs, bind};
use crate::{Error, PcrSelection};
use alloc::format;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_measure::PCR_COUNT;
use touchstone_wire::{Reader, Why};

/// The largest file of PCR values that is read, in octets.
pub const MAX_PCR_FILE: usize = 256 * 1024;

const ITEM: &str = "PCR values";
/// TPM2_NUM_PCR_BANKS of the TSS.
const BANKS: u32 = 16;
/// Digests in a TPML_DIGEST.
const DIGESTS: u32 = 8;
/// A TPML_DIGEST as the TSS holds it in memory: its count, and eight TPM2B_DIGEST of 2 + 64 octets.
const DIGEST_LIST: usize = 4 + 8 * 66;
/// More lists than a quote over every PCR of every bank takes.
const MAX_LISTS: u32 = 48;

/// PCR values as a file holds them: said, and not proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrFile(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// With what they are said to be of.
    Labelled { labels: Vec<PcrSelection>, values: Vec<Vec<u8>> },
    /// One after another, without a word.
    Bare(Vec<u8>),
}

impl PcrFile {
    /// Values as they were read from a TPM, in the order of the selection.
    pub fn of(selection: PcrSelection, values: &[Digest]) -> Self {
        let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        Self(Form::Labelled { labels: alloc::vec![selection], values })
    }

    /// Reads any of the formats.
    pub fn decode(file: &[u8]) -> Result<Self, Error> {
        if file.len() > MAX_PCR_FILE {
            return Err(Error::TooLarge { item: ITEM, limit: MAX_PCR_FILE });
        }
        if is_serialized(file) {
            return serialized(Reader::new(file)).map_err(|error| error.in_item(ITEM));
        }
        match core::str::from_utf8(file) {
            Ok(text) if text.contains(": 0x") => printed(text),
            _ => Ok(Self(Form::Bare(file.to_vec()))),
        }
    }

    /// Binds the values to a verified quote: they are those of the signed selection, in its order,
    /// and nothing else, and their digest is the signed one.
    pub fn bind(
        &self,
        crypto: &dyn Crypto,
        quote: &Verified<Quote>,
    ) -> Result<Verified<QuotedPcrs>, Error> {
        match &self.0 {
            Form::Labelled { labels, values } => bind(crypto, quote, Some(labels), values),
            Form::Bare(octets) => bind(crypto, quote, None, &cut(octets, quote)?),
        }
    }
}

/// Values without labels, each as long as the bank that the quote selects.
fn cut(octets: &[u8], quote: &Quote) -> Result<Vec<Vec<u8>>, Error> {
    let mut reader = Reader::new(octets);
    let mut values = Vec::new();
    for selection in quote.selections() {
        for _ in &selection.pcrs {
            let value = reader.take(selection.algorithm.len()).map_err(|_| Error::PcrValues)?;
            values.push(value.to_vec());
        }
    }
    if reader.is_empty() { Ok(values) } else { Err(Error::PcrValues) }
}

/// Whether the lengths are those of a TPML_PCR_SELECTION, a count, and as many TPML_DIGESTs, each
/// as it lies in the memory of a little-endian machine.
fn is_serialized(file: &[u8]) -> bool {
    let mut reader = Reader::new(file);
    let lens = (|| {
        let banks = reader.u32_le().ok()?;
        reader.take(BANKS as usize * 8).ok()?;
        let lists = reader.u32_le().ok()?;
        let len = usize::try_from(lists).ok()?.checked_mul(DIGEST_LIST)?;
        reader.take(len).ok()?;
        Some((1..=BANKS).contains(&banks) && lists <= MAX_LISTS && reader.is_empty())
    })();
    lens == Some(true)
}

fn serialized(mut reader: Reader<'_>) -> Result<PcrFile, Error> {
    let banks = reader.u32_le()?;
    let mut labels = Vec::new();
    for bank in 0..BANKS {
        let id = reader.u16_le()?;
        let size = usize::from(reader.u8()?);
        let bits = reader.take(4)?;
        reader.u8()?; // alignment
        if bank >= banks {
            continue;
        }
        let bits = bits.get(..size).ok_or(reader.malformed(Why::BadValue))?;
        let selected = |pcr: &u32| {
            bits.get(*pcr as usize / 8).is_some_and(|octet| octet & (1 << (pcr % 8)) != 0)
        };
        if (PCR_COUNT..32).any(|pcr| selected(&pcr)) {
            return Err(reader.malformed(Why::BadValue).into());
        }
        let pcrs: Vec<u32> = (0..PCR_COUNT).filter(selected).collect();
        if !pcrs.is_empty() {
            labels.push(PcrSelection { algorithm: bank_by(id)?, pcrs });
        }
    }
    let mut values = Vec::new();
    for _ in 0..reader.u32_le()? {
        let count = reader.u32_le()?;
        if count > DIGESTS {
            return Err(reader.malformed(Why::BadValue).into());
        }
        for at in 0..DIGESTS {
            let len = usize::from(reader.u16_le()?);
            let buffer = reader.take(64)?;
            if at < count {
                values.push(buffer.get(..len).ok_or(reader.malformed(Why::BadValue))?.to_vec());
            }
        }
    }
    reader.finish()?;
    Ok(PcrFile(Form::Labelled { labels, values }))
}

fn bank_by(id: u16) -> Result<HashAlgorithm, Error> {
    let unknown = Error::Unsupported { item: "PCR bank", id: u32::from(id) };
    HashAlgorithm::from_tpm_id(id).ok_or(unknown)
}

/// `pcrs:`, then for each bank `sha256:` and lines `0 : 0x..`. What a quote prints before and after
/// is passed over.
fn printed(text: &str) -> Result<PcrFile, Error> {
    let (mut labels, mut values): (Vec<PcrSelection>, Vec<_>) = (Vec::new(), Vec::new());
    let mut started = !text.lines().any(|line| line.trim_end() == "pcrs:");
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let malformed = Error::Malformed { item: ITEM, at };
        at += line.len();
        let indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if !started {
            started = line == "pcrs:";
        } else if let Some(name) = line.strip_suffix(':') {
            match HashAlgorithm::from_name(name) {
                Some(algorithm) => labels.push(PcrSelection { algorithm, pcrs: Vec::new() }),
                None if !indented => break,
                None => return Err(malformed),
            }
        } else if !line.is_empty() {
            if !indented {
                break;
            }
            let (pcr, value) = line.split_once(':').ok_or(malformed.clone())?;
            let pcr: u32 = pcr.trim().parse().map_err(|_| malformed.clone())?;
            let bank = labels.last_mut().ok_or(malformed.clone())?;
            // Ascending, as they are hashed: so each is there once, and none in another's place.
            if pcr >= PCR_COUNT || bank.pcrs.last().is_some_and(|last| *last >= pcr) {
                return Err(malformed);
            }
            let hex = value.trim().strip_prefix("0x").ok_or(malformed.clone())?;
            let value = Digest::parse(&format!("{}:{}", bank.algorithm, hex.to_lowercase()));
            bank.pcrs.push(pcr);
            values.push(value.map_err(|_| malformed)?.as_bytes().to_vec());
        }
    }
    Ok(PcrFile(Form::Labelled { labels, values }))
}

#[cfg(test)]
mod tests;
