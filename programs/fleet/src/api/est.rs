//! Enrolment over Secure Transport (RFC 7030): cacerts, simpleenroll, simplereenroll.

use crate::authority::DEVICE;
use crate::fleet::Fleet;
use crate::judge::NotIssued;
use crate::serve::Peer;
use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_enroll::est;

/// Octets of a request; a request with a TPM's statement has about 2 KiB.
const LARGEST: usize = 64 * 1024;
/// Where a refusal's stable code stands.
const CODE: HeaderName = HeaderName::from_static("touchstone-code");
const ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// `/.well-known/est`.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/simpleenroll", post(enroll))
        .route("/.well-known/est/simplereenroll", post(reenroll))
        .route("/.well-known/est/{label}/cacerts", get(cacerts))
        .route("/.well-known/est/{label}/simpleenroll", post(enroll_by))
        .route("/.well-known/est/{label}/simplereenroll", post(reenroll_by))
}

/// RFC 7030 §4.1.
async fn cacerts(State(fleet): State<Arc<Fleet>>) -> Response {
    certs(&fleet.authority.certificates(), est::CERTS_TYPE)
}

/// RFC 7030 §4.2.1.
async fn enroll(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    certify(&fleet, &peer, request, DEVICE, false).await
}

/// RFC 7030 §4.2.2.
async fn reenroll(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    certify(&fleet, &peer, request, DEVICE, true).await
}

/// RFC 7030 §3.2.2: the label is the profile.
async fn enroll_by(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    Path(label): Path<String>,
    request: Request,
) -> Response {
    certify(&fleet, &peer, request, &label, false).await
}

async fn reenroll_by(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    Path(label): Path<String>,
    request: Request,
) -> Response {
    certify(&fleet, &peer, request, &label, true).await
}

async fn certify(
    fleet: &Arc<Fleet>,
    peer: &Peer,
    request: Request,
    profile: &str,
    again: bool,
) -> Response {
    let headers = request.headers().clone();
    let body = match fleet.bodies.read(request, LARGEST).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let issued = match decode(&headers, &body) {
        // Once begun it is finished, even if the client goes away: what is recorded was issued.
        Ok(request) => {
            let (judge, peer) = (Arc::clone(&fleet.judge), peer.clone());
            let profile = profile.to_owned();
            let work =
                tokio::spawn(
                    async move { judge.certify_by(&profile, &peer, request, again).await },
                );
            work.await.unwrap_or(Err(NotIssued::Failed))
        }
        Err(error) => Err(NotIssued::Malformed { code: error.code(), text: error.to_string() }),
    };
    match issued {
        Ok(certificate) => certs(&[certificate], est::ENROLLED_TYPE),
        Err(why) => refuse(why),
    }
}

/// Some clients send DER as it is, without base64.
fn decode(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<CertificateRequest, touchstone_enroll::Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    let is_request = kind.split(';').next().is_some_and(|kind| kind.trim() == est::REQUEST_TYPE);
    if is_request && body.first() == Some(&0x30) {
        return Ok(CertificateRequest::decode(body)?);
    }
    est::decode_request(kind, body)
}

fn certs(certificates: &[Certificate], kind: &'static str) -> Response {
    match est::encode_certs(certificates) {
        Ok(body) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                (ENCODING, HeaderValue::from_static(est::TRANSFER_ENCODING)),
            ];
            (headers, body).into_response()
        }
        Err(error) => {
            tracing::error!(code = error.code(), %error, "certificates could not be encoded");
            refuse(NotIssued::Failed)
        }
    }
}

/// RFC 7030 §4.2.3: an error's words are `text/plain`.
fn refuse(why: NotIssued) -> Response {
    let (status, code, text) = match why {
        NotIssued::NoCertificate => (
            StatusCode::UNAUTHORIZED,
            "est.certificate.none",
            "enrolment needs a client certificate: the device's IDevID".to_owned(),
        ),
        NotIssued::Malformed { code, text } => (StatusCode::BAD_REQUEST, code, text),
        NotIssued::Judged { code, text } => (StatusCode::FORBIDDEN, code, text),
        NotIssued::Failed => (
            StatusCode::SERVICE_UNAVAILABLE,
            "fleet.failed",
            "the fleet could not do it; try again in a moment".to_owned(),
        ),
    };
    tracing::info!(%status, code, text, "no certificate");
    let headers = [
        (CODE, HeaderValue::from_static(code)),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
    ];
    (status, headers, format!("{text}\n")).into_response()
}
