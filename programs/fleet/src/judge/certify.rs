//! Who gets a certificate: whoever the profile is for. A device's LDevID is for one whose last verdict
//! is affirming and fresh, and for a key that its TPM vouches for.

use super::approval::{self, Way};
use super::identify::Person;
use super::{Judge, No};
use crate::authority::{
    self, Claimant, DEVICE, Declined, Issued, Misfit, Profile, Upstream, WARNED, alternative_name,
    sha256_hex, told,
};
use crate::config::Proof;
use crate::serve::Peer;
use crate::store::{Added, CertificateRow, DeviceRow, NewEnrolment, NewEvent, Standing};
use crate::{Error, clock};
use touchstone_audit::Code;
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, Name};
use touchstone_crypto_awslc::AwsLc;
use touchstone_enroll::Activation;

/// Seconds within which the same request gets the same certificate.
const RESENT: u64 = 300;

/// Why no certificate was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotIssued {
    /// Nobody showed a certificate.
    NoCertificate,
    /// The request does not parse or does not verify.
    Malformed {
        /// The stable code.
        code: &'static str,
        /// What is wrong.
        text: String,
    },
    /// Judged, and no.
    Judged {
        /// The stable code.
        code: &'static str,
        /// Why, and what to do.
        text: String,
    },
    /// It cannot be done now, and the client is told why.
    Unavailable {
        /// The stable code.
        code: &'static str,
        /// Why, and what to do.
        text: String,
        /// After how many seconds to come back.
        after: u32,
    },
    /// Somebody has yet to decide: come back after so many seconds.
    Later(u32),
    /// It could not be done now.
    Failed,
}

impl From<Declined> for NotIssued {
    fn from(declined: Declined) -> Self {
        let (code, text) = (declined.code(), declined.to_string());
        match (declined.again(), &declined) {
            (Some(seconds), Declined::Pending(_)) => Self::Later(seconds),
            (Some(after), _) => Self::Unavailable { code, text, after },
            (None, _) => Self::Judged { code, text },
        }
    }
}

impl From<No> for NotIssued {
    fn from(no: No) -> Self {
        match no {
            No::Refused { code, text } => Self::Judged { code, text },
            No::Failed => Self::Failed,
        }
    }
}

impl From<Error> for NotIssued {
    fn from(error: Error) -> Self {
        No::from(error).into()
    }
}

/// Who asks for a certificate.
struct Asker {
    device: Option<DeviceRow>,
    /// The maker's certificate.
    idevid: Option<Certificate>,
    /// The certificate that is to be renewed, and its key.
    held: Option<(Certificate, String)>,
}

impl Judge {
    /// A device's certificate for the request, or why not. `again` is `simplereenroll` (RFC 7030
    /// §4.2.2).
    pub async fn certify(
        &self,
        peer: &Peer,
        request: CertificateRequest,
        again: bool,
    ) -> Result<Certificate, NotIssued> {
        self.certify_by(DEVICE, peer, request, again).await
    }

    /// The same by the profile of that name.
    pub async fn certify_by(
        &self,
        profile: &str,
        peer: &Peer,
        request: CertificateRequest,
        again: bool,
    ) -> Result<Certificate, NotIssued> {
        if peer.certificates.is_empty() {
            return Err(NotIssued::NoCertificate);
        }
        let found = self.authority.profile(profile);
        let profile = found.filter(|profile| profile.proof != Proof::ByHand).ok_or_else(|| {
            judged("est.profile.unknown", format!("nothing is issued as `{profile}` by EST"))
        })?;
        let asker = self.asker(profile, peer, again).await?;
        let request = request.verify(&AwsLc).map_err(|error| NotIssued::Malformed {
            code: "est.request.signature",
            text: error.to_string(),
        })?;
        let misfit = |misfit: Misfit| judged(misfit.code(), misfit.to_string());
        profile.certifies(&request.key_description()).map_err(misfit)?;
        let sha256 = sha256_hex(request.spki_der());
        // RFC 7030 §4.2.2: a renewal may keep its key, whose place the TPM has vouched for already.
        let kept = asker.held.as_ref().is_some_and(|(_, key)| *key == sha256);
        // A challenge is about the attestation key as well, and is answered each time.
        if profile.proof == Proof::Challenge || profile.proof == Proof::Tpm && !kept {
            let device = asker.device.as_ref().ok_or_else(|| misfit(Misfit::NoDevice))?;
            self.challenges.proven(profile, &request, device, clock::now())?;
        }
        let claimant = Claimant {
            device: asker.device.as_ref().map(|device| device.id.as_str()),
            idevid: asker.idevid.as_ref(),
            held: asker.held.as_ref().map(|(held, _)| held),
        };
        let (subject, names) = profile.subject(&request, &claimant).map_err(misfit)?;
        let (spki, der) = (request.spki_der(), request.der());
        let asks = asker.held.is_none().then(|| request.key_description());
        let renewed = asker.held.as_ref().map(|(_, key)| key.clone());
        let wanted = Wanted { subject, names, spki, sha256, der, asks, renewed };
        self.issue(profile, asker.device.map(|device| device.id), wanted).await
    }

    /// A challenge for the peer, where the profile wants one and the peer is a device.
    pub async fn activation(
        &self,
        profile: &str,
        peer: &Peer,
    ) -> Result<Option<Activation>, NotIssued> {
        let found = self.authority.profile(profile);
        if peer.certificates.is_empty()
            || found.is_none_or(|profile| profile.proof != Proof::Challenge)
        {
            return Ok(None);
        }
        let device = match self.identify(peer).await?.person {
            Person::Made(Some(device))
            | Person::Enrolled(device, _)
            | Person::Holder(Some(device), _) => *device,
            _ => return Err(judged("est.device.unknown", "onboard the device first")),
        };
        self.challenges.make(&device, profile, clock::now()).map(Some)
    }

    /// Who may ask by this profile.
    async fn asker(&self, profile: &Profile, peer: &Peer, again: bool) -> Result<Asker, NotIssued> {
        let identity = self.identify(peer).await?;
        let held = |row: &CertificateRow| {
            let of_profile = row.profile == profile.name;
            let words = format!("a certificate of the profile `{}` is renewed by it", row.profile);
            of_profile
                .then(|| (identity.certificate.clone(), row.spki_sha256.clone()))
                .ok_or_else(|| judged("est.certificate", words))
        };
        let asker = match (identity.person, again) {
            (Person::Enrolled(device, row), true) => {
                Asker { device: Some(*device), idevid: None, held: Some(held(&row)?) }
            }
            (Person::Holder(device, row), true) => Asker {
                device: device.map(|device| *device),
                idevid: None,
                held: Some(held(&row)?),
            },
            (Person::Made(_), true) => {
                return Err(judged("est.certificate", "renewal wants the current LDevID in TLS"));
            }
            (Person::Made(device), false) => {
                let idevid = Some(identity.certificate);
                Asker { device: device.map(|device| *device), idevid, held: None }
            }
            (Person::Enrolled(device, _), false)
                if !profile.names_devices() && profile.proof != Proof::IDevId =>
            {
                Asker { device: Some(*device), idevid: None, held: None }
            }
            _ => return Err(judged("est.certificate", "enrolment wants the IDevID in TLS")),
        };
        if asker.device.is_none() && (profile.verdict || profile.names_devices()) {
            return Err(judged("est.device.unknown", "onboard the device first"));
        }
        Ok(asker)
    }

    async fn issue(
        &self,
        profile: &Profile,
        device: Option<String>,
        mut wanted: Wanted<'_>,
    ) -> Result<Certificate, NotIssued> {
        let now = clock::now();
        let standing = match (&device, profile.verdict) {
            (Some(device), true) => {
                let device = device.clone();
                self.store.call(move |db| db.standing(&device, now)).await?
            }
            _ => Standing::May { most: None, warned: false },
        };
        let (most, warned) = match standing {
            Standing::May { most, warned } => (most, warned),
            Standing::No { code, words } => return Err(judged(code, words)),
        };
        let lifetime = most.unwrap_or(profile.lifetime).clamp(1, profile.lifetime);
        // A request that is sent again soon, for want of an answer, is answered as before.
        let since = now.saturating_sub(RESENT.min(lifetime / 8));
        let (name, sha256, subject) =
            (profile.name.clone(), wanted.sha256.clone(), wanted.subject.to_string());
        let before =
            self.store.call(move |db| db.recorded_since(&name, &sha256, since, now)).await?;
        if let Some(row) = before
            && row.device == device
            && row.subject == subject
        {
            return Certificate::decode(&row.der).map_err(|_| NotIssued::Failed);
        }
        let approved = match self.admitted(profile, device.as_deref(), &wanted, now).await? {
            Way::Before(certificate) => return Ok(*certificate),
            Way::Approved(id) => Some(id),
            Way::Free => None,
        };
        let issued = if let Some(upstream) = self.authority.upstream_of(profile) {
            self.sent_on(upstream, profile, device.as_deref(), &wanted, warned).await?
        } else {
            if warned {
                wanted.names.push(alternative_name(WARNED));
            }
            let (subject, names) = (wanted.subject, wanted.names);
            self.authority.issue(profile, subject, names, wanted.spki, lifetime).await?
        };
        let (row, bound) = (issued.row(device.as_deref()), profile.verdict);
        let (serial, ca) = (row.serial.clone(), row.issuer.clone());
        let renewed = wanted.renewed.clone();
        let added = self.store.call(move |db| match approved {
            Some(id) => db.add_approved(id, &row, bound, since, clock::now()),
            None => db.add_requested(&row, renewed.as_deref(), bound, since, clock::now()),
        });
        let added = added.await.inspect_err(|error| {
            // The next request is signed anew; whoever looks for this one finds it here.
            tracing::error!(%error, serial, ca, "signed, and neither recorded nor handed out");
        })?;
        match added {
            Added::Now => Ok(issued.certificate),
            Added::Before(row) => Certificate::decode(&row.der).map_err(|_| NotIssued::Failed),
            Added::Not { code, words } => Err(judged(code, words)),
            Added::Taken => Err(Declined::SerialTwice.into()),
        }
    }
}

impl Judge {
    /// Whether an operator agrees, where the profile wants that.
    async fn admitted(
        &self,
        profile: &Profile,
        device: Option<&str>,
        wanted: &Wanted<'_>,
        now: u64,
    ) -> Result<Way, NotIssued> {
        let Some(key_kind) = wanted.asks.clone() else { return Ok(Way::Free) };
        let new = NewEnrolment {
            profile: profile.name.clone(),
            protocol: "est",
            device: device.map(str::to_owned),
            invitation: None,
            subject: wanted.subject.to_string(),
            names: wanted.names.iter().map(told).collect(),
            key_kind,
            spki_sha256: wanted.sha256.clone(),
            transaction: String::new(),
            lasts: profile.approval_lasts,
        };
        approval::admitted(&self.store, profile, new, now).await
    }

    /// Another CA signs. What it signed and is not accepted is in nobody's hands, but it is signed.
    async fn sent_on(
        &self,
        upstream: &Upstream,
        profile: &Profile,
        device: Option<&str>,
        wanted: &Wanted<'_>,
        warned: bool,
    ) -> Result<Issued, NotIssued> {
        let Wanted { subject, names, der: request, .. } = wanted;
        let asked = authority::Wanted { request, subject, names, warned };
        let declined = match upstream.issue(profile, &asked).await {
            Ok(issued) => return Ok(issued),
            Err(declined) => declined,
        };
        tracing::warn!(code = declined.code(), upstream = upstream.name, "{declined}");
        if declined.is_signed() {
            let about = device.map_or_else(|| subject.to_string(), str::to_owned);
            let event = NewEvent::new(Code::CertRefused, about, declined.to_string())
                .with("code", declined.code())
                .with("upstream", upstream.name.as_str())
                .with("profile", profile.name.as_str())
                .with("key_sha256", wanted.sha256.as_str());
            self.store.call(move |db| db.record_event(clock::now(), &event)).await?;
        }
        Err(declined.into())
    }
}

/// What a certificate is to say.
struct Wanted<'a> {
    subject: Name,
    names: Vec<AlternativeName>,
    spki: &'a [u8],
    sha256: String,
    /// The request, in DER.
    der: &'a [u8],
    /// The kind of its key where it is no renewal.
    asks: Option<String>,
    /// The key that asks for a renewal.
    renewed: Option<String>,
}

pub(super) fn judged(code: &'static str, text: impl Into<String>) -> NotIssued {
    NotIssued::Judged { code, text: text.into() }
}
