//! SCEP over HTTP (RFC 8894 §4): one request, one answer, bounded in size and time.

use crate::answer::Failure;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use std::fmt::Display;
use std::time::Duration;
use tokio::net::TcpStream;
use touchstone_enroll::scep::{MESSAGE_TYPE, Operation};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Octets of an answer.
const LIMIT: usize = 1 << 20;

/// Where a SCEP server is.
pub(super) struct Url {
    host: String,
    port: u16,
    authority: String,
    path: String,
    ca_id: String,
}

impl Url {
    pub(super) fn parse(url: &str, ca_id: Option<&str>) -> Result<Self, Failure> {
        let form = "write http://HOST[:PORT]/PATH";
        let uri: Uri =
            url.parse().map_err(|error| Failure::usage(format!("`{url}`: {error}"), form))?;
        let authority = uri.authority().filter(|it| !it.as_str().contains('@'));
        let (Some("http"), Some(authority), None) = (uri.scheme_str(), authority, uri.query())
        else {
            return Err(Failure::usage(format!("`{url}` is no address of a SCEP server"), form));
        };
        let plain =
            |it: &&str| it.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        let ca_id = match ca_id {
            Some(name) => Some(name).filter(plain).ok_or_else(|| {
                Failure::usage("a CA's name has letters, digits, - _ .", "give --ca-id otherwise")
            })?,
            None => "",
        };
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            path: uri.path().to_owned(),
            ca_id: ca_id.to_owned(),
        })
    }

    pub(super) fn get(&self, operation: Operation) -> Result<Bytes, Failure> {
        self.exchange(Method::GET, operation, Vec::new())
    }

    pub(super) fn post(&self, message: Vec<u8>) -> Result<Bytes, Failure> {
        self.exchange(Method::POST, Operation::PkiOperation, message)
    }

    fn exchange(
        &self,
        method: Method,
        operation: Operation,
        body: Vec<u8>,
    ) -> Result<Bytes, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::unknown("touchstone.platform", error, "try again"))?;
        let answer = self.send(method, operation, body);
        runtime.block_on(async {
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            answer.unwrap_or_else(|_| Err(self.failed("it did not answer within 60 s")))
        })
    }

    async fn send(
        &self,
        method: Method,
        operation: Operation,
        body: Vec<u8>,
    ) -> Result<Bytes, Failure> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| self.failed(error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(error))?;
        let driver = tokio::spawn(connection);
        let message = if self.ca_id.is_empty() || operation == Operation::PkiOperation {
            String::new()
        } else {
            format!("&message={}", self.ca_id)
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}?operation={}{message}", self.path, operation.name()))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, MESSAGE_TYPE)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.failed(error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.failed(error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LIMIT).collect().await;
        driver.abort();
        let body = body.map_err(|error| self.failed(error))?.to_bytes();
        // Redirects are not followed: nobody said that the other one may be trusted as much.
        if status == StatusCode::OK { Ok(body) } else { Err(self.failed(status)) }
    }

    fn failed(&self, why: impl Display) -> Failure {
        let message = format!("no answer from the SCEP server at {}: {why}", self.authority);
        Failure::unknown("touchstone.scep.unreachable", message, "check --url")
    }
}
