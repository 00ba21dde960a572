//! `GET /status`, on loopback.

use super::{Counters, Edge};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpListener;

/// So many flows are shown one by one.
const SHOWN: usize = 256;

#[derive(Serialize)]
struct Status {
    schema: &'static str,
    feed: Feed,
    open: usize,
    flows: Vec<Flow>,
    counters: Counters,
}

#[derive(Serialize)]
struct Feed {
    state: &'static str,
    seq: u64,
    silent_ms: Option<u64>,
}

#[derive(Serialize)]
struct Flow {
    id: u64,
    device: String,
    route: String,
    until: u64,
}

/// Answers for as long as the listener lives.
pub async fn serve_status(edge: Edge, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let edge = edge.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(&edge, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            // Whoever asked has gone away: nobody is left to tell.
            drop(served);
        });
    }
}

fn answer(edge: &Edge, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    if (request.method(), request.uri().path()) != (&Method::GET, "/status") {
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return answer;
    }
    let body = serde_json::to_vec(&status(edge)).unwrap_or_default();
    *answer.body_mut() = Full::new(Bytes::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn status(edge: &Edge) -> Status {
    let now = edge.now();
    let inner = edge.lock();
    let silent = inner.book.silent_for(now);
    let state = match silent {
        None => "never",
        Some(_) if inner.book.is_silent(now) => "silent",
        Some(_) => "live",
    };
    let silent_ms = silent.and_then(|silent| u64::try_from(silent.as_millis()).ok());
    let flows = inner.book.flows().iter().take(SHOWN).map(|(id, flow)| Flow {
        id: *id,
        device: flow.device.clone(),
        route: flow.route.clone(),
        until: flow.until,
    });
    Status {
        schema: "touchstone.checkpoint.status/1",
        feed: Feed { state, seq: inner.book.seq(), silent_ms },
        open: inner.book.flows().len(),
        flows: flows.collect(),
        counters: inner.counters.clone(),
    }
}
