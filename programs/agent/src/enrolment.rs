//! The LDevID: a key in the element, certified by the attestation key, and the fleet's certificate
//! for it by EST (RFC 7030).

use crate::fleet::{self, Client};
use crate::keys::{self, Keys, LAK, Ldevid};
use crate::offloop::off_loop;
use hyper::Method;
use touchstone_certs::{Certificate, Name, request};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::Attesting;
use touchstone_enroll::est::{self, Operation};
use touchstone_enroll::{AttestedRequest, TpmCertify};
use touchstone_evidence::endorse::ldevid_binding;

/// Octets of an EST answer.
const LARGEST: usize = 64 << 10;

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The fleet could not be asked, or said no.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// A key can not be used.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The request can not be made, or the answer is not understood.
    #[error("the certificate request or its answer: {0}")]
    Est(#[from] touchstone_enroll::Error),
}

impl Error {
    /// The stable code of this error: the fleet's own where it said no.
    pub fn code(&self) -> &str {
        match self {
            Self::Fleet(fleet::Error::Refused { code, .. }) => code,
            Self::Fleet(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Est(error) => error.code(),
        }
    }

    /// Whether the fleet was not there at all.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fleet(error) if error.is_unreachable())
    }
}

/// A certificate for a new key. The client must show the IDevID, and the verdict be affirming.
pub async fn enroll(client: &mut Client, keys: &Keys, device: &str) -> Result<Ldevid, Error> {
    let (name, request) = {
        let (keys, device) = (keys.clone(), device.to_owned());
        off_loop(move || new_request(&keys, &device)).await?
    };
    obtain(client, keys, Operation::SimpleEnroll, name, request).await
}

/// A new certificate for the same key. The client must show the certificate that is renewed.
pub async fn renew(
    client: &mut Client,
    keys: &Keys,
    device: &str,
    ldevid: &Ldevid,
) -> Result<Ldevid, Error> {
    let (keys_there, device, key) = (keys.clone(), device.to_owned(), ldevid.key.clone());
    let request = off_loop(move || {
        let signer = keys_there.signer(&key)?;
        let subject = subject(&device)?;
        Ok::<_, Error>(
            request::build(&subject, &[], &[], &signer).map_err(touchstone_enroll::Error::from)?,
        )
    })
    .await?;
    obtain(client, keys, Operation::SimpleReenroll, ldevid.key.clone(), request).await
}

fn subject(device: &str) -> Result<Name, Error> {
    Ok(Name::common_name(device).map_err(touchstone_enroll::Error::from)?)
}

fn new_request(keys: &Keys, device: &str) -> Result<(String, Vec<u8>), Error> {
    let (name, key) = keys.fresh_key()?;
    let certified = keys
        .tpm()?
        .certify(&name, LAK, &ldevid_binding(&AwsLc, device))
        .map_err(keys::Error::Element)?;
    let certify =
        TpmCertify { attest: certified.attest, signature: certified.signature, public: key.native };
    let signer = keys.signer(&name)?;
    let request = AttestedRequest::build(&subject(device)?, &[], &certify, &[], &signer)?;
    Ok((name, request))
}

async fn obtain(
    client: &mut Client,
    keys: &Keys,
    operation: Operation,
    key: String,
    request: Vec<u8>,
) -> Result<Ldevid, Error> {
    let body = est::encode_request(&request).into_bytes();
    let path = operation.path();
    let answer = client
        .request(Method::POST, &path, Some(est::REQUEST_TYPE), body, LARGEST)
        .await?
        .good("a certificate")?;
    let spki = {
        let (keys, key) = (keys.clone(), key.clone());
        off_loop(move || keys.signer(&key)).await?
    };
    let spki = touchstone_crypto::Signer::spki_der(&spki);
    let leaf = est::decode_enrolled(answer.content_type(), &answer.body, spki)?;
    let chain = with_issuers(client, leaf).await?;
    let keys = keys.clone();
    Ok(off_loop(move || keys.keep(&key, &chain)).await?)
}

/// The certificate with its issuers below the root: a peer that trusts the root needs them.
async fn with_issuers(client: &mut Client, leaf: Certificate) -> Result<Vec<Certificate>, Error> {
    let path = Operation::CaCerts.path();
    let answer = client.request(Method::GET, &path, None, Vec::new(), LARGEST).await?;
    let answer = answer.good("the CA's certificates")?;
    let authorities = est::decode_certs(answer.content_type(), &answer.body)?;
    let mut chain = vec![leaf];
    // At most as many steps as there are certificates, so that no circle goes on for ever.
    for _ in 0..authorities.len() {
        let Some(last) = chain.last() else { break };
        let issuer = authorities.iter().find(|authority| {
            authority.subject_der() == last.issuer_der()
                && authority.subject_der() != authority.issuer_der()
        });
        match issuer {
            Some(issuer) if !chain.contains(issuer) => chain.push(issuer.clone()),
            _ => break,
        }
    }
    Ok(chain)
}
