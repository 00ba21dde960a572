//! What was found of devices' IMA lists, so that an attestation costs what is new. Findings, never
//! verdicts: whether they count is for `appraise` to say, by the same entries and reference values. Kept
//! in memory alone, and no more of it than was set: what is forgotten is looked at again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use touchstone_appraise::{Judged, Verifier};

/// Octets of memory that the findings of all devices may take: about 100,000 devices of which nothing
/// is wrong, or a few hundred that show as many findings as are kept.
const OCTETS: usize = 64 << 20;
/// What a device takes beside its findings: its id twice, and its places.
const EACH: usize = 256;

/// The findings of the devices that attested last.
pub(super) struct Remembered {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The verifier that found them. Another has other reference values or another policy.
    by: Weak<Verifier>,
    devices: HashMap<String, (u64, Judged)>,
    /// The devices by when they attested.
    turns: BTreeMap<u64, String>,
    turn: u64,
    octets: usize,
}

impl Default for Remembered {
    fn default() -> Self {
        Self::within(OCTETS)
    }
}

impl Remembered {
    /// With another limit of memory.
    pub(super) fn within(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// What this verifier found of a device, to go on from. Nobody else is given it meanwhile.
    pub(super) fn take(&self, by: &Arc<Verifier>, device: &str) -> Option<Judged> {
        let mut state = self.state();
        if !state.is_by(by) {
            *state = State { by: Arc::downgrade(by), ..State::default() };
        }
        state.remove(device)
    }

    /// Keeps what was found, unless another verifier is in force by now. Those that have not attested
    /// for the longest time go for it.
    pub(super) fn put(&self, by: &Arc<Verifier>, device: &str, judged: Judged) {
        let mut state = self.state();
        if !state.is_by(by) {
            return;
        }
        state.remove(device);
        state.turn += 1;
        state.octets += EACH + judged.octets();
        let turn = state.turn;
        state.turns.insert(turn, device.to_owned());
        state.devices.insert(device.to_owned(), (turn, judged));
        while state.octets > self.limit {
            let Some((_, oldest)) = state.turns.first_key_value() else { break };
            let oldest = oldest.clone();
            state.remove(&oldest);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_by(&self, verifier: &Arc<Verifier>) -> bool {
        std::ptr::eq(self.by.as_ptr(), Arc::as_ptr(verifier))
    }

    fn remove(&mut self, device: &str) -> Option<Judged> {
        let (turn, judged) = self.devices.remove(device)?;
        self.turns.remove(&turn);
        self.octets = self.octets.saturating_sub(EACH + judged.octets());
        Some(judged)
    }
}
