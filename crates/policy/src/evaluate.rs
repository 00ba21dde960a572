//! Judging claims by a policy. It always ends, never fails, and what it cannot know does not pass.

use crate::ar4si::{Dimension, Tier, TrustValue};
use crate::ast::{Comparison, Control, Operand, Policy, Test};
use crate::{Claims, Value, explain};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::cmp::Ordering;

/// Elements that one evaluation may look at: far beyond honest evidence, and the bound on the
/// time that a hostile device can take from the verifier.
const WORK: u32 = 4_000_000;

impl Policy {
    /// Judges what `claims` say: one outcome for each control, in the order of the policy.
    ///
    /// Nothing is written out yet: [`Outcome::explanation`] does that where it is wanted.
    pub fn evaluate<'a>(&'a self, claims: &'a dyn Claims) -> Vec<Outcome<'a>> {
        let facts = Facts::resolved(self.claims.iter().map(|name| claims.claim(name)).collect());
        let judge = |control: &'a Control| {
            let verdict = control.requires.iter().map(|test| holds(test, &facts, None));
            let status = match all(verdict) {
                Truth::True => Status::Passed,
                Truth::False => Status::Failed,
                Truth::Unknown => Status::Unknown,
            };
            Outcome { control, status, claims }
        };
        self.controls.iter().map(judge).collect()
    }
}

/// How a device fares with one control.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    control: &'a Control,
    status: Status,
    claims: &'a dyn Claims,
}

/// Whether a control is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is.
    Passed,
    /// It is not.
    Failed,
    /// The evidence does not say, which counts as not.
    Unknown,
}

impl Status {
    /// The word in results and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// The status of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Passed, Self::Failed, Self::Unknown].into_iter().find(|known| known.name() == name)
    }
}

impl<'a> Outcome<'a> {
    /// The control.
    pub const fn control(&self) -> &'a Control {
        self.control
    }

    /// The control's name.
    pub fn name(&self) -> &'a str {
        self.control.name()
    }

    /// Whether it is met.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Whether it is met: `false` also where the evidence does not say.
    pub const fn passed(&self) -> bool {
        matches!(self.status, Status::Passed)
    }

    /// The dimension that it speaks about.
    pub const fn dimension(&self) -> Dimension {
        self.control.dimension()
    }

    /// The value that the device gets in that dimension.
    pub const fn value(&self) -> TrustValue {
        if self.passed() { self.control.passes() } else { self.control.fails() }
    }

    /// The tier that follows: affirming, or the control's severity.
    pub const fn tier(&self) -> Tier {
        self.value().tier()
    }

    /// Why the control is there.
    pub fn because(&self) -> &'a str {
        self.control.because()
    }

    /// What was found, with the actual values: `agent.version is 1.1.0, wanted at least 1.2.0`.
    pub fn explanation(&self) -> String {
        explain::outcome(self.control, &Facts::direct(self.claims))
    }

    /// The elements of lists that made it fail, at most 16: a record of the event log carries its
    /// index, say.
    pub fn offenders(&self) -> Vec<&'a Value> {
        explain::offenders(self.control, &Facts::direct(self.claims))
    }
}

impl core::fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Outcome")
            .field("control", &self.name())
            .field("status", &self.status)
            .field("explanation", &self.explanation())
            .finish_non_exhaustive()
    }
}

/// The tier of a device: the worst among its outcomes. Without any, nothing is asserted.
pub fn tier(outcomes: &[Outcome<'_>]) -> Tier {
    outcomes.iter().map(Outcome::tier).max().unwrap_or(Tier::None)
}

/// Kleene's three values: what is not known spoils a conclusion only where it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    True,
    False,
    Unknown,
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

impl Truth {
    const fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }
}

fn all(parts: impl Iterator<Item = Truth>) -> Truth {
    let mut truth = Truth::True;
    for part in parts {
        match part {
            Truth::False => return Truth::False,
            Truth::Unknown => truth = Truth::Unknown,
            Truth::True => {}
        }
    }
    truth
}

fn any(parts: impl Iterator<Item = Truth>) -> Truth {
    all(parts.map(Truth::not)).not()
}

/// What is known, and how much may still be looked at.
pub(crate) struct Facts<'a> {
    source: Source<'a>,
    left: Cell<u32>,
}

enum Source<'a> {
    /// Every claim of the policy, looked up once.
    Resolved(Vec<Option<&'a Value>>),
    Direct(&'a dyn Claims),
}

impl<'a> Facts<'a> {
    const fn resolved(slots: Vec<Option<&'a Value>>) -> Self {
        Self { source: Source::Resolved(slots), left: Cell::new(WORK) }
    }

    pub(crate) const fn direct(claims: &'a dyn Claims) -> Self {
        Self { source: Source::Direct(claims), left: Cell::new(WORK) }
    }

    fn claim(&self, slot: usize, name: &str) -> Option<&'a Value> {
        match &self.source {
            Source::Resolved(slots) => slots.get(slot).copied().flatten(),
            Source::Direct(claims) => claims.claim(name),
        }
    }

    /// Whether so much work is still allowed.
    fn spend(&self, work: usize) -> bool {
        let work = u32::try_from(work).unwrap_or(u32::MAX);
        let left = self.left.get().checked_sub(work);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// The variables of the enclosing loops, innermost first.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s, 'a> {
    pub(crate) value: &'a Value,
    pub(crate) outer: Option<&'s Scope<'s, 'a>>,
}

pub(crate) type Scopes<'s, 'a> = Option<&'s Scope<'s, 'a>>;

pub(crate) fn holds<'a>(test: &'a Test, facts: &Facts<'a>, scope: Scopes<'_, 'a>) -> Truth {
    match test {
        Test::Any(parts) => any(parts.iter().map(|part| holds(part, facts, scope))),
        Test::All(parts) => all(parts.iter().map(|part| holds(part, facts, scope))),
        Test::Not(inner) => holds(inner, facts, scope).not(),
        Test::Each { every, list, body, .. } => {
            let Some(values) = elements(list, facts, scope) else { return Truth::Unknown };
            let mut parts = values.iter().map(|value| element_holds(body, value, facts, scope));
            if *every { all(&mut parts) } else { any(&mut parts) }
        }
        Test::Holds(operand) => match read(operand, facts, scope) {
            Some(Found::Value(Value::Boolean(truth))) => (*truth).into(),
            _ => Truth::Unknown,
        },
        Test::Compare { left, how, right } => {
            let both = read(left, facts, scope).zip(read(right, facts, scope));
            both.and_then(|(left, right)| compare(&left, *how, &right)).into_truth()
        }
        Test::In { value, set } => {
            let both = read(value, facts, scope).zip(read(set, facts, scope));
            both.and_then(|(value, set)| contains(&set, &value, facts)).into_truth()
        }
        Test::Within { list, set } => {
            let (Some(values), Some(set)) = (elements(list, facts, scope), read(set, facts, scope))
            else {
                return Truth::Unknown;
            };
            let found = |value| contains(&set, &Found::Value(value), facts).into_truth();
            all(values.iter().map(found))
        }
        Test::Present(operand) => read(operand, facts, scope).is_some().into(),
        Test::Empty(operand) => length(operand, facts, scope).map(|len| len == 0).into_truth(),
    }
}

/// The body of a loop for one element; unknown when the work is used up.
pub(crate) fn element_holds<'a>(
    body: &'a Test,
    value: &'a Value,
    facts: &Facts<'a>,
    outer: Scopes<'_, 'a>,
) -> Truth {
    if facts.spend(1) { holds(body, facts, Some(&Scope { value, outer })) } else { Truth::Unknown }
}

trait IntoTruth {
    fn into_truth(self) -> Truth;
}

impl IntoTruth for Option<bool> {
    fn into_truth(self) -> Truth {
        self.map_or(Truth::Unknown, Truth::from)
    }
}

/// The value of an operand: one that exists, or a number that was counted.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    Value(&'a Value),
    Count(i64),
}

impl Found<'_> {
    const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Value(value) => value.as_integer(),
            Self::Count(count) => Some(*count),
        }
    }
}

impl core::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

pub(crate) fn read<'a>(
    operand: &'a Operand,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
) -> Option<Found<'a>> {
    match operand {
        Operand::Claim { slot, name } => facts.claim(*slot, name).map(Found::Value),
        Operand::Literal(value) => Some(Found::Value(value)),
        Operand::Variable { depth, field, .. } => {
            let mut scope = scope?;
            for _ in 0..*depth {
                scope = scope.outer?;
            }
            match field {
                None => Some(Found::Value(scope.value)),
                Some(field) => scope.value.field(field).map(Found::Value),
            }
        }
        Operand::Count(inner) => {
            let len = length(inner, facts, scope)?;
            i64::try_from(len).ok().map(Found::Count)
        }
    }
}

pub(crate) fn elements<'a>(
    operand: &'a Operand,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
) -> Option<&'a [Value]> {
    match read(operand, facts, scope)? {
        Found::Value(value) => value.elements(),
        Found::Count(_) => None,
    }
}

fn length<'a>(operand: &'a Operand, facts: &Facts<'a>, scope: Scopes<'_, 'a>) -> Option<usize> {
    match read(operand, facts, scope)? {
        Found::Value(Value::Text(text)) => Some(text.chars().count()),
        Found::Value(value) => value.elements().map(<[Value]>::len),
        Found::Count(_) => None,
    }
}

/// `None` if the values are not of one type, whatever the catalogue promised.
fn compare(left: &Found<'_>, how: Comparison, right: &Found<'_>) -> Option<bool> {
    use Comparison as C;
    if how.is_on_text() {
        let (Found::Value(Value::Text(left)), Found::Value(Value::Text(right))) = (left, right)
        else {
            return None;
        };
        return Some(match how {
            C::StartsWith => left.starts_with(right.as_str()),
            C::EndsWith => left.ends_with(right.as_str()),
            _ => left.contains(right.as_str()),
        });
    }
    let order = order(left, right)?;
    Some(match how {
        C::Equal => order == Ordering::Equal,
        C::NotEqual => order != Ordering::Equal,
        C::Less => order == Ordering::Less,
        C::AtMost => order != Ordering::Greater,
        C::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

fn order(left: &Found<'_>, right: &Found<'_>) -> Option<Ordering> {
    if let (Found::Value(left), Found::Value(right)) = (left, right) {
        return same_type(left, right).then(|| left.cmp(right));
    }
    Some(left.as_integer()?.cmp(&right.as_integer()?))
}

fn same_type(left: &Value, right: &Value) -> bool {
    core::mem::discriminant(left) == core::mem::discriminant(right)
}

/// A value of another type than the set's, or too much work, is not known to be in it.
pub(crate) fn contains(set: &Found<'_>, value: &Found<'_>, facts: &Facts<'_>) -> Option<bool> {
    let Found::Value(set) = set else { return None };
    let count;
    let value = match value {
        Found::Value(value) => *value,
        Found::Count(number) => {
            count = Value::Integer(*number);
            &count
        }
    };
    match set {
        Value::Set(set) => {
            let alike = set.as_slice().first().is_none_or(|first| same_type(first, value));
            (alike && facts.spend(1)).then(|| set.contains(value))
        }
        Value::List(values) => {
            let alike = values.first().is_none_or(|first| same_type(first, value));
            (alike && facts.spend(values.len().max(1))).then(|| values.contains(value))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
