//! The pages as data: everything a template shows, in words already.

use super::vector;
use crate::api::types::{
    Certificate, Control, DeviceDetail, DeviceSummary, Enrolment, Event, Fact, Identity,
    OrderState, VectorEntry,
};
use askama::Template;

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LoginPage<'p> {
    pub(super) fleet: &'p str,
    pub(super) fault: Option<&'p str>,
}

#[derive(Template)]
#[template(path = "devices.html")]
pub(super) struct DevicesPage<'p> {
    pub(super) frame: Frame<'p>,
    pub(super) tiles: Vec<Tile>,
    pub(super) devices: Vec<Row>,
    pub(super) enrolments: Vec<EnrolmentLine>,
    pub(super) events: Vec<Line>,
}

#[derive(Template)]
#[template(path = "device.html")]
pub(super) struct DevicePage<'p> {
    pub(super) frame: Frame<'p>,
    pub(super) row: Row,
    pub(super) picture: String,
    pub(super) vector: Vec<VectorEntry>,
    pub(super) controls: Vec<Control>,
    pub(super) passed: usize,
    pub(super) facts: Vec<Fact>,
    pub(super) evidence: Vec<Fact>,
    pub(super) certificates: Vec<CertificateLine>,
    pub(super) orders: Vec<OrderLine>,
    pub(super) events: Vec<Line>,
}

#[derive(Template)]
#[template(path = "missing.html")]
pub(super) struct MissingPage<'p> {
    pub(super) frame: Frame<'p>,
    pub(super) words: &'p str,
}

/// What stands around every page.
pub(super) struct Frame<'p> {
    pub(super) fleet: &'p str,
    pub(super) operator: &'p str,
    pub(super) role: &'p str,
    pub(super) last_event: u64,
}

/// A number with its label.
pub(super) struct Tile {
    pub(super) class: &'static str,
    pub(super) label: &'static str,
    pub(super) count: usize,
}

/// A device in the list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) tier: &'static str,
    pub(super) stale: bool,
    pub(super) contact: String,
    pub(super) seen: String,
    pub(super) since: String,
    pub(super) why: String,
    pub(super) status: String,
    pub(super) serial: String,
    pub(super) not_after: String,
}

/// An event in the stream.
pub(super) struct Line {
    pub(super) time: String,
    pub(super) severity: String,
    pub(super) code: String,
    pub(super) subject: String,
    pub(super) device: bool,
    pub(super) message: String,
}

/// A certificate in the table.
pub(super) struct CertificateLine {
    pub(super) serial: String,
    pub(super) subject: String,
    pub(super) status: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) note: String,
}

/// An enrolment that waits.
pub(super) struct EnrolmentLine {
    pub(super) id: i64,
    pub(super) subject: String,
    pub(super) profile: String,
    pub(super) protocol: String,
    pub(super) shown: String,
    pub(super) since: String,
    pub(super) key: String,
    pub(super) key_sha256: String,
}

/// An order in the table.
pub(super) struct OrderLine {
    pub(super) id: u64,
    pub(super) what: String,
    pub(super) outcome: String,
    pub(super) note: String,
    pub(super) time: String,
}

impl From<Enrolment> for EnrolmentLine {
    fn from(one: Enrolment) -> Self {
        let shown = match (one.device, one.invited) {
            (Some(device), _) => format!("the device {device}"),
            (None, true) => "a challenge".to_owned(),
            (None, false) => "nothing but a key".to_owned(),
        };
        let named = std::iter::once(one.subject).chain(one.names).collect::<Vec<_>>();
        Self {
            id: one.id,
            subject: named.join(" "),
            profile: one.profile,
            protocol: one.protocol,
            shown,
            since: utc(one.since),
            key: one.key,
            key_sha256: one.key_sha256,
        }
    }
}

impl Tile {
    pub(super) fn of(devices: &[DeviceSummary]) -> Vec<Self> {
        let tier = |tier| move |device: &&DeviceSummary| device.tier == tier;
        let count = |class, label, keep: &dyn Fn(&&DeviceSummary) -> bool| Self {
            class,
            label,
            count: devices.iter().filter(keep).count(),
        };
        vec![
            count("all", "devices", &|_| true),
            count("affirming", "affirming", &tier("affirming")),
            count("warning", "warning", &tier("warning")),
            count("contraindicated", "contraindicated", &tier("contraindicated")),
            count("none", "not judged", &tier("none")),
            count("unreachable", "unreachable", &|device| device.contact == "unreachable"),
        ]
    }
}

impl Row {
    pub(super) fn of(device: DeviceSummary, now: u64) -> Self {
        let ago = |at: Option<u64>| at.map_or_else(|| "never".to_owned(), |at| ago(at, now));
        Self {
            tier: vector::known(&device.tier),
            stale: device.stale,
            seen: ago(device.last_seen),
            since: ago(device.tier_since),
            contact: device.contact,
            id: device.id,
            name: device.name,
            why: device.why,
            status: device.certificate.status,
            serial: device.certificate.serial,
            not_after: utc(device.certificate.not_after),
        }
    }
}

impl From<Event> for Line {
    fn from(event: Event) -> Self {
        Self {
            time: utc(event.time),
            severity: event.severity,
            code: event.code,
            device: event.subject.starts_with("dev-"),
            subject: event.subject,
            message: event.message,
        }
    }
}

impl From<Certificate> for CertificateLine {
    fn from(certificate: Certificate) -> Self {
        let note = match (certificate.revoked_at, certificate.reason) {
            (Some(at), Some(reason)) => format!("{reason}, {}", utc(at)),
            _ => String::new(),
        };
        Self {
            serial: certificate.serial,
            subject: certificate.subject,
            status: certificate.status,
            from: utc(certificate.not_before),
            to: utc(certificate.not_after),
            note,
        }
    }
}

impl From<OrderState> for OrderLine {
    fn from(order: OrderState) -> Self {
        Self {
            id: order.order.id,
            what: format!("{} version {}", order.order.component, order.order.version),
            outcome: order.outcome,
            note: order.reason,
            time: utc(order.reported.unwrap_or(order.created)),
        }
    }
}

/// Facts that identify a device.
pub(super) fn identity(device: &DeviceDetail) -> Vec<Fact> {
    let fact = |label: &str, value: &str| Fact { label: label.into(), value: value.into() };
    let identity = &device.identity;
    let mut facts = vec![
        fact("Device", &device.summary.id),
        fact("Tenant", &device.summary.tenant),
        fact("IDevID", &identity.idevid_subject),
        fact("IDevID key", &identity.idevid_sha256),
        fact("TPM proven by", &proven_by(identity)),
    ];
    if let Some(issuer) = &identity.ek_issuer {
        facts.push(fact("TPM made by", issuer));
    }
    if let Some(maker) = &identity.maker {
        facts.push(fact("Device made by", &maker.iak_issuer));
        facts.push(fact("Hardware module", &maker.hardware_serial));
        facts.push(fact("IAK", &maker.iak_sha256));
    }
    facts.push(fact("Endorsement key", &identity.ek_sha256));
    facts.push(fact("Attestation key", &identity.lak_sha256));
    facts.push(fact("Onboarded", &utc(identity.enrolled_at)));
    facts
}

/// By what a TPM was proven, in words.
fn proven_by(identity: &Identity) -> String {
    let words = identity.proofs.iter().map(|proof| match proof.as_str() {
        "endorsement-key" => "the certificate of its endorsement key",
        "iak" => "the IAK that the device's maker certified",
        other => other,
    });
    words.collect::<Vec<_>>().join(" and ")
}

/// `2026-11-23 10:00:00`, in UTC.
pub(super) fn utc(at: u64) -> String {
    let stamp = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    stamp.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn ago(at: u64, now: u64) -> String {
    match now.saturating_sub(at) {
        seconds @ 0..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7199 => format!("{} min ago", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_words() {
        assert_eq!(utc(1_795_428_000), "2026-11-23 10:00:00");
        assert_eq!(utc(u64::MAX), "-");
        assert_eq!((ago(100, 103), ago(0, 600)), ("3 s ago".into(), "10 min ago".into()));
        assert_eq!((ago(0, 86400), ago(0, 864_000)), ("24 h ago".into(), "10 d ago".into()));
    }
}
