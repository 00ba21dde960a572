//! A server's end as an engine (RFC 8894 §4): what is asked of its URL, and its messages' outer
//! envelopes.
//!
//! Messages are opened and answered by the owner, who has the keys: the question of an
//! [`AskKind::Issue`] is a message as it came, whose signature is good; the answer is the reply
//! ([`read_request`](crate::scep::read_request), [`answer_to`](crate::scep::answer_to)).

use crate::exchange::{Answering, Limits, Method, Request, Response, Service, Step};
use crate::scep::request::unopened;
use crate::scep::{
    Capabilities, MESSAGE_TYPE, MessageType, NEXT_CA_CERT_TYPE, Operation, encode_ca_certificates,
};
use std::sync::Arc;
use touchstone_certs::Certificate;
use touchstone_cms::{certs_only, read_certs_only};
use touchstone_crypto::Crypto;
use touchstone_engine::{Answer, AskKind};

/// A server's end of one conversation.
pub type Server = Answering<Desk>;

impl Server {
    /// A server's end for one client. What the CA can do is told as it is.
    pub fn of(crypto: Arc<dyn Crypto>, can: Capabilities, limits: Limits) -> Self {
        Self::new(Desk { crypto, can, doing: Doing::Nothing }, limits)
    }
}

/// What a SCEP server says and asks.
pub struct Desk {
    crypto: Arc<dyn Crypto>,
    can: Capabilities,
    doing: Doing,
}

/// What the owner is being asked.
enum Doing {
    Nothing,
    /// The certificates of the CA and its RA, as a bag of them.
    CaCert,
    /// Those of the CA to come, signed by the CA that is.
    NextCaCert,
    Message,
}

/// The question about the CA to come; that about the CA that is has no octets.
pub const fn next_ca(question: &[u8]) -> bool {
    !question.is_empty()
}

impl Service for Desk {
    fn asked(&mut self, request: Request) -> Step {
        let query = request.path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let mut parameters = query.split('&').filter_map(|it| it.split_once('='));
        let name = parameters.find(|(name, _)| *name == "operation").map(|(_, value)| value);
        let Some(operation) = name.and_then(Operation::from_name) else {
            return no(400, "scep.operation", "there is no such operation of SCEP");
        };
        match (operation, request.method) {
            (Operation::GetCaCaps, Method::Get) => {
                let body = self.can.encode();
                Step::Respond(Response::with_body(200, "text/plain", body))
            }
            (Operation::GetCaCert, Method::Get) => {
                self.doing = Doing::CaCert;
                Step::Ask(AskKind::Authorities, Vec::new())
            }
            (Operation::GetNextCaCert, Method::Get) => {
                self.doing = Doing::NextCaCert;
                Step::Ask(AskKind::Authorities, vec![1])
            }
            (Operation::PkiOperation, Method::Post) => self.message(request.body),
            (Operation::PkiOperation, Method::Get) => {
                no(405, "scep.method", "messages come by POST: see GetCACaps")
            }
            (_, Method::Post) => no(405, "scep.method", "this is asked for by GET"),
        }
    }

    fn answered(&mut self, answer: Answer<'_>) -> Step {
        let doing = core::mem::replace(&mut self.doing, Doing::Nothing);
        let octets = match answer {
            Answer::Bytes(octets) => octets,
            Answer::Refused { code, text } => {
                let status = if matches!(doing, Doing::NextCaCert) { 404 } else { 400 };
                return no(status, code, text);
            }
            _ => return failed(),
        };
        let (media, body) = match doing {
            Doing::CaCert => match certificates(octets) {
                Some((body, media)) => (media, body),
                None => return failed(),
            },
            Doing::NextCaCert => (NEXT_CA_CERT_TYPE, octets.to_vec()),
            Doing::Message => (MESSAGE_TYPE, octets.to_vec()),
            Doing::Nothing => return failed(),
        };
        Step::Respond(Response::with_body(200, media, body))
    }
}

impl Desk {
    /// What cannot be a message is not given to whoever has the keys.
    fn message(&mut self, body: Vec<u8>) -> Step {
        match unopened(&*self.crypto, &body) {
            Ok((MessageType::CertRep, _)) => {
                no(400, "scep.refused.message-type", "a server is not answered to")
            }
            Ok(_) => {
                self.doing = Doing::Message;
                Step::Ask(AskKind::Issue, body)
            }
            Err(error) => no(400, error.code(), &error.to_string()),
        }
    }
}

/// The answer of an owner to [`AskKind::Authorities`]: a bag of certificates.
fn certificates(octets: &[u8]) -> Option<(Vec<u8>, &'static str)> {
    encode_ca_certificates(&read_certs_only(octets).ok()?).ok()
}

impl Desk {
    /// The answer to an ask for the CA's certificates.
    pub fn authorities(certificates: &[Certificate]) -> Option<Vec<u8>> {
        certs_only(certificates).ok()
    }
}

fn no(status: u16, code: &str, words: &str) -> Step {
    let response = Response::with_body(status, "text/plain; charset=utf-8", format!("{words}\n"));
    Step::Respond(response.with("touchstone-code", code))
}

fn failed() -> Step {
    no(503, "fleet.failed", "it could not be done; try again in a moment")
}
