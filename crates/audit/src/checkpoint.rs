//! Signed heads of a log: checkpoints in the format of C2SP (`tlog-checkpoint`), each a signed
//! note (`signed-note`). Whoever keeps one can tell later that the log still leads up to it, and
//! whoever knows the [`LogKey`] that the log's own machine wrote it.
//!
//! ```text
//! plant.example/audit
//! 1042
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — plant.example/audit Az3grlgtzPICa5OS8npVmf1Myq/5IZni..
//! ```

use base64ct::{Base64, Encoding};
use std::fmt;
use std::sync::Arc;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, Signer};

/// Octets of a note, at most.
pub const MAX_NOTE: usize = 64 * 1024;
const MAX_NAME: usize = 256;
/// What a signature line starts with: an em dash and a blank.
const DASH: &str = "\u{2014} ";
/// The octets in front of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2A, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 3, 0x21, 0];

/// The state of a log at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: a name without blanks and plus signs, `plant.example/audit`.
    pub origin: String,
    /// How many entries the log has.
    pub size: u64,
    /// The root of the Merkle tree over its lines (RFC 6962 §2.1).
    pub root: Digest,
}

/// What is wrong with a checkpoint or with a key for them, one variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// Longer than 64 KiB, or with characters that a note cannot have.
    NotANote,
    /// The three lines are not those of a checkpoint.
    Form,
    /// It is of another log.
    Origin,
    /// No signature by the key that is known.
    Unsigned,
    /// The signature by the key that is known is wrong.
    Signature,
    /// Not the text of a log's key.
    Key,
    /// Neither Ed25519 nor ECDSA on P-256.
    Algorithm,
    /// The element did not sign.
    Element,
}

impl CheckpointFault {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotANote => "audit.checkpoint.note",
            Self::Form => "audit.checkpoint.form",
            Self::Origin => "audit.checkpoint.origin",
            Self::Unsigned => "audit.checkpoint.unsigned",
            Self::Signature => "audit.checkpoint.signature",
            Self::Key => "audit.checkpoint.key",
            Self::Algorithm => "audit.checkpoint.algorithm",
            Self::Element => "audit.checkpoint.element",
        }
    }
}

impl fmt::Display for CheckpointFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANote => "not a signed note (C2SP signed-note)",
            Self::Form => "not a checkpoint: it needs an origin, a size and a root hash",
            Self::Origin => "a checkpoint of another log",
            Self::Unsigned => "not signed by the key that is known for this log",
            Self::Signature => "the signature by the log's key is wrong",
            Self::Key => {
                "not a log's key; write it as `name+hash+key`, as the log's machine shows it"
            }
            Self::Algorithm => "a log is signed with Ed25519 or with ECDSA on P-256",
            Self::Element => "the element did not sign; ask it with `touchstone element info`",
        })
    }
}

impl std::error::Error for CheckpointFault {}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let root = Base64::encode_string(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// The checkpoint in a note, whoever signed it. [`LogKey::open`] says whether it may be
    /// believed.
    pub fn of_note(note: &str) -> Result<Self, CheckpointFault> {
        Self::parse(split(note)?.0)
    }

    fn parse(text: &str) -> Result<Self, CheckpointFault> {
        let form = CheckpointFault::Form;
        let mut lines = text.strip_suffix('\n').ok_or(form)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(form);
        let (origin, digits, root) = (line()?, line()?, line()?);
        // Extension lines cannot be checked against a log, so ours have none.
        if lines.next().is_some() || !is_name(origin) {
            return Err(form);
        }
        let size: u64 = digits.parse().map_err(|_| form)?;
        if size.to_string() != digits {
            return Err(form);
        }
        let root = Base64::decode_vec(root).map_err(|_| form)?;
        let root = Digest::new(HashAlgorithm::Sha256, &root).ok_or(form)?;
        Ok(Self { origin: origin.into(), size, root })
    }
}

/// A note's text and its signature lines.
fn split(note: &str) -> Result<(&str, &str), CheckpointFault> {
    let control = |c: char| c.is_control() && c != '\n';
    if note.len() > MAX_NOTE || note.contains(control) {
        return Err(CheckpointFault::NotANote);
    }
    let blank = note.rfind("\n\n").ok_or(CheckpointFault::NotANote)?;
    let (text, signatures) = note.split_at_checked(blank + 1).ok_or(CheckpointFault::NotANote)?;
    Ok((text, signatures.strip_prefix('\n').unwrap_or(signatures)))
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed)
}

/// How the key of a log signs (C2SP signed-note, signature types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519 = 1,
    Ecdsa = 2,
}

/// The public key of a log, with the log's name. Its text is `name+hash+key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    id: [u8; 4],
    kind: Kind,
    spki: Vec<u8>,
}

impl LogKey {
    /// The key of the log `name`: Ed25519, or ECDSA on P-256.
    pub fn new(
        crypto: &dyn Crypto,
        name: &str,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
    ) -> Result<Self, CheckpointFault> {
        let kind = match algorithm {
            SignatureAlgorithm::Ed25519 => Kind::Ed25519,
            SignatureAlgorithm::EcdsaP256Sha256 => Kind::Ecdsa,
            _ => return Err(CheckpointFault::Algorithm),
        };
        if !is_name(name) {
            return Err(CheckpointFault::Key);
        }
        let mut key = Self { name: name.into(), id: [0; 4], kind, spki: spki_der.into() };
        let hash = match kind {
            Kind::Ed25519 => {
                let public = key.public().ok_or(CheckpointFault::Key)?;
                let kind = [b'\n', kind as u8];
                crypto.hash(HashAlgorithm::Sha256, &[name.as_bytes(), &kind, public])
            }
            Kind::Ecdsa => crypto.hash(HashAlgorithm::Sha256, &[spki_der]),
        };
        key.id = *hash.as_bytes().first_chunk().ok_or(CheckpointFault::Key)?;
        Ok(key)
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(crypto: &dyn Crypto, text: &str) -> Result<Self, CheckpointFault> {
        let fault = CheckpointFault::Key;
        let (name, rest) = text.trim().split_once('+').ok_or(fault)?;
        let (id, key) = rest.split_once('+').ok_or(fault)?;
        let key = Base64::decode_vec(key).map_err(|_| fault)?;
        let key = match key.split_first() {
            Some((1, public)) if public.len() == 32 => {
                let spki = [&ED25519_SPKI, public].concat();
                Self::new(crypto, name, SignatureAlgorithm::Ed25519, &spki)
            }
            Some((2, spki)) => Self::new(crypto, name, SignatureAlgorithm::EcdsaP256Sha256, spki),
            _ => Err(fault),
        }?;
        if id == key.hex_id() { Ok(key) } else { Err(fault) }
    }

    /// The log's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself, as `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The checkpoint in a note, if it is of this log and signed by this key.
    pub fn open(&self, crypto: &dyn Crypto, note: &str) -> Result<Checkpoint, CheckpointFault> {
        let (text, signatures) = split(note)?;
        let mut ours = signatures.lines().filter_map(|line| self.signature(line)).peekable();
        if ours.peek().is_none() {
            return Err(CheckpointFault::Unsigned);
        }
        for signature in ours {
            crypto
                .verify(self.algorithm(), &self.spki, text.as_bytes(), &signature)
                .map_err(|_| CheckpointFault::Signature)?;
        }
        let checkpoint = Checkpoint::parse(text)?;
        if checkpoint.origin == self.name { Ok(checkpoint) } else { Err(CheckpointFault::Origin) }
    }

    /// The signature on a line that names this key.
    fn signature(&self, line: &str) -> Option<Vec<u8>> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let octets = Base64::decode_vec(encoded).ok()?;
        let (id, signature) = octets.split_first_chunk()?;
        (name == self.name && *id == self.id).then(|| signature.to_vec())
    }

    const fn algorithm(&self) -> SignatureAlgorithm {
        match self.kind {
            Kind::Ed25519 => SignatureAlgorithm::Ed25519,
            Kind::Ecdsa => SignatureAlgorithm::EcdsaP256Sha256,
        }
    }

    /// The key as a log's key has it.
    fn public(&self) -> Option<&[u8]> {
        match self.kind {
            Kind::Ed25519 => self.spki.strip_prefix(&ED25519_SPKI).filter(|key| key.len() == 32),
            Kind::Ecdsa => Some(&self.spki),
        }
    }

    fn hex_id(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind as u8], self.public().unwrap_or_default()].concat();
        write!(f, "{}+{}+{}", self.name, self.hex_id(), Base64::encode_string(&key))
    }
}

/// Who signs a log's heads: its name, and a key wherever it lives.
#[derive(Clone)]
pub struct Notary {
    key: LogKey,
    signer: Arc<dyn Signer>,
}

impl Notary {
    /// The notary of the log `name`.
    pub fn new(
        crypto: &dyn Crypto,
        name: &str,
        signer: Arc<dyn Signer>,
    ) -> Result<Self, CheckpointFault> {
        let key = LogKey::new(crypto, name, signer.algorithm(), signer.spki_der())?;
        Ok(Self { key, signer })
    }

    /// The key that others check its signatures with.
    pub const fn key(&self) -> &LogKey {
        &self.key
    }

    /// The signed note of a log of that size and root.
    pub fn sign(&self, size: u64, root: Digest) -> Result<String, CheckpointFault> {
        let text = Checkpoint { origin: self.key.name.clone(), size, root }.text();
        let signature = self.signer.sign(text.as_bytes()).map_err(|_| CheckpointFault::Element)?;
        let signature = Base64::encode_string(&[&self.key.id[..], &signature].concat());
        Ok(format!("{text}\n{DASH}{} {signature}\n", self.key.name))
    }
}

#[cfg(test)]
mod tests;
