//! RPM headers, in packages and in databases: the digests of files, and their IMA signatures
//! (rpm(8), `lib/rpm/rpmtag.h`). The payload is not read: a header says what each file is.

use std::fmt;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// A file of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PackageFile {
    /// Its path on the device.
    pub(crate) path: String,
    /// The digest of its content.
    pub(crate) digest: Digest,
    /// What becomes its `security.ima`; empty without one.
    pub(crate) signature: Vec<u8>,
}

/// What a package says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// `name-version-release`.
    pub(crate) name: String,
    /// Its regular files that have a content.
    pub(crate) files: Vec<PackageFile>,
}

/// Why a package is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// Not a package.
    Lead,
    /// The header does not parse at that octet of it.
    Header(usize),
    /// More entries or octets than the limits.
    TooLarge,
    /// The header is not the one that its digest was made of.
    Digest,
    /// A tag does not have the type or the number of values that it must have.
    Tag(u32),
    /// File digests of that algorithm (RFC 9580 §9.5) are not known.
    Algorithm(u32),
    /// A path or a digest does not parse.
    File(usize),
}

impl Error {
    /// The stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Lead => "reference.rpm.lead",
            Self::Header(_) => "reference.rpm.header",
            Self::TooLarge => "reference.rpm.too-large",
            Self::Digest => "reference.rpm.digest",
            Self::Tag(_) => "reference.rpm.tag",
            Self::Algorithm(_) => "reference.rpm.algorithm",
            Self::File(_) => "reference.rpm.file",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lead => f.write_str("not an RPM package"),
            Self::Header(at) => write!(f, "its header does not parse at octet {at}"),
            Self::TooLarge => f.write_str("its header is larger than the limits allow"),
            Self::Digest => f.write_str("its header was changed: the digest of it is another"),
            Self::Tag(tag) => write!(f, "tag {tag} of its header is not as it must be"),
            Self::Algorithm(id) => {
                write!(f, "its file digests are of algorithm {id}; known are SHA-2 (8, 9, 10)")
            }
            Self::File(at) => write!(f, "file {at} has a path or digest that does not parse"),
        }
    }
}

const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
const MOST_ENTRIES: usize = 65_536;
const MOST_STORE: usize = 256 << 20;
const MOST_FILES: usize = 500_000;
const ENTRY: usize = 16;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const FILE_MODES: u32 = 1030;
const FILE_DIGESTS: u32 = 1035;
const FILE_FLAGS: u32 = 1037;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const FILE_DIGEST_ALGORITHM: u32 = 5011;
/// In the signature header of a package, and in the header of a database.
const FILE_SIGNATURES: u32 = 274;
/// The SHA-256 of the main header, in the signature header.
const HEADER_SHA256: u32 = 273;
const GHOST: u32 = 1 << 6;
const TYPE_MASK: u16 = 0o170_000;
const REGULAR: u16 = 0o100_000;

/// Reads a package (`.rpm`): its lead, the signature header, the header.
pub(crate) fn package(crypto: &dyn Crypto, octets: &[u8]) -> Result<Package, Error> {
    let rest = octets.get(LEAD..).filter(|_| octets.starts_with(&LEAD_MAGIC)).ok_or(Error::Lead)?;
    let (signatures, len) = Header::with_magic(rest)?;
    let rest = rest.get(len.next_multiple_of(8)..).ok_or(Error::Header(len))?;
    let (header, len) = Header::with_magic(rest)?;
    if let Some(digest) = signatures.strings(HEADER_SHA256)? {
        let is = crypto.hash(HashAlgorithm::Sha256, &[rest.get(..len).unwrap_or(&[])]);
        if digest.first().is_none_or(|digest| *digest != is.to_hex()) {
            return Err(Error::Digest);
        }
    }
    files(&header, signatures.strings(FILE_SIGNATURES)?.as_deref())
}

/// Reads a header of a database: without a magic before it.
pub(crate) fn installed(blob: &[u8]) -> Result<Package, Error> {
    let (header, _) = Header::bare(blob, 0)?;
    let signatures = header.strings(FILE_SIGNATURES)?;
    files(&header, signatures.as_deref())
}

fn files(header: &Header<'_>, signatures: Option<&[&str]>) -> Result<Package, Error> {
    let one = |tag| -> Result<&str, Error> {
        header.strings(tag)?.and_then(|texts| texts.first().copied()).ok_or(Error::Tag(tag))
    };
    let name = format!("{}-{}-{}", one(NAME)?, one(VERSION)?, one(RELEASE)?);
    let Some(base_names) = header.strings(BASE_NAMES)? else {
        return Ok(Package { name, files: Vec::new() });
    };
    let count = base_names.len();
    let of_files = |values: Vec<u32>, tag| {
        if values.len() == count { Ok(values) } else { Err(Error::Tag(tag)) }
    };
    let dir_names = header.strings(DIR_NAMES)?.ok_or(Error::Tag(DIR_NAMES))?;
    let dirs = of_files(header.numbers(DIR_INDEXES)?.ok_or(Error::Tag(DIR_INDEXES))?, DIR_INDEXES)?;
    let modes = of_files(header.numbers(FILE_MODES)?.ok_or(Error::Tag(FILE_MODES))?, FILE_MODES)?;
    let flags = of_files(header.numbers(FILE_FLAGS)?.ok_or(Error::Tag(FILE_FLAGS))?, FILE_FLAGS)?;
    let digests = header.strings(FILE_DIGESTS)?.ok_or(Error::Tag(FILE_DIGESTS))?;
    if digests.len() != count || signatures.is_some_and(|all| all.len() != count) {
        return Err(Error::Tag(FILE_DIGESTS));
    }
    // Packages that do not say have MD5, which proves nothing.
    let id = header.numbers(FILE_DIGEST_ALGORITHM)?.and_then(|ids| ids.first().copied());
    let algorithm = match id.unwrap_or(1) {
        8 => HashAlgorithm::Sha256,
        9 => HashAlgorithm::Sha384,
        10 => HashAlgorithm::Sha512,
        other => return Err(Error::Algorithm(other)),
    };
    let mut files = Vec::new();
    let each = base_names.iter().zip(&dirs).zip(&modes).zip(&flags).zip(&digests).enumerate();
    for (at, ((((base, dir), mode), flags), digest)) in each {
        let mode = u16::try_from(*mode & 0xffff).unwrap_or_default();
        if mode & TYPE_MASK != REGULAR || flags & GHOST != 0 || digest.is_empty() {
            continue;
        }
        let dir = usize::try_from(*dir).ok().and_then(|dir| dir_names.get(dir));
        let path = format!("{}{base}", dir.ok_or(Error::File(at))?);
        if !path.starts_with('/') {
            return Err(Error::File(at));
        }
        let digest =
            Digest::parse(&format!("{algorithm}:{digest}")).map_err(|_| Error::File(at))?;
        let signature = signatures.and_then(|all| all.get(at)).copied().unwrap_or("");
        let signature = unhex(signature).ok_or(Error::File(at))?;
        files.push(PackageFile { path, digest, signature });
    }
    Ok(Package { name, files })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// An index of tags, and the store that they point into.
struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn with_magic(octets: &'a [u8]) -> Result<(Self, usize), Error> {
        let rest = octets.strip_prefix(&HEADER_MAGIC).ok_or(Error::Header(0))?;
        let rest = rest.get(4..).ok_or(Error::Header(4))?;
        let (header, len) = Self::bare(rest, 8)?;
        Ok((header, len + 8))
    }

    /// The header, and how long it is; `at` is where the octets begin, for errors.
    fn bare(octets: &'a [u8], at: usize) -> Result<(Self, usize), Error> {
        let entries = number(octets, 0).ok_or(Error::Header(at))?;
        let store = number(octets, 4).ok_or(Error::Header(at + 4))?;
        if entries > MOST_ENTRIES || store > MOST_STORE {
            return Err(Error::TooLarge);
        }
        let index_end = 8 + entries * ENTRY;
        let index = octets.get(8..index_end).ok_or(Error::Header(at + 8))?;
        let end = index_end + store;
        let store = octets.get(index_end..end).ok_or(Error::Header(at + index_end))?;
        Ok((Self { index, store }, end))
    }

    /// The type, place and count of a tag's values.
    fn find(&self, tag: u32) -> Option<(usize, usize, usize)> {
        let wanted = usize::try_from(tag).ok()?;
        let mut entries = self.index.chunks_exact(ENTRY);
        let entry = entries.find(|entry| number(entry, 0) == Some(wanted))?;
        Some((number(entry, 4)?, number(entry, 8)?, number(entry, 12)?))
    }

    /// The values of a tag of texts.
    fn strings(&self, tag: u32) -> Result<Option<Vec<&'a str>>, Error> {
        let Some((kind, place, count)) = self.find(tag) else { return Ok(None) };
        if !matches!(kind, 6 | 8 | 9) || count > MOST_FILES {
            return Err(Error::Tag(tag));
        }
        let mut rest = self.store.get(place..).ok_or(Error::Tag(tag))?;
        let mut texts = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            let end = rest.iter().position(|octet| *octet == 0).ok_or(Error::Tag(tag))?;
            let (text, after) = rest.split_at_checked(end).ok_or(Error::Tag(tag))?;
            texts.push(core::str::from_utf8(text).map_err(|_| Error::Tag(tag))?);
            rest = after.get(1..).unwrap_or(&[]);
        }
        Ok(Some(texts))
    }

    /// The values of a tag of numbers of 16 or 32 bits.
    fn numbers(&self, tag: u32) -> Result<Option<Vec<u32>>, Error> {
        let Some((kind, place, count)) = self.find(tag) else { return Ok(None) };
        let width = match kind {
            3 => 2,
            4 => 4,
            _ => return Err(Error::Tag(tag)),
        };
        let end = count.checked_mul(width).and_then(|len| place.checked_add(len));
        let octets = end.and_then(|end| self.store.get(place..end)).ok_or(Error::Tag(tag))?;
        let value =
            |octets: &[u8]| octets.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet));
        Ok(Some(octets.chunks_exact(width).map(value).collect()))
    }
}

/// A number of 32 bits, the most significant octet first.
fn number(octets: &[u8], at: usize) -> Option<usize> {
    let octets = octets.get(at..at.checked_add(4)?)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*octets)).ok()
}
