//! One measurement: what was measured, and what of that was hashed into the PCR.

use super::hash::KernelHash;
use super::list::Order;
use super::template::{Field, Template};
use crate::Problem;
use crate::pcrs::ones;
use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::Write as _;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_wire::Reader;

/// The name in the original template is hashed as so many octets.
const ORIGINAL_NAME: usize = 256;
/// The digest in the original template.
const ORIGINAL_DIGEST: usize = 20;

/// One measurement, read from the octets of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place in the kernel's list; the boot aggregate is 0.
    pub index: u32,
    /// Where it begins in the octets it was read from.
    pub at: usize,
    /// The PCR that was extended.
    pub pcr: u32,
    /// Its template.
    pub template: Template<'a>,
    /// The digest of the template's data as the list tells it: SHA-1, unless the list is that of
    /// another bank. Nothing relies on it; see [`explains`](Self::explains).
    pub template_digest: &'a [u8],
    /// The kernel could not measure reliably, because the file was open for writing at the same
    /// time. Extended as all ones, so the entry's words are not proven.
    pub violation: bool,
    pub(super) data: &'a [u8],
    pub(super) order: Order,
}

/// How an entry was extended into a bank of another algorithm than SHA-1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// The bank's own hash of the template's data (since Linux 5.8).
    #[default]
    Hashed,
    /// SHA-1 with zeros behind it, violations too: kernels before 5.8.
    PaddedSha1,
    /// SHA-1 with zeros behind it, violations as ones throughout: a bank whose hash a kernel since
    /// 5.8 could not compute.
    PaddedSha1Only,
}

impl Extension {
    /// Every way, the usual one first.
    pub const ALL: [Self; 3] = [Self::Hashed, Self::PaddedSha1, Self::PaddedSha1Only];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hashed => "hashed",
            Self::PaddedSha1 => "padded-sha1",
            Self::PaddedSha1Only => "padded-sha1-only",
        }
    }
}

/// The digest of what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileDigest<'a> {
    /// Whether it is over the content, or that of fs-verity.
    pub kind: DigestKind,
    /// Its algorithm.
    pub hash: KernelHash,
    /// Its octets. In a violation zeros, of any number.
    pub octets: &'a [u8],
}

/// What a digest is over (`d-ngv2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestKind {
    /// The file's content, or the buffer that was measured.
    Content,
    /// The fs-verity descriptor of the file.
    Verity,
}

impl FileDigest<'_> {
    /// The digest, if it is of an algorithm that is known here.
    pub fn known(&self) -> Option<Digest> {
        let algorithm = self.hash.algorithm()?;
        // A violation's zeros are as many as SHA-1 has, whatever the algorithm.
        match Digest::new(algorithm, self.octets) {
            None if self.octets.iter().all(|octet| *octet == 0) => Some(Digest::zero(algorithm)),
            digest => digest,
        }
    }
}

impl core::fmt::Display for FileDigest<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.kind == DigestKind::Verity {
            f.write_str("verity:")?;
        }
        write!(f, "{}:", self.hash)?;
        self.octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl<'a> Entry<'a> {
    /// An entry that says nothing.
    pub(super) const fn nothing(index: u32, at: usize) -> Self {
        Self {
            index,
            at,
            pcr: super::PCR,
            template: Template::NG,
            template_digest: &[],
            violation: false,
            data: &[],
            order: Order::Little,
        }
    }

    /// The digest of what was measured; `None` in a custom template without one, and in a violation
    /// where the kernel put none.
    pub fn file_digest(&self) -> Option<FileDigest<'a>> {
        let (digest, _) = self.head()?;
        self.digest_in(digest)
    }

    /// [`file_digest`](Self::file_digest) and [`path`](Self::path), for who wants both of many entries.
    pub fn measured(&self) -> (Option<FileDigest<'a>>, Cow<'a, str>) {
        let Some((digest, name)) = self.head() else { return (None, Cow::Borrowed("")) };
        (self.digest_in(digest), text(name.strip_suffix(&[0]).unwrap_or(name)))
    }

    fn digest_in(&self, digest: &'a [u8]) -> Option<FileDigest<'a>> {
        match self.template.digest_field() {
            Field::Digest => original_digest(digest),
            Field::DigestNgV2 => labelled(digest, true, self.violation).ok(),
            _ => labelled(digest, false, self.violation).ok(),
        }
    }

    /// The digest's field and the name's, with which every template begins.
    fn head(&self) -> Option<(&'a [u8], &'a [u8])> {
        let mut reader = Reader::new(self.data);
        let digest = if self.template.is_original() {
            reader.take(original_digest_len(self.data, self.violation))
        } else {
            self.order.sized(&mut reader)
        };
        Some((digest.ok()?, self.order.sized(&mut reader).ok()?))
    }

    /// The digest of what was measured, if it is of an algorithm that is known here. Zeros in a
    /// [`violation`](Self::violation).
    pub fn digest(&self) -> Option<Digest> {
        self.file_digest()?.known()
    }

    /// The digest of the file without its appended signature.
    pub fn modsig_digest(&self) -> Option<FileDigest<'a>> {
        let octets = self.field(Field::DigestModsig).filter(|octets| !octets.is_empty())?;
        labelled(octets, false, self.violation).ok()
    }

    /// The octets of the file's path as the kernel saw it, with `_` for each space, or of the name
    /// of what was measured instead; empty in a custom template without one.
    pub fn name(&self) -> &'a [u8] {
        let name = self.head().map_or(&[][..], |(_, name)| name);
        name.strip_suffix(&[0]).unwrap_or(name)
    }

    /// [`name`](Self::name) as text, with `\xff` for what is no UTF-8. May hold line breaks.
    pub fn path(&self) -> Cow<'a, str> {
        text(self.name())
    }

    /// Whether this is the aggregate over the boot PCRs that every list begins with.
    pub fn is_boot_aggregate(&self) -> bool {
        self.index == 0 && self.name() == b"boot_aggregate"
    }

    /// The octets of `security.ima` that the entry carries, or of the portable `security.evm`
    /// instead; empty if there is none, or no such field.
    pub fn signature(&self) -> &'a [u8] {
        self.field(Field::Signature).unwrap_or(&[])
    }

    /// The octets of a field as they were hashed; `None` if the template has no such field.
    pub fn field(&self, wanted: Field) -> Option<&'a [u8]> {
        self.fields().find_map(|(field, octets)| (field == wanted).then_some(octets))
    }

    /// A number in a field: `iuid`, `igid` or `imode`.
    pub fn number(&self, wanted: Field) -> Option<u32> {
        number(self.field(wanted)?, self.order)
    }

    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (Field, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.data);
        let (order, original) = (self.order, self.template.is_original());
        let digest = original_digest_len(self.data, self.violation);
        self.template.fields().map_while(move |field| {
            let octets = if original && field == Field::Digest {
                reader.take(digest)
            } else {
                order.sized(&mut reader)
            };
            octets.ok().map(|octets| (field, octets))
        })
    }

    /// What was extended into the bank of `algorithm` for this entry.
    pub fn extended(
        &self,
        crypto: &dyn Crypto,
        algorithm: HashAlgorithm,
        extension: Extension,
    ) -> Digest {
        let sha1 = HashAlgorithm::Sha1;
        match (self.violation, extension) {
            (true, Extension::PaddedSha1) => padded(algorithm, ones(sha1).as_bytes()),
            (true, _) => ones(algorithm),
            (false, Extension::Hashed) => self.template_hash(crypto, algorithm),
            (false, _) => padded(algorithm, self.template_hash(crypto, sha1).as_bytes()),
        }
    }

    /// The hash of the template's data.
    pub fn template_hash(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Digest {
        if !self.template.is_original() {
            return crypto.hash(algorithm, &[self.data]);
        }
        let digest = self.field(Field::Digest).unwrap_or(&[]);
        let name = self.field(Field::Name).unwrap_or(&[]);
        let padding = [0; ORIGINAL_NAME];
        let padding = padding.get(name.len()..).unwrap_or(&[]);
        crypto.hash(algorithm, &[digest, name, padding])
    }

    /// Whether [`template_digest`](Self::template_digest) is the hash of the entry's data; `None`
    /// in a violation, or if no algorithm known here has digests of that length.
    pub fn explains(&self, crypto: &dyn Crypto) -> Option<bool> {
        if self.violation {
            return None;
        }
        let length = self.template_digest.len();
        let algorithm = HashAlgorithm::ALL.into_iter().find(|known| known.len() == length)?;
        Some(self.template_hash(crypto, algorithm).as_bytes() == self.template_digest)
    }

    /// Whether every field is what its identifier promises, and nothing follows.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let mut len = 0;
        let mut count = 0;
        for (field, octets) in self.fields() {
            count += 1;
            let unsized_digest = self.template.is_original() && field == Field::Digest;
            len += octets.len() + if unsized_digest { 0 } else { 4 };
            self.check_field(field, octets)?;
        }
        if count == self.template.fields().count() && len == self.data.len() {
            Ok(())
        } else {
            Err(Problem::ImaField)
        }
    }

    fn check_field(&self, field: Field, octets: &[u8]) -> Result<(), Problem> {
        let good = match field {
            Field::Digest => {
                original_digest(octets).is_some() || self.violation && octets.is_empty()
            }
            Field::DigestModsig if octets.is_empty() => true,
            Field::DigestNg | Field::DigestModsig => {
                return labelled(octets, false, self.violation).map(drop);
            }
            Field::DigestNgV2 => return labelled(octets, true, self.violation).map(drop),
            Field::Name if self.template.is_original() => {
                octets.len() < ORIGINAL_NAME && !octets.contains(&0)
            }
            Field::Name | Field::NameNg => is_string(octets),
            // A custom template may carry them where there is no file.
            Field::XattrNames => octets.is_empty() || is_string(octets),
            Field::XattrLengths => octets.len().is_multiple_of(4),
            Field::Uid | Field::Gid | Field::Mode => {
                octets.is_empty() || number(octets, self.order).is_some()
            }
            Field::Signature
            | Field::Modsig
            | Field::Buffer
            | Field::EvmSignature
            | Field::XattrValues => true,
        };
        if good { Ok(()) } else { Err(Problem::ImaField) }
    }
}

/// A digest of another algorithm, with zeros behind it.
fn padded(algorithm: HashAlgorithm, digest: &[u8]) -> Digest {
    let mut octets = [0; 64];
    for (octet, value) in octets.iter_mut().zip(digest) {
        *octet = *value;
    }
    let octets = octets.get(..algorithm.len()).unwrap_or(&[]);
    Digest::new(algorithm, octets).unwrap_or(Digest::zero(algorithm))
}

fn is_string(octets: &[u8]) -> bool {
    matches!(octets, [text @ .., 0] if !text.contains(&0))
}

/// 8 to 64 bits, as long as the number fits 32.
fn number(octets: &[u8], order: Order) -> Option<u32> {
    if !matches!(octets.len(), 1 | 2 | 4 | 8) {
        return None;
    }
    let add = |sum: u64, octet: &u8| (sum << 8) | u64::from(*octet);
    let sum = match order {
        Order::Little => octets.iter().rev().fold(0, add),
        Order::Big => octets.iter().fold(0, add),
    };
    u32::try_from(sum).ok()
}

/// Octets of the digest in the original template, by what stands there. A violation has zeros, or with
/// some kernels (seen with 6.8) nothing: then the name's length is there, which is not 0.
pub(super) fn original_digest_len(data: &[u8], violation: bool) -> usize {
    let zeros =
        || data.get(..ORIGINAL_DIGEST).is_some_and(|head| head.iter().all(|&octet| octet == 0));
    if violation && !zeros() { 0 } else { ORIGINAL_DIGEST }
}

/// A digest that does not tell its algorithm: SHA-1, or MD5 with zeros behind it or without.
fn original_digest(octets: &[u8]) -> Option<FileDigest<'_>> {
    let hash = match octets.len() {
        ORIGINAL_DIGEST => KernelHash::SHA1,
        16 => KernelHash::MD5,
        _ => return None,
    };
    Some(FileDigest { kind: DigestKind::Content, hash, octets })
}

/// `[<type>:]<algorithm>:\0<digest>`.
fn labelled(field: &[u8], typed: bool, violation: bool) -> Result<FileDigest<'_>, Problem> {
    // What nearly every entry has.
    if let Some(octets) =
        field.strip_prefix(b"sha256:\0").filter(|octets| octets.len() == 32 && !typed)
    {
        return Ok(FileDigest { kind: DigestKind::Content, hash: KernelHash::SHA256, octets });
    }
    let nul = field.iter().position(|&octet| octet == 0).ok_or(Problem::ImaField)?;
    let (label, digest) = field.split_at_checked(nul).ok_or(Problem::ImaField)?;
    let octets = digest.get(1..).unwrap_or(&[]);
    let label = core::str::from_utf8(label).map_err(|_| Problem::ImaField)?;
    let label = label.strip_suffix(':').ok_or(Problem::ImaField)?;
    let (kind, name) = match label.split_once(':') {
        Some(("ima", name)) if typed => (DigestKind::Content, name),
        Some(("verity", name)) if typed => (DigestKind::Verity, name),
        None if !typed => (DigestKind::Content, label),
        _ => return Err(Problem::ImaField),
    };
    let hash = KernelHash::from_name(name).ok_or(Problem::ImaAlgorithm)?;
    let zeros = violation && octets.iter().all(|&octet| octet == 0);
    if octets.len() != hash.len() && !zeros {
        return Err(Problem::ImaField);
    }
    Ok(FileDigest { kind, hash, octets })
}

/// Octets as text, with `\xff` for what is no UTF-8.
pub(super) fn text(octets: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = core::str::from_utf8(octets) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(octets.len() + 16);
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        for octet in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{octet:02x}");
        }
    }
    Cow::Owned(text)
}
