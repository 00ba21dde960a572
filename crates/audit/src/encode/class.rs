//! Which class of OCSF 1.8 an event is, and which of its activities.

use crate::Code;

/// A class of events with the activity in it. Codes that fit none are base events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// `class_uid`: the category's number, three digits.
    pub uid: u32,
    /// `class_name`.
    pub name: &'static str,
    /// `activity_id`.
    pub activity: u32,
    /// `activity_name`.
    pub activity_name: &'static str,
    /// Whether what was tried succeeded; `None` where nothing was tried.
    pub success: Option<bool>,
}

impl Class {
    /// `category_uid`.
    pub const fn category(self) -> u32 {
        self.uid / 1000
    }

    /// `category_name`.
    pub const fn category_name(self) -> &'static str {
        match self.category() {
            1 => "System Activity",
            2 => "Findings",
            3 => "Identity & Access Management",
            4 => "Network Activity",
            5 => "Discovery",
            6 => "Application Activity",
            7 => "Remediation",
            _ => "Uncategorized",
        }
    }

    /// The class of that code.
    pub const fn of(code: Code) -> Self {
        use Code as C;
        match code {
            C::VerdictChanged => COMPLIANCE.does(2, "Update"),
            C::EvidenceRefused
            | C::DeviceRefused
            | C::DeviceSilent
            | C::DeviceLogGap
            | C::DeviceLogReplaced
            | C::DeviceLogRefused
            | C::ProcessSuspect => DETECTION.does(1, "Create"),
            C::DeviceTold => LOG.does(99, "Tell"),
            C::DeviceHeard => DETECTION.does(3, "Close"),
            C::CodeChanged => MEMORY.does(2, "Modify Page"),
            C::CodeMapped => MEMORY.does(9, "Map View"),
            C::ProcessStarted => PROCESS.does(1, "Launch"),
            C::ModuleLoaded => MODULE.does(1, "Load"),
            C::ProcessTraced => PROCESS.does(4, "Inject"),
            C::ConfigChanged | C::EvidenceSent => CONFIG.does(1, "Log"),
            C::DeviceQuarantined => REMEDIATION.did(1, "Isolate", true),
            C::DeviceReleased | C::ResponseUndone | C::ResponseReverted => {
                REMEDIATION.did(3, "Restore", true)
            }
            C::ResponseProposed | C::ResponseApproved => REMEDIATION.does(99, "Decide"),
            C::ResponseApplied => REMEDIATION.did(99, "Apply", true),
            C::ResponseRefused | C::ResponseFailed => REMEDIATION.did(99, "Apply", false),
            C::DeviceOnboarded => ENTITY.did(6, "Enroll", true),
            C::CertInvited => ENTITY.does(99, "Invite"),
            C::CertWaiting | C::CertApproved | C::CertDeclined => ENTITY.does(99, "Decide"),
            C::CertIssued => ENTITY.did(1, "Create", true),
            C::CertRefused => ENTITY.did(1, "Create", false),
            C::CertRevoked | C::CertRevokedHere => ENTITY.did(11, "Deactivate", true),
            C::ReferencesImported | C::PolicyLoaded | C::OperatorChanged | C::CertOverridden => {
                ENTITY.did(3, "Update", true)
            }
            C::ReferencesRefused | C::PolicyRefused => ENTITY.did(3, "Update", false),
            C::OperatorAdmitted => LOGON.did(1, "Logon", true),
            C::OperatorRefused => LOGON.did(1, "Logon", false),
            C::FlowAdmitted => NETWORK.did(1, "Open", true),
            C::FlowRefused => NETWORK.did(5, "Refuse", true),
            C::FlowCut => NETWORK.did(3, "Reset", true),
            C::UpdateStored | C::UpdateOrdered => LIFECYCLE.does(99, "Prepare"),
            C::UpdateApplied => LIFECYCLE.did(8, "Update", true),
            C::UpdateRefused | C::UpdateFailed => LIFECYCLE.did(8, "Update", false),
            C::ServiceStarted => LIFECYCLE.did(3, "Start", true),
            C::ServiceStopped => LIFECYCLE.did(4, "Stop", true),
            C::AuditExportLost => LOG.did(3, "Export", false),
            C::AuditExportResumed => LOG.did(3, "Export", true),
            C::AuditContinued => LOG.did(5, "Rotate", true),
            C::AuditPruned => LOG.did(2, "Delete", true),
            C::AuditSigned => LOG.did(99, "Sign", true),
            C::AuditUnsigned => LOG.did(99, "Sign", false),
            C::AuditRecovered => LOG.did(99, "Recover", true),
        }
    }

    const fn new(uid: u32, name: &'static str) -> Self {
        Self { uid, name, activity: 0, activity_name: "Unknown", success: None }
    }

    const fn does(self, activity: u32, activity_name: &'static str) -> Self {
        Self { activity, activity_name, ..self }
    }

    const fn did(self, activity: u32, activity_name: &'static str, success: bool) -> Self {
        Self { activity, activity_name, success: Some(success), ..self }
    }
}

pub(super) const BASE: Class = Class::new(0, "Base Event");
pub(super) const MEMORY: Class = Class::new(1004, "Memory Activity");
pub(super) const MODULE: Class = Class::new(1005, "Module Activity");
pub(super) const PROCESS: Class = Class::new(1007, "Process Activity");
pub(super) const LOG: Class = Class::new(1008, "Event Log Activity");
pub(super) const COMPLIANCE: Class = Class::new(2003, "Compliance Finding");
pub(super) const DETECTION: Class = Class::new(2004, "Detection Finding");
pub(super) const LOGON: Class = Class::new(3002, "Authentication");
pub(super) const ENTITY: Class = Class::new(3004, "Entity Management");
pub(super) const NETWORK: Class = Class::new(4001, "Network Activity");
pub(super) const CONFIG: Class = Class::new(5019, "Device Config State Change");
pub(super) const LIFECYCLE: Class = Class::new(6002, "Application Lifecycle");
pub(super) const REMEDIATION: Class = Class::new(7001, "Remediation Activity");
