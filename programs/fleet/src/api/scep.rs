//! SCEP (RFC 8894) over HTTP, for devices that speak nothing better: whom an operator invited, and
//! renewal by whoever holds a certificate.

use super::est::{Owner, answer, heard, named, told};
use crate::authority::{For, hex, sha256_hex};
use crate::config::Approval;
use crate::fleet::Fleet;
use crate::judge::{self, NotIssued};
use crate::registration::{self, Applicant, Key};
use crate::store::{Polled, Status};
use crate::{Error, clock};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use std::sync::Arc;
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::Reply as Answer;
use touchstone_engine::AskKind;
use touchstone_enroll::exchange::Limits;
use touchstone_enroll::scep::{
    Asked, Body, Capabilities, Desk, FailInfo, Reply, Replying, Server, answer_to, next_ca,
    read_request,
};

/// Seconds within which a request for the same key gets the same certificate.
const RESENT: u64 = 60;

/// `/scep`, and the path that old clients have built in.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new().route("/scep", any(serve)).route("/cgi-bin/pkiclient.exe", any(serve))
}

async fn serve(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let request = match heard(&fleet, request).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let next_ca_cert = fleet.authority.issuing().iter().any(|ca| ca.next);
    let can = Capabilities { next_ca_cert, ..Capabilities::OURS };
    let server = Server::of(Arc::new(AwsLc), can, Limits::default());
    // Once begun it is finished, even if the client goes away: what is recorded was issued.
    let work = tokio::spawn(async move { answer(server, request, Keeper(fleet)).await });
    told(work.await.ok().flatten())
}

/// Who has the keys.
struct Keeper(Arc<Fleet>);

impl Owner for Keeper {
    async fn answer(&mut self, kind: AskKind, question: Vec<u8>) -> Answer {
        match kind {
            AskKind::Authorities if next_ca(&question) => match self.0.authority.next().await {
                Ok(Some(signed)) => Answer::Bytes(signed),
                Ok(None) => Answer::refused("scep.next-ca", "there is no CA to come"),
                Err(error) => {
                    tracing::error!(code = error.code(), %error, "no word of the CA to come");
                    Answer::Failed
                }
            },
            AskKind::Authorities => authorities(&self.0),
            AskKind::Issue => message(&self.0, &question).await,
            _ => Answer::Failed,
        }
    }
}

/// RFC 8894 §4.2.1.2: the RA first, then the CA.
fn authorities(fleet: &Fleet) -> Answer {
    let mut all = vec![fleet.registration.certificate.clone()];
    all.extend(fleet.authority.certificates());
    Desk::authorities(&all).map_or(Answer::Failed, Answer::Bytes)
}

async fn message(fleet: &Fleet, message: &[u8]) -> Answer {
    let ours = &fleet.registration;
    let asked = match read_request(&AwsLc, message, &ours.certificate, &ours.opens) {
        Ok(asked) => asked.into_inner(),
        Err(error) => return Answer::refused(error.code(), error.to_string()),
    };
    let reply = match decide(fleet, &asked).await {
        Ok(reply) => reply,
        // Somebody has yet to decide (RFC 8894 §3.2.1.3).
        Err(NotIssued::Later(_)) => Reply::Pending,
        Err(
            NotIssued::Judged { text, .. }
            | NotIssued::Malformed { text, .. }
            | NotIssued::Unavailable { text, .. },
        ) => no(FailInfo::BadRequest, &text),
        Err(NotIssued::Failed | NotIssued::NoCertificate) => return Answer::Failed,
    };
    if let Reply::Failed { info, text } = &reply {
        let words = text.as_deref().unwrap_or_default();
        tracing::info!(info = info.name(), words, "no certificate by SCEP");
    }
    let by = Replying { certificate: &ours.certificate, key: &ours.key };
    match answer_to(&AwsLc, &asked, &reply, &by, clock::now()) {
        Ok(octets) => Answer::Bytes(octets),
        Err(error) => Answer::refused(error.code(), error.to_string()),
    }
}

async fn decide(fleet: &Fleet, asked: &Asked) -> Result<Reply, NotIssued> {
    match &asked.body {
        Body::Enrol(request) => enrol(fleet, asked, request).await,
        Body::Renew(request) => renew(fleet, asked, request).await,
        Body::Poll { .. } => poll(fleet, asked).await,
        Body::Certificate { issuer_der, serial } => known(fleet, issuer_der, serial).await,
        Body::RevocationList { issuer_der, serial } => list(fleet, issuer_der, serial).await,
        _ => Ok(no(FailInfo::BadRequest, "nothing of this kind is answered")),
    }
}

async fn enrol(
    fleet: &Fleet,
    asked: &Asked,
    request: &CertificateRequest,
) -> Result<Reply, NotIssued> {
    let transaction = asked.transaction.as_str();
    let challenge = asked.challenge().filter(|challenge| !challenge.is_empty());
    let Some(challenge) = challenge else {
        return uninvited(fleet, transaction, request).await;
    };
    let (sha256, now) = (sha256_hex(challenge.as_bytes()), clock::now());
    let found = fleet.store.call(move |db| db.invitation(&sha256, now)).await?;
    let Some(invitation) = found else {
        return Ok(no(FailInfo::BadRequest, "no such challenge is open; ask the operator for one"));
    };
    if named(request, &invitation.name).is_err() {
        let words = format!("the challenge is for CN={}", invitation.name);
        return Ok(no(FailInfo::BadRequest, &words));
    }
    let applicant = Applicant::invited(&invitation, "scep", transaction);
    issue(fleet, &applicant, request).await
}

/// RFC 8894 §7.3: whoever has no challenge waits for an operator, where the configuration says so.
async fn uninvited(
    fleet: &Fleet,
    transaction: &str,
    request: &CertificateRequest,
) -> Result<Reply, NotIssued> {
    let kind = For::Client.name();
    if fleet.authority.needs_profile(kind)?.approval != Approval::OperatorAlone {
        let words = "the request has no challenge; ask the operator for one";
        return Ok(no(FailInfo::BadRequest, words));
    }
    let name = request.subject().common_name_text().unwrap_or_default();
    if !registration::is_plain(&name) || named(request, &name).is_err() {
        let words = "without a challenge the subject is `CN=NAME`: letters, digits, `-`, `_`, `.`";
        return Ok(no(FailInfo::BadRequest, words));
    }
    let applicant =
        Applicant { name: &name, kind, invitation: None, protocol: "scep", transaction };
    issue(fleet, &applicant, request).await
}

async fn issue(
    fleet: &Fleet,
    applicant: &Applicant<'_>,
    request: &CertificateRequest,
) -> Result<Reply, NotIssued> {
    let Fleet { authority, store, .. } = fleet;
    let kind = request.key_description();
    let key = Key { spki: request.spki_der(), kind: &kind };
    let way = registration::admit(authority, store, applicant, key).await?;
    let issued = registration::issue(authority, store, applicant, way, key.spki).await?;
    Ok(match issued {
        Some(certificate) => brought(fleet, certificate),
        None => no(FailInfo::BadRequest, "the challenge was used for another key"),
    })
}

/// RFC 8894 §3.3.1.2: whoever holds a certificate of ours, which is in force.
async fn renew(
    fleet: &Fleet,
    asked: &Asked,
    request: &CertificateRequest,
) -> Result<Reply, NotIssued> {
    let (held, now) = (&asked.certificate, clock::now());
    let shown = held.clone();
    let row = fleet.store.call(move |db| db.recorded(&shown, now)).await?;
    let row = row.filter(|row| row.device.is_none());
    let Some(row) = row.filter(|row| matches!(row.kind.as_str(), "client" | "server")) else {
        return Ok(no(FailInfo::BadCertId, "the certificate that signs is not one of ours"));
    };
    if row.status != Status::Good {
        let words = format!("the certificate that signs is {}", row.status.name());
        return Ok(no(FailInfo::BadCertId, &words));
    }
    let name = held.common_name().unwrap_or_default();
    if named(request, &name).is_err() {
        let words = format!("the certificate that signs is CN={name}'s");
        return Ok(no(FailInfo::BadRequest, &words));
    }
    if let Some(before) = again(fleet, request.spki_der()).await? {
        return Ok(brought(fleet, before));
    }
    let (authority, store) = (&fleet.authority, &fleet.store);
    let about = (row.kind.as_str(), name.as_str());
    let certificate = registration::renew(authority, store, about, request.spki_der()).await?;
    Ok(brought(fleet, certificate))
}

/// What was issued a moment ago for this key: its reply did not arrive.
async fn again(fleet: &Fleet, spki: &[u8]) -> Result<Option<Certificate>, Error> {
    let (key, now) = (sha256_hex(spki), clock::now());
    let since = now.saturating_sub(RESENT.saturating_mul(2));
    let found = fleet.store.call(move |db| db.certificate_for_key(&key, since, now)).await?;
    Ok(found.and_then(|der| Certificate::decode(&der).ok()))
}

/// RFC 8894 §3.3.3: about what waits for an operator, or a reply that did not arrive. Whoever asks has
/// the key of the request, and says its transaction.
async fn poll(fleet: &Fleet, asked: &Asked) -> Result<Reply, NotIssued> {
    let spki = asked.certificate.spki_der();
    let (sha256, transaction) = (sha256_hex(spki), asked.transaction.as_str().to_owned());
    let now = clock::now();
    let polled = fleet.store.call(move |db| db.polled(&sha256, &transaction, now)).await?;
    let Some(Polled { subject, profile, approval }) = polled else {
        let found = again(fleet, spki).await?;
        return Ok(found.map_or_else(
            || no(FailInfo::BadCertId, "nothing is pending for this key and transaction"),
            |certificate| brought(fleet, certificate),
        ));
    };
    let Some(admission) = approval else {
        let words = "the request has waited too long, or was answered; ask anew";
        return Ok(no(FailInfo::BadRequest, words));
    };
    let way = judge::way(admission, now)?;
    let (name, kind) = (subject.as_str(), profile.as_str());
    let transaction = asked.transaction.as_str();
    let applicant = Applicant { name, kind, invitation: None, protocol: "scep", transaction };
    let Fleet { authority, store, .. } = fleet;
    let issued = registration::issue(authority, store, &applicant, way, spki).await?;
    Ok(match issued {
        Some(certificate) => brought(fleet, certificate),
        None => no(FailInfo::BadRequest, "the approval was used, or taken back"),
    })
}

async fn known(fleet: &Fleet, issuer_der: &[u8], serial: &[u8]) -> Result<Reply, NotIssued> {
    let serial = hex(serial);
    let now = clock::now();
    let rows = fleet.store.call(move |db| db.numbered(&serial, now)).await?;
    let mut found = rows.iter().filter_map(|row| Certificate::decode(&row.der).ok());
    Ok(found.find(|it| it.issuer_der() == issuer_der).map_or_else(
        || no(FailInfo::BadCertId, "there is no such certificate"),
        |certificate| Reply::Certificates(vec![certificate]),
    ))
}

/// RFC 8894 §3.3.5: the list in which that certificate would stand. One that nobody has issued could
/// stand in none.
async fn list(fleet: &Fleet, issuer_der: &[u8], serial: &[u8]) -> Result<Reply, NotIssued> {
    let issuing = fleet.authority.issuing().iter();
    let Some(ca) = issuing.into_iter().find(|ca| ca.certificate.subject_der() == issuer_der) else {
        return Ok(no(FailInfo::BadCertId, "no CA of that name is here"));
    };
    let (serial, now, id) = (hex(serial), clock::now(), ca.id.clone());
    let name = fleet.store.call(move |db| db.crl_of(&serial, &id)).await?;
    let Some(name) = name else {
        return Ok(no(FailInfo::BadCertId, "there is no such certificate"));
    };
    let name = if name.is_empty() { &ca.name } else { &name };
    let list = fleet.authority.crl(&format!("{name}.crl")).filter(|list| list.until > now);
    Ok(list.map_or_else(
        || no(FailInfo::BadRequest, "there is no list now; come back in a moment"),
        |list| Reply::RevocationLists(vec![list.octets.to_vec()]),
    ))
}

fn brought(fleet: &Fleet, certificate: Certificate) -> Reply {
    let others = fleet.authority.chain(&certificate).into_iter().skip(1).collect();
    Reply::Issued { certificate, others }
}

fn no(info: FailInfo, words: &str) -> Reply {
    Reply::Failed { info, text: Some(words.to_owned()) }
}
