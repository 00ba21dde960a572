//! Certificate status over HTTP (RFC 6960 Appendix A, RFC 5019 §5 and §6).

use crate::authority::{Status, sha256_hex};
use crate::clock;
use crate::fleet::Fleet;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use touchstone_certs::ocsp::{REQUEST_TYPE, RESPONSE_TYPE, Request, Trouble, error_response};

/// A request about 32 certificates is far smaller.
const LARGEST: usize = 64 * 1024;

/// `/ocsp`.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new()
        .route("/ocsp", post(by_post))
        .route("/ocsp/", post(by_post))
        .route("/ocsp/{*request}", get(by_get))
        .layer(DefaultBodyLimit::max(LARGEST))
}

async fn by_post(State(fleet): State<Arc<Fleet>>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(REQUEST_TYPE)) {
        return trouble(Trouble::MalformedRequest);
    }
    match answer(&fleet, Request::decode(&body).ok()).await {
        Ok(status) => (kinds(), status.octets.to_vec()).into_response(),
        Err(trouble) => trouble,
    }
}

/// The path is taken as it came: base64 has slashes in it, and clients differ in what they escape.
async fn by_get(State(fleet): State<Arc<Fleet>>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().strip_prefix("/ocsp/").unwrap_or_default();
    match answer(&fleet, Request::from_path(path).ok()).await {
        Ok(status) => cached(&status, &headers),
        Err(trouble) => trouble,
    }
}

async fn answer(fleet: &Arc<Fleet>, request: Option<Request>) -> Result<Status, Response> {
    let Some(request) = request else { return Err(trouble(Trouble::MalformedRequest)) };
    match fleet.authority.status(&fleet.store, &request).await {
        Ok(Some(status)) => Ok(status),
        // RFC 5019 §2.2.3: not ours to say, and nothing that a signature is wasted on.
        Ok(None) => Err(trouble(Trouble::Unauthorized)),
        Err(error) => {
            tracing::error!(code = error.code(), %error, "no certificate status");
            let busy = error.is_passing();
            Err(trouble(if busy { Trouble::TryLater } else { Trouble::InternalError }))
        }
    }
}

/// RFC 5019 §6.2: a cache may keep it as long as it holds, and answers to a nonce nobody keeps.
fn cached(status: &Status, asked: &HeaderMap) -> Response {
    if status.once {
        return (kinds(), status.octets.to_vec()).into_response();
    }
    let tag = format!("\"{}\"", sha256_hex(&status.octets));
    let left = status.until.saturating_sub(clock::now());
    let mut headers = HeaderMap::new();
    let control = format!("max-age={left}, public, no-transform, must-revalidate");
    for (name, value) in [
        (header::CACHE_CONTROL, control),
        (header::ETAG, tag.clone()),
        (header::LAST_MODIFIED, http_date(status.from)),
        (header::EXPIRES, http_date(status.until)),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    let same =
        asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    if same {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(RESPONSE_TYPE));
    (headers, status.octets.to_vec()).into_response()
}

fn kinds() -> [(header::HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, RESPONSE_TYPE), (header::CACHE_CONTROL, "no-store")]
}

fn trouble(trouble: Trouble) -> Response {
    (kinds(), error_response(trouble)).into_response()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub(super) fn http_date(at: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at));
    let at = at.and_then(|at| jiff::Timestamp::try_from(at).ok()).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
