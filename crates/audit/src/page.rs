//! A page of a device's log, as it goes to whoever takes the log over: a line of JSON that says whose
//! log it is and why its key is to be believed, and then lines of the log as they stand in it.
//!
//! ```text
//! {"schema":"touchstone.device.log.page/1","key":"dev-7/audit/65a0+1f2e..","last":1042,"public":"..","attest":"..","signature":".."}
//! {"v":1,"seq":1001,..}
//! ```
//! `public`, `attest` and `signature` are what TPM2_Certify says of the key, in base64. What this is
//! not: a judgement of them.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use std::fmt;

const SCHEMA: &str = "touchstone.device.log.page/1";
/// Octets of the first line.
const MAX_HEADER: usize = 16 * 1024;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The log's key in text, with the log's name.
    pub key: String,
    /// The number of the log's last entry, on this page or not.
    pub last: u64,
    /// TPMT_PUBLIC of the key.
    pub public: Vec<u8>,
    /// TPMS_ATTEST by the attestation key.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE by the attestation key.
    pub signature: Vec<u8>,
    /// Lines of the log, each with its end.
    pub lines: Vec<u8>,
}

/// Why octets are not a page, one variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFault {
    /// Longer than a page can be.
    TooLong,
    /// The first line is missing or too long.
    Header,
    /// The first line is not the JSON that it should be.
    Json,
    /// Another schema.
    Schema,
    /// Something that should be base64 is not.
    Base64,
}

impl PageFault {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "audit.page.length",
            Self::Header => "audit.page.header",
            Self::Json => "audit.page.syntax",
            Self::Schema => "audit.page.schema",
            Self::Base64 => "audit.page.base64",
        }
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a page of a log has at most {} octets", Page::MOST),
            Self::Header => write!(f, "a page begins with a line of at most {MAX_HEADER} octets"),
            Self::Json => f.write_str("the first line of the page does not say whose log it is of"),
            Self::Schema => write!(f, "the page is not of schema {SCHEMA}"),
            Self::Base64 => f.write_str("the proof of the log's key is not base64"),
        }
    }
}

impl std::error::Error for PageFault {}

#[derive(Serialize, Deserialize)]
struct Header {
    schema: String,
    key: String,
    last: u64,
    public: String,
    attest: String,
    signature: String,
}

impl Page {
    /// Octets of a page, at most.
    pub const MOST: usize = 4 << 20;

    /// The page as octets.
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            schema: SCHEMA.to_owned(),
            key: self.key.clone(),
            last: self.last,
            public: Base64::encode_string(&self.public),
            attest: Base64::encode_string(&self.attest),
            signature: Base64::encode_string(&self.signature),
        };
        // Strings and a number: there is nothing that JSON cannot say.
        let mut octets = serde_json::to_vec(&header).unwrap_or_default();
        octets.push(b'\n');
        octets.extend_from_slice(&self.lines);
        octets
    }

    /// Reads what [`encode`](Self::encode) writes.
    pub fn decode(octets: &[u8]) -> Result<Self, PageFault> {
        if octets.len() > Self::MOST {
            return Err(PageFault::TooLong);
        }
        let mut parts = octets.splitn(2, |octet| *octet == b'\n');
        let header = parts.next().filter(|header| header.len() <= MAX_HEADER);
        let (header, lines) = header.zip(parts.next()).ok_or(PageFault::Header)?;
        let header: Header = serde_json::from_slice(header).map_err(|_| PageFault::Json)?;
        if header.schema != SCHEMA {
            return Err(PageFault::Schema);
        }
        let octets = |text: &str| Base64::decode_vec(text).map_err(|_| PageFault::Base64);
        Ok(Self {
            key: header.key,
            last: header.last,
            public: octets(&header.public)?,
            attest: octets(&header.attest)?,
            signature: octets(&header.signature)?,
            lines: lines.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back_and_what_is_none_is_refused() {
        let page = Page {
            key: "dev-7/audit+00000000+AA==".to_owned(),
            last: 9,
            public: vec![1],
            attest: vec![2, 3],
            signature: vec![],
            lines: b"one\ntwo\n".to_vec(),
        };
        let octets = page.encode();
        assert_eq!(Page::decode(&octets), Ok(page));
        let text = String::from_utf8(octets).unwrap();
        let refused = |text: &str| Page::decode(text.as_bytes()).unwrap_err();
        assert_eq!(refused(""), PageFault::Header);
        assert_eq!(refused("{}\n"), PageFault::Json);
        assert_eq!(refused(&text.replace("page/1", "page/2")), PageFault::Schema);
        assert_eq!(refused(&text.replace("AQ==", "AQ=")), PageFault::Base64);
        assert_eq!(Page::decode(&vec![b'x'; Page::MOST + 1]), Err(PageFault::TooLong));
    }
}
