//! The public part of an attestation key, as a verifier has it.

use super::public::{LakPublic, PublicArea, name_of};
use super::signature::Signature;
use crate::Error;
use alloc::vec;
use alloc::vec::Vec;
use spki::der::Decode;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Crypto, SignatureAlgorithm};

/// A key that signs what a TPM states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationKey {
    spki_der: Vec<u8>,
    kind: KeyKind,
    /// How it signs, if that is fixed.
    fixed: Option<SignatureAlgorithm>,
    native: Option<Vec<u8>>,
}

/// What a key is, whatever it signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

impl AttestationKey {
    /// Reads a TPMT_PUBLIC and checks that the key is restricted, signs, and is bound to its TPM:
    /// another key could sign what only looks as if a TPM had made it.
    pub fn from_native(native: &[u8]) -> Result<Self, Error> {
        let public = PublicArea::decode(native)?;
        public.check_attestation()?;
        let kind = KeyKind::of(&public.spki_der)?;
        let (spki_der, fixed) = (public.spki_der, public.algorithm);
        Ok(Self { spki_der, kind, fixed, native: Some(native.to_vec()) })
    }

    /// Reads a `SubjectPublicKeyInfo` in DER, which does not say what else the key may sign: that it
    /// is an attestation key is for the caller to know.
    pub fn from_spki(spki_der: &[u8]) -> Result<Self, Error> {
        let kind = KeyKind::of(spki_der)?;
        Ok(Self { spki_der: spki_der.to_vec(), kind, fixed: None, native: None })
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// TPMT_PUBLIC, if it is known.
    pub fn native(&self) -> Option<&[u8]> {
        self.native.as_deref()
    }

    /// Whether its attributes are known, and so that it signs only what its TPM made.
    pub const fn is_known_restricted(&self) -> bool {
        self.native.is_some()
    }

    /// Its name; `None` if its public area is not known.
    pub fn name(&self, crypto: &dyn Crypto) -> Result<Option<Vec<u8>>, Error> {
        self.native.as_deref().map(|native| name_of(crypto, native)).transpose()
    }

    /// What it may have signed with: one algorithm if that is fixed, otherwise those of its kind.
    pub(crate) fn candidates(&self) -> Vec<SignatureAlgorithm> {
        use SignatureAlgorithm as A;
        if let Some(fixed) = self.fixed {
            return vec![fixed];
        }
        match self.kind {
            KeyKind::Rsa => vec![
                A::RsaPkcs1Sha256,
                A::RsaPssSha256,
                A::RsaPkcs1Sha384,
                A::RsaPssSha384,
                A::RsaPkcs1Sha512,
                A::RsaPssSha512,
                A::RsaPkcs1Sha1,
            ],
            KeyKind::P256 => {
                vec![A::EcdsaP256Sha256, A::EcdsaP256Sha384, A::EcdsaP256Sha512, A::EcdsaP256Sha1]
            }
            KeyKind::P384 => vec![A::EcdsaP384Sha384, A::EcdsaP384Sha256, A::EcdsaP384Sha512],
            KeyKind::P521 => vec![A::EcdsaP521Sha512, A::EcdsaP521Sha384, A::EcdsaP521Sha256],
            KeyKind::MlDsa44 => vec![A::MlDsa44],
            KeyKind::MlDsa65 => vec![A::MlDsa65],
            KeyKind::MlDsa87 => vec![A::MlDsa87],
        }
    }

    /// Checks a signature by this key; the algorithm that it was made with.
    pub(crate) fn check(
        &self,
        crypto: &dyn Crypto,
        message: &[u8],
        signature: &Signature,
    ) -> Result<SignatureAlgorithm, Error> {
        let algorithm = signature.algorithm_of(self.kind)?;
        if self.fixed.is_some_and(|fixed| fixed != algorithm) {
            return Err(Error::Scheme);
        }
        crypto
            .verify(algorithm, &self.spki_der, message, signature.as_bytes())
            .map_err(Error::Signature)?;
        Ok(algorithm)
    }
}

impl From<&LakPublic> for AttestationKey {
    fn from(lak: &LakPublic) -> Self {
        Self {
            spki_der: lak.spki_der().to_vec(),
            kind: KeyKind::signing_with(lak.algorithm()),
            fixed: Some(lak.algorithm()),
            native: Some(lak.native().to_vec()),
        }
    }
}

impl KeyKind {
    pub(crate) fn of(spki_der: &[u8]) -> Result<Self, Error> {
        const ITEM: &str = "SubjectPublicKeyInfo";
        let info = SubjectPublicKeyInfoRef::from_der(spki_der)
            .map_err(|_| Error::Malformed { item: ITEM, at: 0 })?;
        let unsupported = Error::KeyKind;
        match info.algorithm.oid {
            RSA => Ok(Self::Rsa),
            EC => match info.algorithm.parameters_oid() {
                Ok(P256) => Ok(Self::P256),
                Ok(P384) => Ok(Self::P384),
                Ok(P521) => Ok(Self::P521),
                _ => Err(unsupported),
            },
            ML_DSA_44 => Ok(Self::MlDsa44),
            ML_DSA_65 => Ok(Self::MlDsa65),
            ML_DSA_87 => Ok(Self::MlDsa87),
            _ => Err(unsupported),
        }
    }

    const fn signing_with(algorithm: SignatureAlgorithm) -> Self {
        use SignatureAlgorithm as A;
        match algorithm {
            A::EcdsaP256Sha1 | A::EcdsaP256Sha256 | A::EcdsaP256Sha384 | A::EcdsaP256Sha512 => {
                Self::P256
            }
            A::EcdsaP384Sha256 | A::EcdsaP384Sha384 | A::EcdsaP384Sha512 => Self::P384,
            A::EcdsaP521Sha256 | A::EcdsaP521Sha384 | A::EcdsaP521Sha512 => Self::P521,
            A::MlDsa44 => Self::MlDsa44,
            A::MlDsa65 => Self::MlDsa65,
            A::MlDsa87 => Self::MlDsa87,
            _ => Self::Rsa,
        }
    }
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");
