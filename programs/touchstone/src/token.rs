//! Tokens and wrappers in files: which form one has, and the keys that may have signed it.

use crate::answer::Failure;
use crate::files::{self, SMALL};
use std::path::Path;
use touchstone_certs::Certificate;
use touchstone_evidence::token::TokenKey;

/// A signed token in one of its two forms.
pub(crate) enum Token {
    /// JWS in compact serialization.
    Jwt(String),
    /// COSE_Sign1, tagged.
    Cwt(Vec<u8>),
}

impl Token {
    /// The form of these octets; `None` if they are no token.
    pub(crate) fn of(octets: &[u8]) -> Option<Self> {
        // Tags 61 (a CWT) and 18 (COSE_Sign1).
        if octets.starts_with(&[0xD8, 0x3D]) || octets.starts_with(&[0xD2]) {
            return Some(Self::Cwt(octets.to_vec()));
        }
        let text = std::str::from_utf8(octets).ok()?.trim();
        let of_part = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        let mut parts = text.split('.');
        let fits = parts.by_ref().all(|part| !part.is_empty() && part.bytes().all(of_part));
        (fits && text.split('.').count() == 3).then(|| Self::Jwt(text.to_owned()))
    }

    /// Its name.
    pub(crate) const fn form(&self) -> &'static str {
        match self {
            Self::Jwt(_) => "JWT",
            Self::Cwt(_) => "CWT",
        }
    }
}

/// The token in a file.
pub(crate) fn read(path: &Path) -> Result<Token, Failure> {
    let octets = files::read(path, SMALL)?;
    Token::of(&octets).ok_or_else(|| {
        let message = format!("{} is neither a JWT nor a tagged CWT", path.display());
        Failure::unknown("touchstone.token.form", message, "give the token as it was signed")
    })
}

/// The key of a `PUBLIC KEY` file.
pub(crate) fn key(path: &Path) -> Result<TokenKey, Failure> {
    let text = files::read_text(path, SMALL)?;
    let next = "give a file with one `PUBLIC KEY` in PEM, ECDSA on P-256 or P-384";
    let bad = |reason: &dyn std::fmt::Display| {
        let message = format!("{} is no key: {reason}", path.display());
        Failure::unknown("touchstone.token.key", message, next)
    };
    let (label, der) =
        pem_rfc7468::decode_vec(text.trim().as_bytes()).map_err(|error| bad(&error))?;
    if label != "PUBLIC KEY" {
        return Err(bad(&format_args!("a `{label}`")));
    }
    TokenKey::from_spki(&der).map_err(|error| bad(&error))
}

/// The key of a `PUBLIC KEY` file or of a certificate, `SubjectPublicKeyInfo` in DER.
pub(crate) fn spki(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = files::read_text(path, SMALL)?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(key(path)?.spki_der().to_vec());
    }
    let found = Certificate::from_pem(text.as_bytes()).map_err(|error| error.to_string());
    // The device's own comes first.
    let leaf =
        found.and_then(|list| list.into_iter().next().ok_or_else(|| "it is empty".to_owned()));
    leaf.map(|leaf| leaf.spki_der().to_vec()).map_err(|reason| {
        let message = format!("{} is no certificate: {reason}", path.display());
        Failure::unknown("touchstone.token.key", message, "give the certificate in PEM")
    })
}

/// A nonce that was given in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nonce(pub(crate) Vec<u8>);

/// Reads one.
pub(crate) fn nonce(text: &str) -> Result<Nonce, String> {
    let digits = text.as_bytes();
    let octet = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let even = !digits.is_empty() && digits.len().is_multiple_of(2);
    let octets = digits.chunks(2).map(octet).collect::<Option<Vec<u8>>>();
    let octets = octets.filter(|_| even && text.bytes().all(|c| c.is_ascii_hexdigit()));
    octets
        .map(Nonce)
        .ok_or_else(|| "write the nonce in hexadecimal, two digits for each octet".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_form() {
        assert!(matches!(Token::of(b"aaa.b-_.c\n"), Some(Token::Jwt(text)) if text == "aaa.b-_.c"));
        assert!(matches!(Token::of(&[0xD8, 0x3D, 0xD2]), Some(Token::Cwt(_))));
        assert!(matches!(Token::of(&[0xD2, 0x84]), Some(Token::Cwt(_))));
        for none in [&b""[..], b"a.b", b"a.b.c.d", b"a..c", b"{\"a\":1}", &[0xA1, 1, 2]] {
            assert!(Token::of(none).is_none(), "{none:?}");
        }
    }

    #[test]
    fn a_nonce_is_whole_octets() {
        assert_eq!(nonce("00fF"), Ok(Nonce(vec![0, 255])));
        for bad in ["", "0", "0g", "+1", "0x00"] {
            assert!(nonce(bad).is_err(), "{bad}");
        }
    }
}
