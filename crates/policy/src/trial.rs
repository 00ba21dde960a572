//! Running the tests that a policy brings along.

use crate::ar4si::Tier;
use crate::ast::{End, Expectation, Policy, Trial};
use crate::{ClaimSet, Outcome, Status, tier};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How one test of a policy went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialResult {
    /// The test's name.
    pub name: String,
    /// The line of the policy on which it begins.
    pub line: u32,
    /// What was not as expected; empty if the test passed.
    pub unmet: Vec<Unmet>,
}

/// An expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The control, or `tier`.
    pub of: String,
    /// What was expected: `fails`, `affirming`.
    pub expected: &'static str,
    /// What came.
    pub found: &'static str,
    /// Why the control came out so; empty for the tier.
    pub why: String,
}

impl Policy {
    /// Runs the tests of this policy itself. Those of a base are run with the base: what stands on
    /// top of it may well change what they expect.
    pub fn run_tests(&self) -> Vec<TrialResult> {
        let last = self.layers.len().saturating_sub(1);
        let own = self.trials.iter().filter(|trial| trial.layer == last);
        own.map(|trial| run(self, trial)).collect()
    }
}

fn run(policy: &Policy, trial: &Trial) -> TrialResult {
    let mut claims = ClaimSet::new().at(trial.at);
    for given in &trial.given {
        claims.insert(&given.claim, given.value.clone());
        claims.set_age(&given.claim, given.age);
    }
    let outcomes = policy.evaluate(&claims);
    let unmet = trial.expects.iter().filter_map(|expected| judge(expected, &outcomes));
    TrialResult { name: trial.name.clone(), line: trial.line, unmet: unmet.collect() }
}

fn judge(expected: &Expectation, outcomes: &[Outcome<'_>]) -> Option<Unmet> {
    match expected {
        Expectation::Tier(expected) => {
            let found: Tier = tier(outcomes);
            let unmet = || Unmet {
                of: "tier".to_string(),
                expected: expected.name(),
                found: found.name(),
                why: String::new(),
            };
            (found != *expected).then(unmet)
        }
        Expectation::Control { name, end } => {
            let outcome = outcomes.iter().find(|outcome| outcome.name() == name);
            let found = outcome.map(end_of);
            let unmet = || Unmet {
                of: name.clone(),
                expected: end.name(),
                found: found.map_or("not there", End::name),
                why: outcome.map_or_else(String::new, Outcome::explanation),
            };
            (found != Some(*end)).then(unmet)
        }
    }
}

const fn end_of(outcome: &Outcome<'_>) -> End {
    match outcome.status() {
        Status::Passed => End::Passes,
        _ if outcome.exception().is_some() => End::Excepted,
        Status::Failed => End::Fails,
        Status::Unknown => End::Unknown,
    }
}
