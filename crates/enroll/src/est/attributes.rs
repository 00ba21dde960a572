//! What a request has to contain: `CsrAttrs` (RFC 7030 §4.5.2) with the templates of RFC 9908 §3.4.

use crate::Error;
use crate::der_out::{self, OCTET_STRING, SEQUENCE, SET};
use der::asn1::OctetStringRef;
use der::{Decode, Reader, SliceReader, Tag, TagNumber};
use touchstone_certs::Name;

/// With the usual room for its arcs.
type ObjectIdentifier = der::asn1::ObjectIdentifier;

/// `id-aa-certificationRequestInfoTemplate` (RFC 9908 §3.4).
const TEMPLATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.61");
/// `id-aa-extensionReqTemplate` (RFC 9908 §3.4).
const EXTENSIONS_TEMPLATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.62");
/// `id-ExtensionReq` (RFC 2985 §5.4.2).
const EXTENSIONS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const MOST_ITEMS: usize = 64;

/// What a request has to contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Attributes and algorithms that are only named, each an object identifier with dots.
    pub named: Vec<String>,
    /// Attributes with the values that they have to have, or one of which.
    pub valued: Vec<Valued>,
    /// A form to fill in, which counts alone where it is there (RFC 9908 §4).
    pub template: Option<Template>,
}

/// An attribute with values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valued {
    /// Its type, an object identifier with dots.
    pub oid: String,
    /// Each value in DER.
    pub values: Vec<Vec<u8>>,
}

/// A request with gaps (RFC 9908 §3.4): what has a value is dictated, what has none is the client's to
/// fill in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The parts of the subject: each type, an object identifier with dots, and the value in DER.
    pub subject: Option<Vec<(String, Option<Vec<u8>>)>>,
    /// The key's algorithm: an `AlgorithmIdentifier` in DER, and how many bits an RSA key has.
    pub key: Option<(Vec<u8>, Option<u32>)>,
    /// Extensions.
    pub extensions: Vec<Wanted>,
    /// Further attributes.
    pub attributes: Vec<Valued>,
}

/// An extension that a request has to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its type, an object identifier with dots.
    pub oid: String,
    /// Whether it is critical.
    pub critical: bool,
    /// Its value in DER; the client fills it in where there is none.
    pub value: Option<Vec<u8>>,
}

/// What kind of key is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Elliptic curve, by its curve's object identifier where one is named.
    Ec(Option<String>),
    /// RSA, of so many bits where it is said.
    Rsa(Option<u32>),
    /// Another algorithm, by its object identifier.
    Other(String),
}

impl Attributes {
    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        Self::read(der).map_err(|_| Error::BadAttributes)
    }

    fn read(der: &[u8]) -> der::Result<Self> {
        let mut found = Self::default();
        let mut count = 0;
        sequence(der, |item| {
            count += 1;
            if count > MOST_ITEMS {
                return Err(der::ErrorKind::Overlength.into());
            }
            if tag_of(item)? == Tag::ObjectIdentifier {
                found.named.push(ObjectIdentifier::from_der(item)?.to_string());
                return Ok(());
            }
            let attribute = valued(item)?;
            if attribute.oid != TEMPLATE.to_string() {
                found.valued.push(attribute);
                return Ok(());
            }
            // RFC 9908 §3.4: one template, with one value.
            match (attribute.values.as_slice(), &found.template) {
                ([value], None) => found.template = Some(Template::read(value)?),
                _ => return Err(der::ErrorKind::Failed.into()),
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// DER.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut items = Vec::new();
        for oid in &self.named {
            items.push(der_out::oid(&identifier(oid)?));
        }
        for attribute in &self.valued {
            items.push(attribute.encode()?);
        }
        if let Some(template) = &self.template {
            let value = template.encode()?;
            let parts = [der_out::oid(&TEMPLATE), der_out::set_of_one(&value)];
            items.push(der_out::tlv(SEQUENCE, &[&parts[0], &parts[1]]));
        }
        let parts: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        Ok(der_out::tlv(SEQUENCE, &parts))
    }

    /// Whether an attribute of this type is asked for.
    pub fn wants(&self, oid: &str) -> bool {
        match &self.template {
            Some(template) => template.attributes.iter().any(|it| it.oid == oid),
            None => {
                self.named.iter().any(|it| it == oid) || self.valued.iter().any(|it| it.oid == oid)
            }
        }
    }

    /// The kind of key that is asked for, if one is.
    pub fn key(&self) -> Option<KeyKind> {
        if let Some(template) = &self.template {
            let (identifier, bits) = template.key.as_ref()?;
            return key_kind(identifier, *bits).ok();
        }
        // RFC 9908 §3.2: the key's type as an attribute, whose value says which of that type.
        for attribute in &self.valued {
            let value = attribute.values.first();
            match attribute.oid.as_str() {
                EC_PUBLIC_KEY => {
                    let curve = value.and_then(|it| ObjectIdentifier::from_der(it).ok());
                    return Some(KeyKind::Ec(curve.map(|it| it.to_string())));
                }
                RSA_ENCRYPTION => {
                    return Some(KeyKind::Rsa(value.and_then(|it| u32::from_der(it).ok())));
                }
                _ => {}
            }
        }
        let named = |oid: &str| self.named.iter().any(|it| it == oid);
        match (named(EC_PUBLIC_KEY), named(RSA_ENCRYPTION)) {
            (true, _) => Some(KeyKind::Ec(None)),
            (_, true) => Some(KeyKind::Rsa(None)),
            _ => None,
        }
    }

    /// The extensions that are asked for.
    pub fn extensions(&self) -> Vec<Wanted> {
        if let Some(template) = &self.template {
            return template.extensions.clone();
        }
        let requested = self.valued.iter().filter(|it| it.oid == EXTENSIONS.to_string());
        let mut wanted = Vec::new();
        for value in requested.flat_map(|it| &it.values) {
            // One that does not parse was refused when it was read.
            wanted.extend(extensions(value, true).unwrap_or_default());
        }
        wanted
    }
}

impl Valued {
    fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut values = self.values.clone();
        values.sort_unstable();
        let parts: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let (oid, set) = (der_out::oid(&identifier(&self.oid)?), der_out::tlv(SET, &parts));
        Ok(der_out::tlv(SEQUENCE, &[&oid, &set]))
    }
}

impl Template {
    /// The subject that the form asks for: what it dictates, its gaps filled from `ours`, in its
    /// order. Refused if a gap stays, or ours says something else than is dictated.
    pub fn subject_from(&self, ours: &Name) -> Result<Name, Error> {
        let Some(wanted) = &self.subject else { return Ok(ours.clone()) };
        let known = ours.to_der()?;
        let mut known = subject(&known).map_err(|_| Error::BadAttributes)?;
        let mut names = Vec::new();
        for (oid, value) in wanted {
            let at = known.iter().position(|(known, _)| known == oid);
            let ours = at.and_then(|at| known.remove(at).1);
            let value = match (value, ours) {
                (Some(value), None) => value.clone(),
                (Some(value), Some(ours)) if *value == ours => ours,
                (None, Some(ours)) => ours,
                _ => return Err(Error::BadAttributes),
            };
            let pair = der_out::tlv(SEQUENCE, &[&der_out::oid(&identifier(oid)?), &value]);
            names.extend(der_out::set_of_one(&pair));
        }
        // What the form does not have would not be certified.
        if !known.is_empty() {
            return Err(Error::BadAttributes);
        }
        Ok(Name::decode(&der_out::tlv(SEQUENCE, &[&names]))?)
    }

    fn read(der: &[u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let template = reader.sequence(|it| {
            if u8::decode(it)? != 0 {
                return Err(Tag::Integer.value_error().into());
            }
            let mut template = Self::default();
            if Tag::peek(it)? == Tag::Sequence {
                template.subject = Some(subject(it.tlv_bytes()?)?);
            }
            if Tag::peek(it)? == context(0) {
                template.key = Some(key(it.tlv_bytes()?)?);
            }
            if Tag::peek(it)? != context(1) {
                return Err(der::ErrorKind::Failed.into());
            }
            each(it.tlv_bytes()?, |attribute| {
                let attribute = valued(attribute)?;
                let known = [EXTENSIONS_TEMPLATE, EXTENSIONS].map(|it| it.to_string());
                if !known.contains(&attribute.oid) {
                    template.attributes.push(attribute);
                    return Ok(());
                }
                for value in &attribute.values {
                    let strict = attribute.oid == known[1];
                    template.extensions.extend(extensions(value, strict)?);
                }
                Ok(())
            })?;
            Ok::<_, der::Error>(template)
        })?;
        reader.finish()?;
        Ok(template)
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut parts = vec![der_out::number(0)];
        if let Some(subject) = &self.subject {
            let mut names = Vec::new();
            for (oid, value) in subject {
                let oid = der_out::oid(&identifier(oid)?);
                let pair = der_out::tlv(SEQUENCE, &[&oid, value.as_deref().unwrap_or_default()]);
                names.extend(der_out::set_of_one(&pair));
            }
            parts.push(der_out::tlv(SEQUENCE, &[&names]));
        }
        if let Some((identifier, bits)) = &self.key {
            // RFC 9908 §3.4: the length of an RSA key is told by a modulus of so many bits.
            let key = bits.map(modulus).unwrap_or_default();
            parts.push(der_out::tlv(0xA0, &[identifier, &key]));
        }
        let mut attributes = Vec::new();
        for attribute in &self.attributes {
            attributes.push(attribute.encode()?);
        }
        if !self.extensions.is_empty() {
            let mut all = Vec::new();
            for wanted in &self.extensions {
                all.extend(wanted.encode()?);
            }
            let (oid, value) =
                (der_out::oid(&EXTENSIONS_TEMPLATE), der_out::tlv(SEQUENCE, &[&all]));
            attributes.push(der_out::tlv(SEQUENCE, &[&oid, &der_out::set_of_one(&value)]));
        }
        attributes.sort_unstable();
        parts.push(der_out::tlv(0xA1, &[&attributes.concat()]));
        Ok(der_out::tlv(SEQUENCE, &[&parts.concat()]))
    }
}

impl Wanted {
    fn encode(&self) -> Result<Vec<u8>, Error> {
        let oid = der_out::oid(&identifier(&self.oid)?);
        let critical: &[u8] = if self.critical { &[0x01, 0x01, 0xFF] } else { &[] };
        let value = self.value.as_ref().map(|it| der_out::tlv(OCTET_STRING, &[it]));
        Ok(der_out::tlv(SEQUENCE, &[&oid, critical, value.as_deref().unwrap_or_default()]))
    }
}

fn identifier(oid: &str) -> Result<ObjectIdentifier, Error> {
    ObjectIdentifier::new(oid).map_err(|_| Error::BadAttributes)
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

fn tag_of(der: &[u8]) -> der::Result<Tag> {
    Tag::peek(&SliceReader::new(der)?)
}

/// Gives each element inside a constructed one to `take`, whatever the outer tag.
fn each(der: &[u8], mut take: impl FnMut(&[u8]) -> der::Result<()>) -> der::Result<()> {
    let mut outer = SliceReader::new(der)?;
    let header = der::Header::decode(&mut outer)?;
    let mut inner = SliceReader::new(outer.read_slice(header.length())?)?;
    outer.finish()?;
    while !inner.is_finished() {
        take(inner.tlv_bytes()?)?;
    }
    Ok(())
}

fn sequence(der: &[u8], take: impl FnMut(&[u8]) -> der::Result<()>) -> der::Result<()> {
    tag_of(der)?.assert_eq(Tag::Sequence)?;
    each(der, take)
}

/// `Attribute` (RFC 5652 §5.3).
fn valued(der: &[u8]) -> der::Result<Valued> {
    let mut parts = Vec::new();
    sequence(der, |part| {
        parts.push(part.to_vec());
        Ok(())
    })?;
    let [oid, set] = parts.as_slice() else { return Err(der::ErrorKind::Failed.into()) };
    let oid = ObjectIdentifier::from_der(oid)?;
    tag_of(set)?.assert_eq(Tag::Set)?;
    let mut values = Vec::new();
    each(set, |value| {
        values.push(value.to_vec());
        Ok(())
    })?;
    // RFC 9908 §3.2: what is read as extensions has to be some.
    if oid == EXTENSIONS {
        for value in &values {
            extensions(value, true)?;
        }
    }
    Ok(Valued { oid: oid.to_string(), values })
}

/// `RDNSequenceTemplate`: sets of types, with values or without.
fn subject(der: &[u8]) -> der::Result<Vec<(String, Option<Vec<u8>>)>> {
    let mut names = Vec::new();
    sequence(der, |set| {
        tag_of(set)?.assert_eq(Tag::Set)?;
        each(set, |pair| {
            let mut reader = SliceReader::new(pair)?;
            names.push(reader.sequence(|pair| {
                let oid = ObjectIdentifier::decode(pair)?;
                let value =
                    if pair.is_finished() { None } else { Some(pair.tlv_bytes()?.to_vec()) };
                Ok::<_, der::Error>((oid.to_string(), value))
            })?);
            reader.finish()
        })
    })?;
    Ok(names)
}

/// `SubjectPublicKeyInfoTemplate`, whose tag is `[0]`.
fn key(der: &[u8]) -> der::Result<(Vec<u8>, Option<u32>)> {
    let mut parts = Vec::new();
    each(der, |part| {
        parts.push(part.to_vec());
        Ok(())
    })?;
    let (identifier, key) = match parts.as_slice() {
        [identifier] => (identifier, None),
        [identifier, key] => (identifier, Some(key)),
        _ => return Err(der::ErrorKind::Failed.into()),
    };
    let kind = key_kind(identifier, None)?;
    let bits = match (key, kind) {
        (Some(key), KeyKind::Rsa(_)) => Some(modulus_bits(key)?),
        _ => None,
    };
    Ok((identifier.clone(), bits))
}

fn key_kind(identifier: &[u8], bits: Option<u32>) -> der::Result<KeyKind> {
    let identifier = spki::AlgorithmIdentifierRef::from_der(identifier)?;
    let oid = identifier.oid.to_string();
    Ok(match oid.as_str() {
        EC_PUBLIC_KEY => {
            KeyKind::Ec(identifier.parameters_oid().ok().map(|curve| curve.to_string()))
        }
        RSA_ENCRYPTION => KeyKind::Rsa(bits),
        _ => KeyKind::Other(oid),
    })
}

/// A public key in whose place only its length counts.
fn modulus(bits: u32) -> Vec<u8> {
    let octets = usize::try_from(bits.div_ceil(8)).unwrap_or_default().min(2048);
    let mut number = vec![0xFF; octets];
    number.insert(0, 0);
    let pair = [der_out::tlv(der_out::INTEGER, &[&number]), der_out::number(65_537)].concat();
    der_out::tlv(0x03, &[&[0], &der_out::tlv(SEQUENCE, &[&pair])])
}

fn modulus_bits(der: &[u8]) -> der::Result<u32> {
    let key = der::asn1::BitStringRef::from_der(der)?;
    let key = key.as_bytes().ok_or(der::ErrorKind::Failed)?;
    let mut bits = 0;
    sequence(key, |number| {
        let number = der::asn1::UintRef::from_der(number)?;
        let len = u32::try_from(number.as_bytes().len()).unwrap_or(u32::MAX);
        bits = bits.max(len.saturating_mul(8));
        Ok(())
    })?;
    Ok(bits)
}

/// `Extensions`, or with gaps `ExtensionReqTemplate`.
fn extensions(der: &[u8], strict: bool) -> der::Result<Vec<Wanted>> {
    let mut found = Vec::new();
    sequence(der, |extension| {
        let mut reader = SliceReader::new(extension)?;
        let wanted = reader.sequence(|it| {
            let oid = ObjectIdentifier::decode(it)?.to_string();
            let boolean = !it.is_finished() && Tag::peek(it)? == Tag::Boolean;
            let critical = if boolean { bool::decode(it)? } else { false };
            let value = if it.is_finished() && !strict {
                None
            } else {
                Some(<&OctetStringRef>::decode(it)?.as_bytes().to_vec())
            };
            Ok::<_, der::Error>(Wanted { oid, critical, value })
        })?;
        reader.finish()?;
        if found.len() >= MOST_ITEMS {
            return Err(der::ErrorKind::Overlength.into());
        }
        found.push(wanted);
        Ok(())
    })?;
    Ok(found)
}
