//! A document: one version of one component, as its publisher signs it.

use super::value::digest_text;
use super::{Database, Error, Range, ReferenceValue, limits, publisher};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use touchstone_certs::{Purpose, TrustStore};
use touchstone_cms::SignedData;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_evidence::claims;
use touchstone_measure::authenticode::Section;
use touchstone_measure::tcg::SignatureDatabase;

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
    /// What becomes of lower versions; without it they stay as good as this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Supersedes>,
    /// Until when its values count, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
    /// The values: released, signed for, or worked out from what was.
    pub values: Vec<ReferenceValue>,
    /// Values that nobody released, but that were seen on a device that was held to be good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<ReferenceValue>,
}

/// The grace that lower versions of the component are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supersedes {
    /// Until when they are as good as this one, in Unix seconds.
    pub good_until: u64,
    /// Until when they are known, and outdated; from then on nobody knows them.
    pub known_until: u64,
}

impl Document {
    /// A document without values, to be filled.
    pub fn new(tenant: &str, component: &str, version: u64) -> Self {
        Self {
            schema: SCHEMA.into(),
            tenant: tenant.into(),
            component: component.into(),
            version,
            supersedes: None,
            valid_until: None,
            values: Vec::new(),
            recorded: Vec::new(),
        }
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.values.len() + self.recorded.len()
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What identifies it: the digest of its content in canonical form, so that the order of its
    /// values, their repetition and the signature make no difference.
    pub fn id(&self, crypto: &dyn Crypto) -> Digest {
        let mut canonical = self.clone();
        for values in [&mut canonical.values, &mut canonical.recorded] {
            values.sort_unstable();
            values.dedup();
        }
        let json = serde_json::to_vec(&canonical).unwrap_or_default();
        crypto.hash(HashAlgorithm::Sha256, &[&json])
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

    /// Adds what dbx has to hold: its content as signature lists, or an update of it
    /// (`EFI_VARIABLE_AUTHENTICATION_2`, UEFI 2.10 §8.2.2), whose signature is not looked at.
    pub fn revocations(&mut self, crypto: &dyn Crypto, octets: &[u8]) -> Result<&mut Self, Error> {
        let content = authenticated_content(octets).unwrap_or(octets);
        let database = SignatureDatabase::decode(content).ok_or(Error::Revocations)?;
        let entries = database.entries.iter();
        for fingerprint in entries.filter_map(|entry| claims::fingerprint(crypto, entry)) {
            self.values
                .push(ReferenceValue::SecureBootKey { database: Database::Dbx, fingerprint });
        }
        Ok(self)
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
        let document = Self::from_json(&content(crypto, envelope, trust, now)?)?;
        publisher::check_keys(crypto, document.values.iter().chain(&document.recorded))?;
        match document.valid_until {
            Some(until) if now >= until => Err(Error::Expired {
                component: document.component,
                version: document.version,
                until,
            }),
            _ => Ok(Verified::vouch(document)),
        }
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
        document.check()?;
        Ok(document)
    }

    /// Whether its values can be meant: hostile names, and values that contradict each other.
    pub fn check(&self) -> Result<(), Error> {
        if self.len() > MAX_VALUES {
            return Err(Error::TooLarge);
        }
        if let Some(Supersedes { good_until, known_until }) = self.supersedes
            && known_until < good_until
        {
            return Err(Error::Grace { good_until, known_until });
        }
        limits::check(self.values.iter().chain(&self.recorded))
    }
}

/// What comes behind the time and the signature of an update.
fn authenticated_content(octets: &[u8]) -> Option<&[u8]> {
    // EFI_TIME, then WIN_CERTIFICATE_UEFI_GUID: its length, its revision 2.0, its type 0x0EF1.
    let certificate = octets.get(16..)?;
    let len = u32::from_le_bytes(*certificate.first_chunk()?);
    let is_update = certificate.get(4..8)? == [0x00, 0x02, 0xF1, 0x0E];
    certificate.get(usize::try_from(len).ok()?..).filter(|_| is_update)
}

/// What a CMS envelope holds, if everybody who signed it is trusted at `now`.
pub(super) fn content(
    crypto: &dyn Crypto,
    envelope: &[u8],
    trust: &TrustStore,
    now: u64,
) -> Result<Vec<u8>, Error> {
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
    Ok(signed.into_inner().into_content())
}

/// A document, or an assignment of documents to devices: whichever an envelope holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Reference values.
    Values(Verified<Document>),
    /// Which devices are judged by which of them.
    Assignment(Verified<super::Assignment>),
}

#[derive(Deserialize)]
struct Named {
    schema: String,
}

impl Manifest {
    /// Opens an envelope as [`Document::open`] does.
    pub fn open(
        crypto: &dyn Crypto,
        envelope: &[u8],
        trust: &TrustStore,
        now: u64,
    ) -> Result<Self, Error> {
        let json = content(crypto, envelope, trust, now)?;
        let named: Named = serde_json::from_slice(&json)
            .map_err(|error| Error::Json { line: error.line(), why: error.to_string() })?;
        if named.schema == super::assignment::SCHEMA {
            let assignment = super::Assignment::from_json(&json)?;
            publisher::check_keys(crypto, assignment.add.iter())?;
            return Ok(Self::Assignment(Verified::vouch(assignment)));
        }
        Document::open(crypto, envelope, trust, now).map(Self::Values)
    }
}

/// Which set an assignment means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SetName {
    /// Every version of this component that is in force.
    Component(String),
    /// This very set.
    Id(#[serde(with = "digest_text")] Digest),
}

impl core::fmt::Display for SetName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Component(component) => write!(f, "the component {component}"),
            Self::Id(id) => write!(f, "the set {id}"),
        }
    }
}
