//! `touchstone ca`: a small certificate authority in a folder.

mod records;

use crate::answer::{Answer, Answered, Failure};
use crate::cli::{Ca, IssueCa};
use crate::files::{self, SMALL};
use crate::{cert, signing};
pub(crate) use records::{Known, Standing};
use records::{Record, Records};
use serde_json::Value;
use std::fs;
use std::path::Path;
use touchstone_certs::crl::{CrlTemplate, Revoked};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::Reason;
use touchstone_certs::{Certificate, CertificateRequest, Error, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

const DAY: u64 = 86_400;
/// Clocks differ: certificates begin a little before now.
const SKEW: u64 = 300;

pub(crate) fn run(verb: &Ca) -> Answered {
    match verb {
        Ca::Init { dir, subject, algorithm, days } => init(dir, subject, algorithm, *days),
        Ca::Issue(asked) => issue(asked),
        Ca::Revoke { dir, serial, reason } => revoke(dir, serial, reason),
        Ca::Crl { dir, hours, delta, out } => list(dir, *hours, *delta, out),
        Ca::Rollover { dir, days } => rollover(dir, *days),
    }
}

/// A CA that is at work: nobody else is, as long as its records are held.
struct Authority {
    certificate: Certificate,
    key: SoftSigner,
    records: Records,
}

impl Authority {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let records = Records::open(dir)?;
        let certificate = cert::read(&dir.join("ca.pem"))?.remove(0);
        let pem = files::read_text(&dir.join("ca.key"), SMALL)?;
        let key = SoftSigner::from_pkcs8_pem(&pem).map_err(|error| {
            let message = format!("the key in {} does not load", dir.display());
            Failure::unknown(error.code(), message, "restore ca.key")
        })?;
        if key.spki_der() == certificate.spki_der() {
            return Ok(Self { certificate, key, records });
        }
        // A rollover was cut off after its key was in place.
        let next = dir.join("ca-next.pem");
        let certificate = if next.exists() { cert::read(&next)?.remove(0) } else { certificate };
        if key.spki_der() != certificate.spki_der() {
            let message = format!("ca.key in {} is not the key of ca.pem", dir.display());
            let next = "restore both from one backup";
            return Err(Failure::unknown("touchstone.ca.key", message, next));
        }
        put_in_place(dir)?;
        Ok(Self { certificate, key, records })
    }
}

fn init(dir: &Path, subject: &str, algorithm: &str, days: u32) -> Answered {
    let subject = Name::parse(subject).ok().filter(|name| !name.is_empty());
    let subject = subject
        .ok_or_else(|| Failure::usage("the subject is no name", "write CN=Plant 7 CA,O=Acme"))?;
    let algorithm = SignatureAlgorithm::from_name(algorithm).ok_or_else(|| {
        let names: Vec<_> = SignatureAlgorithm::ALL.iter().map(|one| one.name()).collect();
        let next = format!("write one of {}", names.join(", "));
        Failure::usage(format!("no algorithm is named `{algorithm}`"), next)
    })?;
    fs::create_dir(dir).map_err(|error| {
        let message = format!("cannot make {}: {error}", dir.display());
        Failure::unknown("touchstone.ca.folder", message, "name a folder that does not exist yet")
    })?;
    let key = generate(algorithm)?;
    let certificate = root(subject, days)?.self_sign(&AwsLc, &key).map_err(failed)?;
    files::write_secret(&dir.join("ca.key"), key.to_pkcs8_pem().as_bytes())?;
    files::write(&dir.join("ca.pem"), certificate.to_pem().map_err(failed)?.as_bytes())?;
    Records::create(dir)?;
    Ok(Answer::new("touchstone.ca.init/1")
        .with("certificate", signing::to_json(&certificate))
        .line(format_args!("{} until {}", certificate.subject(), until(&certificate))))
}

fn issue(asked: &IssueCa) -> Answered {
    let kind = Kind::from_name(&asked.profile).ok_or_else(|| {
        let next = format!("write one of {}", Kind::NAMES.join(", "));
        Failure::usage(format!("no profile is named `{}`", asked.profile), next)
    })?;
    let content = files::read(&asked.request, SMALL)?;
    let request = if cert::is_pem(&content) {
        CertificateRequest::from_pem(&content)
    } else {
        CertificateRequest::decode(&content)
    };
    let request = request.and_then(|request| request.verify(&AwsLc)).map_err(|error| {
        cert::unreadable(&asked.request, &error, "give a request signed with its own key")
    })?;
    let mut ca = Authority::open(&asked.dir)?;
    let now = files::now()?;
    let end = now.saturating_add(u64::from(asked.days) * DAY);
    let urls: Vec<&str> = asked.crl_url.iter().map(String::as_str).collect();
    let mut template = Template::new(kind, request.subject().clone(), now - SKEW, end)
        .with_names(request.alternative_names().to_vec())
        .with_crls(&urls);
    template.ocsp_url.clone_from(&asked.ocsp_url);
    template.issuer_url.clone_from(&asked.issuer_url);
    template.delta_crl_urls.clone_from(&asked.delta_crl_url);
    let issuer = Issuer::new(&ca.certificate, &ca.key).map_err(failed)?;
    let certificate = template.issue(&AwsLc, &issuer, request.spki_der()).map_err(failed)?;
    ca.records.add(Record::Issued {
        at: now,
        serial: certificate.serial(),
        subject: certificate.subject().to_owned(),
        sha256: certificate.fingerprint_sha256(&AwsLc).to_hex(),
        not_after: certificate.not_after(),
    })?;
    files::write(&asked.out, certificate.to_pem().map_err(failed)?.as_bytes())?;
    let mut answer = Answer::new("touchstone.ca.issue/1")
        .with("certificate", signing::to_json(&certificate))
        .line(format_args!("{} until {}", certificate.subject(), until(&certificate)))
        .line(format_args!("  serial {}", certificate.serial()));
    for name in certificate.alternative_names() {
        answer = answer.line(format_args!("  {}", cert::name(name)));
    }
    Ok(answer)
}

fn revoke(dir: &Path, serial: &str, reason: &str) -> Answered {
    let known = Reason::from_name(reason).ok_or_else(|| {
        Failure::usage(
            format!("no reason is named `{reason}`"),
            "write keyCompromise, superseded, ..",
        )
    })?;
    let mut ca = Authority::open(dir)?;
    let serial = serial.to_lowercase();
    let answer = Answer::new("touchstone.ca.revoke/1").with("serial", serial.as_str());
    let no = |code: &str, message: &str, answer: Answer| {
        let line = format!("{serial}: {message} ({code})");
        Ok(answer.good(false).with("code", code).line(line))
    };
    if !ca.records.issued(&serial) {
        return no("touchstone.ca.not-issued", "this CA has not issued it", answer);
    }
    let before = ca.records.revoked().into_iter().find(|one| one.serial == serial);
    // RFC 5280 §5.3.1: only what is on hold can change its state.
    let held = before.as_ref().is_some_and(|one| one.reason == Reason::CertificateHold);
    if before.is_some() && !held {
        return no("touchstone.ca.revoked", "it is revoked already", answer);
    }
    if known == Reason::RemoveFromCrl && !held {
        return no("touchstone.ca.not-held", "it is not on hold", answer);
    }
    let reason = known.name();
    ca.records.add(Record::Revoked {
        at: files::now()?,
        serial: serial.clone(),
        reason: reason.into(),
    })?;
    Ok(answer
        .with("reason", reason)
        .line(format_args!("{serial}: {reason}"))
        .word("sign a CRL now: touchstone ca crl"))
}

fn list(dir: &Path, hours: u32, delta: bool, out: &Path) -> Answered {
    let mut ca = Authority::open(dir)?;
    let now = files::now()?;
    let number = ca.records.next_number();
    let next = now.saturating_add(u64::from(hours) * 3600);
    let mut template = CrlTemplate::new(number, now - SKEW, next);
    let revoked = ca.records.revoked();
    if delta {
        let Some((base, before)) = ca.records.last_full() else {
            let next = "sign a full list first: touchstone ca crl";
            return Err(Failure::usage("there is no full list to which a delta could be", next));
        };
        template.base = Some(base);
        template.revoked = changes(&before, &revoked, now);
    } else {
        template.revoked = revoked;
    }
    let crl = template.sign(&AwsLc, &ca.certificate, &ca.key).map_err(failed)?;
    ca.records.add(Record::Listed { at: now, number, delta })?;
    files::write(out, crl.to_pem().map_err(failed)?.as_bytes())?;
    Ok(Answer::new("touchstone.ca.crl/1")
        .with("number", number)
        .with("base", template.base)
        .with("revoked", crl.len())
        .with("next_update", crl.next_update())
        .line(format_args!("list {number}: {} revoked", crl.len()))
        .line(format_args!("  until {}", cert::date(crl.next_update()))))
}

/// What a delta says: the new and changed ones, and those that are off hold.
fn changes(before: &[Revoked], after: &[Revoked], now: u64) -> Vec<Revoked> {
    let mut changed: Vec<_> = after.iter().filter(|one| !before.contains(one)).cloned().collect();
    let gone = |one: &&Revoked| !after.iter().any(|other| other.serial == one.serial);
    changed.extend(before.iter().filter(gone).map(|one| Revoked {
        serial: one.serial.clone(),
        at: now,
        reason: Reason::RemoveFromCrl,
    }));
    changed
}

fn rollover(dir: &Path, days: u32) -> Answered {
    let mut ca = Authority::open(dir)?;
    let subject = Name::decode(ca.certificate.subject_der()).map_err(failed)?;
    let key = generate(ca.key.algorithm())?;
    let template = root(subject, days)?;
    let certificate = template.self_sign(&AwsLc, &key).map_err(failed)?;
    let by = |certificate: &Certificate, signer: &SoftSigner, spki: &[u8], end: u64| {
        let template = Template { not_after: end, ..template.clone() };
        let issuer = Issuer::new(certificate, signer)?;
        template.issue(&AwsLc, &issuer, spki)?.to_pem()
    };
    // RFC 4210 §4.4.1: both for as long as the old one lives.
    let end = ca.certificate.not_after();
    let new_with_old = by(&ca.certificate, &ca.key, key.spki_der(), end).map_err(failed)?;
    let old_with_new = by(&certificate, &key, ca.key.spki_der(), end).map_err(failed)?;
    let count = ca.records.rollovers() + 1;
    let old = ca.certificate.to_pem().map_err(failed)?;
    files::write(&dir.join(format!("ca-{count}.pem")), old.as_bytes())?;
    files::write(&dir.join("new-with-old.pem"), new_with_old.as_bytes())?;
    files::write(&dir.join("old-with-new.pem"), old_with_new.as_bytes())?;
    let sha256 = certificate.fingerprint_sha256(&AwsLc).to_hex();
    ca.records.add(Record::RolledOver { at: files::now()?, sha256 })?;
    // In this order, so that the key in place always has its certificate beside it.
    files::write(&dir.join("ca-next.pem"), certificate.to_pem().map_err(failed)?.as_bytes())?;
    files::write_secret(&dir.join("ca.key"), key.to_pkcs8_pem().as_bytes())?;
    put_in_place(dir)?;
    let json: Value = signing::to_json(&certificate);
    Ok(Answer::new("touchstone.ca.rollover/1")
        .with("certificate", json)
        .line(format_args!("{} until {}", certificate.subject(), until(&certificate)))
        .word("hand out new-with-old.pem and old-with-new.pem with the chains"))
}

/// The last step of a rollover.
fn put_in_place(dir: &Path) -> Result<(), Failure> {
    fs::rename(dir.join("ca-next.pem"), dir.join("ca.pem")).map_err(|error| {
        let message = format!("cannot replace {}: {error}", dir.join("ca.pem").display());
        Failure::unknown("touchstone.ca.folder", message, "check the folder; then ask again")
    })
}

fn root(subject: Name, days: u32) -> Result<Template, Failure> {
    let now = files::now()?;
    let end = now.saturating_add(u64::from(days) * DAY);
    Ok(Template::new(Kind::Root, subject, now - SKEW, end))
}

fn generate(algorithm: SignatureAlgorithm) -> Result<SoftSigner, Failure> {
    SoftSigner::generate(algorithm)
        .map_err(|error| Failure::usage(error, "choose another --algorithm"))
}

fn until(certificate: &Certificate) -> String {
    cert::date(certificate.not_after())
}

fn failed(error: Error) -> Failure {
    Failure::unknown(error.code(), error, "check the request and the profile")
}
