//! `touchstone scep`.

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Enrolling, Scep, Server};
use crate::{files, signing};
use std::path::Path;
use std::time::Duration;
use touchstone_certs::crl::Crl;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, CertificateRequest, Name, Purpose, TrustStore, request};
use touchstone_crypto::{Crypto as _, Signer as _};
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_drive::Reply;
use touchstone_drive::http::{Address, HttpClient, HttpError, converse};
use touchstone_engine::{AskKind, Fault as _};
use touchstone_enroll::exchange::{Headers, Limits, Method, Request};
use touchstone_enroll::scep::client::{self, Client, ClientSetup, Event, Meaning};
use touchstone_enroll::scep::{
    Body, CHALLENGE_PASSWORD, Capabilities, Enrolment, Error, MessageType, Operation, Progress,
    Reply as CaReply, Requester, Sent, Transaction, ca_certificates, next_ca_certificates,
    read_reply,
};

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// A server that does not answer so often in a row is not there: one that is started anew meanwhile is.
const MOST_FAILURES: u32 = 3;
/// What we call ourselves.
const AGENT: &str = concat!("touchstone/", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(verb: &Scep) -> Answered {
    match verb {
        Scep::Caps { server } => caps(&place(server)?),
        Scep::Cacert { server, out } => cacert(&place(server)?, out),
        Scep::NextCacert { server, ca, out } => next_cacert(&place(server)?, ca, out),
        Scep::Crl { with, cert, key, of } => {
            let holder = holder(cert, key)?;
            let of = match of {
                Some(path) => signing::certificates(path)?.swap_remove(0),
                None => holder.0.clone(),
            };
            let asked = (Body::revocation_list(&of), MessageType::GetCrl);
            match single("touchstone.scep.crl/1", with, &holder, asked)? {
                Ok(Event::Lists(lists)) => list(with, &lists),
                Ok(other) => no("touchstone.scep.crl/1", &other),
                Err(answer) => Ok(answer),
            }
        }
        Scep::Cert { with, cert, key, serial } => {
            let holder = holder(cert, key)?;
            let serial = octets(serial)?;
            let ca = signing::certificates(&with.ca)?;
            let issuer = ca.iter().find(|it| it.is_ca());
            let issuer = issuer.ok_or_else(|| Failure::usage("no CA", "give --ca"))?;
            let issuer_der = issuer.subject_der().to_vec();
            let asked = (Body::Certificate { issuer_der, serial }, MessageType::GetCert);
            match single("touchstone.scep.cert/1", with, &holder, asked)? {
                Ok(Event::Issued(certificates)) => {
                    let (certificate, others) = certificates.split_first().ok_or_else(|| {
                        failed(&touchstone_enroll::scep::Refusal::NoCertificate.into())
                    })?;
                    issued("touchstone.scep.cert/1", with, &ca, certificate, others)
                }
                Ok(other) => no("touchstone.scep.cert/1", &other),
                Err(answer) => Ok(answer),
            }
        }
        Scep::Enroll { with, subject, key, challenge } => {
            let pair = load(key)?;
            let subject = Name::parse(subject)
                .map_err(|error| Failure::usage(error, "write it as CN=pump-3,O=Plant"))?;
            let mut attributes = Vec::new();
            if let Some(reference) = challenge {
                let text = files::read_secret(reference, "--challenge")?;
                attributes.push(challenge_attribute(text.trim())?);
            }
            let request = made(&subject, &attributes, &pair.0)?;
            // RFC 8894 §2.3: a certificate of its own, until there is one of the CA.
            let now = files::now()?;
            let template = Template::new(Kind::Client, subject, now - 60, now + 7 * 86_400);
            let certificate =
                template.self_sign(&AwsLc, &pair.0).map_err(|it| failed(&it.into()))?;
            enrol("touchstone.scep.enroll/1", with, &certificate, &pair, request, false)
        }
        Scep::Renew { with, cert, key, new_key } => {
            let (pair, next) = (load(key)?, load(new_key)?);
            let certificate = signing::certificates(cert)?.swap_remove(0);
            if certificate.spki_der() != pair.0.spki_der() {
                let message = format!("the key {key} is not that of {}", cert.display());
                return Err(Failure::usage(message, "give the certificate's own key"));
            }
            let subject = Name::decode(certificate.subject_der());
            let subject = subject.map_err(|error| failed(&error.into()))?;
            let request = made(&subject, &[], &next.0)?;
            enrol("touchstone.scep.renew/1", with, &certificate, &pair, request, true)
        }
    }
}

/// Where a SCEP server is, and which of its CAs is meant.
struct Place {
    address: Address,
    ca: Option<String>,
}

fn place(server: &Server) -> Result<Place, Failure> {
    let form = "write http://HOST[:PORT]/PATH: SCEP protects its messages itself";
    let address: Address = server.url.parse().map_err(|error| Failure::usage(error, form))?;
    if address.is_secure() {
        return Err(Failure::usage(format!("`{}` is by TLS", server.url), form));
    }
    let plain = |it: &String| it.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    let ca = server.ca_id.clone();
    if !ca.as_ref().is_none_or(plain) {
        let message = "a CA's name has letters, digits, - _ .";
        return Err(Failure::usage(message, "give --ca-id otherwise"));
    }
    Ok(Place { address, ca })
}

fn failed(error: &Error) -> Failure {
    let next = "`touchstone scep caps` and `touchstone scep cacert` show what the server is";
    Failure::unknown(error.code(), error, next)
}

fn unreachable(error: &HttpError) -> Failure {
    Failure::unknown("touchstone.scep.unreachable", error, "check --url")
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::unknown("touchstone.platform", error, "try again"))
}

impl Place {
    fn link(&self) -> HttpClient {
        HttpClient::plain(self.address.clone(), AGENT, PATIENCE)
    }

    /// What is asked for without a message.
    fn get(&self, operation: Operation) -> Result<Vec<u8>, Failure> {
        let path = operation.path(self.address.path(), self.ca.as_deref());
        let (method, headers, body) = (Method::Get, Headers::new(), Vec::new());
        let request = Request { method, path, headers, body };
        let answer = runtime()?.block_on(async { self.link().request(&request).await });
        let answer = answer.map_err(|error| unreachable(&error))?;
        // Redirects are not followed: nobody said that the other one may be trusted as much.
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let message =
            format!("{} answers {} with {}", self.address, operation.name(), answer.status);
        Err(Failure::unknown("touchstone.scep.status", message, "check --url"))
    }
}

fn capabilities(place: &Place) -> Result<Capabilities, Failure> {
    let body = place.get(Operation::GetCaCaps)?;
    Capabilities::decode(&body).map_err(|error| failed(&error))
}

fn caps(place: &Place) -> Answered {
    let found = capabilities(place)?;
    let said: Vec<String> = found.encode().lines().map(str::to_owned).collect();
    let strong = found.check();
    let mut answer = Answer::new("touchstone.scep.caps/1")
        .good(strong.is_ok())
        .with("capabilities", said.clone());
    for word in said {
        answer = answer.line(word);
    }
    Ok(match strong {
        Ok(()) => answer,
        Err(error) => answer.with("code", error.code()).word(error),
    })
}

fn cacert(place: &Place, out: &Path) -> Answered {
    let body = place.get(Operation::GetCaCert)?;
    let certificates = ca_certificates(&body).map_err(|error| failed(&error))?;
    write(out, &certificates)?;
    let mut answer = Answer::new("touchstone.scep.cacert/1")
        .with("certificates", certificates.iter().map(signing::to_json).collect::<Vec<_>>());
    for certificate in &certificates {
        let digest = certificate.fingerprint_sha256(&AwsLc);
        answer = answer.line(format_args!("{}  {digest}", certificate.subject()));
    }
    Ok(answer.word("nobody has signed this: compare a fingerprint that came another way"))
}

fn next_cacert(place: &Place, ca: &Path, out: &Path) -> Answered {
    const SCHEMA: &str = "touchstone.scep.next-cacert/1";
    let ca = signing::certificates(ca)?;
    let body = place.get(Operation::GetNextCaCert)?;
    let mut refused = touchstone_enroll::scep::Refusal::NotTheCa.into();
    for one in &ca {
        match next_ca_certificates(&AwsLc, &body, one) {
            Ok(next) => {
                write(out, &next)?;
                let shown: Vec<_> = next.iter().map(signing::to_json).collect();
                let mut answer = Answer::new(SCHEMA).with("certificates", shown);
                for certificate in next.iter() {
                    let digest = certificate.fingerprint_sha256(&AwsLc);
                    answer = answer.line(format_args!("{}  {digest}", certificate.subject()));
                }
                return Ok(answer.word(format_args!("wrote {}", out.display())));
            }
            Err(error) => refused = error,
        }
    }
    let answer = Answer::new(SCHEMA).good(false).with("code", refused.code());
    Ok(answer.with("reason", refused.to_string()).word(refused))
}

fn write(out: &Path, certificates: &[Certificate]) -> Result<(), Failure> {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str(&certificate.to_pem().map_err(|error| failed(&error.into()))?);
    }
    files::write(out, pem.as_bytes())
}

/// An RSA key that signs, and the same that opens.
type Pair = (SoftSigner, SoftDecrypter);

fn load(reference: &str) -> Result<Pair, Failure> {
    let pem = files::read_secret(reference, "--key")?;
    let next = "give an RSA key in PKCS#8 PEM: `openssl genpkey -algorithm RSA` makes one";
    let both = SoftSigner::from_pkcs8_pem(&pem).and_then(|signs| {
        let opens = SoftDecrypter::from_pkcs8_pem(&pem)?;
        Ok((signs, opens))
    });
    let rsa = both.ok().filter(|(key, _)| key.algorithm().name().starts_with("rsa"));
    rsa.ok_or_else(|| {
        let message = format!("{reference} is no RSA key, and SCEP encrypts its replies by RSA");
        Failure::usage(message, next)
    })
}

fn challenge_attribute(text: &str) -> Result<request::Attribute, Failure> {
    let value = touchstone_enroll::scep::challenge(text).map_err(|error| failed(&error))?;
    Ok(request::Attribute { oid: CHALLENGE_PASSWORD.into(), value })
}

fn made(
    subject: &Name,
    attributes: &[request::Attribute],
    key: &SoftSigner,
) -> Result<CertificateRequest, Failure> {
    request::build(subject, &[], attributes, key)
        .and_then(|der| CertificateRequest::decode(&der))
        .map_err(|error| failed(&error.into()))
}

fn enrol(
    schema: &'static str,
    with: &Enrolling,
    certificate: &Certificate,
    (signs, opens): &Pair,
    request: CertificateRequest,
    renewal: bool,
) -> Answered {
    let ca = signing::certificates(&with.ca)?;
    let requester = Requester { certificate, key: signs, to: recipient(&ca)? };
    let enrolment = Enrolment::new(&AwsLc, requester, opens, &ca, request, renewal)
        .map_err(|error| failed(&error))?;
    let enrolment = std::cell::RefCell::new(enrolment);
    let next = |at| enrolment.borrow_mut().next(&AwsLc, at);
    let read = |reply: &[u8]| {
        Ok(match enrolment.borrow_mut().read(&AwsLc, reply)? {
            Progress::Issued { certificate, others } => {
                Meaning::Issued(std::iter::once(certificate).chain(others).collect())
            }
            Progress::Pending => Meaning::Pending,
            Progress::Failed { info, text } => said_no(info.name(), text),
        })
    };
    match talk(schema, with, next, read)? {
        Ok(Event::Issued(certificates)) => match certificates.split_first() {
            Some((certificate, others)) => issued(schema, with, &ca, certificate, others),
            None => Err(failed(&touchstone_enroll::scep::Refusal::NoCertificate.into())),
        },
        Ok(other) => no(schema, &other),
        Err(answer) => Ok(answer),
    }
}

/// RFC 8894 §4.2.1.2: an RA's certificate takes the messages when there is one.
fn recipient(ca: &[Certificate]) -> Result<&Certificate, Failure> {
    let to = ca.iter().find(|it| !it.is_ca()).or(ca.first());
    to.ok_or_else(|| Failure::usage("no CA", "give --ca"))
}

fn said_no(info: &str, text: Option<String>) -> Meaning {
    let text = text.unwrap_or_else(|| "it says no more".to_owned());
    Meaning::Failed { info: info.to_owned(), text }
}

/// A certificate that asks, and its key.
fn holder(cert: &Path, key: &str) -> Result<(Certificate, Pair), Failure> {
    let (certificate, pair) = (signing::certificates(cert)?.swap_remove(0), load(key)?);
    if certificate.spki_der() == pair.0.spki_der() {
        return Ok((certificate, pair));
    }
    let message = format!("the key {key} is not that of {}", cert.display());
    Err(Failure::usage(message, "give the certificate's own key"))
}

/// A conversation of one message.
fn single(
    schema: &'static str,
    with: &Enrolling,
    (certificate, (signs, opens)): &(Certificate, Pair),
    (body, kind): (Body, MessageType),
) -> Result<Result<Event, Answer>, Failure> {
    let ca = signing::certificates(&with.ca)?;
    let requester = Requester { certificate, key: signs, to: recipient(&ca)? };
    let sent: std::cell::RefCell<Option<Sent>> = std::cell::RefCell::default();
    let transaction = Transaction::of_key(&AwsLc, signs.spki_der());
    let next = |at| {
        let new = requester.send(&AwsLc, &body, &transaction, at)?;
        let message = new.message.clone();
        *sent.borrow_mut() = Some(new);
        Ok(message)
    };
    let read = |reply: &[u8]| {
        let sent = sent.borrow();
        let sent = sent.as_ref().ok_or(touchstone_enroll::scep::Refusal::WrongType)?;
        let reply = read_reply(&AwsLc, reply, sent, &ca, (certificate, opens), kind)?;
        Ok(match reply.into_inner() {
            CaReply::Certificates(certificates) => Meaning::Issued(certificates),
            CaReply::RevocationLists(lists) => Meaning::Lists(lists),
            CaReply::Failed { info, text } => said_no(info.name(), text),
            _ => return Err(touchstone_enroll::scep::Refusal::BadContent.into()),
        })
    };
    talk(schema, with, next, read)
}

/// Turns the engine to its end: what it told, or the answer that says no.
fn talk(
    schema: &'static str,
    with: &Enrolling,
    mut next: impl FnMut(u64) -> Result<Vec<u8>, Error>,
    mut read: impl FnMut(&[u8]) -> Result<Meaning, Error>,
) -> Result<Result<Event, Answer>, Failure> {
    let place = place(&with.server)?;
    let retries = with.wait / PAUSE.as_secs();
    let setup = ClientSetup {
        path: place.address.path().to_owned(),
        ca: place.ca.clone(),
        retries: u32::try_from(retries).unwrap_or(u32::MAX),
        pause: PAUSE,
    };
    let mut id = [0; 16];
    AwsLc.random(&mut id).map_err(|it| Failure::unknown(it.code(), it, "try again"))?;
    let deadline = Duration::from_secs(with.wait).saturating_add(PATIENCE);
    let engine = Client::of(setup, id, Limits { deadline, ..Limits::default() });
    let at = files::now()?;
    let owner = |kind: AskKind, question: &[u8], _| {
        let answered = match kind {
            AskKind::Request => next(at).map(Some),
            AskKind::Conclude => read(question).map(|meaning| meaning.encode()),
            _ => Ok(None),
        };
        match answered {
            Ok(Some(octets)) => Reply::Bytes(octets),
            Ok(None) => Reply::Failed,
            Err(error) => Reply::refused(error.code(), error.to_string()),
        }
    };
    let mut link = place.link();
    let ended = runtime()?.block_on(converse(engine, &mut link, MOST_FAILURES, owner));
    let mut error = match ended.map_err(|error| unreachable(&error))? {
        Ok(mut events) => {
            let event = events.pop();
            return event
                .map(Ok)
                .ok_or_else(|| failed(&touchstone_enroll::scep::Refusal::NoCertificate.into()));
        }
        Err(error) => error,
    };
    let event = error.events.pop();
    match (error.end.take(), event) {
        // What came was not believed, or could not be made: the words are this side's.
        (Some(client::Error::OwnerRefused), Some(Event::Refused { code, text })) => {
            let answer = Answer::new(schema).good(false).with("code", code);
            Ok(Err(answer.with("reason", text.as_str()).word(text)))
        }
        (Some(client::Error::Refused), Some(event)) => Ok(Ok(event)),
        (Some(end @ client::Error::Status(_)), Some(Event::Refused { code, text })) => {
            let words = format!("{end}: {text}");
            let answer = Answer::new(schema).good(false).with("code", end.code());
            Ok(Err(answer.with("server_code", code).with("reason", text).word(words)))
        }
        (Some(end @ client::Error::WeakCa), _) => {
            let answer = Answer::new(schema).good(false).with("code", end.code());
            Ok(Err(answer.with("reason", end.to_string()).word(end)))
        }
        (Some(end @ client::Error::StillPending), _) => {
            let message = format!("nobody has decided within {} s", with.wait);
            let next = "ask again later with the same key: the CA knows the transaction by it";
            Err(Failure::unknown(end.code(), message, next))
        }
        (Some(end), _) => Err(Failure::unknown(end.code(), end, "check --url")),
        (None, _) => Err(Failure::unknown("scep.stuck", "it waits for ever", "try again")),
    }
}

/// The CA's no.
fn no(schema: &'static str, event: &Event) -> Answered {
    let Event::Refused { code, text } = event else {
        return Err(failed(&touchstone_enroll::scep::Refusal::BadContent.into()));
    };
    let answer = Answer::new(schema).good(false).with("fail_info", code.as_str());
    let words = format!("the CA refused: {code} ({text})");
    Ok(answer.with("reason", text.as_str()).word(words))
}

/// A list counts when one of the CAs signed it and it is not over.
fn list(with: &Enrolling, lists: &[Vec<u8>]) -> Answered {
    const SCHEMA: &str = "touchstone.scep.crl/1";
    let wrong = |error: touchstone_certs::Error| failed(&error.into());
    let now = files::now()?;
    let ca = signing::certificates(&with.ca)?;
    let mut pem = String::new();
    let mut answer = Answer::new(SCHEMA);
    for der in lists {
        let crl = Crl::decode(der).map_err(wrong)?;
        let by = |it: &&Certificate| {
            it.is_ca()
                && Name::decode(it.subject_der()).is_ok_and(|name| name == *crl.issuer())
                && crl.verify_signature(&AwsLc, it.spki_der()).is_ok()
        };
        let code = match ca.iter().find(by) {
            None => Some(("scep.crl.not-the-ca", "the list is not by one of the CAs")),
            Some(_) if crl.next_update() <= now => Some(("scep.crl.stale", "the list is stale")),
            Some(_) => None,
        };
        if let Some((code, words)) = code {
            return Ok(answer.good(false).with("code", code).with("reason", words).word(words));
        }
        pem.push_str(&crl.to_pem().map_err(wrong)?);
        answer = answer
            .with("number", crl.number())
            .with("revoked", crl.len())
            .with("next_update", crl.next_update())
            .line(format_args!("{}  number {}, {} revoked", crl.issuer(), crl.number(), crl.len()));
    }
    files::write(&with.out, pem.as_bytes())?;
    Ok(answer
        .with("out", with.out.display().to_string())
        .word(format_args!("wrote {}", with.out.display())))
}

fn octets(hex: &str) -> Result<Vec<u8>, Failure> {
    let plain: String = hex.chars().filter(|c| *c != ':').collect();
    let even = if plain.len().is_multiple_of(2) { plain } else { format!("0{plain}") };
    let found: Option<Vec<u8>> = even
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    found.filter(|it| (1..=20).contains(&it.len())).ok_or_else(|| {
        Failure::usage(format!("`{hex}` is no serial number"), "write it in hexadecimal")
    })
}

fn issued(
    schema: &'static str,
    with: &Enrolling,
    ca: &[Certificate],
    certificate: &Certificate,
    others: &[Certificate],
) -> Answered {
    let store = TrustStore::new(ca.iter().filter(|it| it.is_ca()).cloned().collect());
    let now = files::now()?;
    let chain = store.validate(&AwsLc, certificate, others, now, Purpose::Any);
    if let Err(error) = chain {
        let words = format!("the certificate that came does not lead to the CA: {error}");
        let answer = Answer::new(schema).good(false).with("code", error.code());
        return Ok(answer.with("reason", error.to_string()).word(words));
    }
    write(&with.out, std::slice::from_ref(certificate))?;
    Ok(Answer::new(schema)
        .with("out", with.out.display().to_string())
        .with("certificate", signing::to_json(certificate))
        .line(format_args!("{}  until {}", certificate.subject(), certificate.not_after()))
        .word(format_args!("wrote {}", with.out.display())))
}
