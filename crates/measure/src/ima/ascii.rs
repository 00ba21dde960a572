//! The list in ASCII (`ascii_runtime_measurements`), read into the octets that it was printed from.
//!
//! The kernel prints names as they are, line breaks too, so a line may be no entry. The template
//! digest decides: an entry ends at the first line end up to which its fields have that digest.

use super::PCR;
use super::hash::KernelHash;
use super::list::{Format, Limits, Log};
use super::template::{Field, Template};
use crate::{Error, Problem};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm};

/// As many line breaks as are looked for in one name.
const MOST_BREAKS: usize = 32;

impl Log {
    /// Reads a list in ASCII. Each entry's template digest is recomputed from its fields and has to
    /// be the one that is printed, as far as its algorithm is known here.
    pub fn decode_ascii(crypto: &dyn Crypto, text: &[u8]) -> Result<Self, Error> {
        Self::read_ascii(crypto, text, Limits::DEFAULT)
    }

    /// As [`decode_ascii`](Self::decode_ascii), within limits.
    pub fn read_ascii(crypto: &dyn Crypto, text: &[u8], limits: Limits) -> Result<Self, Error> {
        if text.len() > limits.octets {
            return Err(Error::new(Problem::ImaTooLarge, limits.octets, 0));
        }
        let mut octets = Vec::new();
        let mut at = 0;
        let mut index = 0;
        let mut format = None;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let fail = |problem| Error::new(problem, at, index);
            if index as usize >= limits.entries {
                return Err(fail(Problem::ImaTooLarge));
            }
            let (printed, len) = entry(crypto, rest, limits).map_err(fail)?;
            let template_digest = printed.template_digest.len();
            let format = *format.get_or_insert(Format { template_digest, ..Format::default() });
            if format.template_digest != template_digest {
                return Err(fail(Problem::ImaField));
            }
            printed.write(&mut octets);
            at += len;
            index += 1;
        }
        Self::read(octets, format.unwrap_or_default(), limits, 0)
    }
}

/// Whether octets look like a list in ASCII: the number of a PCR and a space.
pub fn is_ascii(list: &[u8]) -> bool {
    let printed = |octet: &u8| octet.is_ascii_digit() || *octet == b' ';
    list.len() > 3 && list.iter().take(3).all(printed)
}

/// An entry as it was printed, its fields in octets again.
struct Printed<'a> {
    template_digest: Vec<u8>,
    template: Template<'a>,
    data: Vec<u8>,
}

impl Printed<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(PCR.to_le_bytes());
        out.extend(&self.template_digest);
        sized(out, self.template.name().as_bytes());
        if self.template.is_original() {
            out.extend(&self.data);
        } else {
            sized(out, &self.data);
        }
    }

    /// Whether the fields have another digest than was printed, as far as that can be told: a
    /// violation has none, and SHA-1 alone is known by its length.
    fn contradicts(&self, crypto: &dyn Crypto) -> bool {
        let mut octets = Vec::new();
        self.write(&mut octets);
        let format = Format { template_digest: self.template_digest.len(), ..Format::default() };
        match Log::read(octets, format, Limits::DEFAULT, 0) {
            Ok(one) => {
                let explains = one.get(0).and_then(|entry| entry.explains(crypto));
                explains == Some(false) && self.template_digest.len() == HashAlgorithm::Sha1.len()
            }
            Err(_) => true,
        }
    }
}

/// The entry at the front, and how many octets it takes with its line end.
fn entry<'a>(
    crypto: &dyn Crypto,
    text: &'a [u8],
    limits: Limits,
) -> Result<(Printed<'a>, usize), Problem> {
    let window = text.get(..text.len().min(limits.entry.saturating_mul(2))).unwrap_or(text);
    let ends = window.iter().enumerate().filter(|(_, octet)| **octet == b'\n').map(|(end, _)| end);
    let last = (window.len() == text.len() && !text.ends_with(b"\n")).then_some(text.len());
    let mut fault = Problem::ImaTruncated;
    for (tried, end) in ends.chain(last).take(MOST_BREAKS).enumerate() {
        let line = text.get(..end).unwrap_or(text);
        let problem = match printed(line) {
            Err(problem) => problem,
            Ok(printed) if printed.contradicts(crypto) => Problem::ImaTemplateDigest,
            Ok(printed) => return Ok((printed, end + 1)),
        };
        // The first line is the one that most likely was meant.
        if tried == 0 {
            fault = problem;
        }
    }
    Err(fault)
}

/// `<pcr> <template digest> <template> <field>...`, the kernel puts a space before each field, and
/// nothing for an empty one.
fn printed(line: &[u8]) -> Result<Printed<'_>, Problem> {
    let line = line.strip_prefix(b" ").unwrap_or(line);
    let mut words = line.splitn(4, |octet| *octet == b' ');
    let mut word = || words.next().ok_or(Problem::ImaAscii);
    let pcr = core::str::from_utf8(word()?).ok().and_then(|pcr| pcr.parse::<u32>().ok());
    if pcr.ok_or(Problem::ImaAscii)? != PCR {
        return Err(Problem::ImaPcr);
    }
    let template_digest = unhex(word()?).ok_or(Problem::ImaAscii)?;
    if !matches!(template_digest.len(), 20 | 32 | 48 | 64) {
        return Err(Problem::ImaAscii);
    }
    let template = Template::named(word()?)?;
    let data = fields(&template, word()?)?;
    Ok(Printed { template_digest, template, data })
}

fn fields(template: &Template<'_>, text: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut data = Vec::new();
    let mut rest = Some(text);
    let mut left = template.fields().count();
    for field in template.fields() {
        left -= 1;
        let words = rest.ok_or(Problem::ImaAscii)?;
        // Spaces in names are printed as `_`, so each field is one word.
        let (word, more) = match words.iter().position(|octet| *octet == b' ') {
            Some(space) if left > 0 => (words.get(..space), words.get(space + 1..)),
            // evmctl and kernels leave a space where the last field is empty.
            _ => (Some(words), None),
        };
        rest = more;
        write_field(template, field, word.unwrap_or(&[]), &mut data)?;
    }
    Ok(data)
}

fn write_field(
    template: &Template<'_>,
    field: Field,
    word: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let octets = match field {
        Field::Name if template.is_original() => word.to_vec(),
        Field::Name | Field::NameNg => [word, &[0]].concat(),
        Field::DigestNg | Field::DigestNgV2 => labelled(word)?,
        // What may be missing is printed as nothing.
        _ if word.is_empty() => Vec::new(),
        Field::DigestModsig => labelled(word)?,
        Field::XattrNames => [word, &[0]].concat(),
        Field::Uid | Field::Gid => number(word)?.to_le_bytes().to_vec(),
        Field::Mode => {
            let mode = u16::try_from(number(word)?).map_err(|_| Problem::ImaField)?;
            mode.to_le_bytes().to_vec()
        }
        Field::Digest
        | Field::Signature
        | Field::Modsig
        | Field::Buffer
        | Field::EvmSignature
        | Field::XattrLengths
        | Field::XattrValues => unhex(word).ok_or(Problem::ImaField)?,
    };
    if template.is_original() && field == Field::Digest {
        out.extend(octets);
    } else {
        sized(out, &octets);
    }
    Ok(())
}

/// `sha256:ab12` or `verity:sha256:ab12`, with a NUL before the digest's octets.
fn labelled(word: &[u8]) -> Result<Vec<u8>, Problem> {
    let colon = word.iter().rposition(|octet| *octet == b':').ok_or(Problem::ImaField)?;
    let (label, digest) = word.split_at_checked(colon + 1).ok_or(Problem::ImaField)?;
    let name = label.split(|octet| *octet == b':').rev().nth(1).unwrap_or(&[]);
    let known = core::str::from_utf8(name).ok().and_then(KernelHash::from_name);
    known.ok_or(Problem::ImaAlgorithm)?;
    let digest = unhex(digest).ok_or(Problem::ImaField)?;
    Ok([label, &[0], &digest].concat())
}

fn number(word: &[u8]) -> Result<u32, Problem> {
    let text = core::str::from_utf8(word).map_err(|_| Problem::ImaField)?;
    text.parse().map_err(|_| Problem::ImaField)
}

fn unhex(word: &[u8]) -> Option<Vec<u8>> {
    if !word.len().is_multiple_of(2) {
        return None;
    }
    let digit =
        |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    word.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn sized(out: &mut Vec<u8>, octets: &[u8]) {
    // Nothing that was printed in a list within limits is longer than 32 bits can say.
    out.extend(u32::try_from(octets.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(octets);
}
