//! Detached EAT bundles (RFC 9711 §5): a token, and the claims sets that it has digests of. Software
//! that nobody trusts may put one together; what counts is what the token's signature covers.

use super::{Eat, Error, MAX_EAT, MAX_JWT, Submodule, names, strict};
use crate::token::TokenKey;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use ciborium::Value;
use serde_json::{Value as Json, json};
use touchstone_crypto::{Crypto, Verified};

/// RFC 9711 §5, as it is encoded.
pub(super) const TAG: [u8; 3] = [0xD9, 0x02, 0x5A];
/// The most claims sets of a bundle.
const MOST: usize = 64;

/// A token with claims sets that it has digests of. Nothing is proven yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The token, which is no bundle.
    pub token: Main,
    /// Claims sets by the submodule's name, as they are encoded: in JSON if the bundle is.
    pub detached: Vec<(String, Vec<u8>)>,
    /// Whether the bundle is JSON.
    pub is_json: bool,
}

/// The token of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Main {
    /// A CWT.
    Cwt(Vec<u8>),
    /// A JWT.
    Jwt(String),
}

impl Submodule {
    /// A token in CBOR: its tag says which (RFC 9711 §4.2.18).
    pub(super) fn of_octets(octets: &[u8]) -> Self {
        if octets.starts_with(&TAG) {
            Self::Bundle(octets.to_vec())
        } else {
            Self::Cwt(octets.to_vec())
        }
    }
}

impl Bundle {
    /// Whether octets are a bundle by how they begin: tag 602, or an array of JSON with an array in
    /// it.
    pub fn is_one(octets: &[u8]) -> bool {
        let mut text = octets.iter().filter(|octet| !octet.is_ascii_whitespace());
        octets.starts_with(&TAG) || (text.next() == Some(&b'[') && text.next() == Some(&b'['))
    }

    /// Reads a bundle in CBOR, tagged, or in JSON.
    pub fn decode(octets: &[u8]) -> Result<Self, Error> {
        match octets.strip_prefix(&TAG) {
            Some(octets) => Self::from_cbor(octets),
            None => Self::from_json(octets),
        }
    }

    fn from_cbor(octets: &[u8]) -> Result<Self, Error> {
        let wrong = Error::Claim("bundle");
        if octets.len() > MAX_EAT {
            return Err(Error::TooLarge);
        }
        let mut decoder = minicbor::Decoder::new(octets);
        let read = |_| wrong;
        if decoder.array().map_err(read)? != Some(2) {
            return Err(wrong);
        }
        let token = match decoder.datatype().map_err(read)? {
            minicbor::data::Type::String => selected(decoder.str().map_err(read)?)?,
            _ => main(Submodule::of_octets(decoder.bytes().map_err(read)?))?,
        };
        let mut detached = Vec::new();
        let len = decoder.map().map_err(read)?.ok_or(wrong)?;
        for _ in 0..len {
            let name = decoder.str().map_err(read)?.into();
            add(&mut detached, name, decoder.bytes().map_err(read)?.to_vec())?;
        }
        if detached.is_empty() || decoder.position() != octets.len() {
            return Err(wrong);
        }
        Ok(Self { token, detached, is_json: false })
    }

    fn from_json(octets: &[u8]) -> Result<Self, Error> {
        if octets.len() > MAX_JWT {
            return Err(Error::TooLarge);
        }
        Self::of_json(&strict::read(octets).map_err(|_| Error::Claim("bundle"))?)
    }

    fn of_json(json: &Json) -> Result<Self, Error> {
        let wrong = Error::Claim("bundle");
        let Some([token, sets]) = json.as_array().map(Vec::as_slice) else { return Err(wrong) };
        let token = main(names::selected(token)?)?;
        let mut detached = Vec::new();
        for (name, set) in sets.as_object().ok_or(wrong)? {
            let set = set.as_str().and_then(|set| Base64UrlUnpadded::decode_vec(set).ok());
            add(&mut detached, name.clone(), set.ok_or(wrong)?)?;
        }
        if detached.is_empty() { Err(wrong) } else { Ok(Self { token, detached, is_json: true }) }
    }

    /// Writes it, as it was read: CBOR with its tag, or JSON.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut octets = Vec::new();
        if self.is_json {
            return serde_json::to_vec(&self.to_json()).map_err(|_| Error::Claim("bundle"));
        }
        let token = match &self.token {
            Main::Cwt(token) => Value::Bytes(token.clone()),
            Main::Jwt(token) => Value::Text(json!(["JWT", token]).to_string()),
        };
        let sets = self
            .detached
            .iter()
            .map(|(name, set)| (Value::Text(name.clone()), Value::Bytes(set.clone())));
        let parts = Value::Array([token, Value::Map(sets.collect())].into());
        let bundle = Value::Tag(602, Box::new(parts));
        ciborium::into_writer(&bundle, &mut octets).map_err(|_| Error::Claim("bundle"))?;
        Ok(octets)
    }

    fn to_json(&self) -> Json {
        let token = match &self.token {
            Main::Cwt(token) => json!(["CBOR", Base64UrlUnpadded::encode_string(token)]),
            Main::Jwt(token) => json!(["JWT", token]),
        };
        let sets = self
            .detached
            .iter()
            .map(|(name, set)| (name.clone(), Json::from(Base64UrlUnpadded::encode_string(set))));
        json!([token, sets.collect::<serde_json::Map<_, _>>()])
    }

    /// Checks that one of `keys` signed the token and that it has the digest of every claims set here.
    /// These stand in their places in what comes back; a submodule whose claims are still elsewhere
    /// stays a digest.
    pub fn verify(&self, crypto: &dyn Crypto, keys: &[TokenKey]) -> Result<Verified<Eat>, Error> {
        let eat = match &self.token {
            Main::Cwt(token) => Eat::from_cwt(crypto, token, keys)?,
            Main::Jwt(token) => Eat::from_jwt(crypto, token, keys)?,
        };
        self.join(crypto, eat.into_inner()).map(Verified::vouch)
    }

    /// The same, whoever signed the token: for people who look, and for nobody who decides.
    pub fn dangerous_unverified(&self, crypto: &dyn Crypto) -> Result<Eat, Error> {
        let eat = match &self.token {
            Main::Cwt(token) => Eat::dangerous_unverified_cwt(token)?,
            Main::Jwt(token) => Eat::dangerous_unverified_jwt(token)?,
        };
        self.join(crypto, eat)
    }

    fn join(&self, crypto: &dyn Crypto, mut eat: Eat) -> Result<Eat, Error> {
        for (name, set) in &self.detached {
            let place = eat.submods.iter_mut().find(|(known, _)| known == name);
            let Some((_, place @ Submodule::Detached(_))) = place else {
                return Err(Error::Detached);
            };
            // §4.2.18.2: over the claims set itself, without what it is wrapped in.
            let same = |place: &Submodule| match place {
                Submodule::Detached(digest) => crypto.hash(digest.algorithm(), &[set]) == *digest,
                _ => false,
            };
            if !same(place) {
                return Err(Error::Detached);
            }
            let claims = if self.is_json { Eat::from_json(set) } else { Eat::from_cbor(set) };
            *place = Submodule::Claims(Box::new(claims?));
        }
        Ok(eat)
    }
}

/// The token of a bundle, which is no bundle and no digest.
fn main(submodule: Submodule) -> Result<Main, Error> {
    match submodule {
        Submodule::Cwt(token) => Ok(Main::Cwt(token)),
        Submodule::Jwt(token) => Ok(Main::Jwt(token)),
        Submodule::Bundle(_) => Err(Error::Nested),
        Submodule::Claims(_) | Submodule::Detached(_) => Err(Error::Claim("bundle")),
    }
}

fn selected(text: &str) -> Result<Main, Error> {
    let json = strict::read(text.as_bytes()).map_err(|_| Error::Claim("bundle"))?;
    main(names::selected(&json)?)
}

fn add(sets: &mut Vec<(String, Vec<u8>)>, name: String, set: Vec<u8>) -> Result<(), Error> {
    if sets.len() >= MOST {
        return Err(Error::TooLarge);
    }
    if name.is_empty() || sets.iter().any(|(known, _)| *known == name) {
        return Err(Error::Claim("bundle"));
    }
    sets.push((name, set));
    Ok(())
}
