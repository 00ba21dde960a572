//! Certificate status over HTTP (RFC 6960 Appendix A).

use crate::authority::Authority;
use crate::clock;
use crate::fleet::Fleet;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use touchstone_certs::ocsp::{REQUEST_TYPE, RESPONSE_TYPE, Request, Trouble, error_response};

/// A request about 32 certificates is far smaller.
const LARGEST: usize = 64 * 1024;

/// `/ocsp`.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new()
        .route("/ocsp", post(by_post))
        .route("/ocsp/{*request}", get(by_get))
        .layer(DefaultBodyLimit::max(LARGEST))
}

async fn by_post(
    State(fleet): State<Arc<Fleet>>,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind != REQUEST_TYPE.as_bytes()) {
        return answer(error_response(Trouble::MalformedRequest));
    }
    respond(&fleet, Request::decode(&body).ok()).await
}

async fn by_get(State(fleet): State<Arc<Fleet>>, Path(path): Path<String>) -> Response {
    respond(&fleet, Request::from_path(&path).ok()).await
}

async fn respond(fleet: &Arc<Fleet>, request: Option<Request>) -> Response {
    let Some(request) = request else { return answer(error_response(Trouble::MalformedRequest)) };
    let serials: Vec<String> =
        request.ids().iter().map(touchstone_certs::ocsp::CertId::serial).collect();
    let rows = fleet
        .store
        .call(move |db| {
            let mut rows = Vec::new();
            for serial in &serials {
                rows.extend(db.certificate(serial, clock::now())?);
            }
            Ok(rows)
        })
        .await;
    let status = rows.and_then(|rows| Authority::status(&fleet.authority, &request, &rows));
    match status {
        Ok(der) => answer(der),
        Err(error) => {
            tracing::error!(code = error.code(), %error, "no certificate status");
            answer(error_response(Trouble::InternalError))
        }
    }
}

fn answer(der: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, RESPONSE_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, der).into_response()
}
