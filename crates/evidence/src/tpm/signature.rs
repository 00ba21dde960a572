//! TPMT_SIGNATURE (TPM 2.0 Part 2 §11.3.4).

use crate::Error;
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm, ecdsa};
use touchstone_wire::{Malformed, Reader, Why};

/// A signature, in the encoding that X.509 uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    scheme: Scheme,
    hash: HashAlgorithm,
    bytes: Vec<u8>,
}

/// TPM_ALG_ID of an asymmetric signing scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    RsaSsa,
    RsaPss,
    EcDsa,
}

impl Scheme {
    pub(super) const fn of(id: u16) -> Option<Self> {
        match id {
            0x0014 => Some(Self::RsaSsa),
            0x0016 => Some(Self::RsaPss),
            0x0018 => Some(Self::EcDsa),
            _ => None,
        }
    }
}

impl Signature {
    /// Parses a TPMT_SIGNATURE and nothing behind it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Reader::new(bytes)).map_err(|error| error.in_item("TPMT_SIGNATURE"))
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, Error> {
        let id = reader.u16()?;
        let scheme = Scheme::of(id)
            .ok_or(Error::Unsupported { item: "signature scheme", id: u32::from(id) })?;
        let id = reader.u16()?;
        let hash = HashAlgorithm::from_tpm_id(id)
            .ok_or(Error::Unsupported { item: "signature hash", id: u32::from(id) })?;
        let bytes = match scheme {
            Scheme::RsaSsa | Scheme::RsaPss => reader.sized_u16()?.to_vec(),
            Scheme::EcDsa => ecdsa_der(reader.sized_u16()?, reader.sized_u16()?)?,
        };
        reader.finish()?;
        Ok(Self { scheme, hash, bytes })
    }

    /// The hash that was signed: also that of the PCR digest in a quote.
    pub const fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// The signature's octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key's algorithm, if this signature is of that kind.
    pub(super) fn algorithm_for(
        &self,
        key: SignatureAlgorithm,
    ) -> Result<SignatureAlgorithm, Error> {
        use SignatureAlgorithm as A;
        let fits = matches!(
            (self.scheme, self.hash, key),
            (Scheme::EcDsa, HashAlgorithm::Sha256, A::EcdsaP256Sha256 | A::EcdsaP384Sha256)
                | (Scheme::EcDsa, HashAlgorithm::Sha384, A::EcdsaP384Sha384)
                | (Scheme::RsaSsa, HashAlgorithm::Sha256, A::RsaPkcs1Sha256)
                | (Scheme::RsaSsa, HashAlgorithm::Sha384, A::RsaPkcs1Sha384)
                | (Scheme::RsaSsa, HashAlgorithm::Sha512, A::RsaPkcs1Sha512)
                | (Scheme::RsaPss, HashAlgorithm::Sha256, A::RsaPssSha256)
        );
        if fits { Ok(key) } else { Err(Error::Signature(touchstone_crypto::Error::BadSignature)) }
    }
}

fn ecdsa_der(r: &[u8], s: &[u8]) -> Result<Vec<u8>, Error> {
    let malformed = Error::from(Malformed::new(4, Why::BadValue));
    // A TPM may leave out leading zeros; the fixed form wants both numbers equally long.
    let len = r.len().max(s.len());
    if len == 0 || len > 66 {
        return Err(malformed);
    }
    let mut fixed = vec![0; len - r.len()];
    fixed.extend_from_slice(r);
    fixed.resize(2 * len - s.len(), 0);
    fixed.extend_from_slice(s);
    ecdsa::fixed_to_der(&fixed).map_err(|_| malformed)
}
