//! A server's part (RFC 8894 §2.1): every message is answered, and what is decided is the owner's.

use crate::scep::{Asked, Error, FailInfo, Refusal, Reply, Replying, read_request};
use touchstone_crypto::{Crypto, Decrypter, EnvelopeCrypto, HashAlgorithm};

/// What a server's owner answers to a request whose signatures are good.
pub trait Owner {
    /// The answer: a certificate, a list, *pending*, or no. Whoever asks for a first certificate has
    /// shown nothing but a key: look at [`Asked::challenge`]. Whoever renews has signed with
    /// [`Asked::certificate`]: check that it is one of the CA's, and in force.
    fn answer(&mut self, asked: &Asked) -> Reply;
}

/// Answers the body of a POST to `PKIOperation`. An error is for the log and an HTTP status 400: the
/// message was not good enough to know whom to answer.
pub fn respond(
    crypto: &dyn EnvelopeCrypto,
    message: &[u8],
    by: &Replying<'_>,
    opens: &dyn Decrypter,
    owner: &mut dyn Owner,
    at: u64,
) -> Result<Vec<u8>, Error> {
    let asked = read_request(crypto, message, by.certificate, opens)?;
    let reply = owner.answer(&asked);
    answer_to(crypto, &asked, &reply, by, at)
}

/// The message that answers a request, as [`respond`] sends it.
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

/// One-time challenges (RFC 8894 §7.3): each lets one request in, for a while.
///
/// Only their digests are kept, so that whoever reads this memory cannot enrol.
#[derive(Clone, Debug, Default)]
pub struct Challenges {
    open: Vec<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    digest: touchstone_crypto::Digest,
    until: u64,
}

/// As many as may be open at a time.
const MOST_OPEN: usize = 100_000;
const DIGITS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A challenge that nobody guesses: 26 letters and digits, 130 random bits.
pub fn draw_challenge(crypto: &dyn Crypto) -> Result<String, Error> {
    let mut octets = [0; 26];
    crypto.random(&mut octets)?;
    let digit = |octet: &u8| DIGITS.get(usize::from(octet & 31)).copied().unwrap_or(b'A');
    Ok(octets.iter().map(|octet| char::from(digit(octet))).collect())
}

impl Challenges {
    /// A new challenge, good until `until`.
    pub fn issue(&mut self, crypto: &dyn Crypto, now: u64, until: u64) -> Result<String, Error> {
        self.open.retain(|open| open.until >= now);
        if self.open.len() >= MOST_OPEN {
            return Err(Refusal::TooManyChallenges.into());
        }
        let challenge = draw_challenge(crypto)?;
        let digest = crypto.hash(HashAlgorithm::Sha256, &[challenge.as_bytes()]);
        self.open.push(Open { digest, until });
        Ok(challenge)
    }

    /// Whether the challenge is open; it is not any more afterwards.
    pub fn redeem(&mut self, crypto: &dyn Crypto, challenge: &str, now: u64) -> bool {
        let digest = crypto.hash(HashAlgorithm::Sha256, &[challenge.as_bytes()]);
        self.open.retain(|open| open.until >= now);
        // Digests are compared, so that time tells nothing about the challenge.
        let found = self.open.iter().position(|open| open.digest == digest);
        found.map(|at| self.open.swap_remove(at)).is_some()
    }
}
