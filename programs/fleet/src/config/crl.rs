//! `[crl]`: what CRLs there are, and where they are found.

use super::within;
use std::time::Duration;
use touchstone_certs::crl::partition_of;
use touchstone_settings::Section;

/// `[crl]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSettings {
    /// The base of the addresses in certificates.
    pub url: Option<String>,
    /// How long a list holds.
    pub lifetime: Duration,
    /// Into how many lists the certificates of an issuing CA are divided.
    pub shards: u32,
    /// How long a delta holds; there is none where this is zero.
    pub delta: Duration,
}

impl Default for CrlSettings {
    fn default() -> Self {
        Self { url: None, lifetime: Duration::from_hours(24), shards: 1, delta: Duration::ZERO }
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<CrlSettings> {
    let url: Option<String> = section.or("url", String::new());
    let lifetime = section.duration("lifetime", Duration::from_hours(24));
    let lifetime = lifetime.and_then(|it| within(section, "lifetime", it, 10, 30 * 86400));
    let shards = section.integer("shards", 1..=1024, 1);
    let delta = section.duration("delta", Duration::ZERO);
    let url = url?;
    if !url.is_empty() && (!url.starts_with("http://") || url.ends_with('/')) {
        section.refuse("url", "write an http:// URL without a slash at its end");
        return None;
    }
    let (lifetime, delta) = (lifetime?, delta?);
    if !delta.is_zero() && (delta >= lifetime || delta.as_secs() < 2) {
        section.refuse("delta", "a delta holds 2 s or more, and less than `lifetime`");
        return None;
    }
    let shards = u32::try_from(shards?).ok()?;
    Some(CrlSettings { url: (!url.is_empty()).then_some(url), lifetime, shards, delta })
}

impl CrlSettings {
    /// The list that a certificate would stand in. Its name says how many there are, so that a
    /// certificate names the same one when there are more later.
    pub fn list_of(&self, ca: &str, serial: &[u8]) -> String {
        match partition_of(serial, self.shards) {
            Some(shard) if self.shards > 1 => format!("{ca}-{}of{}", shard + 1, self.shards),
            _ => ca.to_owned(),
        }
    }

    /// Every list of an issuing CA, as things are.
    pub fn lists(&self, ca: &str) -> Vec<String> {
        let shards = (1..=self.shards).filter(|_| self.shards > 1);
        let parts = shards.map(|shard| format!("{ca}-{shard}of{}", self.shards));
        std::iter::once(ca.to_owned()).chain(parts).collect()
    }

    /// Where a list is found.
    pub fn url_of(&self, list: &str) -> Option<String> {
        self.url.as_ref().map(|url| format!("{url}/crl/{list}.crl"))
    }

    /// Where its delta is found, if there are any.
    pub fn delta_url_of(&self, list: &str) -> Option<String> {
        let url = self.url.as_ref().filter(|_| !self.delta.is_zero());
        url.map(|url| format!("{url}/crl/{list}-delta.crl"))
    }

    /// Where the certificate of an issuing CA is found.
    pub fn issuer_url_of(&self, ca: &str) -> Option<String> {
        self.url.as_ref().map(|url| format!("{url}/ca/{ca}.cer"))
    }
}
