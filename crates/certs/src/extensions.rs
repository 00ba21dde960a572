//! The certificate extensions that are understood here (RFC 5280 §4.2); the others are refused when
//! critical.

mod points;

pub(crate) use points::{DistributionPoint, PointName, PointNames, Reasons, read as read_points};

use crate::name::compare::{self, Folded};
use crate::name::constraints::{Form, NameConstraints};
use crate::{AlternativeName, Error};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use const_oid::db::{rfc5280, rfc6960};
use der::Decode;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::CertificatePolicies;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage,
    KeyUsage, PolicyConstraints, PolicyMappings,
};
use x509_cert::name as x509;

/// TLS feature (RFC 7633 §4.1).
pub(crate) const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");
/// `id-emailAddress` (RFC 5280 §4.1.2.6).
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// What the extensions of a certificate say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Extensions {
    pub(crate) is_ca: bool,
    pub(crate) path_len: Option<u8>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<Vec<ObjectIdentifier>>,
    pub(crate) names: Vec<AlternativeName>,
    /// Forms of alternative names that are there and not evaluated.
    pub(crate) forms: Vec<Form>,
    /// subjectAltName is there.
    pub(crate) named: bool,
    /// subjectAltName is there, and critical.
    pub(crate) names_critical: bool,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Option<Vec<u8>>,
    pub(crate) ocsp_urls: Vec<String>,
    pub(crate) issuer_urls: Vec<String>,
    pub(crate) name_constraints: Option<NameConstraints>,
    pub(crate) policies: Option<Vec<ObjectIdentifier>>,
    /// Issuer's and subject's policies that are equivalent.
    pub(crate) policy_mappings: Vec<(ObjectIdentifier, ObjectIdentifier)>,
    pub(crate) require_explicit_policy: Option<u32>,
    pub(crate) inhibit_policy_mapping: Option<u32>,
    pub(crate) inhibit_any_policy: Option<u32>,
    pub(crate) distribution_points: Vec<DistributionPoint>,
    pub(crate) freshest: Vec<DistributionPoint>,
    /// `id-pkix-ocsp-nocheck` (RFC 6960 §4.2.2.2.1).
    pub(crate) ocsp_no_check: bool,
    pub(crate) tls_features: Vec<u16>,
    /// An extension is critical that must not be (RFC 5280 §4.2.1.1, §4.2.1.2, §4.2.1.15, §4.2.2.1).
    pub(crate) wrong_criticality: bool,
    pub(crate) unknown_critical: bool,
    /// Every extension there is: its object identifier, and whether it is critical.
    pub(crate) all: Vec<(ObjectIdentifier, bool)>,
}

impl Extensions {
    pub(crate) fn read(extensions: &[Extension]) -> Result<Self, Error> {
        let mut found = Self::default();
        for extension in extensions {
            // RFC 5280 §4.2: not more than one instance of an extension.
            if found.all.iter().any(|(oid, _)| *oid == extension.extn_id) {
                return Err(Error::malformed("extensions"));
            }
            found.all.push((extension.extn_id, extension.critical));
            found.add(extension)?;
        }
        Ok(found)
    }

    fn add(&mut self, extension: &Extension) -> Result<(), Error> {
        let value = extension.extn_value.as_bytes();
        let critical = extension.critical;
        match extension.extn_id {
            rfc5280::ID_CE_BASIC_CONSTRAINTS => {
                let basic =
                    BasicConstraints::from_der(value).map_err(Error::der("basicConstraints"))?;
                (self.is_ca, self.path_len) = (basic.ca, basic.path_len_constraint);
            }
            rfc5280::ID_CE_KEY_USAGE => {
                self.key_usage = Some(KeyUsage::from_der(value).map_err(Error::der("keyUsage"))?);
            }
            rfc5280::ID_CE_EXT_KEY_USAGE => {
                let usage = ExtendedKeyUsage::from_der(value).map_err(Error::der("extKeyUsage"))?;
                // RFC 5280 §4.2.1.12: one or more.
                if usage.0.is_empty() {
                    return Err(Error::malformed("extKeyUsage"));
                }
                self.extended_key_usage = Some(usage.0);
            }
            rfc5280::ID_CE_SUBJECT_ALT_NAME => {
                (self.names, self.forms) = names(value)?;
                (self.named, self.names_critical) = (true, critical);
            }
            rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                let id = <&OctetStringRef>::from_der(value)
                    .map_err(Error::der("subjectKeyIdentifier"))?;
                self.subject_key_id = Some(id.as_bytes().to_vec());
                // RFC 5280 §4.2.1.2: never critical.
                self.wrong_criticality |= critical;
            }
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                // A hint: what is odd in it harms nobody.
                let id = AuthorityKeyIdentifier::from_der(value).ok();
                let id = id.and_then(|id| id.key_identifier);
                self.authority_key_id = id.map(|id| id.as_bytes().to_vec());
                self.wrong_criticality |= critical;
            }
            rfc5280::ID_PE_AUTHORITY_INFO_ACCESS => {
                // RFC 5280 §4.2.2.1: never critical, so what is odd in it harms nobody.
                self.ocsp_urls = access_urls(value, rfc5280::ID_AD_OCSP);
                self.issuer_urls = access_urls(value, rfc5280::ID_AD_CA_ISSUERS);
                self.wrong_criticality |= critical;
            }
            rfc5280::ID_CE_NAME_CONSTRAINTS => {
                self.name_constraints = Some(NameConstraints::decode(value)?);
            }
            rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS => {
                self.distribution_points = read_points(value, "cRLDistributionPoints")?;
            }
            rfc5280::ID_CE_FRESHEST_CRL => {
                self.freshest = read_points(value, "freshestCRL")?;
                self.wrong_criticality |= critical;
            }
            rfc6960::ID_PKIX_OCSP_NOCHECK => self.ocsp_no_check = true,
            TLS_FEATURE => {
                self.tls_features = Vec::from_der(value).map_err(Error::der("TLS feature"))?;
            }
            _ => return self.add_policy(extension, value),
        }
        Ok(())
    }

    fn add_policy(&mut self, extension: &Extension, value: &[u8]) -> Result<(), Error> {
        match extension.extn_id {
            rfc5280::ID_CE_CERTIFICATE_POLICIES => {
                let read = CertificatePolicies::from_der(value)
                    .map_err(Error::der("certificatePolicies"))?;
                let mut policies: Vec<_> =
                    read.0.iter().map(|policy| policy.policy_identifier).collect();
                policies.sort_unstable();
                let all = policies.len();
                policies.dedup();
                // RFC 5280 §4.2.1.4: no policy more than once.
                if policies.is_empty() || policies.len() != all {
                    return Err(Error::malformed("certificatePolicies"));
                }
                self.policies = Some(policies);
            }
            rfc5280::ID_CE_POLICY_MAPPINGS => {
                let read = PolicyMappings::from_der(value).map_err(Error::der("policyMappings"))?;
                let pair = |mapping: &x509_cert::ext::pkix::PolicyMapping| {
                    (mapping.issuer_domain_policy, mapping.subject_domain_policy)
                };
                self.policy_mappings = read.0.iter().map(pair).collect();
                if self.policy_mappings.is_empty() {
                    return Err(Error::malformed("policyMappings"));
                }
            }
            rfc5280::ID_CE_POLICY_CONSTRAINTS => {
                let read =
                    PolicyConstraints::from_der(value).map_err(Error::der("policyConstraints"))?;
                self.require_explicit_policy = read.require_explicit_policy;
                self.inhibit_policy_mapping = read.inhibit_policy_mapping;
                // RFC 5280 §4.2.1.11: not an empty sequence.
                if read.require_explicit_policy.or(read.inhibit_policy_mapping).is_none() {
                    return Err(Error::malformed("policyConstraints"));
                }
            }
            rfc5280::ID_CE_INHIBIT_ANY_POLICY => {
                let skip = u32::from_der(value).map_err(Error::der("inhibitAnyPolicy"))?;
                self.inhibit_any_policy = Some(skip);
            }
            _ => self.unknown_critical |= extension.critical,
        }
        Ok(())
    }
}

/// The mailboxes in a subject (RFC 5280 §4.2.1.10, for certificates from before subjectAltName).
pub(crate) fn mailboxes(subject: &x509::Name) -> Vec<String> {
    let parts = subject.iter().filter(|part| part.oid == EMAIL_ADDRESS);
    // What is no text is no mailbox, and does not pass as one.
    parts.map(|part| compare::text(&part.value).unwrap_or_default()).collect()
}

fn names(value: &[u8]) -> Result<(Vec<AlternativeName>, Vec<Form>), Error> {
    let names = GeneralNames::from_der(value).map_err(Error::der("subjectAltName"))?;
    // RFC 5280 §4.2.1.6: at least one.
    if names.is_empty() {
        return Err(Error::malformed("subjectAltName"));
    }
    let mut read = Vec::with_capacity(names.len());
    for name in &names {
        read.extend(AlternativeName::from_general(name)?);
    }
    Ok((read, names.iter().filter_map(Form::of).collect()))
}

fn access_urls(value: &[u8], method: ObjectIdentifier) -> Vec<String> {
    let Ok(access) = AuthorityInfoAccessSyntax::from_der(value) else { return Vec::new() };
    access
        .0
        .iter()
        .filter(|entry| entry.access_method == method)
        .filter_map(|entry| match &entry.access_location {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            _ => None,
        })
        .collect()
}

/// A `GeneralName` in the form in which equal ones are equal.
pub(crate) fn point_name(name: &GeneralName) -> Result<PointName, Error> {
    Ok(match name {
        GeneralName::DirectoryName(name) => PointName::Directory(Folded::of(name)?),
        GeneralName::UniformResourceIdentifier(uri) => PointName::Uri(uri.to_string()),
        other => PointName::Other(der::Encode::to_der(other).map_err(Error::der("name"))?),
    })
}
