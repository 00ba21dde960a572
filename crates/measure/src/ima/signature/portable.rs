//! EVM portable signatures: over the protected extended attributes and the owner, group and mode of
//! a file, wherever the file is. The template `evm-sig` carries all of them.

use super::{Kind, Publisher, Publishers, Signature, SignatureFault, strong};
use crate::ima::entry::{Entry, FileDigest};
use crate::ima::{Field, Order};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_wire::Reader;

const IMA: &[u8] = b"security.ima";
/// `IMA_XATTR_DIGEST`: SHA-1 (or MD5) without its algorithm.
const DIGEST: u8 = 1;
/// `IMA_XATTR_DIGEST_NG`: the algorithm's number, and the digest.
const DIGEST_NG: u8 = 4;

/// The signature in the field `evmsig`.
pub(super) fn verify<'p>(
    entry: &Entry<'_>,
    crypto: &dyn Crypto,
    publishers: &'p Publishers,
) -> Result<&'p Publisher, SignatureFault> {
    let octets = entry.field(Field::EvmSignature).unwrap_or(&[]);
    if octets.is_empty() {
        return Err(SignatureFault::Absent);
    }
    let signature = Signature::decode(octets)?;
    if signature.kind != Kind::EvmPortable {
        return Err(SignatureFault::WrongKind(signature.kind));
    }
    verify_signature(entry, &signature, crypto, publishers)
}

pub(super) fn verify_signature<'p>(
    entry: &Entry<'_>,
    signature: &Signature<'_>,
    crypto: &dyn Crypto,
    publishers: &'p Publishers,
) -> Result<&'p Publisher, SignatureFault> {
    let metadata = Metadata::of(entry)?;
    metadata.check_content(entry, crypto, publishers)?;
    let algorithm = strong(signature.hash)?;
    let mut fault = SignatureFault::UnknownKey(signature.key_id);
    // The word of the machine that signed is not told.
    for word in [8, 4] {
        let digest = metadata.digest(crypto, algorithm, word);
        match signature.verify(crypto, publishers, signature.hash, digest.as_bytes()) {
            Ok(publisher) => return Ok(publisher),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// What a portable signature covers.
struct Metadata<'a> {
    values: &'a [u8],
    /// `security.ima` among the values.
    ima: &'a [u8],
    uid: u32,
    gid: u32,
    mode: u16,
    order: Order,
}

impl<'a> Metadata<'a> {
    fn of(entry: &Entry<'a>) -> Result<Self, SignatureFault> {
        let field = |field| entry.field(field).ok_or(SignatureFault::NoMetadata);
        let number = |field| match entry.field(field) {
            Some(_) => entry.number(field).ok_or(SignatureFault::Metadata),
            None => Err(SignatureFault::NoMetadata),
        };
        let names = field(Field::XattrNames)?;
        let names = names.strip_suffix(&[0]).unwrap_or(names);
        let lengths = field(Field::XattrLengths)?;
        let values = field(Field::XattrValues)?;
        let mode = u16::try_from(number(Field::Mode)?).map_err(|_| SignatureFault::Metadata)?;
        let (mut lengths, mut rest) = (Reader::new(lengths), Reader::new(values));
        let mut ima = None;
        for name in names.split(|octet| *octet == b'|') {
            let len = entry.order.u32(&mut lengths).map_err(|_| SignatureFault::Metadata)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let value = rest.take(len).map_err(|_| SignatureFault::Metadata)?;
            // Named twice, one of them would be hidden behind the other.
            if name == IMA && ima.replace(value).is_some() {
                return Err(SignatureFault::Metadata);
            }
        }
        if !lengths.is_empty() || !rest.is_empty() {
            return Err(SignatureFault::Metadata);
        }
        Ok(Self {
            values,
            // The kernel takes no portable signature without it: the content would be anybody's.
            ima: ima.ok_or(SignatureFault::Metadata)?,
            uid: number(Field::Uid)?,
            gid: number(Field::Gid)?,
            mode,
            order: entry.order,
        })
    }

    /// Whether the signed `security.ima` is that of the content that was measured: its digest, or
    /// a signature over it.
    fn check_content(
        &self,
        entry: &Entry<'_>,
        crypto: &dyn Crypto,
        publishers: &Publishers,
    ) -> Result<(), SignatureFault> {
        let FileDigest { hash, octets, .. } =
            entry.file_digest().ok_or(SignatureFault::NoDigest)?;
        let same = match self.ima {
            [DIGEST, digest @ ..] => hash == crate::ima::KernelHash::SHA1 && *digest == *octets,
            [DIGEST_NG, number, digest @ ..] => hash.number() == *number && *digest == *octets,
            signed => {
                let signature = Signature::decode(signed)?;
                return signature.verify(crypto, publishers, hash, octets).map(drop);
            }
        };
        if same { Ok(()) } else { Err(SignatureFault::OtherContent) }
    }

    /// The values in their order, and `struct h_misc` without inode and generation.
    fn digest(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm, word: usize) -> Digest {
        let number = |value: u32| match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        };
        let mode = match self.order {
            Order::Little => self.mode.to_le_bytes(),
            Order::Big => self.mode.to_be_bytes(),
        };
        let inode_and_generation = [0; 12];
        let nothing = inode_and_generation.get(..word + 4).unwrap_or(&[]);
        let parts: [&[u8]; 6] =
            [self.values, nothing, &number(self.uid), &number(self.gid), &mode, &[0, 0]];
        crypto.hash(algorithm, &parts)
    }
}
