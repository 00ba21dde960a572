//! What devices and checkpoints use: exchanges, orders, envelopes, reports, the feed of results.

use super::problem::{Good, Refusal};
use super::stream;
use super::types::{Ack, DeviceLogPlace, Orders, Report};
use crate::clock;
use crate::device_log::{self, Bringer, Refused as LogRefused};
use crate::fleet::Fleet;
use crate::judge::{No, Person};
use crate::serve::Peer;
use crate::sessions::Refused;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use touchstone_attest::{HEADER_LEN, Kind};
use touchstone_audit::Page;

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_mins(1);
/// Octets of a report.
const REPORT: usize = 16 * 1024;
/// Characters of a reason that are kept.
const MOST_REASON: usize = 2048;

/// Everything on the device listener except EST.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new()
        .route("/v1/exchange/enroll", post(enroll))
        .route("/v1/exchange/attest", post(attest))
        .route("/v1/device/orders", get(orders))
        .route("/v1/device/reports", post(report))
        .route("/v1/device/log", get(log_place).post(log_page))
        .route("/v1/checkpoint/log", get(checkpoint_log_place).post(checkpoint_log_page))
        .route("/v1/updates/{sha256}", get(update))
        .route("/v1/results/stream", get(results))
}

async fn enroll(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal> {
    exchange(&fleet, Kind::Enroll, peer, request).await
}

async fn attest(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal> {
    exchange(&fleet, Kind::Attest, peer, request).await
}

async fn exchange(
    fleet: &Arc<Fleet>,
    kind: Kind,
    peer: Peer,
    request: Request,
) -> Result<Response, Refusal> {
    let sha256 = crate::judge::peer_sha256(&peer).ok_or_else(|| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "exchange.certificate",
            "an exchange needs a client certificate",
            "connect with the device's IDevID or LDevID",
        )
    })?;
    let most = fleet.config.limits.message.saturating_add(HEADER_LEN);
    let message = fleet.bodies.read(request, most).await?;
    let judge = Arc::clone(&fleet.judge);
    let reply =
        fleet.sessions.handle(judge, kind, &sha256, peer, message).await.map_err(refused)?;
    Ok(match reply {
        Some(octets) => {
            let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
            (kind, octets).into_response()
        }
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

fn refused(why: Refused) -> Refusal {
    let (status, next) = match why {
        Refused::NotAMessage => (StatusCode::BAD_REQUEST, "send a message of this exchange"),
        Refused::Unknown => (StatusCode::CONFLICT, "begin a new exchange"),
        Refused::Foreign => (StatusCode::FORBIDDEN, "begin an exchange of your own"),
        Refused::TooMany => (StatusCode::TOO_MANY_REQUESTS, "finish one first"),
        Refused::Full => (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment"),
    };
    Refusal::new(status, why.code(), why.to_string(), next)
}

fn not_known(no: No) -> Refusal {
    match no {
        No::Refused { code, text } => {
            Refusal::new(StatusCode::FORBIDDEN, code, text, "use another certificate")
        }
        No::Failed => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "fleet.failed",
            "the fleet could not find out",
            "try again in a moment",
        ),
    }
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn orders(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<After>,
) -> Result<Good<Orders>, Refusal> {
    let device = fleet.judge.device(&peer).await.map_err(not_known)?;
    let orders = fleet.store.call(move |db| db.waiting_orders(&device.id, query.after)).await?;
    Ok(Good(Orders { orders }))
}

async fn update(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    Path(sha256): Path<String>,
) -> Result<Response, Refusal> {
    let device = fleet.judge.device(&peer).await.map_err(not_known)?;
    let name = sha256.clone();
    let found = fleet.store.call(move |db| db.envelope_for(&device.id, &sha256)).await?;
    let envelope = found.ok_or_else(|| Refusal::unknown("update", &name))?;
    Ok(([(header::CONTENT_TYPE, "application/pkcs7-mime")], envelope).into_response())
}

async fn report(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Good<Ack>, Refusal> {
    let body = fleet.bodies.read(request, REPORT).await?;
    let mut report: Report = serde_json::from_slice(&body).map_err(|error| {
        let words = format!("the report does not parse: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, "report.malformed", words, "send touchstone.report/1")
    })?;
    let device = fleet.judge.device(&peer).await.map_err(not_known)?;
    report.code = report.code.chars().take(128).collect();
    report.reason = report.reason.chars().take(MOST_REASON).collect();
    fleet.store.call(move |db| db.report(&device.id, &report, clock::now())).await?;
    Ok(Good(Ack {}))
}

async fn log_place(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
) -> Result<Good<DeviceLogPlace>, Refusal> {
    let device = fleet.judge.device(&peer).await.map_err(not_known)?;
    place(&fleet, &Bringer::Device(Box::new(device))).await
}

async fn log_page(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Good<DeviceLogPlace>, Refusal> {
    let device = fleet.judge.device(&peer).await.map_err(not_known)?;
    page(&fleet, Bringer::Device(Box::new(device)), request).await
}

async fn checkpoint_log_place(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
) -> Result<Good<DeviceLogPlace>, Refusal> {
    place(&fleet, &Bringer::Checkpoint(checkpoint(&fleet, &peer, "checkpoint.certificate").await?))
        .await
}

async fn checkpoint_log_page(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Good<DeviceLogPlace>, Refusal> {
    let name = checkpoint(&fleet, &peer, "checkpoint.certificate").await?;
    page(&fleet, Bringer::Checkpoint(name), request).await
}

async fn place(fleet: &Fleet, by: &Bringer) -> Result<Good<DeviceLogPlace>, Refusal> {
    let owner = by.owner();
    let known = fleet.store.call(move |db| db.device_log(&owner)).await?;
    Ok(Good(DeviceLogPlace { log: known.log, acknowledged: known.seq }))
}

async fn page(
    fleet: &Fleet,
    by: Bringer,
    request: Request,
) -> Result<Good<DeviceLogPlace>, Refusal> {
    let page = fleet.bodies.read(request, Page::MOST).await?;
    let taken = device_log::take(&fleet.store, &fleet.device_logs, by, page).await?;
    let taken = taken.map_err(log_refused)?;
    Ok(Good(DeviceLogPlace { log: taken.log, acknowledged: taken.seq }))
}

/// The name in a checkpoint's certificate; nobody else has one.
async fn checkpoint(fleet: &Fleet, peer: &Peer, code: &'static str) -> Result<String, Refusal> {
    match fleet.judge.identify(peer).await.map_err(not_known)?.person {
        Person::Checkpoint(row) => Ok(row.subject),
        _ => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            code,
            "this is for checkpoints",
            "connect with a certificate of `issue-certificate --kind checkpoint`",
        )),
    }
}

fn log_refused(refused: LogRefused) -> Refusal {
    match refused {
        LogRefused::Malformed { code, text } => {
            Refusal::new(StatusCode::BAD_REQUEST, code, text, "send touchstone.device.log.page/1")
        }
        LogRefused::NotTheSame(broken) => Refusal::new(
            StatusCode::CONFLICT,
            broken.flaw.code(),
            format!("this log is not the one that was taken over: {broken}"),
            "find out who changed it; a log that is put aside is followed by a new one",
        ),
        LogRefused::Meanwhile => Refusal::new(
            StatusCode::CONFLICT,
            "device.log.meanwhile",
            "entries of this log were taken over meanwhile",
            "ask how far it was taken",
        ),
        LogRefused::TooMuch => Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "device.log.too-much",
            "the device has told more in this hour than is taken",
            "keep it, and come back later",
        ),
    }
}

async fn results(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<After>,
) -> Result<Response, Refusal> {
    checkpoint(&fleet, &peer, "feed.certificate").await?;
    Ok(stream::feed(fleet.store.clone(), query.after, fleet.stop.clone()))
}

/// Room for the bodies of requests that are being read: large ones wait for each other.
pub struct Bodies {
    room: tokio::sync::Semaphore,
    kibioctets: u32,
}

impl Bodies {
    /// Room for so many octets.
    pub fn new(octets: usize) -> Self {
        let kibioctets = u32::try_from(octets / 1024).unwrap_or(u32::MAX).max(1);
        Self { room: tokio::sync::Semaphore::new(kibioctets as usize), kibioctets }
    }

    /// The body of a request, at most `most` octets.
    pub async fn read(&self, request: Request<Body>, most: usize) -> Result<Vec<u8>, Refusal> {
        let too_large = || {
            Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "api.too-large",
                format!("the body is larger than {most} octets"),
                "send less",
            )
        };
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .map(|value| value.to_str().ok().and_then(|value| value.parse::<usize>().ok()));
        let wanted = match declared {
            Some(Some(len)) if len <= most => len,
            Some(_) => return Err(too_large()),
            None => most,
        };
        let share = u32::try_from(wanted / 1024).unwrap_or(u32::MAX).saturating_add(1);
        let busy = |words: &str| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Refusal::new(status, "api.busy", words, "try again in a moment")
        };
        let read = async {
            let _room = self
                .room
                .acquire_many(share.min(self.kibioctets))
                .await
                .map_err(|_| busy("the fleet is ending"))?;
            let octets =
                axum::body::to_bytes(request.into_body(), most).await.map_err(|_| too_large())?;
            Ok(octets.to_vec())
        };
        tokio::time::timeout(BODY_TIME, read)
            .await
            .unwrap_or_else(|_| Err(busy("the body did not come in time")))
    }
}
