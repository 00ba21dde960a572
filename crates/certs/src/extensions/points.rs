//! CRL distribution points (RFC 5280 §4.2.1.13), in certificates and in CRLs.

use crate::Error;
use crate::extensions::point_name;
use crate::name::compare::Folded;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::{BitAnd, BitOr};
use der::Decode;
use x509_cert::ext::pkix::crl::dp::{self, ReasonFlags};
use x509_cert::ext::pkix::name::DistributionPointName;
use x509_cert::name::RelativeDistinguishedName;

/// Where a part of an issuer's CRLs is found, and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DistributionPoint {
    pub(crate) name: Option<PointNames>,
    pub(crate) reasons: Reasons,
    /// Another than the certificate's issuer.
    pub(crate) crl_issuer: Vec<PointName>,
}

/// `DistributionPointName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PointNames {
    Full(Vec<PointName>),
    Relative(RelativeDistinguishedName),
}

/// One name, comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PointName {
    Directory(Folded),
    Uri(String),
    Other(Vec<u8>),
}

/// A set of reasons for revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reasons(u16);

impl Reasons {
    pub(crate) const NONE: Self = Self(0);
    /// `keyCompromise` to `aACompromise`: bits 1 to 8.
    pub(crate) const ALL: Self = Self(0x1FE);

    pub(crate) fn of(flags: Option<ReasonFlags>) -> Self {
        flags.map_or(Self::ALL, |flags| Self(flags.bits()) & Self::ALL)
    }

    pub(crate) fn is_within(self, other: Self) -> bool {
        self & other == self
    }
}

impl BitAnd for Reasons {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Reasons {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl PointNames {
    pub(crate) fn read(name: DistributionPointName) -> Result<Self, Error> {
        Ok(match name {
            DistributionPointName::FullName(names) => {
                Self::Full(names.iter().map(point_name).collect::<Result<_, _>>()?)
            }
            DistributionPointName::NameRelativeToCRLIssuer(step) => Self::Relative(step),
        })
    }

    /// The names in full; a relative one begins at `issuer`.
    pub(crate) fn resolve(&self, issuer: &Folded) -> Vec<PointName> {
        match self {
            Self::Full(names) => names.clone(),
            Self::Relative(step) => {
                issuer.join(step).map(PointName::Directory).into_iter().collect()
            }
        }
    }
}

pub(crate) fn read(value: &[u8], part: &'static str) -> Result<Vec<DistributionPoint>, Error> {
    let points: Vec<dp::DistributionPoint> = Vec::from_der(value).map_err(Error::der(part))?;
    if points.is_empty() {
        return Err(Error::malformed(part));
    }
    points.into_iter().map(DistributionPoint::read).collect()
}

impl DistributionPoint {
    fn read(point: dp::DistributionPoint) -> Result<Self, Error> {
        let issuers = point.crl_issuer.unwrap_or_default();
        Ok(Self {
            name: point.distribution_point.map(PointNames::read).transpose()?,
            reasons: Reasons::of(point.reasons),
            crl_issuer: issuers.iter().map(point_name).collect::<Result<_, _>>()?,
        })
    }

    /// The URIs at which it can be fetched.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        let names = match &self.name {
            Some(PointNames::Full(names)) => names.as_slice(),
            _ => &[],
        };
        names.iter().filter_map(|name| match name {
            PointName::Uri(uri) => Some(uri.as_str()),
            _ => None,
        })
    }
}
