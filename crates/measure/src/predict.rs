//! What PCRs will hold, computed from what will be measured, before anything boots: PCR 4, 7, 9,
//! 11, 12 and 13 of a machine whose firmware starts a unified kernel image (UAPI.5) with
//! systemd's stub in it.
//!
//! What depends on the machine and not on the image (PCR 0 to 3, 5, 6) is not predicted here: take
//! it from a recorded boot, with [`Prediction::recorded`]. A PCR that cannot be told is left out with its
//! reason and never guessed: see [`Prediction::unpredictable`].
//!
//! ```
//! use touchstone_crypto::HashAlgorithm;
//! use touchstone_crypto_awslc::AwsLc;
//! use touchstone_measure::predict::{Boot, ENTER_INITRD, SecureBoot, signature_data};
//! # fn predict(uki: &[u8], pk: &[u8], kek: &[u8], db: &[u8], owner: touchstone_measure::tcg::Guid,
//! #     certificate: &[u8]) -> Result<(), touchstone_measure::Error> {
//! let mut boot = Boot::of(uki);
//! boot.phases = &[ENTER_INITRD];
//! let entry = signature_data(owner, certificate);
//! boot.secure_boot = Some(SecureBoot::on(pk, kek, db, &[]).verified_by_db(&entry));
//! let prediction = boot.predict(&AwsLc, HashAlgorithm::Sha256)?;
//! let pcr11 = prediction.value(&AwsLc, 11);
//! # Ok(()) }
//! ```

mod boot;
mod secure_boot;
mod uki;

pub use boot::{Addition, Boot, Firmware};
pub use secure_boot::{Authority, SecureBoot, State, signature_data, signature_list};
pub use uki::{InnerKernel, MeasuredSection, Uki};

use crate::tcg::{EventLog, EventType};
use crate::{PCR_COUNT, Pcrs};
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// What `systemd-pcrphase` measures into PCR 11 when the initrd begins.
pub const ENTER_INITRD: &str = "enter-initrd";
/// ... when it is about to end.
pub const LEAVE_INITRD: &str = "leave-initrd";
/// ... when basic system initialisation is complete.
pub const SYSINIT: &str = "sysinit";
/// ... when the system is up.
pub const READY: &str = "ready";
/// ... when it begins to shut down.
pub const SHUTDOWN: &str = "shutdown";
/// ... just before it is off.
pub const FINAL: &str = "final";

/// The phases of a whole life, in their order.
pub const PHASES: [&str; 6] = [ENTER_INITRD, LEAVE_INITRD, SYSINIT, READY, SHUTDOWN, FINAL];

/// One measurement that will be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Into which PCR.
    pub pcr: u32,
    /// The type of its event; not measured.
    pub kind: EventType,
    /// What is extended.
    pub digest: Digest,
    /// What it is, for people: `content of .cmdline`.
    pub what: String,
}

/// Measurements in their order, and the values that they lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    algorithm: HashAlgorithm,
    steps: Vec<Step>,
    unpredictable: Vec<(u32, &'static str)>,
    /// Into these nothing is measured.
    untouched: Vec<u32>,
}

impl Prediction {
    /// No measurement yet.
    pub const fn new(algorithm: HashAlgorithm) -> Self {
        Self { algorithm, steps: Vec::new(), unpredictable: Vec::new(), untouched: Vec::new() }
    }

    /// The measurements of a recorded boot, as far as `wanted` takes a PCR. What will be another
    /// next time is then to be replaced in [`steps_mut`](Self::steps_mut). An event without a
    /// digest for this bank makes its PCR unpredictable.
    pub fn recorded(
        log: &EventLog,
        algorithm: HashAlgorithm,
        wanted: impl Fn(u32) -> bool,
    ) -> Self {
        let mut prediction = Self::new(algorithm);
        for event in log.events().iter().filter(|event| wanted(event.pcr)) {
            if event.kind == EventType::NO_ACTION {
                if event.startup_locality().is_some() {
                    prediction.leave_out(0, "PCR 0 does not begin with zeros on this platform");
                }
                continue;
            }
            match event.digest(algorithm) {
                Some(digest) => {
                    let what = alloc::format!("{}", crate::tcg::describe(event));
                    prediction.extend(event.pcr, event.kind, &what, digest);
                }
                None => prediction.leave_out(event.pcr, "an event has no digest for this bank"),
            }
        }
        prediction
    }

    /// The bank.
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Adds what will be measured: the octets one after another, as one measurement.
    pub fn measure(
        &mut self,
        crypto: &dyn Crypto,
        pcr: u32,
        kind: EventType,
        what: &str,
        octets: &[&[u8]],
    ) {
        self.extend(pcr, kind, what, crypto.hash(self.algorithm, octets));
    }

    /// Adds a measurement by its digest. One of another algorithm makes the PCR unpredictable.
    pub fn extend(&mut self, pcr: u32, kind: EventType, what: &str, digest: Digest) {
        if digest.algorithm() == self.algorithm && pcr < PCR_COUNT {
            self.steps.push(Step { pcr, kind, digest, what: what.into() });
        } else {
            self.leave_out(pcr, "a measurement is of another bank");
        }
    }

    /// This PCR cannot be told, and why.
    pub fn leave_out(&mut self, pcr: u32, why: &'static str) {
        if !self.unpredictable.iter().any(|(known, _)| *known == pcr) {
            self.unpredictable.push((pcr, why));
        }
    }

    /// Nothing else is measured into this PCR: if nothing is at all, its value is that after a reset.
    fn complete(&mut self, pcr: u32) {
        self.untouched.push(pcr);
    }

    /// The PCRs that cannot be told, each with the reason as a phrase.
    pub fn unpredictable(&self) -> &[(u32, &'static str)] {
        &self.unpredictable
    }

    /// The measurements in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The measurements, to replace, take out or put in some.
    pub const fn steps_mut(&mut self) -> &mut Vec<Step> {
        &mut self.steps
    }

    /// The digests that will be extended into a PCR, in their order.
    pub fn digests(&self, pcr: u32) -> impl Iterator<Item = Digest> {
        self.steps.iter().filter(move |step| step.pcr == pcr).map(|step| step.digest)
    }

    /// The value of a PCR once all of this was measured; `None` if it cannot be told, or if
    /// nothing of it is known. PCR 12 and 13 of a [`Boot`] that measures nothing there are zeros.
    pub fn value(&self, crypto: &dyn Crypto, pcr: u32) -> Option<Digest> {
        if self.unpredictable.iter().any(|(known, _)| *known == pcr) {
            return None;
        }
        let pcrs = self.pcrs(crypto);
        let known = pcrs.is_touched(pcr) || self.untouched.contains(&pcr);
        if known { pcrs.value(pcr) } else { None }
    }

    /// Every value; those that nothing is known of are at their reset value and untouched.
    pub fn pcrs(&self, crypto: &dyn Crypto) -> Pcrs {
        let mut pcrs = Pcrs::reset(self.algorithm);
        for step in &self.steps {
            pcrs.extend(crypto, step.pcr, &step.digest);
        }
        pcrs
    }
}
