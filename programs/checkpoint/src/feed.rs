//! The fleet's feed of results: one JSON object per line. Here is what a line says; `crate::edge`
//! keeps the connection.

use serde::Deserialize;
use std::fmt;

/// The longest line that is read, in octets.
pub const LONGEST_LINE: usize = 256 << 10;

const SCHEMA: &str = "touchstone.feed/1";

/// What a line says. Fields that are not known are passed over: a newer fleet may say more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// The latest result of a device.
    Result {
        /// Rises with every result and revocation.
        seq: u64,
        /// The device.
        device: String,
        /// The result, as a JWT.
        ear_jwt: String,
    },
    /// A certificate was revoked.
    Revoked {
        /// Rises with every result and revocation.
        seq: u64,
        /// The device.
        device: String,
        /// Thumbprint of the key in that certificate (RFC 7638).
        #[serde(default)]
        jkt: Option<String>,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// The fleet is there.
    Heartbeat {
        /// The highest number so far.
        seq: u64,
    },
}

/// Why a line is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Longer than [`LONGEST_LINE`].
    TooLong,
    /// Another schema.
    Schema,
    /// Not what the schema says.
    Json(String),
}

impl Malformed {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "checkpoint.feed.too-long",
            Self::Schema => "checkpoint.feed.schema",
            Self::Json(_) => "checkpoint.feed.json",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a line of the feed is longer than {LONGEST_LINE} octets"),
            Self::Schema => {
                write!(f, "a line of the feed is not `{SCHEMA}`; update the checkpoint")
            }
            Self::Json(why) => write!(f, "a line of the feed does not parse: {why}"),
        }
    }
}

impl Line {
    /// Reads a line.
    pub fn decode(line: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Schema<'a> {
            schema: &'a str,
        }
        if line.len() > LONGEST_LINE {
            return Err(Malformed::TooLong);
        }
        let json = |error: serde_json::Error| Malformed::Json(error.to_string());
        let schema: Schema<'_> = serde_json::from_slice(line).map_err(json)?;
        if schema.schema != SCHEMA {
            return Err(Malformed::Schema);
        }
        serde_json::from_slice(line).map_err(json)
    }

    /// Its number.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Result { seq, .. } | Self::Revoked { seq, .. } | Self::Heartbeat { seq } => *seq,
        }
    }
}

/// Cuts a stream of octets into lines, holding no more than one.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
}

impl Lines {
    /// Takes octets and hands each whole line to `take`, until it says no.
    pub fn push<E: From<Malformed>>(
        &mut self,
        octets: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = octets;
        while let Some(end) = rest.iter().position(|&octet| octet == b'\n') {
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = after.get(1..).unwrap_or_default();
            self.hold(line)?;
            let whole = std::mem::take(&mut self.held);
            if !whole.trim_ascii().is_empty() {
                take(&whole)?;
            }
        }
        self.hold(rest)?;
        Ok(())
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), Malformed> {
        if self.held.len() + part.len() > LONGEST_LINE {
            self.held = Vec::new();
            return Err(Malformed::TooLong);
        }
        self.held.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: &[u8] = br#"{"schema":"touchstone.feed/1","kind":"heartbeat","seq":13,"time":5}"#;

    #[test]
    fn lines_are_whole_however_the_octets_come() {
        let text = [BEAT, b"\n\r\n", BEAT, b"\n", b"{\"half"].concat();
        for size in 1..text.len() {
            let (mut lines, mut heard) = (Lines::default(), 0);
            for piece in text.chunks(size) {
                lines
                    .push(piece, |line| {
                        heard += 1;
                        Line::decode(line).map(|line| assert_eq!(line.seq(), 13))
                    })
                    .unwrap();
            }
            assert_eq!(heard, 2, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_and_not_held() {
        let mut lines = Lines::default();
        let mut last = Ok(());
        for _ in 0..=LONGEST_LINE / 1024 {
            last = last.and(lines.push::<Malformed>(&[b'x'; 1024], |_| Ok(())));
        }
        assert_eq!(last, Err(Malformed::TooLong));
        assert!(lines.held.len() <= LONGEST_LINE);
    }

    #[test]
    fn what_is_not_a_line_of_the_feed_is_told_apart() {
        assert_eq!(Line::decode(br#"{"schema":"touchstone.feed/2"}"#), Err(Malformed::Schema));
        let json = |line: &[u8]| matches!(Line::decode(line), Err(Malformed::Json(_)));
        assert!(json(b"{"));
        assert!(json(br#"{"schema":"touchstone.feed/1","kind":"party","seq":1}"#));
        for cut in 0..BEAT.len() {
            assert!(Line::decode(&BEAT[..cut]).is_err());
        }
    }
}
