//! What verified evidence says, in types: facts about the boot, each with the event that carries
//! it. Event data counts only where it is what was measured, or where its digest alone is the
//! fact.

mod shim;

pub use shim::{SbatLevel, ShimVariable};

use crate::tpm::Attest;
use crate::{Evidence, PcrSelection, RuntimeClaims};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use shim::Told;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};
use touchstone_measure::tcg::{
    Description, Event, EventType, Guid, Signature, SignatureDatabase, describe,
};
use touchstone_measure::{Pcrs, ima};

/// Everything that one piece of evidence says.
#[derive(Clone, Debug)]
pub struct Claims<'a> {
    /// The bank that all digests of boot facts are of.
    pub bank: HashAlgorithm,
    /// What the TPM signed.
    pub attest: &'a Attest,
    pcrs: &'a Pcrs,
    selection: &'a PcrSelection,
    /// The facts of the boot; `None` without an event log.
    pub boot: Option<BootClaims>,
    /// The quoted part of the IMA list; `None` if there is none.
    pub ima: Option<&'a ima::Log>,
    /// Whether the list's boot aggregate is that of the quoted PCRs; `None` if there is none, or
    /// one of a bank or of PCRs that were not quoted.
    pub boot_aggregate: Option<bool>,
    /// IMA entries that came after the quote; they are not evidence.
    pub unquoted: usize,
    /// What the agent reports; `None` if no agent did.
    pub runtime: Option<&'a RuntimeClaims>,
}

impl Claims<'_> {
    /// The value of a PCR, if it was quoted.
    pub fn pcr(&self, pcr: u32) -> Option<Digest> {
        self.is_quoted(pcr).then(|| self.pcrs.value(pcr))?
    }

    /// Whether a PCR was quoted. Of one that was not, no event is a claim.
    pub fn is_quoted(&self, pcr: u32) -> bool {
        self.selection.pcrs.contains(&pcr)
    }

    /// The quoted PCRs with their values, ascending.
    pub fn pcrs(&self) -> impl Iterator<Item = (u32, Digest)> {
        self.selection.pcrs.iter().filter_map(|&pcr| Some((pcr, self.pcrs.value(pcr)?)))
    }
}

/// What the event log says about the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootClaims {
    /// Whether UEFI Secure Boot was on, by the variable `SecureBoot`.
    pub secure_boot: Option<Fact<bool>>,
    /// Entries of PK; `None` if no event tells them.
    pub platform_keys: Option<Vec<Key>>,
    /// Entries of KEK; `None` if no event tells them.
    pub key_exchange_keys: Option<Vec<Key>>,
    /// Entries of db; `None` if no event tells them.
    pub signature_db: Option<Vec<Key>>,
    /// Entries of db that an image was verified with (`EV_EFI_VARIABLE_AUTHORITY`).
    pub authorities: Vec<Key>,
    /// The content of dbx, which is long and seldom asked for: [`BootClaims::revoked`] reads it.
    pub forbidden_db: Option<Fact<Vec<u8>>>,
    /// Keys of shim's own, or of its owner's (MOK), that an image was verified with.
    pub shim_authorities: Vec<Key>,
    /// The SBAT level that shim enforces.
    pub sbat_level: Option<Fact<SbatLevel>>,
    /// Shim's lists and switches.
    pub shim_variables: Vec<ShimVariable>,
    /// Images that were loaded, drivers included.
    pub images: Vec<Image>,
    /// Measurements of what the kernel was told at its start.
    pub command_lines: Vec<CommandLine>,
    /// What else was measured into [`CODE_PCRS`]. An event's type is not measured, so each of these has to be accounted for: else an
    /// image could hide behind another type.
    pub others: Vec<Measurement>,
    /// Events whose data is not what was measured, where the profile says it must be, or that say
    /// that something went wrong.
    pub contradictions: Vec<Contradiction>,
}

/// A value and the event that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact<T> {
    /// The event's index.
    pub event: u32,
    /// The event's PCR.
    pub pcr: u32,
    /// The value.
    pub value: T,
}

/// An entry of a signature database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The event's index.
    pub event: u32,
    /// The SHA-256 fingerprint of the certificate, or the digest that is listed instead of one.
    pub fingerprint: Digest,
    /// The certificate in DER; empty if it is none.
    pub certificate: Vec<u8>,
}

/// A loaded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The event's index.
    pub event: u32,
    /// The event's PCR: 4 for applications, 2 for drivers.
    pub pcr: u32,
    /// The event's type.
    pub kind: EventType,
    /// The Authenticode digest.
    pub digest: Digest,
    /// Where it came from, as the firmware says; not proven.
    pub path: String,
}

/// A measurement of the kernel's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The event's index.
    pub event: u32,
    /// The event's PCR.
    pub pcr: u32,
    /// What was measured.
    pub digest: Digest,
    /// The command line, if the event carries it and it is what was measured. Otherwise compare
    /// the digest with [`measured_forms`] of a known one.
    pub text: Option<String>,
}

/// A measurement that is neither a known type of image nor a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The event's index.
    pub event: u32,
    /// The event's PCR.
    pub pcr: u32,
    /// The event's type, as it says.
    pub kind: EventType,
    /// What was measured.
    pub digest: Digest,
    /// What the event says that it is.
    pub text: String,
}

/// An event that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The event's index.
    pub event: u32,
    /// The event's PCR.
    pub pcr: u32,
    /// The event's type.
    pub kind: EventType,
    /// What is wrong with it, as a phrase.
    pub what: &'static str,
}

/// The claims of verified evidence.
pub fn claims<'a>(crypto: &dyn Crypto, evidence: &'a Verified<Evidence>) -> Option<Claims<'a>> {
    let (pcrs, selection) = (evidence.pcrs()?, evidence.selection()?);
    let bank = pcrs.algorithm();
    // What is measured into IMA's PCR is told by the IMA list alone.
    let covered = |event: &&Event| event.pcr != ima::PCR && selection.pcrs.contains(&event.pcr);
    let boot = evidence.event_log().map(|log| {
        let mut boot = BootClaims::default();
        for event in log.events().iter().filter(covered) {
            boot.take(crypto, bank, event);
        }
        boot
    });
    let ima = evidence.ima_log();
    Some(Claims {
        bank,
        attest: evidence.attest()?,
        pcrs,
        selection,
        boot,
        ima,
        boot_aggregate: ima.and_then(|log| boot_aggregate(crypto, pcrs, selection, log)),
        unquoted: evidence.unquoted(),
        runtime: evidence.runtime(),
    })
}

/// The octets that boot loaders and kernels measure for the command line `text`: as UTF-8 and
/// UTF-16, with and without the final NUL.
pub fn measured_forms(text: &str) -> [Vec<u8>; 4] {
    let utf8 = text.as_bytes().to_vec();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf8_nul = [&utf8[..], &[0]].concat();
    let utf16_nul = [&utf16[..], &[0, 0]].concat();
    [utf8, utf8_nul, utf16, utf16_nul]
}

fn boot_aggregate(
    crypto: &dyn Crypto,
    pcrs: &Pcrs,
    selection: &PcrSelection,
    log: &ima::Log,
) -> Option<bool> {
    let first = log.get(0).filter(ima::Entry::is_boot_aggregate)?;
    // Without these in the quote there is nothing to compare it with.
    if !(0..=7).all(|pcr| selection.pcrs.contains(&pcr)) {
        return None;
    }
    match ima::boot_aggregate(crypto, &first, &[pcrs]) {
        ima::BootAggregate::Over { .. } => Some(true),
        ima::BootAggregate::Unknown => None,
        ima::BootAggregate::WithoutTpm => Some(false),
        // Since Linux 5.8 it is over PCR 8 and 9, too.
        ima::BootAggregate::Different => {
            [8, 9].iter().all(|pcr| selection.pcrs.contains(pcr)).then_some(false)
        }
    }
}

impl BootClaims {
    /// The entries of dbx: fingerprints of certificates, and digests, that are not to be started.
    /// `None` if no event tells, or if its content does not parse.
    pub fn revoked(&self, crypto: &dyn Crypto) -> Option<Vec<Digest>> {
        let entries = SignatureDatabase::decode(&self.forbidden_db.as_ref()?.value)?.entries;
        entries.iter().map(|entry| fingerprint(crypto, entry)).collect()
    }

    fn take(&mut self, crypto: &dyn Crypto, bank: HashAlgorithm, event: &Event) {
        let Some(digest) = event.digest(bank) else {
            return self.contradict(event, "it has no digest for the quoted bank");
        };
        match event.kind {
            EventType::EFI_VARIABLE_DRIVER_CONFIG => self.variable(crypto, bank, event),
            EventType::EFI_VARIABLE_AUTHORITY => self.authority(crypto, bank, event),
            EventType::EFI_BOOT_SERVICES_APPLICATION
            | EventType::EFI_BOOT_SERVICES_DRIVER
            | EventType::EFI_RUNTIME_SERVICES_DRIVER => self.image(event, digest),
            EventType::SEPARATOR => self.separator(crypto, bank, event),
            EventType::IPL if event.pcr == SHIM_PCR => self.shim_variable(event, digest),
            EventType::IPL | EventType::EVENT_TAG => {
                self.command_line(crypto, bank, event, digest);
            }
            _ => {}
        }
        let taken = match event.kind {
            EventType::EFI_BOOT_SERVICES_APPLICATION
            | EventType::EFI_BOOT_SERVICES_DRIVER
            | EventType::EFI_RUNTIME_SERVICES_DRIVER
            | EventType::SEPARATOR => true,
            _ => self.command_lines.last().is_some_and(|line| line.event == event.index),
        };
        if CODE_PCRS.contains(&event.pcr) && !taken && !is_plain_action(crypto, bank, event) {
            let Event { index, pcr, kind, .. } = *event;
            let text = describe(event).to_string();
            self.others.push(Measurement { event: index, pcr, kind, digest, text });
        }
    }

    fn contradict(&mut self, event: &Event, what: &'static str) {
        let Event { index, pcr, kind, .. } = *event;
        // EV_NO_ACTION is never extended, whatever its digests are.
        if kind != EventType::NO_ACTION {
            self.contradictions.push(Contradiction { event: index, pcr, kind, what });
        }
    }

    /// Secure Boot's own variables, measured into PCR 7 (PFP §3.3.4.8).
    fn variable(&mut self, crypto: &dyn Crypto, bank: HashAlgorithm, event: &Event) {
        if !event.explains(crypto, bank) {
            return self.contradict(event, "its data is not what was measured");
        }
        if event.pcr != 7 {
            return;
        }
        let Description::Variable { vendor, name, data } = describe(event) else {
            return self.contradict(event, "its variable does not parse");
        };
        match (vendor, name.as_str()) {
            (Guid::GLOBAL_VARIABLE, "SecureBoot") => {
                // Measured twice, or undecided, is not on.
                let value = data == [1] && self.secure_boot.is_none_or(|fact| fact.value);
                self.secure_boot = Some(Fact { event: event.index, pcr: event.pcr, value });
            }
            (Guid::GLOBAL_VARIABLE, "PK") => {
                let keys = keys(crypto, event, &data);
                self.database(event, keys, |boot| &mut boot.platform_keys);
            }
            (Guid::GLOBAL_VARIABLE, "KEK") => {
                let keys = keys(crypto, event, &data);
                self.database(event, keys, |boot| &mut boot.key_exchange_keys);
            }
            (Guid::IMAGE_SECURITY_DATABASE, "db") => {
                let keys = keys(crypto, event, &data);
                self.database(event, keys, |boot| &mut boot.signature_db);
            }
            (Guid::IMAGE_SECURITY_DATABASE, "dbx") if self.forbidden_db.is_some() => {
                self.contradict(event, "its variable was measured before");
            }
            (Guid::IMAGE_SECURITY_DATABASE, "dbx") => {
                self.forbidden_db = Some(Fact { event: event.index, pcr: event.pcr, value: data });
            }
            _ => {}
        }
    }

    fn database(
        &mut self,
        event: &Event,
        keys: Option<Vec<Key>>,
        into: impl FnOnce(&mut Self) -> &mut Option<Vec<Key>>,
    ) {
        match keys {
            Some(keys) => into(self).get_or_insert_default().extend(keys),
            None => self.contradict(event, "its signature database does not parse"),
        }
    }

    /// The entry of db (or of shim's list) that an image was verified with.
    fn authority(&mut self, crypto: &dyn Crypto, bank: HashAlgorithm, event: &Event) {
        if !event.explains(crypto, bank) {
            return self.contradict(event, "its data is not what was measured");
        }
        let Description::Variable { vendor, name, data } = describe(event) else { return };
        match vendor {
            Guid::IMAGE_SECURITY_DATABASE if event.pcr == 7 => {
                let entry = SignatureDatabase::decode_authority(Guid::CERT_X509, &data);
                self.authorities.extend(entry.and_then(|entry| key(crypto, event, &entry)));
            }
            Guid::SHIM_LOCK if event.pcr == 7 => match Told::of(crypto, event, &name, &data) {
                Told::Verified(key) => self.shim_authorities.push(key),
                Told::Level(level) if self.sbat_level.is_none() => self.sbat_level = Some(level),
                Told::Level(_) => self.contradict(event, "its variable was measured before"),
                Told::Malformed => self.contradict(event, "its variable does not parse"),
                Told::Nothing => {}
            },
            _ => {}
        }
    }

    /// Shim tells the name of what it measured.
    fn shim_variable(&mut self, event: &Event, digest: Digest) {
        if let Description::Text(name) = describe(event) {
            self.shim_variables.push(ShimVariable { event: event.index, name, digest });
        }
    }

    fn image(&mut self, event: &Event, digest: Digest) {
        let path = match describe(event) {
            Description::Image { path, .. } => path.file().unwrap_or_else(|| path.to_string()),
            _ => String::new(),
        };
        let Event { index, pcr, kind, .. } = *event;
        self.images.push(Image { event: index, pcr, kind, digest, path });
    }

    /// A separator that is not 0 or 0xFFFFFFFF was measured after an error (PFP §3.3.2.2).
    fn separator(&mut self, crypto: &dyn Crypto, bank: HashAlgorithm, event: &Event) {
        if !event.explains(crypto, bank) {
            self.contradict(event, "its data is not what was measured");
        } else if !matches!(describe(event), Description::Separator(0 | u32::MAX)) {
            self.contradict(event, "it reports an error in the boot");
        }
    }

    /// GRUB tells in PCR 8, systemd-stub in PCR 12 (and its `.cmdline` section in 11), the Linux
    /// EFI stub in PCR 9.
    fn command_line(
        &mut self,
        crypto: &dyn Crypto,
        bank: HashAlgorithm,
        event: &Event,
        digest: Digest,
    ) {
        let found = match (event.pcr, describe(event)) {
            (8, Description::Text(text)) => match text.strip_prefix("kernel_cmdline: ") {
                Some(line) if event.is_digest_of(crypto, bank, line.as_bytes()) => {
                    Some(Some(line.to_owned()))
                }
                Some(_) => Some(None),
                None => None,
            },
            (9, Description::Tagged { id: LOAD_OPTIONS, .. }) => Some(None),
            (11, Description::Text(text)) if text == CMDLINE_SECTION => {
                // The section's name is measured before its content, under the same description.
                let forms = measured_forms(CMDLINE_SECTION);
                let is_name = forms.iter().any(|name| event.is_digest_of(crypto, bank, name));
                (!is_name).then_some(None)
            }
            // The stub measures credentials and extensions of the initrd here, too, and tells what
            // they are instead of what was measured.
            (12, Description::Text(text)) if event.explains(crypto, bank) => Some(Some(text)),
            _ => None,
        };
        if let Some(text) = found {
            let Event { index, pcr, .. } = *event;
            self.command_lines.push(CommandLine { event: index, pcr, digest, text });
        }
    }
}

/// The PCRs that hold code and what steers it, beside 0 (the firmware as a whole), 7 (Secure Boot)
/// and 10 (IMA). Into 13 systemd-stub measures the extensions that it hands to the system.
pub const CODE_PCRS: [u32; 8] = [2, 4, 8, 9, 11, 12, 13, 14];

/// Where shim measures its owner's keys (MOK).
const SHIM_PCR: u32 = 14;

/// A short line of text that is itself what was measured: it says something, and is nothing that
/// could run.
fn is_plain_action(crypto: &dyn Crypto, bank: HashAlgorithm, event: &Event) -> bool {
    matches!(event.kind, EventType::ACTION | EventType::EFI_ACTION)
        && event.data.len() <= 256
        && event.explains(crypto, bank)
        && matches!(describe(event), Description::Text(_))
}

/// The tag of `LOADED_IMAGE::LoadOptions` (Linux, drivers/firmware/efi/libstub).
const LOAD_OPTIONS: u32 = 0x8F3B_22ED;
const CMDLINE_SECTION: &str = ".cmdline";

fn keys(crypto: &dyn Crypto, event: &Event, data: &[u8]) -> Option<Vec<Key>> {
    let entries = SignatureDatabase::decode(data)?.entries;
    Some(entries.iter().filter_map(|entry| key(crypto, event, entry)).collect())
}

fn key(crypto: &dyn Crypto, event: &Event, entry: &Signature) -> Option<Key> {
    let certificate = match entry.kind {
        Guid::CERT_X509 => entry.data.clone(),
        _ => Vec::new(),
    };
    Some(Key { event: event.index, fingerprint: fingerprint(crypto, entry)?, certificate })
}

/// What an entry of a signature database is compared by: the SHA-256 fingerprint of a certificate, a
/// SHA-256 digest as it is, and of any other entry the digest of its kind and content.
pub fn fingerprint(crypto: &dyn Crypto, entry: &Signature) -> Option<Digest> {
    let sha256 = HashAlgorithm::Sha256;
    Some(match entry.kind {
        Guid::CERT_X509 => crypto.hash(sha256, &[&entry.data]),
        Guid::CERT_SHA256 => Digest::new(sha256, &entry.data)?,
        // Whatever else is trusted must show up as something that no reference value names.
        _ => crypto.hash(sha256, &[&entry.kind.0, &entry.data]),
    })
}
