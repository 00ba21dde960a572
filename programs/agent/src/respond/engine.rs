//! Decides which countermeasures are taken, and takes them back. It does nothing itself: [`Hands`]
//! do. In this order a countermeasure has to pass: is it known already; is its target a safety asset;
//! is the policy new; were there too many.

use super::action::{Action, Target};
use super::approval::Approver;
use super::assets::Assets;
use super::bucket::{Buckets, Limit};
use super::journal::{Journal, Response, Stage};
use crate::state::{self, State};
use std::time::Duration;

/// So many must approve of what is done to a safety asset.
pub const APPROVALS: usize = 2;

/// What a verdict asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub action: Action,
    /// Against what.
    pub target: Target,
    /// The control that was not met.
    pub control: String,
    /// Why it was not.
    pub reason: String,
    /// The policy: `<name>/<version>`.
    pub policy: String,
}

/// What came of something that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// In words.
    pub words: String,
    /// What is needed to take it back; `None` if nothing can, or need be.
    pub before: Option<String>,
}

/// What does things.
pub trait Hands {
    /// What would be done.
    fn preview(&self, action: Action, target: &Target) -> String;
    /// Does it.
    fn apply(&mut self, response: &Response) -> Result<Done, super::Error>;
    /// Takes it back.
    fn undo(&mut self, response: &Response) -> Result<String, super::Error>;
    /// Sees that it is still so.
    fn renew(&mut self, response: &Response) -> Result<(), super::Error>;
    /// Sixteen octets that nobody guesses, in hexadecimal.
    fn token(&mut self) -> Result<String, super::Error>;
    /// Writes down what has become of it, and who has approved of it if that is what happened.
    fn tell(&mut self, response: &Response, approver: Option<&str>);
}

/// How careful it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Care {
    /// What the device lets its fleet do.
    pub allowed: Vec<Action>,
    /// So long a new policy is only tried.
    pub trial: Duration,
    /// So long something stays that no verdict asks for any more; zero is for ever.
    pub dead_man: Duration,
    /// How often each countermeasure may be taken.
    pub limit: Limit,
}

/// Why something that a person asks for is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such response.
    #[error("there is no response `{0}`; `touchstone respond list` shows them")]
    Unknown(String),
    /// It is not where it would have to be.
    #[error("{id} is {stage}: there is nothing to {what}")]
    Stage {
        /// Which.
        id: String,
        /// Where it stands.
        stage: &'static str,
        /// What was asked for.
        what: &'static str,
    },
    /// The same person has approved already.
    #[error("{0} has this approval already; another person has to give the other one")]
    Twice(String),
    /// It can not be done.
    #[error(transparent)]
    Failed(#[from] super::Error),
    /// State can not be kept.
    #[error(transparent)]
    State(#[from] state::Error),
}

impl Refusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "agent.respond.unknown",
            Self::Stage { .. } => "agent.respond.stage",
            Self::Twice(_) => "agent.respond.twice",
            Self::Failed(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }
}

/// What responds.
#[derive(Debug)]
pub struct Engine {
    state: State,
    journal: Journal,
    buckets: Buckets,
    care: Care,
}

impl Engine {
    /// Takes up where an agent before left off.
    pub fn load(state: &State, care: Care) -> Result<Self, state::Error> {
        let buckets = Buckets::new(care.limit);
        let mut journal = Journal::load(state)?;
        // Killed in between: what was begun may be in force, so that it can be taken back.
        for begun in journal.responses.iter_mut().filter(|it| it.stage == Stage::Begun) {
            begun.stage = Stage::Applied;
            "the agent ended while it was being done".clone_into(&mut begun.outcome);
        }
        Ok(Self { state: state.clone(), journal, buckets, care })
    }

    /// Every response, oldest first.
    pub fn responses(&self) -> &[Response] {
        &self.journal.responses
    }

    /// Does what a verdict asks for, as far as the interlocks let it.
    pub fn obey(
        &mut self,
        orders: Vec<Order>,
        assets: &Assets,
        hands: &mut dyn Hands,
        now: u64,
    ) -> Result<(), state::Error> {
        for order in orders {
            if self.care.allowed.contains(&order.action) {
                self.consider(order, assets, hands, now)?;
            }
        }
        Ok(())
    }

    fn consider(
        &mut self,
        order: Order,
        assets: &Assets,
        hands: &mut dyn Hands,
        now: u64,
    ) -> Result<(), state::Error> {
        let until = self.until(order.action, now);
        let trial = self.is_on_trial(&order.policy, now);
        if let Some(known) = self.known(&order, trial) {
            if known.stage == Stage::Applied {
                known.until = until;
                if let Err(error) = hands.renew(known) {
                    tracing::error!(code = error.code(), id = %known.id, "{error}");
                }
            }
            return self.journal.store(&self.state);
        }
        let before = self.in_vain(&order);
        let again = before.is_some();
        let mut response = before.unwrap_or_else(|| self.response(order, hands, now));
        if response.action == Action::Alert {
            return self.apply(response, hands, now);
        }
        let observes = response.action.only_observes();
        if let Some(why) = assets.protects(&response.target).filter(|_| !observes) {
            response.stage = Stage::Waiting;
            response.outcome = format!("{why}; it waits for {APPROVALS} approvals");
        } else if trial && !observes {
            response.stage = Stage::Previewed;
            response.outcome = format!("policy {} is new and only tried", response.policy);
        } else if !self.buckets.take(response.action, now) {
            if again {
                return Ok(());
            }
            response.stage = Stage::Refused;
            response.outcome = format!("too many of {} in a short time", response.action);
        } else {
            return self.apply(response, hands, now);
        }
        tell(&response, hands);
        self.put(response);
        self.journal.store(&self.state)
    }

    /// The last try of the same, if it came to nothing: it is tried again under its number.
    fn in_vain(&self, order: &Order) -> Option<Response> {
        let same = |it: &&Response| it.action == order.action && it.target == order.target;
        let last = self.journal.responses.iter().rev().find(same)?;
        matches!(last.stage, Stage::Failed | Stage::Refused).then(|| last.clone())
    }

    /// A response to the same that is not over, or that would be decided the same way again.
    fn known(&mut self, order: &Order, trial: bool) -> Option<&mut Response> {
        self.journal.responses.iter_mut().rev().find(|it| {
            let same = it.action == order.action && it.target == order.target;
            let again = match it.stage {
                Stage::Previewed => trial && it.policy == order.policy,
                // What only tells, and what cannot be taken back, is done once for each reason.
                Stage::Done => it.control == order.control && it.reason == order.reason,
                stage => stage.is_open(),
            };
            same && again
        })
    }

    fn response(&mut self, order: Order, hands: &dyn Hands, now: u64) -> Response {
        self.journal.next += 1;
        Response {
            id: format!("r{}", self.journal.next),
            preview: hands.preview(order.action, &order.target),
            action: order.action,
            target: order.target,
            control: order.control,
            reason: order.reason,
            policy: order.policy,
            stage: Stage::Begun,
            since: now,
            until: None,
            undo: None,
            before: None,
            approvals: Vec::new(),
            outcome: String::new(),
        }
    }

    /// Does it: kept as begun before, and as what came of it after.
    fn apply(
        &mut self,
        mut response: Response,
        hands: &mut dyn Hands,
        now: u64,
    ) -> Result<(), state::Error> {
        response.stage = Stage::Begun;
        response.since = now;
        response.until = self.until(response.action, now);
        response.undo = hands.token().ok().filter(|_| response.action.reverts());
        let place = self.put(response.clone());
        self.journal.store(&self.state)?;
        match hands.apply(&response) {
            Ok(done) => {
                let takes_back = response.action.reverts();
                response.stage = if takes_back { Stage::Applied } else { Stage::Done };
                response.before = done.before;
                response.outcome = done.words;
            }
            Err(error) => {
                response.stage = Stage::Failed;
                response.undo = None;
                response.outcome = format!("{error} ({})", error.code());
            }
        }
        tell(&response, hands);
        if let Some(kept) = self.journal.responses.get_mut(place) {
            *kept = response;
        }
        self.journal.store(&self.state)
    }

    fn put(&mut self, response: Response) -> usize {
        let kept = &mut self.journal.responses;
        let place = kept.iter().position(|known| known.id == response.id).unwrap_or(kept.len());
        match kept.get_mut(place) {
            Some(slot) => *slot = response,
            None => kept.push(response),
        }
        place
    }

    fn until(&self, action: Action, now: u64) -> Option<u64> {
        let dead_man = self.care.dead_man.as_secs();
        (action.reverts() && dead_man > 0).then(|| now.saturating_add(dead_man))
    }

    /// Whether a policy was first seen so lately that it is only tried.
    fn is_on_trial(&mut self, policy: &str, now: u64) -> bool {
        let first = *self.journal.policies.entry(policy.to_owned()).or_insert(now);
        now.saturating_sub(first) < self.care.trial.as_secs()
    }

    /// A good verdict: everything that can be is taken back, and what waits is not wanted any more.
    pub fn relent(&mut self, hands: &mut dyn Hands, now: u64) -> Result<bool, state::Error> {
        let open = |it: &Response| it.stage.is_open();
        self.take_back(&open, Stage::Undone, "the verdict is good again", hands, now)
    }

    /// Time has passed: what nobody asks for any more ends.
    pub fn tick(&mut self, hands: &mut dyn Hands, now: u64) -> Result<bool, state::Error> {
        let over = |it: &Response| {
            it.stage == Stage::Applied && it.until.is_some_and(|until| until <= now)
        };
        self.take_back(&over, Stage::Reverted, "no verdict asked for it any more", hands, now)
    }

    fn take_back(
        &mut self,
        which: &dyn Fn(&Response) -> bool,
        stage: Stage,
        why: &str,
        hands: &mut dyn Hands,
        now: u64,
    ) -> Result<bool, state::Error> {
        let mut changed = false;
        for it in self.journal.responses.iter_mut().filter(|it| which(it)) {
            if it.stage == Stage::Waiting {
                end(it, Stage::Undone, why, hands, now);
                changed = true;
                continue;
            }
            match hands.undo(it) {
                Ok(words) => {
                    end(it, stage, &format!("{why}: {words}"), hands, now);
                    changed = true;
                }
                // It stays, and is tried again.
                Err(error) => {
                    let words = format!("cannot be taken back: {error} ({})", error.code());
                    if it.outcome != words {
                        tracing::error!(code = error.code(), id = %it.id, "{words}");
                        it.outcome = words;
                    }
                }
            }
        }
        if changed {
            self.journal.store(&self.state)?;
        }
        Ok(changed)
    }

    /// A person takes a response back, by its number or its token.
    pub fn undo(&mut self, id: &str, hands: &mut dyn Hands, now: u64) -> Result<Response, Refusal> {
        let named = |it: &&mut Response| it.id == id || it.undo.as_deref() == Some(id);
        let it = self.journal.responses.iter_mut().rev().find(named);
        let it = it.ok_or_else(|| Refusal::Unknown(shown(id)))?;
        match it.stage {
            Stage::Applied => {
                let words = hands.undo(it)?;
                end(it, Stage::Undone, &format!("by an operator: {words}"), hands, now);
            }
            Stage::Waiting => end(it, Stage::Undone, "by an operator", hands, now),
            stage => {
                let (id, stage) = (it.id.clone(), stage.name());
                return Err(Refusal::Stage { id, stage, what: "take back" });
            }
        }
        let it = it.clone();
        self.journal.store(&self.state)?;
        Ok(it)
    }

    /// A person approves of what waits. When enough have, it is done.
    pub fn approve(
        &mut self,
        id: &str,
        approver: &Approver,
        hands: &mut dyn Hands,
        now: u64,
    ) -> Result<Response, Refusal> {
        let it = self.journal.responses.iter_mut().find(|it| it.id == id);
        let it = it.ok_or_else(|| Refusal::Unknown(shown(id)))?;
        if it.stage != Stage::Waiting {
            let (id, stage) = (it.id.clone(), it.stage.name());
            return Err(Refusal::Stage { id, stage, what: "approve" });
        }
        if it.approvals.contains(&approver.key) {
            return Err(Refusal::Twice(it.id.clone()));
        }
        it.approvals.push(approver.key.clone());
        tracing::warn!(code = "agent.respond.approved", id = %it.id, by = %approver.name, "approved");
        hands.tell(it, Some(&approver.name));
        let (enough, it) = (it.approvals.len() >= APPROVALS, it.clone());
        if enough {
            self.apply(it, hands, now)?;
        } else {
            self.journal.store(&self.state)?;
        }
        let it = self.journal.responses.iter().find(|it| it.id == id);
        it.cloned().ok_or_else(|| Refusal::Unknown(shown(id)))
    }

    /// A response that waits, for whoever has to approve of it.
    pub fn find(&self, id: &str) -> Option<&Response> {
        self.journal.responses.iter().find(|it| it.id == id)
    }
}

fn end(it: &mut Response, stage: Stage, words: &str, hands: &mut dyn Hands, now: u64) {
    it.stage = stage;
    it.since = now;
    it.until = None;
    it.undo = None;
    words.clone_into(&mut it.outcome);
    tell(it, hands);
}

/// Every change is an event.
fn tell(it: &Response, hands: &mut dyn Hands) {
    hands.tell(it, None);
    let (id, stage) = (&it.id, it.stage.name());
    let Response { action, target, control, reason, outcome, .. } = it;
    let code = "agent.respond.stage";
    tracing::warn!(code, %id, %action, %target, stage, control, "{reason}; {outcome}");
}

fn shown(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(64).collect()
}

#[cfg(test)]
mod tests;
