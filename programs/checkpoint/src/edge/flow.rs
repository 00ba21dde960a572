//! One peer: HTTP/1.1 `CONNECT` (RFC 9110 §9.3.6), and the flow after it.

use super::{Edge, unix};
use crate::book::FlowId;
use crate::event::Event;
use crate::refusal::Refusal;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use touchstone_audit::Code;

/// The header with the EAR, as a JWT.
const ATTESTATION_RESULT: HeaderName = HeaderName::from_static("attestation-result");

/// A request with its result fits; more is not read.
const LARGEST_REQUEST: usize = 64 << 10;

/// So long the destination may take to answer.
const DIAL: Duration = Duration::from_secs(5);

type Answer = Response<Full<Bytes>>;

pub(super) async fn serve(
    edge: Edge,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    spki: Option<Vec<u8>>,
    patience: Duration,
) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let (edge, spki) = (edge.clone(), spki.clone());
        async move { Ok::<_, Infallible>(answer(edge, request, peer, spki).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(LARGEST_REQUEST)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
}

async fn answer(
    edge: Edge,
    request: Request<Incoming>,
    peer: SocketAddr,
    spki: Option<Vec<u8>>,
) -> Answer {
    let route = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    match open(&edge, &request, &route, spki.as_deref()).await {
        Ok(opened) => {
            let told = Told { flow: opened.id, device: opened.device.clone(), route, peer };
            told.tell("admitted", "checkpoint.admitted", "affirming and fresh", None);
            edge.tell_flow(Code::FlowAdmitted, &told, "checkpoint.admitted", "affirming and fresh");
            tokio::spawn(carry(edge, request, opened, told));
            Response::new(Full::default())
        }
        Err(refusal) => {
            *edge.lock().counters.refused.entry(refusal.code()).or_default() += 1;
            let mut event = Event::of(unix(), "refused", &refusal);
            event.route = Some(&route);
            event.peer = Some(peer.to_string());
            event.write();
            edge.tell_refused(&refusal, &route, peer);
            problem(&refusal)
        }
    }
}

/// A flow that was admitted and whose destination answers.
struct Opened {
    id: FlowId,
    device: String,
    destination: TcpStream,
    cut: oneshot::Receiver<Refusal>,
}

async fn open(
    edge: &Edge,
    request: &Request<Incoming>,
    route: &str,
    spki: Option<&[u8]>,
) -> Result<Opened, Refusal> {
    if request.method() != Method::CONNECT {
        return Err(Refusal::Method);
    }
    let to = edge.0.routes.get(route).ok_or_else(|| Refusal::Route(short(route)))?;
    let spki = spki.ok_or(Refusal::PeerCertificate)?;
    let token = request.headers().get(ATTESTATION_RESULT).and_then(|value| value.to_str().ok());
    let (id, device, cut) = admit(edge, route, token, spki)?;
    let dialled = tokio::time::timeout(DIAL, TcpStream::connect(to)).await;
    let unreachable = match dialled {
        Ok(Ok(destination)) => {
            // Small messages must not wait for others.
            let _ = destination.set_nodelay(true);
            return Ok(Opened { id, device, destination, cut });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {DIAL:?}"),
    };
    let mut inner = edge.lock();
    inner.book.close(id);
    inner.cuts.remove(&id);
    Err(Refusal::Unreachable(unreachable))
}

fn admit(
    edge: &Edge,
    route: &str,
    token: Option<&str>,
    spki: &[u8],
) -> Result<(FlowId, String, oneshot::Receiver<Refusal>), Refusal> {
    let now = edge.now();
    let mut inner = edge.lock();
    let id = inner.book.admit(now, route, token, spki)?;
    let device = inner.book.flows().get(&id).map(|flow| flow.device.clone()).unwrap_or_default();
    let (send, cut) = oneshot::channel();
    inner.cuts.insert(id, send);
    inner.counters.admitted += 1;
    Ok((id, device, cut))
}

/// Carries octets both ways until one end closes or the book cuts.
async fn carry(edge: Edge, request: Request<Incoming>, opened: Opened, told: Told) {
    let Opened { id, mut destination, cut, .. } = opened;
    let ended = tokio::select! {
        biased;
        cut = cut => cut.map_err(|_| "the checkpoint stops".to_owned()),
        ended = async {
            let device: Upgraded = hyper::upgrade::on(request).await.map_err(|e| e.to_string())?;
            copy_bidirectional(&mut TokioIo::new(device), &mut destination)
                .await
                .map_err(|error| error.to_string())
        } => {
            edge.forget(id);
            match ended {
                Ok(octets) => told.tell("closed", "checkpoint.closed", "closed by an end", Some(octets)),
                Err(error) => told.tell("closed", "checkpoint.broken", &error, None),
            }
            return;
        }
    };
    match ended {
        Ok(refusal) => {
            told.tell("cut", refusal.code(), &refusal.to_string(), None);
            edge.tell_flow(Code::FlowCut, &told, refusal.code(), &refusal.to_string());
        }
        Err(stopping) => told.tell("closed", "checkpoint.stopping", &stopping, None),
    }
}

impl Edge {
    fn tell_flow(&self, code: Code, told: &Told, reason_code: &str, why: &str) {
        let subject = format!("device:{}", told.device);
        self.0.trail.tell(code, &subject, |event| {
            event
                .with("reason_code", reason_code)
                .with("why", why)
                .with("route", &told.route)
                .with("peer", told.peer)
                .with("flow", told.flow)
        });
    }

    /// Who it was is known to nobody: the result or its key did not prove it.
    fn tell_refused(&self, refusal: &Refusal, route: &str, peer: SocketAddr) {
        self.0.trail.tell(Code::FlowRefused, "checkpoint", |event| {
            event
                .with("reason_code", refusal.code())
                .with("why", refusal)
                .with("route", short(route))
                .with("peer", peer)
        });
    }

    fn forget(&self, id: FlowId) {
        let mut inner = self.lock();
        inner.book.close(id);
        inner.cuts.remove(&id);
    }
}

/// What every line about a flow says.
struct Told {
    flow: FlowId,
    device: String,
    route: String,
    peer: SocketAddr,
}

impl Told {
    fn tell(&self, event: &'static str, code: &str, reason: &str, octets: Option<(u64, u64)>) {
        let mut line = Event::new(unix(), event, code, &reason);
        line.device = Some(&self.device);
        line.route = Some(&self.route);
        line.peer = Some(self.peer.to_string());
        line.flow = Some(self.flow);
        line.octets = octets;
        line.write();
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    schema: &'static str,
    code: &'a str,
    message: String,
    next: &'a str,
}

fn problem(refusal: &Refusal) -> Answer {
    let (code, next) = (refusal.code(), refusal.next());
    let problem =
        Problem { schema: "touchstone.problem/1", code, message: refusal.to_string(), next };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A stranger's text, as much of it as is repeated in a log.
fn short(text: &str) -> String {
    text.chars().take(128).collect()
}
