//! Name constraints (RFC 5280 §4.2.1.10, §6.1.3 (b), (c)).

use super::compare::Folded;
use super::host;
use crate::{AlternativeName, Error, Refusal};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use core::net::IpAddr;
use der::Decode;
use x509_cert::ext::pkix::constraints::name as x509;
use x509_cert::ext::pkix::name::GeneralName;

/// What one CA allows the certificates beneath it to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameConstraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
    /// A subtree is not spelled as RFC 5280 says, or has a minimum or maximum: it cannot be
    /// evaluated, so nothing passes.
    unusable: bool,
}

/// A name of some form, and all beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree {
    Dns(String),
    Email(String),
    Uri(String),
    Ip {
        address: Vec<u8>,
        mask: Vec<u8>,
    },
    Directory(Folded),
    /// A form that nothing here evaluates: a certificate with a name of it does not pass.
    Other(Form),
}

/// A form of names that is recognised and not evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `otherName` with its type.
    Other(ObjectIdentifier),
    EdiParty,
    RegisteredId,
}

/// Every name of a certificate that constraints speak of.
pub(crate) struct Named<'a> {
    pub(crate) subject: &'a Folded,
    pub(crate) names: &'a [AlternativeName],
    pub(crate) forms: &'a [Form],
    /// The mailboxes in the subject, if there is no subjectAltName.
    pub(crate) subject_mailboxes: &'a [String],
}

impl Form {
    /// The form of a name that is not evaluated; `None` for those that are.
    pub(crate) fn of(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::OtherName(other) => Some(Self::Other(other.type_id)),
            GeneralName::EdiPartyName(_) => Some(Self::EdiParty),
            GeneralName::RegisteredId(_) => Some(Self::RegisteredId),
            _ => None,
        }
    }
}

impl NameConstraints {
    pub(crate) fn decode(der: &[u8]) -> Result<Self, Error> {
        const PART: &str = "nameConstraints";
        let read = x509::NameConstraints::from_der(der).map_err(Error::der(PART))?;
        let mut constraints = Self::default();
        let (permitted, excluded) = (read.permitted_subtrees, read.excluded_subtrees);
        // §4.2.1.10: neither both absent nor empty.
        let all = [&permitted, &excluded];
        if all.iter().all(|list| list.is_none()) || all.into_iter().flatten().any(Vec::is_empty) {
            return Err(Error::malformed(PART));
        }
        constraints.permitted = constraints.subtrees(&permitted.unwrap_or_default())?;
        constraints.excluded = constraints.subtrees(&excluded.unwrap_or_default())?;
        Ok(constraints)
    }

    /// Each subtree, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        let line = |word: &str, subtree: &Subtree| alloc::format!("{word} {}", subtree.describe());
        let permitted = self.permitted.iter().map(|subtree| line("permitted", subtree));
        permitted.chain(self.excluded.iter().map(|subtree| line("excluded", subtree))).collect()
    }

    fn subtrees(&mut self, subtrees: &[x509::GeneralSubtree]) -> Result<Vec<Subtree>, Error> {
        let mut read = Vec::with_capacity(subtrees.len());
        for subtree in subtrees {
            // §4.2.1.10: the minimum is zero and the maximum absent.
            self.unusable |= subtree.minimum != 0 || subtree.maximum.is_some();
            match Subtree::read(&subtree.base)? {
                Some(subtree) => read.push(subtree),
                None => self.unusable = true,
            }
        }
        Ok(read)
    }

    /// Whether a certificate may have its names. `left` counts comparisons down, so that thousands
    /// of names and thousands of constraints cannot keep us busy.
    pub(crate) fn check(&self, named: &Named<'_>, left: &mut usize) -> Result<(), Refusal> {
        if self.unusable {
            return Err(Refusal::UnsupportedConstraints);
        }
        if !named.subject.is_empty() {
            self.check_one(left, |subtree| match subtree {
                Subtree::Directory(base) => Some(named.subject.is_within(base)),
                _ => None,
            })?;
        }
        for mailbox in named.subject_mailboxes {
            self.check_email(mailbox, left)?;
        }
        for name in named.names {
            self.check_name(name, left)?;
        }
        for form in named.forms {
            let mut all = self.permitted.iter().chain(&self.excluded);
            if all.any(|subtree| matches!(subtree, Subtree::Other(other) if other == form)) {
                return Err(Refusal::UnsupportedConstraints);
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &AlternativeName, left: &mut usize) -> Result<(), Refusal> {
        match name {
            AlternativeName::Dns(name) => self.check_dns(name, left),
            AlternativeName::Email(mailbox) => self.check_email(mailbox, left),
            AlternativeName::Uri(uri) => self.check_uri(uri, left),
            AlternativeName::Ip(ip) => self.check_ip(*ip, left),
            AlternativeName::Directory(name) => {
                let name = Folded::of(&name.inner).map_err(|_| Refusal::BadName)?;
                self.check_one(left, |subtree| match subtree {
                    Subtree::Directory(base) => Some(name.is_within(base)),
                    _ => None,
                })
            }
            // It is among the forms.
            AlternativeName::HardwareModule { .. } => Ok(()),
        }
    }

    fn check_dns(&self, name: &str, left: &mut usize) -> Result<(), Refusal> {
        let base = name.strip_prefix("*.");
        let overlaps = |excluded: &str| match base {
            // A wildcard could stand for a name that is excluded.
            Some(base) => dns_within(base, excluded) || dns_within(excluded, base),
            None => dns_within(name, excluded),
        };
        self.check_both(
            left,
            |subtree| match subtree {
                Subtree::Dns(permitted) => Some(dns_within(base.unwrap_or(name), permitted)),
                _ => None,
            },
            |subtree| matches!(subtree, Subtree::Dns(excluded) if overlaps(excluded)),
        )
    }

    fn check_email(&self, text: &str, left: &mut usize) -> Result<(), Refusal> {
        let mailbox = host::mailbox(text);
        let mut unreadable = false;
        let checked = self.check_one(left, |subtree| match (subtree, mailbox) {
            (Subtree::Email(constraint), Some(mailbox)) => Some(email_within(mailbox, constraint)),
            (Subtree::Email(_), None) => {
                unreadable = true;
                Some(false)
            }
            _ => None,
        });
        if unreadable { Err(Refusal::BadName) } else { checked }
    }

    fn check_uri(&self, uri: &str, left: &mut usize) -> Result<(), Refusal> {
        let host = host::uri_host(uri).filter(|host| host::is_host(host));
        let mut unreadable = false;
        let checked = self.check_one(left, |subtree| match (subtree, host) {
            (Subtree::Uri(constraint), Some(host)) => Some(uri_within(host, constraint)),
            // §4.2.1.10: a URI without a host name is refused where URIs are constrained.
            (Subtree::Uri(_), None) => {
                unreadable = true;
                Some(false)
            }
            _ => None,
        });
        if unreadable { Err(Refusal::NameNotPermitted) } else { checked }
    }

    fn check_ip(&self, ip: IpAddr, left: &mut usize) -> Result<(), Refusal> {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        self.check_one(left, |subtree| match subtree {
            Subtree::Ip { address, mask } => Some(
                address.len() == octets.len()
                    && octets.iter().zip(mask).zip(address).all(|((o, m), a)| o & m == a & m),
            ),
            _ => None,
        })
    }

    fn check_one(
        &self,
        left: &mut usize,
        mut within: impl FnMut(&Subtree) -> Option<bool>,
    ) -> Result<(), Refusal> {
        self.count(left)?;
        let mut permitted = None;
        for subtree in &self.permitted {
            if let Some(inside) = within(subtree) {
                permitted = Some(permitted.unwrap_or(false) || inside);
            }
        }
        let excluded = self.excluded.iter().any(|subtree| within(subtree) == Some(true));
        verdict(permitted, excluded)
    }

    fn check_both(
        &self,
        left: &mut usize,
        permits: impl Fn(&Subtree) -> Option<bool>,
        excludes: impl Fn(&Subtree) -> bool,
    ) -> Result<(), Refusal> {
        self.count(left)?;
        let permitted = self.permitted.iter().filter_map(permits).reduce(|a, b| a || b);
        verdict(permitted, self.excluded.iter().any(excludes))
    }

    fn count(&self, left: &mut usize) -> Result<(), Refusal> {
        let work = self.permitted.len().saturating_add(self.excluded.len());
        *left = left.checked_sub(work).ok_or(Refusal::TooMuchWork)?;
        Ok(())
    }
}

fn verdict(permitted: Option<bool>, excluded: bool) -> Result<(), Refusal> {
    if excluded {
        return Err(Refusal::NameExcluded);
    }
    if permitted == Some(false) { Err(Refusal::NameNotPermitted) } else { Ok(()) }
}

impl Subtree {
    fn describe(&self) -> String {
        let octets = |octets: &[u8]| {
            let words: Vec<_> = octets.iter().map(ToString::to_string).collect();
            words.join(".")
        };
        match self {
            Self::Dns(name) => alloc::format!("DNS:{name}"),
            Self::Email(name) => alloc::format!("email:{name}"),
            Self::Uri(name) => alloc::format!("URI:{name}"),
            Self::Ip { address, mask } => alloc::format!("IP:{}/{}", octets(address), octets(mask)),
            Self::Directory(_) => String::from("a directory name"),
            Self::Other(_) => String::from("names of a form that is not evaluated"),
        }
    }

    /// `None` if it is not spelled as RFC 5280 §4.2.1.10 says.
    fn read(base: &GeneralName) -> Result<Option<Self>, Error> {
        Ok(match base {
            GeneralName::DnsName(name) => {
                let name = name.to_string();
                (name.is_empty() || host::is_host(&name)).then_some(Self::Dns(name))
            }
            GeneralName::Rfc822Name(mailbox) => {
                let text = mailbox.to_string();
                let spelled = if text.contains('@') {
                    host::mailbox(&text).is_some()
                } else {
                    host::is_host(text.strip_prefix('.').unwrap_or(&text))
                };
                spelled.then_some(Self::Email(text))
            }
            GeneralName::UniformResourceIdentifier(uri) => {
                let text = uri.to_string();
                let spelled = host::is_host(text.strip_prefix('.').unwrap_or(&text));
                spelled.then_some(Self::Uri(text))
            }
            GeneralName::IpAddress(octets) => {
                let octets = octets.as_bytes();
                let half = octets.len() / 2;
                let (address, mask) = octets.split_at_checked(half).unwrap_or_default();
                let spelled = matches!(octets.len(), 8 | 32) && is_prefix(mask);
                spelled.then(|| Self::Ip { address: address.to_vec(), mask: mask.to_vec() })
            }
            GeneralName::DirectoryName(name) => Some(Self::Directory(Folded::of(name)?)),
            other => Form::of(other).map(Self::Other),
        })
    }
}

/// In the manner of CIDR: ones, then zeros.
fn is_prefix(mask: &[u8]) -> bool {
    let bits = mask.iter().fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet));
    let unused = 128_usize.saturating_sub(mask.len() * 8);
    let bits = u32::try_from(unused).ok().and_then(|unused| bits.checked_shl(unused)).unwrap_or(0);
    bits.leading_ones() == bits.count_ones()
}

fn dns_within(name: &str, base: &str) -> bool {
    base.is_empty() || ends_with_label(name, base)
}

fn email_within((local, host): (&str, &str), constraint: &str) -> bool {
    match constraint.split_once('@') {
        Some((wanted, at)) => local == wanted && host.eq_ignore_ascii_case(at),
        None => uri_within(host, constraint),
    }
}

/// A leading period asks for at least one label more; without it, for that very host.
fn uri_within(host: &str, constraint: &str) -> bool {
    match constraint.strip_prefix('.') {
        Some(domain) => !host.eq_ignore_ascii_case(domain) && ends_with_label(host, domain),
        None => host.eq_ignore_ascii_case(constraint),
    }
}

fn ends_with_label(name: &str, base: &str) -> bool {
    let Some(start) = name.len().checked_sub(base.len()) else { return false };
    let Some((head, tail)) = name.split_at_checked(start) else { return false };
    tail.eq_ignore_ascii_case(base) && (head.is_empty() || head.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_contains_its_hosts_and_no_lookalikes() {
        assert!(dns_within("a.Example.com", "example.com") && dns_within("x", ""));
        assert!(!dns_within("notexample.com", "example.com"));
        assert!(uri_within("a.example.com", ".example.com"));
        assert!(!uri_within("example.com", ".example.com"));
        assert!(!uri_within("a.example.com", "example.com"));
    }

    #[test]
    fn a_mask_is_a_prefix() {
        assert!(is_prefix(&[255, 255, 240, 0]) && is_prefix(&[0; 4]) && is_prefix(&[255; 16]));
        assert!(!is_prefix(&[255, 0, 255, 0]) && !is_prefix(&[0, 255]) && !is_prefix(&[0b101]));
    }
}
