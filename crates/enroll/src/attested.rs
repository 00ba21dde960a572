//! A certificate request with a TPM's statement about its key (draft-ietf-lamps-csr-attestation):
//! the attribute `id-aa-attestation` with an `AttestationBundle`, in it the TCG's
//! `tcg-attest-tpm-certify`.
//!
//! Not here: whether the statement is true. Its three parts go to `evidence`, which knows the TPM's
//! structures and the attestation key that must have signed.

use crate::Error;
use der::asn1::{Any, Ia5String, ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence, Tag, Tagged};
use touchstone_certs::request::{self, Attribute};
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, Name};
use touchstone_crypto::{Crypto, Signer, Verified};

/// `id-aa-attestation` (draft-ietf-lamps-csr-attestation, Appendix A).
pub(crate) const ATTESTATION: &str = "1.2.840.113549.1.9.16.2.59";
/// `tcg-attest-tpm-certify` (TCG OID Registry).
const TPM_CERTIFY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.20.1");
const MOST_CERTIFICATES: usize = 16;
const MOST_STATEMENTS: usize = 16;

/// What `TPM2_Certify` said about the key of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmCertify {
    /// `TPMS_ATTEST`.
    pub attest: Vec<u8>,
    /// The signature: `TPMT_SIGNATURE` as we make it. Others put the bare signature here.
    pub signature: Vec<u8>,
    /// `TPMT_PUBLIC` of the key; empty if it was left out.
    pub public: Vec<u8>,
}

/// A request, and what a TPM says about its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedRequest {
    request: CertificateRequest,
    certify: TpmCertify,
    certificates: Vec<Certificate>,
}

/// `AttestationBundle`.
#[derive(Sequence)]
struct Bundle {
    attestations: Vec<Statement>,
    certificates: Option<Vec<Any>>,
}

/// `AttestationStatement`; earlier drafts had a hint to the verifier in it, which is read and not
/// followed.
#[derive(Sequence)]
struct Statement {
    kind: ObjectIdentifier,
    value: Any,
    hint: Option<Ia5String>,
}

/// The TCG's `TcgAttestTpmCertify`.
#[derive(Sequence)]
struct Certify {
    attest: OctetString,
    signature: OctetString,
    public: Option<OctetString>,
}

impl TpmCertify {
    /// The attribute of a request in which this stands. `certificates` help the verifier.
    pub fn to_attribute(&self, certificates: &[Certificate]) -> Result<Attribute, Error> {
        let octets = |part: &[u8]| OctetString::new(part).map_err(Error::attestation);
        let public = if self.public.is_empty() { None } else { Some(octets(&self.public)?) };
        let statement =
            Certify { attest: octets(&self.attest)?, signature: octets(&self.signature)?, public };
        let certificates = certificates
            .iter()
            .map(|certificate| Any::from_der(certificate.der()).map_err(Error::attestation))
            .collect::<Result<Vec<_>, _>>()?;
        let bundle = Bundle {
            attestations: vec![Statement {
                kind: TPM_CERTIFY,
                value: Any::encode_from(&statement).map_err(Error::attestation)?,
                hint: None,
            }],
            // SIZE (1..MAX)
            certificates: (!certificates.is_empty()).then_some(certificates),
        };
        let value = bundle.to_der().map_err(Error::attestation)?;
        Ok(Attribute { oid: ATTESTATION.into(), value })
    }
}

impl AttestedRequest {
    /// Makes a request for `signer`'s key with a statement about it. `certificates` help the
    /// verifier (the attestation key's, if it has one).
    pub fn build(
        subject: &Name,
        names: &[AlternativeName],
        certify: &TpmCertify,
        certificates: &[Certificate],
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, Error> {
        let attribute = certify.to_attribute(certificates)?;
        Ok(request::build(subject, names, &[attribute], signer)?)
    }

    /// Reads DER. Neither the request's signature nor the statement is checked.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        Self::from_request(CertificateRequest::decode(der)?)
    }

    /// Takes the statement out of a request.
    pub fn from_request(request: CertificateRequest) -> Result<Self, Error> {
        let value = request.attribute(ATTESTATION).ok_or(Error::NoAttestation)?;
        let bundle = Bundle::from_der(value).map_err(Error::attestation)?;
        if bundle.attestations.len() > MOST_STATEMENTS {
            return Err(Error::Attestation { offset: None });
        }
        let certify = certify(&bundle.attestations)?;
        let certificates = certificates(bundle.certificates.as_deref().unwrap_or_default())?;
        Ok(Self { request, certify, certificates })
    }

    /// Proves that whoever made the request holds its key. The statement is still only a claim.
    pub fn verify(self, crypto: &dyn Crypto) -> Result<Verified<Self>, Error> {
        let Self { request, certify, certificates } = self;
        let request = request.verify(crypto)?.into_inner();
        Ok(Verified::vouch(Self { request, certify, certificates }))
    }

    /// The request.
    pub fn request(&self) -> &CertificateRequest {
        &self.request
    }

    /// What the TPM is said to have said.
    pub fn certify(&self) -> &TpmCertify {
        &self.certify
    }

    /// Certificates that came along.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

/// The only statement of the TCG's kind; with two of them it would be unclear which counts.
fn certify(statements: &[Statement]) -> Result<TpmCertify, Error> {
    let mut found = statements.iter().filter(|statement| statement.kind == TPM_CERTIFY);
    let statement = found.next().ok_or(Error::UnknownAttestation)?;
    if found.next().is_some() {
        return Err(Error::Attestation { offset: None });
    }
    let certify: Certify = statement.value.decode_as().map_err(Error::attestation)?;
    Ok(TpmCertify {
        attest: certify.attest.into_bytes().into_vec(),
        signature: certify.signature.into_bytes().into_vec(),
        public: certify.public.map(|public| public.into_bytes().into_vec()).unwrap_or_default(),
    })
}

/// `LimitedCertChoices`: X.509 certificates are read, other formats passed over.
fn certificates(choices: &[Any]) -> Result<Vec<Certificate>, Error> {
    if choices.len() > MOST_CERTIFICATES {
        return Err(Error::Attestation { offset: None });
    }
    let x509 = choices.iter().filter(|choice| choice.tag() == Tag::Sequence);
    x509.map(|choice| {
        let der = choice.to_der().map_err(Error::attestation)?;
        Ok(Certificate::decode(&der)?)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto::SignatureAlgorithm;
    use touchstone_crypto_awslc::SoftSigner;

    #[test]
    fn a_statement_of_another_kind_is_not_taken_for_the_tpm_s() {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let certify = TpmCertify { attest: vec![1], signature: vec![2], public: vec![3] };
        let name = Name::common_name("dev-1").unwrap();
        let mut der = AttestedRequest::build(&name, &[], &certify, &[], &key).unwrap();
        assert_eq!(AttestedRequest::decode(&der).unwrap().certify(), &certify);
        let kind = TPM_CERTIFY.as_bytes();
        let at = der.windows(kind.len()).position(|octets| octets == kind).unwrap();
        der[at + kind.len() - 1] ^= 2;
        let refused = AttestedRequest::decode(&der).unwrap_err();
        assert_eq!(refused.code(), "enroll.attestation.unknown");
        let plain = touchstone_certs::request::build(&name, &[], &[], &key).unwrap();
        let refused = AttestedRequest::decode(&plain).unwrap_err();
        assert_eq!(refused.code(), "enroll.attestation.none");
    }
}
