//! What a server asks: the value of `WWW-Authenticate` (RFC 7616 §3.3).

use crate::digest::{response, secret};
use crate::parameters::{Parameters, quote};
use crate::{Error, digest};
use alloc::string::String;
use core::fmt;
use touchstone_crypto::Crypto;

/// A challenge of Digest with SHA-256 and `qop=auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// For whom passwords are.
    pub realm: String,
    /// What makes the answer one of its own.
    pub nonce: String,
    /// What comes back as it is.
    pub opaque: Option<String>,
    /// Whether only the nonce was wrong.
    pub stale: bool,
}

impl Challenge {
    /// Reads one challenge.
    pub fn parse(header: &str) -> Result<Self, Error> {
        let (scheme, rest) = header.trim().split_once(' ').ok_or(Error::OtherScheme)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(Error::OtherScheme);
        }
        let found = Parameters::parse(rest)?;
        let sha256 = found.one("algorithm").is_some_and(|it| it.eq_ignore_ascii_case("SHA-256"));
        let auth = found.one("qop").is_some_and(|it| it.split(',').any(|it| it.trim() == "auth"));
        if !sha256 || !auth {
            return Err(Error::Unsupported);
        }
        Ok(Self {
            realm: found.need("realm")?,
            nonce: found.need("nonce")?,
            opaque: found.one("opaque").map(String::from),
            stale: found.one("stale").is_some_and(|it| it.eq_ignore_ascii_case("true")),
        })
    }

    /// The value of `Authorization` that answers it for one request.
    pub fn answer(
        &self,
        crypto: &dyn Crypto,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
    ) -> Result<String, Error> {
        let mut random = [0; 16];
        crypto.random(&mut random)?;
        let cnonce = digest::hex(&random);
        let secret = secret(crypto, user, &self.realm, password);
        let (nonce, count) = (self.nonce.as_str(), "00000001");
        let proof = response(crypto, &secret, (nonce, count, &cnonce), (method, uri));
        let mut header = alloc::format!(
            "Digest username={}, realm={}, nonce={}, uri={}, algorithm=SHA-256, qop=auth, \
             nc={count}, cnonce=\"{cnonce}\", response=\"{}\"",
            quote(user),
            quote(&self.realm),
            quote(nonce),
            quote(uri),
            proof.as_str(),
        );
        if let Some(opaque) = &self.opaque {
            header.push_str(", opaque=");
            header.push_str(&quote(opaque));
        }
        Ok(header)
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (realm, nonce) = (quote(&self.realm), quote(&self.nonce));
        write!(f, "Digest realm={realm}, nonce={nonce}, algorithm=SHA-256, qop=\"auth\"")?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", quote(opaque))?;
        }
        if self.stale { f.write_str(", stale=true") } else { Ok(()) }
    }
}
