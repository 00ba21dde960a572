//! A server's part (RFC 8894 §2.1): every message is answered, and what is decided is the owner's. Whoever asks
//! for a first certificate has shown nothing but a key: look at [`Asked::challenge`]. Whoever renews has signed
//! with [`Asked::certificate`]: check that it is one of the CA's, and in force.

use crate::scep::{Asked, Error, FailInfo, Reply, Replying};
use touchstone_crypto::{Crypto, EnvelopeCrypto};

/// The message that answers a request. An error is for the log and an HTTP status 400.
pub fn answer_to(
    crypto: &dyn EnvelopeCrypto,
    asked: &Asked,
    reply: &Reply,
    by: &Replying<'_>,
    at: u64,
) -> Result<Vec<u8>, Error> {
    match by.reply(crypto, asked, reply, at) {
        // The key that asks is none that can be encrypted to.
        Err(Error::Cms(touchstone_cms::Error::Refused(touchstone_cms::Refusal::UnsuitableKey))) => {
            let text = Some("the key that signs the request has to be RSA".to_owned());
            let no = Reply::Failed { info: FailInfo::BadAlg, text };
            by.reply(crypto, asked, &no, at)
        }
        other => other,
    }
}

const DIGITS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A challenge that nobody guesses (RFC 8894 §7.3): 26 letters and digits, 130 random bits.
pub fn draw_challenge(crypto: &dyn Crypto) -> Result<String, Error> {
    let mut octets = [0; 26];
    crypto.random(&mut octets)?;
    let digit = |octet: &u8| DIGITS.get(usize::from(octet & 31)).copied().unwrap_or(b'A');
    Ok(octets.iter().map(|octet| char::from(digit(octet))).collect())
}
