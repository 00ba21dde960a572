//! The IMA measurement list of the Linux kernel (`binary_runtime_measurements`): which files were
//! opened or run, each entry extended into PCR 10. Little-endian, templates `ima-ng`, `ima-sig`
//! and their kin (kernel documentation, "IMA template management mechanism").
//!
//! The list grows while a quote is made, so the quoted value may belong to a prefix of it:
//! [`Log::prefix`] finds that prefix. What lies behind it is not evidence.

use crate::pcrs::ones;
use crate::{Error, Problem};
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_wire::Reader;

/// The PCR that the kernel extends, unless it was built otherwise.
pub const PCR: u32 = 10;
/// The largest list that is read, in octets.
pub const MAX_LOG: usize = 16 * 1024 * 1024;
/// The most entries that are read.
pub const MAX_ENTRIES: usize = 131_072;

const MAX_FIELD: usize = 1024 * 1024;

/// A parsed measurement list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    entries: Vec<Entry>,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the list; the boot aggregate is 0.
    pub index: u32,
    /// The template's name: `ima-ng`.
    pub template: &'static str,
    /// The digest of the file's content. Zeros in a [`violation`](Self::violation).
    pub digest: Digest,
    /// The file's path as the kernel saw it, or the name of what was measured instead.
    pub path: String,
    /// The signature from `security.ima`, in the templates that carry one; empty if there is none.
    pub signature: Vec<u8>,
    /// The kernel could not measure reliably, because the file was open for writing at the same
    /// time. Extended as all ones, so the entry's words are not proven.
    pub violation: bool,
    /// The template's data: what was hashed into the PCR.
    data: Vec<u8>,
}

/// How much of a list a quote proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Entries that the quoted value accounts for.
    pub quoted: usize,
    /// Entries behind them.
    pub left_over: usize,
    /// The value of the PCR after the quoted entries.
    pub value: Digest,
}

impl Log {
    /// Parses a whole list. An empty one is a list of no entries.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_LOG {
            return Err(Error::new(Problem::ImaTooLarge, MAX_LOG, 0));
        }
        let mut reader = Reader::new(bytes);
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let index = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            if entries.len() >= MAX_ENTRIES {
                return Err(Error::new(Problem::ImaTooLarge, reader.position(), index));
            }
            entries.push(entry(&mut reader, index)?);
        }
        Ok(Self { entries })
    }

    /// The entries in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Drops what lies behind the first `count` entries.
    pub fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
    }

    /// The value of PCR 10 after all entries, beginning with a PCR of zeros.
    ///
    /// The kernel extends the bank's own hash of the template data (since Linux 5.8).
    pub fn replay_pcr10(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Digest {
        self.entries.iter().fold(Digest::zero(algorithm), |value, entry| {
            crypto
                .hash(algorithm, &[value.as_bytes(), entry.extended(crypto, algorithm).as_bytes()])
        })
    }

    /// The longest prefix after which PCR 10 has a value that `is_quoted`; `None` if there is no
    /// such prefix.
    pub fn prefix(
        &self,
        crypto: &dyn Crypto,
        algorithm: HashAlgorithm,
        mut is_quoted: impl FnMut(&Digest) -> bool,
    ) -> Option<Prefix> {
        let mut value = Digest::zero(algorithm);
        let mut values = Vec::with_capacity(self.entries.len() + 1);
        values.push(value);
        for entry in &self.entries {
            let extended = entry.extended(crypto, algorithm);
            value = crypto.hash(algorithm, &[value.as_bytes(), extended.as_bytes()]);
            values.push(value);
        }
        // From the end: entries that came between quote and reading are few.
        let (quoted, value) =
            values.into_iter().enumerate().rev().find(|(_, value)| is_quoted(value))?;
        Some(Prefix { quoted, left_over: self.entries.len() - quoted, value })
    }
}

impl Entry {
    /// What was extended into the bank of `algorithm` for this entry.
    pub fn extended(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Digest {
        if self.violation { ones(algorithm) } else { crypto.hash(algorithm, &[&self.data]) }
    }

    /// Whether this is the aggregate over the boot PCRs that every list begins with.
    pub fn is_boot_aggregate(&self) -> bool {
        self.index == 0 && self.path == "boot_aggregate"
    }
}

fn entry(reader: &mut Reader<'_>, index: u32) -> Result<Entry, Error> {
    let at = reader.position();
    let fail = |problem| Error::new(problem, at, index);
    let truncated = fail(Problem::ImaTruncated);
    if reader.u32_le().map_err(|_| truncated)? != PCR {
        return Err(fail(Problem::ImaPcr));
    }
    let template_digest = reader.take(20).map_err(|_| truncated)?;
    let name = reader.sized_u32_le().map_err(|_| truncated)?;
    let template = Template::named(name).ok_or(fail(Problem::ImaTemplate))?;
    let data = reader.sized_u32_le().map_err(|_| truncated)?;
    if data.len() > MAX_FIELD {
        return Err(fail(Problem::ImaTooLarge));
    }
    let violation = template_digest.iter().all(|&octet| octet == 0);
    let mut fields = Reader::new(data);
    let digest = fields.sized_u32_le().map_err(|_| fail(Problem::ImaField))?;
    let path = fields.sized_u32_le().map_err(|_| fail(Problem::ImaField))?;
    let third =
        if template.third == Third::Missing { Some(&[][..]) } else { fields.sized_u32_le().ok() };
    let third = third.ok_or(fail(Problem::ImaField))?;
    if !template.more && !fields.is_empty() {
        return Err(fail(Problem::ImaField));
    }
    let path = match path {
        [name @ .., 0] if !name.contains(&0) => String::from_utf8_lossy(name).into_owned(),
        _ => return Err(fail(Problem::ImaField)),
    };
    Ok(Entry {
        index,
        template: template.name,
        digest: file_digest(digest, template.typed, violation).map_err(fail)?,
        path,
        signature: if template.third == Third::Signature { third.to_vec() } else { Vec::new() },
        violation,
        data: data.to_vec(),
    })
}

/// A template: the fields behind `d-ng|n-ng`.
struct Template {
    name: &'static str,
    /// The digest field begins with `ima:` or `verity:` (d-ngv2).
    typed: bool,
    third: Third,
    /// Fields follow that say nothing to us.
    more: bool,
}

/// The third field.
#[derive(PartialEq, Eq)]
enum Third {
    Missing,
    Signature,
    /// Something that is of no use here.
    Other,
}

impl Template {
    const fn new(name: &'static str, typed: bool, third: Third, more: bool) -> Self {
        Self { name, typed, third, more }
    }

    const ALL: [Self; 7] = [
        Self::new("ima-ng", false, Third::Missing, false),
        Self::new("ima-sig", false, Third::Signature, false),
        Self::new("ima-ngv2", true, Third::Missing, false),
        Self::new("ima-sigv2", true, Third::Signature, false),
        Self::new("ima-buf", false, Third::Other, false),
        Self::new("ima-modsig", false, Third::Signature, true),
        Self::new("evm-sig", false, Third::Other, true),
    ];

    fn named(name: &[u8]) -> Option<&'static Self> {
        static ALL: [Template; 7] = Template::ALL;
        ALL.iter().find(|template| template.name.as_bytes() == name)
    }
}

/// `[<type>:]<algorithm>:\0<digest>`.
fn file_digest(field: &[u8], typed: bool, violation: bool) -> Result<Digest, Problem> {
    let nul = field.iter().position(|&octet| octet == 0).ok_or(Problem::ImaField)?;
    let (label, digest) = field.split_at_checked(nul).ok_or(Problem::ImaField)?;
    let digest = digest.get(1..).unwrap_or(&[]);
    let label = core::str::from_utf8(label).map_err(|_| Problem::ImaField)?;
    let label = label.strip_suffix(':').ok_or(Problem::ImaField)?;
    let label = match label.split_once(':') {
        Some(("ima" | "verity", name)) if typed => name,
        None if !typed => label,
        _ => return Err(Problem::ImaField),
    };
    let algorithm = HashAlgorithm::from_name(label).ok_or(Problem::ImaAlgorithm)?;
    // A violation names its algorithm (sha1) whatever the length of its zeros.
    if violation && digest.iter().all(|&octet| octet == 0) {
        return Ok(Digest::zero(algorithm));
    }
    Digest::new(algorithm, digest).ok_or(Problem::ImaField)
}
