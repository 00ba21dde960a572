//! A client's end as an engine (RFC 8894 §2.1): what the CA can do, the request, and coming back while
//! somebody decides.
//!
//! Messages are made and opened by the owner, who has the keys, with an
//! [`Enrolment`](crate::scep::Enrolment): [`AskKind::Request`] asks for the next one ([`first`] tells
//! the first from a poll), [`AskKind::Conclude`] what a reply means ([`Meaning`]).

use crate::exchange::{Asking, Conversation, Headers, Limits, Method, Next, Request, Response};
use crate::scep::{Capabilities, MESSAGE_TYPE, Operation};
use core::fmt;
use core::time::Duration;
use touchstone_certs::Certificate;
use touchstone_cms::{SignedData, crls_only};
use touchstone_engine::{Answer, AskKind, Blame, Fault};

/// A client's end of one conversation.
pub type Client = Asking<Enrolling>;

/// What a client knows before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSetup {
    /// The server's path: `/scep`.
    pub path: String,
    /// Which of its CAs, where it has several (RFC 8894 §4.1).
    pub ca: Option<String>,
    /// How often to come back while somebody decides.
    pub retries: u32,
    /// How long to wait before that.
    pub pause: Duration,
}

/// What a client tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The certificate, and others that came along. Whether it leads to an anchor is not decided yet.
    Issued(Vec<Certificate>),
    /// The revocation lists that were asked for, in DER. Whether they are the CA's is not decided yet.
    Lists(Vec<Vec<u8>>),
    /// The server said no.
    Refused {
        /// The stable code, or the CA's `failInfo`.
        code: String,
        /// What it said.
        text: String,
    },
}

/// What a reply means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The certificate comes first.
    Issued(Vec<Certificate>),
    /// Revocation lists, in DER.
    Lists(Vec<Vec<u8>>),
    /// Somebody has yet to decide.
    Pending,
    /// No, in the CA's words.
    Failed {
        /// Its `failInfo`.
        info: String,
        /// What it said.
        text: String,
    },
}

/// Why a conversation ended badly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No end was reached before the deadline.
    TimedOut,
    /// The CA does not say that it can do AES and SHA-256 (RFC 8894 §3.5.2).
    WeakCa,
    /// The server has another answer than SCEP's.
    Status(u16),
    /// A reply has another media type than a message (RFC 8894 §4.3).
    WrongContentType,
    /// The CA said no; the event before says what it said.
    Refused,
    /// It put us off as often as we came back.
    StillPending,
    /// A reply was not believed, or this side's owner could not go on; the event before says why.
    OwnerRefused,
    /// This side's owner could not.
    OwnerFailed,
}

impl Fault for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::TimedOut => Blame::Network,
            Self::OwnerRefused | Self::OwnerFailed => Blame::Owner,
            _ => Blame::Peer,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TimedOut => "scep.timed_out",
            Self::WeakCa => "scep.refused.weak-ca",
            Self::Status(_) => "scep.status",
            Self::WrongContentType => "scep.malformed.content-type",
            Self::Refused => "scep.refused",
            Self::StillPending => "scep.pending",
            Self::OwnerRefused => "scep.owner.refused",
            Self::OwnerFailed => "scep.owner.failed",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "no end was reached before the deadline",
            Self::WeakCa => "the CA does not offer AES and SHA-256",
            Self::Status(status) => return write!(f, "the server answered {status}"),
            Self::WrongContentType => "the reply has another content type than SCEP says",
            Self::Refused => "the CA refused",
            Self::StillPending => "nobody has decided yet; ask again later with the same key",
            Self::OwnerRefused => "this side refused to go on",
            Self::OwnerFailed => "this side could not go on",
        })
    }
}

impl core::error::Error for Error {}

impl Client {
    /// A client's end that begins with its first poll.
    pub fn of(setup: ClientSetup, id: [u8; 16], limits: Limits) -> Self {
        Self::new(Enrolling { setup, stage: Stage::Caps, retries: 0 }, id, limits)
    }
}

/// Whether the question is about the first message.
pub const fn first(question: &[u8]) -> bool {
    question.is_empty()
}

impl Meaning {
    /// The answer to [`AskKind::Conclude`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        Some(match self {
            // Not as a bag, which has no order: the first is the certificate.
            Self::Issued(certificates) => {
                let mut octets = vec![1];
                for certificate in certificates {
                    let der = certificate.der();
                    octets.extend(u32::try_from(der.len()).ok()?.to_be_bytes());
                    octets.extend(der);
                }
                octets
            }
            Self::Lists(lists) => [&[4], crls_only(lists).as_slice()].concat(),
            Self::Pending => vec![2],
            Self::Failed { info, text } => format!("\u{3}{info}\n{text}").into_bytes(),
        })
    }

    fn decode(octets: &[u8]) -> Option<Self> {
        let (kind, rest) = octets.split_first()?;
        match kind {
            1 => Some(Self::Issued(sized(rest)?)),
            2 => Some(Self::Pending),
            4 => Some(Self::Lists(SignedData::decode(rest).ok()?.crls().to_vec())),
            3 => {
                let (info, text) = core::str::from_utf8(rest).ok()?.split_once('\n')?;
                Some(Self::Failed { info: info.to_owned(), text: text.to_owned() })
            }
            _ => None,
        }
    }
}

fn sized(mut octets: &[u8]) -> Option<Vec<Certificate>> {
    let mut certificates = Vec::new();
    while let Some((len, rest)) = octets.split_first_chunk() {
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (der, rest) = rest.split_at_checked(len)?;
        certificates.push(Certificate::decode(der).ok()?);
        octets = rest;
    }
    (octets.is_empty() && !certificates.is_empty()).then_some(certificates)
}

/// What a SCEP client says and asks.
#[derive(Debug)]
pub struct Enrolling {
    setup: ClientSetup,
    stage: Stage,
    retries: u32,
}

/// Where it stands.
#[derive(Debug)]
enum Stage {
    Caps,
    /// The owner makes a message, the first or a poll.
    Making {
        poll: bool,
    },
    Sent,
    /// The owner says what the reply means.
    Reading,
}

impl Conversation for Enrolling {
    type Event = Event;
    type Error = Error;

    fn timed_out() -> Error {
        Error::TimedOut
    }

    fn begin(&mut self) -> Next<Event, Error> {
        self.stage = Stage::Caps;
        Next::Send(self.request(Method::Get, Operation::GetCaCaps, Vec::new()))
    }

    fn heard(&mut self, response: Response) -> Next<Event, Error> {
        if response.status != 200 {
            let text: String = String::from_utf8_lossy(&response.body).chars().take(512).collect();
            let code = response.headers.one("touchstone-code").unwrap_or("scep.status").to_owned();
            let event = Event::Refused { code, text: text.trim().to_owned() };
            return Next::End(event, Err(Error::Status(response.status)));
        }
        if matches!(self.stage, Stage::Caps) {
            let strong = Capabilities::decode(&response.body).and_then(Capabilities::check);
            return match strong {
                Ok(()) => self.make(false),
                Err(_) => Next::Close(Err(Error::WeakCa)),
            };
        }
        let kind = response.headers.one("content-type").unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim() != MESSAGE_TYPE {
            return Next::Close(Err(Error::WrongContentType));
        }
        self.stage = Stage::Reading;
        Next::Ask(AskKind::Conclude, response.body)
    }

    fn answered(&mut self, answer: Answer<'_>) -> Next<Event, Error> {
        let octets = match answer {
            Answer::Bytes(octets) => octets,
            Answer::Refused { code, text } => {
                let event = Event::Refused { code: code.to_owned(), text: text.to_owned() };
                return Next::End(event, Err(Error::OwnerRefused));
            }
            _ => return Next::Close(Err(Error::OwnerFailed)),
        };
        match self.stage {
            Stage::Making { poll } => {
                self.stage = Stage::Sent;
                let request = self.request(Method::Post, Operation::PkiOperation, octets.to_vec());
                if poll { Next::SendAfter(self.setup.pause, request) } else { Next::Send(request) }
            }
            Stage::Reading => self.means(Meaning::decode(octets)),
            Stage::Caps | Stage::Sent => Next::Close(Err(Error::OwnerFailed)),
        }
    }
}

impl Enrolling {
    fn means(&mut self, meaning: Option<Meaning>) -> Next<Event, Error> {
        match meaning {
            Some(Meaning::Issued(certificates)) => Next::End(Event::Issued(certificates), Ok(())),
            Some(Meaning::Lists(lists)) => Next::End(Event::Lists(lists), Ok(())),
            Some(Meaning::Failed { info, text }) => {
                Next::End(Event::Refused { code: info, text }, Err(Error::Refused))
            }
            Some(Meaning::Pending) if self.retries < self.setup.retries => {
                self.retries += 1;
                self.make(true)
            }
            Some(Meaning::Pending) => Next::Close(Err(Error::StillPending)),
            None => Next::Close(Err(Error::OwnerFailed)),
        }
    }

    fn make(&mut self, poll: bool) -> Next<Event, Error> {
        self.stage = Stage::Making { poll };
        Next::Ask(AskKind::Request, if poll { vec![1] } else { Vec::new() })
    }

    fn request(&self, method: Method, operation: Operation, body: Vec<u8>) -> Request {
        let mut headers = Headers::new();
        if method == Method::Post {
            headers = headers.with("content-type", MESSAGE_TYPE);
        }
        let path = operation.path(&self.setup.path, self.setup.ca.as_deref());
        Request { method, path, headers, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_certs::Name;
    use touchstone_certs::issue::{Kind, Template};
    use touchstone_crypto::SignatureAlgorithm;
    use touchstone_crypto_awslc::{AwsLc, RsaBits, SoftSigner};

    #[test]
    fn the_certificate_stays_the_first_however_long_the_others_are() {
        let rsa = SignatureAlgorithm::RsaPkcs1Sha256;
        let long = SoftSigner::generate_rsa(RsaBits::B3072, rsa).unwrap();
        let short = SoftSigner::generate(SignatureAlgorithm::Ed25519).unwrap();
        let made = |key: &SoftSigner| {
            let name = Name::common_name("pump-3").unwrap();
            Template::new(Kind::Client, name, 0, 100).self_sign(&AwsLc, key).unwrap()
        };
        let (long, short) = (made(&long), made(&short));
        for all in [vec![long.clone(), short.clone()], vec![short, long]] {
            let octets = Meaning::Issued(all.clone()).encode().unwrap();
            let Some(Meaning::Issued(read)) = Meaning::decode(&octets) else { panic!() };
            assert_eq!(read, all);
            assert!(Meaning::decode(&octets[..octets.len() - 1]).is_none());
        }
        assert!(Meaning::decode(&[1]).is_none(), "none is no certificate");
    }
}
