//! What kind of envelope octets begin.

use crate::ber::Header;
use crate::encode::{OID, SEQUENCE};
use crate::oids;

/// A kind of envelope, by the content type of its `ContentInfo` (RFC 5652 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `SignedData`.
    Signed,
    /// `EnvelopedData`.
    Enveloped,
    /// `AuthEnvelopedData`.
    AuthEnveloped,
}

impl Kind {
    /// The kind that the first octets (32 are enough) say; `None` when they say none of these.
    pub fn peek(octets: &[u8]) -> Option<Self> {
        let outer = Header::read(octets).ok()??;
        let inner = octets.get(outer.octets..)?;
        let name = Header::read(inner).ok()??;
        let content = inner.get(name.octets..)?;
        let oid = content.get(..usize::try_from(name.len?).ok()?)?;
        if outer.tag != SEQUENCE || name.tag != OID {
            return None;
        }
        [
            (oids::ID_SIGNED_DATA, Self::Signed),
            (oids::ID_ENVELOPED_DATA, Self::Enveloped),
            (oids::ID_AUTH_ENVELOPED_DATA, Self::AuthEnveloped),
        ]
        .into_iter()
        .find_map(|(known, kind)| (known.as_bytes() == oid).then_some(kind))
    }
}
