//! Answers without an end: server-sent events for people, the feed for checkpoints.

use crate::serve::stopped;
use crate::store::Store;
use crate::{Error, clock};
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::types::Feed;

/// Pieces that wait for a slow reader; then we wait for it.
const AHEAD: usize = 16;
/// Rows read at once.
const PAGE: u32 = 200;
/// A comment after so much silence keeps proxies from hanging up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A line at least so often: a checkpoint that hears nothing for three of them cuts.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Events after `after` as they happen (server-sent events, WHATWG HTML §9.2).
pub(crate) fn events(store: Store, after: u64, stop: watch::Receiver<bool>) -> Response {
    let news = store.events();
    let page = move |after| event_page(store.clone(), after);
    let quiet = |_| Bytes::from_static(b":\n\n");
    streaming("text/event-stream", follow(news, stop, after, page, (KEEP_ALIVE, quiet)))
}

/// Results and revocations after `after` as they happen, and a heartbeat.
pub(crate) fn feed(store: Store, after: u64, stop: watch::Receiver<bool>) -> Response {
    let news = store.feed();
    let page = move |after| feed_page(store.clone(), after);
    let beat = |seq| Feed::Heartbeat { seq, time: clock::now() }.to_line().into();
    streaming("application/x-ndjson", follow(news, stop, after, page, (HEARTBEAT, beat)))
}

type Pieces = mpsc::Receiver<Result<Bytes, Infallible>>;

/// Sends a page whenever there is news, and a sign of life at every interval. What was sent last is
/// handed to both.
fn follow<Reading>(
    mut news: watch::Receiver<u64>,
    mut stop: watch::Receiver<bool>,
    mut after: u64,
    page: impl Fn(u64) -> Reading + Send + 'static,
    (every, alive): (Duration, impl Fn(u64) -> Bytes + Send + 'static),
) -> Pieces
where
    Reading: Future<Output = Result<(u64, Bytes), Error>> + Send,
{
    let (pieces, body) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            news.borrow_and_update();
            let piece = match page(after).await {
                Ok((last, page)) if last > after => {
                    after = last;
                    page
                }
                Ok(_) => tokio::select! {
                    told = news.changed() => if told.is_err() { return } else { continue },
                    () = stopped(&mut stop) => return,
                    () = pieces.closed() => return,
                    _ = beat.tick() => alive(after),
                },
                // Without the store nothing is known: ending the feed makes checkpoints cut.
                Err(error) => return tracing::error!(%error, "a stream ended"),
            };
            if pieces.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    body
}

async fn event_page(store: Store, after: u64) -> Result<(u64, Bytes), Error> {
    let events = store.call(move |db| db.events_after(after, PAGE)).await?;
    let mut page = Vec::new();
    let mut last = after;
    for event in events {
        last = event.seq;
        page.extend_from_slice(format!("id: {last}\nevent: touchstone\ndata: ").as_bytes());
        // JSON without newlines, from a type with string keys: no way to fail.
        page.extend_from_slice(&serde_json::to_vec(&event).unwrap_or_default());
        page.extend_from_slice(b"\n\n");
    }
    Ok((last, page.into()))
}

async fn feed_page(store: Store, after: u64) -> Result<(u64, Bytes), Error> {
    let lines = store.call(move |db| db.feed_after(after, PAGE)).await?;
    let mut last = after;
    let mut page = Vec::new();
    for line in lines {
        if let Feed::Result { seq, .. } | Feed::Revoked { seq, .. } = &line {
            last = *seq;
        }
        page.extend_from_slice(&line.to_line());
    }
    Ok((last, page.into()))
}

fn streaming(kind: &'static str, body: Pieces) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::OK, headers, Body::from_stream(ReceiverStream::new(body))).into_response()
}
