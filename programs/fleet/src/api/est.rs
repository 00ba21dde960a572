//! Enrolment over Secure Transport (RFC 7030) over HTTP: every operation, with and without a label.
//! The protocol is `touchstone-enroll`'s; here stands who the client is, and what it gets.

use crate::authority::DEVICE;
use crate::fleet::Fleet;
use crate::judge::{NotIssued, Way};
use crate::registration::{self, Applicant, Key, REALM};
use crate::serve::Peer;
use crate::store::Invitation;
use crate::{Error, clock};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use std::sync::Arc;
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_cms::SignedData;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_drive::{Reply, now};
use touchstone_engine::{AskKind, Engine, Output, Path};
use touchstone_enroll::Activation;
use touchstone_enroll::est::attributes::{Attributes, Valued};
use touchstone_enroll::est::{
    Binding, Decision, Given, Operation, Question, Sealing, Server, ServerSetup, keygen,
};
use touchstone_enroll::exchange::{self, Answering, Headers, Limits, Message, Method, Service};
use touchstone_httpauth::{Basic, Digest, secret};

/// Octets of a request; one with a TPM's statement has about 2 KiB, a full one has several.
const LARGEST: usize = 256 * 1024;
/// The headers that the protocol looks at.
const HEARD: [&str; 3] = ["content-type", "user-agent", "authorization"];
/// A key that the fleet makes for a client.
const MADE: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
/// The curve that requests are asked for: `id-ecPublicKey` with `secp256r1`, as DER.
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const P256: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

/// `/.well-known/est`.
pub fn router() -> Router<Arc<Fleet>> {
    Router::new().route("/.well-known/est/{*rest}", any(serve))
}

async fn serve(
    State(fleet): State<Arc<Fleet>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let request = match heard(&fleet, request).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let binding = Binding { octets: peer.binding.map(|it| it.to_vec()), required: false };
    let setup = ServerSetup { crypto: Arc::new(AwsLc), now: clock::now(), binding };
    let server = Server::of(setup, Limits::default());
    // Once begun it is finished, even if the client goes away: what is recorded was issued.
    let work = tokio::spawn(async move {
        let desk = Desk { fleet, peer, method: request.method, invited: None };
        answer(server, request, desk).await
    });
    told(work.await.ok().flatten())
}

/// What the protocol hears of a request.
pub(super) async fn heard(
    fleet: &Fleet,
    request: Request<Body>,
) -> Result<exchange::Request, Response> {
    let Some(method) = Method::from_name(request.method().as_str()) else {
        return Err(StatusCode::METHOD_NOT_ALLOWED.into_response());
    };
    let mut headers = Headers::new();
    for name in HEARD {
        for value in request.headers().get_all(name).iter().filter_map(|it| it.to_str().ok()) {
            headers = headers.with(name, value);
        }
    }
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str()).to_owned();
    let body = fleet.bodies.read(request, LARGEST).await.map_err(IntoResponse::into_response)?;
    Ok(exchange::Request { method, path, headers, body })
}

/// Who answers what a server's end asks.
pub(super) trait Owner: Send {
    /// The answer.
    fn answer(&mut self, kind: AskKind, question: Vec<u8>) -> impl Future<Output = Reply> + Send;
}

/// Gives a request to a server's end, and takes its response.
pub(super) async fn answer<S>(
    mut server: Answering<S>,
    request: exchange::Request,
    mut owner: impl Owner,
) -> Option<exchange::Response>
where
    S: Service + Send,
{
    let mut buf = Vec::new();
    server.handle_wire(now(), Path::ONLY, &mut Message::only(request).encode());
    loop {
        let asked = match server.poll_output(now(), &mut buf) {
            Output::Transmit { len, .. } => return Message::response(buf.get(..len)?),
            Output::Ask(ask) => ask,
            Output::Grow(need) => {
                buf.resize(need, 0);
                continue;
            }
            Output::Event(_) => continue,
            // It owes a response and waits for nothing: the request was none.
            Output::Wait(_) | Output::Closed(_) => return None,
        };
        let question = buf.get(..asked.len)?.to_vec();
        let reply = owner.answer(asked.kind, question).await;
        server.handle_answer(now(), asked.ticket, reply.as_answer());
    }
}

/// A response as HTTP has it. Its length is always said, since strongSwan reads no chunks.
pub(super) fn told(response: Option<exchange::Response>) -> Response {
    let Some(response) = response else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    if response.status >= 400 {
        let code = response.headers.one("touchstone-code").unwrap_or_default();
        let words = String::from_utf8_lossy(&response.body);
        tracing::info!(%status, code, words = words.trim(), "no certificate");
    }
    let mut answer = Response::new(Body::from(response.body));
    *answer.status_mut() = status;
    for (name, value) in response.headers.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

/// Who answers what the protocol asks about one request.
struct Desk {
    fleet: Arc<Fleet>,
    peer: Peer,
    method: Method,
    /// Who has said its password.
    invited: Option<Invitation>,
}

impl Owner for Desk {
    async fn answer(&mut self, kind: AskKind, question: Vec<u8>) -> Reply {
        let decided = if kind == AskKind::Seal {
            Sealing::decode(&question).map_err(|_| NotIssued::Failed).and_then(|it| self.seal(&it))
        } else {
            match Question::decode(&question) {
                Ok(question) => self.decide(kind, question).await,
                Err(_) => Err(NotIssued::Failed),
            }
        };
        match decided {
            Ok(decision) => Reply::Bytes(decision.encode().to_vec()),
            Err(NotIssued::Malformed { code, text } | NotIssued::Judged { code, text }) => {
                Reply::refused(code, text)
            }
            Err(NotIssued::NoCertificate) => self
                .challenged(false)
                .map_or(Reply::Failed, |it| Reply::Bytes(it.encode().to_vec())),
            Err(NotIssued::Unavailable { code, text, after }) => {
                let decision = Decision::Unavailable { code: code.to_owned(), text, after };
                Reply::Bytes(decision.encode().to_vec())
            }
            Err(NotIssued::Later(seconds)) => {
                Reply::Bytes(Decision::Later(seconds).encode().to_vec())
            }
            Err(NotIssued::Failed) => Reply::Failed,
        }
    }
}

impl Desk {
    async fn decide(&mut self, kind: AskKind, question: Question) -> Result<Decision, NotIssued> {
        match kind {
            AskKind::Authorities => {
                Ok(Decision::Certificates(self.authorities(question.label.as_deref()).await))
            }
            AskKind::Attributes => self.attributes(question.label.as_deref()).await,
            AskKind::Admit => self.admit(&question).await,
            AskKind::Issue => self.issue(&question).await,
            _ => Err(NotIssued::Failed),
        }
    }

    /// The fleet's own, by which it is known in TLS, and those of another CA that signs by this
    /// profile.
    async fn authorities(&self, label: Option<&str>) -> Vec<Certificate> {
        let authority = &self.fleet.authority;
        let mut all = authority.certificates();
        let profile = authority.profile(label.unwrap_or(DEVICE));
        if let Some(upstream) = profile.and_then(|profile| authority.upstream_of(profile)) {
            all.extend(upstream.certificates().await);
        }
        all
    }

    /// For a device whose profile wants it, with a challenge in them.
    async fn attributes(&self, label: Option<&str>) -> Result<Decision, NotIssued> {
        let judge = &self.fleet.judge;
        let activation = judge.activation(label.unwrap_or(DEVICE), &self.peer).await?;
        wanted(activation.as_ref())
    }

    /// RFC 7030 §3.2.3: by a client certificate, or by HTTP. What is shown of both, both has to be
    /// good.
    async fn admit(&mut self, question: &Question) -> Result<Decision, NotIssued> {
        let Some(header) = &question.authorization else {
            let nobody = self.peer.certificates.is_empty();
            return if nobody { self.challenged(false) } else { Ok(Decision::Admitted) };
        };
        match self.invited(header, &question.path).await? {
            Shown::Good(invitation) => {
                self.invited = Some(invitation);
                Ok(Decision::Admitted)
            }
            Shown::Stale => self.challenged(true),
            Shown::Bad => self.challenged(false),
        }
    }

    /// Who says this password, or knows it (RFC 7617, RFC 7616).
    async fn invited(&self, header: &str, path: &str) -> Result<Shown, NotIssued> {
        let now = clock::now();
        if let Ok(basic) = Basic::parse(header) {
            let name = basic.user().to_owned();
            let found = self.fleet.store.call(move |db| db.invitation_of(&name, now)).await?;
            // Digests are compared, so that time tells nothing about the password.
            let shown = secret(&AwsLc, basic.user(), REALM, basic.password());
            let good = found.filter(|it| it.digest_secret == *shown);
            return Ok(good.map_or(Shown::Bad, Shown::Good));
        }
        let Ok(digest) = Digest::parse(header) else { return Ok(Shown::Bad) };
        let name = digest.user().to_owned();
        let found = self.fleet.store.call(move |db| db.invitation_of(&name, now)).await?;
        let Some(invitation) = found else { return Ok(Shown::Bad) };
        let (method, kept) = (self.method.name(), &invitation.digest_secret);
        if digest.verify(&AwsLc, REALM, method, path, kept).is_err() {
            return Ok(Shown::Bad);
        }
        let nonces = &self.fleet.registration.nonces;
        let Ok(mut nonces) = nonces.lock() else { return Err(NotIssued::Failed) };
        Ok(match nonces.check(&AwsLc, &digest, now) {
            Ok(()) => Shown::Good(invitation),
            Err(touchstone_httpauth::Error::StaleNonce) => Shown::Stale,
            Err(_) => Shown::Bad,
        })
    }

    fn challenged(&self, stale: bool) -> Result<Decision, NotIssued> {
        let Ok(nonces) = self.fleet.registration.nonces.lock() else {
            return Err(NotIssued::Failed);
        };
        let digest = nonces.challenge(&AwsLc, REALM, clock::now(), stale);
        let digest = digest.map_err(|_| NotIssued::Failed)?;
        let basic = format!("Basic realm=\"{REALM}\", charset=\"UTF-8\"");
        // Bouncy Castle's client takes the first, and wants quotes where RFC 7616 §3.3 has none.
        Ok(Decision::Unauthorized(vec![basic, digest.to_string()]))
    }

    async fn issue(&self, question: &Question) -> Result<Decision, NotIssued> {
        let read = CertificateRequest::decode(&question.request);
        let request = read.map_err(|_| NotIssued::Failed)?;
        let again = question.operation == Operation::SimpleReenroll;
        // RFC 7030 §3.2.2: the label is the profile.
        let profile = question.label.as_deref();
        if let (Some(invitation), Some(label)) = (&self.invited, profile)
            && *label != invitation.kind
        {
            let text = format!("the invitation is for `{}`, not for `{label}`", invitation.kind);
            return Err(NotIssued::Judged { code: "est.profile.unknown", text });
        }
        match (&self.invited, question.operation) {
            (Some(_), Operation::SimpleReenroll) => {
                let text = "renewal wants the certificate that is renewed in TLS".to_owned();
                Err(NotIssued::Judged { code: "est.certificate", text })
            }
            (Some(invitation), Operation::ServerKeygen) => {
                self.made(invitation, question.encrypt_to.as_deref()).await
            }
            (Some(invitation), _) => {
                named(&request, &invitation.name)?;
                let kind = request.key_description();
                let key = Key { spki: request.spki_der(), kind: &kind };
                let way = self.may(invitation, key).await?;
                let issued = self.issue_to(invitation, way, key.spki).await?;
                Ok(Decision::Certificates(vec![issued]))
            }
            (None, Operation::ServerKeygen) => {
                let text = "a device's key is made where it stays: in the device".to_owned();
                Err(NotIssued::Judged { code: "est.key.made", text })
            }
            (None, _) => {
                let (judge, profile) = (&self.fleet.judge, profile.unwrap_or(DEVICE));
                let issued = judge.certify_by(profile, &self.peer, request, again).await?;
                Ok(Decision::Certificates(vec![issued]))
            }
        }
    }

    async fn may(&self, invitation: &Invitation, key: Key<'_>) -> Result<Way, NotIssued> {
        let Fleet { authority, store, .. } = &*self.fleet;
        let applicant = Applicant::invited(invitation, "est", "");
        registration::admit(authority, store, &applicant, key).await
    }

    async fn issue_to(
        &self,
        invitation: &Invitation,
        way: Way,
        spki: &[u8],
    ) -> Result<Certificate, NotIssued> {
        let Fleet { authority, store, .. } = &*self.fleet;
        let applicant = Applicant::invited(invitation, "est", "");
        let issued = registration::issue(authority, store, &applicant, way, spki).await?;
        // A certificate for another key can only be one of before, whose key is gone.
        issued.filter(|it| it.spki_der() == spki).ok_or_else(|| NotIssued::Judged {
            code: "est.challenge.used",
            text: "this password was used for another key; ask the operator for a new one".into(),
        })
    }

    /// RFC 7030 §4.4.
    async fn made(
        &self,
        invitation: &Invitation,
        encrypt_to: Option<&[u8]>,
    ) -> Result<Decision, NotIssued> {
        let to = encrypt_to.map(|id| self.recipient(id)).transpose()?;
        let way = self.may(invitation, Key { spki: &[], kind: "made by the fleet" }).await?;
        let key = SoftSigner::generate(MADE).map_err(Error::crypto("a new key"))?;
        let certificate = self.issue_to(invitation, way, key.spki_der()).await?;
        let given = match to {
            None => Given::Plain(key.pkcs8_der().to_vec().into()),
            Some(to) => {
                let ours = &self.fleet.registration;
                let by: (&_, &dyn Signer) = (&ours.certificate, &ours.key);
                let sealed = keygen::encrypt(&AwsLc, key.pkcs8_der(), by, &to, clock::now());
                Given::Encrypted(sealed.map_err(|_| NotIssued::Failed)?)
            }
        };
        Ok(Decision::Key { certificates: vec![certificate], key: given })
    }

    /// RFC 7030 §4.4.1.2: the key to encrypt to is the one that TLS has shown.
    fn recipient(&self, id: &[u8]) -> Result<Certificate, NotIssued> {
        let leaf = self.peer.certificates.first().and_then(|der| Certificate::decode(der).ok());
        leaf.filter(|it| it.subject_key_id() == Some(id)).ok_or_else(|| NotIssued::Judged {
            code: "est.key.recipient",
            text: "the key to encrypt to is not the client certificate's".into(),
        })
    }

    fn seal(&self, sealing: &Sealing) -> Result<Decision, NotIssued> {
        let ours = &self.fleet.registration;
        let by: [(&_, &dyn Signer); 1] = [(&ours.certificate, &ours.key)];
        let mut beside = sealing.certificates.clone();
        let issuing = self.fleet.authority.issuing().iter();
        beside.extend(issuing.map(|ca| ca.certificate.clone()));
        let (content, kind, at) = (&sealing.content, &sealing.content_type, clock::now());
        let der = SignedData::sign_beside(&AwsLc, content, kind, &by, at, &[], &beside);
        der.map(Decision::Sealed).map_err(|_| NotIssued::Failed)
    }
}

/// What a header shows.
enum Shown {
    Good(Invitation),
    Stale,
    Bad,
}

/// A subject that claims no more than the invitation says.
pub(super) fn named(request: &CertificateRequest, name: &str) -> Result<(), NotIssued> {
    let subject = request.subject();
    // As text, since clients differ in the string types that they use.
    let wanted = touchstone_certs::Name::common_name(name).map(|it| it.to_string());
    let good = subject.is_empty() || wanted.is_ok_and(|wanted| wanted == subject.to_string());
    if good {
        return Ok(());
    }
    let text = format!("the invitation is for `CN={name}`; ask for that, or for an empty subject");
    Err(NotIssued::Judged { code: "est.subject", text })
}

/// RFC 8951 §3, RFC 9908 §3.2: a P-256 key and SHA-256, and where it lives.
fn wanted(activation: Option<&Activation>) -> Result<Decision, NotIssued> {
    let key = Valued { oid: EC_PUBLIC_KEY.into(), values: vec![P256.to_vec()] };
    let mut wanted =
        Attributes { named: vec![ECDSA_SHA256.into()], valued: vec![key], template: None };
    let asked = activation.map(Activation::to_attribute).transpose();
    wanted.valued.extend(asked.map_err(|_| NotIssued::Failed)?);
    wanted.encode().map(Decision::Attributes).map_err(|_| NotIssued::Failed)
}
