//! CRLs and the CAs' certificates over HTTP (RFC 5280 §4.2.1.13, RFC 2585).

use super::ocsp::http_date;
use crate::authority::sha256_hex;
use crate::clock;
use crate::fleet::Fleet;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// `/crl/NAME.crl` and `/ca/NAME.cer`.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new().route("/crl/{file}", get(crl)).route("/ca/{file}", get(certificate))
}

async fn crl(
    State(fleet): State<Arc<Fleet>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(list) = fleet.authority.crl(&file).filter(|list| list.until > clock::now()) else {
        return missing();
    };
    // Until there is a newer one, not until it is over: a revocation is not to wait for that.
    let age = list.next.saturating_sub(clock::now());
    answer(&headers, &list.octets, "application/pkix-crl", list.from, age, list.until)
}

async fn certificate(
    State(fleet): State<Arc<Fleet>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    let name = file.strip_suffix(".cer").unwrap_or_default();
    let Some(ca) = fleet.authority.certificate_of(name) else { return missing() };
    let (from, day) = (ca.not_before(), 86400);
    let until = clock::now().saturating_add(day);
    answer(&headers, ca.der(), "application/pkix-cert", from, day, until)
}

fn answer(
    asked: &HeaderMap,
    octets: &[u8],
    kind: &'static str,
    from: u64,
    age: u64,
    until: u64,
) -> Response {
    let tag = format!("\"{}\"", sha256_hex(octets));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CACHE_CONTROL, format!("max-age={age}, public, no-transform, must-revalidate")),
        (header::ETAG, tag.clone()),
        (header::LAST_MODIFIED, http_date(from)),
        (header::EXPIRES, http_date(until)),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    let known = asked.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    (headers, octets.to_vec()).into_response()
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "no such list or certificate here\n").into_response()
}
