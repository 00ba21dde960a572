//! Logging in: a token once, then a cookie that scripts can not read and other sites can not send.

use crate::api::auth::token_sha256;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use touchstone_crypto::{Crypto, Error};
use touchstone_crypto_awslc::AwsLc;
use zeroize::Zeroizing;

/// The cookie's name.
const COOKIE: &str = "touchstone";
/// Logins at once; the oldest goes first.
const MOST: usize = 256;
/// How long a login lasts, in seconds.
const LASTS: u64 = 12 * 3600;

/// How long a login link may lie around, in seconds.
const LINK_LASTS: u64 = 60;

/// Who is logged in. In memory only: after a restart everybody logs in again.
#[derive(Default)]
pub struct Logins {
    logins: Mutex<HashMap<[u8; 32], Login>>,
    links: Mutex<HashMap<[u8; 32], Login>>,
}

/// A login: the hash of the operator's token, so that a removed operator is out at once.
#[derive(Clone, Copy)]
struct Login {
    token_sha256: [u8; 32],
    until: u64,
}

impl Logins {
    /// Begins a login; the value of the cookie.
    pub(crate) fn begin(&self, token_sha256: [u8; 32], now: u64) -> Result<String, Error> {
        let value = secret()?;
        let mut logins = self.lock();
        logins.retain(|_, login| login.until > now);
        if logins.len() >= MOST {
            let oldest = logins.iter().min_by_key(|(_, login)| login.until).map(|(key, _)| *key);
            oldest.and_then(|key| logins.remove(&key));
        }
        logins.insert(key(&value), Login { token_sha256, until: now.saturating_add(LASTS) });
        Ok(value)
    }

    /// The hash of the token that the cookie's owner logged in with.
    pub(crate) fn find(&self, value: &str, now: u64) -> Option<[u8; 32]> {
        let login = *self.lock().get(&key(value))?;
        (login.until > now).then_some(login.token_sha256)
    }

    /// Begins a login from a link: the value of the code in it. It works once.
    pub(crate) fn link(&self, token_sha256: [u8; 32], now: u64) -> Result<String, Error> {
        let code = secret()?;
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, link| link.until > now);
        if links.len() >= MOST {
            links.clear();
        }
        links.insert(key(&code), Login { token_sha256, until: now.saturating_add(LINK_LASTS) });
        Ok(code)
    }

    /// Takes a link's code: the hash of the token of whoever asked for it.
    pub(crate) fn follow(&self, code: &str, now: u64) -> Option<[u8; 32]> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.remove(&key(code))?;
        (link.until > now).then_some(link.token_sha256)
    }

    /// Ends a login.
    pub(crate) fn end(&self, value: &str) {
        self.lock().remove(&key(value));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Login>> {
        // Every change of the map is one call: a panic elsewhere leaves nothing half done.
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 random bits in hexadecimal.
pub(crate) fn secret() -> Result<String, Error> {
    let mut octets = Zeroizing::new([0; 32]);
    AwsLc.random(octets.as_mut())?;
    Ok(octets.iter().fold(String::with_capacity(64), |mut hex, octet| {
        // Writing to a string has no way to fail.
        let _ = write!(hex, "{octet:02x}");
        hex
    }))
}

/// `Set-Cookie` for a login (RFC 6265 §4.1, SameSite of its successor).
pub(crate) fn set_cookie(value: &str, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/console; Max-Age={LASTS}; HttpOnly; SameSite=Strict{secure}")
}

/// `Set-Cookie` that takes it away.
pub(crate) fn unset_cookie() -> String {
    format!("{COOKIE}=; Path=/console; Max-Age=0; HttpOnly; SameSite=Strict")
}

/// The value in a `Cookie` header.
pub(crate) fn cookie(header: &str) -> Option<&str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE && value.len() == 64).then_some(value))
}

fn key(value: &str) -> [u8; 32] {
    token_sha256(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_ends_by_itself_or_by_hand() {
        let logins = Logins::default();
        let value = logins.begin([7; 32], 100).unwrap();
        assert_eq!(logins.find(&value, 101), Some([7; 32]));
        assert_eq!(logins.find(&value, 100 + LASTS), None);
        logins.end(&value);
        assert_eq!(logins.find(&value, 101), None);
        assert_eq!(logins.find("0", 101), None);
    }

    #[test]
    fn a_login_link_works_once_and_not_for_long() {
        let logins = Logins::default();
        let code = logins.link([7; 32], 100).unwrap();
        assert_eq!(logins.follow(&code, 101), Some([7; 32]));
        assert_eq!(logins.follow(&code, 101), None);
        let late = logins.link([7; 32], 100).unwrap();
        assert_eq!(logins.follow(&late, 100 + LINK_LASTS), None);
    }

    #[test]
    fn logins_are_bounded() {
        let logins = Logins::default();
        let first = logins.begin([0; 32], 1).unwrap();
        for at in 2..=MOST as u64 + 1 {
            logins.begin([1; 32], at).unwrap();
        }
        assert_eq!(logins.lock().len(), MOST);
        assert_eq!(logins.find(&first, 2), None, "the oldest went first");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let value = "a".repeat(64);
        assert_eq!(cookie(&format!("x=1; {COOKIE}={value}; y=2")), Some(value.as_str()));
        assert_eq!(cookie(&format!("{COOKIE}=short")), None);
        let set = set_cookie(&value, true);
        assert!(
            set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Secure")
        );
    }
}
