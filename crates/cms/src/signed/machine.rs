//! A `SignedData` on its way in, octet by octet: everything but the content is collected and
//! bounded, the content is given out as it comes. Nothing is believed here.

use crate::ber::{CONSTRUCTED, Header};
use crate::encode::{INTEGER, OCTET_STRING, OID, SEQUENCE, SET};
use crate::signed::info::SignerInfo;
use crate::{Error, MOST_CERTIFICATES, MOST_SIGNERS, Why, oids};
use alloc::vec::Vec;
use der::Decode;
use der::asn1::ObjectIdentifier;
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::HashAlgorithm;

/// As much as everything but the content may take.
const MOST_COLLECTED: u64 = 16 * 1024 * 1024;
/// Octet strings in octet strings.
const DEEPEST: usize = 24;
const MOST_DIGESTS: usize = 16;
const SEGMENTS: u8 = OCTET_STRING | CONSTRUCTED;

/// What an envelope is made of, except its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) content_type: ObjectIdentifier,
    /// Whether the content is inside.
    pub(crate) attached: bool,
    /// The digests that are announced; `None` for each that is not known here.
    pub(crate) digests: Vec<Option<HashAlgorithm>>,
    pub(crate) certificates: Vec<Certificate>,
    /// What else is among the certificates (RFC 5652 §10.2.2), as it came.
    pub(crate) others: Vec<Vec<u8>>,
    pub(crate) crls: Vec<Vec<u8>>,
    pub(crate) signers: Vec<SignerInfo>,
}

/// A constructed element that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    ContentInfo,
    Explicit,
    SignedData,
    Digests,
    Encapsulated,
    Content,
    Segments,
    Certificates,
    Crls,
    Signers,
}

impl Node {
    const fn name(self) -> &'static str {
        match self {
            Self::ContentInfo | Self::Explicit => "ContentInfo",
            Self::SignedData => "SignedData",
            Self::Digests => "digestAlgorithms",
            Self::Encapsulated => "encapContentInfo",
            Self::Content | Self::Segments => "eContent",
            Self::Certificates => "certificates",
            Self::Crls => "crls",
            Self::Signers => "signerInfos",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    node: Node,
    /// Where it ends; `None` until two zero octets.
    end: Option<u64>,
    /// Where the innermost element of definite length around it ends.
    limit: u64,
    /// How far it has come: which child is next.
    next: u8,
}

enum State {
    Header {
        octets: [u8; 10],
        len: usize,
    },
    /// An element that is kept.
    Collect {
        node: Node,
        octets: Vec<u8>,
        end: u64,
    },
    /// A piece of the content.
    Content {
        end: u64,
    },
    Done,
}

/// What a header leads to.
enum Step {
    Enter(Node),
    Keep,
    Give,
}

pub(crate) struct Machine {
    state: State,
    stack: Vec<Frame>,
    at: u64,
    collected: u64,
    content_type: Option<ObjectIdentifier>,
    attached: bool,
    digests: Vec<Option<HashAlgorithm>>,
    certificates: Vec<Certificate>,
    others: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
    signers: Vec<SignerInfo>,
}

const HEADER: State = State::Header { octets: [0; 10], len: 0 };

impl Machine {
    pub(crate) const fn new() -> Self {
        Self {
            state: HEADER,
            stack: Vec::new(),
            at: 0,
            collected: 0,
            content_type: None,
            attached: false,
            digests: Vec::new(),
            certificates: Vec::new(),
            others: Vec::new(),
            crls: Vec::new(),
            signers: Vec::new(),
        }
    }

    /// The next octets of the content that `input` brings; `None` once `input` is used up.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Error> {
        loop {
            self.leave()?;
            if input.is_empty() {
                return Ok(None);
            }
            match &mut self.state {
                State::Done => return Err(self.because("end", Why::Trailing)),
                State::Header { .. } => self.header(input)?,
                State::Collect { octets, end, .. } => {
                    let taken = take(input, *end - self.at);
                    octets.extend_from_slice(taken);
                    self.at += taken.len() as u64;
                }
                State::Content { end } => {
                    let taken = take(input, *end - self.at);
                    self.at += taken.len() as u64;
                    return Ok(Some(taken));
                }
            }
        }
    }

    /// The digests that were announced, known as soon as content comes.
    pub(crate) fn digests(&self) -> impl Iterator<Item = HashAlgorithm> {
        self.digests.iter().copied().flatten()
    }

    /// Everything, when the envelope has come whole.
    pub(crate) fn finish(mut self) -> Result<Parts, Error> {
        self.leave()?;
        match (&self.state, self.content_type) {
            (State::Done, Some(content_type)) => Ok(Parts {
                content_type,
                attached: self.attached,
                digests: self.digests,
                certificates: self.certificates,
                others: self.others,
                crls: self.crls,
                signers: self.signers,
            }),
            _ => Err(self.because("end", Why::CutOff)),
        }
    }

    fn fault(&self, part: &'static str) -> Error {
        self.because(part, Why::Form)
    }

    fn because(&self, part: &'static str, why: Why) -> Error {
        Error::Malformed { part, offset: u32::try_from(self.at).ok(), why }
    }

    /// What stands in the place of a `ContentInfo` is something else.
    fn misplaced(&self, part: &'static str) -> Error {
        self.because(part, if self.stack.is_empty() { Why::OtherType } else { Why::Form })
    }

    fn name(&self) -> &'static str {
        self.stack.last().map_or("ContentInfo", |frame| frame.node.name())
    }

    /// Closes what has ended.
    fn leave(&mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Collect { end, node, octets } if *end == self.at => {
                let (node, octets) = (*node, core::mem::take(octets));
                self.state = HEADER;
                self.kept(node, octets)?;
            }
            State::Content { end } if *end == self.at => self.state = HEADER,
            _ => {}
        }
        while let (State::Header { len: 0, .. }, Some(frame)) = (&self.state, self.stack.last()) {
            if frame.end != Some(self.at) {
                break;
            }
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(frame) = self.stack.pop() else { return Err(self.fault("ContentInfo")) };
        let whole = match frame.node {
            Node::ContentInfo => frame.next == 2,
            Node::Explicit | Node::Content => frame.next == 1,
            Node::SignedData => frame.next == 6,
            Node::Encapsulated => frame.next >= 1,
            _ => true,
        };
        if !whole {
            return Err(self.fault(frame.node.name()));
        }
        if self.stack.is_empty() {
            self.state = State::Done;
        }
        Ok(())
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        let State::Header { octets, len } = &mut self.state else { return Ok(()) };
        let Some((first, rest)) = input.split_first() else { return Ok(()) };
        let Some(place) = octets.get_mut(*len) else { return Err(self.fault(self.name())) };
        *place = *first;
        *len += 1;
        let read = Header::read(octets.get(..*len).unwrap_or_default());
        let octets = *octets;
        *input = rest;
        self.at += 1;
        let Some(header) = read.map_err(|()| self.misplaced(self.name()))? else { return Ok(()) };
        self.state = HEADER;
        if header == Header::END {
            return match self.stack.last() {
                Some(Frame { end: None, limit, .. }) if self.at <= *limit => self.close(),
                _ => Err(self.fault(self.name())),
            };
        }
        self.element(header, octets.get(..header.octets).unwrap_or_default())
    }

    fn element(&mut self, header: Header, octets: &[u8]) -> Result<(), Error> {
        let limit = self.stack.last().map_or(u64::MAX, |frame| frame.limit);
        let end = match header.len {
            Some(len) => self.at.checked_add(len).map(Some),
            None => Some(None),
        };
        let fits = end.is_some_and(|end| self.at <= limit && end.unwrap_or(self.at) <= limit);
        let Some(end) = end.filter(|_| fits) else { return Err(self.fault(self.name())) };
        let name = self.name();
        match (self.child(header.tag).ok_or_else(|| self.misplaced(name))?, end) {
            (Step::Enter(node), end) => {
                if self.stack.len() >= DEEPEST {
                    return Err(self.fault(name));
                }
                let limit = end.unwrap_or(limit);
                self.stack.push(Frame { node, end, limit, next: 0 });
            }
            (Step::Give, Some(end)) => self.state = State::Content { end },
            (Step::Keep, Some(end)) => {
                self.collected = self.collected.saturating_add(end - self.at + 64);
                let Some(frame) = self.stack.last() else { return Err(self.fault(name)) };
                if self.collected > MOST_COLLECTED {
                    return Err(self.because(frame.node.name(), Why::TooLarge));
                }
                self.state = State::Collect { node: frame.node, octets: octets.to_vec(), end };
            }
            // An element that is kept is DER.
            (Step::Give | Step::Keep, None) => return Err(self.fault(name)),
        }
        Ok(())
    }

    /// RFC 5652 §3 and §5.1, the order of the parts.
    fn child(&mut self, tag: u8) -> Option<Step> {
        let depth = self.stack.len();
        let Some(frame) = self.stack.last_mut() else {
            return (tag == SEQUENCE).then_some(Step::Enter(Node::ContentInfo));
        };
        let once = u8::from(frame.node == Node::Content);
        let (step, next) = match (frame.node, frame.next, tag) {
            (Node::ContentInfo | Node::Encapsulated, 0, OID) | (Node::SignedData, 0, INTEGER) => {
                (Step::Keep, 1)
            }
            (Node::ContentInfo, 1, 0xA0) => (Step::Enter(Node::Explicit), 2),
            (Node::Explicit, 0, SEQUENCE) => (Step::Enter(Node::SignedData), 1),
            (Node::SignedData, 1, SET) => (Step::Enter(Node::Digests), 2),
            (Node::SignedData, 2, SEQUENCE) => (Step::Enter(Node::Encapsulated), 3),
            (Node::SignedData, 3, 0xA0) => (Step::Enter(Node::Certificates), 4),
            (Node::SignedData, 3 | 4, 0xA1) => (Step::Enter(Node::Crls), 5),
            (Node::SignedData, 3..=5, SET) => (Step::Enter(Node::Signers), 6),
            (Node::Encapsulated, 1, 0xA0) => (Step::Enter(Node::Content), 2),
            (Node::Content | Node::Segments, 0, OCTET_STRING) => (Step::Give, once),
            (Node::Content | Node::Segments, 0, SEGMENTS) if depth < DEEPEST => {
                (Step::Enter(Node::Segments), once)
            }
            (Node::Digests | Node::Signers | Node::Certificates | Node::Crls, 0, SEQUENCE) => {
                (Step::Keep, 0)
            }
            // Other kinds of certificates and of revocation information (RFC 5652 §10.2).
            (Node::Certificates | Node::Crls, 0, 0xA0..=0xBF) => (Step::Keep, 0),
            _ => return None,
        };
        frame.next = next;
        self.attached |= matches!(step, Step::Enter(Node::Content));
        Some(step)
    }

    fn kept(&mut self, node: Node, octets: Vec<u8>) -> Result<(), Error> {
        let failed = Error::der(node.name());
        match node {
            Node::ContentInfo => {
                if ObjectIdentifier::from_der(&octets).map_err(failed)? != oids::ID_SIGNED_DATA {
                    return Err(Error::other_type("content type, not signedData"));
                }
            }
            Node::Encapsulated => {
                self.content_type = Some(ObjectIdentifier::from_der(&octets).map_err(failed)?);
            }
            Node::SignedData => drop(u8::from_der(&octets).map_err(failed)?),
            Node::Digests if self.digests.len() < MOST_DIGESTS => {
                der::asn1::AnyRef::from_der(&octets).map_err(failed)?;
                let known = algorithm::decode_hash(&octets).ok();
                self.digests.push(known.filter(|hash| *hash != HashAlgorithm::Sha1));
            }
            Node::Certificates
                if self.certificates.len() + self.others.len() < MOST_CERTIFICATES =>
            {
                // What is no X.509 certificate belongs to nobody who can sign here.
                if octets.first() == Some(&SEQUENCE) {
                    self.certificates.push(Certificate::decode(&octets)?);
                } else {
                    self.others.push(octets);
                }
            }
            Node::Crls if self.crls.len() < MOST_CERTIFICATES => self.crls.push(octets),
            Node::Signers if self.signers.len() < MOST_SIGNERS => {
                self.signers.push(SignerInfo::decode(&octets)?);
            }
            // There are as many of them as are kept already.
            _ => return Err(self.because(node.name(), Why::TooLarge)),
        }
        Ok(())
    }
}

fn take<'a>(input: &mut &'a [u8], wanted: u64) -> &'a [u8] {
    let len = usize::try_from(wanted).unwrap_or(usize::MAX).min(input.len());
    let (taken, rest) = input.split_at(len);
    *input = rest;
    taken
}
