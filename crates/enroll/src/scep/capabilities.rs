//! What a CA can do, and its certificates (RFC 8894 §3.5, §4.2).

use crate::scep::{Error, MOST_OCTETS, Refusal, Replying};
use touchstone_certs::Certificate;
use touchstone_cms::{DATA, SignedData, certs_only, read_certs_only};
use touchstone_crypto::{Crypto, Verified};

/// What is asked of a server: the `operation` of its URL (RFC 8894 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// What the CA can do, §3.5.1.
    GetCaCaps,
    /// The CA's certificate, §4.2.
    GetCaCert,
    /// The CA's certificate to come, §4.6.
    GetNextCaCert,
    /// A message, §4.3.
    PkiOperation,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] =
        [Self::GetCaCaps, Self::GetCaCert, Self::GetNextCaCert, Self::PkiOperation];

    /// The name in a URL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetCaCaps => "GetCACaps",
            Self::GetCaCert => "GetCACert",
            Self::GetNextCaCert => "GetNextCACert",
            Self::PkiOperation => "PKIOperation",
        }
    }

    /// The operation of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The path that asks for it at a server's (RFC 8894 §4.1); of several CAs that one.
    pub fn path(self, server: &str, ca: Option<&str>) -> String {
        let message = match ca {
            Some(ca) if self != Self::PkiOperation => format!("&message={ca}"),
            _ => String::new(),
        };
        format!("{server}?operation={}{message}", self.name())
    }
}

/// What a CA says it can do (RFC 8894 §3.5.2). Nobody signs it, so that it can only be a hint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the standard's words, each there or not")]
pub struct Capabilities {
    /// AES-CBC.
    pub aes: bool,
    /// Messages by POST.
    pub post: bool,
    /// RenewalReq.
    pub renewal: bool,
    /// GetNextCACert.
    pub next_ca_cert: bool,
    /// SHA-256.
    pub sha256: bool,
    /// SHA-384, which the standard does not name.
    pub sha384: bool,
    /// SHA-512.
    pub sha512: bool,
    /// All that RFC 8894 demands: AES, POST, SHA-256.
    pub standard: bool,
}

impl Capabilities {
    /// What a server built on this crate can do.
    pub const OURS: Self = Self {
        aes: true,
        post: true,
        renewal: true,
        next_ca_cert: true,
        sha256: true,
        sha384: true,
        sha512: true,
        standard: true,
    };

    /// Reads an answer to GetCACaps: words, a line each; unknown ones are passed over.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        if body.len() > 4096 {
            return Err(Refusal::TooLong.into());
        }
        let text = String::from_utf8_lossy(body);
        let mut found = Self::default();
        for line in text.lines() {
            match line.trim().to_ascii_lowercase().as_str() {
                "aes" => found.aes = true,
                "postpkioperation" => found.post = true,
                "renewal" => found.renewal = true,
                "getnextcacert" => found.next_ca_cert = true,
                "sha-256" => found.sha256 = true,
                "sha-384" => found.sha384 = true,
                "sha-512" => found.sha512 = true,
                "scepstandard" => found.standard = true,
                _ => {}
            }
        }
        Ok(found)
    }

    /// An answer to GetCACaps.
    pub fn encode(self) -> String {
        let words = [
            (self.aes, "AES\n"),
            (self.post, "POSTPKIOperation\n"),
            (self.renewal, "Renewal\n"),
            (self.next_ca_cert, "GetNextCACert\n"),
            (self.sha256, "SHA-256\n"),
            // No word of RFC 8894, but true here; strongSwan's `pki` 5.9.8 mixes the words up, and
            // finds AES and SHA-256 only with it.
            (self.sha384, "SHA-384\n"),
            (self.sha512, "SHA-512\n"),
            (self.standard, "SCEPStandard\n"),
        ];
        words.into_iter().filter(|(there, _)| *there).map(|(_, word)| word).collect()
    }

    /// [`Refusal::WeakCa`] unless it can do what this crate speaks.
    pub fn check(self) -> Result<(), Error> {
        let strong = self.standard || (self.aes && (self.sha256 || self.sha512));
        if strong { Ok(()) } else { Err(Refusal::WeakCa.into()) }
    }
}

/// Reads an answer to GetCACert: a certificate, or a bag of them (RFC 8894 §4.2.1). Nobody signs it:
/// compare a fingerprint that came another way, or check the path to a known anchor.
pub fn ca_certificates(body: &[u8]) -> Result<Vec<Certificate>, Error> {
    if body.len() > MOST_OCTETS {
        return Err(Refusal::TooLong.into());
    }
    // Some say the one and send the other, so the octets decide.
    let found = match Certificate::decode(body) {
        Ok(certificate) => vec![certificate],
        Err(_) => read_certs_only(body)?,
    };
    if found.is_empty() { Err(Refusal::NoCertificate.into()) } else { Ok(found) }
}

/// An answer to GetCACert, and its media type.
pub fn encode_ca_certificates(
    certificates: &[Certificate],
) -> Result<(Vec<u8>, &'static str), Error> {
    match certificates {
        [] => Err(Refusal::NoCertificate.into()),
        [one] => Ok((one.der().to_vec(), super::CA_CERT_TYPE)),
        several => Ok((certs_only(several)?, super::CA_RA_CERT_TYPE)),
    }
}

/// An answer to GetNextCACert (RFC 8894 §4.6.1): the certificates of the CA to come, signed by the CA
/// that is.
pub fn encode_next_ca_certificates(
    crypto: &dyn Crypto,
    next: &[Certificate],
    by: &Replying<'_>,
    at: u64,
) -> Result<Vec<u8>, Error> {
    let signers = [(by.certificate, by.key)];
    Ok(SignedData::sign(crypto, &certs_only(next)?, DATA, &signers, at)?)
}

/// Reads an answer to GetNextCACert, which has to be signed by the CA that is.
pub fn next_ca_certificates(
    crypto: &dyn Crypto,
    body: &[u8],
    ca: &Certificate,
) -> Result<Verified<Vec<Certificate>>, Error> {
    if body.len() > MOST_OCTETS {
        return Err(Refusal::TooLong.into());
    }
    let signed = SignedData::decode(body)?.verify(crypto)?;
    if super::message::only(signed.signers())?.certificate != *ca {
        return Err(Refusal::NotTheCa.into());
    }
    let next = read_certs_only(signed.content())?;
    if next.is_empty() { Err(Refusal::NoCertificate.into()) } else { Ok(Verified::vouch(next)) }
}
