//! Writes logs as firmware does, in every form and with every oddity.
#![allow(dead_code, reason = "each test uses its part")]

use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::tcg::EventType;

/// SM3-256, which nobody here can compute: its digests are made up.
pub(crate) const SM3: (u16, u16) = (0x0012, 32);

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) pcr: u32,
    pub(crate) kind: EventType,
    pub(crate) data: Vec<u8>,
    pub(crate) octets: Vec<u8>,
}

impl Measured {
    /// One whose data is what was measured.
    pub(crate) fn data(pcr: u32, kind: EventType, data: &[u8]) -> Self {
        Self::other(pcr, kind, data, data)
    }

    /// One that measured something else than its data.
    pub(crate) fn other(pcr: u32, kind: EventType, data: &[u8], measured: &[u8]) -> Self {
        Self { pcr, kind, data: data.to_vec(), octets: measured.to_vec() }
    }

    /// `EV_NO_ACTION`.
    pub(crate) fn unmeasured(pcr: u32, data: &[u8]) -> Self {
        Self::data(pcr, EventType::NO_ACTION, data)
    }
}

pub(crate) fn action(pcr: u32, kind: EventType, words: &[u8]) -> Measured {
    Measured::data(pcr, kind, words)
}

pub(crate) fn separator(pcr: u32, value: u32) -> Measured {
    Measured::data(pcr, EventType::SEPARATOR, &value.to_le_bytes())
}

/// A log that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// `None` for the SHA-1 format.
    banks: Option<Vec<(u16, u16)>>,
    declared: Option<u32>,
    vendor: Option<Vec<u8>>,
    behind_vendor: Vec<u8>,
    spec_id_pcr: u32,
    events: Vec<Measured>,
    digests: bool,
    no_action_digests: bool,
}

impl Log {
    pub(crate) fn sha1() -> Self {
        Self { banks: None, ..Self::agile(&[]) }
    }

    pub(crate) fn agile(banks: &[HashAlgorithm]) -> Self {
        let len = |bank: HashAlgorithm| u16::try_from(bank.len()).unwrap();
        Self {
            banks: Some(banks.iter().map(|bank| (bank.tpm_id(), len(*bank))).collect()),
            declared: None,
            vendor: Some(Vec::new()),
            behind_vendor: Vec::new(),
            spec_id_pcr: 0,
            events: Vec::new(),
            digests: true,
            no_action_digests: true,
        }
    }

    pub(crate) fn bank(mut self, id: u16, len: u16) -> Self {
        self.banks.as_mut().unwrap().push((id, len));
        self
    }

    pub(crate) fn banks_declared(mut self, count: u32) -> Self {
        self.declared = Some(count);
        self
    }

    pub(crate) fn vendor(mut self, vendor: &[u8]) -> Self {
        self.vendor = Some(vendor.to_vec());
        self
    }

    pub(crate) fn without_vendor(mut self) -> Self {
        self.vendor = None;
        self
    }

    pub(crate) fn behind_vendor(mut self, octets: &[u8]) -> Self {
        self.behind_vendor = octets.to_vec();
        self
    }

    pub(crate) fn spec_id_pcr(mut self, pcr: u32) -> Self {
        self.spec_id_pcr = pcr;
        self
    }

    pub(crate) fn with(mut self, events: &[Measured]) -> Self {
        self.events.extend_from_slice(events);
        self
    }

    pub(crate) fn without_digests(mut self) -> Self {
        self.digests = false;
        self
    }

    pub(crate) fn no_action_without_digests(mut self) -> Self {
        self.no_action_digests = false;
        self
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut to = Vec::new();
        if self.banks.is_some() {
            let spec_id = self.spec_id();
            old_event(&mut to, self.spec_id_pcr, EventType::NO_ACTION, &[0; 20], &spec_id);
        }
        for event in &self.events {
            self.event(&mut to, event);
        }
        to
    }

    /// The same events as a final events table.
    pub(crate) fn final_events(&self) -> Vec<u8> {
        let count = u64::try_from(self.events.len()).unwrap();
        let mut to = [1u64.to_le_bytes(), count.to_le_bytes()].concat();
        for event in &self.events {
            self.event(&mut to, event);
        }
        to
    }

    fn spec_id(&self) -> Vec<u8> {
        let banks = self.banks.as_ref().unwrap();
        let count = self.declared.unwrap_or(u32::try_from(banks.len()).unwrap());
        let mut to = b"Spec ID Event03\0\0\0\0\0\0\x02\x00\x02".to_vec();
        to.extend(count.to_le_bytes());
        for (id, len) in banks {
            to.extend([id.to_le_bytes(), len.to_le_bytes()].concat());
        }
        if let Some(vendor) = &self.vendor {
            to.push(u8::try_from(vendor.len()).unwrap());
            to.extend(vendor);
        }
        to.extend(&self.behind_vendor);
        to
    }

    fn event(&self, to: &mut Vec<u8>, event: &Measured) {
        let unmeasured = event.kind == EventType::NO_ACTION;
        let Some(banks) = &self.banks else {
            let digest = digest(HashAlgorithm::Sha1.tpm_id(), 20, event);
            return old_event(to, event.pcr, event.kind, &digest, &event.data);
        };
        let digests = self.digests && (self.no_action_digests || !unmeasured);
        let count = if digests { u32::try_from(banks.len()).unwrap() } else { 0 };
        to.extend(
            [event.pcr.to_le_bytes(), event.kind.0.to_le_bytes(), count.to_le_bytes()].concat(),
        );
        for (id, len) in banks.iter().filter(|_| digests) {
            to.extend(id.to_le_bytes());
            to.extend(digest(*id, (*len).into(), event));
        }
        to.extend(u32::try_from(event.data.len()).unwrap().to_le_bytes());
        to.extend(&event.data);
    }
}

fn old_event(to: &mut Vec<u8>, pcr: u32, kind: EventType, digest: &[u8], data: &[u8]) {
    to.extend([pcr.to_le_bytes(), kind.0.to_le_bytes()].concat());
    to.extend(digest);
    to.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    to.extend(data);
}

fn digest(id: u16, len: usize, event: &Measured) -> Vec<u8> {
    match HashAlgorithm::from_tpm_id(id) {
        _ if event.kind == EventType::NO_ACTION => vec![0; len],
        Some(bank) => AwsLc.hash(bank, &[&event.octets]).as_bytes().to_vec(),
        None => vec![0x5A; len],
    }
}
