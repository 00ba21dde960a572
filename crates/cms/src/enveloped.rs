//! `EnvelopedData` (RFC 5652 §6) and `AuthEnvelopedData` (RFC 5083).
//!
//! In memory, both: of what is authenticated, nothing may be given out before all of it has come and
//! its tag is good.

mod algorithm;
mod recipient;

pub use algorithm::ContentCipher;
pub use recipient::Recipient;

use crate::ber::{self, Elements};
use crate::encode::{self, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, context};
use crate::signed::content_info;
use crate::signed::info::{Attribute, attributes};
use crate::{Error, MOST_OCTETS, Refusal, oids};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use der::Decode;
use der::asn1::ObjectIdentifier;
use recipient::{How, Way};
use touchstone_certs::Certificate;
use touchstone_crypto::{Decrypter, EnvelopeCrypto, Opening, RsaPadding};
use zeroize::Zeroizing;

const MOST_RECIPIENTS: usize = 256;

/// Which ways of encrypting are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    legacy: bool,
}

impl Accept {
    /// AES-GCM; RSAES-OAEP with SHA-256 or longer, ECDH with a KDF of SHA-256 or longer, ML-KEM.
    pub const STRICT: Self = Self { legacy: false };

    /// Besides, what only old peers still use: AES-CBC, whose changes nothing shows;
    /// RSAES-PKCS1-v1_5, with a random key when it does not open (RFC 3218 §2.3.2); SHA-1 in
    /// RSAES-OAEP and in the KDF. Only for messages whose sender is known by a signature around
    /// them, as in SCEP, or that are opened once and by hand.
    pub const fn dangerous_legacy() -> Self {
        Self { legacy: true }
    }
}

/// An encrypted envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enveloped {
    content_type: ObjectIdentifier,
    cipher: ContentCipher,
    iv: Vec<u8>,
    content: Vec<u8>,
    /// The authenticated attributes as `SET OF`, and the tag; `None` in `EnvelopedData`.
    authentication: Option<(Vec<u8>, [u8; 16])>,
    ways: Vec<Way>,
    recipients: usize,
}

/// An envelope that is waiting for the holder of a private key.
#[derive(Debug)]
pub struct ToOpen<'a> {
    envelope: &'a Enveloped,
    way: &'a Way,
    opening: Opening,
}

impl Enveloped {
    /// Reads DER or BER: a `ContentInfo` of type `id-envelopedData` or `id-ct-authEnvelopedData`.
    pub fn decode(octets: &[u8]) -> Result<Self, Error> {
        if octets.len() > MOST_OCTETS {
            return Err(Error::too_large("length"));
        }
        let mut info = Elements::new("ContentInfo", ber::message("ContentInfo", octets)?);
        let kind = info.one(OID)?.content;
        let authenticated = kind == oids::ID_AUTH_ENVELOPED_DATA.as_bytes();
        if !authenticated && kind != oids::ID_ENVELOPED_DATA.as_bytes() {
            return Err(Error::other_type("content type, not envelopedData"));
        }
        let mut explicit = Elements::new("ContentInfo", info.one(context(0))?.content);
        info.end()?;
        let part = if authenticated { "AuthEnvelopedData" } else { "EnvelopedData" };
        let data = explicit.one(SEQUENCE)?.content;
        explicit.end()?;
        Self::read(Elements::new(part, data), authenticated)
    }

    fn read(mut data: Elements<'_>, authenticated: bool) -> Result<Self, Error> {
        data.one(INTEGER)?;
        data.optional(context(0))?;
        let mut infos = Elements::new("recipientInfos", data.one(SET)?.content);
        let (mut ways, mut recipients) = (Vec::new(), 0);
        while !infos.is_empty() {
            let info = infos.any()?;
            recipients += 1;
            if recipients > MOST_RECIPIENTS {
                return Err(Error::too_large("recipientInfos"));
            }
            ways.extend(recipient::read(info.whole, info.tag)?);
        }
        let mut content = Elements::new("EncryptedContentInfo", data.one(SEQUENCE)?.content);
        let content_type = ObjectIdentifier::from_bytes(content.one(OID)?.content)
            .map_err(|_| Error::malformed("contentType"))?;
        let (cipher, iv) = ContentCipher::decode(content.one(SEQUENCE)?.whole)?;
        // The octets are inside: messages without them are nobody's.
        let encrypted = content.octet_string(0x80)?;
        content.end()?;
        // RFC 5083 §2.1: what does not authenticate is not called authenticated, nor the reverse.
        if cipher.is_authenticated() != authenticated {
            return Err(Refusal::UnsupportedAlgorithm.into());
        }
        let authentication = if authenticated {
            let attributes = data.optional(context(1))?.map(|it| it.whole);
            let attributes = authenticated_attributes(content_type, attributes)?;
            let tag = data.one(OCTET_STRING)?.content;
            data.optional(context(2))?;
            let tag = tag.try_into().map_err(|_| Error::malformed("mac"))?;
            Some((attributes, tag))
        } else {
            data.optional(context(1))?;
            None
        };
        data.end()?;
        Ok(Self { content_type, cipher, iv, content: encrypted, authentication, ways, recipients })
    }

    /// The type of the content, an object identifier with dots.
    pub fn content_type(&self) -> String {
        self.content_type.to_string()
    }

    /// How the content is encrypted.
    pub const fn cipher(&self) -> ContentCipher {
        self.cipher
    }

    /// How many recipients it has, of whatever kind.
    pub const fn recipients(&self) -> usize {
        self.recipients
    }

    /// The ways to the key that are known here: `rsa-oaep`, `rsa-pkcs1`, `ecdh`, `ml-kem`.
    pub fn ways(&self) -> Vec<&'static str> {
        self.ways.iter().map(|way| way.how.name()).collect()
    }

    /// Whether it is encrypted to this certificate.
    pub fn is_for(&self, certificate: &Certificate) -> bool {
        self.ways.iter().any(|way| way.rid.names(certificate))
    }

    /// What the holder of this certificate's key has to do to open it.
    pub fn to_open(&self, certificate: &Certificate, accept: Accept) -> Result<ToOpen<'_>, Error> {
        let mut ways = self.ways.iter().filter(|way| way.rid.names(certificate)).peekable();
        if ways.peek().is_none() {
            return Err(Refusal::NotARecipient.into());
        }
        let good = |way: &Way| !way.how.is_legacy() && self.cipher.is_authenticated();
        let way = ways.find(|way| accept.legacy || good(way)).ok_or(Refusal::Legacy)?;
        Ok(ToOpen { envelope: self, way, opening: way.opening(certificate)? })
    }

    /// The content, opened with a key that answers at once.
    pub fn decrypt(
        &self,
        crypto: &dyn EnvelopeCrypto,
        certificate: &Certificate,
        key: &dyn Decrypter,
        accept: Accept,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        if key.spki_der() != certificate.spki_der() {
            return Err(Refusal::KeyMismatch.into());
        }
        let to_open = self.to_open(certificate, accept)?;
        let answer = key.open(to_open.opening());
        to_open.answer(crypto, answer.as_ref().map(|secret| secret.as_slice()).map_err(|it| *it))
    }

    /// An envelope that only these recipients can open.
    pub fn encrypt(
        crypto: &dyn EnvelopeCrypto,
        content: &[u8],
        content_type: &str,
        cipher: ContentCipher,
        to: &[Recipient<'_>],
    ) -> Result<Vec<u8>, Error> {
        if content.len() > MOST_OCTETS - 64 * 1024 {
            return Err(Error::too_large("length"));
        }
        let content_type =
            ObjectIdentifier::new(content_type).map_err(|_| Error::malformed("content type"))?;
        if to.is_empty() || to.len() > MOST_RECIPIENTS {
            return Err(Refusal::NotARecipient.into());
        }
        let mut key = Zeroizing::new(alloc::vec![0; cipher.key_len()]);
        crypto.random(&mut key)?;
        let mut infos = Vec::with_capacity(to.len());
        for recipient in to {
            infos.push(recipient::write(crypto, recipient, &key)?);
        }
        let transport = infos.iter().all(|info| info.first() == Some(&SEQUENCE));
        let other = infos.iter().any(|info| info.first() == Some(&0xA4));
        let infos = encode::set_of(SET, infos);
        let mut data = content.to_vec();
        let encrypted_info = |iv: &[u8], data: &[u8]| {
            let (oid, how) = (encode::oid(&content_type), cipher.encode(iv));
            encode::tlv(SEQUENCE, &[&oid, &how, &encode::tlv(0x80, &[data])])
        };
        if cipher.is_authenticated() {
            let mut nonce = [0; 12];
            crypto.random(&mut nonce)?;
            let (aad, attributes) = content_type_attribute(content_type);
            let tag = crypto.aes_gcm_seal(&key, &nonce, &aad, &mut data)?;
            let tag = encode::tlv(OCTET_STRING, &[&tag]);
            let info = encrypted_info(&nonce, &data);
            let data = [&encode::small(0), infos.as_slice(), &info, &attributes, &tag];
            let data = encode::tlv(SEQUENCE, &data);
            return Ok(content_info(oids::ID_AUTH_ENVELOPED_DATA, &data));
        }
        let mut iv = [0; 16];
        crypto.random(&mut iv)?;
        crypto.aes_cbc_encrypt(&key, &iv, &mut data)?;
        // RFC 5652 §6.1.
        let version = match (transport, other) {
            (_, true) => 3,
            (true, false) => 0,
            (false, false) => 2,
        };
        let info = encrypted_info(&iv, &data);
        let data = encode::tlv(SEQUENCE, &[&encode::small(version), &infos, &info]);
        Ok(content_info(oids::ID_ENVELOPED_DATA, &data))
    }
}

impl ToOpen<'_> {
    /// What the private key has to do.
    pub const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The content, by what the holder of the key answered. What failed is not told apart.
    pub fn answer(
        self,
        crypto: &dyn EnvelopeCrypto,
        secret: Result<&[u8], touchstone_crypto::Error>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let envelope = self.envelope;
        let len = envelope.cipher.key_len();
        // RFC 3218 §2.3.2: whether the padding was good must not be seen, so that another key goes on
        // in its place, drawn in either case.
        let mut random = Zeroizing::new(alloc::vec![0; len]);
        crypto.random(&mut random)?;
        let key = match (&self.way.how, secret) {
            (How::Transport(RsaPadding::LegacyPkcs1), secret) => match secret {
                Ok(secret) if secret.len() == len => Zeroizing::new(secret.to_vec()),
                _ => random,
            },
            (_, Ok(secret)) => self.way.unwrap(crypto, secret)?,
            // The key's holder is in trouble, or it is not for this key.
            (_, Err(touchstone_crypto::Error::Undecryptable)) => {
                return Err(Refusal::Undecryptable.into());
            }
            (_, Err(error)) => return Err(error.into()),
        };
        if key.len() != len {
            return Err(Refusal::Undecryptable.into());
        }
        let undecryptable = |_| Error::from(Refusal::Undecryptable);
        let mut content = Zeroizing::new(envelope.content.clone());
        if let Some((aad, tag)) = &envelope.authentication {
            let nonce = envelope.iv.as_slice().try_into();
            let nonce = nonce.map_err(|_| Refusal::UnsupportedAlgorithm)?;
            crypto.aes_gcm_open(&key, nonce, aad, &mut content, tag).map_err(undecryptable)?;
        } else {
            let iv = envelope.iv.as_slice().try_into();
            let iv = iv.map_err(|_| Error::malformed("contentEncryptionAlgorithm"))?;
            crypto.aes_cbc_decrypt(&key, iv, &mut content).map_err(undecryptable)?;
        }
        Ok(content)
    }
}

/// RFC 5083 §2.1: the attributes as they are authenticated; the content type is among them unless it
/// is plain data.
fn authenticated_attributes(
    content_type: ObjectIdentifier,
    octets: Option<&[u8]>,
) -> Result<Vec<u8>, Error> {
    const PART: &str = "authAttrs";
    let Some(octets) = octets else {
        let plain = content_type == oids::ID_DATA;
        return if plain { Ok(Vec::new()) } else { Err(Refusal::BadSignedAttributes.into()) };
    };
    let found = attributes(octets, true).map_err(Error::der(PART))?;
    let mut types = found.iter().filter(|attribute| attribute.oid == oids::ID_CONTENT_TYPE);
    match (types.next().map(|it| it.values.as_slice()), types.next()) {
        (None, _) if content_type == oids::ID_DATA => {}
        (Some([value]), None) if ObjectIdentifier::from_der(value) == Ok(content_type) => {}
        (Some([_]), None) => return Err(Refusal::ContentTypeMismatch.into()),
        _ => return Err(Refusal::BadSignedAttributes.into()),
    }
    let mut aad = octets.to_vec();
    if let Some(tag) = aad.first_mut() {
        *tag = SET;
    }
    Ok(aad)
}

/// What is authenticated, and how it travels: nothing for plain data.
fn content_type_attribute(content_type: ObjectIdentifier) -> (Vec<u8>, Vec<u8>) {
    if content_type == oids::ID_DATA {
        return (Vec::new(), Vec::new());
    }
    let attribute = Attribute::new(oids::ID_CONTENT_TYPE, encode::oid(&content_type)).encode();
    (
        encode::set_of(SET, [attribute.clone()].into()),
        encode::set_of(context(1), [attribute].into()),
    )
}
