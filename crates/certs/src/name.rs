//! Distinguished names (RFC 4514) and alternative names (RFC 5280 §4.2.1.6).

pub(crate) mod compare;
pub(crate) mod constraints;
pub(crate) mod host;

use crate::Error;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use der::asn1::{Ia5String, ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use x509_cert::ext::pkix::name::{GeneralName, HardwareModuleName, OtherName};
use x509_cert::name as x509;

/// A distinguished name.
#[derive(Clone, PartialEq, Eq)]
pub struct Name {
    pub(crate) inner: x509::Name,
}

impl Name {
    /// The name with no parts; the subject of a certificate named by its alternative names alone.
    pub fn empty() -> Self {
        Self { inner: x509::Name::default() }
    }

    /// `CN=<value>`, whatever characters the value has. At most 64 of them (RFC 5280 A.1,
    /// `ub-common-name`).
    pub fn common_name(value: &str) -> Result<Self, Error> {
        if value.is_empty() || value.chars().count() > 64 {
            return Err(Error::malformed("common name"));
        }
        Self::parse(&alloc::format!("CN={}", escape(value)))
    }

    /// Reads an RFC 4514 string: `CN=pump-3,O=Acme`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::empty());
        }
        let inner = x509::Name::from_str(text).map_err(Error::der("name"))?;
        // Text that was put into a type it does not fit would only be noticed by others.
        let der = inner.to_der().map_err(Error::der("name"))?;
        Self::decode(&der)
    }

    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        x509::Name::from_der(der).map(|inner| Self { inner }).map_err(Error::der("name"))
    }

    /// The DER.
    pub fn to_der(&self) -> Result<Vec<u8>, Error> {
        self.inner.to_der().map_err(Error::der("name"))
    }

    /// The first `CN`, if there is one.
    pub fn common_name_text(&self) -> Option<String> {
        let value = self.inner.common_name().ok()??;
        Some(value.value().to_string())
    }

    /// Whether it has no parts.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.inner)
    }
}

/// RFC 4514 §2.4.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let edge = (index == 0 && matches!(c, ' ' | '#')) || (index == last && c == ' ');
        if edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Another name of a certificate's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlternativeName {
    /// A host name.
    Dns(String),
    /// A URI.
    Uri(String),
    /// An address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
    /// A distinguished name; in an EK certificate the TPM's manufacturer, model and version (TCG EK
    /// Credential Profile §3.2.9).
    Directory(Name),
    /// A device's hardware type (an object identifier) and serial number (RFC 4108 §5; 802.1AR
    /// §8.10.4).
    HardwareModule {
        /// The type of hardware, an object identifier with dots.
        kind: String,
        /// The serial number.
        serial: Vec<u8>,
    },
}

impl AlternativeName {
    /// Whether this presented name is the one that was wanted.
    pub(crate) fn stands_for(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Dns(presented), Self::Dns(wanted)) => host::dns_matches(presented, wanted),
            (Self::Email(presented), Self::Email(wanted)) => {
                host::mailbox_matches(presented, wanted)
            }
            (presented, wanted) => presented == wanted,
        }
    }

    /// Whether it is spelled as its form asks (RFC 5280 §4.2.1.6).
    pub(crate) fn is_spelled_well(&self) -> bool {
        match self {
            Self::Dns(name) => host::is_dns_name(name),
            Self::Email(mailbox) => host::mailbox(mailbox).is_some(),
            // It names a scheme; what follows is the scheme's.
            Self::Uri(uri) => uri.split_once(':').is_some_and(|(scheme, _)| {
                scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            }),
            Self::Ip(_) | Self::Directory(_) | Self::HardwareModule { .. } => true,
        }
    }

    pub(crate) fn to_general(&self) -> Result<GeneralName, Error> {
        let failed = Error::der("subjectAltName");
        let ia5 = |text: &str| Ia5String::new(text).map_err(Error::der("subjectAltName"));
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(ia5(name)?),
            Self::Uri(uri) => GeneralName::UniformResourceIdentifier(ia5(uri)?),
            Self::Email(mailbox) => GeneralName::Rfc822Name(ia5(mailbox)?),
            Self::Directory(name) => GeneralName::DirectoryName(name.inner.clone()),
            Self::Ip(IpAddr::V4(ip)) => {
                GeneralName::IpAddress(OctetString::new(ip.octets()).map_err(failed)?)
            }
            Self::Ip(IpAddr::V6(ip)) => {
                GeneralName::IpAddress(OctetString::new(ip.octets()).map_err(failed)?)
            }
            Self::HardwareModule { kind, serial } => {
                let module = HardwareModuleName {
                    hw_type: ObjectIdentifier::new(kind)
                        .map_err(|_| Error::malformed("hardware type"))?,
                    hw_serial_num: OctetString::new(serial.as_slice()).map_err(&failed)?,
                };
                GeneralName::OtherName(OtherName::try_from(&module).map_err(&failed)?)
            }
        })
    }

    /// `None` for the forms that nothing here asks for.
    pub(crate) fn from_general(name: &GeneralName) -> Result<Option<Self>, Error> {
        Ok(match name {
            GeneralName::DnsName(name) => Some(Self::Dns(name.to_string())),
            GeneralName::UniformResourceIdentifier(uri) => Some(Self::Uri(uri.to_string())),
            GeneralName::Rfc822Name(mailbox) => Some(Self::Email(mailbox.to_string())),
            GeneralName::DirectoryName(name) => Some(Self::Directory(Name { inner: name.clone() })),
            GeneralName::IpAddress(ip) => Some(Self::Ip(address(ip.as_bytes())?)),
            GeneralName::OtherName(other) => HardwareModuleName::from_other_name(other)
                .map_err(Error::der("HardwareModuleName"))?
                .map(|module| Self::HardwareModule {
                    kind: module.hw_type.to_string(),
                    serial: module.hw_serial_num.as_bytes().to_vec(),
                }),
            _ => None,
        })
    }
}

fn address(octets: &[u8]) -> Result<IpAddr, Error> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ok(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(octets).map(IpAddr::from).map_err(|_| Error::malformed("iPAddress"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cannot_smuggle_parts_into_its_name() {
        for value in ["pump,O=Acme", " #x ", "a+CN=b", "back\\slash", "a=b", "\"q\"<>;"] {
            let name = Name::common_name(value).unwrap();
            assert_eq!(name.inner.len(), 1, "{name}");
            assert_eq!(name.common_name_text().as_deref(), Some(value));
            assert_eq!(Name::decode(&name.to_der().unwrap()).unwrap(), name);
        }
        assert!(Name::common_name("").is_err());
        assert!(Name::common_name(&"x".repeat(65)).is_err());
    }

    #[test]
    fn a_name_is_written_as_rfc_4514_says() {
        let name = Name::parse("CN=pump-3,O=Acme\\, Inc.,C=DE").unwrap();
        assert_eq!(name.to_string(), "CN=pump-3,O=Acme\\, Inc.,C=DE");
        assert!(Name::parse("nonsense").is_err());
        assert!(Name::parse("").unwrap().is_empty());
    }
}
