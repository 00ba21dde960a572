//! A client's way to a certificate (RFC 8894 §2.1, §3.3): what to send next, and what a reply means.
//! Without input or output: who sends it, and when to ask again, is the owner's.

use crate::scep::{
    Body, Error, FailInfo, MessageType, Refusal, Reply, Requester, Sent, Transaction, read_reply,
};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_crypto::{Decrypter, EnvelopeCrypto};

/// An enrolment under way.
pub struct Enrolment<'a> {
    requester: Requester<'a>,
    opens: &'a dyn Decrypter,
    ca: &'a [Certificate],
    request: CertificateRequest,
    transaction: Transaction,
    renewal: bool,
    state: State,
}

enum State {
    /// The request is still to be sent.
    Ask,
    /// Somebody has yet to decide.
    Poll,
    /// A message is on its way.
    Await { sent: Sent, kind: MessageType },
    /// There is nothing more to send.
    Over,
}

/// Where an enrolment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The certificate for the key, and others that came along. Whether it leads to an anchor is not
    /// decided yet.
    Issued {
        /// The certificate.
        certificate: Certificate,
        /// What else came.
        others: Vec<Certificate>,
    },
    /// Somebody has yet to decide: wait, then take the [`next`](Enrolment::next) message.
    Pending,
    /// No.
    Failed {
        /// Why.
        info: FailInfo,
        /// Why, for a person, when the CA says so.
        text: Option<String>,
    },
}

impl<'a> Enrolment<'a> {
    /// An enrolment for `request`; a renewal when the requester's certificate is the CA's. Replies
    /// are opened with `opens`, the requester's key, and have to be by one of `ca`.
    pub fn new(
        crypto: &dyn EnvelopeCrypto,
        requester: Requester<'a>,
        opens: &'a dyn Decrypter,
        ca: &'a [Certificate],
        request: CertificateRequest,
        renewal: bool,
    ) -> Result<Self, Error> {
        let key = requester.key.spki_der();
        if opens.spki_der() != key || (!renewal && request.spki_der() != key) {
            return Err(Refusal::AnotherKey.into());
        }
        let transaction = Transaction::of_key(crypto, request.spki_der());
        Ok(Self { requester, opens, ca, request, transaction, renewal, state: State::Ask })
    }

    /// The next message, the body of a POST to `PKIOperation`, at the time `at`. A reply that did not
    /// come, or that was not believed, is asked for anew with another nonce.
    pub fn next(&mut self, crypto: &dyn EnvelopeCrypto, at: u64) -> Result<Vec<u8>, Error> {
        let polls = match &self.state {
            State::Ask => false,
            State::Poll => true,
            State::Await { kind, .. } => *kind == MessageType::CertPoll,
            State::Over => return Err(Refusal::WrongType.into()),
        };
        let (kind, body) = if polls {
            let issuer = self.ca.iter().find(|it| it.is_ca()).unwrap_or(self.requester.to);
            (MessageType::CertPoll, Body::poll(issuer, &self.request)?)
        } else if self.renewal {
            (MessageType::RenewalReq, Body::Renew(self.request.clone()))
        } else {
            (MessageType::PkcsReq, Body::Enrol(self.request.clone()))
        };
        let mut sent = self.requester.send(crypto, &body, &self.transaction, at)?;
        sent.spki_der = self.request.spki_der().to_vec();
        let message = sent.message.clone();
        self.state = State::Await { sent, kind };
        Ok(message)
    }

    /// What the reply to the last message means. One that is not believed changes nothing.
    pub fn read(&mut self, crypto: &dyn EnvelopeCrypto, reply: &[u8]) -> Result<Progress, Error> {
        let State::Await { sent, kind } = &self.state else {
            return Err(Refusal::WrongType.into());
        };
        let ours = (self.requester.certificate, self.opens);
        let reply = read_reply(crypto, reply, sent, self.ca, ours, *kind)?.into_inner();
        let (progress, state) = match reply {
            Reply::Issued { certificate, others } => {
                (Progress::Issued { certificate, others }, State::Over)
            }
            Reply::Pending => (Progress::Pending, State::Poll),
            Reply::Failed { info, text } => (Progress::Failed { info, text }, State::Over),
            _ => return Err(Refusal::BadContent.into()),
        };
        self.state = state;
        Ok(progress)
    }
}
