//! Which algorithms and keys a path may stand on.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::UintRef;
use der::{Decode, Sequence};
use spki::SubjectPublicKeyInfoRef;
use touchstone_crypto::SignatureAlgorithm;

use crate::Refusal;

/// RFC 4055 §4.1: what some TPM makers write for endorsement keys.
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
/// ML-DSA, SLH-DSA (FIPS 204, FIPS 205): arcs 17 to 31 beneath it.
const NIST_SIGNATURES: &str = "2.16.840.1.101.3.4.3";
/// ML-KEM (FIPS 203): arcs 1 to 3 beneath it.
const NIST_KEMS: &str = "2.16.840.1.101.3.4.4";

/// The algorithms that are accepted in a path. What is not listed is refused, so SHA-1, MD5, DSA,
/// keys on other curves than P-256, P-384 and P-521, and RSA below 2048 bits are, by default.
///
/// Less is accepted by [`only`](Self::only) and [`with_least_rsa_bits`](Self::with_least_rsa_bits),
/// more by [`dangerous`](Self::dangerous).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithms<'a> {
    signatures: &'a [SignatureAlgorithm],
    least_rsa_bits: u32,
    sha1: bool,
}

/// Decisions that make forged certificates believable. Somebody who has to read chains from before
/// 2011 takes them knowingly, for those chains alone.
#[derive(Clone, Copy, Debug)]
pub struct DangerousAlgorithms<'a>(Algorithms<'a>);

/// Below this, a provider refuses.
const LEAST_RSA_BITS: u32 = 2048;

static ALL: [SignatureAlgorithm; 15] = SignatureAlgorithm::ALL;

impl Default for Algorithms<'_> {
    fn default() -> Self {
        Self { signatures: &ALL, least_rsa_bits: LEAST_RSA_BITS, sha1: false }
    }
}

impl<'a> Algorithms<'a> {
    /// Only these signatures: `&[SignatureAlgorithm::MlDsa87]`.
    pub const fn only(signatures: &'a [SignatureAlgorithm]) -> Self {
        Self { signatures, least_rsa_bits: LEAST_RSA_BITS, sha1: false }
    }

    /// The same with RSA keys of at least this many bits, if that is more than 2048.
    #[must_use]
    pub const fn with_least_rsa_bits(mut self, bits: u32) -> Self {
        self.least_rsa_bits = if bits > LEAST_RSA_BITS { bits } else { LEAST_RSA_BITS };
        self
    }

    /// Weaker than anybody should accept.
    pub const fn dangerous(self) -> DangerousAlgorithms<'a> {
        DangerousAlgorithms(self)
    }

    pub(crate) fn check_signature(&self, algorithm: SignatureAlgorithm) -> Result<(), Refusal> {
        let old = self.sha1 && algorithm.is_weak();
        if old || self.signatures.contains(&algorithm) {
            Ok(())
        } else {
            Err(Refusal::UnsupportedAlgorithm)
        }
    }

    /// Whether the key of a certificate is strong enough, and of a kind that is known.
    pub(crate) fn check_key(&self, spki_der: &[u8]) -> Result<(), Refusal> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| Refusal::WeakKey)?;
        let good = match spki.algorithm.oid {
            rfc5912::RSA_ENCRYPTION | rfc5912::ID_RSASSA_PSS | RSAES_OAEP => {
                rsa_bits(&spki).is_some_and(|bits| bits >= self.least_rsa_bits)
            }
            rfc5912::ID_EC_PUBLIC_KEY => spki.algorithm.parameters_oid().is_ok_and(|curve| {
                [rfc5912::SECP_256_R_1, rfc5912::SECP_384_R_1, rfc5912::SECP_521_R_1]
                    .contains(&curve)
            }),
            rfc8410::ID_ED_25519 | rfc8410::ID_ED_448 | rfc8410::ID_X_25519 | rfc8410::ID_X_448 => {
                true
            }
            other => is_post_quantum(other),
        };
        if good { Ok(()) } else { Err(Refusal::WeakKey) }
    }
}

impl<'a> DangerousAlgorithms<'a> {
    /// RSA signatures with SHA-1 are believed, and RSA keys of 1024 bits and more, as far as the crypto
    /// provider still verifies them: both are forged for money.
    #[must_use]
    pub const fn with_sha1_and_rsa_1024(mut self) -> Algorithms<'a> {
        (self.0.sha1, self.0.least_rsa_bits) = (true, 1024);
        self.0
    }
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// The bits of an RSA key; `None` if it is none, or no good one.
pub(crate) fn rsa_bits(spki: &SubjectPublicKeyInfoRef<'_>) -> Option<u32> {
    let key = RsaPublicKey::from_der(spki.subject_public_key.as_bytes()?).ok()?;
    // An exponent of one encrypts and verifies nothing.
    if key.exponent.as_bytes() == [1] {
        return None;
    }
    let modulus = key.modulus.as_bytes();
    let unused = modulus.first()?.leading_zeros();
    u32::try_from(modulus.len()).ok()?.checked_mul(8)?.checked_sub(unused)
}

fn is_post_quantum(oid: ObjectIdentifier) -> bool {
    let beneath = |base: &str, arcs: core::ops::RangeInclusive<u32>| {
        let parent = oid.parent();
        let last = oid.arcs().last();
        parent.is_some_and(|parent| ObjectIdentifier::new(base) == Ok(parent))
            && last.is_some_and(|arc| arcs.contains(&arc))
    };
    beneath(NIST_SIGNATURES, 17..=31) || beneath(NIST_KEMS, 1..=3)
}
