//! The result as a JWT: JWS compact serialization (RFC 7515, RFC 7519).

use super::key::Scheme;
use super::{Confirmation, Ear, Error, MAX_TOKEN, PROFILE, VerifierId, VerifierKey};
use crate::appraisal::{ControlResult, NotEvaluated, TrustVector};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use touchstone_crypto::{Crypto, Signer, Verified};
use touchstone_policy::ar4si::{Dimension, Tier};

/// JOSE header.
#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that must be understood: none is (RFC 7515 §4.1.11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// The claims set. Unknown claims are ignored (RFC 7519 §4).
#[derive(Serialize, Deserialize)]
struct Claims {
    eat_profile: String,
    iat: u64,
    exp: u64,
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
    ear_status: String,
    ear_trustworthiness_vector: BTreeMap<String, i8>,
    ear_appraisal_policy_ids: Vec<String>,
    #[serde(rename = "touchstone.tenant")]
    tenant: String,
    #[serde(rename = "touchstone.evidence_at", default, skip_serializing_if = "Option::is_none")]
    evidence_at: Option<u64>,
    #[serde(rename = "touchstone.controls")]
    controls: Vec<ControlResult>,
    #[serde(rename = "touchstone.not_evaluated", default, skip_serializing_if = "Vec::is_empty")]
    not_evaluated: Vec<NotEvaluated>,
}

/// Signs a result as a JWT.
pub fn to_jwt(ear: &Ear, signer: &dyn Signer) -> Result<String, Error> {
    let scheme = Scheme::of(signer.algorithm())?;
    let header = Header { alg: scheme.jose.into(), typ: Some("JWT".into()), crit: None };
    let part = |json: Result<Vec<u8>, serde_json::Error>| {
        json.map(|json| Base64UrlUnpadded::encode_string(&json))
            .map_err(|_| Error::Malformed("claims"))
    };
    let mut token = part(serde_json::to_vec(&header))?;
    token.push('.');
    token.push_str(&part(serde_json::to_vec(&Claims::of(ear)))?);
    let signature = signer.sign(token.as_bytes()).map_err(Error::Signer)?;
    token.push('.');
    token.push_str(&Base64UrlUnpadded::encode_string(&scheme.fixed(&signature)?));
    Ok(token)
}

/// Checks that a JWT is a result signed by one of `keys`. Whether it is still of use is for the
/// [`Gate`](crate::Gate).
pub fn verify_jwt(
    crypto: &dyn Crypto,
    token: &str,
    keys: &[VerifierKey],
) -> Result<Verified<Ear>, Error> {
    if token.len() > MAX_TOKEN {
        return Err(Error::TooLarge);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Error::Malformed("serialization"))?;
    let (header, claims) = signed.split_once('.').ok_or(Error::Malformed("serialization"))?;
    let octets =
        |part: &str, name| Base64UrlUnpadded::decode_vec(part).map_err(|_| Error::Malformed(name));
    let header: Header = serde_json::from_slice(&octets(header, "header")?)
        .map_err(|_| Error::Malformed("header"))?;
    if header.crit.is_some() {
        return Err(Error::Malformed("header"));
    }
    let signature = octets(signature, "signature")?;
    // RFC 8725 §3.1: the key says which algorithm it is for, the header only has to agree.
    let mut fitting = keys.iter().filter(|key| key.scheme().jose == header.alg).peekable();
    if fitting.peek().is_none() {
        return Err(if keys.is_empty() { Error::Signature } else { Error::Algorithm });
    }
    if !fitting.any(|key| key.verify(crypto, signed.as_bytes(), &signature).is_ok()) {
        return Err(Error::Signature);
    }
    let claims: Claims = serde_json::from_slice(&octets(claims, "claims")?)
        .map_err(|_| Error::Malformed("claims"))?;
    claims.into_ear().map(Verified::vouch)
}

impl Claims {
    fn of(ear: &Ear) -> Self {
        let vector =
            ear.vector.iter().map(|(dimension, value)| (dimension.name().to_owned(), value));
        let submodule = Submodule {
            ear_status: ear.status.name().into(),
            ear_trustworthiness_vector: vector.collect(),
            ear_appraisal_policy_ids: vec![ear.policy_id.clone()],
            tenant: ear.tenant.clone(),
            evidence_at: ear.evidence_at,
            controls: ear.controls.clone(),
            not_evaluated: ear.not_evaluated.clone(),
        };
        let jkt = ear.confirmation.as_ref().and_then(|confirmation| confirmation.jkt.clone());
        Self {
            eat_profile: PROFILE.into(),
            iat: ear.issued_at,
            exp: ear.expires,
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
        if self.eat_profile != PROFILE {
            return Err(Error::Profile);
        }
        let mut submods = self.submods.into_iter();
        let (Some((device, submodule)), None) = (submods.next(), submods.next()) else {
            return Err(Error::Malformed("submodules"));
        };
        let [policy_id] = <[String; 1]>::try_from(submodule.ear_appraisal_policy_ids)
            .map_err(|_| Error::Malformed("policy ids"))?;
        let mut vector = TrustVector::default();
        for (name, value) in submodule.ear_trustworthiness_vector {
            let dimension = Dimension::from_name(&name);
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
            expires: self.exp,
            verifier: VerifierId {
                developer: self.ear_verifier_id.developer,
                build: self.ear_verifier_id.build,
            },
            nonce,
            confirmation: self.cnf.map(|cnf| Confirmation { jkt: Some(cnf.jkt), ckt: None }),
            device,
            tenant: submodule.tenant,
            evidence_at: submodule.evidence_at,
            status: Tier::from_name(&submodule.ear_status).ok_or(Error::Malformed("status"))?,
            vector,
            policy_id,
            controls: submodule.controls,
            not_evaluated: submodule.not_evaluated,
        })
    }
}
