//! Keys that a server makes (RFC 7030 §4.4): how they travel.

use crate::Error;
use crate::der_out::{self, OCTET_STRING, SEQUENCE};
use crate::est::Given;
use crate::est::body::{self, CERTS_TYPE, Lines};
use der::asn1::OctetStringRef;
use der::{Decode, Reader, SliceReader};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_cms::{Accept, ContentCipher, Enveloped, Recipient, SignedData, read_certs_only};
use touchstone_crypto::{Decrypter, EnvelopeCrypto, Signer, Verified};
use zeroize::Zeroizing;

/// The media type of a key in the clear (RFC 5958 §7.1).
pub const KEY_TYPE: &str = "application/pkcs8";
/// The media type of a key that is encrypted to the client (RFC 7030 §4.4.2).
pub const ENCRYPTED_KEY_TYPE: &str = "application/pkcs7-mime; smime-type=server-generated-key";
/// The media type of both parts together.
pub const PARTS_TYPE: &str = "multipart/mixed";
/// `id-aa-asymmDecryptKeyID` (RFC 7030 §4.4.1.2): to which of the client's keys to encrypt.
pub const DECRYPT_KEY_ID: &str = "1.2.840.113549.1.9.16.2.54";
/// `id-ct-KP-aKeyPackage` (RFC 5958 §2).
const KEY_PACKAGE: &str = "2.16.840.1.101.2.1.2.78.5";
/// `id-signedData` as the type of what is encrypted (RFC 7030 §4.4.2).
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
/// Nothing in base64 has its hyphens.
const BOUNDARY: &str = "touchstone-est-key";
const MOST_PARTS: usize = 4;

/// The subject key identifier to which a request wants its key encrypted (RFC 7030 §4.4.1.2).
pub fn encrypt_to(request: &CertificateRequest) -> Result<Option<Vec<u8>>, Error> {
    let Some(value) = request.attribute(DECRYPT_KEY_ID) else { return Ok(None) };
    let id = <&OctetStringRef>::from_der(value).map_err(|_| Error::BadAttributes)?;
    Ok(Some(id.as_bytes().to_vec()))
}

/// The value of the attribute that asks for that.
pub fn encrypt_to_attribute(key_id: &[u8]) -> Vec<u8> {
    der_out::tlv(OCTET_STRING, &[key_id])
}

/// A key for the holder of `to`'s key alone: signed by whoever made it, then encrypted (RFC 7030
/// §4.4.2).
pub fn encrypt(
    crypto: &dyn EnvelopeCrypto,
    pkcs8_der: &[u8],
    (certificate, key): (&Certificate, &dyn Signer),
    to: &Certificate,
    at: u64,
) -> Result<Vec<u8>, Error> {
    let package = Zeroizing::new(der_out::tlv(SEQUENCE, &[pkcs8_der]));
    let signed =
        Zeroizing::new(SignedData::sign(crypto, &package, KEY_PACKAGE, &[(certificate, key)], at)?);
    // EnvelopedData has no authentication of its own; the signature inside and TLS around it do that.
    let cipher = ContentCipher::LegacyAes256Cbc;
    Ok(Enveloped::encrypt(crypto, &signed, SIGNED_DATA, cipher, &[Recipient::new(to)])?)
}

/// A key that was opened.
pub struct Opened {
    /// The key: PKCS #8 in DER.
    pub key: Zeroizing<Vec<u8>>,
    /// Who signed it. Whether they count is not decided yet.
    pub by: Certificate,
}

/// Opens a key that was encrypted to `certificate`, whose key `opens` is.
pub fn decrypt(
    crypto: &dyn EnvelopeCrypto,
    enveloped: &[u8],
    certificate: &Certificate,
    opens: &dyn Decrypter,
) -> Result<Verified<Opened>, Error> {
    let envelope = Enveloped::decode(enveloped)?;
    let signed = envelope.decrypt(crypto, certificate, opens, Accept::dangerous_legacy())?;
    let signed = SignedData::decode(&signed)?.verify(crypto)?;
    if signed.content_type() != KEY_PACKAGE {
        return Err(Error::BadKeyPackage);
    }
    let [by] = signed.signers() else { return Err(Error::BadKeyPackage) };
    let key = only_key(signed.content()).map_err(|_| Error::BadKeyPackage)?;
    Ok(Verified::vouch(Opened { key, by: by.certificate.clone() }))
}

/// `AsymmetricKeyPackage` with one key (RFC 5958 §2).
fn only_key(package: &[u8]) -> der::Result<Zeroizing<Vec<u8>>> {
    let mut reader = SliceReader::new(package)?;
    let key = reader.sequence(|keys| Ok::<_, der::Error>(keys.tlv_bytes()?.to_vec()))?;
    reader.finish()?;
    Ok(Zeroizing::new(key))
}

/// The body of a response, and its media type (RFC 7030 §4.4.2).
pub(crate) fn encode(certs_der: &[u8], key: &Given, lines: Lines) -> (String, Zeroizing<String>) {
    let (kind, octets) = match key {
        Given::Plain(pkcs8) => (KEY_TYPE, pkcs8.as_slice()),
        Given::Encrypted(enveloped) => (ENCRYPTED_KEY_TYPE, enveloped.as_slice()),
    };
    let parts = [(kind, octets), (body::ENROLLED_TYPE, certs_der)];
    let mut out = Zeroizing::new(String::new());
    for (kind, der) in parts {
        let text = Zeroizing::new(body::wrap(der, lines));
        let pieces = [
            "--",
            BOUNDARY,
            "\r\nContent-Type: ",
            kind,
            "\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            text.trim_end(),
            "\r\n",
        ];
        for piece in pieces {
            out.push_str(piece);
        }
    }
    for piece in ["--", BOUNDARY, "--\r\n"] {
        out.push_str(piece);
    }
    (format!("{PARTS_TYPE}; boundary={BOUNDARY}"), out)
}

/// Reads the body of a response: the key and the certificates beside it.
pub fn decode(content_type: &str, octets: &[u8]) -> Result<(Given, Vec<Certificate>), Error> {
    if !body::is_type(content_type, PARTS_TYPE) {
        return Err(Error::WrongContentType);
    }
    let boundary = body::parameter(content_type, "boundary").filter(|it| !it.is_empty());
    let boundary = boundary.ok_or(Error::BadMultipart)?;
    let text = core::str::from_utf8(octets).map_err(|_| Error::BadMultipart)?;
    let (mut key, mut certificates) = (None, None);
    for part in parts(text, &boundary)? {
        let (head, content) = split(part).ok_or(Error::BadMultipart)?;
        let kind = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-type").then(|| value.trim())
        });
        let kind = kind.ok_or(Error::BadMultipart)?;
        let der = Zeroizing::new(body::unwrap_body(content.as_bytes())?);
        let smime = body::parameter(kind, "smime-type").unwrap_or_default();
        let found = if body::is_type(kind, KEY_TYPE) {
            key.replace(Given::Plain(der)).is_none()
        } else if smime.eq_ignore_ascii_case("server-generated-key") {
            key.replace(Given::Encrypted(der.to_vec())).is_none()
        } else if body::is_type(kind, CERTS_TYPE) {
            certificates.replace(read_certs_only(&der)?).is_none()
        } else {
            return Err(Error::BadMultipart);
        };
        if !found {
            return Err(Error::BadMultipart);
        }
    }
    key.zip(certificates).ok_or(Error::BadMultipart)
}

/// The parts between the boundaries (RFC 2046 §5.1.1).
fn parts<'a>(text: &'a str, boundary: &str) -> Result<Vec<&'a str>, Error> {
    let mark = format!("--{boundary}");
    let mut pieces = text.split(mark.as_str());
    // What stands before the first boundary is for people.
    pieces.next();
    let mut parts = Vec::new();
    for piece in pieces {
        if piece.starts_with("--") {
            return Ok(parts);
        }
        parts.push(piece);
        if parts.len() > MOST_PARTS {
            break;
        }
    }
    Err(Error::BadMultipart)
}

/// A part's head and content.
fn split(part: &str) -> Option<(&str, &str)> {
    let part = part.strip_prefix("\r\n").or_else(|| part.strip_prefix('\n'))?;
    part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n"))
}
