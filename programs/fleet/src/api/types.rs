//! The JSON of the fleet's HTTP interfaces: what devices, checkpoints, operators and the command
//! line send and receive. Every body names its schema and version; readers ignore fields that they
//! do not know. Times are Unix seconds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A body whose schema has a name.
pub trait Body: Serialize {
    /// The name: `touchstone.<noun>[.<verb>]/<version>`.
    const SCHEMA: &'static str;
}

macro_rules! bodies {
    ($($name:ident = $schema:literal;)+) => {
        $(impl Body for $name { const SCHEMA: &'static str = $schema; })+
        /// The schema of every body, by the name of its type.
        pub const BODIES: &[(&str, &str)] = &[$((stringify!($name), $schema)),+];
    };
}

bodies! {
    Problem = "touchstone.problem/1";
    Welcome = "touchstone.welcome/1";
    Begin = "touchstone.begin/1";
    AttestResult = "touchstone.result/1";
    EvidenceContinue = "touchstone.evidence.continue/1";
    Orders = "touchstone.orders/1";
    Report = "touchstone.report/1";
    Ack = "touchstone.ack/1";
    DeviceLogPlace = "touchstone.device.log/1";
    WhoAmI = "touchstone.whoami/1";
    DeviceList = "touchstone.device.list/1";
    DeviceShow = "touchstone.device.show/1";
    DeviceClaims = "touchstone.device.claims/1";
    OverrideShow = "touchstone.device.override.show/1";
    OverrideList = "touchstone.device.override.list/1";
    InvitationShow = "touchstone.invitation.show/1";
    EnrolmentShow = "touchstone.enrolment.show/1";
    EnrolmentList = "touchstone.enrolment.list/1";
    HoldShow = "touchstone.device.hold.show/1";
    HoldList = "touchstone.device.hold.list/1";
    UpdateOrder = "touchstone.update.order/1";
    UpdateList = "touchstone.update.list/1";
    ReferenceImport = "touchstone.reference.import/1";
    ReferenceList = "touchstone.reference.list/1";
    EventList = "touchstone.event.list/1";
    AuditHead = "touchstone.audit.head/1";
    ConsoleLink = "touchstone.console.link/1";
}

/// A body with its schema in front.
#[derive(Clone, Debug, Serialize)]
pub struct Named<T> {
    schema: &'static str,
    #[serde(flatten)]
    body: T,
}

impl<T: Body> Named<T> {
    /// Names the body.
    pub fn new(body: T) -> Self {
        Self { schema: T::SCHEMA, body }
    }

    /// The body in JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        // Types of this module have string keys only, so encoding into memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Why a request was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub next: String,
}

/// The result of onboarding.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// The device's id.
    pub device: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// The fleet's name.
    pub fleet: String,
    /// The fleet's clock.
    pub time: u64,
    /// The key that signs attestation results, SPKI in PEM.
    pub verifier_key_pem: String,
    /// The roots of the fleet's CA, PEM.
    pub roots_pem: String,
}

/// What a device says first when it attests.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Begin {
    /// The version of its agent.
    #[serde(default)]
    pub agent: String,
    /// It sends a long IMA list in parts, if it is asked for that.
    #[serde(default)]
    pub ima_parts: bool,
}

/// The answer to a part of an IMA list. It is no result: nothing is proven before the list's end has come.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceContinue {
    /// The device's id.
    pub device: String,
    /// Continue from this entry, at once and with a new challenge.
    pub entries: u32,
    /// Octets of the list that the fleet has.
    pub octets: u64,
}

/// The answer to evidence.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AttestResult {
    /// The device's id.
    pub device: String,
    /// The trust tier: `none`, `affirming`, `warning`, `contraindicated`.
    pub tier: String,
    /// The attestation result as a JWT.
    pub ear_jwt: String,
    /// The attestation result as a CWT, base64url.
    pub ear_cwt: String,
    /// The number of this result in the feed.
    pub seq: u64,
    /// When it was made.
    pub issued: u64,
    /// Until when it counts.
    pub expires: u64,
    /// Seconds until the device should attest again.
    pub next: f64,
    /// Orders that wait for the device.
    pub orders: u64,
}

/// What an operator decided about a device's certificates, whatever the verdict says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Override {
    /// Its number.
    pub id: u64,
    /// The device.
    pub device: String,
    /// `allow`: certificates are issued, and none is revoked. `deny`: none is issued.
    pub effect: String,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub operator: String,
    /// When.
    pub created: u64,
    /// Until when it holds.
    pub expires: u64,
    /// When it was ended before that.
    pub ended: Option<u64>,
    /// Who ended it.
    pub ended_by: Option<String>,
    /// Whether it holds now.
    pub in_force: bool,
}

/// A decision to be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideOrder {
    /// `allow` or `deny`.
    pub effect: String,
    /// Why, in words that others understand later.
    pub reason: String,
    /// For how many seconds.
    pub seconds: u64,
}

/// Somebody who may enrol once without a device's identity.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationOrder {
    /// The common name of its certificate, and its user name in HTTP.
    pub name: String,
    /// What the certificate is for: `client` or `server`.
    pub kind: String,
    /// For how many minutes the invitation is open.
    pub minutes: u64,
}

/// An invitation that was made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvitationShow {
    /// Whom it is for.
    pub name: String,
    /// What the certificate is for.
    pub kind: String,
    /// The challenge of SCEP, and the password of EST. It is told once and kept nowhere.
    pub challenge: String,
    /// Until when, in Unix seconds.
    pub expires: u64,
}

/// An operator refuses an enrolment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentOrder {
    /// Why, of 4 to 400 characters: whoever asked is told, and the audit log keeps it.
    pub reason: String,
}

/// Somebody who asks for a first certificate that an operator has to agree to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Enrolment {
    /// Its number.
    pub id: i64,
    /// The profile.
    pub profile: String,
    /// `est` or `scep`.
    pub protocol: String,
    /// The device that asks, if it is one.
    pub device: Option<String>,
    /// Whether an operator had invited whoever asks.
    pub invited: bool,
    /// The subject that the certificate would have; without a device its common name.
    pub subject: String,
    /// Its other names.
    pub names: Vec<String>,
    /// The kind of its key.
    pub key: String,
    /// SHA-256 of its key (`SubjectPublicKeyInfo`), hexadecimal: compare it with the device's; empty
    /// where the fleet makes the key.
    pub key_sha256: String,
    /// Since when it waits, in Unix seconds.
    pub since: u64,
    /// Until when it waits, or its decision is kept for whoever asked.
    pub expires: u64,
    /// `waiting`, `approved`, `refused`, `issued` or `expired`.
    pub state: String,
    /// When it was decided.
    pub decided: Option<u64>,
    /// Who decided.
    pub operator: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The certificate's serial number, once it was fetched.
    pub serial: Option<String>,
}

/// One enrolment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EnrolmentShow {
    /// The enrolment.
    pub enrolment: Enrolment,
}

/// Enrolments, those that wait first, at most 1000.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EnrolmentList {
    /// The enrolments.
    pub enrolments: Vec<Enrolment>,
}

/// One decision.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OverrideShow {
    /// The decision.
    #[serde(rename = "override")]
    pub decided: Override,
}

/// Decisions, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OverrideList {
    /// The decisions.
    pub overrides: Vec<Override>,
}

/// A device that its verdict told to act, or that is held back from it: too many were told to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// The device.
    pub device: String,
    /// The policy: `<name>/<version>`.
    pub policy: String,
    /// What is asked for.
    pub asked: String,
    /// Since when.
    pub since: u64,
    /// When it was let do that.
    pub admitted: Option<u64>,
    /// Who let it, if there were too many.
    pub operator: Option<String>,
    /// Whether it waits for somebody to release it.
    pub held: bool,
}

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldShow {
    /// The device.
    pub hold: Hold,
}

/// Devices that are told to act; those that wait come first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldList {
    /// The devices.
    pub holds: Vec<Hold>,
}

/// What a device is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Orders {
    /// Orders without a report, oldest first.
    pub orders: Vec<Order>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// `update`.
    pub kind: String,
    /// SHA-256 of the update envelope, hexadecimal.
    pub update: String,
    /// The component it is for.
    pub component: String,
    /// The version it brings.
    pub version: u64,
    /// Octets of the envelope.
    pub size: u64,
    /// Where the device fetches it.
    pub path: String,
}

/// What became of an order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The order's number; 0 for an update that came by another way.
    pub order: u64,
    /// `applied`, `refused` or `failed`.
    pub outcome: Outcome,
    /// The stable code of a refusal.
    #[serde(default)]
    pub code: String,
    /// The reason in words.
    #[serde(default)]
    pub reason: String,
}

/// How far a device's own audit log was taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceLogPlace {
    /// The log's name; empty before anything was taken.
    pub log: String,
    /// The last entry that was taken: what comes after it is wanted.
    pub acknowledged: u64,
}

/// What became of an order, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Applied,
    /// The device judged it and said no.
    Refused,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// The word in rows and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Heard and kept.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Ack {}

/// A line of the feed that checkpoints read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Feed {
    /// A new attestation result.
    Result {
        /// Its number.
        seq: u64,
        /// The device.
        device: String,
        /// Its tier.
        tier: String,
        /// RFC 7638 thumbprint of the device's LDevID key, if it has one.
        jkt: Option<String>,
        /// When it was made.
        issued: u64,
        /// Until when it counts.
        expires: u64,
        /// The result itself.
        ear_jwt: String,
    },
    /// A certificate was revoked.
    Revoked {
        /// Its number.
        seq: u64,
        /// The device.
        device: String,
        /// The certificate's serial number, hexadecimal.
        serial: String,
        /// RFC 7638 thumbprint of its key.
        jkt: String,
        /// Why.
        reason: String,
    },
    /// Nothing happened, and the feed lives.
    Heartbeat {
        /// The number of the last line that was sent.
        seq: u64,
        /// The fleet's clock.
        time: u64,
    },
}

impl Feed {
    /// The name of the lines' schema.
    pub const SCHEMA: &'static str = "touchstone.feed/1";

    /// The line with its schema and newline.
    pub fn to_line(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'l> {
            schema: &'static str,
            #[serde(flatten)]
            feed: &'l Feed,
        }
        // String keys only: encoding into memory has no way to fail.
        let mut line =
            serde_json::to_vec(&Line { schema: Self::SCHEMA, feed: self }).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Who asks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// The operator's name.
    pub operator: String,
    /// `viewer` or `operator`.
    pub role: String,
    /// The tenant whose devices are shown.
    pub tenant: String,
}

/// Every device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceList {
    /// By name.
    pub devices: Vec<DeviceSummary>,
}

/// A device in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceSummary {
    /// The device's id.
    pub id: String,
    /// What its maker calls it.
    pub name: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// The trust tier of its last result: `none`, `affirming`, `warning`, `contraindicated`.
    pub tier: String,
    /// `reachable`, `unreachable`, or `never` heard of since onboarding.
    pub contact: String,
    /// The tier is older than results count.
    pub stale: bool,
    /// When it last attested.
    pub last_seen: Option<u64>,
    /// Since when it has this tier.
    pub tier_since: Option<u64>,
    /// The tier's reason in one sentence.
    pub why: String,
    /// Its newest certificate.
    pub certificate: CertificateSummary,
}

/// A device's certificate in one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateSummary {
    /// Hexadecimal; empty if there is none.
    pub serial: String,
    /// The end of its validity; 0 if there is none.
    pub not_after: u64,
    /// `none`, `good`, `revoked`, `expired`.
    pub status: String,
}

/// The answer to `device show`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceShow {
    /// The device.
    pub device: DeviceDetail,
}

/// A device, and why it is trusted as it is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceDetail {
    /// The row of the list.
    #[serde(flatten)]
    pub summary: DeviceSummary,
    /// What identifies it.
    pub identity: Identity,
    /// The AR4SI trustworthiness vector of its last result.
    pub vector: Vec<VectorEntry>,
    /// The controls of the policy, failed ones first.
    pub controls: Vec<Control>,
    /// Facts of the last evidence.
    pub evidence: Vec<Fact>,
    /// Certificates, newest first.
    pub certificates: Vec<Certificate>,
    /// Orders, newest first.
    pub orders: Vec<OrderState>,
    /// What happened, newest first.
    pub events: Vec<Event>,
}

/// What the last evidence of a device said, for another policy to judge.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceClaims {
    /// The device's id.
    pub device: String,
    /// The policy that judged them: `<name>/<version>`.
    pub policy: String,
    /// When the nonce of the evidence was given out.
    pub evidence_at: u64,
    /// When the claims were made of the evidence.
    pub appraised_at: u64,
    /// Until when the result of that counts.
    pub expires: u64,
    /// The result does not count any more.
    pub stale: bool,
    /// Claims by name, in the form of `touchstone.claims/1`. `reference.*` is what the reference
    /// values say that are in force now.
    pub claims: Map<String, Value>,
    /// Claims that were too long to keep; nothing is known of them here.
    pub omitted: Vec<String>,
}

/// What identifies a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Subject of the IDevID certificate (IEEE 802.1AR).
    pub idevid_subject: String,
    /// SHA-256 of the IDevID's public key, hexadecimal.
    pub idevid_sha256: String,
    /// SHA-256 of the endorsement key's public key, hexadecimal.
    pub ek_sha256: String,
    /// Who made the TPM: issuer of the EK certificate; `null` where that was not looked at.
    pub ek_issuer: Option<String>,
    /// By what its TPM was proven at onboarding: `endorsement-key`, `iak`.
    pub proofs: Vec<String>,
    /// What the device's maker says of it, where it was onboarded by its IAK.
    pub maker: Option<Maker>,
    /// SHA-256 of the attestation key's public key, hexadecimal.
    pub lak_sha256: String,
    /// When it was onboarded.
    pub enrolled_at: u64,
}

/// What the maker of a device says of it (TCG, TPM 2.0 Keys for Device Identity and Attestation).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Maker {
    /// SHA-256 of the IAK's public key, hexadecimal.
    pub iak_sha256: String,
    /// Who certified the IAK.
    pub iak_issuer: String,
    /// The kind of its hardware module, a dotted object identifier: 2.23.133.1.2 is a TPM 2.0.
    pub hardware_kind: String,
    /// The module's serial number, hexadecimal.
    pub hardware_serial: String,
}

/// One dimension of the trustworthiness vector (draft-ietf-rats-ar4si).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VectorEntry {
    /// Such as `executables`.
    pub dimension: String,
    /// The claim's value.
    pub value: i8,
    /// The value in words.
    pub name: String,
    /// The tier of the value.
    pub tier: String,
}

/// What a control of the policy found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// Its name in the policy.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// `pass`, `fail`, or `unknown`: the evidence does not say, or is too old to count.
    pub outcome: String,
    /// The dimension of the vector it speaks to.
    pub dimension: String,
    /// What it asks for, in a few words.
    #[serde(default)]
    pub title: String,
    /// The tier that a failure means.
    #[serde(default)]
    pub tier: String,
    /// How much it matters: `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// What is to be done, mildest first; empty if it holds or is excepted.
    #[serde(default)]
    pub countermeasures: Vec<String>,
    /// The exception of the policy by which it may fail.
    #[serde(default)]
    pub exception: Option<String>,
    /// What was found, in words.
    pub reason: String,
    /// Why the policy asks for it.
    pub because: String,
    /// The log entries that decided it, if it failed by some.
    #[serde(default)]
    pub events: Vec<String>,
}

/// A fact with its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// What was found.
    pub value: String,
}

/// A certificate that the fleet issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// Hexadecimal.
    pub serial: String,
    /// `device`, `checkpoint`, `server` or `client`.
    pub kind: String,
    /// RFC 4514.
    pub subject: String,
    /// Who issued it, RFC 4514. With the serial number it tells certificates apart.
    pub issuer: String,
    /// The other CA that issued it, by its name in the configuration; none for the fleet's own.
    pub upstream: Option<String>,
    /// The start of its validity.
    pub not_before: u64,
    /// The end of its validity.
    pub not_after: u64,
    /// `good`, `revoked`, `expired`.
    pub status: String,
    /// When it was revoked.
    pub revoked_at: Option<u64>,
    /// Why it was revoked.
    pub reason: Option<String>,
}

/// An order and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderState {
    /// The order.
    #[serde(flatten)]
    pub order: Order,
    /// When it was given.
    pub created: u64,
    /// `waiting`, `applied`, `refused`, `failed`.
    pub outcome: String,
    /// The stable code of a refusal.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// When the device reported.
    pub reported: Option<u64>,
}

/// The answer to an update that was handed in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpdateOrder {
    /// SHA-256 of the envelope, hexadecimal.
    pub update: String,
    /// The component it is for.
    pub component: String,
    /// The version it brings.
    pub version: u64,
    /// Who signed it, as the envelope says; the device judges.
    pub signers: Vec<String>,
    /// The orders that were given.
    pub orders: Vec<GivenOrder>,
}

/// An order that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GivenOrder {
    /// Its number.
    pub id: u64,
    /// For whom.
    pub device: String,
}

/// Every update envelope that the fleet holds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpdateList {
    /// Newest first.
    pub updates: Vec<Update>,
}

/// An update envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Update {
    /// SHA-256 of the envelope, hexadecimal.
    pub update: String,
    /// The component it is for.
    pub component: String,
    /// The version it brings.
    pub version: u64,
    /// Octets of the envelope.
    pub size: u64,
    /// What its maker notes.
    pub note: String,
    /// Who signed it, as the envelope says.
    pub signers: Vec<String>,
    /// When it was handed in.
    pub created: u64,
    /// By whom.
    pub operator: String,
}

/// The answer to reference values that were handed in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceImport {
    /// The reference values.
    #[serde(flatten)]
    pub reference: Reference,
}

/// Every set of reference values.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceList {
    /// By component.
    pub references: Vec<Reference>,
}

/// A signed set of reference values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// SHA-256 of the signed file, hexadecimal.
    pub sha256: String,
    /// The component they describe.
    pub component: String,
    /// The component's version.
    pub version: u64,
    /// What they are values of.
    pub kind: String,
    /// Who signed them.
    pub signer: String,
    /// When they were imported.
    pub imported: u64,
}

/// Events in their order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// Oldest first.
    pub events: Vec<Event>,
    /// What to ask for `after` next time.
    pub next: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number.
    pub seq: u64,
    /// When.
    pub time: u64,
    /// The tenant it concerns.
    pub tenant: String,
    /// The stable code, such as `attest.verdict.changed`.
    pub code: String,
    /// `info`, `notice`, `warning`, `error` or `critical`.
    pub severity: String,
    /// What it is about, usually a device's id.
    pub subject: String,
    /// What happened, in words.
    pub message: String,
    /// More, by name.
    pub detail: Map<String, Value>,
}

/// The end of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    /// Entries in the log.
    pub entries: u64,
    /// SHA-256 of the last entry, hexadecimal.
    pub head: String,
    /// The key that its signed heads are checked with, `name+hash+key` (C2SP signed-note).
    pub key: String,
}

/// A link that logs its holder in at the console: once, within a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleLink {
    /// Path and query, on the console's address.
    pub path: String,
}
