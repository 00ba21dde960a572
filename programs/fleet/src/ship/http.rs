//! Requests over HTTP/1.1: OTLP/HTTP and Splunk's HTTP Event Collector. Each request is answered, and
//! the answer says what became of its entries.

use super::route::Connection;
use super::{Outcome, within};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::task::JoinHandle;
use touchstone_audit::Entry;
use touchstone_crypto_awslc::AwsLc;
use zeroize::Zeroizing;

/// Octets of an answer.
const ANSWER: usize = 64 * 1024;
/// How often, and how many times, an indexer is asked whether it has what was sent.
const ASK_EVERY: Duration = Duration::from_millis(500);
const ASK_TIMES: u32 = 120;

pub(super) struct Http {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
    host: String,
    path: String,
    authorization: Option<Zeroizing<String>>,
    /// Splunk's channel: the acknowledgements of one sender.
    channel: String,
    /// Whether the collector took anything on this connection.
    took: bool,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What an answer says of the entries of its request.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// They are taken.
    Taken,
    /// Taken, if the indexer says so under that number.
    Pending(u64),
    /// All but some, which must not be sent again.
    Partly(String),
    /// They will never be taken together like this.
    Never(String),
    /// Not now.
    Later(String),
}

type Delivery<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;
type Encode<'a> = dyn Fn(&[Entry]) -> String + Sync + 'a;

impl Http {
    pub(super) async fn open(
        io: Connection,
        host: &str,
        path: &str,
        authorization: Option<Zeroizing<String>>,
    ) -> io::Result<Self> {
        let (sender, connection) =
            within(async { http1::handshake(TokioIo::new(io)).await.map_err(io::Error::other) })
                .await?;
        let mut octets = [0; 16];
        touchstone_crypto::Crypto::random(&AwsLc, &mut octets).map_err(io::Error::other)?;
        let digits = format!("{:032x}", u128::from_be_bytes(octets));
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        let channel = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
        let (host, path) = (host.to_owned(), path.to_owned());
        let driver = tokio::spawn(connection);
        Ok(Self { sender, driver, host, path, authorization, channel, took: false })
    }

    /// Delivers a page. A collector that refuses all of it and took nothing before refuses us, and not
    /// these entries: nothing is passed over then.
    pub(super) async fn deliver_page(
        &mut self,
        page: &[Entry],
        encode: &Encode<'_>,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let delivered = self.deliver(page, encode, outcome).await;
        self.took |= outcome.taken > outcome.refused.len();
        if self.took {
            return delivered;
        }
        let refused = std::mem::take(outcome).refused.pop();
        delivered?;
        let why = refused.map_or_else(String::new, |(_, why)| why);
        Err(io::Error::other(format!("the collector takes nothing at all: {why}")))
    }

    /// Delivers entries; those of a request that is refused for good are tried in halves, until what
    /// is refused stands alone.
    fn deliver<'a>(
        &'a mut self,
        page: &'a [Entry],
        encode: &'a Encode<'a>,
        outcome: &'a mut Outcome,
    ) -> Delivery<'a> {
        Box::pin(async move {
            let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(()) };
            let path = self.path.clone();
            let (status, body) = self.post(&path, encode(page)).await?;
            match verdict(status, &body) {
                Verdict::Taken => outcome.taken += page.len(),
                Verdict::Pending(number) => {
                    self.indexed(number).await?;
                    outcome.taken += page.len();
                }
                Verdict::Partly(why) => {
                    outcome.taken += page.len();
                    let why = format!("{why} (some of entries {} to {})", first.seq, last.seq);
                    outcome.refused.push((first.seq, why));
                }
                Verdict::Never(why) if page.len() == 1 => {
                    outcome.taken += 1;
                    outcome.refused.push((first.seq, why));
                }
                Verdict::Never(_) => {
                    let (one, other) = page.split_at(page.len() / 2);
                    self.deliver(one, encode, &mut *outcome).await?;
                    self.deliver(other, encode, outcome).await?;
                }
                Verdict::Later(why) => return Err(io::Error::other(why)),
            }
            Ok(())
        })
    }

    /// Waits until the indexer has what it acknowledged under that number.
    async fn indexed(&mut self, number: u64) -> io::Result<()> {
        let path = format!("/services/collector/ack?channel={}", self.channel);
        for _ in 0..ASK_TIMES {
            let (status, body) = self.post(&path, json!({ "acks": [number] }).to_string()).await?;
            if status != StatusCode::OK {
                return Err(io::Error::other(format!("the indexer answered {status}")));
            }
            if body.pointer(&format!("/acks/{number}")) == Some(&Value::Bool(true)) {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    async fn post(&mut self, path: &str, body: String) -> io::Result<(StatusCode, Value)> {
        let mut request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request
                .header(header::AUTHORIZATION, authorization.as_str())
                .header("X-Splunk-Request-Channel", &self.channel);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
        within(async {
            self.sender.ready().await.map_err(io::Error::other)?;
            let answer = self.sender.send_request(request).await.map_err(io::Error::other)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        })
        .await
    }
}

fn verdict(status: StatusCode, body: &Value) -> Verdict {
    let said = |path: &str| {
        let text = body.pointer(path).and_then(Value::as_str).unwrap_or_default();
        text.chars().filter(|c| !c.is_control()).take(200).collect::<String>()
    };
    if status.is_success() {
        if let Some(number) = body.get("ackId").and_then(Value::as_u64) {
            return Verdict::Pending(number);
        }
        // OTLP: a number of 64 bits is a string in JSON; what was rejected must not be sent again.
        let rejected = body.pointer("/partialSuccess/rejectedLogRecords");
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let rejected = rejected.and_then(number).unwrap_or(0);
        if rejected > 0 {
            let why = said("/partialSuccess/errorMessage");
            return Verdict::Partly(format!("{rejected} rejected: {why}"));
        }
        return Verdict::Taken;
    }
    let text = said("/text") + &said("/message");
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Verdict::Never(format!("{status} {text}")),
        // A token that is wrong or a path that is not there can be put right; nothing is lost until then.
        _ => Verdict::Later(format!("the collector answered {status} {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_became_of_the_entries() {
        let of = |status: u16, body: Value| verdict(StatusCode::from_u16(status).unwrap(), &body);
        assert_eq!(of(200, json!({})), Verdict::Taken);
        assert_eq!(of(200, Value::Null), Verdict::Taken);
        assert_eq!(of(200, json!({ "partialSuccess": null })), Verdict::Taken);
        assert_eq!(of(200, json!({ "text": "Success", "code": 0 })), Verdict::Taken);
        assert_eq!(of(200, json!({ "code": 0, "ackId": 7 })), Verdict::Pending(7));
        for rejected in [json!("3"), json!(3)] {
            let partial = json!({ "partialSuccess": { "rejectedLogRecords": rejected, "errorMessage": "no\u{1b}" } });
            assert_eq!(of(200, partial), Verdict::Partly("3 rejected: no".into()));
        }
        assert!(matches!(of(400, json!({ "message": "bad" })), Verdict::Never(_)));
        assert!(matches!(of(413, Value::Null), Verdict::Never(_)));
        for status in [301, 401, 403, 404, 408, 429, 500, 502, 503, 504] {
            assert!(matches!(of(status, Value::Null), Verdict::Later(_)), "{status}");
        }
    }
}
