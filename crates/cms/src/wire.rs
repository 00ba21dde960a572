//! The structures, as they are encoded. Those of the `cms` crate, except `SignedData`: here the
//! certificates stay the octets that came, so that a strange one is not changed by passing through.

use crate::{Error, MOST_CERTIFICATES, MOST_OCTETS};
use alloc::vec::Vec;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignerInfo};
use const_oid::db::rfc5911;
use der::asn1::{Any, OctetStringRef, SetOfVec};
use der::{Decode, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;
use touchstone_certs::Certificate;

/// RFC 5652 §5.1.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(crate) struct SignedData {
    pub(crate) version: CmsVersion,
    pub(crate) digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    pub(crate) content: EncapsulatedContentInfo,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(crate) certificates: Option<SetOfVec<Any>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(crate) crls: Option<SetOfVec<Any>>,
    pub(crate) signer_infos: SetOfVec<SignerInfo>,
}

pub(crate) fn decode(der: &[u8]) -> Result<SignedData, Error> {
    if der.len() > MOST_OCTETS {
        return Err(Error::malformed("length"));
    }
    let info = ContentInfo::from_der(der).map_err(Error::der("ContentInfo"))?;
    if info.content_type != rfc5911::ID_SIGNED_DATA {
        return Err(Error::malformed("content type (not signedData)"));
    }
    info.content.decode_as().map_err(Error::der("SignedData"))
}

pub(crate) fn encode(data: &SignedData) -> Result<Vec<u8>, Error> {
    let failed = Error::der("SignedData");
    let content = Any::encode_from(data).map_err(&failed)?;
    ContentInfo { content_type: rfc5911::ID_SIGNED_DATA, content }.to_der().map_err(failed)
}

pub(crate) fn content(data: &SignedData) -> Result<Option<Vec<u8>>, Error> {
    let Some(any) = &data.content.econtent else { return Ok(None) };
    let octets: &OctetStringRef = any.decode_as().map_err(Error::der("eContent"))?;
    Ok(Some(octets.as_bytes().to_vec()))
}

pub(crate) fn certificates(data: &SignedData) -> Result<Vec<Certificate>, Error> {
    let Some(set) = &data.certificates else { return Ok(Vec::new()) };
    if set.len() > MOST_CERTIFICATES {
        return Err(Error::malformed("certificates"));
    }
    set.iter()
        .map(|any| {
            let der = any.to_der().map_err(Error::der("certificates"))?;
            Ok(Certificate::decode(&der)?)
        })
        .collect()
}
