//! Keeps the connection to the fleet's feed, and hands its lines to the edge.

use crate::config::Fleet;
use crate::edge::{Edge, unix};
use crate::event::Event;
use crate::feed::{Line, Lines, Malformed};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1::SendRequest;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::TlsStream;
use touchstone_tls::{ClientConfig, ServerName};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why the fleet is not heard, or does not take what it is brought.
#[derive(Debug)]
pub(crate) enum Broken {
    Connect(String),
    Tls(String),
    Http(String),
    Status(StatusCode),
    Line(Malformed),
    Silent,
    Ended,
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Self::Line(malformed)
    }
}

impl Broken {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Connect(_) => "checkpoint.feed.connect",
            Self::Tls(_) => "checkpoint.feed.tls",
            Self::Http(_) => "checkpoint.feed.http",
            Self::Status(_) => "checkpoint.feed.status",
            Self::Line(malformed) => malformed.code(),
            Self::Silent => "checkpoint.feed.silent",
            Self::Ended => "checkpoint.feed.ended",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "the fleet cannot be reached: {why}"),
            Self::Tls(why) => write!(f, "no TLS with the fleet: {why}"),
            Self::Http(why) => write!(f, "the feed broke off: {why}"),
            Self::Status(StatusCode::FORBIDDEN) => {
                f.write_str("the fleet answers 403; it wants a certificate of kind checkpoint")
            }
            Self::Status(status) => write!(f, "the fleet answers {status}"),
            Self::Line(malformed) => malformed.fmt(f),
            Self::Silent => f.write_str("the fleet has fallen silent"),
            Self::Ended => f.write_str("the fleet ended the feed"),
        }
    }
}

/// Listens to the feed for as long as the program runs, coming back whenever it breaks off.
pub async fn listen(edge: Edge, fleet: Fleet, tls: ClientConfig, name: ServerName) {
    let mut pause = FIRST_PAUSE;
    loop {
        let before = edge.seq();
        let Err(broken) = follow(&edge, &fleet, &tls, &name).await;
        Event::new(unix(), "feed", broken.code(), &broken).write();
        pause = if edge.seq() > before { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(jittered(pause)).await;
    }
}

async fn follow(
    edge: &Edge,
    fleet: &Fleet,
    tls: &ClientConfig,
    name: &ServerName,
) -> Result<std::convert::Infallible, Broken> {
    let patience = fleet.silence;
    let http = |error: hyper::Error| Broken::Http(error.to_string());
    let (mut sender, connection) = connect(fleet, tls, name).await?;
    let request = Request::get(format!("/v1/results/stream?after={}", edge.seq()))
        .header(HOST, fleet.name.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|error| Broken::Http(error.to_string()))?;
    let answer = timeout(patience, sender.send_request(request)).await;
    let answer = answer.map_err(|_| Broken::Silent)?.map_err(http)?;
    if answer.status() != StatusCode::OK {
        return Err(Broken::Status(answer.status()));
    }
    Event::new(unix(), "feed", "checkpoint.feed.live", &"the feed is heard").write();
    let heard = hear(edge, answer.into_body(), patience).await;
    connection.abort();
    heard
}

/// A connection with the fleet.
pub(crate) async fn connect<B>(
    fleet: &Fleet,
    tls: &ClientConfig,
    name: &ServerName,
) -> Result<(SendRequest<B>, JoinHandle<hyper::Result<()>>), Broken>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let patience = fleet.silence;
    let opened = timeout(patience, TcpStream::connect(&fleet.address)).await;
    let stream = opened
        .map_err(|_| Broken::Connect(format!("no answer in {patience:?}")))?
        .map_err(|error| Broken::Connect(error.to_string()))?;
    let stream = timeout(patience, TlsStream::connect(stream, tls, name))
        .await
        .map_err(|_| Broken::Silent)?
        .map_err(|error| Broken::Tls(error.to_string()))?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| Broken::Http(error.to_string()))?;
    Ok((sender, tokio::spawn(connection)))
}

async fn hear(
    edge: &Edge,
    mut body: hyper::body::Incoming,
    patience: Duration,
) -> Result<std::convert::Infallible, Broken> {
    let mut lines = Lines::default();
    loop {
        let frame = timeout(patience, body.frame()).await.map_err(|_| Broken::Silent)?;
        let frame = frame.ok_or(Broken::Ended)?.map_err(|error| Broken::Http(error.to_string()))?;
        let Some(octets) = frame.data_ref() else { continue };
        lines.push(octets, |line| {
            edge.hear(&Line::decode(line)?);
            Ok::<(), Broken>(())
        })?;
    }
}

/// Three quarters of `pause` to five quarters, so that many checkpoints do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut octet = [128];
    // Without randomness there is no jitter, which is no reason not to come back.
    let _ = AwsLc.random(&mut octet);
    pause * 3 / 4 + pause * u32::from(octet.first().copied().unwrap_or(128)) / 512
}
