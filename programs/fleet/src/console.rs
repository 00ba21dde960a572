//! The console: pages rendered here, one style sheet, one small script, nothing from elsewhere.
//! It only shows; what changes something is the API's and the command line's.

mod login;
mod pages;
mod vector;

pub use login::Logins;
pub(crate) use login::secret;

use crate::api::problem::Refusal;
use crate::api::{auth, detail, stream};
use crate::clock;
use crate::fleet::Fleet;
use crate::serve::Peer;
use crate::store::Operator;
use askama::Template;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Router};
use pages::{
    DevicePage, DevicesPage, EnrolmentLine, Frame, Line, LoginPage, MissingPage, Row, Tile,
};
use serde::Deserialize;
use std::sync::Arc;

const STYLE: &str = include_str!("console/style.css");
const SCRIPT: &str = include_str!("console/live.js");
/// Events on the first page.
const EVENTS: u32 = 40;

/// The pages below `/console`.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/console") }))
        .route("/console", get(devices))
        .route("/console/devices/{id}", get(device))
        .route("/console/events", get(events))
        .route("/console/login", get(login_page).post(log_in))
        .route("/console/logout", post(log_out))
        .route("/console/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route(
            "/console/live.js",
            get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .layer(axum::middleware::map_response(hardened))
}

/// Whoever is logged in. Others are sent to the login page.
struct Visitor(Operator);

impl FromRequestParts<Arc<Fleet>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, fleet: &Arc<Fleet>) -> Result<Self, Response> {
        let found = cookie(&parts.headers).and_then(|value| fleet.logins.find(value, clock::now()));
        let Some(sha256) = found else {
            return Err(Redirect::to("/console/login").into_response());
        };
        match fleet.store.call(move |db| db.operator(&sha256)).await {
            Ok(Some(operator)) => Ok(Self(operator)),
            Ok(None) => Err(Redirect::to("/console/login").into_response()),
            Err(error) => Err(Refusal::from(error).into_response()),
        }
    }
}

async fn devices(
    State(fleet): State<Arc<Fleet>>,
    Visitor(operator): Visitor,
) -> Result<Response, Refusal> {
    let rules = fleet.rules();
    let (devices, enrolments, events) = fleet
        .store
        .call(move |db| {
            let enrolments = db.enrolments(rules.now)?;
            Ok((db.devices(rules)?, enrolments, db.newest_events(None, EVENTS)?))
        })
        .await?;
    let frame = frame(&fleet, &operator, events.first().map_or(0, |event| event.seq));
    let tiles = Tile::of(&devices);
    let devices = devices.into_iter().map(|device| Row::of(device, rules.now)).collect();
    let events = events.into_iter().map(Line::from).collect();
    let waits = enrolments.into_iter().filter(|one| one.state == "waiting");
    let enrolments = waits.map(EnrolmentLine::from).collect();
    page(&DevicesPage { frame, tiles, devices, enrolments, events })
}

async fn device(
    State(fleet): State<Arc<Fleet>>,
    Visitor(operator): Visitor,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let rules = fleet.rules();
    let (found, last) =
        fleet.store.call(move |db| Ok((detail::device(db, &id, rules)?, db.last_event()?))).await?;
    let frame = frame(&fleet, &operator, last);
    let Some(device) = found else {
        let missing = MissingPage { frame, words: "There is no such device." };
        return Ok((StatusCode::NOT_FOUND, page(&missing)?).into_response());
    };
    let facts = pages::identity(&device);
    page(&DevicePage {
        frame,
        picture: vector::svg(&device.vector, &device.summary.tier),
        row: Row::of(device.summary, rules.now),
        vector: device.vector,
        passed: device.controls.iter().filter(|control| control.passed).count(),
        controls: device.controls,
        facts,
        evidence: device.evidence,
        certificates: device.certificates.into_iter().map(Into::into).collect(),
        orders: device.orders.into_iter().map(Into::into).collect(),
        events: device.events.into_iter().map(Line::from).collect(),
    })
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn events(
    State(fleet): State<Arc<Fleet>>,
    Visitor(_): Visitor,
    Query(query): Query<After>,
    headers: HeaderMap,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    stream::events(fleet.store.clone(), last.unwrap_or(query.after), fleet.stop.clone())
}

#[derive(Deserialize)]
struct Link {
    code: Option<String>,
    next: Option<String>,
}

async fn login_page(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    Query(link): Query<Link>,
) -> Result<Response, Refusal> {
    let Some(code) = link.code else {
        return page(&LoginPage { fleet: &fleet.config.name, fault: None });
    };
    let sha256 = fleet.logins.follow(&code, clock::now());
    let operator = match sha256 {
        Some(sha256) => fleet.store.call(move |db| db.operator(&sha256)).await?,
        None => None,
    };
    let (Some(sha256), Some(operator)) = (sha256, operator) else {
        auth::turned_away(&fleet, Some(&peer), "", "the login link was used or is too old").await?;
        let fault = Some("This link was used already, or is too old.");
        let login = page(&LoginPage { fleet: &fleet.config.name, fault })?;
        return Ok((StatusCode::FORBIDDEN, login).into_response());
    };
    auth::admitted(&fleet, &peer, &operator.name, "link").await?;
    let next = link.next.filter(|next| next.starts_with("/console"));
    logged_in(&fleet, sha256, next.as_deref().unwrap_or("/console"))
}

fn logged_in(fleet: &Fleet, token_sha256: [u8; 32], next: &str) -> Result<Response, Refusal> {
    let value =
        fleet.logins.begin(token_sha256, clock::now()).map_err(crate::Error::crypto("a login"))?;
    let cookie = login::set_cookie(&value, fleet.config.console.tls);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response())
}

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

async fn log_in(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Result<Response, Refusal> {
    let fault = |status, fault| {
        let login = LoginPage { fleet: &fleet.config.name, fault: Some(fault) };
        page(&login).map(|page| (status, page).into_response())
    };
    if foreign(&headers) {
        auth::turned_away(&fleet, Some(&peer), "", "the form is another site's").await?;
        return fault(StatusCode::FORBIDDEN, "Log in from this page, not from another site.");
    }
    let token = credentials.token.trim();
    let Some(operator) = auth::operator(&fleet, token).await? else {
        auth::turned_away(&fleet, Some(&peer), "", "the token is nobody's").await?;
        return fault(StatusCode::FORBIDDEN, "This token is nobody's.");
    };
    auth::admitted(&fleet, &peer, &operator.name, "token").await?;
    logged_in(&fleet, auth::token_sha256(token), "/console")
}

async fn log_out(State(fleet): State<Arc<Fleet>>, headers: HeaderMap) -> Response {
    if !foreign(&headers)
        && let Some(value) = cookie(&headers)
    {
        fleet.logins.end(value);
    }
    let unset = [(header::SET_COOKIE, login::unset_cookie())];
    (unset, Redirect::to("/console/login")).into_response()
}

/// A form that another site sent. SameSite keeps our cookie from it already; this keeps it from
/// logging somebody in as somebody else.
fn foreign(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(site) => !matches!(site, b"same-origin" | b"none"),
        None => match (headers.get(header::ORIGIN), headers.get(header::HOST)) {
            (Some(origin), Some(host)) => {
                let origin = origin.to_str().unwrap_or_default();
                origin.split_once("://").map(|(_, name)| name.as_bytes()) != Some(host.as_bytes())
            }
            _ => false,
        },
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .into_iter()
        .find_map(|value| value.to_str().ok().and_then(login::cookie))
}

fn frame<'f>(fleet: &'f Fleet, operator: &'f Operator, last_event: u64) -> Frame<'f> {
    Frame {
        fleet: &fleet.config.name,
        operator: &operator.name,
        role: operator.role.name(),
        last_event,
    }
}

fn page(template: &impl Template) -> Result<Response, Refusal> {
    let html = template.render().map_err(crate::Error::crypto("a page"))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=300")], text)
}

async fn hardened(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
