//! The book of flows: who is in, until when, and on whose word. Time and octets come from outside;
//! every decision of the checkpoint is made here.

use crate::config::Limits;
use crate::feed::Line;
use crate::refusal::Refusal;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use touchstone_appraise::ear::verify_jwt;
use touchstone_appraise::{Confirmation, Gate, Tier, VerifierKey};
use touchstone_crypto_awslc::AwsLc;

/// So many bad results and revocations are remembered; the oldest are forgotten first. What is
/// forgotten is still refused by its own signature, age and tier.
const REMEMBERED: usize = 100_000;

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Unix seconds: what results are dated in.
    pub unix: u64,
    /// Time since the checkpoint started: what silence is measured in.
    pub uptime: Duration,
}

/// The number of a flow.
pub type FlowId = u64;

/// A flow that may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The device.
    pub device: String,
    /// The route it asked for.
    pub route: String,
    /// Until when, in Unix seconds, without a newer result.
    pub until: u64,
    spki: Vec<u8>,
    jkt: String,
}

/// The book.
#[derive(Debug)]
pub struct Book {
    gate: Gate,
    keys: Vec<VerifierKey>,
    limits: Limits,
    silence: Duration,
    heard: Option<Duration>,
    seq: u64,
    flows: BTreeMap<FlowId, Flow>,
    next: FlowId,
    bad: Remembered<Bad>,
    revoked: Remembered<String>,
}

/// The latest result of a device that is not affirmed.
#[derive(Debug)]
struct Bad {
    issued_at: u64,
    why: String,
}

impl Book {
    /// An empty book. Until the feed is heard, nobody is admitted.
    pub fn new(max_age: u64, keys: Vec<VerifierKey>, limits: Limits, silence: Duration) -> Self {
        Self {
            gate: Gate::new(max_age, keys.clone()),
            keys,
            limits,
            silence,
            heard: None,
            seq: 0,
            flows: BTreeMap::new(),
            next: 1,
            bad: Remembered::default(),
            revoked: Remembered::default(),
        }
    }

    /// Decides whether a peer that holds the key `spki` may open a flow, and books it if so.
    pub fn admit(
        &mut self,
        now: Now,
        route: &str,
        token: Option<&str>,
        spki: &[u8],
    ) -> Result<FlowId, Refusal> {
        if self.is_silent(now) {
            return Err(Refusal::FeedSilent);
        }
        let token = token.ok_or(Refusal::NoResult)?;
        let admitted = self.gate.admit(&AwsLc, token, spki, now.unix).map_err(Refusal::Result)?;
        let jkt = thumbprint(spki).ok_or(Refusal::PeerCertificate)?;
        if let Some(reason) = self.revoked.find(&jkt) {
            return Err(Refusal::Revoked { reason: reason.clone() });
        }
        // Whoever went bad may still hold an older good result.
        if let Some(bad) = self.bad.find(&admitted.device)
            && bad.issued_at >= admitted.issued_at
        {
            return Err(Refusal::Superseded { why: bad.why.clone() });
        }
        if self.flows.len() >= self.limits.flows {
            return Err(Refusal::Full);
        }
        let of_device = self.flows.values().filter(|flow| flow.device == admitted.device).count();
        if of_device >= self.limits.flows_per_device {
            return Err(Refusal::FullForDevice);
        }
        let id = self.next;
        self.next += 1;
        self.flows.insert(
            id,
            Flow {
                device: admitted.device,
                route: route.to_owned(),
                until: admitted.until,
                spki: spki.to_vec(),
                jkt,
            },
        );
        Ok(id)
    }

    /// Takes a line of the feed, and says which flows are cut by it, each with the reason.
    pub fn hear(&mut self, now: Now, line: &Line) -> Vec<(FlowId, Refusal)> {
        self.heard = Some(now.uptime);
        self.seq = self.seq.max(line.seq());
        match line {
            Line::Heartbeat { .. } => Vec::new(),
            Line::Result { device, ear_jwt, .. } => self.hear_result(now, device, ear_jwt),
            Line::Revoked { device, jkt, reason, .. } => {
                let Some(jkt) = jkt else { return Vec::new() };
                self.revoked.keep(jkt, reason.clone());
                let refusal = Refusal::Revoked { reason: reason.clone() };
                self.cut(|flow| {
                    (flow.device == *device && flow.jkt == *jkt).then(|| refusal.clone())
                })
            }
        }
    }

    fn hear_result(&mut self, now: Now, device: &str, token: &str) -> Vec<(FlowId, Refusal)> {
        let ear = match verify_jwt(&AwsLc, token, &self.keys) {
            Ok(ear) if ear.device == device => ear,
            // The connection is the fleet's, so this is no stranger's doing; but nothing is known
            // about the device any more.
            Ok(_) => return self.cut(|flow| (flow.device == device).then_some(Refusal::RanOut)),
            Err(error) => {
                let refusal = Refusal::Result(touchstone_appraise::Refusal::Result(error));
                return self.cut(|flow| (flow.device == device).then(|| refusal.clone()));
            }
        };
        let tier = ear.status.max(ear.vector.tier());
        if tier == Tier::Affirming {
            self.bad.forget(device);
        } else {
            let failed: Vec<String> = ear.failed().map(|control| control.reason.clone()).collect();
            let why = format!("{tier}: {}", failed.join("; "));
            self.bad.keep(device, Bad { issued_at: ear.issued_at, why });
        }
        let mut cut = Vec::new();
        for (id, flow) in self.flows.iter_mut().filter(|(_, flow)| flow.device == device) {
            match self.gate.admit_ear(&AwsLc, &ear, &flow.spki, now.unix) {
                Ok(admitted) => flow.until = flow.until.max(admitted.until),
                Err(refusal) => cut.push((*id, Refusal::Result(refusal))),
            }
        }
        self.flows.retain(|id, _| !cut.iter().any(|(gone, _)| gone == id));
        cut
    }

    /// Which flows are cut because time has passed.
    pub fn tick(&mut self, now: Now) -> Vec<(FlowId, Refusal)> {
        if self.is_silent(now) {
            return self.cut(|_| Some(Refusal::FeedSilent));
        }
        self.cut(|flow| (flow.until <= now.unix).then_some(Refusal::RanOut))
    }

    fn cut(&mut self, why: impl Fn(&Flow) -> Option<Refusal>) -> Vec<(FlowId, Refusal)> {
        let cut: Vec<_> =
            self.flows.iter().filter_map(|(id, flow)| Some((*id, why(flow)?))).collect();
        self.flows.retain(|id, _| !cut.iter().any(|(gone, _)| gone == id));
        cut
    }

    /// A flow has ended by itself.
    pub fn close(&mut self, id: FlowId) {
        self.flows.remove(&id);
    }

    /// Whether the feed is silent.
    pub fn is_silent(&self, now: Now) -> bool {
        self.silent_for(now).is_none_or(|silent| silent > self.silence)
    }

    /// For how long the feed has been silent; `None` if it was never heard.
    pub fn silent_for(&self, now: Now) -> Option<Duration> {
        self.heard.map(|heard| now.uptime.saturating_sub(heard))
    }

    /// The number of the last line that counted, to go on from.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The open flows.
    pub const fn flows(&self) -> &BTreeMap<FlowId, Flow> {
        &self.flows
    }
}

/// The RFC 7638 thumbprint of a key.
fn thumbprint(spki: &[u8]) -> Option<String> {
    Confirmation::of(&AwsLc, spki).ok()?.jkt().map(str::to_owned)
}

/// What is remembered by name, a bounded number of them.
#[derive(Debug)]
struct Remembered<T> {
    by_name: HashMap<String, (u64, T)>,
    by_age: BTreeMap<u64, String>,
    next: u64,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), by_age: BTreeMap::new(), next: 0 }
    }
}

impl<T> Remembered<T> {
    fn keep(&mut self, name: &str, what: T) {
        self.forget(name);
        if self.by_name.len() >= REMEMBERED
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_name.remove(&oldest);
        }
        self.by_age.insert(self.next, name.to_owned());
        self.by_name.insert(name.to_owned(), (self.next, what));
        self.next += 1;
    }

    fn forget(&mut self, name: &str) {
        if let Some((age, _)) = self.by_name.remove(name) {
            self.by_age.remove(&age);
        }
    }

    fn find(&self, name: &str) -> Option<&T> {
        self.by_name.get(name).map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests;
