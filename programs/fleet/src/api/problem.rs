//! Answers that say no, in JSON: code, words, next step.

use super::types::{Body, Named, Problem};
use crate::Error;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A request that is not answered as asked.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    problem: Problem,
}

impl Refusal {
    /// A refusal with its stable code, words, and the next step.
    pub fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let problem = Problem { code: code.into(), message: message.into(), next: next.into() };
        Self { status, problem }
    }

    /// Nothing of that name.
    pub fn unknown(what: &str, name: &str) -> Self {
        let words = format!("no {what} named `{name}`");
        Self::new(StatusCode::NOT_FOUND, "api.unknown", words, format!("list every {what} first"))
    }

    /// The status, for tests and logs.
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = error.code();
        match &error {
            Error::Unknown { .. } => {
                Self::new(StatusCode::NOT_FOUND, code, error.to_string(), "list what there is")
            }
            Error::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, code, error.to_string(), "ask an operator")
            }
            Error::DatabaseAway { .. } | Error::DatabaseReadOnly { .. } => {
                // Where the server is, is nobody's business out there.
                tracing::warn!(code, %error, "request put off");
                let words = "the fleet's database is away";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, words, "try again in a moment")
            }
            Error::Closed => {
                let words = error.to_string();
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, words, "try again in a moment")
            }
            _ => {
                // The words may name files of this machine: they stay in the log.
                tracing::error!(code, %error, "request failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    code,
                    "the fleet could not do it",
                    "read the fleet's log",
                )
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry = self.status == StatusCode::SERVICE_UNAVAILABLE;
        let mut response = json_bytes(self.status, Named::new(self.problem).to_vec());
        if retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// A good answer.
pub struct Good<T>(pub T);

impl<T: Body> IntoResponse for Good<T> {
    fn into_response(self) -> Response {
        json_bytes(StatusCode::OK, Named::new(self.0).to_vec())
    }
}

fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, kind, body).into_response()
}
