//! Envelopes and contents that do not fit into memory.

use crate::signed::machine::{Machine, Parts};
use crate::signed::verify::{self, Signers};
use crate::{Error, Refusal};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use touchstone_certs::Certificate;
use touchstone_crypto::{Digest, HashAlgorithm, Hasher, Hashing, Verified};

/// Content that came out of an envelope before its signatures were checked.
#[derive(Clone, Copy, Debug)]
pub struct Unverified<'a>(&'a [u8]);

impl<'a> Unverified<'a> {
    /// The octets. Nothing may be done with them that cannot be undone, until
    /// [`SignedReader::verify`] has said by whom they are.
    pub const fn dangerous(self) -> &'a [u8] {
        self.0
    }
}

/// Reads a `SignedData` piece by piece, in DER or BER, in memory that does not grow with its
/// content.
///
/// ```
/// use touchstone_certs::Name;
/// use touchstone_certs::issue::{Kind, Template};
/// use touchstone_cms::{DATA, SignedReader, SignedWriter};
/// use touchstone_crypto::{SignatureAlgorithm, Signer};
/// use touchstone_crypto_awslc::{AwsLc, SoftSigner};
///
/// # let key = SoftSigner::generate(SignatureAlgorithm::Ed25519)?;
/// # let certificate = Template::new(Kind::CodeSigner, Name::common_name("s")?, 0, 60)
/// #     .self_sign(&AwsLc, &key)?;
/// let mut message = Vec::new();
/// let mut writer = SignedWriter::attached(&AwsLc, DATA, &[(&certificate, key.algorithm())])?;
/// for piece in ["a long", " content"] {
///     writer.write(piece.as_bytes(), &mut message);
/// }
/// let mut to_sign = writer.end(30)?;
/// let signature = key.sign(to_sign.messages()[0])?;
/// to_sign.answer(0, signature)?;
/// to_sign.finish(&mut message)?;
///
/// let (mut reader, mut content) = (SignedReader::new(&AwsLc), Vec::new());
/// for piece in message.chunks(7) {
///     reader.read(piece, |octets| content.extend_from_slice(octets.dangerous()))?;
/// }
/// let signed = reader.verify(&[])?;
/// assert_eq!((content.as_slice(), signed.signers().len()), (&b"a long content"[..], 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SignedReader<'a> {
    crypto: &'a dyn Hashing,
    machine: Machine,
    digests: Digests,
}

impl<'a> SignedReader<'a> {
    /// An envelope of which nothing has come yet.
    pub const fn new(crypto: &'a dyn Hashing) -> Self {
        Self { crypto, machine: Machine::new(), digests: Digests(Vec::new()) }
    }

    /// Takes the next octets, and gives out the content that is in them.
    pub fn read(
        &mut self,
        mut octets: &[u8],
        mut content: impl FnMut(Unverified<'_>),
    ) -> Result<(), Error> {
        while let Some(piece) = self.machine.next(&mut octets)? {
            if self.digests.0.is_empty() {
                self.digests = Digests::start(self.crypto, self.machine.digests());
            }
            self.digests.update(piece);
            content(Unverified(piece));
        }
        Ok(())
    }

    /// Checks every signature over the content that was inside; `beside` are certificates from
    /// elsewhere that signers may be found among. One bad signature spoils the envelope.
    pub fn verify(mut self, beside: &[Certificate]) -> Result<Verified<Signers>, Error> {
        let parts = self.machine.finish()?;
        if !parts.attached {
            return Err(Refusal::NoContent.into());
        }
        if self.digests.0.is_empty() {
            self.digests = Digests::start(self.crypto, parts.digests.iter().copied().flatten());
        }
        let digests = self.digests.finish();
        verify::verify(self.crypto, parts, beside, &|hash| of(&digests, hash))
    }

    /// What the envelope says of itself, for people to look at.
    pub fn unverified(self) -> Result<Claims, Error> {
        let parts = self.machine.finish()?;
        let infos = parts.signers.iter();
        let signers = infos.filter_map(|info| info.certificate(&parts.certificates)).cloned();
        Ok(Claims {
            content_type: parts.content_type.to_string(),
            attached: parts.attached,
            signatures: parts.signers.len(),
            signers: signers.collect(),
            certificates: parts.certificates,
        })
    }

    /// The end of an envelope whose content is kept beside it, and is given next.
    pub fn detached(self) -> Result<Detached<'a>, Error> {
        let parts = self.machine.finish()?;
        if parts.attached {
            return Err(Refusal::ContentInside.into());
        }
        let digests = Digests::start(self.crypto, parts.digests.iter().copied().flatten());
        Ok(Detached { crypto: self.crypto, parts, digests })
    }
}

/// What an envelope says of itself. Nobody has checked any of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The type of the content, an object identifier with dots.
    pub content_type: String,
    /// Whether the content is inside.
    pub attached: bool,
    /// How many signatures there are.
    pub signatures: usize,
    /// Who is said to have signed, as far as their certificates are inside.
    pub signers: Vec<Certificate>,
    /// All certificates inside.
    pub certificates: Vec<Certificate>,
}

/// An envelope that is waiting for its content.
pub struct Detached<'a> {
    crypto: &'a dyn Hashing,
    parts: Parts,
    digests: Digests,
}

impl Detached<'_> {
    /// The type of the content, an object identifier with dots. Unverified.
    pub fn content_type(&self) -> String {
        self.parts.content_type.to_string()
    }

    /// Takes the next octets of the content.
    pub fn read(&mut self, content: &[u8]) {
        self.digests.update(content);
    }

    /// Checks every signature over the content that was given; `beside` as for
    /// [`SignedReader::verify`].
    pub fn verify(self, beside: &[Certificate]) -> Result<Verified<Signers>, Error> {
        let digests = self.digests.finish();
        verify::verify(self.crypto, self.parts, beside, &|hash| of(&digests, hash))
    }
}

fn of(digests: &[Digest], hash: HashAlgorithm) -> Option<Digest> {
    digests.iter().find(|digest| digest.algorithm() == hash).copied()
}

/// One digest of each kind, of the same content.
pub(crate) struct Digests(Vec<Box<dyn Hasher>>);

impl Digests {
    pub(crate) fn start(crypto: &dyn Hashing, wanted: impl Iterator<Item = HashAlgorithm>) -> Self {
        let mut kinds: Vec<HashAlgorithm> = wanted.collect();
        kinds.sort_unstable();
        kinds.dedup();
        Self(kinds.into_iter().map(|kind| crypto.hasher(kind)).collect())
    }

    pub(crate) fn update(&mut self, octets: &[u8]) {
        self.0.iter_mut().for_each(|hasher| hasher.update(octets));
    }

    pub(crate) fn finish(self) -> Vec<Digest> {
        self.0.into_iter().map(Hasher::finish).collect()
    }

    pub(crate) fn find(digests: &[Digest], hash: HashAlgorithm) -> Option<Digest> {
        of(digests, hash)
    }
}
