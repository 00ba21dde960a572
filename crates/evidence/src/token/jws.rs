//! JWS in compact serialization (RFC 7515 §3.1).

use super::key::Scheme;
use super::{Error, TokenKey};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use touchstone_crypto::{Crypto, Signer, Verified};

/// JOSE header.
#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that must be understood: none is (RFC 7515 §4.1.11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// Signs a payload.
pub fn sign(payload: &[u8], signer: &dyn Signer) -> Result<String, Error> {
    let scheme = Scheme::of(signer.algorithm())?;
    let header = Header { alg: scheme.jose.into(), typ: Some("JWT".into()), crit: None };
    let header = serde_json::to_vec(&header).map_err(|_| Error::Malformed("header"))?;
    let b64 = Base64UrlUnpadded::encode_string;
    let mut token = format!("{}.{}", b64(&header), b64(payload));
    let signature = signer.sign(token.as_bytes()).map_err(Error::Signer)?;
    token.push('.');
    token.push_str(&b64(&scheme.fixed(&signature)?));
    Ok(token)
}

/// The payload of a token of at most `limit` octets, whoever made it: nothing is proven by it.
pub fn dangerous_payload(token: &str, limit: usize) -> Result<Vec<u8>, Error> {
    if token.len() > limit {
        return Err(Error::TooLarge);
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(payload), Some(_), None) => {
            Base64UrlUnpadded::decode_vec(payload).map_err(|_| Error::Malformed("claims"))
        }
        _ => Err(Error::Malformed("serialization")),
    }
}

/// The payload of a token of at most `limit` octets, if one of `keys` signed it.
pub fn verify(
    crypto: &dyn Crypto,
    token: &str,
    keys: &[TokenKey],
    limit: usize,
) -> Result<Verified<Vec<u8>>, Error> {
    if token.len() > limit {
        return Err(Error::TooLarge);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Error::Malformed("serialization"))?;
    let (header, payload) = signed.split_once('.').ok_or(Error::Malformed("serialization"))?;
    let octets =
        |part: &str, name| Base64UrlUnpadded::decode_vec(part).map_err(|_| Error::Malformed(name));
    let header: Header = serde_json::from_slice(&octets(header, "header")?)
        .map_err(|_| Error::Malformed("header"))?;
    if header.crit.is_some() {
        return Err(Error::Malformed("header"));
    }
    let signature = octets(signature, "signature")?;
    let mut fitting = keys.iter().filter(|key| key.scheme().jose == header.alg).peekable();
    if fitting.peek().is_none() {
        return Err(if keys.is_empty() { Error::Signature } else { Error::Algorithm });
    }
    if !fitting.any(|key| key.verify(crypto, signed.as_bytes(), &signature).is_ok()) {
        return Err(Error::Signature);
    }
    octets(payload, "claims").map(Verified::vouch)
}
