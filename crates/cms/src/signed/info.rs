//! A `SignerInfo` (RFC 5652 §5.3) and its attributes, read and written. What is signed stays the
//! octets that came.

use crate::encode::{self, OCTET_STRING, SEQUENCE, SET, context};
use crate::{Error, Refusal};
use alloc::vec::Vec;
use der::asn1::{IntRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber};
use touchstone_certs::Certificate;
use x509_cert::name::Name;

const PART: &str = "SignerInfo";
const MOST_ATTRIBUTES: usize = 64;

/// RFC 5652 §5.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignerInfo {
    pub(crate) sid: SignerId,
    /// `AlgorithmIdentifier` in DER, as it came.
    pub(crate) digest_algorithm: Vec<u8>,
    pub(crate) signed: Option<SignedAttributes>,
    /// `AlgorithmIdentifier` in DER, as it came.
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) unsigned: Vec<Attribute>,
}

/// Who signs: RFC 5652 §5.3 `SignerIdentifier`, §6.2.1 `RecipientIdentifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignerId {
    IssuerAndSerial { issuer_der: Vec<u8>, serial: Vec<u8> },
    KeyId(Vec<u8>),
}

/// The attributes that are signed, and the octets that the signature is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedAttributes {
    /// RFC 5652 §5.4: the SET OF, not the `[0]` in which it travels.
    pub(crate) message: Vec<u8>,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) oid: ObjectIdentifier,
    /// Each value in DER.
    pub(crate) values: Vec<Vec<u8>>,
}

impl SignerInfo {
    pub(crate) fn decode(der: &[u8]) -> Result<Self, Error> {
        let failed = Error::der(PART);
        let mut reader = SliceReader::new(der).map_err(&failed)?;
        let info = reader.sequence(Self::read).map_err(&failed)?;
        reader.finish().map_err(failed)?;
        Ok(info)
    }

    fn read(reader: &mut SliceReader<'_>) -> der::Result<Self> {
        let version = u8::decode(reader)?;
        let sid = SignerId::read(reader.tlv_bytes()?)?;
        // RFC 5652 §5.3: the version says how the signer is named.
        if version != sid.version() {
            return Err(Tag::Integer.value_error().into());
        }
        let digest_algorithm = reader.tlv_bytes()?.to_vec();
        let signed = match context_of(reader, 0)? {
            Some(octets) => Some(SignedAttributes::read(octets)?),
            None => None,
        };
        let signature_algorithm = reader.tlv_bytes()?.to_vec();
        let signature = <&OctetStringRef>::decode(reader)?.as_bytes().to_vec();
        let unsigned = match context_of(reader, 1)? {
            // Nobody signs them, so their order says nothing.
            Some(octets) => attributes(octets, false)?,
            None => Vec::new(),
        };
        Ok(Self { sid, digest_algorithm, signed, signature_algorithm, signature, unsigned })
    }

    /// DER.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let signed = match &self.signed {
            Some(signed) => retagged(&signed.message, context(0)),
            None => Vec::new(),
        };
        let unsigned = match self.unsigned.as_slice() {
            [] => Vec::new(),
            attributes => {
                encode::set_of(context(1), attributes.iter().map(Attribute::encode).collect())
            }
        };
        let parts: [&[u8]; 7] = [
            &encode::small(self.sid.version()),
            &self.sid.encode(),
            &self.digest_algorithm,
            &signed,
            &self.signature_algorithm,
            &encode::tlv(OCTET_STRING, &[&self.signature]),
            &unsigned,
        ];
        encode::tlv(SEQUENCE, &parts)
    }

    pub(crate) fn certificate<'a>(&self, among: &'a [Certificate]) -> Option<&'a Certificate> {
        among.iter().find(|certificate| self.sid.names(certificate))
    }
}

fn context_of<'a>(reader: &mut SliceReader<'a>, number: u16) -> der::Result<Option<&'a [u8]>> {
    let wanted = Tag::ContextSpecific { constructed: true, number: TagNumber(number.into()) };
    if reader.is_finished() || Tag::peek(reader)? != wanted {
        return Ok(None);
    }
    reader.tlv_bytes().map(Some)
}

/// The same octets under another tag of the same length.
fn retagged(der: &[u8], tag: u8) -> Vec<u8> {
    let mut out = der.to_vec();
    if let Some(first) = out.first_mut() {
        *first = tag;
    }
    out
}

impl SignerId {
    /// The name of a certificate by its issuer and serial number.
    pub(crate) fn of(certificate: &Certificate) -> Self {
        Self::IssuerAndSerial {
            issuer_der: certificate.issuer_der().to_vec(),
            serial: certificate.serial_octets().to_vec(),
        }
    }

    pub(crate) fn read(der: &[u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let id = if Tag::peek(&reader)? == Tag::Sequence {
            reader.sequence(|id| {
                let issuer_der = id.tlv_bytes()?.to_vec();
                let serial = <IntRef<'_>>::decode(id)?.as_bytes().to_vec();
                Ok::<_, der::Error>(Self::IssuerAndSerial { issuer_der, serial })
            })?
        } else {
            let id = der::asn1::AnyRef::decode(&mut reader)?;
            let wanted = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
            if der::Tagged::tag(&id) != wanted {
                return Err(der::Tagged::tag(&id).value_error().into());
            }
            Self::KeyId(id.value().to_vec())
        };
        reader.finish()?;
        Ok(id)
    }

    const fn version(&self) -> u8 {
        match self {
            Self::IssuerAndSerial { .. } => 1,
            Self::KeyId(_) => 3,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::IssuerAndSerial { issuer_der, serial } => {
                encode::tlv(SEQUENCE, &[issuer_der, &encode::tlv(encode::INTEGER, &[serial])])
            }
            Self::KeyId(id) => encode::tlv(0x80, &[id]),
        }
    }

    pub(crate) fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer_der, serial } => {
                serial == certificate.serial_octets()
                    && (issuer_der == certificate.issuer_der()
                        || same_name(issuer_der, certificate.issuer_der()))
            }
            Self::KeyId(id) => certificate.subject_key_id() == Some(id),
        }
    }
}

fn same_name(one: &[u8], other: &[u8]) -> bool {
    match (Name::from_der(one), Name::from_der(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

impl SignedAttributes {
    fn read(octets: &[u8]) -> der::Result<Self> {
        let attributes = attributes(octets, true)?;
        Ok(Self { message: retagged(octets, SET), attributes })
    }

    pub(crate) fn new(attributes: Vec<Attribute>) -> Self {
        let message = encode::set_of(SET, attributes.iter().map(Attribute::encode).collect());
        Self { message, attributes }
    }

    /// RFC 5652 §5.3, §11: at most one attribute of a type, with exactly one value.
    pub(crate) fn one(&self, oid: ObjectIdentifier) -> Result<Option<&[u8]>, Error> {
        let mut found = self.attributes.iter().filter(|attribute| attribute.oid == oid);
        match (found.next().map(|attribute| attribute.values.as_slice()), found.next()) {
            (None, _) => Ok(None),
            (Some([value]), None) => Ok(Some(value)),
            _ => Err(Refusal::BadSignedAttributes.into()),
        }
    }
}

impl Attribute {
    pub(crate) fn new(oid: ObjectIdentifier, value: Vec<u8>) -> Self {
        Self { oid, values: [value].into() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let values = encode::set_of(SET, self.values.clone());
        encode::tlv(SEQUENCE, &[&encode::oid(&self.oid), &values])
    }
}

/// The attributes in a `SET OF`, whatever its tag; `sorted` as DER wants it (X.690 §11.6), which also
/// means that none is there twice.
pub(crate) fn attributes(octets: &[u8], sorted: bool) -> der::Result<Vec<Attribute>> {
    let mut reader = SliceReader::new(octets)?;
    let header = der::Header::decode(&mut reader)?;
    let mut inner = SliceReader::new(reader.read_slice(header.length())?)?;
    reader.finish()?;
    let (mut found, mut last): (Vec<Attribute>, &[u8]) = (Vec::new(), &[]);
    while !inner.is_finished() {
        let whole = inner.tlv_bytes()?;
        if found.len() >= MOST_ATTRIBUTES || (sorted && whole <= last) {
            return Err(der::ErrorKind::SetOrdering.into());
        }
        last = whole;
        found.push(attribute(whole, sorted)?);
    }
    Ok(found)
}

fn attribute(der: &[u8], sorted: bool) -> der::Result<Attribute> {
    let mut reader = SliceReader::new(der)?;
    let attribute = reader.sequence(|attribute| {
        let oid = ObjectIdentifier::decode(attribute)?;
        let header = der::Header::decode(attribute)?;
        header.tag().assert_eq(Tag::Set)?;
        let mut inner = SliceReader::new(attribute.read_slice(header.length())?)?;
        let mut values: Vec<Vec<u8>> = Vec::new();
        while !inner.is_finished() {
            let value = inner.tlv_bytes()?;
            if sorted && values.last().is_some_and(|last| value <= last.as_slice()) {
                return Err(der::ErrorKind::SetOrdering.into());
            }
            values.push(value.to_vec());
        }
        Ok::<_, der::Error>(Attribute { oid, values })
    })?;
    reader.finish()?;
    Ok(attribute)
}
