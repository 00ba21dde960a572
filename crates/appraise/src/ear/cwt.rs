//! The result as a CWT: COSE_Sign1 (RFC 9052 §4.2, RFC 8392), tagged.

use super::{Confirmation, Ear, Error, MAX_TOKEN, PROFILE, VerifierId, VerifierKey, is_known};
use crate::appraisal::{ControlResult, EventRef, LogName, NotEvaluated, TrustVector};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use ciborium::Value;
use touchstone_crypto::{Crypto, Signer, Verified};
use touchstone_evidence::token::cose;
use touchstone_policy::Status;
use touchstone_policy::ar4si::{Dimension, Tier};

// RFC 8392 §4, RFC 8747 §7.1, RFC 9711 §10.2, draft-ietf-rats-ear-04 §3.
const EXP: i64 = 4;
const IAT: i64 = 6;
const CNF: i64 = 8;
const NONCE: i64 = 10;
const EAT_PROFILE: i64 = 265;
const SUBMODS: i64 = 266;
const STATUS: i64 = 1000;
const VECTOR: i64 = 1001;
const POLICY_IDS: i64 = 1003;
const VERIFIER_ID: i64 = 1004;
/// The thumbprint of a COSE key, in `cnf` (RFC 9679 §5.6).
const CKT: i64 = 5;
// Private use (RFC 8392 §9.1).
const TENANT: i64 = -70_101;
const EVIDENCE_AT: i64 = -70_102;
const CONTROLS: i64 = -70_103;
const NOT_EVALUATED: i64 = -70_104;
const HELD: i64 = -70_105;

/// The claims of a result as they are signed in a CWT: the same result gives the same octets.
pub fn to_cbor(ear: &Ear) -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    ciborium::into_writer(&claims(ear), &mut payload).map_err(|_| Error::Malformed("claims"))?;
    Ok(payload)
}

/// Signs a result as a CWT.
pub fn to_cwt(ear: &Ear, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    Ok(cose::sign(to_cbor(ear)?, signer)?)
}

/// Checks that a CWT is a result signed by one of `keys`.
pub fn verify_cwt(
    crypto: &dyn Crypto,
    token: &[u8],
    keys: &[VerifierKey],
) -> Result<Verified<Ear>, Error> {
    let payload = cose::verify(crypto, token, keys, MAX_TOKEN)?;
    let claims: Value =
        ciborium::from_reader(payload.as_slice()).map_err(|_| Error::Malformed("claims"))?;
    ear(&claims).map(Verified::vouch)
}

fn int(number: impl Into<i64>) -> Value {
    Value::Integer(number.into().into())
}

fn seconds(time: u64) -> Value {
    Value::Integer(time.into())
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn claims(ear: &Ear) -> Value {
    let vector = ear.vector.iter().map(|(dimension, value)| (int(dimension.key()), int(value)));
    let mut submodule = vec![
        (int(STATUS), int(ear.status.number())),
        (int(VECTOR), Value::Map(vector.collect())),
        (int(POLICY_IDS), Value::Array(vec![text(&ear.policy_id)])),
        (int(TENANT), text(&ear.tenant)),
    ];
    submodule.extend(ear.evidence_at.map(|at| (int(EVIDENCE_AT), seconds(at))));
    let controls = ear.controls.iter().map(control).collect();
    submodule.push((int(CONTROLS), Value::Array(controls)));
    if !ear.not_evaluated.is_empty() {
        let pair = |not: &NotEvaluated| Value::Array(vec![text(&not.what), text(&not.why)]);
        let pairs = ear.not_evaluated.iter().map(pair).collect();
        submodule.push((int(NOT_EVALUATED), Value::Array(pairs)));
    }
    submodule.extend(ear.held.as_deref().map(|why| (int(HELD), text(why))));
    let submodule = Value::Map(submodule);
    let verifier = Value::Map(vec![
        (int(0), text(&ear.verifier.developer)),
        (int(1), text(&ear.verifier.build)),
    ]);
    let mut claims = vec![(int(EXP), seconds(ear.expires)), (int(IAT), seconds(ear.issued_at))];
    let ckt = ear.confirmation.as_ref().and_then(|confirmation| confirmation.ckt.clone());
    if let Some(ckt) = ckt {
        claims.push((int(CNF), Value::Map(vec![(int(CKT), Value::Bytes(ckt))])));
    }
    if let Some(nonce) = &ear.nonce {
        claims.push((int(NONCE), Value::Bytes(nonce.clone())));
    }
    claims.push((int(EAT_PROFILE), text(PROFILE)));
    claims.push((int(SUBMODS), Value::Map(vec![(text(&ear.device), submodule)])));
    claims.push((int(VERIFIER_ID), verifier));
    Value::Map(claims)
}

/// `[name, status, dimension, value, reason, [* [log, index]], severity, [* countermeasure],
/// exception / null]`.
fn control(control: &ControlResult) -> Value {
    let events = control.events.iter().map(|event| {
        let log = match event.log {
            LogName::EventLog => 0u8,
            LogName::Ima => 1,
        };
        Value::Array(vec![int(log), int(event.index)])
    });
    Value::Array(vec![
        text(&control.name),
        text(control.status.name()),
        text(&control.dimension),
        int(control.value),
        text(&control.reason),
        Value::Array(events.collect()),
        text(&control.severity),
        Value::Array(control.countermeasures.iter().map(|name| text(name)).collect()),
        control.exception.as_deref().map_or(Value::Null, text),
    ])
}

/// What an item must be, or the part that does not parse.
struct Part<'a>(&'static str, Option<&'a Value>);

impl<'a> Part<'a> {
    fn or<T>(&self, value: Option<T>) -> Result<T, Error> {
        value.ok_or(Error::Malformed(self.0))
    }

    fn text(&self) -> Result<String, Error> {
        self.or(self.1.and_then(Value::as_text).map(str::to_owned))
    }

    fn number<T: TryFrom<i128>>(&self) -> Result<T, Error> {
        let number = self.1.and_then(Value::as_integer).map(i128::from);
        self.or(number.and_then(|number| T::try_from(number).ok()))
    }

    fn bytes(&self) -> Result<Vec<u8>, Error> {
        self.or(self.1.and_then(Value::as_bytes).cloned())
    }

    fn map(&self) -> Result<&'a [(Value, Value)], Error> {
        self.or(self.1.and_then(Value::as_map).map(Vec::as_slice))
    }

    fn array(&self) -> Result<&'a [Value], Error> {
        self.or(self.1.and_then(Value::as_array).map(Vec::as_slice))
    }

    /// An entry of this map; an empty part if there is none, or if there are two.
    fn at(&self, key: i64, name: &'static str) -> Result<Part<'a>, Error> {
        let mut found = self.map()?.iter().filter(|(at, _)| *at == int(key)).map(|(_, v)| v);
        let value = found.next();
        if found.next().is_some() {
            return Err(Error::Malformed(name));
        }
        Ok(Part(name, value))
    }
}

fn ear(claims: &Value) -> Result<Ear, Error> {
    let claims = Part("claims", Some(claims));
    if !is_known(&claims.at(EAT_PROFILE, "profile")?.text()?) {
        return Err(Error::Profile);
    }
    let [(device, submodule)] = claims.at(SUBMODS, "submodules")?.map()? else {
        return Err(Error::Malformed("submodules"));
    };
    let submodule = Part("submodule", Some(submodule));
    let verifier = claims.at(VERIFIER_ID, "verifier id")?;
    let policies = submodule.at(POLICY_IDS, "policy ids")?;
    let policy_id = match policies.1 {
        None => String::new(),
        // Drafts before -04 have one, and no list.
        Some(Value::Text(id)) => id.clone(),
        Some(_) => match policies.array()? {
            [id] => Part("policy ids", Some(id)).text()?,
            _ => return Err(Error::Malformed("policy ids")),
        },
    };
    let (issued_at, exp) = (claims.at(IAT, "iat")?.number()?, claims.at(EXP, "exp")?);
    let tenant = submodule.at(TENANT, "tenant")?;
    let cnf = claims.at(CNF, "confirmation")?;
    let ckt = cnf.1.map(|_| cnf.at(CKT, "confirmation")?.bytes()).transpose()?;
    let nonce = claims.at(NONCE, "nonce")?;
    let evidence_at = submodule.at(EVIDENCE_AT, "evidence time")?;
    let held = submodule.at(HELD, "held")?;
    let status: i8 = submodule.at(STATUS, "status")?.number()?;
    let controls = submodule.at(CONTROLS, "controls")?;
    let controls = controls.1.map_or(Ok(&[][..]), |_| controls.array())?;
    let values = submodule.at(VECTOR, "trustworthiness vector")?;
    Ok(Ear {
        issued_at,
        // Nothing says until when: then it is old already.
        expires: if exp.1.is_some() { exp.number()? } else { issued_at },
        verifier: VerifierId {
            developer: verifier.at(0, "developer")?.text()?,
            build: verifier.at(1, "build")?.text()?,
        },
        nonce: nonce.1.map(|_| nonce.bytes()).transpose()?,
        confirmation: ckt.map(|ckt| Confirmation { jkt: None, ckt: Some(ckt) }),
        device: Part("submodules", Some(device)).text()?,
        tenant: tenant.1.map_or(Ok(String::new()), |_| tenant.text())?,
        evidence_at: evidence_at.1.map(|_| evidence_at.number()).transpose()?,
        status: Tier::ALL
            .into_iter()
            .find(|tier| tier.number() == status)
            .ok_or(Error::Malformed("status"))?,
        vector: if values.1.is_some() { vector(&values)? } else { TrustVector::default() },
        policy_id,
        controls: controls.iter().map(control_result).collect::<Result<_, _>>()?,
        not_evaluated: not_evaluated(&submodule.at(NOT_EVALUATED, "what was not evaluated")?)?,
        held: held.1.map(|_| held.text()).transpose()?,
    })
}

fn vector(part: &Part<'_>) -> Result<TrustVector, Error> {
    let mut vector = TrustVector::default();
    for (key, value) in part.map()? {
        let key: u8 = Part(part.0, Some(key)).number()?;
        let dimension = part.or(Dimension::from_key(key))?;
        vector.set(dimension, Part(part.0, Some(value)).number()?);
    }
    Ok(vector)
}

fn not_evaluated(part: &Part<'_>) -> Result<Vec<NotEvaluated>, Error> {
    let Some(value) = part.1 else { return Ok(Vec::new()) };
    let one = |value| {
        let [what, why] = Part(part.0, Some(value)).array()? else {
            return Err(Error::Malformed(part.0));
        };
        let text = |value| Part(part.0, Some(value)).text();
        Ok(NotEvaluated::new(text(what)?, text(why)?))
    };
    Part(part.0, Some(value)).array()?.iter().map(one).collect()
}

fn control_result(value: &Value) -> Result<ControlResult, Error> {
    let part = |value| Part("controls", Some(value));
    let [name, status, dimension, number, reason, events, severity, countermeasures, exception] =
        part(value).array()?
    else {
        return Err(Error::Malformed("controls"));
    };
    Ok(ControlResult {
        name: part(name).text()?,
        status: Status::from_name(&part(status).text()?).ok_or(Error::Malformed("controls"))?,
        dimension: part(dimension).text()?,
        value: part(number).number()?,
        reason: part(reason).text()?,
        events: part(events).array()?.iter().map(event).collect::<Result<_, _>>()?,
        severity: part(severity).text()?,
        countermeasures: part(countermeasures)
            .array()?
            .iter()
            .map(|name| part(name).text())
            .collect::<Result<_, _>>()?,
        exception: match exception {
            Value::Null => None,
            name => Some(part(name).text()?),
        },
    })
}

fn event(value: &Value) -> Result<EventRef, Error> {
    let part = |value| Part("controls", Some(value));
    let [log, index] = part(value).array()? else {
        return Err(Error::Malformed("controls"));
    };
    let log = match part(log).number::<u8>()? {
        0 => LogName::EventLog,
        1 => LogName::Ima,
        _ => return Err(Error::Malformed("controls")),
    };
    Ok(EventRef { log, index: part(index).number()? })
}
