//! The operator API: what the command line and other programs of the owner use.

use super::auth::{Hand, Viewer};
use super::problem::{Good, Refusal};
use super::types::{
    AuditHead, ConsoleLink, DeviceClaims, DeviceList, DeviceShow, EnrolmentList, EnrolmentOrder,
    EnrolmentShow, EventList, HoldList, HoldShow, InvitationOrder, InvitationShow, OverrideList,
    OverrideOrder, OverrideShow, ReferenceImport, ReferenceList, Update, UpdateList, UpdateOrder,
    WhoAmI,
};
use super::{detail, openapi, stream};
use crate::authority::sha256_hex;
use crate::fleet::Fleet;
use crate::store::{Db, NewOverride, NewUpdate};
use crate::trust::LARGEST_REFERENCE;
use crate::{Error, clock, registration, trust};
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use std::sync::Arc;

/// Octets of an update envelope.
const LARGEST_UPDATE: usize = 64 << 20;
/// Octets of an operator's decision.
const LARGEST_ORDER: usize = 16 << 10;
/// How long a decision may hold, in seconds.
const LONGEST_OVERRIDE: u64 = 30 * 86400;
/// For how many minutes an invitation may be open.
const LONGEST_INVITATION: u64 = 44_640;
/// Events in one answer.
const MOST_EVENTS: u32 = 1000;

/// `/api/v1` and the description of it.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new()
        .route("/api/v1/whoami", get(whoami))
        .route("/api/v1/devices", get(devices))
        .route("/api/v1/devices/{id}", get(device))
        .route("/api/v1/devices/{id}/claims", get(claims))
        .route("/api/v1/devices/{id}/override", get(overrides).post(decide).delete(end_override))
        .route("/api/v1/overrides", get(all_overrides))
        .route("/api/v1/invitations", post(invite))
        .route("/api/v1/enrolments", get(enrolments))
        .route("/api/v1/enrolments/{id}/approve", post(approve))
        .route("/api/v1/enrolments/{id}/refuse", post(refuse))
        .route("/api/v1/holds", get(holds))
        .route("/api/v1/devices/{id}/hold/release", post(release_hold))
        .route("/api/v1/updates", get(updates).post(hand_in_update))
        .route("/api/v1/references", get(references).post(import_reference))
        .route("/api/v1/events", get(events))
        .route("/api/v1/events/stream", get(event_stream))
        .route("/api/v1/audit/head", get(audit_head))
        .route("/api/v1/console/link", post(console_link))
        .route("/openapi.json", get(describe))
        .fallback(missing)
}

async fn whoami(State(fleet): State<Arc<Fleet>>, Viewer(operator): Viewer) -> Good<WhoAmI> {
    Good(WhoAmI {
        operator: operator.name,
        role: operator.role.name().to_owned(),
        tenant: fleet.config.tenant.clone(),
    })
}

async fn devices(State(fleet): State<Arc<Fleet>>, _: Viewer) -> Result<Good<DeviceList>, Refusal> {
    let rules = fleet.rules();
    let devices = fleet.store.call(move |db| db.devices(rules)).await?;
    Ok(Good(DeviceList { devices }))
}

async fn device(
    State(fleet): State<Arc<Fleet>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Good<DeviceShow>, Refusal> {
    let rules = fleet.rules();
    let name = id.clone();
    let found = fleet.store.call(move |db| detail::device(db, &id, rules)).await?;
    found.map(|device| Good(DeviceShow { device })).ok_or_else(|| Refusal::unknown("device", &name))
}

/// More than a viewer needs to know: a list of what runs on a device is a map for whoever attacks it.
async fn claims(
    State(fleet): State<Arc<Fleet>>,
    _: Hand,
    Path(id): Path<String>,
) -> Result<Good<DeviceClaims>, Refusal> {
    let name = id.clone();
    let found =
        fleet.store.call(move |db| Ok((db.device(&id)?.is_some(), db.claims(&id)?))).await?;
    let stored = match found {
        (false, _) => return Err(Refusal::unknown("device", &name)),
        (true, Some(stored)) => stored,
        (true, None) => {
            let words = format!("nothing is known of `{name}`: no evidence that could be believed");
            let next = "look at `why` of the device";
            return Err(Refusal::new(StatusCode::NOT_FOUND, "api.no-claims", words, next));
        }
    };
    let verifier = fleet.trust.verifier();
    let mut claims = stored.claims;
    claims.extend(touchstone_appraise::claims::to_json(
        &verifier.reference_claims(&name, clock::now()),
    ));
    Ok(Good(DeviceClaims {
        device: name,
        policy: stored.policy,
        evidence_at: stored.evidence_at,
        appraised_at: stored.appraised_at,
        expires: stored.expires,
        stale: stored.expires < clock::now(),
        claims,
        omitted: stored.omitted,
    }))
}

async fn overrides(
    State(fleet): State<Arc<Fleet>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Good<OverrideList>, Refusal> {
    let overrides = fleet.store.call(move |db| db.overrides(Some(&id), clock::now())).await?;
    Ok(Good(OverrideList { overrides }))
}

async fn all_overrides(
    State(fleet): State<Arc<Fleet>>,
    _: Viewer,
) -> Result<Good<OverrideList>, Refusal> {
    let overrides = fleet.store.call(|db| db.overrides(None, clock::now())).await?;
    Ok(Good(OverrideList { overrides }))
}

/// Certificates of a device, whatever its verdict says: for a while, and for a reason.
async fn decide(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    Path(device): Path<String>,
    request: Request,
) -> Result<Good<OverrideShow>, Refusal> {
    let body = fleet.bodies.read(request, LARGEST_ORDER).await?;
    let bad = |words: String| {
        let next = "send effect `allow` or `deny`, a reason of 4 to 400 characters, and seconds \
                    up to 2592000 (30 days)";
        Refusal::new(StatusCode::BAD_REQUEST, "api.override", words, next)
    };
    let order: OverrideOrder =
        serde_json::from_slice(&body).map_err(|error| bad(format!("not a decision: {error}")))?;
    let effect = match order.effect.as_str() {
        "allow" => "allow",
        "deny" => "deny",
        other => return Err(bad(format!("no effect is named `{other}`"))),
    };
    let reason = order.reason.trim();
    if !(4..=400).contains(&reason.chars().count()) || reason.chars().any(char::is_control) {
        return Err(bad("the reason is empty, too long, or not plain text".to_owned()));
    }
    if !(1..=LONGEST_OVERRIDE).contains(&order.seconds) {
        return Err(bad(format!("{} seconds are not a time that it may hold", order.seconds)));
    }
    let now = clock::now();
    let new = NewOverride {
        device,
        effect,
        reason: reason.to_owned(),
        operator: operator.name,
        expires: now.saturating_add(order.seconds),
    };
    let decided = fleet.store.call(move |db| db.add_override(&new, now)).await?;
    Ok(Good(OverrideShow { decided }))
}

async fn end_override(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    Path(device): Path<String>,
) -> Result<Good<OverrideShow>, Refusal> {
    let end = move |db: &mut Db| db.end_override(&device, &operator.name, clock::now());
    Ok(Good(OverrideShow { decided: fleet.store.call(end).await? }))
}

async fn invite(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    request: Request,
) -> Result<Good<InvitationShow>, Refusal> {
    let body = fleet.bodies.read(request, LARGEST_ORDER).await?;
    let bad = |words: String| {
        let next = "send a name of letters, digits, `-`, `_` and `.`, kind `client` or `server`, \
                    and minutes up to 44640 (31 days)";
        Refusal::new(StatusCode::BAD_REQUEST, "api.invitation", words, next)
    };
    let order: InvitationOrder = serde_json::from_slice(&body)
        .map_err(|error| bad(format!("not an invitation: {error}")))?;
    if !matches!(order.kind.as_str(), "client" | "server") {
        return Err(bad(format!("nobody is invited as `{}`", order.kind)));
    }
    if !(1..=LONGEST_INVITATION).contains(&order.minutes) {
        return Err(bad(format!("{} minutes are not a time to be open", order.minutes)));
    }
    let what = registration::kind(&order.kind);
    let made = registration::invitation(&order.name, what, order.minutes, &operator.name);
    let (new, challenge) = made.map_err(|error| bad(error.to_string()))?;
    let (name, kind, expires) = (order.name, order.kind, new.expires);
    fleet.store.call(move |db| db.invite(&new, clock::now())).await?;
    Ok(Good(InvitationShow { name, kind, challenge, expires }))
}

async fn enrolments(
    State(fleet): State<Arc<Fleet>>,
    _: Viewer,
) -> Result<Good<EnrolmentList>, Refusal> {
    let enrolments = fleet.store.call(|db| db.enrolments(clock::now())).await?;
    Ok(Good(EnrolmentList { enrolments }))
}

async fn approve(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    Path(id): Path<i64>,
) -> Result<Good<EnrolmentShow>, Refusal> {
    let decide = move |db: &mut Db| db.decide_enrolment(id, None, &operator.name, clock::now());
    Ok(Good(EnrolmentShow { enrolment: fleet.store.call(decide).await? }))
}

async fn refuse(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    Path(id): Path<i64>,
    request: Request,
) -> Result<Good<EnrolmentShow>, Refusal> {
    let body = fleet.bodies.read(request, LARGEST_ORDER).await?;
    let bad = |words: String| {
        let next = "send a reason of 4 to 400 characters: whoever asked is told";
        Refusal::new(StatusCode::BAD_REQUEST, "api.enrolment", words, next)
    };
    let order: EnrolmentOrder =
        serde_json::from_slice(&body).map_err(|error| bad(format!("not a decision: {error}")))?;
    let reason = order.reason.trim().to_owned();
    if !(4..=400).contains(&reason.chars().count()) || reason.chars().any(char::is_control) {
        return Err(bad("the reason is empty, too long, or not plain text".to_owned()));
    }
    let decide =
        move |db: &mut Db| db.decide_enrolment(id, Some(&reason), &operator.name, clock::now());
    Ok(Good(EnrolmentShow { enrolment: fleet.store.call(decide).await? }))
}

async fn holds(State(fleet): State<Arc<Fleet>>, _: Viewer) -> Result<Good<HoldList>, Refusal> {
    Ok(Good(HoldList { holds: fleet.store.call(Db::holds).await? }))
}

async fn release_hold(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    Path(device): Path<String>,
) -> Result<Good<HoldShow>, Refusal> {
    let release = move |db: &mut Db| db.release_hold(&device, &operator.name, clock::now());
    Ok(Good(HoldShow { hold: fleet.store.call(release).await? }))
}

async fn updates(State(fleet): State<Arc<Fleet>>, _: Viewer) -> Result<Good<UpdateList>, Refusal> {
    let updates = fleet.store.call(super::super::store::Db::updates).await?;
    Ok(Good(UpdateList { updates }))
}

async fn references(
    State(fleet): State<Arc<Fleet>>,
    _: Viewer,
) -> Result<Good<ReferenceList>, Refusal> {
    let references = fleet.store.call(super::super::store::Db::references).await?;
    Ok(Good(ReferenceList { references }))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

async fn events(
    State(fleet): State<Arc<Fleet>>,
    _: Viewer,
    Query(page): Query<Page>,
) -> Result<Good<EventList>, Refusal> {
    let limit = page.limit.unwrap_or(100).clamp(1, MOST_EVENTS);
    let events = fleet.store.call(move |db| db.events_after(page.after, limit)).await?;
    let next = events.last().map_or(page.after, |event| event.seq);
    Ok(Good(EventList { events, next }))
}

async fn event_stream(
    State(fleet): State<Arc<Fleet>>,
    _: Viewer,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    stream::events(fleet.store.clone(), last.unwrap_or(page.after), fleet.stop.clone())
}

/// The fleet is a courier: it reads what the envelope says, the device judges.
async fn hand_in_update(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    Query(target): Query<Target>,
    request: Request,
) -> Result<Good<UpdateOrder>, Refusal> {
    let envelope = fleet.bodies.read(request, LARGEST_UPDATE).await?;
    let by = operator.name;
    let read = move || {
        let inspected = touchstone_update::inspect(&envelope).map_err(|error| {
            unreadable(error.code(), format!("not an update envelope: {error}"))
        })?;
        let about = Update {
            update: sha256_hex(&envelope),
            component: inspected.manifest.component,
            version: inspected.manifest.version,
            size: envelope.len() as u64,
            note: inspected.manifest.note,
            signers: inspected.signers.iter().map(|by| by.subject().to_owned()).collect(),
            created: clock::now(),
            operator: by,
        };
        Ok::<_, Refusal>(NewUpdate { about, envelope, device: target.device })
    };
    let new = blocking(read).await??;
    let about = new.about.clone();
    let orders = fleet.store.call(move |db| db.add_update(&new, clock::now())).await?;
    Ok(Good(UpdateOrder {
        update: about.update,
        component: about.component,
        version: about.version,
        signers: about.signers,
        orders,
    }))
}

#[derive(Deserialize)]
struct Target {
    device: Option<String>,
}

async fn import_reference(
    State(fleet): State<Arc<Fleet>>,
    Hand(operator): Hand,
    request: Request,
) -> Result<Good<ReferenceImport>, Refusal> {
    let most = usize::try_from(LARGEST_REFERENCE).unwrap_or(usize::MAX);
    let envelope = fleet.bodies.read(request, most).await?;
    let trust = Arc::clone(&fleet.trust);
    let (sha256, by) = (sha256_hex(&envelope), operator.name.clone());
    let opened = blocking(move || trust.open_reference(&envelope, &by)).await?;
    let new = match opened {
        Ok(new) => new,
        Err(words) => {
            let event = trust::refusal(&sha256, &operator.name, &words);
            fleet.store.call(move |db| db.record_event(clock::now(), &event)).await?;
            return Err(unreadable("reference.refused", words));
        }
    };
    let reference = fleet.store.call(move |db| db.add_reference(&new, clock::now())).await?;
    let envelopes = fleet.store.call(super::super::store::Db::reference_envelopes).await?;
    let trust = Arc::clone(&fleet.trust);
    for words in blocking(move || trust.enforce(&envelopes)).await? {
        tracing::warn!("reference values are out of force: {words}");
    }
    Ok(Good(ReferenceImport { reference }))
}

async fn audit_head(State(fleet): State<Arc<Fleet>>, _: Viewer) -> Good<AuditHead> {
    let head = *fleet.head.borrow();
    Good(AuditHead { entries: head.seq, head: head.hash.to_hex(), key: fleet.log_key.clone() })
}

#[derive(Deserialize)]
struct Next {
    next: Option<String>,
}

/// A link that logs its holder in at the console, once.
async fn console_link(
    State(fleet): State<Arc<Fleet>>,
    Viewer(operator): Viewer,
    Query(next): Query<Next>,
) -> Result<Good<ConsoleLink>, Refusal> {
    let name = operator.name.clone();
    let sha256 = fleet.store.call(move |db| db.token_of(&name)).await?;
    let code = fleet.logins.link(sha256, clock::now()).map_err(Error::crypto("a login link"))?;
    let next = next.next.unwrap_or_else(|| "/console".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if !next.starts_with("/console") || !next.chars().all(plain) {
        let words = "`next` is not a page of the console";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "api.next", words, "use /console/.."));
    }
    Ok(Good(ConsoleLink { path: format!("/console/login?code={code}&next={next}") }))
}

fn unreadable(code: &str, words: String) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, words, "sign it again, and hand it in")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed.into())
}

async fn describe() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::CHECKED_IN)
}

async fn missing() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "api.no-such-path",
        "nothing answers at this path",
        "GET /openapi.json lists what there is",
    )
}
