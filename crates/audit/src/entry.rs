//! An event, and the entry that it becomes: one line of JSON in one form.

use crate::{Code, Flaw, Severity};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// The version of the line's schema.
pub(crate) const VERSION: u64 = 1;
/// Octets of a line, at most: more than an event can become.
pub(crate) const MAX_LINE: usize = 1024 * 1024;
const MAX_VALUE: usize = 4 * 1024;
const MAX_NAME: usize = 256;
const MAX_DETAILS: usize = 32;
/// What stands before the digits at the end of a line.
const HASH_MEMBER: &str = ",\"hash\":\"";
const HASH_DIGITS: usize = 64;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    code: Code,
    severity: Severity,
    tenant: String,
    subject: String,
    detail: BTreeMap<String, String>,
}

impl Event {
    /// Something happened in `tenant` to `subject`, which is written as `kind:id`: `device:17`.
    pub fn new(code: Code, tenant: &str, subject: &str) -> Self {
        Self {
            code,
            severity: code.severity(),
            tenant: clip(tenant, MAX_NAME).into_owned(),
            subject: clip(subject, MAX_NAME).into_owned(),
            detail: BTreeMap::new(),
        }
    }

    /// The event with a circumstance more. Text beyond 4 KiB is cut and ends in `..`; circumstances
    /// beyond 32 are dropped: an event is never lost because a device was talkative.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        if self.detail.len() < MAX_DETAILS {
            let value = clip(&value.to_string(), MAX_VALUE).into_owned();
            self.detail.insert(clip(name, MAX_NAME).into_owned(), value);
        }
        self
    }

    /// The event with another severity than its code has.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// What happened.
    pub const fn code(&self) -> Code {
        self.code
    }
}

fn clip(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max - 2);
    Cow::Owned(format!("{}..", text.get(..end).unwrap_or_default()))
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    v: u64,
    /// Its number, from 1 on, without gaps.
    pub seq: u64,
    /// When it was written, in Unix seconds.
    pub time: u64,
    /// Whose it is.
    pub tenant: String,
    /// What happened: a name of [`Code`], or one of a later version.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it happened to.
    pub subject: String,
    /// The circumstances.
    pub detail: BTreeMap<String, String>,
    prev: String,
    hash: String,
}

impl Entry {
    /// The entry that follows `head`.
    #[cfg(test)]
    pub(crate) fn after(head: &Head, crypto: &dyn Crypto, time: u64, event: &Event) -> Self {
        Self::written(head, crypto, time, event).0
    }

    /// The entry that follows `head`, and its line.
    pub(crate) fn written(
        head: &Head,
        crypto: &dyn Crypto,
        time: u64,
        event: &Event,
    ) -> (Self, String) {
        let mut entry = Self {
            v: VERSION,
            seq: head.seq + 1,
            time,
            tenant: event.tenant.clone(),
            code: event.code.name().into(),
            severity: event.severity,
            subject: event.subject.clone(),
            detail: event.detail.clone(),
            prev: head.hash.to_hex(),
            hash: "0".repeat(HASH_DIGITS),
        };
        let mut line = entry.line();
        entry.hash = hash_of(crypto, hashed_part(&line).unwrap_or_default()).to_hex();
        line.truncate(line.len().saturating_sub(HASH_DIGITS + 2));
        line.push_str(&entry.hash);
        line.push_str("\"}");
        (entry, line)
    }

    /// The line, without its end.
    pub fn line(&self) -> String {
        // Strings, numbers and a map with string keys: there is nothing that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line and checks that it is whole and says what it said when it was written. That it
    /// follows another is for [`verify`](crate::verify()).
    pub fn decode(crypto: &dyn Crypto, line: &[u8]) -> Result<Self, Flaw> {
        if line.len() > MAX_LINE {
            return Err(Flaw::TooLong);
        }
        let text = str::from_utf8(line).map_err(|_| Flaw::NotText)?;
        let hashed = hashed_part(text).ok_or(Flaw::NotAnEntry)?;
        let entry: Self = serde_json::from_str(text).map_err(|_| Flaw::NotAnEntry)?;
        if entry.hash != hash_of(crypto, hashed).to_hex() {
            return Err(Flaw::Changed);
        }
        if entry.v != VERSION {
            return Err(Flaw::Version(entry.v));
        }
        if entry.line() != text {
            return Err(Flaw::NotCanonical);
        }
        Ok(entry)
    }

    /// The hash of the entry before it, in hexadecimal.
    pub fn prev(&self) -> &str {
        &self.prev
    }

    /// Its own hash, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The log's head just after it.
    pub fn head(&self) -> Head {
        let hash = Digest::parse(&format!("sha256:{}", self.hash));
        // The digits were computed here or compared with those that were.
        Head { seq: self.seq, hash: hash.unwrap_or(Digest::zero(HashAlgorithm::Sha256)) }
    }
}

fn hash_of(crypto: &dyn Crypto, hashed: &str) -> Digest {
    crypto.hash(HashAlgorithm::Sha256, &[hashed.as_bytes()])
}

/// The part of a line that its hash covers.
fn hashed_part(line: &str) -> Option<&str> {
    let end = line.len().checked_sub(HASH_MEMBER.len() + HASH_DIGITS + 2)?;
    let (hashed, member) = line.split_at_checked(end)?;
    let digits = member.strip_prefix(HASH_MEMBER)?.strip_suffix("\"}")?;
    digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')).then_some(hashed)
}

/// The end of a log: what to remember in order to notice that it was cut. Written as `seq:hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last entry; 0 before the first.
    pub seq: u64,
    /// Its SHA-256; zeros before the first.
    pub hash: Digest,
}

impl Head {
    /// The head of an empty log.
    pub const EMPTY: Self = Self { seq: 0, hash: Digest::zero(HashAlgorithm::Sha256) };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash.to_hex())
    }
}

/// The text is not `seq:hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseHeadError;

impl fmt::Display for ParseHeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not the head of a log; write the entry's number, a colon and its 64-digit hash",
        )
    }
}

impl std::error::Error for ParseHeadError {}

impl FromStr for Head {
    type Err = ParseHeadError;

    fn from_str(text: &str) -> Result<Self, ParseHeadError> {
        let (seq, hash) = text.split_once(':').ok_or(ParseHeadError)?;
        let seq = seq.parse().map_err(|_| ParseHeadError)?;
        let hash = Digest::parse(&format!("sha256:{hash}")).map_err(|_| ParseHeadError)?;
        Ok(Self { seq, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    fn entry() -> Entry {
        let event = Event::new(Code::FlowCut, "plant", "device:17").with("why", "a \"reason\"\n");
        Entry::after(&Head::EMPTY, &AwsLc, 7, &event)
    }

    #[test]
    fn a_line_reads_back() {
        let entry = entry();
        let event = Event::new(Code::FlowCut, "plant", "device:17").with("why", "a \"reason\"\n");
        assert_eq!(Entry::written(&Head::EMPTY, &AwsLc, 7, &event).1, entry.line());
        assert_eq!(Entry::decode(&AwsLc, entry.line().as_bytes()), Ok(entry.clone()));
        assert_eq!(entry.head().to_string().parse(), Ok(entry.head()));
        assert_eq!((entry.seq, entry.prev()), (1, "0".repeat(64).as_str()));
    }

    #[test]
    fn a_line_that_says_the_same_otherwise_is_refused() {
        let respaced = entry().line().replacen("\"seq\":1", "\"seq\": 1", 1);
        let hash = hash_of(&AwsLc, hashed_part(&respaced).unwrap()).to_hex();
        let end = respaced.len() - 66;
        let forged = format!("{}{hash}\"}}", &respaced[..end]);
        assert_eq!(Entry::decode(&AwsLc, forged.as_bytes()), Err(Flaw::NotCanonical));
    }

    #[test]
    fn every_changed_octet_shows() {
        let line = entry().line();
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Entry::decode(&AwsLc, &bytes).is_err(), "octet {at}");
        }
    }

    #[test]
    fn a_talkative_device_loses_no_event() {
        let event = (0..100)
            .fold(Event::new(Code::FlowCut, "t", &"é".repeat(1_000)), |event, at| {
                event.with(&format!("d{at}"), "\u{1}".repeat(100_000))
            });
        let entry = Entry::after(&Head::EMPTY, &AwsLc, 7, &event);
        assert_eq!(entry.detail.len(), MAX_DETAILS);
        assert!(entry.subject.ends_with("é.."));
        assert!(entry.line().len() <= MAX_LINE);
        assert_eq!(Entry::decode(&AwsLc, entry.line().as_bytes()), Ok(entry));
    }
}
