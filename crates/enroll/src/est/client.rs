//! A client's end (RFC 7030 §4): its way to a certificate, and what is wrong with replies.

use crate::est::body::{self, Lines};
use crate::est::{
    Error, Given, Operation, REQUEST_TYPE, decode_attributes, decode_certs, keygen, path_with,
};
use crate::exchange::{Asking, Conversation, Headers, Limits, Method, Next, Request, Response};
use core::time::Duration;
use std::sync::Arc;
use touchstone_certs::{Certificate, CertificateRequest, Purpose, TrustStore};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_engine::{Answer, AskKind};

/// A client's end of one conversation.
pub type Client = Asking<Enrolment>;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The CA's certificates.
    CaCerts,
    /// What a request has to contain.
    CsrAttrs,
    /// A first certificate.
    Enroll,
    /// A certificate after the one that TLS has shown.
    Reenroll,
    /// A certificate with a key that the server makes; `true` if it has to come encrypted.
    ServerKeygen(bool),
}

/// What a client knows before it begins.
#[derive(Clone)]
pub struct ClientSetup {
    /// Who checks signatures.
    pub crypto: Arc<dyn Crypto>,
    /// The time of its making in Unix seconds.
    pub now: u64,
    /// The origin that it speaks with: `https://ca.example:8443`. Nobody else is followed to.
    pub origin: String,
    /// Which CA or profile (RFC 7030 §3.2.2).
    pub label: Option<String>,
    /// Explicit trust anchors (RFC 7030 §3.6.1): what is issued has to lead to one. With none, whatever
    /// the server's TLS was believed for is believed.
    pub anchors: Vec<Certificate>,
    /// For bootstrapping (RFC 7030 §4.1.1): the SHA-256 of the CA's certificate, by which somebody
    /// knows it.
    pub fingerprint: Option<[u8; 32]>,
    /// Whether to ask what a request has to contain before one is made.
    pub csrattrs: bool,
    /// How often to come back while somebody decides.
    pub retries: u32,
    /// The longest that it lets itself be put off at a time.
    pub longest_pause: Duration,
}

/// What a client tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The CA's certificates. Those that lead to an anchor, or have the expected fingerprint, are
    /// `believed`; among them are new roots that an old one vouches for (RFC 7030 §4.1.3).
    Authorities {
        /// All that came.
        certificates: Vec<Certificate>,
        /// Which of them count.
        believed: Vec<Certificate>,
    },
    /// What a request has to contain, in DER; empty for nothing in particular.
    Attributes(Vec<u8>),
    /// The certificate, and others that lead from it to an anchor.
    Issued {
        /// The certificate.
        certificate: Certificate,
        /// Others, the nearest first.
        chain: Vec<Certificate>,
        /// The key, if the server made it.
        key: Option<Given>,
    },
    /// Somebody has yet to decide, and this end came back as often as it was to.
    Later {
        /// How long the server says to wait before the same request is sent again.
        after: Duration,
    },
    /// The server said no.
    Refused {
        /// Its status.
        status: u16,
        /// Its stable code, if it has one.
        code: Option<String>,
        /// What it said, cut to a few lines.
        text: String,
    },
}

const MOST_REDIRECTS: u32 = 3;
const USUAL_PAUSE: Duration = Duration::from_secs(10);
const MOST_WORDS: usize = 512;

impl Client {
    /// A client's end that begins with its first poll. `id` must be random where several
    /// conversations share a link.
    pub fn of(want: Want, setup: ClientSetup, id: [u8; 16], limits: Limits) -> Self {
        Self::new(
            Enrolment {
                want,
                setup,
                stage: Stage::CaCerts,
                authorities: Vec::new(),
                spki_der: Vec::new(),
                last: None,
                redirects: 0,
                retries: 0,
                authorized: false,
            },
            id,
            limits,
        )
    }
}

/// What an EST client says and asks.
pub struct Enrolment {
    want: Want,
    setup: ClientSetup,
    stage: Stage,
    authorities: Vec<Certificate>,
    spki_der: Vec<u8>,
    /// The last request, for when it has to be sent again.
    last: Option<Request>,
    redirects: u32,
    retries: u32,
    authorized: bool,
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    CaCerts,
    CsrAttrs,
    /// The owner makes the request.
    Request,
    Enrolling,
    /// The owner says who it is.
    Authorizing {
        back_to: Before,
    },
}

/// For which request the server wants to know who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    CaCerts,
    CsrAttrs,
    Enrolling,
}

impl Conversation for Enrolment {
    type Event = Event;
    type Error = Error;

    fn timed_out() -> Error {
        Error::TimedOut
    }

    fn begin(&mut self) -> Next<Event, Error> {
        if self.want == Want::CsrAttrs {
            return self.ask_attributes();
        }
        self.stage = Stage::CaCerts;
        self.send(Operation::CaCerts, Vec::new())
    }

    fn heard(&mut self, response: Response) -> Next<Event, Error> {
        match response.status {
            200 | 204 => self.good(&response),
            202 => self.later(&response),
            301 | 302 | 303 | 307 | 308 => self.elsewhere(&response),
            401 if !self.authorized => self.authorize(&response),
            // RFC 7030 §4.5.1, §4.5.2: not to offer them is to ask for nothing.
            404 | 501 if self.stage == Stage::CsrAttrs && self.want != Want::CsrAttrs => {
                self.ask_request(&[])
            }
            status => {
                let error = match status {
                    401 => Error::Unauthorized,
                    404 | 405 | 501 => Error::NotOffered,
                    status => Error::Refused { status },
                };
                Next::End(said(&response), Err(error))
            }
        }
    }

    fn answered(&mut self, answer: Answer<'_>) -> Next<Event, Error> {
        let octets = match answer {
            Answer::Bytes(octets) => octets,
            Answer::Refused { .. } => return Next::Close(Err(Error::OwnerRefused)),
            _ => return Next::Close(Err(Error::OwnerFailed)),
        };
        match self.stage {
            Stage::Request => {
                let Ok(request) = CertificateRequest::decode(octets) else {
                    return Next::Close(Err(Error::OwnerFailed));
                };
                self.spki_der = request.spki_der().to_vec();
                self.stage = Stage::Enrolling;
                let operation = match self.want {
                    Want::Reenroll => Operation::SimpleReenroll,
                    Want::ServerKeygen(_) => Operation::ServerKeygen,
                    _ => Operation::SimpleEnroll,
                };
                self.send(operation, body::wrap(octets, Lines::Short).into_bytes())
            }
            Stage::Authorizing { back_to } => {
                let (Ok(value), Some(mut request)) =
                    (core::str::from_utf8(octets), self.last.clone())
                else {
                    return Next::Close(Err(Error::OwnerFailed));
                };
                self.stage = match back_to {
                    Before::CaCerts => Stage::CaCerts,
                    Before::CsrAttrs => Stage::CsrAttrs,
                    Before::Enrolling => Stage::Enrolling,
                };
                self.authorized = true;
                request.headers = request.headers.with("authorization", value);
                self.last = Some(request.clone());
                Next::Send(request)
            }
            _ => Next::Close(Err(Error::OwnerFailed)),
        }
    }
}

impl Enrolment {
    fn send(&mut self, operation: Operation, body: Vec<u8>) -> Next<Event, Error> {
        let path = path_with(operation, self.setup.label.as_deref());
        let method = operation.method();
        let mut headers = Headers::new();
        if method == Method::Post {
            headers = headers
                .with("content-type", REQUEST_TYPE)
                .with("content-transfer-encoding", "base64");
        }
        self.authorized = false;
        let request = Request { method, path, headers, body };
        self.last = Some(request.clone());
        Next::Send(request)
    }

    fn ask_attributes(&mut self) -> Next<Event, Error> {
        self.stage = Stage::CsrAttrs;
        self.send(Operation::CsrAttrs, Vec::new())
    }

    fn ask_request(&mut self, attributes: &[u8]) -> Next<Event, Error> {
        self.stage = Stage::Request;
        Next::Ask(AskKind::Request, attributes.to_vec())
    }

    fn good(&mut self, response: &Response) -> Next<Event, Error> {
        let done = match self.stage {
            Stage::CaCerts => self.authorities_came(response),
            Stage::CsrAttrs => self.attributes_came(response),
            _ => self.issued(response),
        };
        done.unwrap_or_else(|error| Next::Close(Err(error)))
    }

    fn authorities_came(&mut self, response: &Response) -> Result<Next<Event, Error>, Error> {
        let kind = response.headers.one("content-type").unwrap_or_default();
        let certificates =
            decode_certs(kind, &response.body).map_err(|error| Error::from_body(&error))?;
        if certificates.is_empty() {
            return Err(Error::NoCertificate);
        }
        let believed = self.believed(&certificates)?;
        self.authorities.clone_from(&certificates);
        if self.want == Want::CaCerts {
            return Ok(Next::End(Event::Authorities { certificates, believed }, Ok(())));
        }
        if self.setup.anchors.is_empty() {
            self.setup.anchors = believed;
        }
        Ok(if self.setup.csrattrs { self.ask_attributes() } else { self.ask_request(&[]) })
    }

    /// Which of the CA's certificates count: all, when nothing is known beforehand but the server's
    /// TLS; those with the fingerprint and what it signed; those that lead to an anchor, and roots
    /// whose key is certified by one that does.
    fn believed(&self, certificates: &[Certificate]) -> Result<Vec<Certificate>, Error> {
        let crypto = &*self.setup.crypto;
        let mut anchors = self.setup.anchors.clone();
        if let Some(fingerprint) = &self.setup.fingerprint {
            let named = |it: &&Certificate| {
                crypto.hash(HashAlgorithm::Sha256, &[it.der()]).as_bytes() == fingerprint
            };
            anchors.push(certificates.iter().find(named).ok_or(Error::NotTheCa)?.clone());
        }
        if anchors.is_empty() {
            return Ok(certificates.iter().filter(|it| it.is_ca()).cloned().collect());
        }
        let store = TrustStore::new(anchors.clone());
        let leads = |it: &Certificate| {
            anchors.contains(it)
                || store.validate(crypto, it, certificates, self.setup.now, Purpose::Any).is_ok()
        };
        let mut believed: Vec<Certificate> =
            certificates.iter().filter(|it| leads(it)).cloned().collect();
        // RFC 7030 §4.1.3, RFC 4210 §4.4: the new root beside the old one's certificate for its key.
        let vouched: Vec<Certificate> = certificates
            .iter()
            .filter(|root| !believed.contains(root) && root.subject_der() == root.issuer_der())
            .filter(|root| {
                let same = |it: &Certificate| {
                    it.spki_der() == root.spki_der() && it.subject_der() == root.subject_der()
                };
                root.is_ca()
                    && root.verify_signature(crypto, root.spki_der()).is_ok()
                    && believed.iter().any(same)
            })
            .cloned()
            .collect();
        believed.extend(vouched);
        if believed.is_empty() { Err(Error::NotTheCa) } else { Ok(believed) }
    }

    fn attributes_came(&mut self, response: &Response) -> Result<Next<Event, Error>, Error> {
        let der = if response.status == 204 || response.body.is_empty() {
            Vec::new()
        } else {
            let kind = response.headers.one("content-type").unwrap_or_default();
            decode_attributes(kind, &response.body).map_err(|error| match error {
                crate::Error::BadAttributes => Error::BadAttributes,
                other => Error::from_body(&other),
            })?
        };
        Ok(match self.want {
            Want::CsrAttrs => Next::End(Event::Attributes(der), Ok(())),
            _ => self.ask_request(&der),
        })
    }

    fn issued(&mut self, response: &Response) -> Result<Next<Event, Error>, Error> {
        let kind = response.headers.one("content-type").unwrap_or_default();
        let read = |error: crate::Error| Error::from_body(&error);
        let (key, certificates) = match self.want {
            Want::ServerKeygen(encrypted) => {
                let (key, certificates) = keygen::decode(kind, &response.body).map_err(read)?;
                if encrypted && matches!(key, Given::Plain(_)) {
                    return Err(Error::KeyInTheClear);
                }
                (Some(key), certificates)
            }
            _ => (None, decode_certs(kind, &response.body).map_err(read)?),
        };
        let certificate = self.only(&certificates, key.is_some())?;
        let chain = self.chain(&certificate, &certificates)?;
        Ok(Next::End(Event::Issued { certificate, chain, key }, Ok(())))
    }

    /// RFC 7030 §4.2.3: the certificate, which is for the key; others may come along. Of a key that the
    /// server made the certificate is the one that is no CA's.
    fn only(&self, certificates: &[Certificate], made: bool) -> Result<Certificate, Error> {
        let ours = |it: &&Certificate| {
            if made { !it.is_ca() } else { it.spki_der() == self.spki_der }
        };
        let mut found = certificates.iter().filter(ours);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.clone()),
            (Some(_), Some(_)) => Err(Error::TwoCertificates),
            (None, _) if certificates.is_empty() => Err(Error::NoCertificate),
            (None, _) => Err(Error::AnotherKey),
        }
    }

    /// The certificates between this one and its anchor.
    fn chain(
        &self,
        certificate: &Certificate,
        others: &[Certificate],
    ) -> Result<Vec<Certificate>, Error> {
        let candidates: Vec<Certificate> =
            others.iter().chain(&self.authorities).filter(|it| it.is_ca()).cloned().collect();
        let anchors = &self.setup.anchors;
        let store = TrustStore::new(anchors.clone());
        let crypto = &*self.setup.crypto;
        // Clocks differ: a certificate that was issued just now is valid now.
        let now = self.setup.now.max(certificate.not_before());
        store
            .validate(crypto, certificate, &candidates, now, Purpose::Any)
            .map_err(|error| Error::NoChain { code: error.code() })?;
        let mut chain: Vec<Certificate> = Vec::new();
        for _ in 0..candidates.len() {
            let last = chain.last().unwrap_or(certificate);
            let next = candidates.iter().find(|it| {
                it.subject_der() == last.issuer_der() && it.subject_der() != it.issuer_der()
            });
            match next {
                Some(next) if !chain.contains(next) && !anchors.contains(last) => {
                    chain.push(next.clone());
                }
                _ => break,
            }
        }
        Ok(chain)
    }

    /// RFC 7030 §4.2.3: the same request again, after a while.
    fn later(&mut self, response: &Response) -> Next<Event, Error> {
        let request = self.last.clone().filter(|_| self.stage == Stage::Enrolling);
        let Some(request) = request else {
            return Next::End(said(response), Err(Error::Refused { status: 202 }));
        };
        // Retry-After may also be a date, which needs a clock that agrees with the server's.
        let said = response.headers.one("retry-after").and_then(|it| it.trim().parse().ok());
        let pause = said.map_or(USUAL_PAUSE, Duration::from_secs);
        if self.retries >= self.setup.retries {
            return Next::End(Event::Later { after: pause }, Err(Error::StillPending));
        }
        self.retries += 1;
        let pause = pause.clamp(Duration::from_secs(1), self.setup.longest_pause);
        Next::SendAfter(pause, self.anew(request))
    }

    /// RFC 7030 §3.2.1: on the same host without asking anybody; elsewhere not at all.
    fn elsewhere(&mut self, response: &Response) -> Next<Event, Error> {
        let location = response.headers.one("location").unwrap_or_default();
        let path = match location.strip_prefix(self.setup.origin.as_str()) {
            Some(path) => path,
            None if location.starts_with('/') && !location.starts_with("//") => location,
            None => return Next::Close(Err(Error::CrossHostRedirect)),
        };
        if !path.starts_with('/') {
            return Next::Close(Err(Error::CrossHostRedirect));
        }
        self.redirects += 1;
        let request = self.last.clone().filter(|_| self.redirects <= MOST_REDIRECTS);
        let Some(mut request) = request else {
            return Next::Close(Err(Error::TooManyRedirects));
        };
        path.clone_into(&mut request.path);
        Next::Send(self.anew(request))
    }

    /// The same request again: who asks is said anew where the server asks, since HTTP Digest is good
    /// for one request.
    fn anew(&mut self, mut request: Request) -> Request {
        request.headers = request.headers.without("authorization");
        self.authorized = false;
        self.last = Some(request.clone());
        request
    }

    /// RFC 7030 §3.2.3: the owner answers the server's challenge. The question is the challenges, a
    /// line each, behind a line with method and path, which HTTP Digest protects.
    fn authorize(&mut self, response: &Response) -> Next<Event, Error> {
        let back_to = match self.stage {
            Stage::CaCerts => Before::CaCerts,
            Stage::CsrAttrs => Before::CsrAttrs,
            _ => Before::Enrolling,
        };
        let challenges: Vec<&str> = response.headers.all("www-authenticate").collect();
        let Some(request) = self.last.as_ref().filter(|_| !challenges.is_empty()) else {
            return Next::End(said(response), Err(Error::Unauthorized));
        };
        let question =
            format!("{} {}\n{}", request.method.name(), request.path, challenges.join("\n"));
        self.stage = Stage::Authorizing { back_to };
        Next::Ask(AskKind::Secret, question.into_bytes())
    }
}

fn said(response: &Response) -> Event {
    let text = String::from_utf8_lossy(&response.body);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    Event::Refused {
        status: response.status,
        code: response.headers.one("touchstone-code").map(str::to_owned),
        text: text.trim().chars().take(MOST_WORDS).map(plain).collect(),
    }
}
