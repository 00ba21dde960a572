//! Issuing: what a CA of ours puts into the certificates that it signs (RFC 5280 §4).
//!
//! Which request deserves a certificate is not decided here.

mod extensions;
mod profile;

pub use extensions::Subtree;
pub use profile::{Kind, Profile, ProfileFault};

pub(crate) use extensions::{authority_key_id, distribution_point, extension, key_id};

use crate::signing::{ToBeSigned, envelope};
use crate::{AlternativeName, Certificate, Error, Name, Refusal, algorithm, time};
use alloc::string::String;
use alloc::vec::Vec;
use der::asn1::{AnyRef, Int};
use der::{Decode, Encode, Sequence};
use spki::AlgorithmIdentifierRef;
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};
use x509_cert::ext::Extension;
use x509_cert::time::Time;

/// A certificate to be.
#[derive(Clone, Debug)]
pub struct Template {
    /// What it is for; decides its constraints and usages.
    pub profile: Profile,
    /// Whose it is.
    pub subject: Name,
    /// The first second of its life.
    pub not_before: u64,
    /// The last second of its life; [`FOREVER`](crate::FOREVER) for none.
    pub not_after: u64,
    /// Its serial number, 1 to 20 octets; `None` draws 16 random ones.
    pub serial: Option<Vec<u8>>,
    /// Other names of the subject.
    pub names: Vec<AlternativeName>,
    /// Where its status can be asked for.
    pub ocsp_url: Option<String>,
    /// Where its issuer's certificate is found.
    pub issuer_url: Option<String>,
    /// Where the CRL is found that could list it, each the same list.
    pub crl_urls: Vec<String>,
    /// Where that list's delta is found.
    pub delta_crl_urls: Vec<String>,
    /// Names that certificates below this CA may have; any, where a form is not mentioned.
    pub permitted: Vec<Subtree>,
    /// Names that certificates below this CA may not have.
    pub excluded: Vec<Subtree>,
}

/// A CA: its certificate, and the key that goes with it.
#[derive(Clone, Copy)]
pub struct Issuer<'a> {
    certificate: &'a Certificate,
    signer: &'a dyn Signer,
}

#[derive(Sequence)]
struct Tbs<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Int,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

impl<'a> Issuer<'a> {
    /// Puts the two together; refused if the key is another, or the certificate is no CA's.
    pub fn new(certificate: &'a Certificate, signer: &'a dyn Signer) -> Result<Self, Error> {
        if certificate.spki_der() != signer.spki_der() {
            return Err(Error::refused(Refusal::KeyMismatch, certificate.subject()));
        }
        if !certificate.is_ca() {
            return Err(Error::refused(Refusal::NotACa, certificate.subject()));
        }
        Ok(Self { certificate, signer })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &'a Certificate {
        self.certificate
    }
}

impl Template {
    /// A template without other names, and with a random serial number.
    pub fn new(
        profile: impl Into<Profile>,
        subject: Name,
        not_before: u64,
        not_after: u64,
    ) -> Self {
        Self {
            profile: profile.into(),
            subject,
            not_before,
            not_after,
            serial: None,
            names: Vec::new(),
            ocsp_url: None,
            issuer_url: None,
            crl_urls: Vec::new(),
            delta_crl_urls: Vec::new(),
            permitted: Vec::new(),
            excluded: Vec::new(),
        }
    }

    /// The same with these other names.
    #[must_use]
    pub fn with_names(mut self, names: Vec<AlternativeName>) -> Self {
        self.names = names;
        self
    }

    /// The same with the address of an OCSP responder.
    #[must_use]
    pub fn with_ocsp(mut self, url: &str) -> Self {
        self.ocsp_url = Some(url.into());
        self
    }

    /// The same with the addresses of the CRL that could list it.
    #[must_use]
    pub fn with_crls(mut self, urls: &[&str]) -> Self {
        self.crl_urls = urls.iter().map(|url| String::from(*url)).collect();
        self
    }

    /// The same, as a CA whose certificates have these names alone, and none of those (RFC 5280
    /// §4.2.1.10).
    #[must_use]
    pub fn with_name_constraints(
        mut self,
        permitted: Vec<Subtree>,
        excluded: Vec<Subtree>,
    ) -> Self {
        (self.permitted, self.excluded) = (permitted, excluded);
        self
    }

    /// The certificate of the key `spki_der`, signed by `issuer`. It ends no later than its issuer
    /// does.
    pub fn issue(
        &self,
        crypto: &dyn Crypto,
        issuer: &Issuer<'_>,
        spki_der: &[u8],
    ) -> Result<Certificate, Error> {
        let algorithm = issuer.signer.algorithm();
        self.to_be_signed(crypto, issuer.certificate, algorithm, spki_der)?.sign(issuer.signer)
    }

    /// The certificate of `signer`'s key, signed by itself.
    pub fn self_sign(
        &self,
        crypto: &dyn Crypto,
        signer: &dyn Signer,
    ) -> Result<Certificate, Error> {
        self.to_be_self_signed(crypto, signer.algorithm(), signer.spki_der())?.sign(signer)
    }

    /// The certificate of the key `spki_der`, waiting for a signature by `issuer`'s key.
    pub fn to_be_signed(
        &self,
        crypto: &dyn Crypto,
        issuer: &Certificate,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
    ) -> Result<ToBeSigned<Certificate>, Error> {
        if !issuer.is_ca() {
            return Err(Error::refused(Refusal::NotACa, issuer.subject()));
        }
        let authority = match issuer.subject_key_id() {
            Some(id) => id.to_vec(),
            None => key_id(crypto, issuer.spki_der())?,
        };
        let end = issuer.not_after();
        let extensions = self.extensions(crypto, Some(authority), spki_der)?;
        let tbs = self.tbs(crypto, issuer.subject_der(), algorithm, spki_der, end, extensions)?;
        Ok(waiting(tbs, algorithm, issuer.spki_der(), issuer.subject_der()))
    }

    /// The certificate of the key `spki_der`, waiting for a signature by that key.
    pub fn to_be_self_signed(
        &self,
        crypto: &dyn Crypto,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
    ) -> Result<ToBeSigned<Certificate>, Error> {
        let name = self.subject.to_der()?;
        let extensions = self.extensions(crypto, None, spki_der)?;
        let tbs = self.tbs(crypto, &name, algorithm, spki_der, crate::FOREVER, extensions)?;
        Ok(waiting(tbs, algorithm, spki_der, &name))
    }

    fn tbs(
        &self,
        crypto: &dyn Crypto,
        issuer: &[u8],
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        end: u64,
        extensions: Vec<Extension>,
    ) -> Result<Vec<u8>, Error> {
        let failed = Error::der("certificate");
        let subject = self.subject.to_der()?;
        let algorithm = algorithm::encode_signature(algorithm)?;
        let not_after = self.profile.end(self.not_before, self.not_after, end);
        let tbs = Tbs {
            version: 2,
            serial: self.serial(crypto)?,
            signature: AlgorithmIdentifierRef::from_der(&algorithm).map_err(&failed)?,
            issuer: AnyRef::from_der(issuer).map_err(&failed)?,
            validity: Validity {
                not_before: time::encode(self.not_before)?,
                not_after: time::encode(not_after)?,
            },
            subject: AnyRef::from_der(&subject).map_err(&failed)?,
            spki: AnyRef::from_der(spki_der).map_err(&failed)?,
            extensions,
        };
        tbs.to_der().map_err(failed)
    }

    /// RFC 5280 §4.1.2.2: positive, not longer than 20 octets.
    fn serial(&self, crypto: &dyn Crypto) -> Result<Int, Error> {
        let Some(octets) = &self.serial else {
            let mut random = [0; 16];
            crypto.random(&mut random)?;
            // A leading one keeps it positive, and of one length.
            random.first_mut().into_iter().for_each(|first| *first = *first & 0x3F | 0x40);
            return number(&random, "serialNumber");
        };
        number(octets, "serialNumber")
    }
}

/// A positive number of at most 20 octets from its magnitude.
pub(crate) fn number(magnitude: &[u8], part: &'static str) -> Result<Int, Error> {
    let start = magnitude.iter().position(|octet| *octet != 0);
    let mut octets = start
        .and_then(|start| magnitude.get(start..))
        .ok_or_else(|| Error::malformed(part))?
        .to_vec();
    if octets.first().is_some_and(|first| first & 0x80 != 0) {
        octets.insert(0, 0);
    }
    if octets.len() > 20 {
        return Err(Error::malformed(part));
    }
    Int::new(&octets).map_err(Error::der(part))
}

fn waiting(
    tbs: Vec<u8>,
    algorithm: SignatureAlgorithm,
    signer_spki: &[u8],
    signer: &[u8],
) -> ToBeSigned<Certificate> {
    ToBeSigned::new(tbs, algorithm, signer_spki, signer, |signed| {
        Certificate::decode(&envelope(signed)?)
    })
}
