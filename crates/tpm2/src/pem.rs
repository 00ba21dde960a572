//! TSS2 private keys in PEM: a key as the files of tpm2-tools and the OpenSSL providers have it
//! (draft-bottomley-tpm-keys, "ASN.1 Specification for TPM 2.0 Key Files").
//!
//! What this is not: a check that a TPM can use the key, which only its parent can tell. The parts
//! are cut out of the file and put into it as the TPM writes them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use der::asn1::{ObjectIdentifier, OctetStringRef, Utf8StringRef};
use der::pem::{self, LineEnding};
use der::{
    Decode, DecodeValue, Encode, EncodeValue, FixedTag, Header, Length, Reader, Sequence, Tag,
    Writer,
};

/// The label between `-----BEGIN` and `-----`.
pub const LABEL: &str = "TSS2 PRIVATE KEY";

/// The longest file read, in octets: four times what a key with a long policy takes.
pub const MAX_FILE: usize = 32 * 1024;

/// The longest description, in octets.
pub const MAX_DESCRIPTION: usize = 1024;

/// The most policies, and the most commands in one of them.
pub const MAX_POLICIES: usize = 64;

/// `TPM_RH_OWNER`: the parent is the primary key of the owner's hierarchy, made from template H-2
/// of the EK Credential Profile without its policy, or H-1 with [`KeyFile::rsa_parent`] (§3.1.8).
pub const PARENT_OWNER: u32 = 0x4000_0001;

/// What the TPM does with the file's content (§3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A key for `TPM2_Load`.
    Loadable,
    /// A key for `TPM2_Import`.
    Importable,
    /// Data for `TPM2_Load`, or with a secret `TPM2_Import`, and `TPM2_Unseal`.
    Sealed,
}

impl KeyKind {
    const ALL: [Self; 3] = [Self::Loadable, Self::Importable, Self::Sealed];

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Loadable => ObjectIdentifier::new_unwrap("2.23.133.10.1.3"),
            Self::Importable => ObjectIdentifier::new_unwrap("2.23.133.10.1.4"),
            Self::Sealed => ObjectIdentifier::new_unwrap("2.23.133.10.1.5"),
        }
    }
}

/// One policy command: its code, and its parameters in the form that §4 of the draft gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyCommand {
    /// `TPM_CC`.
    pub code: u32,
    /// The parameters in the TPM's canonical form.
    pub parameters: Vec<u8>,
}

/// A policy that its owner signed, for a key made with `TPM2_PolicyAuthorize` (§5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPolicy {
    /// What people call it.
    pub name: Option<String>,
    /// The commands, in order.
    pub commands: Vec<PolicyCommand>,
}

impl SignedPolicy {
    fn encoded(&self) -> Result<TpmAuthPolicy<'_>, der::Error> {
        Ok(TpmAuthPolicy {
            name: self.name.as_deref().map(Utf8StringRef::new).transpose()?,
            policy: encoded(&self.commands)?,
        })
    }
}

/// A key as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// What the TPM does with it.
    pub kind: KeyKind,
    /// Whether the authorization value is empty, so that nobody needs to be asked for it.
    pub empty_auth: bool,
    /// The policy that allows use, in order; empty without one.
    pub policy: Vec<PolicyCommand>,
    /// Inside `TPM2B_ENCRYPTED_SECRET`: of importable keys, and of sealed data that is to be
    /// imported first.
    pub secret: Option<Vec<u8>>,
    /// Signed policies, each of which allows use.
    pub signed_policies: Vec<SignedPolicy>,
    /// For people.
    pub description: Option<String>,
    /// Whether the parent is the RSA primary key rather than the one on P-256.
    pub rsa_parent: bool,
    /// A hierarchy's handle (`0x4000_00xx`, see [`PARENT_OWNER`]) or a persistent key's.
    pub parent: u32,
    /// `TPMT_PUBLIC`: inside `TPM2B_PUBLIC`.
    pub public: Vec<u8>,
    /// Inside `TPM2B_PRIVATE`.
    pub private: Vec<u8>,
}

impl KeyFile {
    /// A loadable key beneath the owner's P-256 primary key, free to use.
    pub fn loadable(public: Vec<u8>, private: Vec<u8>) -> Self {
        Self {
            kind: KeyKind::Loadable,
            empty_auth: true,
            policy: Vec::new(),
            secret: None,
            signed_policies: Vec::new(),
            description: None,
            rsa_parent: false,
            parent: PARENT_OWNER,
            public,
            private,
        }
    }

    /// Reads the PEM text; what stands before and after the block is passed over.
    pub fn from_pem(text: &str) -> Result<Self, KeyFileError> {
        if text.len() > MAX_FILE {
            return Err(KeyFileError::TooLarge);
        }
        let (label, octets) = pem::decode_vec(text.as_bytes()).map_err(|_| KeyFileError::NotPem)?;
        if label != LABEL {
            return Err(KeyFileError::WrongLabel);
        }
        Self::from_der(&octets)
    }

    /// Reads the DER inside.
    pub fn from_der(octets: &[u8]) -> Result<Self, KeyFileError> {
        if octets.len() > MAX_FILE {
            return Err(KeyFileError::TooLarge);
        }
        let key = TpmKey::from_der(octets).map_err(|_| KeyFileError::Malformed)?;
        let kind = KeyKind::ALL
            .into_iter()
            .find(|kind| kind.oid() == key.kind)
            .ok_or(KeyFileError::UnknownKind)?;
        let read = Self {
            kind,
            empty_auth: key.empty_auth.is_some_and(|flag| flag.0),
            policy: commands(key.policy.as_deref().unwrap_or_default()),
            secret: key.secret.map(|secret| sized("the secret", secret)).transpose()?,
            signed_policies: key
                .auth_policy
                .unwrap_or_default()
                .iter()
                .map(|policy| SignedPolicy {
                    name: policy.name.map(|name| name.as_str().into()),
                    commands: commands(&policy.policy),
                })
                .collect(),
            description: key.description.map(|text| text.as_str().into()),
            rsa_parent: key.rsa_parent.is_some_and(|flag| flag.0),
            // Files of the first tools say 0 where they mean the owner.
            parent: if key.parent == 0 { PARENT_OWNER } else { key.parent },
            public: sized("the public part", key.pubkey)?,
            private: sized("the private part", key.privkey)?,
        };
        read.check()?;
        Ok(read)
    }

    /// Writes the DER.
    pub fn to_der(&self) -> Result<Vec<u8>, KeyFileError> {
        self.check()?;
        let long = |_| KeyFileError::TooLarge;
        let (public, private) = (prefixed(&self.public)?, prefixed(&self.private)?);
        let secret = self.secret.as_deref().map(prefixed).transpose()?;
        let key = TpmKey {
            kind: self.kind.oid(),
            // Said also when it is not so: tpm2-openssl takes silence for an empty value.
            empty_auth: Some(Flag(self.empty_auth)),
            policy: (!self.policy.is_empty())
                .then(|| encoded(&self.policy))
                .transpose()
                .map_err(long)?,
            secret: secret.as_deref().map(OctetStringRef::new).transpose().map_err(long)?,
            auth_policy: (!self.signed_policies.is_empty())
                .then(|| self.signed_policies.iter().map(SignedPolicy::encoded).collect())
                .transpose()
                .map_err(long)?,
            description: self
                .description
                .as_deref()
                .map(Utf8StringRef::new)
                .transpose()
                .map_err(long)?,
            rsa_parent: self.rsa_parent.then_some(Flag(true)),
            parent: self.parent,
            pubkey: OctetStringRef::new(&public).map_err(long)?,
            privkey: OctetStringRef::new(&private).map_err(long)?,
        };
        key.to_der().map_err(long)
    }

    /// Writes the PEM text.
    pub fn to_pem(&self) -> Result<String, KeyFileError> {
        let text = pem::encode_string(LABEL, LineEnding::LF, &self.to_der()?)
            .map_err(|_| KeyFileError::TooLarge)?;
        if text.len() > MAX_FILE { Err(KeyFileError::TooLarge) } else { Ok(text) }
    }

    fn check(&self) -> Result<(), KeyFileError> {
        // §3.1.4: an importable key has a secret, a loadable one has none; sealed data may be either.
        let secret = match self.kind {
            KeyKind::Loadable => self.secret.is_none(),
            KeyKind::Importable => self.secret.is_some(),
            KeyKind::Sealed => true,
        };
        if !secret {
            return Err(KeyFileError::Secret);
        }
        // §3.1.8: hierarchies and persistent keys last, other handles do not.
        if !matches!(self.parent, 0x4000_0001 | 0x4000_0007 | 0x4000_000B | 0x4000_000C)
            && self.parent >> 24 != 0x81
        {
            return Err(KeyFileError::Parent(self.parent));
        }
        let policies = core::iter::once(&self.policy)
            .chain(self.signed_policies.iter().map(|policy| &policy.commands));
        if self.signed_policies.len() > MAX_POLICIES
            || policies.into_iter().any(|commands| commands.len() > MAX_POLICIES)
            || self.description.as_ref().is_some_and(|text| text.len() > MAX_DESCRIPTION)
        {
            return Err(KeyFileError::TooLarge);
        }
        Ok(())
    }
}

/// Why a file is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFileError {
    /// No PEM block in the text.
    NotPem,
    /// A PEM block of something else.
    WrongLabel,
    /// The DER does not parse as a `TPMKey` (§3.1).
    Malformed,
    /// The type is none of §3.1.1.
    UnknownKind,
    /// A sized buffer that says another size than it has.
    Size(&'static str),
    /// A secret where there is none to be, or none where there has to be (§3.1.4).
    Secret,
    /// A parent that is neither a hierarchy nor a persistent key (§3.1.8).
    Parent(u32),
    /// Larger than any key.
    TooLarge,
}

impl KeyFileError {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotPem => "tpm2.keyfile.pem",
            Self::WrongLabel => "tpm2.keyfile.label",
            Self::Malformed => "tpm2.keyfile.malformed",
            Self::UnknownKind => "tpm2.keyfile.type",
            Self::Size(_) => "tpm2.keyfile.size",
            Self::Secret => "tpm2.keyfile.secret",
            Self::Parent(_) => "tpm2.keyfile.parent",
            Self::TooLarge => "tpm2.keyfile.large",
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => {
                write!(f, "no PEM block; a TPM's key starts with `-----BEGIN {LABEL}-----`")
            }
            Self::WrongLabel => {
                write!(f, "a PEM block of something else; a TPM's key is a `{LABEL}`")
            }
            Self::Malformed => f.write_str("not the structure of a TPM's key file; make it again"),
            Self::UnknownKind => {
                f.write_str("the key's type is none of loadable, importable and sealed")
            }
            Self::Size(what) => write!(f, "{what} is not as long as it says; restore the file"),
            Self::Secret => {
                f.write_str("importable keys have an encrypted secret, and loadable ones have none")
            }
            Self::Parent(handle) => write!(
                f,
                "the parent 0x{handle:08x} is neither a hierarchy nor a persistent key; \
                 make the parent persistent with tpm2_evictcontrol"
            ),
            Self::TooLarge => f.write_str("larger than any key file"),
        }
    }
}

impl core::error::Error for KeyFileError {}

/// §3.1.
#[derive(Sequence)]
struct TpmKey<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    empty_auth: Option<Flag>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    policy: Option<Vec<TpmPolicy<'a>>>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    secret: Option<&'a OctetStringRef>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    auth_policy: Option<Vec<TpmAuthPolicy<'a>>>,
    #[asn1(context_specific = "4", tag_mode = "EXPLICIT", optional = "true")]
    description: Option<Utf8StringRef<'a>>,
    #[asn1(context_specific = "5", tag_mode = "EXPLICIT", optional = "true")]
    rsa_parent: Option<Flag>,
    parent: u32,
    pubkey: &'a OctetStringRef,
    privkey: &'a OctetStringRef,
}

/// §4.1.
#[derive(Sequence)]
struct TpmPolicy<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    command_code: u32,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    command_policy: &'a OctetStringRef,
}

/// §5.1.
#[derive(Sequence)]
struct TpmAuthPolicy<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    name: Option<Utf8StringRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    policy: Vec<TpmPolicy<'a>>,
}

/// A BOOLEAN whose TRUE may be any octet but zero: tpm2-tools and the provider of tpm2-openssl
/// write 1, which BER allows and DER does not (X.690 §11.1).
struct Flag(bool);

impl FixedTag for Flag {
    const TAG: Tag = Tag::Boolean;
}

impl<'a> DecodeValue<'a> for Flag {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        if header.length() != Length::ONE {
            return Err(reader.error(Tag::Boolean.length_error()));
        }
        Ok(Self(reader.read_byte()? != 0))
    }
}

impl EncodeValue for Flag {
    fn value_len(&self) -> der::Result<Length> {
        Ok(Length::ONE)
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write_byte(if self.0 { 0xFF } else { 0 })
    }
}

fn commands(policy: &[TpmPolicy<'_>]) -> Vec<PolicyCommand> {
    policy
        .iter()
        .map(|command| PolicyCommand {
            code: command.command_code,
            parameters: command.command_policy.as_bytes().to_vec(),
        })
        .collect()
}

fn encoded(policy: &[PolicyCommand]) -> Result<Vec<TpmPolicy<'_>>, der::Error> {
    policy
        .iter()
        .map(|command| {
            let command_policy = OctetStringRef::new(&command.parameters)?;
            Ok(TpmPolicy { command_code: command.code, command_policy })
        })
        .collect()
}

/// The content of a `TPM2B`, which has to be as long as its size says.
fn sized(what: &'static str, string: &OctetStringRef) -> Result<Vec<u8>, KeyFileError> {
    let bad = KeyFileError::Size(what);
    let (size, content) = string.as_bytes().split_first_chunk::<2>().ok_or(bad)?;
    if content.is_empty() || content.len() != usize::from(u16::from_be_bytes(*size)) {
        return Err(bad);
    }
    Ok(content.to_vec())
}

fn prefixed(content: &[u8]) -> Result<Vec<u8>, KeyFileError> {
    let size = u16::try_from(content.len()).map_err(|_| KeyFileError::TooLarge)?;
    if size == 0 {
        return Err(KeyFileError::Size("a part of the key"));
    }
    Ok([size.to_be_bytes().as_slice(), content].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn full() -> KeyFile {
        let command = |code: u32, len: usize| PolicyCommand { code, parameters: vec![0xC5; len] };
        KeyFile {
            kind: KeyKind::Importable,
            empty_auth: false,
            policy: vec![command(0x17F, 46), command(0x16B, 0)],
            secret: Some(vec![7; 256]),
            signed_policies: vec![
                SignedPolicy {
                    name: Some("kernel 6.1".to_string()),
                    commands: vec![command(0x17F, 46)],
                },
                SignedPolicy { name: None, commands: vec![command(0x16C, 4)] },
            ],
            description: Some("the gateway's key".to_string()),
            rsa_parent: true,
            parent: 0x8100_0001,
            public: vec![0x23; 90],
            private: vec![0xAA; 130],
        }
    }

    #[test]
    fn a_key_file_reads_back_as_it_was_written() {
        for key in [KeyFile::loadable(vec![1; 88], vec![2; 128]), full()] {
            assert_eq!(KeyFile::from_der(&key.to_der().unwrap()), Ok(key.clone()));
            let text = key.to_pem().unwrap();
            assert!(text.starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"));
            assert_eq!(KeyFile::from_pem(&text), Ok(key));
        }
    }

    #[test]
    fn the_plain_key_is_the_short_sequence_that_every_tool_reads() {
        let der = KeyFile::loadable(vec![1], vec![2]).to_der().unwrap();
        let expected = [
            0x30, 0x1D, 6, 6, 0x67, 0x81, 0x05, 0x0A, 0x01, 0x03, 0xA0, 3, 1, 1, 0xFF, 2, 4, 0x40,
            0, 0, 1, 4, 3, 0, 1, 1, 4, 3, 0, 1, 2,
        ];
        assert_eq!(der, expected);
    }

    #[test]
    fn a_true_that_only_ber_allows_is_read_because_tools_write_it() {
        let mut der = full().to_der().unwrap();
        let flag = der.windows(5).position(|five| five == [0xA5, 3, 1, 1, 0xFF]).unwrap();
        der[flag + 4] = 1;
        assert_eq!(KeyFile::from_der(&der), Ok(full()));
    }

    #[test]
    fn a_cut_or_a_flipped_bit_never_panics_and_what_reads_writes_again() {
        let der = full().to_der().unwrap();
        for cut in 0..der.len() {
            assert!(KeyFile::from_der(&der[..cut]).is_err());
        }
        for bit in 0..der.len() * 8 {
            let mut bad = der.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(key) = KeyFile::from_der(&bad) {
                assert_eq!(KeyFile::from_der(&key.to_der().unwrap()), Ok(key));
            }
        }
    }

    #[test]
    fn each_fault_has_its_own_name() {
        let good = KeyFile::loadable(vec![1; 88], vec![2; 128]);
        let text = good.to_pem().unwrap();
        let other = text.replace("TSS2 PRIVATE KEY", "PRIVATE KEY");
        assert_eq!(KeyFile::from_pem(&other), Err(KeyFileError::WrongLabel));
        assert_eq!(KeyFile::from_pem("a key"), Err(KeyFileError::NotPem));
        assert_eq!(KeyFile::from_pem(&"A".repeat(MAX_FILE + 1)), Err(KeyFileError::TooLarge));
        assert_eq!(KeyFile::from_der(&[]), Err(KeyFileError::Malformed));

        let mut kind = good.to_der().unwrap();
        let oid = kind.windows(2).position(|two| two == [0x01, 0x03]).unwrap();
        kind[oid + 1] = 9;
        assert_eq!(KeyFile::from_der(&kind), Err(KeyFileError::UnknownKind));
        let mut size = good.to_der().unwrap();
        let public = size.windows(4).position(|four| four == [4, 90, 0, 88]).unwrap();
        size[public + 3] = 87;
        assert_eq!(KeyFile::from_der(&size), Err(KeyFileError::Size("the public part")));

        let secret = KeyFile { secret: Some(vec![1]), ..good.clone() };
        assert_eq!(secret.to_der(), Err(KeyFileError::Secret));
        let importable = KeyFile { kind: KeyKind::Importable, ..good.clone() };
        assert_eq!(importable.to_der(), Err(KeyFileError::Secret));
        let transient = KeyFile { parent: 0x8000_0000, ..good.clone() };
        assert_eq!(transient.to_der(), Err(KeyFileError::Parent(0x8000_0000)));
        assert!(KeyFileError::Parent(0x8000_0000).to_string().contains("0x80000000"));
        let empty = KeyFile { private: Vec::new(), ..good.clone() };
        assert_eq!(empty.to_der(), Err(KeyFileError::Size("a part of the key")));
        let wordy = KeyFile { description: Some("x".repeat(MAX_DESCRIPTION + 1)), ..good };
        assert_eq!(wordy.to_der(), Err(KeyFileError::TooLarge));
    }
}
