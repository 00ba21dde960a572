//! User and password as they are (RFC 7617): only inside TLS.

use crate::Error;
use alloc::string::String;
use base64ct::{Base64, Encoding};
use core::fmt;
use zeroize::Zeroizing;

const MOST_OCTETS: usize = 1024;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    user: String,
    password: Zeroizing<String>,
}

impl Basic {
    /// A user, whose name has no colon (RFC 7617 §2), and a password.
    pub fn new(user: &str, password: &str) -> Result<Self, Error> {
        let plain = |text: &str| !text.chars().any(char::is_control);
        if user.is_empty() || user.contains(':') || !plain(user) || !plain(password) {
            return Err(Error::Malformed);
        }
        Ok(Self { user: user.into(), password: Zeroizing::new(password.into()) })
    }

    /// Reads the value of `Authorization`.
    pub fn parse(header: &str) -> Result<Self, Error> {
        let (scheme, rest) = header.trim().split_once(' ').ok_or(Error::OtherScheme)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Error::OtherScheme);
        }
        if rest.len() > MOST_OCTETS {
            return Err(Error::Malformed);
        }
        let octets = Base64::decode_vec(rest.trim()).map_err(|_| Error::Malformed)?;
        let octets = Zeroizing::new(octets);
        let text = core::str::from_utf8(&octets).map_err(|_| Error::Malformed)?;
        let (user, password) = text.split_once(':').ok_or(Error::Malformed)?;
        Self::new(user, password)
    }

    /// The value of `Authorization`.
    pub fn header(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(alloc::format!("{}:{}", self.user, self.password.as_str()));
        Zeroizing::new(alloc::format!("Basic {}", Base64::encode_string(pair.as_bytes())))
    }

    /// Who it says to be.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Basic({})", self.user)
    }
}
