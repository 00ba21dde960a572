//! Who asks: a bearer token on the API (RFC 6750 §2.1), a cookie on the console.

use super::problem::Refusal;
use crate::clock;
use crate::config::Role;
use crate::fleet::Fleet;
use crate::serve::Peer;
use crate::store::{NewEvent, Operator};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use std::sync::Arc;
use touchstone_audit::Code;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;

/// Tokens longer than this are nobody's.
const LONGEST_TOKEN: usize = 512;

/// The SHA-256 of a token: all that is kept of it.
pub fn token_sha256(token: &str) -> [u8; 32] {
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[token.as_bytes()]);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.as_bytes());
    sha256
}

/// An operator with a bearer token, who may look.
pub struct Viewer(pub Operator);

/// An operator with a bearer token, who may do more than look.
pub struct Hand(pub Operator);

impl FromRequestParts<Arc<Fleet>> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, fleet: &Arc<Fleet>) -> Result<Self, Refusal> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        let Some(token) = token else {
            return Err(unauthorized("a bearer token is needed"));
        };
        if let Some(operator) = operator(fleet, token).await? {
            return Ok(Self(operator));
        }
        turned_away(fleet, parts.extensions.get(), "", "the token is nobody's").await?;
        Err(unauthorized("the token is nobody's"))
    }
}

impl FromRequestParts<Arc<Fleet>> for Hand {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, fleet: &Arc<Fleet>) -> Result<Self, Refusal> {
        let Viewer(operator) = Viewer::from_request_parts(parts, fleet).await?;
        if operator.role < Role::Operator {
            let words = format!("`{}` may look and no more", operator.name);
            turned_away(fleet, parts.extensions.get(), &operator.name, &words).await?;
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "api.role",
                words,
                "use the token of an operator with the role `operator`",
            ));
        }
        Ok(Self(operator))
    }
}

/// Records that somebody logged in at the console, by their token or by a link.
pub(crate) async fn admitted(
    fleet: &Fleet,
    peer: &Peer,
    operator: &str,
    by: &str,
) -> Result<(), Refusal> {
    let words = format!("`{operator}` logged in at the console");
    let event = NewEvent::new(Code::OperatorAdmitted, format!("operator:{operator}"), words)
        .with("by", by)
        .with("address", peer.address.ip().to_string());
    Ok(fleet.store.call(move |db| db.record_event(clock::now(), &event)).await?)
}

/// Records that somebody was not let in, once a minute for each address and name.
pub(crate) async fn turned_away(
    fleet: &Fleet,
    peer: Option<&Peer>,
    operator: &str,
    why: &str,
) -> Result<(), Refusal> {
    let now = clock::now();
    let address = peer.map(|peer| peer.address.ip().to_string()).unwrap_or_default();
    if !fleet.turned_away.may_tell(&format!("{address} {operator}"), now) {
        return Ok(());
    }
    let name = if operator.is_empty() { "unknown" } else { operator };
    let words = format!("not let in from {address}: {why}");
    let event = NewEvent::new(Code::OperatorRefused, format!("operator:{name}"), words)
        .with("address", address);
    Ok(fleet.store.call(move |db| db.record_event(now, &event)).await?)
}

/// The operator of a token.
pub(crate) async fn operator(fleet: &Fleet, token: &str) -> Result<Option<Operator>, Refusal> {
    if token.is_empty() || token.len() > LONGEST_TOKEN {
        return Ok(None);
    }
    let sha256 = token_sha256(token);
    Ok(fleet.store.call(move |db| db.operator(&sha256)).await?)
}

fn unauthorized(words: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "api.unauthorized",
        words,
        "send `Authorization: Bearer <token>`; `touchstone-fleet init` says where a token is",
    )
}
