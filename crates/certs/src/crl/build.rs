//! CRLs to be (RFC 5280 §5): full ones, deltas, and partitions of a long one.

use super::{Crl, Revoked};
use crate::issue::{authority_key_id, distribution_point, extension, key_id, number};
use crate::ocsp::Reason;
use crate::signing::{ToBeSigned, envelope};
use crate::{Certificate, Error, Refusal, algorithm, time};
use alloc::string::String;
use alloc::vec::Vec;
use const_oid::db::rfc5280;
use der::asn1::{AnyRef, Int};
use der::{Decode, Encode, Sequence};
use spki::AlgorithmIdentifierRef;
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::{DistributionPoint, IssuingDistributionPoint};
use x509_cert::time::Time;

const PART: &str = "CRL";

/// A CRL to be.
#[derive(Clone, Debug)]
pub struct CrlTemplate {
    /// Its number, greater than that of the one before (RFC 5280 §5.2.3).
    pub number: u64,
    /// When it is made.
    pub this_update: u64,
    /// When there will be a newer one at the latest.
    pub next_update: u64,
    /// The revoked certificates of its issuer: all, or those of its partition. In a delta, those
    /// whose state changed since the full list; [`Reason::RemoveFromCrl`] takes one off hold.
    pub revoked: Vec<Revoked>,
    /// The number of the full list to which this is the delta (RFC 5280 §5.2.4).
    pub base: Option<u64>,
    /// The URIs of the partition that this is; certificates name the same in their
    /// cRLDistributionPoints.
    pub partition: Vec<String>,
    /// Which kind of certificates it is about.
    pub only: Option<Only>,
    /// Where the delta to this list is found.
    pub delta_urls: Vec<String>,
}

/// The kind of certificates that a list is about (RFC 5280 §5.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Those that are no CA's.
    UserCertificates,
    /// Those of CAs.
    CaCertificates,
}

/// In which of `count` partitions a certificate's serial number falls, however long the list of
/// revoked ones gets. `None` for no partitions at all.
pub fn partition_of(serial: &[u8], count: u32) -> Option<u32> {
    let tail = serial.iter().rev().take(4).rev();
    tail.fold(0_u32, |number, octet| number << 8 | u32::from(*octet)).checked_rem(count)
}

#[derive(Sequence)]
struct Tbs<'a> {
    version: u8,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Time,
    revoked: Option<Vec<Entry>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Entry {
    serial: Int,
    at: Time,
    extensions: Option<Vec<Extension>>,
}

impl CrlTemplate {
    /// A full list of nothing.
    pub fn new(number: u64, this_update: u64, next_update: u64) -> Self {
        Self {
            number,
            this_update,
            next_update,
            revoked: Vec::new(),
            base: None,
            partition: Vec::new(),
            only: None,
            delta_urls: Vec::new(),
        }
    }

    /// The same with these revoked certificates.
    #[must_use]
    pub fn with_revoked(mut self, revoked: Vec<Revoked>) -> Self {
        self.revoked = revoked;
        self
    }

    /// The list, signed with `issuer`'s key.
    pub fn sign(
        &self,
        crypto: &dyn Crypto,
        issuer: &Certificate,
        signer: &dyn Signer,
    ) -> Result<Crl, Error> {
        if issuer.spki_der() != signer.spki_der() {
            return Err(Error::refused(Refusal::KeyMismatch, issuer.subject()));
        }
        self.to_be_signed(crypto, issuer, signer.algorithm())?.sign(signer)
    }

    /// The list, waiting for a signature by `issuer`'s key.
    pub fn to_be_signed(
        &self,
        crypto: &dyn Crypto,
        issuer: &Certificate,
        algorithm: SignatureAlgorithm,
    ) -> Result<ToBeSigned<Crl>, Error> {
        let usage = issuer.extensions().key_usage;
        // RFC 5280 §4.2.1.3.
        if usage.is_some_and(|usage| !usage.crl_sign()) {
            return Err(Error::refused(Refusal::CrlUnauthorized, issuer.subject()));
        }
        let failed = Error::der(PART);
        let identifier = algorithm::encode_signature(algorithm)?;
        let entries = self.revoked.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let tbs = Tbs {
            version: 1,
            signature: AlgorithmIdentifierRef::from_der(&identifier).map_err(&failed)?,
            issuer: AnyRef::from_der(issuer.subject_der()).map_err(&failed)?,
            this_update: time::encode(self.this_update)?,
            next_update: time::encode(self.next_update)?,
            revoked: (!entries.is_empty()).then_some(entries),
            extensions: self.extensions(crypto, issuer)?,
        };
        let tbs = tbs.to_der().map_err(failed)?;
        let (spki, name) = (issuer.spki_der(), issuer.subject_der());
        Ok(ToBeSigned::new(tbs, algorithm, spki, name, |signed| Crl::decode(&envelope(signed)?)))
    }

    fn extensions(
        &self,
        crypto: &dyn Crypto,
        issuer: &Certificate,
    ) -> Result<Vec<Extension>, Error> {
        let authority = match issuer.subject_key_id() {
            Some(id) => id.to_vec(),
            None => key_id(crypto, issuer.spki_der())?,
        };
        let mut extensions = alloc::vec![
            authority_key_id(authority)?,
            extension(rfc5280::ID_CE_CRL_NUMBER, false, &self.number)?,
        ];
        if let Some(base) = self.base {
            if base >= self.number {
                return Err(Error::malformed("deltaCRLIndicator"));
            }
            extensions.push(extension(rfc5280::ID_CE_DELTA_CRL_INDICATOR, true, &base)?);
        }
        if !self.partition.is_empty() || self.only.is_some() {
            let name = (!self.partition.is_empty()).then(|| distribution_point(&self.partition));
            let scope = IssuingDistributionPoint {
                distribution_point: name.transpose()?,
                only_contains_user_certs: self.only == Some(Only::UserCertificates),
                only_contains_ca_certs: self.only == Some(Only::CaCertificates),
                only_some_reasons: None,
                indirect_crl: false,
                only_contains_attribute_certs: false,
            };
            let oid = rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT;
            extensions.push(extension(oid, true, &scope)?);
        }
        if !self.delta_urls.is_empty() {
            let point = DistributionPoint {
                distribution_point: Some(distribution_point(&self.delta_urls)?),
                reasons: None,
                crl_issuer: None,
            };
            extensions.push(extension(rfc5280::ID_CE_FRESHEST_CRL, false, &alloc::vec![point])?);
        }
        Ok(extensions)
    }
}

fn entry(revoked: &Revoked) -> Result<Entry, Error> {
    const PART: &str = "serial number of a revoked certificate";
    let digits = revoked.serial.as_bytes();
    let odd = if digits.len() % 2 == 1 { "0" } else { "" };
    let text = alloc::format!("{odd}{}", revoked.serial);
    let octets = text.as_bytes().chunks(2).map(|pair| {
        let pair = core::str::from_utf8(pair).ok().filter(|pair| !pair.contains('+'))?;
        u8::from_str_radix(pair, 16).ok()
    });
    let octets: Vec<u8> = octets.collect::<Option<_>>().ok_or_else(|| Error::malformed(PART))?;
    // §5.3.1: no reason is said by leaving it out.
    let reason = match revoked.reason {
        Reason::Unspecified => None,
        reason => {
            Some(alloc::vec![extension(rfc5280::ID_CE_CRL_REASONS, false, &reason.to_wire(),)?])
        }
    };
    Ok(Entry { serial: number(&octets, PART)?, at: time::encode(revoked.at)?, extensions: reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_always_falls_in_the_same_partition() {
        assert_eq!(partition_of(&[1, 2, 3, 4, 5], 16), Some(5));
        assert_eq!(partition_of(&[2, 3, 4, 5], 16), Some(5));
        assert_eq!(partition_of(&[], 16), Some(0));
        assert_eq!(partition_of(&[1], 0), None);
    }
}
