//! Signatures, `TPMT_SIGNATURE` (TPM 2.0 Part 2 §11.3.4), in the form that X.509 uses.

use crate::Error;
use crate::kdf::padded;
use crate::marshal::{Reader, Writer};
use crate::public::{ALG_ECDSA, ALG_RSAPSS, ALG_RSASSA};
use alloc::vec::Vec;
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm, ecdsa};

/// ECDSA in DER (RFC 3279 §2.2.3), RSA as it is.
pub fn to_x509(signature: &[u8], algorithm: SignatureAlgorithm) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(signature);
    let scheme = reader.u16()?;
    reader.u16()?;
    let x509 = match (scheme, algorithm) {
        (ALG_ECDSA, SignatureAlgorithm::EcdsaP256Sha256) => fixed(&mut reader, 32)?,
        (ALG_ECDSA, SignatureAlgorithm::EcdsaP384Sha384 | SignatureAlgorithm::EcdsaP384Sha256) => {
            fixed(&mut reader, 48)?
        }
        (ALG_ECDSA, SignatureAlgorithm::EcdsaP521Sha512 | SignatureAlgorithm::EcdsaP521Sha384) => {
            fixed(&mut reader, 66)?
        }
        (
            ALG_RSASSA,
            SignatureAlgorithm::RsaPkcs1Sha256
            | SignatureAlgorithm::RsaPkcs1Sha384
            | SignatureAlgorithm::RsaPkcs1Sha512,
        )
        | (
            ALG_RSAPSS,
            SignatureAlgorithm::RsaPssSha256
            | SignatureAlgorithm::RsaPssSha384
            | SignatureAlgorithm::RsaPssSha512,
        ) => reader.sized()?.to_vec(),
        _ => return Err(Error::Malformed("the signature is not of its key's scheme")),
    };
    reader.end()?;
    Ok(x509)
}

/// A signature in X.509's form as a `TPMT_SIGNATURE`: for a TPM to check.
pub fn from_x509(signature: &[u8], algorithm: SignatureAlgorithm) -> Result<Vec<u8>, Error> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    let (scheme, hash, len) = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => (ALG_ECDSA, Sha256, 32),
        SignatureAlgorithm::EcdsaP384Sha256 => (ALG_ECDSA, Sha256, 48),
        SignatureAlgorithm::EcdsaP384Sha384 => (ALG_ECDSA, Sha384, 48),
        SignatureAlgorithm::EcdsaP521Sha384 => (ALG_ECDSA, Sha384, 66),
        SignatureAlgorithm::EcdsaP521Sha512 => (ALG_ECDSA, Sha512, 66),
        SignatureAlgorithm::RsaPkcs1Sha256 => (ALG_RSASSA, Sha256, 0),
        SignatureAlgorithm::RsaPkcs1Sha384 => (ALG_RSASSA, Sha384, 0),
        SignatureAlgorithm::RsaPkcs1Sha512 => (ALG_RSASSA, Sha512, 0),
        SignatureAlgorithm::RsaPssSha256 => (ALG_RSAPSS, Sha256, 0),
        SignatureAlgorithm::RsaPssSha384 => (ALG_RSAPSS, Sha384, 0),
        SignatureAlgorithm::RsaPssSha512 => (ALG_RSAPSS, Sha512, 0),
        _ => return Err(Error::Unsupported("a signature of this algorithm")),
    };
    let writer = Writer::default().u16(scheme).u16(hash.tpm_id());
    if len == 0 {
        return Ok(writer.sized(signature)?.done());
    }
    let numbers = ecdsa::der_to_fixed(signature, len)?;
    let (r, s) = numbers.split_at_checked(len).unwrap_or_default();
    Ok(writer.sized(r)?.sized(s)?.done())
}

fn fixed(reader: &mut Reader<'_>, len: usize) -> Result<Vec<u8>, Error> {
    let r = padded(reader.sized()?, len)?;
    let s = padded(reader.sized()?, len)?;
    Ok(ecdsa::fixed_to_der(&[r, s].concat())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_the_tpm_shortened_get_their_zeros_back() {
        let writer = Writer::default().u16(ALG_ECDSA).u16(0x0B);
        let native = writer.sized(&[1; 31]).unwrap().sized(&[2; 32]).unwrap().done();
        let der = to_x509(&native, SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let fixed = ecdsa::der_to_fixed(&der, 32).unwrap();
        assert_eq!((fixed[0], fixed[1], fixed[32]), (0, 1, 2));
        let again = from_x509(&der, SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        assert_eq!(to_x509(&again, SignatureAlgorithm::EcdsaP256Sha256).unwrap(), der);
    }

    #[test]
    fn a_signature_of_another_scheme_or_length_is_refused() {
        let writer = Writer::default().u16(ALG_ECDSA).u16(0x0B);
        let native = writer.sized(&[1; 33]).unwrap().sized(&[2; 32]).unwrap().done();
        for algorithm in [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::RsaPkcs1Sha256] {
            assert!(to_x509(&native, algorithm).is_err());
        }
        for cut in 0..native.len() {
            assert!(to_x509(&native[..cut], SignatureAlgorithm::EcdsaP384Sha384).is_err());
        }
    }
}
