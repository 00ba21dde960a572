//! The messages on the wire.

use alloc::string::String;
use alloc::vec::Vec;
use touchstone_wire::{Malformed, Reader, Why, Writer};

const MAGIC: u16 = 0x5441;
const VERSION: u8 = 1;
/// A refusal's code and text together are cut to this many octets.
const REFUSAL_LEN: usize = 2048;

/// Octets before the body.
pub const HEADER_LEN: usize = 25;

/// The name of one exchange, chosen at random by the Attester.
pub type SessionId = [u8; 16];

/// Which exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Onboarding: does this attestation key live in that element?
    Enroll,
    /// Appraisal: what state is the device in?
    Attest,
}

impl Kind {
    const fn octet(self) -> u8 {
        match self {
            Self::Enroll => 1,
            Self::Attest => 2,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Begin = 1,
    Challenge = 2,
    Response = 3,
    Result = 4,
    Refusal = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: Kind,
    pub(crate) what: MessageKind,
    pub(crate) session: SessionId,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn decode(bytes: &'a [u8], limit: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u16()? != MAGIC {
            return Err(Malformed::new(0, Why::BadValue));
        }
        if reader.u8()? != VERSION {
            return Err(Malformed::new(2, Why::BadVersion));
        }
        let kind = match reader.u8()? {
            1 => Kind::Enroll,
            2 => Kind::Attest,
            _ => return Err(Malformed::new(3, Why::BadValue)),
        };
        let what = match reader.u8()? {
            1 => MessageKind::Begin,
            2 => MessageKind::Challenge,
            3 => MessageKind::Response,
            4 => MessageKind::Result,
            5 => MessageKind::Refusal,
            _ => return Err(Malformed::new(4, Why::BadValue)),
        };
        let session = reader.array()?;
        let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        if len > limit {
            return Err(Malformed::new(21, Why::TooLong));
        }
        let body = reader.take(len)?;
        reader.finish()?;
        Ok(Self { kind, what, session, body })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        // A body beyond 4 GiB is beyond every limit and never gets here.
        let len = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        out.u16(MAGIC).u8(VERSION).u8(self.kind.octet()).u8(self.what as u8);
        out.bytes(&self.session).u32(len).bytes(self.body);
        out.into_bytes()
    }
}

/// The session that a message names, for whoever keeps many engines; `None` if it is no message.
pub fn session_of(bytes: &[u8]) -> Option<(Kind, SessionId)> {
    Message::decode(bytes, usize::MAX).ok().map(|message| (message.kind, message.session))
}

pub(crate) fn encode_refusal(code: &str, text: &str) -> Vec<u8> {
    let code = prefix(code, 128);
    let text = prefix(text, REFUSAL_LEN - 130);
    let mut out = Writer::new();
    out.u16(u16::try_from(code.len()).unwrap_or(0)).bytes(code.as_bytes()).bytes(text.as_bytes());
    out.into_bytes()
}

pub(crate) fn decode_refusal(body: &[u8]) -> Result<(String, String), Malformed> {
    if body.len() > REFUSAL_LEN {
        return Err(Malformed::new(0, Why::TooLong));
    }
    let mut reader = Reader::new(body);
    let len = reader.u16()?;
    let code = text(reader.take(len.into())?)?;
    let text = text(reader.rest())?;
    Ok((code, text))
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let text = core::str::from_utf8(bytes).map_err(|_| Malformed::new(0, Why::BadValue))?;
    Ok(text.into())
}

fn prefix(text: &str, len: usize) -> &str {
    text.get(..text.floor_char_boundary(len)).unwrap_or_default()
}
