//! The catalogue of what can happen. A code never changes its name or its meaning.

use core::fmt;
use serde::{Deserialize, Serialize};

/// How much an event matters (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody has to act now.
    Alert,
    /// Something is broken or under attack.
    Critical,
    /// Something was refused or failed.
    Error,
    /// Something should be looked at.
    Warning,
    /// Normal, but worth noticing.
    Notice,
    /// Normal.
    Info,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: &[Self] =
        &[Self::Alert, Self::Critical, Self::Error, Self::Warning, Self::Notice, Self::Info];

    /// The number in a syslog message.
    pub const fn number(self) -> u8 {
        match self {
            Self::Alert => 1,
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }

    /// The word in a log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! codes {
    ($($name:ident, $code:literal, $severity:ident, $about:literal;)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $about] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable code.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// How much it matters, unless the event says otherwise.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it means, as a phrase.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

codes! {
    DeviceOnboarded, "device.onboarded", Notice, "a device proved its TPM and was recorded";
    DeviceRefused, "device.refused", Warning, "a device was not onboarded";
    DeviceQuarantined, "device.quarantined", Warning, "a device cut itself off from the network";
    DeviceReleased, "device.released", Notice, "a device lifted its quarantine";
    DeviceSilent, "device.silent", Warning, "a device sends no evidence any more";
    DeviceHeard, "device.heard", Notice, "a device that was silent sends evidence again";
    DeviceTold, "device.told", Notice, "a device's log has an entry of a kind that is not known here";
    DeviceLogGap, "device.log.gap", Error, "entries of a device's or checkpoint's log were let go before they were taken over";
    DeviceLogReplaced, "device.log.replaced", Alert, "a device began a new log in place of the one that was taken over";
    DeviceLogRefused, "device.log.refused", Critical, "a device's log is not the one that was taken over before";
    EvidenceSent, "attest.evidence.sent", Info, "a device was measured, and its evidence sent";
    EvidenceRefused, "attest.evidence.refused", Warning, "evidence did not parse or verify";
    VerdictChanged, "attest.verdict.changed", Notice, "the trust tier of a device changed";
    CodeChanged, "code.changed", Critical, "code in memory is not what its file says";
    CodeMapped, "code.mapped", Warning, "code was mapped that no signed file accounts for";
    ProcessStarted, "process.started", Notice, "a program started";
    ProcessTraced, "process.traced", Warning, "a process took hold of another";
    ProcessSuspect, "process.suspect", Warning, "a process runs what it should not";
    ModuleLoaded, "kernel.module.loaded", Notice, "a module was loaded into the kernel";
    ConfigChanged, "config.changed", Notice, "the configuration of a device changed";
    ResponseProposed, "respond.proposed", Notice, "a countermeasure waits for approval";
    ResponseApproved, "respond.approved", Notice, "a countermeasure was approved";
    ResponseApplied, "respond.applied", Warning, "a countermeasure was applied";
    ResponseUndone, "respond.undone", Notice, "a countermeasure was undone";
    ResponseReverted, "respond.reverted", Warning, "a countermeasure ended because nobody renewed it";
    ResponseRefused, "respond.refused", Warning, "an interlock did not let a countermeasure happen";
    ResponseFailed, "respond.failed", Error, "a countermeasure could not be applied or undone";
    CertInvited, "cert.invited", Notice, "an operator invited somebody to enrol";
    CertWaiting, "cert.waiting", Notice, "an enrolment waits for an operator";
    CertApproved, "cert.approved", Notice, "an operator let somebody enrol";
    CertDeclined, "cert.declined", Warning, "an operator refused an enrolment";
    CertIssued, "cert.issued", Notice, "a certificate was issued";
    CertRefused, "cert.refused", Warning, "a certificate was not issued";
    CertRevoked, "cert.revoked", Warning, "a certificate was revoked";
    CertRevokedHere, "cert.revoked-here", Warning, "a certificate of another CA was revoked in the fleet alone";
    CertOverridden, "cert.overridden", Warning, "an operator decided about a device's certificates, whatever its verdict";
    FlowAdmitted, "flow.admitted", Info, "a checkpoint let a flow through";
    FlowRefused, "flow.refused", Warning, "a checkpoint did not let a flow through";
    FlowCut, "flow.cut", Warning, "a checkpoint cut an open flow";
    UpdateStored, "update.stored", Notice, "an update was stored for devices";
    UpdateOrdered, "update.ordered", Notice, "a device was asked to apply an update";
    UpdateApplied, "update.applied", Notice, "a device applied an update";
    UpdateRefused, "update.refused", Warning, "an update was refused";
    UpdateFailed, "update.failed", Error, "a device could not apply an update";
    ReferencesImported, "reference.imported", Notice, "signed reference values were taken over";
    ReferencesRefused, "reference.refused", Warning, "reference values were refused";
    PolicyLoaded, "policy.loaded", Notice, "a trust policy is in force";
    PolicyRefused, "policy.refused", Error, "a trust policy was not loaded";
    OperatorAdmitted, "operator.admitted", Info, "an operator logged in";
    OperatorRefused, "operator.refused", Warning, "an operator was not let in";
    OperatorChanged, "operator.changed", Notice, "who may operate the fleet, or how, changed";
    ServiceStarted, "service.started", Notice, "a service started";
    ServiceStopped, "service.stopped", Notice, "a service stopped as told";
    AuditRecovered, "audit.recovered", Warning, "an entry that was never acknowledged was cut off";
    AuditSigned, "audit.signed", Info, "the head of the audit log was signed";
    AuditUnsigned, "audit.unsigned", Error, "the head of the audit log could not be signed";
    AuditContinued, "audit.continued", Info, "the audit log goes on in a new part";
    AuditPruned, "audit.pruned", Notice, "the oldest part of the audit log was removed";
    AuditExportLost, "audit.export.lost", Error, "entries may not have reached a collector";
    AuditExportResumed, "audit.export.resumed", Notice, "entries reach a collector again";
}

impl Code {
    /// The code of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_fit_a_syslog_message() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.name()), Some(*code));
            // RFC 5424 §6: MSGID is 1 to 32 printable characters.
            assert!(code.name().len() <= 32 && code.name().bytes().all(|c| c.is_ascii_graphic()));
        }
    }
}
