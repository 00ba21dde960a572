//! A server's end (RFC 7030 §4): every request gets its response, and what is decided is the owner's.
//!
//! Operations that hand out nothing but public words are answered to anybody (RFC 7030 §4.1.1, §4.5.1);
//! for every other one the owner first says whether this client may ask at all, and only then is its
//! body looked at.

use crate::Error;
use crate::est::body::{self, Lines};
use crate::est::cmc::{self, FailInfo, Outcome, PkiData, PkiResponse};
use crate::est::{
    CERTS_TYPE, CHALLENGE_PASSWORD, CSRATTRS_TYPE, Decision, ENROLLED_TYPE, Operation, Question,
    REQUEST_TYPE, Sealing, TRANSFER_ENCODING, keygen,
};
use crate::exchange::{Answering, Limits, Request, Response, Service, Step};
use base64ct::{Base64, Encoding};
use std::sync::Arc;
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_cms::certs_only;
use touchstone_crypto::Crypto;
use touchstone_engine::{Answer, AskKind};

/// A server's end of one conversation.
pub type Server = Answering<Registrar>;

/// What a server needs to know.
#[derive(Clone)]
pub struct ServerSetup {
    /// Who checks signatures.
    pub crypto: Arc<dyn Crypto>,
    /// The time of its making in Unix seconds.
    pub now: u64,
    /// What binds a request to the connection that it comes by.
    pub binding: Binding,
}

/// How a request is bound to its connection (RFC 7030 §3.5): by a `challengePassword` that holds what
/// both ends of the connection know, so that nobody in between can pass it on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// What both ends know: `tls-exporter` (RFC 9266), or in TLS 1.2 `tls-unique` (RFC 5929).
    pub octets: Option<Vec<u8>>,
    /// Whether a request without it is refused.
    pub required: bool,
}

impl Server {
    /// A server's end for one client.
    pub fn of(setup: ServerSetup, limits: Limits) -> Self {
        Self::new(Registrar { setup, doing: Doing::Nothing }, limits)
    }
}

/// What an EST server says and asks.
pub struct Registrar {
    setup: ServerSetup,
    doing: Doing,
}

/// What the owner is being asked.
enum Doing {
    Nothing,
    Authorities { lines: Lines },
    Attributes { lines: Lines },
    Admitting(Call),
    Issuing { call: Call },
    Cmc(Box<Full>),
    Sealing { lines: Lines },
}

/// A request that asks for something.
struct Call {
    question: Question,
    content_type: String,
    body: Vec<u8>,
    lines: Lines,
}

/// A full PKI request under way.
struct Full {
    call: Call,
    data: PkiData,
    outcomes: Vec<(u32, Outcome)>,
    certificates: Vec<Certificate>,
}

impl Service for Registrar {
    fn asked(&mut self, request: Request) -> Step {
        // A query means nothing here, and some clients end paths with a slash.
        let path = request.path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let Some((operation, label)) = Operation::from_path(path) else {
            return no(404, "est.not-found", "there is no such operation of EST");
        };
        if request.method != operation.method() {
            let name = operation.method().name();
            let words = format!("{} is asked for by {name}", operation.name());
            return respond(failure(405, "est.method", &words).with("allow", name));
        }
        let lines = Lines::for_client(request.headers.one("user-agent"));
        let question = Question {
            operation,
            label: label.map(str::to_owned),
            path: request.path.clone(),
            authorization: request.headers.one("authorization").map(str::to_owned),
            request: Vec::new(),
            encrypt_to: None,
        };
        let asked = question.encode();
        match operation {
            Operation::CaCerts => {
                self.doing = Doing::Authorities { lines };
                Step::Ask(AskKind::Authorities, asked)
            }
            Operation::CsrAttrs => {
                self.doing = Doing::Attributes { lines };
                Step::Ask(AskKind::Attributes, asked)
            }
            _ => {
                let content_type = request.headers.one("content-type").unwrap_or_default();
                let content_type = content_type.to_owned();
                let call = Call { question, content_type, body: request.body, lines };
                self.doing = Doing::Admitting(call);
                Step::Ask(AskKind::Admit, asked)
            }
        }
    }

    fn answered(&mut self, answer: Answer<'_>) -> Step {
        let doing = core::mem::replace(&mut self.doing, Doing::Nothing);
        if let Doing::Cmc(full) = doing {
            return self.next_of(*full, decided(answer));
        }
        let decision = match decided(answer) {
            Ok(decision) => decision,
            Err(response) => return respond(response),
        };
        let done = match (doing, decision) {
            (_, Decision::Unauthorized(challenges)) => Ok(unauthorized(&challenges)),
            (_, Decision::Later(seconds)) => Ok(later(seconds)),
            (Doing::Authorities { lines }, Decision::Certificates(certificates)) => {
                certificates_response(&certificates, CERTS_TYPE, lines)
            }
            (Doing::Attributes { lines }, Decision::Attributes(der)) => Ok(attributes(&der, lines)),
            (Doing::Admitting(call), Decision::Admitted) => return self.admitted(call),
            (Doing::Issuing { call }, Decision::Certificates(certificates)) => {
                certificates_response(&certificates, ENROLLED_TYPE, call.lines)
            }
            (Doing::Issuing { call }, Decision::Key { certificates, key }) => {
                certs_only(&certificates).map_err(Error::from).map(|certs| {
                    let (media, body) = keygen::encode(&certs, &key, call.lines);
                    Response::with_body(200, &media, body.as_bytes())
                })
            }
            (Doing::Sealing { lines }, Decision::Sealed(der)) => {
                Ok(encoded(cmc::RESPONSE_TYPE, &der, lines))
            }
            // An answer to another question is no answer.
            _ => Ok(failed()),
        };
        respond(done.unwrap_or_else(|_| failed()))
    }
}

impl Registrar {
    /// The client may ask: now its body is looked at.
    fn admitted(&mut self, mut call: Call) -> Step {
        let operation = call.question.operation;
        if operation == Operation::FullCmc {
            return self.full(call);
        }
        let request = match self.read(&call) {
            Ok(request) => request,
            Err(error) => {
                let forged = error.code() == touchstone_certs::Refusal::BadSignature.code();
                let code = if forged { "est.request.signature" } else { error.code() };
                return no(400, code, &error.to_string());
            }
        };
        if operation == Operation::ServerKeygen {
            match keygen::encrypt_to(&request) {
                Ok(id) => call.question.encrypt_to = id,
                Err(error) => return no(400, error.code(), &error.to_string()),
            }
        } else if let Err((code, words)) = self.bound(&request) {
            return no(400, code, words);
        }
        call.question.request = request.der().to_vec();
        let question = call.question.encode();
        self.doing = Doing::Issuing { call };
        Step::Ask(AskKind::Issue, question)
    }

    /// The request, whose maker holds its key. A request for a key that the server is to make proves
    /// nothing by its signature, which is passed over (RFC 7030 §4.4.1).
    fn read(&self, call: &Call) -> Result<CertificateRequest, Error> {
        if !body::is_type(&call.content_type, REQUEST_TYPE) {
            return Err(Error::WrongContentType);
        }
        let request = CertificateRequest::decode(&body::unwrap_lenient(&call.body)?)?;
        if call.question.operation == Operation::ServerKeygen {
            return Ok(request);
        }
        Ok(request.verify(&*self.setup.crypto)?.into_inner())
    }

    /// RFC 7030 §3.5. A `challengePassword` that is no base64 is none of ours: other protocols put
    /// passwords there.
    fn bound(&self, request: &CertificateRequest) -> Result<(), (&'static str, &'static str)> {
        let Binding { octets, required } = &self.setup.binding;
        let shown = request.attribute(CHALLENGE_PASSWORD).and_then(text);
        let shown = shown.and_then(|it| Base64::decode_vec(&it).ok());
        match (shown, octets) {
            (Some(shown), Some(known)) if *shown == **known => Ok(()),
            (Some(_), Some(_)) => {
                Err(("est.binding.mismatch", "the request is bound to another connection"))
            }
            (None, _) if *required => {
                let words = "the request has to be bound to this connection: put its base64 \
                             tls-exporter into challengePassword";
                Err(("est.binding.missing", words))
            }
            (Some(_), None) if *required => {
                Err(("est.binding.unknown", "this connection has nothing to be bound to"))
            }
            _ => Ok(()),
        }
    }

    /// RFC 7030 §4.3.
    fn full(&mut self, call: Call) -> Step {
        let smime = body::parameter(&call.content_type, "smime-type").unwrap_or_default();
        if !body::is_type(&call.content_type, CERTS_TYPE)
            || !smime.eq_ignore_ascii_case("CMC-request")
        {
            let error = Error::WrongContentType;
            return no(400, error.code(), &error.to_string());
        }
        let read = body::unwrap_lenient(&call.body)
            .and_then(|der| cmc::read_request(&*self.setup.crypto, &der));
        let (data, _) = match read {
            Ok(read) => read.into_inner(),
            Err(error) => return no(400, error.code(), &error.to_string()),
        };
        let (outcomes, certificates) = (Vec::new(), Vec::new());
        self.on(Full { call, data, outcomes, certificates })
    }

    /// Asks about the next part, or has what is decided sealed.
    fn on(&mut self, mut full: Full) -> Step {
        let next = full.data.requests.get(full.outcomes.len());
        if let Some((_, request)) = next {
            full.call.question.request = request.der().to_vec();
            let question = full.call.question.encode();
            self.doing = Doing::Cmc(Box::new(full));
            return Step::Ask(AskKind::Issue, question);
        }
        let response = PkiResponse::to(&full.data, &full.outcomes).encode(self.setup.now);
        let Ok(content) = response else { return respond(failed()) };
        self.doing = Doing::Sealing { lines: full.call.lines };
        let content_type = cmc::PKI_RESPONSE.to_owned();
        let sealing = Sealing { content_type, content, certificates: full.certificates };
        Step::Ask(AskKind::Seal, sealing.encode())
    }

    fn next_of(&mut self, mut full: Full, decision: Result<Decision, Response>) -> Step {
        let outcome = match decision {
            Ok(Decision::Certificates(certificates)) => {
                full.certificates.extend(certificates);
                Outcome::Issued
            }
            Ok(Decision::Later(seconds)) => Outcome::Pending(seconds),
            Ok(_) => {
                let text = "this is not issued by CMC".to_owned();
                Outcome::Failed { info: FailInfo::BadRequest, text }
            }
            Err(response) => {
                let text = String::from_utf8_lossy(&response.body).trim().to_owned();
                let later = response.status == 503;
                let info = if later { FailInfo::TryLater } else { FailInfo::BadRequest };
                Outcome::Failed { info, text }
            }
        };
        let id = full.data.requests.get(full.outcomes.len()).map_or(0, |(id, _)| *id);
        full.outcomes.push((id, outcome));
        self.on(full)
    }
}

fn text(der: &[u8]) -> Option<String> {
    let any = <der::asn1::AnyRef<'_> as der::Decode<'_>>::from_der(der).ok()?;
    String::from_utf8(any.value().to_vec()).ok()
}

fn decided(answer: Answer<'_>) -> Result<Decision, Response> {
    match answer {
        Answer::Bytes(octets) => match Decision::decode(octets) {
            Some(Decision::Unavailable { code, text, after }) => {
                Err(failure(503, &code, &text).with("retry-after", &after.to_string()))
            }
            decision => decision.ok_or_else(failed),
        },
        Answer::Refused { code, text } => Err(failure(403, code, text)),
        _ => Err(failed()),
    }
}

fn respond(response: Response) -> Step {
    Step::Respond(response)
}

fn no(status: u16, code: &str, words: &str) -> Step {
    respond(failure(status, code, words))
}

/// RFC 7030 §4.2.3: an error's words are `text/plain`. Its stable code stands in a header beside them.
fn failure(status: u16, code: &str, words: &str) -> Response {
    Response::with_body(status, "text/plain; charset=utf-8", format!("{words}\n"))
        .with("touchstone-code", code)
}

fn failed() -> Response {
    failure(503, "fleet.failed", "it could not be done; try again in a moment")
        .with("retry-after", "2")
}

/// RFC 7030 §4.2.3: what is pending says when to come back.
fn later(seconds: u32) -> Response {
    Response::with_body(202, "text/plain; charset=utf-8", "somebody has yet to decide\n")
        .with("retry-after", &seconds.to_string())
}

/// RFC 7030 §3.2.3. Without words: Bouncy Castle's client gives up on a 401 that has a body.
fn unauthorized(challenges: &[String]) -> Response {
    let mut response = Response::status(401).with("touchstone-code", "est.certificate.none");
    for challenge in challenges {
        response = response.with("www-authenticate", challenge);
    }
    response
}

fn attributes(der: &[u8], lines: Lines) -> Response {
    // RFC 7030 §4.5.2: nothing in particular.
    if der.is_empty() {
        return Response::status(204);
    }
    encoded(CSRATTRS_TYPE, der, lines)
}

fn certificates_response(
    certificates: &[Certificate],
    media_type: &str,
    lines: Lines,
) -> Result<Response, Error> {
    let body = body::encode_certs(certificates, lines)?;
    Ok(Response::with_body(200, media_type, body)
        .with("content-transfer-encoding", TRANSFER_ENCODING))
}

fn encoded(media_type: &str, der: &[u8], lines: Lines) -> Response {
    Response::with_body(200, media_type, body::wrap(der, lines))
        .with("content-transfer-encoding", TRANSFER_ENCODING)
}
