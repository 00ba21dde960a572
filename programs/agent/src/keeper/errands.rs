//! Updates: envelopes that the fleet sends or that came by hand, and what is to be reported.

use super::{Error, Keeper, lock, unix};
use crate::keys::LAK;
use crate::link::{Reply, Report, Why};
use crate::update::outcome::{Ending, Outcome};
use crate::update::{LARGEST, inbox};
use touchstone_audit::Code;

impl Keeper {
    /// Opens and applies an envelope. True if it was installed.
    pub(super) fn envelope(&self, order: u64, envelope: &[u8]) -> Result<Reply, Error> {
        if order == 0 {
            return Err(Error::Forbidden("an envelope without an order comes by hand"));
        }
        let outcome = lock(&self.updates).take(order, envelope, unix())?;
        self.tell_of(&outcome);
        Ok(Reply::Truth(outcome.result == Ending::Applied))
    }

    /// Keeps that an order can not be followed.
    pub(super) fn decline(
        &self,
        order: u64,
        component: &str,
        version: u64,
        why: Why,
        words: &str,
    ) -> Result<Reply, Error> {
        let code = match why {
            Why::Kind => "agent.order.kind",
            Why::Gone => "agent.update.gone",
        };
        let outcome = lock(&self.updates).refuse(order, component, version, code, words, unix())?;
        self.tell_of(&outcome);
        Ok(Reply::Done)
    }

    fn tell_of(&self, outcome: &Outcome) {
        tell(outcome);
        let happened = match outcome.result {
            Ending::Applied => Code::UpdateApplied,
            Ending::Refused { .. } => Code::UpdateRefused,
            Ending::Failed { .. } => Code::UpdateFailed,
        };
        let (code, reason) = outcome.result.why();
        self.tell(happened, |event| {
            event
                .with("component", &outcome.component)
                .with("version", outcome.version)
                .with("code", code)
                .with("why", reason)
        });
    }

    /// Empties the inbox, and says what the fleet must hear of next.
    pub(super) fn errands(&self) -> Result<Reply, Error> {
        // It is asked for now and then also when nothing happens.
        self.trail.settle();
        let installed = self.empty_inbox()?;
        let next = lock(&self.updates).unreported();
        let report = next.as_ref().map(|outcome| {
            let (code, reason) = outcome.result.why();
            Report {
                order: outcome.order,
                outcome: outcome.result.word().to_owned(),
                code: code.to_owned(),
                reason: reason.to_owned(),
            }
        });
        lock(&self.known).reporting = next;
        Ok(Reply::Errands { installed, report })
    }

    /// The fleet has heard of it.
    pub(super) fn reported(&self) -> Result<Reply, Error> {
        let outcome = lock(&self.known).reporting.take();
        let outcome = outcome.ok_or(Error::Forbidden("there was nothing to report"))?;
        lock(&self.updates).reported(&outcome)?;
        Ok(Reply::Done)
    }

    /// What is new in the audit log; no octets if nothing is.
    pub(super) fn log(&self, log: &str, after: u64) -> Result<Reply, Error> {
        if lock(&self.known).welcome.is_none() {
            return Err(Error::Forbidden("the log comes after onboarding"));
        }
        let page = self.trail.page(log, after, LAK)?;
        Ok(Reply::Bytes(page.map_or_else(Vec::new, |page| page.encode())))
    }

    fn empty_inbox(&self) -> Result<bool, Error> {
        let Some(folder) = &self.config.update.inbox else { return Ok(false) };
        let mut installed = false;
        while let Some(found) = inbox::next(folder).map_err(Error::Inbox)? {
            tracing::info!(file = found.name(), "an envelope is in the inbox");
            let outcome = if let Some(envelope) = &found.envelope {
                lock(&self.updates).take(0, envelope, unix())?
            } else {
                let reason = format!("longer than {LARGEST} octets");
                let code = "agent.update.too-long";
                lock(&self.updates).refuse(0, "", 0, code, &reason, unix())?
            };
            self.tell_of(&outcome);
            // An envelope that stays would be taken again and again.
            found.put_aside(outcome.result.word()).map_err(Error::Inbox)?;
            installed |= outcome.result == Ending::Applied;
        }
        Ok(installed)
    }
}

fn tell(outcome: &Outcome) {
    let (code, reason) = outcome.result.why();
    let (component, version) = (&outcome.component, outcome.version);
    let word = outcome.result.word();
    if outcome.result == Ending::Applied {
        tracing::info!(component, version, code, "update {word}: {reason}");
    } else {
        tracing::warn!(component, version, code, "update {word}: {reason}");
    }
}
