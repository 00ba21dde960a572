//! Certificate revocation lists (RFC 5280 §5): full, delta and indirect ones, and those that hold a
//! part of what their issuer revoked.
//!
//! A list is read here. Whether it speaks for a certificate is decided with the path
//! ([`Revocation`](crate::Revocation)).

mod build;
mod entries;

pub use build::{CrlTemplate, Only, partition_of};

pub(crate) use entries::Entry;

use crate::certificate::{Signed, hex};
use crate::extensions::PointNames;
use crate::extensions::{DistributionPoint, read_points};
use crate::extensions::{PointName, Reasons};
use crate::name::compare::Folded;
use crate::ocsp::Reason;
use crate::{Certificate, Error, Name, Refusal, pem, time};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use const_oid::db::rfc5280;
use core::fmt;
use der::asn1::{AnyRef, UintRef};
use der::{Decode, Reader, SliceReader};
use entries::Entries;
use spki::AlgorithmIdentifierRef;
use touchstone_crypto::Crypto;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::ext::pkix::crl::dp;

const PART: &str = "CRL";
/// A million revoked certificates take about 40 MB.
const MOST_OCTETS: usize = 64 * 1024 * 1024;
/// RFC 5280 §5.2.3.
const MOST_NUMBER: usize = 20;

/// A certificate revocation list, decoded and not believed. Cheap to clone.
#[derive(Clone)]
pub struct Crl {
    inner: Arc<Inner>,
}

struct Inner {
    der: Vec<u8>,
    tbs: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    issuer: Name,
    issuer_folded: Folded,
    this_update: u64,
    next_update: u64,
    entries: Entries,
    extensions: Extensions,
}

/// What a CRL says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number, as [`Certificate::serial`] writes it.
    pub serial: String,
    /// Since when.
    pub at: u64,
    /// Why.
    pub reason: Reason,
}

#[derive(Default)]
struct Extensions {
    number: Vec<u8>,
    base: Option<Vec<u8>>,
    scope: Option<Scope>,
    authority_key_id: Option<Vec<u8>>,
    freshest: Vec<DistributionPoint>,
    unknown_critical: bool,
}

/// `IssuingDistributionPoint` (RFC 5280 §5.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own")]
pub(crate) struct Scope {
    name: Option<PointNames>,
    user_certificates: bool,
    ca_certificates: bool,
    attribute_certificates: bool,
    pub(crate) indirect: bool,
    pub(crate) reasons: Reasons,
}

struct Parts<'a> {
    version: Option<u8>,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: &'a [u8],
    this_update: AnyRef<'a>,
    next_update: Option<AnyRef<'a>>,
    revoked: Option<&'a [u8]>,
    extensions: Option<Vec<Extension>>,
}

impl<'a> Parts<'a> {
    fn read(tbs: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(tbs)?;
        let parts = reader.sequence(|reader| -> der::Result<_> {
            let next = |reader: &SliceReader<'a>, tags: &[u8]| {
                reader.peek_byte().is_some_and(|tag| tags.contains(&tag))
            };
            Ok(Self {
                version: next(reader, &[0x02]).then(|| reader.decode()).transpose()?,
                signature: reader.decode()?,
                issuer: reader.tlv_bytes()?,
                this_update: reader.decode()?,
                next_update: next(reader, &[0x17, 0x18]).then(|| reader.decode()).transpose()?,
                revoked: next(reader, &[0x30]).then(|| reader.tlv_bytes()).transpose()?,
                extensions: reader.context_specific(der::TagNumber(0), der::TagMode::Explicit)?,
            })
        })?;
        reader.finish()?;
        Ok(parts)
    }
}

impl Crl {
    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MOST_OCTETS {
            return Err(Error::malformed(PART));
        }
        let signed = Signed::decode(der, PART)?;
        let parts = Parts::read(signed.tbs).map_err(Error::der(PART))?;
        // §5.1.1.2: both name the same algorithm.
        let outer = AlgorithmIdentifierRef::from_der(signed.algorithm).map_err(Error::der(PART))?;
        if outer != parts.signature {
            return Err(Error::malformed("signatureAlgorithm"));
        }
        // §5.1.2.1: v2 is 1, and the only one with extensions.
        if !matches!(parts.version, Some(1)) {
            return Err(Error::malformed("version"));
        }
        // §5.1.2.5: there is a next one; a list without end would be believed for ever.
        let next_update = parts.next_update.ok_or_else(|| Error::malformed("nextUpdate"))?;
        let issuer_folded = Folded::decode(parts.issuer)?;
        let mut extensions = Extensions::read(parts.extensions.as_deref().unwrap_or_default())?;
        let indirect = extensions.scope.as_ref().is_some_and(|scope| scope.indirect);
        let mut entries = Entries::read(parts.revoked, &issuer_folded, indirect)?;
        extensions.unknown_critical |= core::mem::take(&mut entries.unknown_critical);
        Ok(Self {
            inner: Arc::new(Inner {
                issuer: Name::decode(parts.issuer)?,
                issuer_folded,
                this_update: time::read(parts.this_update, "thisUpdate")?,
                next_update: time::read(next_update, "nextUpdate")?,
                entries,
                extensions,
                tbs: signed.tbs.to_vec(),
                algorithm: signed.algorithm.to_vec(),
                signature: signed.signature.to_vec(),
                der: der.to_vec(),
            }),
        })
    }

    /// Reads every `X509 CRL` block of a PEM file; an error if there is none, or one is bad.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, Error> {
        let blocks = pem::decode(pem, &["X509 CRL"], "PEM file of CRLs")?;
        blocks.iter().map(|der| Self::decode(der)).collect()
    }

    /// The list as a PEM block.
    pub fn to_pem(&self) -> Result<String, Error> {
        pem::encode("X509 CRL", self.der())
    }

    /// The octets it was read from.
    pub fn der(&self) -> &[u8] {
        &self.inner.der
    }

    /// Who signed it.
    pub fn issuer(&self) -> &Name {
        &self.inner.issuer
    }

    /// When it was made.
    pub fn this_update(&self) -> u64 {
        self.inner.this_update
    }

    /// When there will be a newer one at the latest.
    pub fn next_update(&self) -> u64 {
        self.inner.next_update
    }

    /// Its number, in hexadecimal (RFC 5280 §5.2.3).
    pub fn number(&self) -> String {
        hex(&self.inner.extensions.number)
    }

    /// The number of the list to which this one is a delta (RFC 5280 §5.2.4).
    pub fn base_number(&self) -> Option<String> {
        self.inner.extensions.base.as_deref().map(hex)
    }

    /// The URIs of the distribution point whose list this is: one part of its issuer's.
    pub fn distribution_point_urls(&self) -> Vec<String> {
        let scope = self.inner.extensions.scope.as_ref();
        let names = scope.and_then(|scope| scope.name.as_ref());
        let names = names.map(|names| names.resolve(&self.inner.issuer_folded)).unwrap_or_default();
        names
            .into_iter()
            .filter_map(|name| match name {
                PointName::Uri(uri) => Some(uri),
                _ => None,
            })
            .collect()
    }

    /// Whether it holds certificates of other issuers, too.
    pub fn is_indirect(&self) -> bool {
        self.inner.extensions.scope.as_ref().is_some_and(|scope| scope.indirect)
    }

    /// How many certificates it lists.
    pub fn len(&self) -> usize {
        self.inner.entries.len()
    }

    /// Whether it lists no certificate.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The certificates of its own issuer that it lists, by serial number.
    pub fn revoked(&self) -> impl Iterator<Item = Revoked> {
        self.inner.entries.own().map(|entry| Revoked {
            serial: hex(&entry.serial),
            at: entry.at,
            reason: entry.reason,
        })
    }

    /// Checks the signature alone: not the time, and not whether the issuer is anyone.
    pub fn verify_signature(&self, crypto: &dyn Crypto, issuer_spki: &[u8]) -> Result<(), Error> {
        self.signed()
            .verify(crypto, issuer_spki)
            .map_err(|reason| Error::refused(reason, &self.issuer().to_string()))
    }

    pub(crate) fn signed(&self) -> Signed<'_> {
        Signed {
            tbs: &self.inner.tbs,
            algorithm: &self.inner.algorithm,
            signature: &self.inner.signature,
        }
    }

    pub(crate) fn issuer_folded(&self) -> &Folded {
        &self.inner.issuer_folded
    }

    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.inner.extensions.scope.as_ref()
    }

    pub(crate) fn is_delta(&self) -> bool {
        self.inner.extensions.base.is_some()
    }

    /// Whether something in it is critical and not known here (§5.2, §5.3): then it decides nothing.
    pub(crate) fn unknown_critical(&self) -> bool {
        self.inner.extensions.unknown_critical
    }

    pub(crate) fn entry(&self, certificate: &Certificate) -> Option<&Entry> {
        self.inner.entries.find(certificate.issuer_folded(), certificate.serial_octets())
    }

    /// RFC 5280 §6.3.3 (c): whether this delta completes `complete`.
    pub(crate) fn completes(&self, complete: &Self) -> bool {
        let (delta, full) = (&self.inner.extensions, &complete.inner.extensions);
        let Some(base) = &delta.base else { return false };
        self.inner.issuer_folded == complete.inner.issuer_folded
            && delta.scope == full.scope
            && delta.authority_key_id == full.authority_key_id
            && by_number(base) <= by_number(&full.number)
            && by_number(&full.number) < by_number(&delta.number)
    }

    /// For finding the newest.
    pub(crate) fn order(&self) -> (usize, &[u8]) {
        by_number(&self.inner.extensions.number)
    }

    /// RFC 5280 §6.3.3 (b): whether it is the list, or a part of the list, that `point` of
    /// `certificate` names.
    pub(crate) fn speaks_for(&self, certificate: &Certificate, point: &DistributionPoint) -> bool {
        let scope = self.scope();
        let issuer = certificate.issuer_folded();
        let own = PointName::Directory(self.inner.issuer_folded.clone());
        let indirect = scope.is_some_and(|scope| scope.indirect);
        // (b)(1)
        let by_right_signer = if point.crl_issuer.is_empty() {
            *issuer == self.inner.issuer_folded
        } else {
            indirect && point.crl_issuer.contains(&own)
        };
        let Some(scope) = scope else { return by_right_signer };
        // (b)(2)(i)
        let in_place = scope.name.as_ref().is_none_or(|name| {
            let here = name.resolve(&self.inner.issuer_folded);
            let wanted = match &point.name {
                Some(name) if point.crl_issuer.is_empty() => name.resolve(issuer),
                Some(name) => name.resolve(&self.inner.issuer_folded),
                None => point.crl_issuer.clone(),
            };
            here.iter().any(|name| wanted.contains(name))
        });
        // (b)(2)(ii), (iii), (iv)
        let out_of_scope = (scope.user_certificates && certificate.is_ca())
            || (scope.ca_certificates && !certificate.is_ca())
            || scope.attribute_certificates;
        by_right_signer && in_place && !out_of_scope
    }

    /// Whether it is of the time `at`: it was made before, and its successor is due no longer than
    /// `grace` seconds ago.
    pub(crate) fn check_time(&self, at: u64, skew: u64, grace: u64) -> Result<(), Refusal> {
        if self.this_update() > at.saturating_add(skew) {
            return Err(Refusal::CrlFromTheFuture);
        }
        if at > self.next_update().saturating_add(grace) {
            return Err(Refusal::CrlStale);
        }
        Ok(())
    }
}

impl PartialEq for Crl {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Crl {}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl({}, number {}, {} entries)", self.issuer(), self.number(), self.len())
    }
}

impl Extensions {
    fn read(extensions: &[Extension]) -> Result<Self, Error> {
        let mut found = Self::default();
        for (index, extension) in extensions.iter().enumerate() {
            if extensions.iter().take(index).any(|other| other.extn_id == extension.extn_id) {
                return Err(Error::malformed("CRL extensions"));
            }
            found.add(extension)?;
        }
        // §5.2.3: in every list, and never critical.
        if found.number.is_empty() { Err(Error::malformed("cRLNumber")) } else { Ok(found) }
    }

    fn add(&mut self, extension: &Extension) -> Result<(), Error> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            rfc5280::ID_CE_CRL_NUMBER if extension.critical => {
                return Err(Error::malformed("cRLNumber"));
            }
            rfc5280::ID_CE_CRL_NUMBER => self.number = number(value, "cRLNumber")?,
            rfc5280::ID_CE_DELTA_CRL_INDICATOR => {
                self.base = Some(number(value, "deltaCRLIndicator")?);
            }
            rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT => self.scope = Some(Scope::read(value)?),
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                let id = AuthorityKeyIdentifier::from_der(value).ok();
                let id = id.and_then(|id| id.key_identifier);
                self.authority_key_id = id.map(|id| id.as_bytes().to_vec());
            }
            rfc5280::ID_CE_FRESHEST_CRL => {
                self.freshest = read_points(value, "freshestCRL")?;
            }
            _ => self.unknown_critical |= extension.critical,
        }
        Ok(())
    }
}

impl Scope {
    fn read(value: &[u8]) -> Result<Self, Error> {
        const PART: &str = "issuingDistributionPoint";
        let read = dp::IssuingDistributionPoint::from_der(value).map_err(Error::der(PART))?;
        let only = [
            read.only_contains_user_certs,
            read.only_contains_ca_certs,
            read.only_contains_attribute_certs,
        ];
        // §5.2.5: at most one of them.
        if only.iter().filter(|only| **only).count() > 1 {
            return Err(Error::malformed(PART));
        }
        Ok(Self {
            name: read.distribution_point.map(PointNames::read).transpose()?,
            user_certificates: read.only_contains_user_certs,
            ca_certificates: read.only_contains_ca_certs,
            attribute_certificates: read.only_contains_attribute_certs,
            indirect: read.indirect_crl,
            reasons: Reasons::of(read.only_some_reasons),
        })
    }
}

fn number(value: &[u8], part: &'static str) -> Result<Vec<u8>, Error> {
    let number = UintRef::from_der(value).map_err(Error::der(part))?;
    if number.as_bytes().len() > MOST_NUMBER {
        return Err(Error::malformed(part));
    }
    Ok(number.as_bytes().to_vec())
}

/// Numbers without leading zeros, in their order.
fn by_number(number: &[u8]) -> (usize, &[u8]) {
    let start = number.iter().position(|octet| *octet != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    (digits.len(), digits)
}
