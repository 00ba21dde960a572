//! The result as a JWT: JWS compact serialization (RFC 7515, RFC 7519).

use super::{Confirmation, Ear, Error, MAX_TOKEN, PROFILE, VerifierId, VerifierKey, is_known};
use crate::appraisal::{ControlResult, NotEvaluated, TrustVector};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use touchstone_crypto::{Crypto, Signer, Verified};
use touchstone_evidence::token::jws;
use touchstone_policy::ar4si::{Dimension, Tier};

/// The claims set. Unknown claims are ignored (RFC 7519 §4).
#[derive(Serialize, Deserialize)]
struct Claims {
    eat_profile: String,
    iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(alias = "ear.verifier-id")]
    ear_verifier_id: Developer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eat_nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<Cnf>,
    submods: BTreeMap<String, Submodule>,
}

#[derive(Serialize, Deserialize)]
struct Developer {
    developer: String,
    build: String,
}

#[derive(Serialize, Deserialize)]
struct Cnf {
    jkt: String,
}

#[derive(Serialize, Deserialize)]
struct Submodule {
    #[serde(alias = "ear.status")]
    ear_status: Status,
    #[serde(default, alias = "ear.trustworthiness-vector")]
    ear_trustworthiness_vector: BTreeMap<String, i8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ear_appraisal_policy_ids: Vec<String>,
    /// As drafts before -04 name it.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "ear.appraisal-policy-id")]
    ear_appraisal_policy_id: Option<String>,
    #[serde(rename = "touchstone.tenant", default)]
    tenant: String,
    #[serde(rename = "touchstone.evidence_at", default, skip_serializing_if = "Option::is_none")]
    evidence_at: Option<u64>,
    #[serde(rename = "touchstone.controls", default)]
    controls: Vec<ControlResult>,
    #[serde(rename = "touchstone.not_evaluated", default, skip_serializing_if = "Vec::is_empty")]
    not_evaluated: Vec<NotEvaluated>,
    #[serde(rename = "touchstone.held", default, skip_serializing_if = "Option::is_none")]
    held: Option<String>,
}

/// A tier by its name, or, as draft -02 allows, by its number.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Status {
    Name(String),
    Number(i8),
}

impl Status {
    fn tier(&self) -> Option<Tier> {
        match self {
            Self::Name(name) => Tier::from_name(name),
            Self::Number(number) => Tier::ALL.into_iter().find(|tier| tier.number() == *number),
        }
    }
}

/// The claims of a result as they are signed in a JWT: the same result gives the same octets.
pub fn to_json(ear: &Ear) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&Claims::of(ear)).map_err(|_| Error::Malformed("claims"))
}

/// Signs a result as a JWT.
pub fn to_jwt(ear: &Ear, signer: &dyn Signer) -> Result<String, Error> {
    Ok(jws::sign(&to_json(ear)?, signer)?)
}

/// Checks that a JWT is a result signed by one of `keys`. Whether it is still of use is for the
/// [`Gate`](crate::Gate).
pub fn verify_jwt(
    crypto: &dyn Crypto,
    token: &str,
    keys: &[VerifierKey],
) -> Result<Verified<Ear>, Error> {
    let payload = jws::verify(crypto, token, keys, MAX_TOKEN)?;
    let claims: Claims =
        serde_json::from_slice(&payload).map_err(|_| Error::Malformed("claims"))?;
    claims.into_ear().map(Verified::vouch)
}

impl Claims {
    fn of(ear: &Ear) -> Self {
        let vector =
            ear.vector.iter().map(|(dimension, value)| (dimension.name().to_owned(), value));
        let submodule = Submodule {
            ear_status: Status::Name(ear.status.name().into()),
            ear_trustworthiness_vector: vector.collect(),
            ear_appraisal_policy_ids: vec![ear.policy_id.clone()],
            ear_appraisal_policy_id: None,
            tenant: ear.tenant.clone(),
            evidence_at: ear.evidence_at,
            controls: ear.controls.clone(),
            not_evaluated: ear.not_evaluated.clone(),
            held: ear.held.clone(),
        };
        let jkt = ear.confirmation.as_ref().and_then(|confirmation| confirmation.jkt.clone());
        Self {
            eat_profile: PROFILE.into(),
            iat: ear.issued_at,
            exp: Some(ear.expires),
            ear_verifier_id: Developer {
                developer: ear.verifier.developer.clone(),
                build: ear.verifier.build.clone(),
            },
            eat_nonce: ear.nonce.as_deref().map(Base64UrlUnpadded::encode_string),
            cnf: jkt.map(|jkt| Cnf { jkt }),
            submods: BTreeMap::from([(ear.device.clone(), submodule)]),
        }
    }

    fn into_ear(self) -> Result<Ear, Error> {
        if !is_known(&self.eat_profile) {
            return Err(Error::Profile);
        }
        let mut submods = self.submods.into_iter();
        let (Some((device, submodule)), None) = (submods.next(), submods.next()) else {
            return Err(Error::Malformed("submodules"));
        };
        let policy_id =
            match (submodule.ear_appraisal_policy_id, submodule.ear_appraisal_policy_ids) {
                (None, ids) if ids.is_empty() => String::new(),
                (Some(id), ids) if ids.is_empty() => id,
                (None, ids) => <[String; 1]>::try_from(ids)
                    .map(|[id]| id)
                    .map_err(|_| Error::Malformed("policy ids"))?,
                (Some(_), _) => return Err(Error::Malformed("policy ids")),
            };
        let mut vector = TrustVector::default();
        for (name, value) in submodule.ear_trustworthiness_vector {
            let dimension = Dimension::from_name(&name.replace('_', "-"));
            vector.set(dimension.ok_or(Error::Malformed("trustworthiness vector"))?, value);
        }
        let nonce = match self.eat_nonce {
            Some(nonce) => {
                Some(Base64UrlUnpadded::decode_vec(&nonce).map_err(|_| Error::Malformed("nonce"))?)
            }
            None => None,
        };
        Ok(Ear {
            issued_at: self.iat,
            // Nothing says until when: then it is old already.
            expires: self.exp.unwrap_or(self.iat),
            verifier: VerifierId {
                developer: self.ear_verifier_id.developer,
                build: self.ear_verifier_id.build,
            },
            nonce,
            confirmation: self.cnf.map(|cnf| Confirmation { jkt: Some(cnf.jkt), ckt: None }),
            device,
            tenant: submodule.tenant,
            evidence_at: submodule.evidence_at,
            status: submodule.ear_status.tier().ok_or(Error::Malformed("status"))?,
            vector,
            policy_id,
            controls: submodule.controls,
            not_evaluated: submodule.not_evaluated,
            held: submodule.held,
        })
    }
}
