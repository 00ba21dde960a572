//! The extensions of a certificate to be (RFC 5280 §4.2).

use super::Template;
use super::profile::Profile;
use crate::extensions::TLS_FEATURE;
use crate::name::host;
use crate::request::alternative_names;
use crate::{Error, Name};
use alloc::string::String;
use alloc::vec::Vec;
use const_oid::db::{rfc5280, rfc6960};
use core::net::IpAddr;
use der::asn1::{Ia5String, Null, OctetString};
use der::{Decode, Encode};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Crypto, HashAlgorithm};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{CertificatePolicies, PolicyInformation};
use x509_cert::ext::pkix::constraints::name::{GeneralSubtree, NameConstraints};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};

/// A name and all beneath it, for name constraints (RFC 5280 §4.2.1.10).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subtree {
    /// A domain and its hosts.
    Dns(String),
    /// A mailbox; a host and its mailboxes; with a leading period, those of the hosts beneath it.
    Email(String),
    /// A host of URIs; with a leading period, the hosts beneath it.
    Uri(String),
    /// A network: its address, and how many leading bits count.
    Ip(IpAddr, u8),
    /// A directory name and all beneath it.
    Directory(Name),
}

impl Template {
    pub(super) fn extensions(
        &self,
        crypto: &dyn Crypto,
        authority: Option<Vec<u8>>,
        spki_der: &[u8],
    ) -> Result<Vec<Extension>, Error> {
        let profile = &self.profile;
        if !profile.has_names(&self.names) {
            return Err(Error::malformed("subjectAltName"));
        }
        let mut extensions = profile.extensions()?;
        if !self.names.is_empty() {
            extensions.push(alternative_names(&self.names, self.subject.is_empty())?);
        }
        extensions.extend(self.name_constraints()?);
        let id = octets(key_id(crypto, spki_der)?)?;
        let subject_id = SubjectKeyIdentifier(id);
        extensions.push(extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &subject_id)?);
        extensions.extend(authority.map(authority_key_id).transpose()?);
        extensions.extend(self.information_access()?);
        for (oid, urls) in [
            (rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS, &self.crl_urls),
            (rfc5280::ID_CE_FRESHEST_CRL, &self.delta_crl_urls),
        ] {
            if !urls.is_empty() {
                let point = DistributionPoint {
                    distribution_point: Some(distribution_point(urls)?),
                    reasons: None,
                    crl_issuer: None,
                };
                extensions.push(extension(oid, false, &alloc::vec![point])?);
            }
        }
        Ok(extensions)
    }

    fn name_constraints(&self) -> Result<Option<Extension>, Error> {
        let subtrees = |list: &[Subtree]| -> Result<Option<Vec<GeneralSubtree>>, Error> {
            let read: Vec<_> = list.iter().map(Subtree::encode).collect::<Result<_, _>>()?;
            Ok((!read.is_empty()).then_some(read))
        };
        let constraints = NameConstraints {
            permitted_subtrees: subtrees(&self.permitted)?,
            excluded_subtrees: subtrees(&self.excluded)?,
        };
        if constraints.permitted_subtrees.is_none() && constraints.excluded_subtrees.is_none() {
            return Ok(None);
        }
        if !self.profile.is_ca() {
            return Err(Error::malformed("nameConstraints"));
        }
        extension(rfc5280::ID_CE_NAME_CONSTRAINTS, true, &constraints).map(Some)
    }

    fn information_access(&self) -> Result<Option<Extension>, Error> {
        let mut entries = Vec::new();
        for (method, url) in
            [(rfc5280::ID_AD_OCSP, &self.ocsp_url), (rfc5280::ID_AD_CA_ISSUERS, &self.issuer_url)]
        {
            if let Some(url) = url {
                let access_location = GeneralName::UniformResourceIdentifier(ia5(url)?);
                entries.push(AccessDescription { access_method: method, access_location });
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let access = AuthorityInfoAccessSyntax(entries);
        extension(rfc5280::ID_PE_AUTHORITY_INFO_ACCESS, false, &access).map(Some)
    }
}

impl Profile {
    fn is_ca(&self) -> bool {
        self.ca.is_some()
    }

    /// The extensions that certificates of this profile have in common.
    fn extensions(&self) -> Result<Vec<Extension>, Error> {
        let mut extensions = Vec::new();
        if let Some(ca) = self.ca {
            let basic = BasicConstraints { ca: true, path_len_constraint: ca.path_len };
            extensions.push(extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &basic)?);
        }
        extensions.push(extension(rfc5280::ID_CE_KEY_USAGE, true, &KeyUsage(self.usage))?);
        if !self.extended.is_empty() {
            let usages = ExtendedKeyUsage(self.extended.clone());
            extensions.push(extension(rfc5280::ID_CE_EXT_KEY_USAGE, false, &usages)?);
        }
        if !self.policies.is_empty() {
            let policy = |policy: &ObjectIdentifier| PolicyInformation {
                policy_identifier: *policy,
                policy_qualifiers: None,
            };
            let policies = CertificatePolicies(self.policies.iter().map(policy).collect());
            extensions.push(extension(rfc5280::ID_CE_CERTIFICATE_POLICIES, false, &policies)?);
        }
        if self.ocsp_no_check {
            // RFC 6960 §4.2.2.2.1: short-lived, and nobody asks about the responder itself.
            extensions.push(extension(rfc6960::ID_PKIX_OCSP_NOCHECK, false, &Null)?);
        }
        if self.must_staple {
            // RFC 7633 §4.2.3.1: status_request.
            extensions.push(extension(TLS_FEATURE, false, &alloc::vec![5_u16])?);
        }
        Ok(extensions)
    }
}

impl Subtree {
    fn encode(&self) -> Result<GeneralSubtree, Error> {
        let malformed = || Error::malformed("nameConstraints");
        let without_period = |text: &str| host::is_host(text.strip_prefix('.').unwrap_or(text));
        let base = match self {
            Self::Dns(domain) if host::is_host(domain) => GeneralName::DnsName(ia5(domain)?),
            Self::Email(text) if without_period(text) || host::mailbox(text).is_some() => {
                GeneralName::Rfc822Name(ia5(text)?)
            }
            Self::Uri(host) if without_period(host) => {
                GeneralName::UniformResourceIdentifier(ia5(host)?)
            }
            Self::Ip(address, bits) => GeneralName::IpAddress(octets(network(*address, *bits)?)?),
            Self::Directory(name) => GeneralName::DirectoryName(name.inner.clone()),
            _ => return Err(malformed()),
        };
        Ok(GeneralSubtree { base, minimum: 0, maximum: None })
    }
}

/// Address and mask (RFC 5280 §4.2.1.10).
fn network(address: IpAddr, bits: u8) -> Result<Vec<u8>, Error> {
    let mut octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if usize::from(bits) > octets.len() * 8 {
        return Err(Error::malformed("nameConstraints"));
    }
    let mask: Vec<u8> = (0..octets.len())
        .map(|index| {
            let ones = usize::from(bits).saturating_sub(index * 8).min(8);
            u8::try_from(0xFF00_u32 >> ones & 0xFF).unwrap_or(0)
        })
        .collect();
    octets.iter_mut().zip(&mask).for_each(|(octet, mask)| *octet &= mask);
    octets.extend(mask);
    Ok(octets)
}

pub(crate) fn extension(
    extn_id: ObjectIdentifier,
    critical: bool,
    value: &impl Encode,
) -> Result<Extension, Error> {
    let value = value.to_der().map_err(Error::der("extensions"))?;
    Ok(Extension { extn_id, critical, extn_value: octets(value)? })
}

pub(crate) fn distribution_point(urls: &[String]) -> Result<DistributionPointName, Error> {
    let name = |url: &String| Ok(GeneralName::UniformResourceIdentifier(ia5(url)?));
    urls.iter().map(name).collect::<Result<_, _>>().map(DistributionPointName::FullName)
}

pub(crate) fn authority_key_id(id: Vec<u8>) -> Result<Extension, Error> {
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(octets(id)?),
        ..AuthorityKeyIdentifier::default()
    };
    extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority)
}

/// RFC 7093 §2 (1): the leftmost 160 bits of the SHA-256 of the key.
pub(crate) fn key_id(crypto: &dyn Crypto, spki_der: &[u8]) -> Result<Vec<u8>, Error> {
    const PART: &str = "public key";
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(Error::der(PART))?;
    let key = spki.subject_public_key.as_bytes().ok_or_else(|| Error::malformed(PART))?;
    let digest = crypto.hash(HashAlgorithm::Sha256, &[key]);
    Ok(digest.as_bytes().iter().take(20).copied().collect())
}

fn octets(value: Vec<u8>) -> Result<OctetString, Error> {
    OctetString::new(value).map_err(Error::der("extensions"))
}

fn ia5(text: &str) -> Result<Ia5String, Error> {
    Ia5String::new(text).map_err(Error::der("name"))
}
