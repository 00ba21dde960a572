//! Judging claims by a policy. It always ends, never fails, and what it cannot know does not pass.

use crate::ar4si::{Dimension, Tier, TrustValue};
use crate::ast::{Comparison, Control, Exception, Operand, Policy, Test};
use crate::{Claims, Countermeasure, Value, explain};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};
use core::cmp::Ordering;
use core::time::Duration;

/// Elements that one evaluation may look at: far beyond honest evidence, and the bound on the
/// time that a hostile device can take from the verifier.
const WORK: u32 = 4_000_000;

impl Policy {
    /// Judges what `claims` say: one outcome for each control, in the order of the policy.
    ///
    /// Nothing is written out yet: [`Outcome::explanation`] does that where it is wanted.
    pub fn evaluate<'a>(&'a self, claims: &'a dyn Claims) -> Vec<Outcome<'a>> {
        let mut facts = Facts::new(self, claims);
        let excepted = self.exceptions_for(&facts);
        let mut judge = |control: &'a Control| {
            facts.fresh = control.fresh;
            let mut truths = Truths::default();
            let verdict = control.requires.iter().map(|test| {
                let truth = holds(test, &facts, None);
                truths.push(truth);
                truth
            });
            let status = match all(verdict) {
                Truth::True => Status::Passed,
                Truth::False => Status::Failed,
                Truth::Unknown => Status::Unknown,
            };
            let leave = |exception: &&&Exception| exception.controls.contains(&control.name);
            let (mut exception, mut expired) = (None, None);
            if status != Status::Passed {
                let mut given = excepted.iter().filter(leave).copied();
                exception = given.clone().find(|exception| claims.now() < exception.until);
                expired = given.find(|exception| exception.until <= claims.now());
            }
            Outcome { policy: self, control, status, truths, exception, expired, claims }
        };
        self.controls.iter().map(&mut judge).collect()
    }

    /// Exceptions whose condition holds, whether or not their time is over.
    fn exceptions_for<'a>(&'a self, facts: &Facts<'a>) -> Vec<&'a Exception> {
        let applies = |exception: &&'a Exception| {
            let when = exception.when.as_ref();
            when.is_none_or(|when| holds(when, facts, None) == Truth::True)
        };
        self.exceptions.iter().filter(applies).collect()
    }
}

/// How a device fares with one control.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    policy: &'a Policy,
    control: &'a Control,
    status: Status,
    truths: Truths,
    exception: Option<&'a Exception>,
    expired: Option<&'a Exception>,
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

    /// The exception by which the control may be missed; `None` also if it is met.
    pub const fn exception(&self) -> Option<&'a Exception> {
        self.exception
    }

    /// An exception that would apply, but its time is over.
    pub const fn expired(&self) -> Option<&'a Exception> {
        self.expired
    }

    /// The value that the device gets in that dimension; 0, which claims nothing, where the control
    /// is excepted.
    pub const fn value(&self) -> TrustValue {
        if self.passed() {
            self.control.passes()
        } else if self.exception.is_some() {
            TrustValue::new(self.control.dimension(), 0)
        } else {
            self.control.fails()
        }
    }

    /// The tier that follows: affirming, none where the control is excepted, or that of its `else`.
    pub const fn tier(&self) -> Tier {
        self.value().tier()
    }

    /// What is to be done, mildest first: nothing if the control is met or excepted.
    pub fn countermeasures(&self) -> &'a [Countermeasure] {
        if self.passed() || self.exception.is_some() {
            return &[];
        }
        &self.control.countermeasures
    }

    /// Why the control is there.
    pub fn because(&self) -> &'a str {
        self.control.because()
    }

    /// What was found, with the actual values: `agent.version is 1.1.0, wanted at least 1.2.0`.
    pub fn explanation(&self) -> String {
        let mut words = explain::outcome(self.control, self.truths, &self.facts());
        if let Some(exception) = self.exception {
            words = format!(
                "{words}; excepted until {} by {} (exception `{}`): {}",
                exception.until, exception.by, exception.name, exception.because
            );
        } else if let Some(expired) = self.expired {
            words = format!(
                "{words}; the exception `{}` by {} counts no more since {}",
                expired.name, expired.by, expired.until
            );
        }
        words
    }

    /// The elements of lists that made it fail, at most 16: a record of the event log carries its
    /// index, say.
    pub fn offenders(&self) -> Vec<&'a Value> {
        explain::offenders(self.control, self.truths, &self.facts())
    }

    fn facts(&self) -> Facts<'a> {
        Facts { fresh: self.control.fresh, ..Facts::new(self.policy, self.claims) }
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

/// What became of the first requirements of a control, so that nobody has to find out again who asks
/// why: two bits each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Truths {
    bits: u32,
    count: u32,
}

impl Truths {
    const MOST: u32 = 16;

    fn push(&mut self, truth: Truth) {
        if self.count < Self::MOST {
            self.bits |= (truth as u32) << (2 * self.count);
            self.count += 1;
        }
    }

    /// That of the requirement at a place; `None` if nobody looked.
    pub(crate) fn of(self, place: usize) -> Option<Truth> {
        let place = u32::try_from(place).ok().filter(|place| *place < self.count)?;
        Some(match (self.bits >> (2 * place)) & 3 {
            0 => Truth::True,
            1 => Truth::False,
            _ => Truth::Unknown,
        })
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
    policy: &'a Policy,
    claims: &'a dyn Claims,
    /// Every claim of the policy with its age, looked up once, and only if somebody asks.
    slots: Vec<OnceCell<Slot<'a>>>,
    now: Value,
    /// How old a claim may be at most: what the control says that is judged.
    fresh: Option<Duration>,
    left: Cell<u32>,
}

struct Slot<'a> {
    value: Option<&'a Value>,
    age: Option<Duration>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(policy: &'a Policy, claims: &'a dyn Claims) -> Self {
        let slots = policy.claims.iter().map(|_| OnceCell::new()).collect();
        let now = Value::Time(claims.now());
        Self { policy, claims, slots, now, fresh: None, left: Cell::new(WORK) }
    }

    fn slot(&self, at: usize) -> Option<&Slot<'a>> {
        let name = self.policy.claims.get(at)?;
        let found = || {
            let (value, age) = self.claims.aged_claim(name);
            Slot { value, age }
        };
        Some(self.slots.get(at)?.get_or_init(found))
    }

    /// The claim, unless it is older than the control allows.
    fn claim(&self, at: usize) -> Option<&'a Value> {
        let slot = self.slot(at)?;
        slot.value.filter(|_| !self.has_gone_stale(slot))
    }

    /// Whether something is said about the claim that is too old, or of an age that is not known.
    fn is_stale(&self, at: usize) -> bool {
        self.slot(at).is_some_and(|slot| self.has_gone_stale(slot))
    }

    fn has_gone_stale(&self, slot: &Slot<'_>) -> bool {
        let too_old = |fresh| slot.age.is_none_or(|age| age > fresh);
        slot.value.is_some() && self.fresh.is_some_and(too_old)
    }

    /// What is wrong with the age of the claim behind an operand.
    pub(crate) fn staleness(&self, operand: &Operand) -> Option<(Option<Duration>, Duration)> {
        let slot = root(operand)?;
        let age = self.slot(slot)?.age;
        self.is_stale(slot).then(|| self.fresh.map(|fresh| (age, fresh)))?
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
        Test::Holds(operand) if is_made(operand) => {
            match read(operand, facts, scope).as_ref().map(Found::as_value) {
                Some(Value::Boolean(truth)) => (*truth).into(),
                _ => Truth::Unknown,
            }
        }
        Test::Holds(operand) => match locate(operand, facts, scope) {
            Some(Value::Boolean(truth)) => (*truth).into(),
            _ => Truth::Unknown,
        },
        Test::Compare { left, how, right } => {
            of_both(left, right, facts, scope, |left, right| compare(left, *how, right))
        }
        Test::In { value, set } => {
            of_both(value, set, facts, scope, |value, set| contains(set, value, facts))
        }
        Test::Within { list, set } => {
            let (Some(values), Some(set)) = (elements(list, facts, scope), read(set, facts, scope))
            else {
                return Truth::Unknown;
            };
            let found = |value| contains(set.as_value(), value, facts).into_truth();
            all(values.iter().map(found))
        }
        Test::Present(operand) if root(operand).is_some_and(|slot| facts.is_stale(slot)) => {
            Truth::Unknown
        }
        Test::Present(operand) => read(operand, facts, scope).is_some().into(),
        Test::Empty(operand) => length(operand, facts, scope).map(|len| len == 0).into_truth(),
    }
}

/// What is found of two operands; unknown if nothing is said about one. What exists is not moved about.
fn of_both<'a>(
    left: &'a Operand,
    right: &'a Operand,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
    found: impl FnOnce(&Value, &Value) -> Option<bool>,
) -> Truth {
    if is_made(left) || is_made(right) {
        let both = read(left, facts, scope).zip(read(right, facts, scope));
        return both
            .and_then(|(left, right)| found(left.as_value(), right.as_value()))
            .into_truth();
    }
    let Some(left) = locate(left, facts, scope) else { return Truth::Unknown };
    locate(right, facts, scope).and_then(|right| found(left, right)).into_truth()
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

/// The value of an operand: one that exists, or one that was made on the way.
#[derive(Clone)]
pub(crate) enum Found<'a> {
    Value(&'a Value),
    Made(Value),
}

impl Found<'_> {
    pub(crate) const fn as_value(&self) -> &Value {
        match self {
            Self::Value(value) => value,
            Self::Made(value) => value,
        }
    }
}

pub(crate) fn read<'a>(
    operand: &'a Operand,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
) -> Option<Found<'a>> {
    match operand {
        Operand::Count(inner) => {
            let len = length(inner, facts, scope)?;
            i64::try_from(len).ok().map(|len| Found::Made(len.into()))
        }
        Operand::Call { function, arguments } => {
            if !facts.spend(arguments.len().max(1)) {
                return None;
            }
            let found: Option<Vec<_>> =
                arguments.iter().map(|argument| read(argument, facts, scope)).collect();
            let found = found?;
            let values: Vec<&Value> = found.iter().map(Found::as_value).collect();
            function.apply(&values).map(Found::Made)
        }
        Operand::Now => Some(Found::Made(facts.now.clone())),
        Operand::Shifted { time, later, span } => {
            let found = read(time, facts, scope)?;
            let Value::Time(time) = found.as_value() else { return None };
            let shifted = if *later { time.after(*span) } else { time.before(*span) };
            shifted.map(|time| Found::Made(time.into()))
        }
        plain => locate(plain, facts, scope).map(Found::Value),
    }
}

/// Whether a value has to be made on the way.
const fn is_made(operand: &Operand) -> bool {
    matches!(
        operand,
        Operand::Count(_) | Operand::Call { .. } | Operand::Now | Operand::Shifted { .. }
    )
}

/// A value that exists; `None` also for what has to be made.
fn locate<'a>(operand: &'a Operand, facts: &Facts<'a>, scope: Scopes<'_, 'a>) -> Option<&'a Value> {
    match operand {
        Operand::Claim { slot, .. } => facts.claim(*slot),
        Operand::Reference { at, .. } => Some(&facts.policy.references.get(*at)?.value),
        Operand::Literal(value) => Some(value),
        Operand::Variable { depth, .. } => {
            let mut scope = scope?;
            for _ in 0..*depth {
                scope = scope.outer?;
            }
            Some(scope.value)
        }
        Operand::Field { record, name } => locate(record, facts, scope)?.field(name),
        Operand::Entry { map, key } => match locate(map, facts, scope)? {
            Value::Map(map) => map.get(key),
            _ => None,
        },
        Operand::Count(_) | Operand::Call { .. } | Operand::Now | Operand::Shifted { .. } => None,
    }
}

/// The claim that an operand is, or is a part of.
fn root(operand: &Operand) -> Option<usize> {
    match operand {
        Operand::Claim { slot, .. } => Some(*slot),
        Operand::Field { record: inner, .. }
        | Operand::Entry { map: inner, .. }
        | Operand::Count(inner)
        | Operand::Shifted { time: inner, .. } => root(inner),
        Operand::Reference { .. }
        | Operand::Variable { .. }
        | Operand::Literal(_)
        | Operand::Call { .. }
        | Operand::Now => None,
    }
}

pub(crate) fn elements<'a>(
    operand: &'a Operand,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
) -> Option<&'a [Value]> {
    locate(operand, facts, scope)?.elements()
}

fn length<'a>(operand: &'a Operand, facts: &Facts<'a>, scope: Scopes<'_, 'a>) -> Option<usize> {
    match read(operand, facts, scope)?.as_value() {
        Value::Text(text) => facts.spend(text.len() / 64 + 1).then(|| text.chars().count()),
        value => value.elements().map(<[Value]>::len),
    }
}

/// `None` if the values are not of one type, whatever the catalogue promised.
fn compare(left: &Value, how: Comparison, right: &Value) -> Option<bool> {
    use Comparison as C;
    if let (Value::Text(left), Value::Text(right), true) = (left, right, how.is_on_text()) {
        return Some(match how {
            C::StartsWith => left.starts_with(right.as_str()),
            C::EndsWith => left.ends_with(right.as_str()),
            _ => left.contains(right.as_str()),
        });
    }
    if how.is_on_text() || !same_type(left, right) {
        return None;
    }
    if matches!(how, C::Equal | C::NotEqual) {
        return Some((left == right) == (how == C::Equal));
    }
    let order = left.cmp(right);
    Some(match how {
        C::Less => order == Ordering::Less,
        C::AtMost => order != Ordering::Greater,
        C::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

fn same_type(left: &Value, right: &Value) -> bool {
    core::mem::discriminant(left) == core::mem::discriminant(right)
}

/// A value of another type than the set's, or too much work, is not known to be in it.
pub(crate) fn contains(set: &Value, value: &Value, facts: &Facts<'_>) -> Option<bool> {
    let values = set.elements()?;
    let alike = values.first().is_none_or(|first| same_type(first, value));
    match set {
        Value::Set(set) => (alike && facts.spend(1)).then(|| set.contains(value)),
        _ => (alike && facts.spend(values.len().max(1))).then(|| values.contains(value)),
    }
}

#[cfg(test)]
mod tests;
