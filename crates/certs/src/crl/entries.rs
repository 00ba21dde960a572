//! `revokedCertificates` (RFC 5280 §5.1.2.6, §5.3).

use crate::name::compare::Folded;
use crate::ocsp::Reason;
use crate::{Error, time};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use const_oid::db::rfc5280;
use der::asn1::{AnyRef, IntRef};
use der::{Decode, Reader, Sequence, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};

const PART: &str = "revokedCertificates";

/// The entries, in the order of their serial numbers.
#[derive(Default)]
pub(crate) struct Entries {
    /// Numbers of issuers: 0 is the list's, others come in an indirect list.
    issuers: BTreeMap<Folded, u32>,
    list: Vec<Entry>,
    /// An entry has a critical extension that is not known here.
    pub(super) unknown_critical: bool,
}

/// A revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) serial: Box<[u8]>,
    issuer: u32,
    pub(crate) at: u64,
    pub(crate) reason: Reason,
}

#[derive(Sequence)]
struct Raw<'a> {
    serial: IntRef<'a>,
    at: AnyRef<'a>,
    extensions: Option<Vec<Extension>>,
}

impl Entries {
    pub(super) fn read(
        revoked: Option<&[u8]>,
        issuer: &Folded,
        indirect: bool,
    ) -> Result<Self, Error> {
        let mut entries = Self { issuers: [(issuer.clone(), 0)].into(), ..Self::default() };
        let Some(revoked) = revoked else { return Ok(entries) };
        let mut failure = None;
        let mut reader = SliceReader::new(revoked).map_err(Error::der(PART))?;
        reader
            .sequence(|reader| -> der::Result<()> {
                while !reader.is_finished() && failure.is_none() {
                    failure = entries.add(&reader.decode()?, indirect).err();
                }
                reader.read_slice(reader.remaining_len()).map(drop)
            })
            .map_err(Error::der(PART))?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        // §5.1.2.6: nothing revoked, no list.
        if entries.list.is_empty() {
            return Err(Error::malformed(PART));
        }
        entries.list.sort_by(|one, other| one.key().cmp(&other.key()));
        Ok(entries)
    }

    fn add(&mut self, raw: &Raw<'_>, indirect: bool) -> Result<(), Error> {
        // §5.3.3: the issuer of the entry before, unless it says another.
        let mut issuer = self.list.last().map_or(0, |entry| entry.issuer);
        let mut reason = Reason::Unspecified;
        for extension in raw.extensions.iter().flatten() {
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                rfc5280::ID_CE_CRL_REASONS => {
                    let read = CrlReason::from_der(value).map_err(Error::der("reasonCode"))?;
                    reason = Reason::from_wire(read);
                }
                rfc5280::ID_CE_CERTIFICATE_ISSUER if indirect => issuer = self.issuer(value)?,
                rfc5280::ID_CE_INVALIDITY_DATE => {}
                _ => self.unknown_critical |= extension.critical,
            }
        }
        let at = time::read(raw.at, "revocationDate")?;
        self.list.push(Entry { serial: raw.serial.as_bytes().into(), issuer, at, reason });
        Ok(())
    }

    fn issuer(&mut self, value: &[u8]) -> Result<u32, Error> {
        const PART: &str = "certificateIssuer";
        let names = GeneralNames::from_der(value).map_err(Error::der(PART))?;
        let name = names.iter().find_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(Folded::of(name)),
            _ => None,
        });
        let name = name.ok_or_else(|| Error::malformed(PART))??;
        let next = u32::try_from(self.issuers.len()).map_err(|_| Error::malformed(PART))?;
        Ok(*self.issuers.entry(name).or_insert(next))
    }

    pub(crate) fn find(&self, issuer: &Folded, serial: &[u8]) -> Option<&Entry> {
        let wanted = (serial, *self.issuers.get(issuer)?);
        let found = self.list.binary_search_by(|entry| entry.key().cmp(&wanted)).ok()?;
        self.list.get(found)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Those of the list's own issuer.
    pub(super) fn own(&self) -> impl Iterator<Item = &Entry> {
        self.list.iter().filter(|entry| entry.issuer == 0)
    }
}

impl Entry {
    fn key(&self) -> (&[u8], u32) {
        (&self.serial, self.issuer)
    }
}
