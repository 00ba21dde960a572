//! Reference values: what a publisher says is good, as JSON inside CMS signed by them.
//!
//! Several documents merge into one set of [`References`]; each entry remembers the component and
//! version that it came with, so that a reason can name them.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use touchstone_certs::{Purpose, TrustStore};
use touchstone_cms::SignedData;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_evidence::runtime::CodeRange;
use touchstone_measure::authenticode::Section;

mod error;

pub use error::Error;

/// The schema that documents of this form name.
pub const SCHEMA: &str = "touchstone.references/1";
/// The largest document that is read, in octets.
pub const MAX_DOCUMENT: usize = 32 * 1024 * 1024;
/// The most values in a document.
pub const MAX_VALUES: usize = 500_000;

/// One document of reference values, for one version of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whose devices it is for.
    pub tenant: String,
    /// The component that it describes.
    pub component: String,
    /// The component's version.
    pub version: u64,
    /// The values.
    pub values: Vec<ReferenceValue>,
}

/// One reference value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ReferenceValue {
    /// An image that the firmware may load: its Authenticode digest.
    BootImage {
        /// Its name, for people.
        name: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        digest: Digest,
    },
    /// Something else that a boot loader or kernel measures: a section of a unified kernel image,
    /// an initrd.
    Measurement {
        /// Its name, for people.
        name: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        digest: Digest,
    },
    /// A certificate in PK, KEK or db: its SHA-256 fingerprint.
    SecureBootKey {
        /// Where it may be.
        database: Database,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        fingerprint: Digest,
    },
    /// The value of PCR 0: one version of a firmware.
    Firmware {
        /// Its name, for people.
        name: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        pcr0: Digest,
    },
    /// A command line that the kernel may be given.
    CommandLine {
        /// The line, without a final newline.
        text: String,
    },
    /// A file that may be run or opened: its digest as IMA measures it.
    File {
        /// Its path on the device.
        path: String,
        /// `sha256:<hex>`.
        #[serde(with = "digest_text")]
        digest: Digest,
    },
    /// A folder all of whose measured files are among the references: `/data/app/`. Without any,
    /// every measured file is judged.
    FileScope {
        /// The paths' beginning.
        prefix: String,
    },
    /// A file's code as it is mapped into memory.
    Code {
        /// Its path on the device.
        path: String,
        /// Its ranges.
        ranges: Vec<Range>,
    },
}

/// A variable of UEFI Secure Boot that holds keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Database {
    /// The platform key.
    Pk,
    /// Key exchange keys.
    Kek,
    /// Keys that images are verified with.
    Db,
}

/// A code range of a file ([`CodeRange`] without its path).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// `sha256:<hex>` of its pages.
    #[serde(with = "digest_text")]
    pub digest: Digest,
}

mod digest_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use touchstone_crypto::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Digest::parse(&text).map_err(D::Error::custom)
    }
}

impl Document {
    /// A document without values, to be filled.
    pub fn new(tenant: &str, component: &str, version: u64) -> Self {
        Self {
            schema: SCHEMA.into(),
            tenant: tenant.into(),
            component: component.into(),
            version,
            values: Vec::new(),
        }
    }

    /// Adds a boot image from its PE file; of a unified kernel image also its sections and the
    /// command line in it.
    pub fn boot_image(
        &mut self,
        crypto: &dyn Crypto,
        name: &str,
        image: &[u8],
    ) -> Result<&mut Self, Error> {
        let digest =
            touchstone_measure::authenticode::digest(crypto, HashAlgorithm::Sha256, image)?;
        self.values.push(ReferenceValue::BootImage { name: name.into(), digest });
        let sections = touchstone_measure::authenticode::sections(image)?;
        if sections.iter().any(|section| section.name == ".linux") {
            for section in &sections {
                self.section(crypto, section);
            }
        }
        Ok(self)
    }

    /// systemd-stub measures each section twice: its name with a NUL, then its octets.
    fn section(&mut self, crypto: &dyn Crypto, section: &Section<'_>) {
        for (what, octets) in
            [("name", [section.name.as_bytes(), &[0]].concat()), ("content", section.data.to_vec())]
        {
            let digest = crypto.hash(HashAlgorithm::Sha256, &[&octets]);
            let name = format!("{what} of {}", section.name);
            self.values.push(ReferenceValue::Measurement { name, digest });
        }
        if section.name == ".cmdline"
            && let Ok(text) = core::str::from_utf8(section.data)
        {
            self.command_line(text.trim_end_matches(['\n', '\0']));
        }
    }

    /// Adds something that is measured as it is: an initrd.
    pub fn measurement(&mut self, crypto: &dyn Crypto, name: &str, octets: &[u8]) -> &mut Self {
        let digest = crypto.hash(HashAlgorithm::Sha256, &[octets]);
        self.values.push(ReferenceValue::Measurement { name: name.into(), digest });
        self
    }

    /// Adds a certificate (DER) that may be in PK, KEK or db.
    pub fn secure_boot_key(
        &mut self,
        crypto: &dyn Crypto,
        database: Database,
        certificate: &[u8],
    ) -> &mut Self {
        let fingerprint = crypto.hash(HashAlgorithm::Sha256, &[certificate]);
        self.values.push(ReferenceValue::SecureBootKey { database, fingerprint });
        self
    }

    /// Adds a firmware by the PCR 0 that it leads to.
    pub fn firmware(&mut self, name: &str, pcr0: Digest) -> &mut Self {
        self.values.push(ReferenceValue::Firmware { name: name.into(), pcr0 });
        self
    }

    /// Adds a command line.
    pub fn command_line(&mut self, text: &str) -> &mut Self {
        self.values.push(ReferenceValue::CommandLine { text: text.into() });
        self
    }

    /// Adds a file that will be at `path`, by its content: for IMA, and, if it is an ELF file,
    /// for the code in memory.
    pub fn file(
        &mut self,
        crypto: &dyn Crypto,
        path: &str,
        content: &[u8],
    ) -> Result<&mut Self, Error> {
        let digest = crypto.hash(HashAlgorithm::Sha256, &[content]);
        self.values.push(ReferenceValue::File { path: path.into(), digest });
        if content.starts_with(b"\x7FELF") {
            let ranges = touchstone_evidence::runtime::code_ranges(crypto, path, content)?;
            let ranges = ranges.iter().map(Range::from).collect();
            self.values.push(ReferenceValue::Code { path: path.into(), ranges });
        }
        Ok(self)
    }

    /// Adds a folder all of whose measured files are in the references.
    pub fn file_scope(&mut self, prefix: &str) -> &mut Self {
        self.values.push(ReferenceValue::FileScope { prefix: prefix.into() });
        self
    }

    /// JSON, as it is signed.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// The document in a CMS envelope, if every signer of it is a publisher that `trust` knows at
    /// `now`: pinned there itself, or issued for signing code by one of its anchors.
    pub fn open(
        crypto: &dyn Crypto,
        envelope: &[u8],
        trust: &TrustStore,
        now: u64,
    ) -> Result<Verified<Self>, Error> {
        if envelope.len() > MAX_DOCUMENT {
            return Err(Error::TooLarge);
        }
        let signed = SignedData::decode(envelope)?.verify(crypto)?;
        for signer in signed.signers() {
            let (publisher, others) = (&signer.certificate, signed.certificates());
            let in_time = (publisher.not_before()..=publisher.not_after()).contains(&now);
            if !(in_time && trust.certificates().contains(publisher)) {
                trust.validate(crypto, publisher, others, now, Purpose::CodeSigning)?;
            }
        }
        Self::from_json(signed.content()).map(Verified::vouch)
    }

    /// Parses JSON: what a document says, not that it may be believed.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_DOCUMENT {
            return Err(Error::TooLarge);
        }
        let document: Self = serde_json::from_slice(json)
            .map_err(|error| Error::Json { line: error.line(), why: error.to_string() })?;
        if document.schema != SCHEMA {
            return Err(Error::Schema(document.schema));
        }
        if document.values.len() > MAX_VALUES {
            return Err(Error::TooLarge);
        }
        Ok(document)
    }
}

impl From<&CodeRange> for Range {
    fn from(range: &CodeRange) -> Self {
        Self { offset: range.offset, len: range.len, digest: range.digest }
    }
}

/// The merged reference values of one tenant.
#[derive(Clone, Debug, Default)]
pub struct References {
    tenant: Option<String>,
    /// By component, the newest version that was merged.
    components: BTreeMap<String, u64>,
    images: HashMap<Digest, Origin>,
    measurements: HashSet<Digest>,
    keys: BTreeMap<Database, Vec<Digest>>,
    firmware: HashMap<Digest, Origin>,
    command_lines: Vec<String>,
    files: HashMap<String, Vec<Digest>>,
    scopes: Vec<String>,
    code: HashMap<String, Vec<Range>>,
}

/// Where a value came from, for reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) name: String,
}

impl References {
    /// No reference values: nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a document's values to those that are there.
    pub fn merge(&mut self, document: &Verified<Document>) -> Result<(), Error> {
        match &self.tenant {
            Some(tenant) if *tenant != document.tenant => {
                return Err(Error::Tenant(document.tenant.clone()));
            }
            _ => self.tenant = Some(document.tenant.clone()),
        }
        let newest = self.components.entry(document.component.clone()).or_default();
        *newest = (*newest).max(document.version);
        let from = format!("{} version {}", document.component, document.version);
        document.values.iter().for_each(|value| self.add(value, &from));
        Ok(())
    }

    fn add(&mut self, value: &ReferenceValue, from: &str) {
        let origin = |name: &str| Origin { name: format!("{name} of {from}") };
        match value {
            ReferenceValue::BootImage { name, digest } => {
                self.images.insert(*digest, origin(name));
            }
            ReferenceValue::Measurement { digest, .. } => {
                self.measurements.insert(*digest);
            }
            ReferenceValue::SecureBootKey { database, fingerprint } => {
                self.keys.entry(*database).or_default().push(*fingerprint);
            }
            ReferenceValue::Firmware { name, pcr0 } => {
                self.firmware.insert(*pcr0, origin(name));
            }
            ReferenceValue::CommandLine { text } => self.command_lines.push(text.clone()),
            ReferenceValue::File { path, digest } => {
                self.files.entry(path.clone()).or_default().push(*digest);
            }
            ReferenceValue::FileScope { prefix } => self.scopes.push(prefix.clone()),
            ReferenceValue::Code { path, ranges } => {
                self.code.entry(path.clone()).or_default().extend(ranges);
            }
        }
    }

    /// The tenant, once a document was merged.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The newest version of a component among the documents.
    pub fn newest(&self, component: &str) -> Option<u64> {
        self.components.get(component).copied()
    }

    /// The components with their newest version.
    pub fn components(&self) -> impl Iterator<Item = (&str, u64)> {
        self.components.iter().map(|(name, version)| (name.as_str(), *version))
    }

    pub(crate) const fn images(&self) -> &HashMap<Digest, Origin> {
        &self.images
    }

    pub(crate) fn is_measurement(&self, digest: &Digest) -> bool {
        self.measurements.contains(digest)
    }

    pub(crate) fn keys(&self, database: Database) -> &[Digest] {
        self.keys.get(&database).map_or(&[], Vec::as_slice)
    }

    pub(crate) const fn firmware_values(&self) -> &HashMap<Digest, Origin> {
        &self.firmware
    }

    pub(crate) fn command_lines(&self) -> &[String] {
        &self.command_lines
    }

    /// The digests that a path may have; `None` for a path that is not named.
    pub(crate) fn file(&self, path: &str) -> Option<&[Digest]> {
        self.files.get(path).map(Vec::as_slice)
    }

    pub(crate) fn file_digests(&self) -> impl Iterator<Item = &Digest> {
        self.files.values().flatten()
    }

    /// Whether the references claim to know every file at such a path.
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|prefix| path.starts_with(prefix))
    }

    /// The known digests of the code at `offset` of the file at `path`, with their lengths.
    pub(crate) fn code(&self, path: &str, offset: u64) -> impl Iterator<Item = &Range> {
        let ranges = self.code.get(path).map_or(&[][..], Vec::as_slice);
        ranges.iter().filter(move |range| range.offset == offset)
    }

    pub(crate) fn knows_code_of(&self, path: &str) -> bool {
        self.code.contains_key(path)
    }
}
