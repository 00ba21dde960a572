//! A document as it is looked up in: compact, never changed, shared by all devices that it is for.

use super::publisher::Signatory;
use super::table::FileTable;
use super::{Database, Document, Range, ReferenceValue, Supersedes};
use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// One version of one component, ready to be looked up in.
#[derive(Debug)]
pub struct Set {
    pub(super) id: Digest,
    pub(super) tenant: String,
    pub(super) component: String,
    pub(super) version: u64,
    pub(super) supersedes: Option<Supersedes>,
    pub(super) valid_until: Option<u64>,
    pub(super) released: Values,
    pub(super) recorded: Values,
}

impl Set {
    /// The document's values, compiled.
    pub fn new(crypto: &dyn Crypto, document: &Document) -> Self {
        Self {
            id: document.id(crypto),
            tenant: document.tenant.clone(),
            component: document.component.clone(),
            version: document.version,
            supersedes: document.supersedes,
            valid_until: document.valid_until,
            released: Values::new(&document.values),
            recorded: Values::new(&document.recorded),
        }
    }

    /// What identifies it: [`Document::id`].
    pub const fn id(&self) -> &Digest {
        &self.id
    }

    /// The component that it describes.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The component's version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// How many values of each kind it has.
    pub fn kinds(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = self.released.kinds.clone();
        for (kind, count) in &self.recorded.kinds {
            *kinds.entry(*kind).or_default() += count;
        }
        kinds
    }

    /// Whether it has values of registers of that bank.
    pub(crate) fn has_pcrs_of(&self, bank: HashAlgorithm) -> bool {
        let values = [&self.released, &self.recorded];
        let mut pcrs = values.into_iter().flat_map(|values| values.pcrs.values().flatten());
        pcrs.any(|value| value.algorithm() == bank)
    }

    /// About how many octets of memory it takes.
    pub fn octets(&self) -> usize {
        size_of::<Self>() + self.released.octets() + self.recorded.octets()
    }
}

/// What values are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `boot-image`.
    BootImage,
    /// `measurement`.
    Measurement,
    /// `secure-boot-key` of PK.
    PlatformKey,
    /// `secure-boot-key` of KEK.
    KeyExchangeKey,
    /// `secure-boot-key` of db.
    SignatureDatabase,
    /// `secure-boot-key` of dbx.
    Revocation,
    /// `firmware`.
    Firmware,
    /// `pcr`.
    Pcr,
    /// `command-line`.
    CommandLine,
    /// `publisher`.
    Publisher,
    /// `file` and `file-variants`.
    File,
    /// `file-scope`, `file-exclude` and `file-ignore`.
    FileScope,
    /// `generator`.
    Generator,
    /// `code`.
    Code,
}

impl Kind {
    /// The name of the values in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BootImage => "boot-image",
            Self::Measurement => "measurement",
            Self::PlatformKey => "secure-boot-key pk",
            Self::KeyExchangeKey => "secure-boot-key kek",
            Self::SignatureDatabase => "secure-boot-key db",
            Self::Revocation => "secure-boot-key dbx",
            Self::Firmware => "firmware",
            Self::Pcr => "pcr",
            Self::CommandLine => "command-line",
            Self::Publisher => "publisher",
            Self::File => "file",
            Self::FileScope => "file-scope",
            Self::Generator => "generator",
            Self::Code => "code",
        }
    }

    fn of(value: &ReferenceValue) -> Self {
        match value {
            ReferenceValue::BootImage { .. } => Self::BootImage,
            ReferenceValue::Measurement { .. } => Self::Measurement,
            ReferenceValue::SecureBootKey { database: Database::Pk, .. } => Self::PlatformKey,
            ReferenceValue::SecureBootKey { database: Database::Kek, .. } => Self::KeyExchangeKey,
            ReferenceValue::SecureBootKey { database: Database::Db, .. } => Self::SignatureDatabase,
            ReferenceValue::SecureBootKey { database: Database::Dbx, .. } => Self::Revocation,
            ReferenceValue::Firmware { .. } => Self::Firmware,
            ReferenceValue::Pcr { .. } => Self::Pcr,
            ReferenceValue::CommandLine { .. } => Self::CommandLine,
            ReferenceValue::Publisher(_) => Self::Publisher,
            ReferenceValue::File { .. } | ReferenceValue::FileVariants { .. } => Self::File,
            ReferenceValue::FileScope { .. }
            | ReferenceValue::FileExclude { .. }
            | ReferenceValue::FileIgnore { .. } => Self::FileScope,
            ReferenceValue::Generator { .. } => Self::Generator,
            ReferenceValue::Code { .. } => Self::Code,
        }
    }
}

/// A path as IMA tells it: the kernel writes `_` for a space in the name that it hashes.
pub(super) fn as_measured(path: &str) -> Cow<'_, str> {
    if path.contains(' ') { path.replace(' ', "_").into() } else { path.into() }
}

/// Values of one standing, compiled.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) images: BTreeMap<Digest, String>,
    pub(super) measurements: BTreeSet<Digest>,
    pub(super) keys: BTreeMap<Database, Vec<Digest>>,
    pub(super) firmware: BTreeMap<Digest, String>,
    pub(super) pcrs: BTreeMap<u32, Vec<Digest>>,
    pub(super) command_lines: Vec<String>,
    pub(super) publishers: Vec<Signatory>,
    pub(super) files: FileTable,
    pub(super) scopes: Vec<String>,
    pub(super) excludes: Vec<String>,
    pub(super) ignored: BTreeSet<String>,
    pub(super) generators: BTreeSet<String>,
    pub(super) code: BTreeMap<String, Vec<Range>>,
    pub(super) kinds: BTreeMap<Kind, usize>,
}

impl Values {
    pub(super) fn new(values: &[ReferenceValue]) -> Self {
        let mut compiled = Self::default();
        let mut files = Vec::new();
        for value in values {
            *compiled.kinds.entry(Kind::of(value)).or_default() += 1;
            match value {
                ReferenceValue::File { path, digest } => files.push((as_measured(path), *digest)),
                ReferenceValue::FileVariants { path, digests } => {
                    files.extend(digests.iter().map(|digest| (as_measured(path), *digest)));
                }
                other => compiled.add(other),
            }
        }
        compiled.files =
            FileTable::new(files.iter().map(|(path, digest)| (path.as_ref(), *digest)).collect());
        compiled
    }

    fn add(&mut self, value: &ReferenceValue) {
        match value {
            ReferenceValue::BootImage { name, digest } => {
                self.images.insert(*digest, name.clone());
            }
            ReferenceValue::Measurement { digest, .. } => {
                self.measurements.insert(*digest);
            }
            ReferenceValue::SecureBootKey { database, fingerprint } => {
                self.keys.entry(*database).or_default().push(*fingerprint);
            }
            ReferenceValue::Firmware { name, pcr0 } => {
                self.firmware.insert(*pcr0, name.clone());
            }
            ReferenceValue::Pcr { index, value } => {
                self.pcrs.entry(*index).or_default().push(*value);
            }
            ReferenceValue::CommandLine { text } => self.command_lines.push(text.clone()),
            ReferenceValue::Publisher(publisher) => {
                self.publishers.extend(Signatory::new(publisher));
            }
            ReferenceValue::FileScope { prefix } => {
                self.scopes.push(as_measured(prefix).into_owned());
            }
            ReferenceValue::FileExclude { prefix } => {
                self.excludes.push(as_measured(prefix).into_owned());
            }
            ReferenceValue::FileIgnore { path } => {
                self.ignored.insert(as_measured(path).into_owned());
            }
            ReferenceValue::Generator { path } => {
                self.generators.insert(path.clone());
            }
            ReferenceValue::Code { path, ranges } => {
                self.code.entry(path.clone()).or_default().extend(ranges);
            }
            // In the table.
            ReferenceValue::File { .. } | ReferenceValue::FileVariants { .. } => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    pub(super) fn octets(&self) -> usize {
        let code =
            self.code.iter().map(|(path, ranges)| path.len() + size_of_val(ranges.as_slice()));
        let names = self.images.values().chain(self.firmware.values());
        let lists = self.scopes.iter().chain(&self.excludes).chain(&self.generators);
        let texts = names.chain(&self.command_lines).chain(lists);
        let digests = self.images.len() + self.firmware.len() + self.measurements.len();
        self.files.octets()
            + code.sum::<usize>()
            + texts.map(String::len).sum::<usize>()
            + digests * size_of::<Digest>()
            + self.publishers.iter().map(Signatory::octets).sum::<usize>()
    }
}
