//! What can be wrong with a log, and where.

use core::fmt;

/// A log (or image) that does not parse, and where it stops making sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub problem: Problem,
    /// The octet offset at which the item that does not parse begins.
    pub at: usize,
    /// The index of that event or entry, as it counts in reports (the first is 0).
    pub index: u32,
}

/// What is wrong, one variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The event log ends inside an event (TCG PC Client PFP §10.2).
    EventLogTruncated,
    /// There is no event at all.
    EventLogEmpty,
    /// The Spec ID event is not one of version 2.0 (PFP §10.4.5.1).
    EventLogSpecId,
    /// An event's digest list is empty, repeats or names an algorithm that the Spec ID event does
    /// not (PFP §10.2.2).
    EventLogDigests,
    /// The log, or one event in it, is larger than the limit.
    EventLogTooLarge,
    /// An event names a PCR that does not exist.
    EventLogPcr,
    /// Not a final events table of version 1, or the log is not crypto-agile (TCG EFI Protocol
    /// Specification §7).
    EventLogFinalEvents,
    /// The IMA list ends inside an entry.
    ImaTruncated,
    /// The template is not one of those understood here.
    ImaTemplate,
    /// A template field does not parse (kernel documentation, IMA template management).
    ImaField,
    /// The file digest is of an algorithm that is not known here.
    ImaAlgorithm,
    /// An entry extends a PCR other than the list's own: it would escape the quote.
    ImaPcr,
    /// The list, or one entry in it, is larger than the limit.
    ImaTooLarge,
    /// A line of a list in ASCII is no entry.
    ImaAscii,
    /// The fields that a list in ASCII prints do not have the template digest that it prints.
    ImaTemplateDigest,
    /// Not a PE image, or one whose headers contradict its size (Microsoft PE format).
    ImageMalformed,
    /// Not a unified kernel image: it has no kernel, or no stub of systemd's (UAPI.5).
    ImageNoUki,
    /// The stub in the image is newer than those whose measurements are known here.
    ImageStubUnknown,
}

impl Error {
    pub(crate) const fn new(problem: Problem, at: usize, index: u32) -> Self {
        Self { problem, at, index }
    }

    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self.problem {
            Problem::EventLogTruncated => "measure.eventlog.truncated",
            Problem::EventLogEmpty => "measure.eventlog.empty",
            Problem::EventLogSpecId => "measure.eventlog.spec-id",
            Problem::EventLogDigests => "measure.eventlog.digests",
            Problem::EventLogTooLarge => "measure.eventlog.too-large",
            Problem::EventLogPcr => "measure.eventlog.pcr",
            Problem::EventLogFinalEvents => "measure.eventlog.final-events",
            Problem::ImaTruncated => "measure.ima.truncated",
            Problem::ImaTemplate => "measure.ima.template",
            Problem::ImaField => "measure.ima.field",
            Problem::ImaAlgorithm => "measure.ima.algorithm",
            Problem::ImaPcr => "measure.ima.pcr",
            Problem::ImaTooLarge => "measure.ima.too-large",
            Problem::ImaAscii => "measure.ima.ascii",
            Problem::ImaTemplateDigest => "measure.ima.template-digest",
            Problem::ImageMalformed => "measure.image.malformed",
            Problem::ImageNoUki => "measure.image.no-uki",
            Problem::ImageStubUnknown => "measure.image.stub-unknown",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.problem {
            Problem::EventLogTruncated => "the event log ends inside an event; read it again whole",
            Problem::EventLogEmpty => "the event log is empty; is the firmware measuring?",
            Problem::EventLogSpecId => {
                "the Spec ID event is not one of a version 2.0 event log; give the log that the \
                 kernel shows as binary_bios_measurements"
            }
            Problem::EventLogDigests => {
                "the digests of an event do not fit the Spec ID event; read the log again whole"
            }
            Problem::EventLogTooLarge => "the event log is larger than the limit",
            Problem::EventLogPcr => {
                "an event names a PCR that does not exist; is it an event log, read whole?"
            }
            Problem::EventLogFinalEvents => {
                "no final events table of version 1 beside a crypto-agile log"
            }
            Problem::ImaTruncated => "the IMA list ends inside an entry; read it again whole",
            Problem::ImaTemplate => {
                "IMA template not understood; boot with ima_template=ima-ng or another of the kernel's"
            }
            Problem::ImaField => {
                "a template field of the IMA entry does not parse; read the list again whole"
            }
            Problem::ImaAlgorithm => {
                "the file digest is of an unknown algorithm; boot with ima_hash=sha256"
            }
            Problem::ImaPcr => {
                "the IMA entry extends a PCR other than the list's own; take `pcr=` out of the IMA \
                 policy"
            }
            Problem::ImaTooLarge => "the IMA list is larger than the limit",
            Problem::ImaAscii => "a line of the IMA list is no entry; is the file changed?",
            Problem::ImaTemplateDigest => {
                "the fields of the IMA entry are not those of its template digest; take the binary list"
            }
            Problem::ImageMalformed => return f.write_str("not a well-formed PE image"),
            Problem::ImageNoUki => {
                return f.write_str(
                    "no unified kernel image with systemd's stub; build one with ukify",
                );
            }
            Problem::ImageStubUnknown => {
                return f.write_str(
                    "systemd's stub in the image is newer than those whose measurements are known",
                );
            }
        };
        write!(f, "{what} (item {}, octet {})", self.index, self.at)
    }
}

impl core::error::Error for Error {}
