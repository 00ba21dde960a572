//! What a client answers: the value of `Authorization` (RFC 7616 §3.4).

use crate::Error;
use crate::parameters::Parameters;
use alloc::string::String;
use core::fmt::Write as _;
use subtle::ConstantTimeEq;
use touchstone_crypto::{Crypto, HashAlgorithm};
use zeroize::Zeroizing;

/// An answer to a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    user: String,
    realm: String,
    pub(crate) nonce: String,
    uri: String,
    pub(crate) count: u32,
    count_text: String,
    cnonce: String,
    response: String,
}

impl Digest {
    /// Reads the value of `Authorization`.
    pub fn parse(header: &str) -> Result<Self, Error> {
        let (scheme, rest) = header.trim().split_once(' ').ok_or(Error::OtherScheme)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(Error::OtherScheme);
        }
        let found = Parameters::parse(rest)?;
        let is = |name: &str, value: &str| {
            found.one(name).is_some_and(|it| it.eq_ignore_ascii_case(value))
        };
        if !is("algorithm", "SHA-256") || !is("qop", "auth") || is("userhash", "true") {
            return Err(Error::Unsupported);
        }
        let count_text = found.need("nc")?;
        let count = Some(count_text.as_str()).filter(|it| it.len() == 8);
        let count = count.and_then(|it| u32::from_str_radix(it, 16).ok());
        let cnonce = found.need("cnonce")?;
        if cnonce.is_empty() || cnonce.len() > 256 {
            return Err(Error::Parameters);
        }
        Ok(Self {
            user: found.need("username")?,
            realm: found.need("realm")?,
            nonce: found.need("nonce")?,
            uri: found.need("uri")?,
            count: count.filter(|count| *count > 0).ok_or(Error::Parameters)?,
            count_text,
            cnonce,
            response: found.need("response")?,
        })
    }

    /// Who it says to be.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Checks it against what is kept of the password, for this request alone. Whether its nonce
    /// counts is for [`Nonces`](crate::Nonces).
    pub fn verify(
        &self,
        crypto: &dyn Crypto,
        realm: &str,
        method: &str,
        uri: &str,
        secret: &str,
    ) -> Result<(), Error> {
        if self.realm != realm {
            return Err(Error::WrongRealm);
        }
        if self.uri != uri {
            return Err(Error::WrongTarget);
        }
        let nonces = (self.nonce.as_str(), self.count_text.as_str(), self.cnonce.as_str());
        let proof = response(crypto, secret, nonces, (method, uri));
        let shown = self.response.to_ascii_lowercase();
        let same = bool::from(proof.as_bytes().ct_eq(shown.as_bytes()));
        if same { Ok(()) } else { Err(Error::WrongPassword) }
    }
}

/// What a server keeps of a password: the digest of user, realm and password (RFC 7616 §3.4.2), in
/// hexadecimal. Whoever has it can authenticate by Digest: keep it as secret as the password.
pub fn secret(crypto: &dyn Crypto, user: &str, realm: &str, password: &str) -> Zeroizing<String> {
    hash(crypto, &[user, ":", realm, ":", password])
}

/// RFC 7616 §3.4.1 with `qop=auth`.
pub(crate) fn response(
    crypto: &dyn Crypto,
    secret: &str,
    (nonce, count, cnonce): (&str, &str, &str),
    (method, uri): (&str, &str),
) -> Zeroizing<String> {
    let request = hash(crypto, &[method, ":", uri]);
    let parts = [secret, ":", nonce, ":", count, ":", cnonce, ":auth:", request.as_str()];
    hash(crypto, &parts)
}

fn hash(crypto: &dyn Crypto, parts: &[&str]) -> Zeroizing<String> {
    let parts: alloc::vec::Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    Zeroizing::new(hex(crypto.hash(HashAlgorithm::Sha256, &parts).as_bytes()))
}

pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}
