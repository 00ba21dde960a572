//! The edge itself: takes connections, opens flows that the book admits, and cuts them when it
//! says so.

use crate::book::{Book, FlowId, Now};
use crate::config::{Config, Limits};
use crate::event::Event;
use crate::feed::Line;
use crate::refusal::Refusal;
use crate::trail::Trail;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use touchstone_appraise::VerifierKey;
use touchstone_certs::Certificate;
use touchstone_drive::{ConnectError, Pulse, TlsStream};
use touchstone_tls::ServerConfig;

mod flow;
mod status;

pub use status::serve_status;

/// Connections that may be between connecting and their flow, so that strangers can not use up the
/// memory.
const WAITING: usize = 256;

/// From one look at the clock to the next; a flow is cut within a second of its reason.
const TICK: Duration = Duration::from_millis(250);

/// What all connections share.
#[derive(Clone)]
pub struct Edge(Arc<Shared>);

struct Shared {
    routes: BTreeMap<String, String>,
    limits: Limits,
    started: Instant,
    trail: Trail,
    inner: Mutex<Inner>,
}

struct Inner {
    book: Book,
    cuts: HashMap<FlowId, oneshot::Sender<Refusal>>,
    counters: Counters,
}

/// What has happened since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Flows opened.
    pub admitted: u64,
    /// Requests refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Flows cut, by code.
    pub cut: BTreeMap<&'static str, u64>,
}

impl Edge {
    /// An edge that carries nothing yet.
    pub fn new(config: &Config, verifiers: Vec<VerifierKey>, trail: Trail) -> Self {
        let book =
            Book::new(config.max_age.as_secs(), verifiers, config.limits, config.fleet.silence);
        let inner = Inner { book, cuts: HashMap::new(), counters: Counters::default() };
        Self(Arc::new(Shared {
            routes: config.routes.clone(),
            limits: config.limits,
            started: Instant::now(),
            trail,
            inner: Mutex::new(inner),
        }))
    }

    /// Takes connections for as long as the program runs. `tls` is asked for each, so that what is
    /// stapled is of now.
    pub async fn serve(&self, listener: TcpListener, tls: impl Fn() -> ServerConfig) {
        let edge = self.clone();
        let handle = move |shaken, peer| {
            let edge = edge.clone();
            async move { edge.connection(shaken, peer).await }
        };
        touchstone_drive::serve(listener, WAITING, tls, handle, pending()).await;
    }

    async fn connection(
        &self,
        shaken: Result<TlsStream<TcpStream>, ConnectError>,
        peer: SocketAddr,
    ) {
        let told = |code: &str, reason: &dyn ToString| {
            let mut event = Event::new(unix(), "peer", code, reason);
            event.peer = Some(peer.to_string());
            event.write();
        };
        let stream = match shaken {
            Ok(stream) => stream,
            Err(error) => return told("checkpoint.peer.tls", &error),
        };
        // The handshake demands a certificate that leads to our roots; here is whose key it was.
        let spki = stream
            .peer_certificates()
            .first()
            .and_then(|der| Certificate::decode(der).ok())
            .map(|certificate| certificate.spki_der().to_vec());
        let patience = self.0.limits.handshake;
        if let Err(error) = flow::serve(self.clone(), stream, peer, spki, patience).await {
            told("checkpoint.peer.http", &error);
        }
    }

    /// Takes a line of the feed.
    pub fn hear(&self, line: &Line) {
        let now = self.now();
        let mut inner = self.lock();
        let cut = inner.book.hear(now, line);
        inner.cut(cut);
    }

    /// Lets time pass, for as long as the program runs.
    pub async fn keep_time(&self, pulse: &Pulse) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            pulse.beat();
            let now = self.now();
            let mut inner = self.lock();
            let cut = inner.book.tick(now);
            inner.cut(cut);
        }
    }

    /// The number of the last line of the feed.
    pub fn seq(&self) -> u64 {
        self.lock().book.seq()
    }

    fn now(&self) -> Now {
        Now { unix: unix(), uptime: self.0.started.elapsed() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics between two changes that belong together.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn cut(&mut self, flows: Vec<(FlowId, Refusal)>) {
        for (id, refusal) in flows {
            *self.counters.cut.entry(refusal.code()).or_default() += 1;
            if let Some(cut) = self.cuts.remove(&id) {
                // One that has just ended by itself needs no cutting.
                let _ = cut.send(refusal);
            }
        }
    }
}

/// Unix seconds. A clock before 1970 makes every result come from the future, which is refused.
pub(crate) fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
