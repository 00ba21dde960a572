//! The certificate extensions that are understood here (RFC 5280 §4.2); the others are refused when
//! critical.

use crate::{AlternativeName, Error};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use const_oid::db::rfc5280;
use der::Decode;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, BasicConstraints, ExtendedKeyUsage, KeyUsage,
};

/// What the extensions of a certificate say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Extensions {
    pub(crate) is_ca: bool,
    pub(crate) path_len: Option<u8>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<Vec<ObjectIdentifier>>,
    pub(crate) names: Vec<AlternativeName>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) ocsp_urls: Vec<String>,
    /// Name or policy constraints are there, whether critical or not.
    pub(crate) constrained: bool,
    /// subjectAltName is there, and critical.
    pub(crate) names_critical: bool,
    pub(crate) unknown_critical: bool,
}

impl Extensions {
    pub(crate) fn read(extensions: &[Extension]) -> Result<Self, Error> {
        let mut found = Self::default();
        for (index, extension) in extensions.iter().enumerate() {
            // RFC 5280 §4.2: not more than one instance of an extension.
            if extensions.iter().take(index).any(|other| other.extn_id == extension.extn_id) {
                return Err(Error::malformed("extensions"));
            }
            found.add(extension)?;
        }
        Ok(found)
    }

    fn add(&mut self, extension: &Extension) -> Result<(), Error> {
        let value = extension.extn_value.as_bytes();
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
                self.extended_key_usage = Some(usage.0);
            }
            rfc5280::ID_CE_SUBJECT_ALT_NAME => {
                self.names = names(value)?;
                self.names_critical = extension.critical;
            }
            rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                let id = <&OctetStringRef>::from_der(value)
                    .map_err(Error::der("subjectKeyIdentifier"))?;
                self.subject_key_id = Some(id.as_bytes().to_vec());
                // RFC 5280 §4.2.1.2: never critical.
                self.unknown_critical |= extension.critical;
            }
            rfc5280::ID_PE_AUTHORITY_INFO_ACCESS => {
                // RFC 5280 §4.2.2.1: never critical, so what is odd in it harms nobody.
                self.ocsp_urls = ocsp_urls(value);
                self.unknown_critical |= extension.critical;
            }
            rfc5280::ID_CE_NAME_CONSTRAINTS | rfc5280::ID_CE_POLICY_CONSTRAINTS => {
                self.constrained = true;
            }
            // Any policy is acceptable here and none is required, so that these decide nothing
            // (RFC 5280 §6.1.1 (c), (e)); a constraint on policies is caught above.
            rfc5280::ID_CE_CERTIFICATE_POLICIES
            | rfc5280::ID_CE_POLICY_MAPPINGS
            | rfc5280::ID_CE_INHIBIT_ANY_POLICY => {}
            _ => self.unknown_critical |= extension.critical,
        }
        Ok(())
    }
}

fn names(value: &[u8]) -> Result<Vec<AlternativeName>, Error> {
    let names = GeneralNames::from_der(value).map_err(Error::der("subjectAltName"))?;
    let mut read = Vec::with_capacity(names.len());
    for name in &names {
        read.extend(AlternativeName::from_general(name)?);
    }
    Ok(read)
}

fn ocsp_urls(value: &[u8]) -> Vec<String> {
    let Ok(access) = AuthorityInfoAccessSyntax::from_der(value) else { return Vec::new() };
    access
        .0
        .iter()
        .filter(|entry| entry.access_method == rfc5280::ID_AD_OCSP)
        .filter_map(|entry| match &entry.access_location {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            _ => None,
        })
        .collect()
}
