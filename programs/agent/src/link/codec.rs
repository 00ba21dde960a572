//! The messages of the line as octets: integers most significant octet first, texts and
//! certificates behind their length in two octets.

use super::message::{Ask, Forget, Identity, Key, Refused, Reply, Report, Standing, State, Why};
use crate::update::LARGEST;
use touchstone_wire::{Malformed, Reader, Why as Fault, Writer};

/// The longest stable code.
const CODE: usize = 128;
/// The longest text for a person.
const WORDS: usize = 1024;
/// The most certificates of a chain.
const CHAIN: usize = 8;

/// The kinds of what is asked.
mod ask {
    pub(super) const STANDING: u8 = 1;
    pub(super) const IDENTITY: u8 = 2;
    pub(super) const SIGN: u8 = 3;
    pub(super) const ENDORSE: u8 = 4;
    pub(super) const ACTIVATE: u8 = 5;
    pub(super) const WELCOME: u8 = 6;
    pub(super) const EVIDENCE: u8 = 7;
    pub(super) const VERDICT: u8 = 8;
    pub(super) const REQUEST: u8 = 9;
    pub(super) const CERTIFICATE: u8 = 10;
    pub(super) const FORGET: u8 = 11;
    pub(super) const DECLINE: u8 = 12;
    pub(super) const ERRANDS: u8 = 13;
    pub(super) const REPORTED: u8 = 14;
    pub(super) const SETTLED: u8 = 15;
    pub(super) const ENVELOPE: u8 = 16;
    pub(super) const STATE: u8 = 17;
    pub(super) const LOG: u8 = 18;
}

/// The kinds of what is answered.
mod reply {
    pub(super) const DONE: u8 = 1;
    pub(super) const TRUTH: u8 = 2;
    pub(super) const BYTES: u8 = 3;
    pub(super) const STANDING: u8 = 4;
    pub(super) const IDENTITY: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const ERRANDS: u8 = 7;
    pub(super) const REFUSED: u8 = 8;
}

impl Ask {
    /// The octets of the longest message of this kind; `None` where there is no such kind.
    pub(super) const fn longest(kind: u8) -> Option<usize> {
        Some(match kind {
            ask::STANDING | ask::ENDORSE | ask::ERRANDS | ask::REPORTED => 0,
            ask::IDENTITY | ask::FORGET => 1,
            ask::REQUEST => 1 + (4 << 10),
            // 64 blanks, the context, a zero and the longest hash.
            ask::SIGN => 256,
            ask::VERDICT => 1 << 20,
            ask::CERTIFICATE => 128 << 10,
            ask::DECLINE => 8 << 10,
            ask::LOG => 2 << 10,
            ask::SETTLED => 8,
            ask::ENVELOPE => 8 + LARGEST,
            ask::ACTIVATE | ask::EVIDENCE | ask::STATE => 4 << 10,
            ask::WELCOME => 16 << 10,
            _ => return None,
        })
    }

    /// Kind, and the octets: a head, and what may be long.
    pub(super) fn encode(self) -> (u8, Vec<u8>, Vec<u8>) {
        let mut out = Writer::new();
        let mut tail = Vec::new();
        let kind = match self {
            Self::Standing => ask::STANDING,
            Self::Identity(key) => {
                out.u8(key.encode());
                ask::IDENTITY
            }
            Self::Sign { key, message } => {
                out.u8(key.encode());
                tail = message;
                ask::SIGN
            }
            Self::Endorse => ask::ENDORSE,
            Self::Activate(credential) => {
                tail = credential;
                ask::ACTIVATE
            }
            Self::Welcome { device, tenant, verifier_key_pem } => {
                text(&mut out, &device, WORDS);
                text(&mut out, &tenant, WORDS);
                tail = verifier_key_pem.into_bytes();
                ask::WELCOME
            }
            Self::Evidence { key, challenge } => {
                out.u8(key.encode());
                tail = challenge;
                ask::EVIDENCE
            }
            Self::Verdict(token) => {
                tail = token.into_bytes();
                ask::VERDICT
            }
            Self::Request { renew, challenge } => {
                out.u8(renew.into());
                tail = challenge;
                ask::REQUEST
            }
            Self::Certificate(chain) => {
                certificates(&mut out, &chain);
                ask::CERTIFICATE
            }
            Self::Forget(what) => {
                out.u8(match what {
                    Forget::Device => 0,
                    Forget::Certificate => 1,
                    Forget::Request => 2,
                });
                ask::FORGET
            }
            Self::Decline { order, component, version, why, words } => {
                out.u64(order).u64(version).u8(u8::from(why == Why::Gone));
                text(&mut out, &component, WORDS);
                text(&mut out, &words, WORDS);
                ask::DECLINE
            }
            Self::Errands => ask::ERRANDS,
            Self::Reported => ask::REPORTED,
            Self::Log { log, after } => {
                out.u64(after);
                text(&mut out, &log, WORDS);
                ask::LOG
            }
            Self::Settled(order) => {
                out.u64(order);
                ask::SETTLED
            }
            Self::Envelope { order, envelope } => {
                out.u64(order);
                tail = envelope;
                ask::ENVELOPE
            }
            Self::State(state) => {
                out.u8(state.reached.map_or(2, u8::from)).u32(state.tunnels);
                optional(&mut out, state.fault.as_ref(), refused);
                ask::STATE
            }
        };
        (kind, out.into_bytes(), tail)
    }

    /// Reads what came as a message of this kind.
    pub fn decode(kind: u8, octets: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(octets);
        let ask = match kind {
            ask::STANDING => Self::Standing,
            ask::IDENTITY => Self::Identity(Key::decode(&mut from)?),
            ask::SIGN => Self::Sign { key: Key::decode(&mut from)?, message: from.rest().to_vec() },
            ask::ENDORSE => Self::Endorse,
            ask::ACTIVATE => Self::Activate(from.rest().to_vec()),
            ask::WELCOME => Self::Welcome {
                device: read_text(&mut from, WORDS)?,
                tenant: read_text(&mut from, WORDS)?,
                verifier_key_pem: rest(&mut from)?,
            },
            ask::EVIDENCE => {
                Self::Evidence { key: Key::decode(&mut from)?, challenge: from.rest().to_vec() }
            }
            ask::VERDICT => Self::Verdict(rest(&mut from)?),
            ask::REQUEST => {
                Self::Request { renew: truth(&mut from)?, challenge: from.rest().to_vec() }
            }
            ask::CERTIFICATE => Self::Certificate(read_certificates(&mut from)?),
            ask::FORGET => Self::Forget(match from.u8()? {
                0 => Forget::Device,
                1 => Forget::Certificate,
                2 => Forget::Request,
                _ => return Err(from.malformed(Fault::BadValue)),
            }),
            ask::DECLINE => {
                let (order, version) = (from.u64()?, from.u64()?);
                let why = if truth(&mut from)? { Why::Gone } else { Why::Kind };
                let component = read_text(&mut from, WORDS)?;
                let words = read_text(&mut from, WORDS)?;
                Self::Decline { order, component, version, why, words }
            }
            ask::ERRANDS => Self::Errands,
            ask::REPORTED => Self::Reported,
            ask::LOG => {
                let after = from.u64()?;
                Self::Log { log: read_text(&mut from, WORDS)?, after }
            }
            ask::SETTLED => Self::Settled(from.u64()?),
            ask::ENVELOPE => Self::Envelope { order: from.u64()?, envelope: from.rest().to_vec() },
            ask::STATE => {
                let reached = match from.u8()? {
                    2 => None,
                    other => Some(bit(other, &from)?),
                };
                let tunnels = from.u32()?;
                let fault = read_optional(&mut from, read_refused)?;
                Self::State(State { reached, fault, tunnels })
            }
            _ => return Err(from.malformed(Fault::BadValue)),
        };
        from.finish().map(|()| ask)
    }
}

impl Reply {
    /// Kind, and the octets: a head, and what may be long.
    pub(super) fn encode(self) -> (u8, Vec<u8>, Vec<u8>) {
        let mut out = Writer::new();
        let mut tail = Vec::new();
        let kind = match self {
            Self::Done => reply::DONE,
            Self::Truth(truth) => {
                out.u8(truth.into());
                reply::TRUTH
            }
            Self::Bytes(octets) => {
                tail = octets;
                reply::BYTES
            }
            Self::Standing(standing) => {
                out.u8(standing.due.into());
                optional(&mut out, standing.device.as_ref(), |out, name| text(out, name, WORDS));
                optional(&mut out, standing.serial.as_ref(), |out, name| text(out, name, WORDS));
                reply::STANDING
            }
            Self::Identity(identity) => {
                text(&mut out, &identity.algorithm, CODE);
                certificates(&mut out, &identity.chain);
                reply::IDENTITY
            }
            Self::Request { request, spki_der } => {
                sized(&mut out, &spki_der);
                tail = request;
                reply::REQUEST
            }
            Self::Errands { installed, report } => {
                out.u8(installed.into());
                optional(&mut out, report.as_ref(), |out, report| {
                    out.u64(report.order);
                    text(out, &report.outcome, CODE);
                    text(out, &report.code, CODE);
                    text(out, &report.reason, WORDS);
                });
                reply::ERRANDS
            }
            Self::Refused(no) => {
                refused(&mut out, &no);
                reply::REFUSED
            }
        };
        (kind, out.into_bytes(), tail)
    }

    /// Reads what came as a message of this kind.
    pub fn decode(kind: u8, octets: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(octets);
        let reply = match kind {
            reply::DONE => Self::Done,
            reply::TRUTH => Self::Truth(truth(&mut from)?),
            reply::BYTES => Self::Bytes(from.rest().to_vec()),
            reply::STANDING => {
                let due = truth(&mut from)?;
                let device = read_optional(&mut from, |from| read_text(from, WORDS))?;
                let serial = read_optional(&mut from, |from| read_text(from, WORDS))?;
                Self::Standing(Standing { device, serial, due })
            }
            reply::IDENTITY => Self::Identity(Identity {
                algorithm: read_text(&mut from, CODE)?,
                chain: read_certificates(&mut from)?,
            }),
            reply::REQUEST => Self::Request {
                spki_der: read_sized(&mut from)?.to_vec(),
                request: from.rest().to_vec(),
            },
            reply::ERRANDS => Self::Errands {
                installed: truth(&mut from)?,
                report: read_optional(&mut from, |from| {
                    Ok(Report {
                        order: from.u64()?,
                        outcome: read_text(from, CODE)?,
                        code: read_text(from, CODE)?,
                        reason: read_text(from, WORDS)?,
                    })
                })?,
            },
            reply::REFUSED => Self::Refused(read_refused(&mut from)?),
            _ => return Err(from.malformed(Fault::BadValue)),
        };
        from.finish().map(|()| reply)
    }
}

impl Key {
    const fn encode(self) -> u8 {
        match self {
            Self::Maker => 0,
            Self::Fleet => 1,
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(if truth(from)? { Self::Fleet } else { Self::Maker })
    }
}

fn truth(from: &mut Reader<'_>) -> Result<bool, Malformed> {
    let at = *from;
    bit(from.u8()?, &at)
}

fn bit(octet: u8, at: &Reader<'_>) -> Result<bool, Malformed> {
    match octet {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(at.malformed(Fault::BadValue)),
    }
}

fn sized(out: &mut Writer, octets: &[u8]) {
    let len = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    out.u16(len).bytes(octets.get(..usize::from(len)).unwrap_or_default());
}

fn read_sized<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = from.u16()?;
    from.take(len.into())
}

/// What is too long is cut: it is for people, or the other half does not take it.
fn text(out: &mut Writer, text: &str, most: usize) {
    let text: String = text.chars().map(|c| if is_odd(c) { ' ' } else { c }).collect();
    sized(out, text.get(..text.floor_char_boundary(most)).unwrap_or_default().as_bytes());
}

fn read_text(from: &mut Reader<'_>, most: usize) -> Result<String, Malformed> {
    let at = *from;
    let octets = read_sized(from)?;
    if octets.len() > most {
        return Err(at.malformed(Fault::TooLong));
    }
    string(octets, &at)
}

fn rest(from: &mut Reader<'_>) -> Result<String, Malformed> {
    let at = *from;
    string(from.rest(), &at)
}

/// Text without control characters other than line ends: it will stand in logs.
fn string(octets: &[u8], at: &Reader<'_>) -> Result<String, Malformed> {
    let text = std::str::from_utf8(octets).ok().filter(|text| !text.chars().any(is_odd));
    text.map(str::to_owned).ok_or(at.malformed(Fault::BadValue))
}

fn is_odd(c: char) -> bool {
    c.is_control() && !"\r\n\t".contains(c)
}

fn certificates(out: &mut Writer, chain: &[Vec<u8>]) {
    for certificate in chain.iter().take(CHAIN) {
        sized(out, certificate);
    }
}

fn read_certificates(from: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut chain = Vec::new();
    while !from.is_empty() {
        if chain.len() == CHAIN {
            return Err(from.malformed(Fault::TooLong));
        }
        chain.push(read_sized(from)?.to_vec());
    }
    Ok(chain)
}

fn refused(out: &mut Writer, no: &Refused) {
    text(out, &no.code, CODE);
    text(out, &no.words, WORDS);
}

fn read_refused(from: &mut Reader<'_>) -> Result<Refused, Malformed> {
    Ok(Refused { code: read_text(from, CODE)?, words: read_text(from, WORDS)? })
}

fn optional<T>(out: &mut Writer, value: Option<&T>, write: impl FnOnce(&mut Writer, &T)) {
    out.u8(value.is_some().into());
    if let Some(value) = value {
        write(out, value);
    }
}

fn read_optional<'a, T>(
    from: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if truth(from)? { read(from).map(Some) } else { Ok(None) }
}
